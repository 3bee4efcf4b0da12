package placement

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestFailoverIsAReplan plays a cluster that turns unreachable and comes back: the share stays while
// the taint is tolerated, moves by capacity after that, and does not move back by itself.
func TestFailoverIsAReplan(t *testing.T) {
	replicas := int64(6)
	r := Request{
		Workload: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"},
		Replicas: &replicas, Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
		Strategy: &v1alpha1.PlacementStrategy{ReplicaScheduling: divided(v1alpha1.Weighted, true)},
	}
	clusters := make([]v1alpha1.Cluster, 3)
	for i := range clusters {
		clusters[i].Name = string(rune('a' + i))
		clusters[i].Status.ResourceSummary = &v1alpha1.ResourceSummary{Allocatable: cores(10), Ours: corev1.ResourceList{}}
	}
	down := metav1.NewTime(propertyTime)
	dead := []corev1.Taint{
		{Key: taintUnreachable, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &down},
		{Key: taintUnreachable, Effect: corev1.TaintEffectNoExecute, TimeAdded: &down},
	}
	steps := []struct {
		reason   string
		after    time.Duration
		taints   []corev1.Taint
		want     map[string]int64
		standing bool
		recheck  time.Duration
	}{
		{"all is well", -time.Minute, nil, map[string]int64{"a": 2, "b": 2, "c": 2}, false, 0},
		{"the cluster has just turned unreachable", 0, dead, map[string]int64{"a": 2, "b": 2, "c": 2}, true, 300 * time.Second},
		{"the toleration has a second left", 299 * time.Second, dead, map[string]int64{"a": 2, "b": 2, "c": 2}, true, 300 * time.Second},
		{"the toleration has ended", 300 * time.Second, dead, map[string]int64{"b": 3, "c": 3}, false, 0},
		{"the move stands", 400 * time.Second, dead, map[string]int64{"b": 3, "c": 3}, true, 0},
		{"the cluster is back", 900 * time.Second, nil, map[string]int64{"b": 3, "c": 3}, true, 0},
	}
	for _, step := range steps {
		clusters[0].Spec.Taints = step.taints
		d := Schedule([]Request{r}, NewFleet(clusters, propertyTime.Add(step.after), Options{}))[0]
		if diff := cmp.Diff(step.want, shares(d)); diff != "" || d.Standing != step.standing || d.Error != "" {
			t.Fatalf("%s: standing %v, %q (-want +got):\n%s", step.reason, d.Standing, d.Error, diff)
		}
		if want := propertyTime.Add(step.recheck); step.recheck > 0 != !d.RecheckAt.IsZero() || step.recheck > 0 && !d.RecheckAt.Equal(want) {
			t.Fatalf("%s: to be looked at again at %v", step.reason, d.RecheckAt)
		}
		r.Previous = record(d)
	}
}
