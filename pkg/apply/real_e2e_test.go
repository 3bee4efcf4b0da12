//go:build e2e

package apply_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/armada-sync/armada-sync/e2e/fleet"
)

// TestScenariosOnAPIServer runs the scenarios on one real API server, each in a namespace
// and with a hub of its own. The namespace controller runs, so that namespaces go away.
func TestScenariosOnAPIServer(t *testing.T) {
	f := fleet.StartT(t, fleet.Options{Names: []string{"east", "alone"}, WithControllers: true, Controllers: []string{
		"namespace-controller", "garbage-collector-controller", "deployment-controller",
	}})
	for i, c := range scenarios() {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			t.Log(c.reason)
			cluster := f.Cluster("east")
			if c.alone {
				cluster = f.Cluster("alone")
			}
			c.run(newStage(t, cluster.RESTConfig(), fmt.Sprintf("scenario-%d", i), 20*time.Second, c.tweak))
		})
	}
}
