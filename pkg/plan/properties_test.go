package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// world is a random fleet with two revisions of random sources.
type world struct {
	files []txtar.File
}

var clusterNames = []string{"ap-1", "eu-1", "eu-2", "us-1"}

func drawWorld(t *rapid.T) world {
	var w world
	var fleet strings.Builder
	for i, name := range clusterNames {
		if i > 0 {
			fleet.WriteString("---\n")
		}
		fmt.Fprintf(&fleet, "apiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: %s, labels: {tier: %s}}\nspec: {region: %s}\n",
			name, rapid.SampledFrom([]string{"gold", "silver"}).Draw(t, "tier"), name[:2])
	}
	w.files = append(w.files, txtar.File{Name: "fleet.yaml", Data: []byte(fleet.String())})
	for _, source := range []string{"a", "b"} {
		objects, policies := drawObjects(t), drawPolicies(t, source)
		w.add("base", source, objects, drawAffinities(t, policies))
		// Most changes leave most of a repository as it is.
		if rapid.IntRange(0, 2).Draw(t, "new objects") == 0 {
			objects = drawObjects(t)
		}
		if rapid.IntRange(0, 2).Draw(t, "new policies") == 0 {
			policies = drawPolicies(t, source)
		}
		w.add("head", source, objects, drawAffinities(t, policies))
	}
	return w
}

func (w *world) add(side, source string, objects []byte, policies string) {
	w.files = append(w.files,
		txtar.File{Name: side + "/" + source + "/objects.yaml", Data: objects},
		txtar.File{Name: side + "/" + source + "/policies.yaml", Data: []byte(policies)})
}

