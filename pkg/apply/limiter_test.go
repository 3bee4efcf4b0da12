package apply

import (
	"context"
	"errors"
	"testing"
)

// TestNothingStartsOnceStopped is what SIGTERM relies on: with room for more requests than there are
// workers nobody ever waits, and still nothing new may start.
func TestNothingStartsOnceStopped(t *testing.T) {
	l := newLimiter(8)
	ctx, stop := context.WithCancel(t.Context())
	if err := l.acquire(ctx); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := l.acquire(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a turn after the end: %v", err)
	}
	if l.inFlight != 1 {
		t.Errorf("%d in flight, want the one from before", l.inFlight)
	}
}

func TestAnUnreadyAPIServerIsDescribedByWhatFails(t *testing.T) {
	for _, c := range []struct{ reason, answer, want string }{
		{"the checks that fail and no others", "[+]ping ok\n[-]etcd failed: reason withheld\n[+]log ok\n[-]poststarthook/x failed: reason withheld\nreadyz check failed\n", "failing checks: etcd, poststarthook/x"},
		{"other words stay", "bad gateway", "bad gateway"},
	} {
		if got := failingChecks(c.answer); got != c.want {
			t.Errorf("%s: %q, want %q", c.reason, got, c.want)
		}
	}
}
