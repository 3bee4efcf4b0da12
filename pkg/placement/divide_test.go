package placement

import (
	"cmp"
	"math"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// divideSlowly is the division by its definition: one seat after the other. It returns nil where the
// replicas do not fit.
func divideSlowly(how division, n int64, room, before []int64) []int64 {
	weights, rest, base := slices.Clone(room), n, make([]int64, len(room))
	assigned := int64(0)
	for _, b := range before {
		assigned += b
	}
	switch {
	case how == static:
		for i := range weights {
			weights[i] = 1
		}
	case assigned == 0:
	case n == assigned:
		return before
	case n < assigned:
		copy(weights, before)
	default:
		copy(base, before)
		rest = n - assigned
		for i := range weights {
			weights[i] = max(room[i]-before[i], 0)
		}
	}
	total := int64(0)
	for _, w := range weights {
		total += w
	}
	if how != static && total < rest {
		return nil
	}
	if how == aggregated {
		cutToPrefix(weights, before, rest)
	}
	parties := make([]seat, len(weights))
	for i, w := range weights {
		parties[i] = seat{weight: w, most: math.MaxInt64}
	}
	got, _ := websterSeatBySeat(rest, parties)
	for i := range got {
		got[i] += base[i]
	}
	return got
}

// cutToPrefix sets the weights of all clusters to 0 that are not needed to hold n.
func cutToPrefix(weights, before []int64, n int64) {
	order := make([]int, len(weights))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int {
		return cmp.Or(-cmp.Compare(min(before[x], 1), min(before[y], 1)), cmp.Compare(weights[y], weights[x]), cmp.Compare(x, y))
	})
	held := int64(0)
	for _, i := range order {
		if held >= n {
			weights[i] = 0
		}
		held += weights[i]
	}
}

func TestDivisionIsSeatBySeat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 6).Draw(t, "clusters")
		clusters := make([]v1alpha1.Cluster, count)
		room, before := make([]int64, count), make([]int64, count)
		decided := rapid.Bool().Draw(t, "decided")
		r := Request{
			Workload: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"},
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}, Strategy: &v1alpha1.PlacementStrategy{},
		}
		if decided {
			r.Previous = &Previous{}
		}
		for i := range clusters {
			clusters[i].Name = string(rune('a' + i))
			room[i] = rapid.Int64Range(0, 15).Draw(t, "room")
			clusters[i].Status.ResourceSummary = &v1alpha1.ResourceSummary{Allocatable: cores(room[i]), Ours: corev1.ResourceList{}}
			if before[i] = rapid.Int64Range(0, 9).Draw(t, "before"); !decided {
				before[i] = 0
			}
			if before[i] > 0 {
				r.Previous.Clusters = append(r.Previous.Clusters, v1alpha1.TargetCluster{Name: clusters[i].Name, Replicas: &before[i]})
			}
		}
		n := rapid.Int64Range(1, 40).Draw(t, "n")
		r.Replicas = &n
		how := pick(t, "division", static, dynamic, aggregated)
		r.Strategy.ReplicaScheduling = divided(v1alpha1.Weighted, how == dynamic)
		if how == aggregated {
			r.Strategy.ReplicaScheduling = divided(v1alpha1.Aggregated, false)
		}
		d := Schedule([]Request{r}, NewFleet(clusters, propertyTime, Options{}))[0]
		want := divideSlowly(how, n, room, before)
		if (want == nil) != (d.Error != "") {
			t.Fatalf("want %v, error %q", want, d.Error)
		}
		if want == nil {
			return
		}
		got := make([]int64, count)
		for _, c := range d.Clusters {
			got[c.Name[0]-'a'] = *c.Replicas
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%s of %d over %v, before %v (-seat by seat +got):\n%s", how, n, room, before, diff)
		}
	})
}

// TestBoundsFailOnlyWhereTheyMust: equal weights over n clusters, of which as many are given up as
// minReplicas demands.
func TestBoundsFailOnlyWhereTheyMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clusters := make([]v1alpha1.Cluster, rapid.IntRange(1, 6).Draw(t, "clusters"))
		for i := range clusters {
			clusters[i].Name = string(rune('a' + i))
		}
		n, least := rapid.Int64Range(1, 30).Draw(t, "n"), rapid.Int64Range(0, 5).Draw(t, "least")
		most := max(least, 1) + rapid.Int64Range(0, 5).Draw(t, "more")
		r := Request{Replicas: &n, Strategy: &v1alpha1.PlacementStrategy{ReplicaScheduling: divided(v1alpha1.Weighted, false)}}
		r.Strategy.ReplicaScheduling.MinReplicas, r.Strategy.ReplicaScheduling.MaxReplicas = &least, &most
		d := Schedule([]Request{r}, NewFleet(clusters, propertyTime, Options{}))[0]
		used := int64(len(clusters))
		for least > 0 && used*least > n {
			used--
		}
		if possible := used > 0 && n <= used*most; possible != (d.Error == "") {
			t.Fatalf("%d replicas over %d clusters, from %d to %d each: %q", n, len(clusters), least, most, d.Error)
		}
	})
}

func TestCompletions(t *testing.T) {
	cases := []struct {
		reason      string
		completions int64
		shares      []int64
		want        []int64
	}{
		{"completions follow the shares", 12, []int64{4, 2}, []int64{8, 4}},
		{"no cluster runs pods with nothing to complete", 3, []int64{1000, 1, 1}, []int64{1, 1, 1}},
		{"a cluster without a share completes nothing", 5, []int64{0, 5}, []int64{0, 5}},
		{"nothing to divide", 0, []int64{1}, []int64{0}},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			if diff := gocmp.Diff(tc.want, Completions(tc.completions, tc.shares)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
