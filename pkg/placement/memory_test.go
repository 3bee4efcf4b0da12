package placement

import (
	"maps"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestMemoryGivesWhatScheduleGives plays plans one after the other, in which decisions are recorded
// and clusters, requests and the time change, and compares each with one that remembers nothing.
func TestMemoryGivesWhatScheduleGives(t *testing.T) {
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		clusters := drawClusters(t)
		requests := drawRequests(t, clusters)
		now := propertyTime
		var memory Memory
		for range rapid.IntRange(2, 5).Draw(t, "plans") {
			fleet := NewFleet(clusters, now, Options{})
			want, got := Schedule(requests, fleet), memory.Schedule(requests, fleet)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("a memory changes the answer (-want +got):\n%s", diff)
			}
			for _, e := range memory.entries {
				if e.stood {
					taken++
				}
			}
			requests = nextRequests(t, requests, want)
			clusters, now = nextClusters(t, clusters), now.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "minutes"))*4*time.Minute)
		}
	})
	if taken == 0 {
		t.Error("no decision ever stood")
	}
}

// nextRequests record what was decided; one of them may change.
func nextRequests(t *rapid.T, requests []Request, decisions []Decision) []Request {
	next := make([]Request, len(requests))
	for i := range requests {
		next[i] = requests[i]
		if decisions[i].Error == "" && rapid.IntRange(0, 5).Draw(t, "recorded") > 0 {
			next[i].Previous = record(decisions[i])
		}
		if next[i].Replicas != nil && rapid.IntRange(0, 5).Draw(t, "scaled") == 0 {
			n := *next[i].Replicas + 1
			next[i].Replicas = &n
		}
	}
	return next
}

// nextClusters are other values of which some differ.
func nextClusters(t *rapid.T, clusters []v1alpha1.Cluster) []v1alpha1.Cluster {
	next := make([]v1alpha1.Cluster, len(clusters))
	for i := range clusters {
		c := clusters[i].DeepCopy()
		switch pick(t, "change", "", "", "", "taint", "clean", "label", "room", "served", "leaves") {
		case "taint":
			c.Spec.Taints = []corev1.Taint{{Key: pick(t, "key", "x", taintNotReady), Effect: pick(t, "effect", corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute)}}
			if rapid.Bool().Draw(t, "since") {
				c.Spec.Taints[0].TimeAdded = &metav1.Time{Time: propertyTime}
			}
		case "clean":
			c.Spec.Taints = nil
		case "label":
			c.Labels = maps.Clone(c.Labels)
			c.Labels["tier"] = pick(t, "tier", "gold", "silver")
		case "room":
			if c.Status.ResourceSummary != nil {
				c.Status.ResourceSummary.Allocatable = cores(rapid.Int64Range(0, 12).Draw(t, "cpu"))
			}
		case "served":
			c.Status.APIEnablements = pick(t, "enablements", nil, []v1alpha1.APIEnablement{{GroupVersion: "v1"}})
		case "leaves":
			c.DeletionTimestamp = &metav1.Time{Time: propertyTime}
		}
		next[i] = *c
	}
	return next
}

// manyRequests are the workloads of a large repository: each with a policy of its own that selects two
// thirds of the clusters, in the four strategies by turns.
func manyRequests(n int) []Request {
	strategies := []v1alpha1.PlacementStrategy{
		{SpreadConstraints: []v1alpha1.SpreadConstraint{{SpreadByField: v1alpha1.SpreadByCluster, MaxGroups: 5}}},
		{ReplicaScheduling: divided(v1alpha1.Weighted, true)},
		{ReplicaScheduling: divided(v1alpha1.Aggregated, false)},
		{ReplicaScheduling: divided(v1alpha1.Weighted, true), SpreadConstraints: []v1alpha1.SpreadConstraint{
			{SpreadByField: v1alpha1.SpreadByRegion, MinGroups: 2, MaxGroups: 3}, {SpreadByField: v1alpha1.SpreadByCluster, MaxGroups: 6},
		}},
	}
	requests := make([]Request, n)
	for i := range requests {
		requests[i] = benchRequest(i, strategies[i%len(strategies)])
		replicas := int64(10)
		requests[i].Replicas = &replicas
	}
	return requests
}

// BenchmarkFleet decides 10,000 workloads over 1,000 clusters from nothing, and then again after one
// cluster's taint has changed.
func BenchmarkFleet(b *testing.B) {
	const workloads, size = 10_000, 1000
	clusters := benchClusters(size)
	for i := range clusters {
		clusters[i].Status.ResourceSummary.Allocatable[corev1.ResourceCPU] = *quantity(640)
		clusters[i].Status.ResourceSummary.Allocatable[corev1.ResourcePods] = *quantity(11000)
	}
	requests := manyRequests(workloads)
	fleet := NewFleet(clusters, time.Unix(0, 0), Options{})
	b.Run("from nothing", func(b *testing.B) {
		before := processorTime(b)
		for b.Loop() {
			var memory Memory
			placed(b, memory.Schedule(requests, fleet))
		}
		reportEach(b, before, b.N)
		b.ReportMetric(peakMegabytes(b), "peak-MB")
	})
	b.Run("after one taint", func(b *testing.B) {
		var memory Memory
		decisions := memory.Schedule(requests, fleet)
		standing := make([]Request, len(requests))
		byName := map[string]*Decision{}
		for i := range decisions {
			byName[decisions[i].Workload.Name] = &decisions[i]
		}
		for i := range requests {
			standing[i] = requests[i]
			standing[i].Previous = record(*byName[requests[i].Workload.Name])
		}
		placed(b, memory.Schedule(standing, fleet))
		tainted := append([]v1alpha1.Cluster(nil), clusters...)
		// Half of the rounds taint a cluster and half take the taint away, which touches as many.
		fleets := []func() *Fleet{
			func() *Fleet {
				tainted[1].Spec.Taints = []corev1.Taint{{Key: "maintenance", Effect: corev1.TaintEffectNoExecute}}
				return NewFleet(tainted, time.Unix(0, 0), Options{})
			},
			func() *Fleet { return NewFleet(clusters, time.Unix(0, 0), Options{}) },
		}
		runtime.GC()
		before, round, touched := processorTime(b), 0, 0
		b.ResetTimer()
		for b.Loop() {
			for _, d := range memory.Schedule(standing, fleets[round%2]()) {
				if !d.Standing {
					touched++
				}
			}
			round++
		}
		reportEach(b, before, b.N)
		b.ReportMetric(float64(touched)/float64(b.N), "moved/op")
	})
}

func placed(b *testing.B, decisions []Decision) {
	b.Helper()
	for i := range decisions {
		if decisions[i].Error != "" {
			b.Fatal(decisions[i].Error)
		}
	}
}
