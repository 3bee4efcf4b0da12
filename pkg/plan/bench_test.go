package plan_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// BenchmarkPreview measures the sizes that the preview promises: 12 clusters under 0.5 s, 1,000 workloads on
// 50 clusters under 2 s and 500 on 1,000 under 10 s, on two cores, base and head plan included. It is
// computed as the command does it, by one planner.
func BenchmarkPreview(b *testing.B) {
	for _, size := range []struct{ workloads, clusters int }{{100, 12}, {1000, 50}, {500, 1000}} {
		b.Run(fmt.Sprintf("%dx%d", size.workloads, size.clusters), func(b *testing.B) {
			base, head, snap := large(size.workloads, "1"), large(size.workloads, "2"), fleetOf(size.clusters)
			began := processorTime(b)
			for b.Loop() {
				planner := plan.NewPlanner(plan.Options{})
				before := planner.Compute(base, snap)
				report := plan.Preview(before, planner.Compute(head, plan.NextSnapshot(before, snap)), plan.PreviewOptions{})
				if report.Summary.Objects.Configure == 0 {
					b.Fatal("nothing changes")
				}
			}
			b.ReportMetric((processorTime(b)-began).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// processorTime is what the process has used so far: on a busy machine the clock measures the others.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkReplan measures a plan in which nothing changed, by a planner that remembers.
func BenchmarkReplan(b *testing.B) {
	trees, snap := large(1000, "1"), fleetOf(50)
	planner := plan.NewPlanner(plan.Options{})
	snap = plan.NextSnapshot(planner.Compute(trees, snap), snap)
	for b.Loop() {
		planner.Compute(trees, snap)
	}
}

// large is one source with Deployments that are divided over all clusters, and an override of a fifth of
// them.
func large(workloads int, version string) plan.Trees {
	s := plan.Source{}
	s.Source, s.Revision = "shop", "main@sha1:"+version
	s.Spec.SetDefaults()
	for i := range workloads {
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": fmt.Sprintf("w-%04d", i), "namespace": "shop"},
			"spec": map[string]any{"replicas": int64(100), "template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"name": "c", "image": "registry.example.com/app:" + version, "env": []any{
					map[string]any{"name": "A", "value": "a"}, map[string]any{"name": "B", "value": "b"},
				}}},
			}}},
		}}
		s.Objects = append(s.Objects, render.Object{
			Unstructured: u, Source: "shop", Unit: "app.yaml", ContentDigest: render.Digest(u),
			Origin: render.Origin{Kind: render.OriginFile, Source: fmt.Sprintf("app.yaml:%d", i*20+1)},
		})
	}
	selectors := []v1alpha1.ResourceSelector{{APIVersion: "apps/v1", Kind: "Deployment"}}
	s.PropagationPolicies = []v1alpha1.PropagationPolicy{{
		ObjectMeta: metav1.ObjectMeta{Name: "all", Namespace: "shop"},
		Spec: v1alpha1.PropagationSpec{ResourceSelectors: selectors, Placement: v1alpha1.PlacementStrategy{
			ReplicaScheduling: &v1alpha1.ReplicaSchedulingStrategy{},
		}},
		Position: v1alpha1.Position{File: "policy.yaml", Line: 1},
	}}
	s.PropagationPolicies[0].Spec.SetDefaults()
	s.OverridePolicies = []v1alpha1.OverridePolicy{{
		ObjectMeta: metav1.ObjectMeta{Name: "eu", Namespace: "shop"},
		Spec: v1alpha1.OverrideSpec{ResourceSelectors: selectors, OverrideRules: []v1alpha1.RuleWithCluster{{
			TargetCluster: &v1alpha1.ClusterAffinity{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"region": "r1"}}},
			Overriders: v1alpha1.Overriders{JSONPatch: []v1alpha1.JSONPatchOperation{{
				Op: v1alpha1.OperatorAdd, Path: "/spec/template/spec/priorityClassName", Value: &apiextensionsv1.JSON{Raw: []byte(`"high"`)},
			}}},
		}}},
		Position: v1alpha1.Position{File: "override.yaml", Line: 1},
	}}
	return plan.Trees{s}
}

func fleetOf(clusters int) plan.Snapshot {
	snap := plan.Snapshot{Now: time.Unix(0, 0).UTC(), Members: map[string]plan.Member{}}
	snap.Config.SetDefaults()
	for i := range clusters {
		c := v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c-%04d", i), Labels: map[string]string{"region": fmt.Sprintf("r%d", i%5)}}}
		snap.Clusters = append(snap.Clusters, c)
		snap.Members[c.Name] = plan.Member{Known: true, Reachable: true}
	}
	return snap
}
