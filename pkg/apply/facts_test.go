package apply_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// What is ours of what is allocated are the pods of workloads that a decision counts; pods of DaemonSets, of
// others and of what merely is named alike are somebody else's.
func TestOursIsWhatDecisionsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet, err := simfleet.New(simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "east", Nodes: []simfleet.NodeSpec{{Count: 3}}}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fleet.Close)
		s := newStage(t, fleet.Cluster("east").RESTConfig(), "sim", time.Minute, func(o *apply.Options) { o.Capacity, o.CapacityInterval = true, time.Second })
		template := "selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: i}]}}"
		s.quietAfter(
			s.manifest("{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: sim}, spec: {replicas: 2, "+template+"}}"),
			s.manifest("{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: log, namespace: sim}, spec: {"+template+"}}"),
		)
		pod := func(name, owner, labels, node string) {
			s.create(s.manifest(fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: sim, labels: {%s}, ownerReferences: [%s]}, spec: {nodeName: %q, containers: [{name: c, image: i, resources: {requests: {cpu: '1'}}}]}}",
				name, labels, owner, node)), "someone")
		}
		// Pods of owners that are not there would be collected.
		owned := func(kind, name string) string {
			o := s.manifest(fmt.Sprintf("{apiVersion: apps/v1, kind: %s, metadata: {name: %s, namespace: sim}, spec: {replicas: 0, %s}}", kind, name, template))
			if kind == "ReplicaSet" {
				s.create(o, "someone")
			}
			return fmt.Sprintf("{apiVersion: apps/v1, kind: %s, name: %s, uid: %q, controller: true}", kind, name, s.live(o).GetUID())
		}
		web := owned("ReplicaSet", "web-abc")
		pod("web-1", web, "pod-template-hash: abc", "east-node-1")
		pod("web-2", web, "pod-template-hash: abc", "")
		pod("other-1", owned("ReplicaSet", "other-abc"), "pod-template-hash: abc", "east-node-1")
		pod("alike", owned("ReplicaSet", "web-xyz"), "", "east-node-2")
		pod("log-1", owned("DaemonSet", "log"), "", "east-node-2")
		want := func(allocated, allocating, ours string) func() error {
			return func() error {
				facts, err := s.member.Facts(t.Context())
				if err != nil || facts.ResourceSummary == nil {
					return fmt.Errorf("no summary: %w", err)
				}
				cpu := func(l corev1.ResourceList) string { q := l[corev1.ResourceCPU]; return q.String() }
				sum := facts.ResourceSummary
				if cpu(sum.Allocated) != allocated || cpu(sum.Allocating) != allocating || cpu(sum.Ours) != ours {
					return fmt.Errorf("allocated %s, allocating %s, ours %s", cpu(sum.Allocated), cpu(sum.Allocating), cpu(sum.Ours))
				}
				return nil
			}
		}
		s.eventually("our pods are told apart", want("4", "1", "2"))

		s.member.SetResourceModels([]v1alpha1.ResourceModel{
			{Grade: 0, Ranges: []v1alpha1.ResourceModelRange{{Name: corev1.ResourceCPU, Min: resource.MustParse("0"), Max: resource.MustParse("3")}}},
			{Grade: 1, Ranges: []v1alpha1.ResourceModelRange{{Name: corev1.ResourceCPU, Min: resource.MustParse("3"), Max: resource.MustParse("100")}}},
		})
		s.eventually("nodes are counted by what is free on them", func() error {
			facts, err := s.member.Facts(t.Context())
			if err != nil {
				return err
			}
			// Of three nodes with 4 CPUs two have 2 in use.
			if got := fmt.Sprint(facts.ResourceSummary.AllocatableModelings); got != "[{0 2} {1 1}]" {
				return fmt.Errorf("grades %s", got)
			}
			return nil
		})
	})
}

// The coming and going of pods is told in a while, not each time; that of nodes at once.
func TestCapacityIsToldNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet, err := simfleet.New(simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "east", Nodes: []simfleet.NodeSpec{{Count: 2}}}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fleet.Close)
		s := newStage(t, fleet.Cluster("east").RESTConfig(), "sim", time.Minute, func(o *apply.Options) { o.Capacity = true })
		s.synced()
		pass(time.Minute)
		before := s.changeCount()
		for i := range 60 {
			pod := s.manifest("{apiVersion: v1, kind: Pod, metadata: {namespace: default}, spec: {nodeName: east-node-1, containers: [{name: c, image: i, resources: {requests: {cpu: '1'}}}]}}")
			pod.SetName(fmt.Sprint("pod-", i))
			s.create(pod, "someone")
			pass(2 * time.Second)
		}
		if n := s.changeCount() - before; n < 2 || n > 5 {
			t.Errorf("60 pods within two minutes were told %d times", n)
		}
	})
}

// Where nodes are is told with their labels: every zone that has a node, and the region if all name one.
func TestZonesAreThoseOfNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet, err := simfleet.New(simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "east", Nodes: []simfleet.NodeSpec{
			{Count: 2, Region: "eu", Zone: "b"}, {Region: "eu", Zone: "a"}, {},
		}}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fleet.Close)
		s := newStage(t, fleet.Cluster("east").RESTConfig(), "sim", time.Minute, func(o *apply.Options) { o.Capacity = true })
		in := func(want string) func() error {
			return func() error {
				facts, err := s.member.Facts(t.Context())
				if got := fmt.Sprintf("%s %v", facts.Region, facts.Zones); err != nil || got != want {
					return fmt.Errorf("it is in %s: %w", got, err)
				}
				return nil
			}
		}
		s.eventually("zones are known", in("eu [a b]"))
		node := s.manifest("{apiVersion: v1, kind: Node, metadata: {name: new, labels: {topology.kubernetes.io/zone: c, topology.kubernetes.io/region: us}}}")
		s.create(node, "someone")
		s.eventually("a node of another region", in(" [a b c]"))
		s.edit(node, `{"metadata": {"labels": {"topology.kubernetes.io/zone": "d", "topology.kubernetes.io/region": "eu"}}}`)
		s.eventually("a node that is labelled anew", in("eu [a b d]"))
	})
}
