package placement

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// benchClusters make a fleet whose clusters serve 160 kinds each, in 20 regions.
func benchClusters(n int) []v1alpha1.Cluster {
	var served []v1alpha1.APIEnablement
	for g := range 20 {
		e := v1alpha1.APIEnablement{GroupVersion: fmt.Sprintf("group%d.example.com/v1", g)}
		if g == 0 {
			e.GroupVersion = "apps/v1"
			e.Resources = append(e.Resources, v1alpha1.APIResource{Name: "deployments", Kind: "Deployment"})
		}
		for k := len(e.Resources); k < 8; k++ {
			e.Resources = append(e.Resources, v1alpha1.APIResource{Kind: fmt.Sprintf("Kind%d", k)})
		}
		served = append(served, e)
	}
	clusters := make([]v1alpha1.Cluster, n)
	for i := range clusters {
		list := func(cpu, memory, pods int64) corev1.ResourceList {
			return corev1.ResourceList{
				corev1.ResourceCPU:    *resource.NewQuantity(cpu, resource.DecimalSI),
				corev1.ResourceMemory: *resource.NewQuantity(memory<<30, resource.BinarySI),
				corev1.ResourcePods:   *resource.NewQuantity(pods, resource.DecimalSI),
			}
		}
		clusters[i] = v1alpha1.Cluster{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("cluster-%04d", i), Labels: map[string]string{
				"tier": []string{"gold", "silver", "bronze"}[i%3], "env": "prod", "team": fmt.Sprintf("team-%d", i%10),
			}},
			Spec: v1alpha1.ClusterSpec{Provider: []string{"aws", "gcp"}[i%2], Region: fmt.Sprintf("region-%02d", i%20), Zones: []string{"a"}},
			Status: v1alpha1.ClusterStatus{
				APIEnablements: served,
				ResourceSummary: &v1alpha1.ResourceSummary{
					Allocatable: list(64, 256, 1100), Allocated: list(int64(i%17), int64(i%29), 100), Ours: list(0, 0, 0),
				},
			},
		}
	}
	return clusters
}

func benchRequest(i int, strategy v1alpha1.PlacementStrategy) Request {
	replicas := int64(50)
	strategy.ClusterAffinity = &v1alpha1.ClusterAffinity{LabelSelector: &metav1.LabelSelector{
		MatchLabels:      map[string]string{"env": "prod"},
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: metav1.LabelSelectorOpIn, Values: []string{"gold", "silver"}}},
	}}
	return Request{
		Workload: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("web-%d", i)},
		Replicas: &replicas, Strategy: &strategy,
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
	}
}

func divided(preference v1alpha1.ReplicaDivisionPreference, dynamic bool) *v1alpha1.ReplicaSchedulingStrategy {
	s := &v1alpha1.ReplicaSchedulingStrategy{ReplicaSchedulingType: v1alpha1.Divided, ReplicaDivisionPreference: preference}
	if dynamic {
		s.WeightPreference = &v1alpha1.ClusterPreferences{DynamicWeight: v1alpha1.AvailableReplicas}
	}
	return s
}

// BenchmarkDecision decides one workload from nothing, each with a policy of its own.
func BenchmarkDecision(b *testing.B) {
	for _, n := range []int{100, 1000} {
		fleet := NewFleet(benchClusters(n), time.Unix(0, 0), Options{})
		weights := divided(v1alpha1.Weighted, false)
		weights.WeightPreference = &v1alpha1.ClusterPreferences{StaticWeightList: []v1alpha1.StaticClusterWeight{
			{TargetCluster: v1alpha1.ClusterAffinity{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "gold"}}}, Weight: 2},
			{TargetCluster: v1alpha1.ClusterAffinity{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "silver"}}}, Weight: 1},
		}}
		for _, c := range []struct {
			name     string
			strategy v1alpha1.PlacementStrategy
		}{
			{"Duplicated", v1alpha1.PlacementStrategy{}},
			{"Static", v1alpha1.PlacementStrategy{ReplicaScheduling: weights}},
			{"Dynamic", v1alpha1.PlacementStrategy{ReplicaScheduling: divided(v1alpha1.Weighted, true)}},
			{"Aggregated", v1alpha1.PlacementStrategy{ReplicaScheduling: divided(v1alpha1.Aggregated, false)}},
			{"Regions8to10", v1alpha1.PlacementStrategy{
				ReplicaScheduling: divided(v1alpha1.Weighted, true),
				SpreadConstraints: []v1alpha1.SpreadConstraint{
					{SpreadByField: v1alpha1.SpreadByRegion, MinGroups: 8, MaxGroups: 10},
					{SpreadByField: v1alpha1.SpreadByCluster, MinGroups: 1, MaxGroups: 30},
				},
			}},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				// A scheduler is made once for all workloads; so is it here, for a thousand of them.
				const batch = 200
				requests := make([]Request, batch)
				for i := range requests {
					requests[i] = benchRequest(i, c.strategy)
				}
				b.ReportAllocs()
				done, before := 0, processorTime(b)
				for b.Loop() {
					for _, d := range Schedule(requests, fleet) {
						if d.Error != "" {
							b.Fatal(d.Error)
						}
					}
					done += batch
				}
				reportEach(b, before, done)
			})
		}
	}
}

// BenchmarkGrades decides over clusters with node-grade models of nine grades.
func BenchmarkGrades(b *testing.B) {
	clusters := benchClusters(10)
	for i := range clusters {
		for g := range uint(9) {
			clusters[i].Spec.ResourceModels = append(clusters[i].Spec.ResourceModels, v1alpha1.ResourceModel{Grade: g, Ranges: []v1alpha1.ResourceModelRange{
				{Name: corev1.ResourceCPU, Min: *resource.NewQuantity(1<<g, resource.DecimalSI)},
				{Name: corev1.ResourceMemory, Min: *resource.NewQuantity(4<<(g+30), resource.BinarySI)},
			}})
			clusters[i].Status.ResourceSummary.AllocatableModelings = append(clusters[i].Status.ResourceSummary.AllocatableModelings, v1alpha1.AllocatableModeling{Grade: g, Count: 500 / 9})
		}
	}
	fleet := NewFleet(clusters, time.Unix(0, 0), Options{})
	r := benchRequest(0, v1alpha1.PlacementStrategy{ReplicaScheduling: divided(v1alpha1.Weighted, true)})
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		if d := Schedule([]Request{r}, fleet)[0]; d.Error != "" {
			b.Fatal(d.Error)
		}
	}
	reportEach(b, before, b.N)
}

// reportEach reports what one of some equal pieces of work has cost: on the clock, and on the processor,
// which others who use the machine disturb less.
func reportEach(b *testing.B, before time.Duration, done int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1e6/float64(done), "ms/each")
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/1e6/float64(done), "cpu-ms/each")
}

// processorTime is what the process has used of all cores, the collector included: what a decision
// costs also where others use the machine.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMegabytes is the most memory that the process has held so far.
func peakMegabytes(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Maxrss) / 1024
}

func quantity(n int64) *resource.Quantity { return resource.NewQuantity(n, resource.DecimalSI) }
