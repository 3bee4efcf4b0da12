package hub_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// patch changes a Placement as a person with kubectl does.
func (w *world) patch(name string, body map[string]any) {
	w.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.on("Placement", "armada-system").Patch(w.t.Context(), name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: "person"}); err != nil {
		w.t.Fatal(err)
	}
}

// A record that somebody deletes or edits is written again within seconds, and nothing moves.
func TestARecordThatPeopleTouchIsWrittenAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.placed()
		w.pass(time.Minute)
		before := w.web()
		w.reset()
		if err := w.on("Placement", "armada-system").Delete(w.t.Context(), before.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.eventually(5*time.Second, func() string {
			if now := w.web(); now.UID == before.UID || len(now.Spec.Clusters) != 2 || now.Spec.Inputs != before.Spec.Inputs {
				return fmt.Sprintf("the record that was deleted is %+v", now.Spec)
			}
			return ""
		})
		w.eventually(15*time.Second, func() string { return condition(w.web().Status.Conditions, "Ready", "True") })
		w.patch(before.Name, map[string]any{"spec": map[string]any{"clusters": []any{map[string]any{"name": "a", "replicas": 8}}}})
		w.eventually(5*time.Second, func() string {
			if now := w.web(); len(now.Spec.Clusters) != 2 || now.Spec.Inputs != before.Spec.Inputs {
				return fmt.Sprintf("the record that was edited is %+v", now.Spec)
			}
			return ""
		})
		w.pass(time.Minute)
		if got := w.writes("a", "b"); len(got) > 0 {
			t.Errorf("members were written to: %q", got)
		}
		w.halt(r)
	})
}

// rebalanceAt, set by hand, has the workload scheduled afresh when its time has come, and is taken back.
func TestRebalanceByHand(t *testing.T) {
	inWorld(t, func(w *world) {
		// Divided by what is free, shares stay where they are when another cluster may take some.
		policy := func(clusters string) map[string]string {
			files := shop(8)
			files["policy.yaml"] = strings.Replace(files["policy.yaml"], "placement: {replicaScheduling: {replicaSchedulingType: Divided}}",
				"placement: {clusterAffinity: {clusterNames: ["+clusters+"]}, replicaScheduling: {replicaSchedulingType: Divided, replicaDivisionPreference: Weighted, weightPreference: {dynamicWeight: AvailableReplicas}}}", 1)
			return files
		}
		w.push(policy("a"))
		r := w.start("one")
		w.eventually(time.Minute, w.hasShares(map[string]int32{"a": 8}))
		w.push(policy("a, b"))
		w.pass(time.Minute)
		w.eventually(time.Second, w.hasShares(map[string]int32{"a": 8}))
		at := time.Now().Add(30 * time.Second).UTC()
		w.patch(w.web().Name, map[string]any{"spec": map[string]any{"rebalanceAt": at.Format(time.RFC3339)}})
		w.pass(20 * time.Second)
		if w.web().Spec.RebalanceAt == nil {
			t.Error("the wish is gone before its time")
		}
		w.eventually(40*time.Second, func() string {
			if wish := w.web().Spec.RebalanceAt; wish != nil {
				return "the wish is still there"
			}
			return ""
		})
		w.eventually(4*time.Minute, w.hasShares(map[string]int32{"a": 4, "b": 4}))
		w.halt(r)
	})
}

// crowd are so many workloads that their decisions take seconds to be written.
func crowd(n int) map[string]string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
	for i := range n {
		fmt.Fprintf(&b, `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-%03d, namespace: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "example.com/web:1"}]}}
`, i)
	}
	return map[string]string{"shop.yaml": b.String(), "policy.yaml": shop(1)["policy.yaml"]}
}

var deployments = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}

// held counts the Deployments of a member.
func (w *world) held(cluster string, n int) string {
	found := 0
	for i := range n {
		if w.fleet.Cluster(cluster).Get(deployments, "shop", fmt.Sprintf("web-%03d", i)) != nil {
			found++
		}
	}
	if found != n {
		return fmt.Sprintf("%s holds %d of %d", cluster, found, n)
	}
	return ""
}

func (w *world) recorded() map[string]string {
	list, err := w.on("Placement", "armada-system").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[string]string{}
	for _, o := range list.Items {
		p := read[v1alpha1.Placement](w, "Placement", "armada-system", o.GetName())
		found[p.Spec.Workload.Name] = fmt.Sprint(len(p.Spec.Clusters))
	}
	return found
}

// Many workloads at once are applied before all of their Placements are written: the journal has the
// decisions. A leader that dies in between is followed by one that finishes, and no object is sent twice.
func TestManyDecisionsDoNotWaitForTheirPlacements(t *testing.T) {
	const many = 300
	inWorld(t, func(w *world) {
		one := w.placed()
		w.pass(10 * time.Second)
		w.reset()
		w.push(crowd(many))
		w.eventually(4*time.Second, func() string { return w.held("a", many) + w.held("b", many) })
		if n := len(w.recorded()); n >= many {
			t.Fatalf("%d Placements are written already: nothing is seen of the journal", n)
		}
		one.away.Store(true) // It dies; the next one reads the journal.
		two := w.start("two")
		w.eventually(time.Minute, func() string {
			want := map[string]string{}
			for i := range many {
				want[fmt.Sprintf("web-%03d", i)] = "2"
			}
			if got := w.recorded(); !maps.Equal(got, want) {
				return fmt.Sprintf("%d of %d decisions are recorded", len(got), len(want))
			}
			return ""
		})
		if err := <-one.ended; err == nil {
			t.Error("the replica that was cut off ended without an error")
		}
		w.pass(time.Minute)
		sent := map[string]int{}
		for _, c := range []string{"a", "b"} {
			for _, path := range w.writes(c) {
				if strings.Contains(path, "deployments/web-") {
					sent[c+" "+path]++
				}
			}
		}
		for path, n := range sent {
			if n != 1 {
				t.Errorf("%s was sent %d times", path, n)
			}
		}
		w.eventually(time.Minute, func() string {
			pages, err := w.on("Secret", "armada-system").List(w.t.Context(), metav1.ListOptions{LabelSelector: "armada-sync.io/decisions"})
			if err != nil || len(pages.Items) == 0 {
				return fmt.Sprintf("the journal is %v, %v", pages, err)
			}
			for _, p := range pages.Items {
				if p.Object["data"] != nil {
					return p.GetName() + " is not empty"
				}
			}
			return ""
		})
		w.halt(two)
	})
}