func drawObjects(t *rapid.T) []byte {
	var docs []string
	for _, namespace := range []string{"one", "two"} {
		if rapid.Bool().Draw(t, "namespace") {
			docs = append(docs, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", namespace))
		}
		for _, name := range []string{"x", "z"} {
			if rapid.Bool().Draw(t, "config") {
				docs = append(docs, fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s, labels: {l: %s}}\ndata: {k: %q}\n",
					name, namespace, name, rapid.SampledFrom([]string{"1", "2"}).Draw(t, "value")))
			}
			if rapid.Bool().Draw(t, "deployment") {
				docs = append(docs, fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: %[2]s, labels: {l: %[1]s}}
spec:
  replicas: %[3]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers: [{name: c, image: "i:%[4]d"}]
      volumes: [{name: v, configMap: {name: %[1]s}}]
`, name, namespace, rapid.IntRange(0, 5).Draw(t, "replicas"), rapid.IntRange(1, 2).Draw(t, "image")))
			}
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "broken") == 0 {
		docs = append(docs, "apiVersion: v1\nkind: ConfigMap\nmetadata: {labels: {a: 1}, name: broken, namespace: one}\n")
	}
	return []byte(strings.Join(docs, "---\n"))
}

// drawAffinities replaces the word AFFINITY.
func drawAffinities(t *rapid.T, policies string) string {
	for strings.Contains(policies, "AFFINITY") {
		policies = strings.Replace(policies, "AFFINITY", drawAffinity(t), 1)
	}
	return policies
}

func drawAffinity(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		"{}", "{labelSelector: {matchLabels: {tier: gold}}}", "{clusterNames: [eu-1]}", "{exclude: [us-1]}",
		"{fieldSelector: {matchExpressions: [{key: region, operator: In, values: [eu, ap]}]}}", "{clusterNames: [mars]}",
	}).Draw(t, "affinity")
}

// drawPolicies leaves the affinities open.
func drawPolicies(t *rapid.T, source string) string {
	var docs []string
	for i := range rapid.IntRange(0, 3).Draw(t, "policies") {
		selector := rapid.SampledFrom([]string{
			"{apiVersion: v1, kind: ConfigMap}", "{apiVersion: apps/v1, kind: Deployment}", "{apiVersion: apps/v1, kind: Deployment, name: x}",
			"{apiVersion: v1, kind: ConfigMap, labelSelector: {matchLabels: {l: z}}}",
		}).Draw(t, "selector")
		extra := rapid.SampledFrom([]string{"", "  propagateDeps: true\n", "  priority: 1\n", "  suspension: {dispatchingOnClusters: {clusterNames: [eu-2]}}\n", "  preserveResourcesOnDeletion: true\n"}).Draw(t, "extra")
		division := rapid.SampledFrom([]string{"", "    replicaScheduling: {replicaSchedulingType: Divided}\n"}).Draw(t, "division")
		metadata, kind := fmt.Sprintf("{name: %s-%d, namespace: one}", source, i), "PropagationPolicy"
		if rapid.Bool().Draw(t, "wide") {
			metadata, kind = fmt.Sprintf("{name: %s-%d}", source, i), "ClusterPropagationPolicy"
		}
		docs = append(docs, fmt.Sprintf("apiVersion: armada-sync.io/v1alpha1\nkind: %s\nmetadata: %s\nspec:\n  resourceSelectors:\n  - %s\n%s  placement:\n    clusterAffinity: %s\n%s",
			kind, metadata, selector, extra, "AFFINITY", division))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "overrides") {
		overrider := rapid.SampledFrom([]string{
			"labelsOverrider: [{operator: add, value: {by: override}}]",
			"plaintext: [{operator: replace, path: /data/k, value: overridden}]",
			"plaintext: [{operator: remove, path: /data/missing}]",
			"plaintext: [{operator: replace, path: /spec/replicas, value: 7, ifMissing: skip}]",
		}).Draw(t, "overrider")
		docs = append(docs, fmt.Sprintf("apiVersion: armada-sync.io/v1alpha1\nkind: OverridePolicy\nmetadata: {name: %s-%d, namespace: one}\nspec:\n  overrideRules:\n  - targetCluster: %s\n    overriders:\n      %s\n",
			source, i, "AFFINITY", overrider))
	}
	return strings.Join(docs, "---\n")
}

// read gives the world as a plan sees it, with the base applied.
func (w world) read(t failer) (base, head plan.Trees, snap plan.Snapshot) {
	t.Helper()
	snap = loadFleet(t, w.files[0].Data)
	base, head = loadTrees(t, w.files, "base", nil), loadTrees(t, w.files, "head", nil)
	return base, head, plan.NextSnapshot(plan.Compute(base, snap), snap)
}

func planJSON(t failer, p *plan.Plan) []byte {
	t.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte(":null")) && bytes.Contains(raw, []byte(`"clusters":null`)) {
		t.Fatalf("null list in %s", raw)
	}
	return raw
}

// check runs a property on random worlds.
func check(t *testing.T, property func(t *rapid.T, w world)) {
	rapid.Check(t, func(r *rapid.T) { property(r, drawWorld(r)) })
}

// TestReplanIsEmpty: when a plan was carried out, and moves have drained, nothing is left to do, and
// nothing changes any more.
func TestReplanIsEmpty(t *testing.T) {
	check(t, func(t *rapid.T, w world) {
		_, head, snap := w.read(t)
		planner := plan.NewPlanner(plan.Options{})
		for range 4 {
			snap = plan.NextSnapshot(planner.Compute(head, snap), snap)
			snap.Now = snap.Now.Add(time.Hour)
		}
		p := planner.Compute(head, snap)
		for _, c := range p.Clusters {
			for _, ch := range c.Objects {
				// What waits for a copy that cannot come, since an override fails or a policy is suspended
				// there, waits for good.
				stuck := ch.Gate == v1alpha1.GateMove.Of("stuck") || ch.Gate == v1alpha1.GateMove.Of("together")
				if ch.Action != v1alpha1.ActionUnchanged && ch.Action != v1alpha1.ActionSkip && !stuck {
					t.Fatalf("%s: still %s %s [%s] (%s)", c.Name, ch.Action, ch.ObjectReference, ch.Gate, ch.Reason)
				}
			}
		}
		again := plan.NextPlacements(p, snap)
		if diff := cmp.Diff(snap.Placements, again); diff != "" {
			t.Fatalf("records change without a reason:\n%s", diff)
		}
	})
}

// TestOrderDoesNotShow: permuted sources, documents, policies and clusters give the same bytes, and
// a planner that remembers gives those of one that does not.
func TestOrderDoesNotShow(t *testing.T) {
	check(t, func(t *rapid.T, w world) {
		base, head, snap := w.read(t)
		want := planJSON(t, plan.Compute(head, snap))
		planner := plan.NewPlanner(plan.Options{})
		planner.Compute(base, snap)
		if got := planJSON(t, planner.Compute(head, snap)); !bytes.Equal(got, want) {
			t.Fatalf("memory shows:\n%s\n%s", got, want)
		}
		shuffled := slices.Clone(head)
		for i := range shuffled {
			s := &shuffled[i]
			s.Objects = rapid.Permutation(s.Objects).Draw(t, "objects")
			s.PropagationPolicies = rapid.Permutation(s.PropagationPolicies).Draw(t, "policies")
			s.OverridePolicies = rapid.Permutation(s.OverridePolicies).Draw(t, "overrides")
		}
		shuffled = rapid.Permutation(shuffled).Draw(t, "sources")
		other := snap
		other.Clusters = rapid.Permutation(snap.Clusters).Draw(t, "clusters")
		other.Placements = rapid.Permutation(snap.Placements).Draw(t, "placements")
		if got := planJSON(t, plan.Compute(shuffled, other)); !bytes.Equal(got, want) {
			t.Fatalf("order shows:\n%s\n%s", got, want)
		}
	})
}

// TestPruneIsProven: what is pruned is held and of a source that loaded whole; it is in no tree of
// that source, or a decision that succeeded names other clusters and none of them is this one.
func TestPruneIsProven(t *testing.T) {
	check(t, func(t *rapid.T, w world) {
		_, head, snap := w.read(t)
		p := plan.Compute(head, snap)
		declared := map[v1alpha1.ObjectKey]bool{}
		sources := map[string]plan.Source{}
		for _, s := range head {
			sources[s.Source] = s
			for _, o := range s.Objects {
				declared[o.Reference().Key()] = true
			}
		}
		entries := map[v1alpha1.ObjectKey]plan.PlacementEntry{}
		for _, e := range p.Placements {
			entries[e.Workload.Key()] = e
		}
		for _, c := range p.Clusters {
			for _, ch := range c.Objects {
				if ch.Action != v1alpha1.ActionPrune {
					continue
				}
				held := snap.Members[c.Name].Objects.Get(ch.Key())
				if held == nil {
					t.Fatalf("%s: prunes %s, which it does not hold", c.Name, ch.ObjectReference)
				}
				switch s := sources[held.Source]; {
				case !s.Complete() || s.Stale || s.Source == "":
					t.Fatalf("%s: prunes %s of a source that did not load whole", c.Name, ch.ObjectReference)
				case !declared[ch.Key()]:
					continue
				}
				e, owned := entries[ch.Key()]
				if owned && (e.Error != "" || slices.ContainsFunc(e.Clusters, func(a placement.Assignment) bool { return a.Name == c.Name })) {
					t.Fatalf("%s: prunes %s against its decision %+v", c.Name, ch.ObjectReference, e)
				}
			}
		}
	})
}

// TestAHealthyCopyStays: whatever a plan removes now, a Deployment that stays in Git and had a healthy
// copy keeps one, without counting copies that are only being made.
func TestAHealthyCopyStays(t *testing.T) {
	check(t, func(t *rapid.T, w world) {
		_, head, snap := w.read(t)
		sicken(t, snap)
		for range 3 {
			p := plan.Compute(head, snap)
			inGit := map[v1alpha1.ObjectKey]bool{}
			for _, e := range p.Placements {
				inGit[e.Workload.Key()] = e.Workload.Kind == "Deployment" && len(e.Clusters) > 0
			}
			before, after := map[v1alpha1.ObjectKey]int{}, map[v1alpha1.ObjectKey]int{}
			for _, c := range p.Clusters {
				for _, ch := range c.Objects {
					held := snap.Members[c.Name].Objects.Get(ch.Key())
					if !inGit[ch.Key()] || held == nil || held.Health != v1alpha1.HealthHealthy {
						continue
					}
					before[ch.Key()]++
					if ch.Action != v1alpha1.ActionPrune || ch.Gate != "" {
						after[ch.Key()]++
					}
				}
			}
			for key, n := range before {
				if n > 0 && after[key] == 0 {
					t.Fatalf("%s loses its last healthy copy", key)
				}
			}
			snap = plan.NextSnapshot(p, snap)
			sicken(t, snap)
			snap.Now = snap.Now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "seconds")) * time.Second)
		}
	})
}

// sicken makes some held Deployments unhealthy.
func sicken(t *rapid.T, snap plan.Snapshot) {
	for _, name := range clusterNames {
		m := snap.Members[name]
		objects := m.Objects.ByKey()
		for held := range m.Objects.All() {
			if held.Kind == "Deployment" && rapid.IntRange(0, 2).Draw(t, "sick") == 0 {
				sick := *held
				sick.Health = v1alpha1.HealthDegraded
				objects[held.Key()] = &sick
			}
		}
		m.Objects = plan.InventoryOf(objects)
		snap.Members[name] = m
	}
}

// TestPreviewSaysWhatExecutionDoes: with the base applied, the report counts and names exactly what
// the head plan does, object by object.
func TestPreviewSaysWhatExecutionDoes(t *testing.T) {
	check(t, func(t *rapid.T, w world) {
		base, head, snap := w.read(t)
		for range 4 {
			snap = plan.NextSnapshot(plan.Compute(base, snap), snap)
			snap.Now = snap.Now.Add(time.Hour)
		}
		before := plan.Compute(base, snap)
		report := plan.Preview(before, plan.Compute(head, plan.NextSnapshot(before, snap)), plan.PreviewOptions{})
		said := map[string]bool{}
		for _, g := range report.Groups {
			for _, o := range g.Objects {
				for _, c := range g.Clusters {
					said[fmt.Sprintf("%s %s %s", c, g.Action, o.Key())] = true
				}
			}
		}
		done := map[string]bool{}
		for _, c := range plan.Compute(head, snap).Clusters {
			for _, ch := range c.Objects {
				switch ch.Action {
				case v1alpha1.ActionCreate, v1alpha1.ActionConfigure, v1alpha1.ActionPrune:
					done[fmt.Sprintf("%s %s %s", c.Name, ch.Action, ch.Key())] = true
				case v1alpha1.ActionUnchanged, v1alpha1.ActionSkip:
				}
			}
		}
		if diff := cmp.Diff(done, said); diff != "" {
			t.Fatalf("done (-) and said (+):\n%s", diff)
		}
		o := report.Summary.Objects
		if o.Create+o.Configure+o.Prune != len(done) {
			t.Fatalf("counted %+v, done %d", o, len(done))
		}
	})
}

// TestClusterPlanIsComplete: it holds a manifest for whatever it writes, survives JSON, orders what
// others need first, and lists in its sets whatever the cluster holds afterwards.
func TestClusterPlanIsComplete(t *testing.T) {
	check(t, func(t *rapid.T, w world) {
		_, head, snap := w.read(t)
		p := plan.Compute(head, snap)
		for _, c := range p.Clusters {
			cp, err := p.ClusterPlan(c.Name)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(cp)
			if err != nil {
				t.Fatal(err)
			}
			var back plan.ClusterPlan
			if err := json.Unmarshal(raw, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(cp, back); diff != "" {
				t.Fatalf("JSON loses something:\n%s", diff)
			}
			if len(cp.Operations) != len(c.Objects) {
				t.Fatalf("%d operations for %d changes", len(cp.Operations), len(c.Objects))
			}
			pruning := false
			for _, op := range cp.Operations {
				writes := op.Action == v1alpha1.ActionCreate || op.Action == v1alpha1.ActionConfigure
				if writes != (op.Manifest != nil) {
					t.Fatalf("%s %s: manifest %v", op.Action, op.ObjectReference, op.Manifest)
				}
				if pruning && op.Action != v1alpha1.ActionPrune {
					t.Fatalf("%s %s after a prune", op.Action, op.ObjectReference)
				}
				pruning = op.Action == v1alpha1.ActionPrune
			}
		}
	})
}
