// Package await waits in tests for what will be so, and never for a time alone.
package await

import (
	"testing"
	"time"
)

// poll is how often a condition is looked at.
const poll = 50 * time.Millisecond

// That waits until the condition holds and returns how long that took. At the deadline the test fails, with the
// last error that the condition gave.
func That(tb testing.TB, timeout time.Duration, what string, condition func() error) time.Duration {
	tb.Helper()
	began := time.Now()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return time.Since(began)
		}
		select {
		case <-deadline.C:
			tb.Fatalf("not within %s: %s: %v", timeout, what, err)
		case <-tb.Context().Done():
			tb.Fatalf("not before the test ended: %s: %v", what, err)
		case <-tick.C:
		}
	}
}
