//go:build !unix

package helm

import "time"

// processorTime is the time on the clock where the system does not tell the processor time.
func processorTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
