package placement

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestManyRegionsHoldWheneverSomeDo: of more regions than are tried one by one, as many are found as
// hold the replicas whenever the roomiest do.
func TestManyRegionsHoldWheneverSomeDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		regions, k := rapid.IntRange(13, 20).Draw(t, "regions"), rapid.IntRange(1, 6).Draw(t, "k")
		var clusters []v1alpha1.Cluster
		rooms := make([]int64, regions)
		for i := range regions {
			for j := range rapid.IntRange(1, 3).Draw(t, "clusters") {
				c := v1alpha1.Cluster{}
				c.Name, c.Spec.Region = fmt.Sprintf("c-%d-%d", i, j), fmt.Sprintf("r-%02d", i)
				room := rapid.Int64Range(0, 20).Draw(t, "room")
				c.Status.ResourceSummary = &v1alpha1.ResourceSummary{Allocatable: cores(room), Ours: corev1.ResourceList{}}
				rooms[i] += room
				clusters = append(clusters, c)
			}
		}
		n := rapid.Int64Range(1, 200).Draw(t, "n")
		r := Request{
			Replicas: &n, Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
			Strategy: &v1alpha1.PlacementStrategy{
				SpreadConstraints: []v1alpha1.SpreadConstraint{{SpreadByField: v1alpha1.SpreadByRegion, MinGroups: k, MaxGroups: k}},
				ReplicaScheduling: divided(v1alpha1.Weighted, true),
			},
		}
		d := Schedule([]Request{r}, NewFleet(clusters, propertyTime, Options{}))[0]
		slices.Sort(rooms)
		most := int64(0)
		for _, room := range rooms[regions-k:] {
			most += room
		}
		if (most >= n) != (d.Error == "") {
			t.Fatalf("%d regions have room for %d, %d are asked for: %q", k, most, n, d.Error)
		}
	})
}

// TestGreedySearchKeepsTheConstraints: with too many groups for an exact search by several fields,
// what is chosen satisfies every constraint, and the answer says that the search was bounded.
func TestGreedySearchKeepsTheConstraints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters := make([]v1alpha1.Cluster, rapid.IntRange(20, 60).Draw(t, "clusters"))
		for i := range clusters {
			c := &clusters[i]
			c.Name, c.Spec.Region = fmt.Sprintf("c-%02d", i), fmt.Sprintf("r-%02d", i%14)
			c.Spec.Zones = []string{fmt.Sprintf("z-%d", rapid.IntRange(0, 5).Draw(t, "zone")), fmt.Sprintf("z-%d", rapid.IntRange(0, 5).Draw(t, "zone"))}
			c.Status.ResourceSummary = &v1alpha1.ResourceSummary{Allocatable: cores(rapid.Int64Range(1, 9).Draw(t, "room")), Ours: corev1.ResourceList{}}
		}
		n := rapid.Int64Range(1, 40).Draw(t, "n")
		r := Request{
			Replicas: &n, Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
			Strategy: &v1alpha1.PlacementStrategy{
				SpreadConstraints: []v1alpha1.SpreadConstraint{
					{SpreadByField: v1alpha1.SpreadByRegion, MinGroups: 2, MaxGroups: 6},
					{SpreadByField: v1alpha1.SpreadByZone, MinGroups: 2, MaxGroups: 4},
					{SpreadByField: v1alpha1.SpreadByCluster, MaxGroups: 8},
				},
				ReplicaScheduling: divided(v1alpha1.Weighted, true),
			},
		}
		s := newScheduler(NewFleet(clusters, propertyTime, Options{}))
		q := s.fleet.newQuery(&r)
		a := s.try(q, q.order()[0])
		if fail := a.run(); fail != nil {
			return
		}
		var picked []int
		for _, c := range a.chosen {
			picked = append(picked, slices.Index(a.eligible, c))
		}
		if !newSpread(a).admissible(picked) {
			t.Fatalf("the choice %v breaks a constraint", picked)
		}
		if !slices.ContainsFunc(a.notes, func(n Note) bool { return n.ID == "spread-search-bounded" }) {
			t.Fatalf("nothing says that the search was bounded: %+v", a.notes)
		}
	})
}
