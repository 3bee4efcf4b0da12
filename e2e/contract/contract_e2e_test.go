//go:build e2e

package contract_test

import (
	"syscall"
	"testing"

	"github.com/armada-sync/armada-sync/e2e/contract"
	"github.com/armada-sync/armada-sync/e2e/fleet"
)

// TestReal checks the contract on a real API server with its controllers.
func TestReal(t *testing.T) {
	f := fleet.StartT(t, fleet.Options{
		Names: []string{"contract"}, WithControllers: true, WithNodes: 1,
		Controllers: append(fleet.DefaultControllers(), "persistentvolumeclaim-protection-controller"),
	})
	c := f.Cluster("contract")
	contract.Run(t, c.RESTConfig(), contract.Features{
		Controllers: true,
		// A new process knows no changes from before its start. An orderly end would wait a minute for the
		// watches of the controllers.
		Forget: func(t *testing.T) {
			t.Helper()
			if err := c.StopAPIServer(t.Context(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := c.StartAPIServer(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	})
}
