package contract_test

import (
	"testing"

	"github.com/armada-sync/armada-sync/e2e/contract"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// TestSimulated checks the contract on a simulated cluster, over connections in
// memory.
func TestSimulated(t *testing.T) {
	fleet, err := simfleet.New(simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "sim", Nodes: []simfleet.NodeSpec{{}}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	c := fleet.Cluster("sim")
	contract.Run(t, c.RESTConfig(), contract.Features{
		Controllers: true,
		Forget:      func(*testing.T) { c.Compact() },
	})
}
