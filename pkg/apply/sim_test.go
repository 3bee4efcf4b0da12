package apply_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// TestMain silences the API server's handlers inside of simfleet: their error handler sleeps between two
// errors by a clock that one bubble hands on to the next.
func TestMain(m *testing.M) {
	utilruntime.ErrorHandlers = nil
	m.Run()
}

// onSim runs a test on a simulated cluster, with a clock that jumps whenever everyone waits.
func onSim(t *testing.T, tweak func(*apply.Options), run func(*stage, *simfleet.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fleet, err := simfleet.New(simfleet.Options{N: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fleet.Close)
		cluster := fleet.Clusters()[0]
		run(newStage(t, cluster.RESTConfig(), "sim", time.Minute, tweak), cluster)
	})
}

func TestScenariosOnSimfleet(t *testing.T) {
	for _, c := range scenarios() {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			t.Log(c.reason)
			onSim(t, c.tweak, func(s *stage, _ *simfleet.Cluster) { c.run(s) })
		})
	}
}
