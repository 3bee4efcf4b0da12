package hub_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// Where a cluster is, its nodes tell, unless its spec does: policies spread by that, and a node that goes
// moves nothing, not even over a restart.
func TestNodesTellWhereAClusterIs(t *testing.T) {
	zoned := func(zones ...string) (nodes []simfleet.NodeSpec) {
		for _, zone := range zones {
			nodes = append(nodes, simfleet.NodeSpec{Count: 1, Region: "eu-north-1", Zone: zone})
		}
		return nodes
	}
	inWorldWith(t, []simfleet.ClusterSpec{{Name: "c", Nodes: zoned("x", "y")}, {Name: "d", Nodes: zoned("x")}}, func(w *world) {
		for name, spec := range map[string]string{"c": "", "d": "region: us-east1, zones: [z], "} {
			w.apply(fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: armada-system}, stringData: {kubeconfig: good}}", name))
			w.apply(fmt.Sprintf("{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: %s}, spec: {%ssecretRef: {name: %s}}}", name, spec, name))
		}
		// Two zones are wanted: without those of the nodes there is one in the whole fleet.
		w.push(map[string]string{"shop.yaml": `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {a: b}
---
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: settings, namespace: default}
spec:
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]
  placement:
    clusterAffinity: {fieldSelector: {matchExpressions: [{key: region, operator: In, values: [eu-north-1]}]}}
    spreadConstraints: [{spreadByField: zone, minGroups: 2}]
`})
		r := w.start("one")
		there := func(region string, zones ...string) func() string {
			return func() string {
				c := read[v1alpha1.Cluster](w, "Cluster", "", "c")
				if c.Status.Region != region || !slices.Equal(c.Status.Zones, zones) || c.Spec.Region != "" || len(c.Spec.Zones) > 0 {
					return fmt.Sprintf("c is in %q %q, and its spec says %+v", c.Status.Region, c.Status.Zones, c.Spec)
				}
				return ""
			}
		}
		onC := func() string {
			list, err := w.on("Placement", "armada-system").List(w.t.Context(), metav1.ListOptions{})
			if err != nil || len(list.Items) != 1 {
				return fmt.Sprintf("%d placements: %v", len(list.Items), err)
			}
			p := read[v1alpha1.Placement](w, "Placement", "armada-system", list.Items[0].GetName())
			if len(p.Spec.Clusters) != 1 || p.Spec.Clusters[0].Name != "c" {
				return fmt.Sprintf("it is placed on %+v", p.Spec.Clusters)
			}
			return ""
		}
		w.eventually(time.Minute, there("eu-north-1", "x", "y"))
		w.eventually(time.Minute, onC)
		w.eventually(time.Minute, func() string {
			for name, region := range map[string]string{"c": "eu-north-1", "d": "us-east1"} {
				if c := read[v1alpha1.Cluster](w, "Cluster", "", name); c.Status.Summary == nil || c.Status.Summary.Region != region {
					return fmt.Sprintf("a list of clusters shows of %s %+v, want the region %s", name, c.Status.Summary, region)
				}
			}
			return ""
		})
		member, err := dynamic.NewForConfig(w.fleet.Cluster("c").RESTConfig())
		if err != nil {
			t.Fatal(err)
		}
		nodes := member.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"})
		list, err := nodes.List(w.t.Context(), metav1.ListOptions{LabelSelector: "topology.kubernetes.io/zone=y"})
		if err != nil || len(list.Items) != 1 {
			t.Fatalf("%d nodes in the zone y: %v", len(list.Items), err)
		}
		w.pass(time.Minute)
		if err := nodes.Delete(w.t.Context(), list.Items[0].GetName(), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.eventually(time.Minute, func() string {
			if c := read[v1alpha1.Cluster](w, "Cluster", "", "c"); c.Status.NodeSummary == nil || c.Status.NodeSummary.TotalNum != 1 {
				return fmt.Sprintf("c has the nodes %+v", c.Status.NodeSummary)
			}
			return there("eu-north-1", "x", "y")() + onC()
		})
		w.halt(r)
		r = w.start("one")
		w.pass(time.Minute)
		if wrong := there("eu-north-1", "x", "y")() + onC(); wrong != "" {
			t.Errorf("after a restart: %s", wrong)
		}
		w.halt(r)
	})
}
