package engine_test

import (
	"testing"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// TestMain takes the error back-off of client-go's background loops away: it keeps a process-wide time,
// which a synctest bubble with its own clock turns into years of sleep.
func TestMain(m *testing.M) {
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1]
	m.Run()
}
