package contract_test

import (
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/armada-sync/armada-sync/e2e/contract"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// TestLoopback checks the contract on a simulated cluster's port, with TLS and
// HTTP/2 in between.
func TestLoopback(t *testing.T) {
	fleet, err := simfleet.New(simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "sim"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	kubeconfig, err := fleet.Cluster("sim").Kubeconfig()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	contract.Run(t, cfg, contract.Features{Controllers: true})
}
