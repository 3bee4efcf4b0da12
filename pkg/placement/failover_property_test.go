package placement

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestNoHerd loses a cluster that is full of workloads. What moves goes where there is room, never beyond what
// a cluster can hold.
func TestNoHerd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters := make([]v1alpha1.Cluster, rapid.IntRange(3, 8).Draw(t, "clusters"))
		rooms := map[string]int64{}
		for i := range clusters {
			room := rapid.IntRange(4, 40).Draw(t, "room")
			clusters[i].Name = fmt.Sprintf("c%d", i)
			rooms[clusters[i].Name] = int64(room)
			clusters[i].Status.ResourceSummary = &v1alpha1.ResourceSummary{
				Allocatable: corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(int64(room), resource.DecimalSI)}, Ours: corev1.ResourceList{},
			}
		}
		preference := rapid.SampledFrom([]v1alpha1.ReplicaDivisionPreference{v1alpha1.Weighted, v1alpha1.Aggregated}).Draw(t, "preference")
		var requests []Request
		for i := range rapid.IntRange(1, 12).Draw(t, "workloads") {
			replicas := int64(rapid.IntRange(1, 6).Draw(t, "replicas"))
			requests = append(requests, Request{
				Workload: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("w%02d", i)},
				Replicas: &replicas, Strategy: &v1alpha1.PlacementStrategy{ReplicaScheduling: divided(preference, true)},
			})
		}
		for i, d := range Schedule(requests, NewFleet(clusters, propertyTime, Options{})) {
			if d.Error == "" {
				requests[i].Previous = record(d)
			}
		}
		long := metav1.NewTime(propertyTime.Add(-24 * 3600e9))
		lost := rapid.IntRange(0, len(clusters)-1).Draw(t, "lost")
		clusters[lost].Spec.Taints = []corev1.Taint{{Key: taintUnreachable, Effect: corev1.TaintEffectNoExecute, TimeAdded: &long}}
		used, moved := map[string]int64{}, map[string]int64{}
		for i, d := range Schedule(requests, NewFleet(clusters, propertyTime, Options{})) {
			before := map[string]int64{}
			if p := requests[i].Previous; p != nil {
				for _, c := range p.Clusters {
					before[c.Name] = *c.Replicas
				}
			}
			if d.Error != "" {
				for name, n := range before {
					used[name] += n
				}
				continue
			}
			for _, a := range d.Clusters {
				if a.Name == clusters[lost].Name {
					t.Fatalf("%s stays on the cluster that is lost", d.Workload)
				}
				used[a.Name] += *a.Replicas
				moved[a.Name] += max(0, *a.Replicas-before[a.Name])
			}
		}
		for name, n := range used {
			if n > rooms[name] {
				t.Fatalf("%s has room for %d replicas and gets %d, %d of them by failover", name, rooms[name], n, moved[name])
			}
		}
	})
}
