package simfleet_test

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

func TestInjectedClock(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	c := newFleet(t, simfleet.Options{Clock: clock, ReadyAfter: time.Minute}, "a").Cluster("a")
	apply(t, client(t, c), deployments, deployment("ok", 2))
	steps := 0
	for deadline := time.Now().Add(10 * time.Second); getDeployment(t, c).Status.ReadyReplicas != 2; steps++ {
		if time.Now().After(deadline) {
			t.Fatalf("never ready: %+v", getDeployment(t, c).Status)
		}
		// Each step may be what the next task waits for.
		clock.Step(time.Second)
	}
	if steps < 60 {
		t.Errorf("ready after %d s, want a minute", steps)
	}
}
