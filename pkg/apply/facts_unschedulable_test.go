package apply

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// pendingPod is a pod of the Deployment web that has found no node since a time.
func pendingPod(uid string, since time.Time) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{
			"name": uid, "namespace": "shop", "uid": uid, "labels": map[string]any{"pod-template-hash": "5d4"},
			"ownerReferences": []any{map[string]any{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4", "uid": "rs", "controller": true}},
		},
		"status": map[string]any{"phase": "Pending", "conditions": []any{map[string]any{
			"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": since.UTC().Format(time.RFC3339),
		}}},
	}}
}

// Pods that find no node count for their Deployment once that has lasted, and no more when they have one or
// are gone.
func TestUnschedulablePodsCountForTheirWorkload(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := newCapacity(func(v1alpha1.ObjectKey) (string, bool) { return "", false }, func() bool { return true })
	take := func(u *unstructured.Unstructured) {
		t.Helper()
		if err := c.takePod(u); err != nil {
			t.Fatal(err)
		}
	}
	take(pendingPod("old", now.Add(-10*time.Minute)))
	take(pendingPod("other", now.Add(-6*time.Minute)))
	take(pendingPod("new", now.Add(-time.Minute)))
	want := map[v1alpha1.ObjectKey]int64{{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}: 2}
	got, next := c.unschedulable(now.Add(-5 * time.Minute))
	if diff := cmp.Diff(want, got); diff != "" || !next.Equal(now.Add(-time.Minute)) {
		t.Errorf("next %s (-want +got):\n%s", next, diff)
	}
	placed := pendingPod("old", now)
	placed.Object["spec"] = map[string]any{"nodeName": "n1"}
	placed.Object["status"] = map[string]any{"phase": "Running"}
	take(placed)
	c.losePod(types.UID("other"))
	if got, _ := c.unschedulable(now.Add(-5 * time.Minute)); len(got) != 0 {
		t.Errorf("placed and gone pods still count: %v", got)
	}
}
