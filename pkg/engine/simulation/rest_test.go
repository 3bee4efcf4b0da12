package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// judge compares the fleet, at rest, with what a plan of the commit from nothing puts on each cluster: of
// the decisions only the shares are taken as they are, since they depend on what was before.
func (w *world) judge() {
	w.mu.Lock()
	cycle := *w.latest
	w.mu.Unlock()
	for _, c := range cycle.Plan.Clusters {
		for _, o := range c.Objects {
			// A namespace stays behind until somebody confirms that it may go.
			stays := o.Kind == "Namespace" && o.Gate == "held:prune-confirm"
			if o.Action != v1alpha1.ActionUnchanged && !stays && !w.nowhere(o.Name) && !w.orphan(c.Name, o) {
				w.violate("at rest %s on %s is still to be %s (gate %q, %s)", o.ObjectReference, c.Name, o.Action, o.Gate, o.Reason)
			}
		}
	}
	for _, cluster := range w.layout.clusters {
		w.judgeCluster(cluster, cycle.Plan)
	}
	for _, e := range cycle.Plan.Placements {
		w.judgeShares(e)
	}
}

// orphan tells of an object that is to be removed that somebody took away what shows that it is ours: it stays,
// and is reported.
func (w *world) orphan(cluster string, o plan.ObjectChange) bool {
	if o.Action != v1alpha1.ActionPrune {
		return false
	}
	live := w.fleet.Cluster(cluster).Get(schema.FromAPIVersionAndKind(o.APIVersion, o.Kind), o.Namespace, o.Name)
	if live == nil {
		return false
	}
	m, err := meta.Accessor(live)
	if err != nil {
		w.t.Fatal(err)
	}
	return !ownedByUs(m)
}

// ownedByUs tells that an object shows that fields of it are ours.
func ownedByUs(m metav1.Object) bool {
	return slices.ContainsFunc(m.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool { return e.Manager == apply.FieldManager })
}

// onlyOrphans tells that nothing else is left to do.
func (w *world) onlyOrphans(c *engine.Cycle) bool {
	some := false
	for _, cluster := range c.Plan.Clusters {
		for _, o := range cluster.Objects {
			switch {
			case o.Action == v1alpha1.ActionUnchanged || o.Gate.Kind() == v1alpha1.GateHeld:
			case w.orphan(cluster.Name, o):
				some = true
			default:
				return false
			}
		}
	}
	return some
}

// nowhere tells that no cluster matches the policy of an application any more: then what stands stays.
func (w *world) nowhere(name string) bool {
	a := w.commitApp(name)
	if a == nil || a.gone || a.strategy != "gold" {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, tier := range w.labels {
		if tier == "gold" {
			return false
		}
	}
	return true
}

// judgeShares checks that no replica was lost on the way.
func (w *world) judgeShares(e plan.PlacementEntry) {
	a := w.commit()
	app := a.app(e.Workload.Name)
	if e.Error != "" || app == nil || !strings.Contains(strategies[app.strategy], "Divided") || (app.kind != "Deployment" && app.kind != "StatefulSet") {
		return
	}
	sum := int64(0)
	for _, c := range e.Clusters {
		if c.Replicas != nil {
			sum += *c.Replicas
		}
	}
	if sum != int64(app.replicas) {
		w.violate("at rest the shares of %s add up to %d, want %d", e.Workload, sum, app.replicas)
	}
}

// judgeCluster compares one cluster with what it should hold.
func (w *world) judgeCluster(cluster string, p *plan.Plan) {
	desired := p.Desired(cluster)
	wanted := map[string]bool{}
	for _, o := range p.Changes(cluster) {
		want, ok := desired(o.Key())
		if !ok {
			continue
		}
		gvk := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
		wanted[objectName(gvk, o.Namespace, o.Name)] = true
		live := w.fleet.Cluster(cluster).Get(gvk, o.Namespace, o.Name)
		if live == nil {
			w.violate("at rest %s is missing on %s", o.ObjectReference, cluster)
			continue
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
		if err != nil {
			w.t.Fatal(err)
		}
		if field := lacks(content, want.Object, nil); field != "" {
			w.violate("at rest %s on %s differs at %s", o.ObjectReference, cluster, field)
		}
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "ConfigMap", "Service", "Secret"} {
		gvk := app{kind: kind}.gvk()
		for _, o := range w.fleet.Cluster(cluster).List(gvk, "") {
			m, err := meta.Accessor(o)
			if err != nil {
				w.t.Fatal(err)
			}
			// What somebody took the field managers off is not ours to delete any more.
			ours := m.GetAnnotations()[v1alpha1.AnnotationDigest] != "" && ownedByUs(m)
			if name := objectName(gvk, m.GetNamespace(), m.GetName()); ours && !wanted[name] && len(m.GetOwnerReferences()) == 0 && !w.nowhere(m.GetName()) {
				w.violate("at rest %s is left over on %s", name, cluster)
			}
		}
	}
}

func objectName(gvk schema.GroupVersionKind, namespace, name string) string {
	return gvk.Kind + " " + namespace + "/" + name
}

// lacks returns the first path at which a live object does not have what is wanted; empty: it has all.
// Lists of objects are compared item by item, which is enough for what the simulation applies.
func lacks(live, want any, path []string) string {
	switch w := want.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			return strings.Join(path, ".")
		}
		for key, value := range w {
			// stringData is folded into data by the API server.
			if key == "stringData" {
				continue
			}
			if field := lacks(l[key], value, append(slices.Clone(path), key)); field != "" {
				return field
			}
		}
		return ""
	case []any:
		l, ok := live.([]any)
		if !ok || len(l) < len(w) {
			return strings.Join(path, ".")
		}
		for i := range w {
			if field := lacks(l[i], w[i], append(slices.Clone(path), fmt.Sprint(i))); field != "" {
				return field
			}
		}
		return ""
	}
	if !equality.Semantic.DeepEqual(live, want) && fmt.Sprint(live) != fmt.Sprint(want) {
		return strings.Join(path, ".")
	}
	return ""
}

// trace is the state at rest in which every run of a seed ends: of each decision whether it was made, how
// many replicas there are in all, and the content of the objects apart from their shares. Which of several
// clusters that would do holds a share depends on what was there before, and that on which of two answers
// of the same instant came first; no promise says more.
func (w *world) trace() string {
	lines := map[string]bool{}
	w.mu.Lock()
	cycle := *w.latest
	w.mu.Unlock()
	for _, e := range cycle.Plan.Placements {
		line := fmt.Sprintf("placement %s error %q unassigned %d", e.Workload, e.Error, e.Unassigned)
		if a := w.commitApp(e.Workload.Name); a != nil && e.Replicas != nil && strings.Contains(strategies[a.strategy], "Divided") {
			sum := int64(0)
			for _, c := range e.Clusters {
				sum += *c.Replicas
			}
			line += fmt.Sprintf(" replicas %d", sum)
		}
		lines[line] = true
	}
	for _, c := range cycle.Plan.Clusters {
		for _, o := range c.Objects {
			gvk := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
			live := w.fleet.Cluster(c.Name).Get(gvk, o.Namespace, o.Name)
			if live == nil {
				continue
			}
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
			if err != nil {
				w.t.Fatal(err)
			}
			lines[fmt.Sprintf("object %s %s", o.ObjectReference, applied(content))] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(lines)), "\n")
}

// commitApp is an application as the last commit has it.
func (w *world) commitApp(name string) *app {
	c := w.commit()
	return c.app(name)
}

// applied is what the simulation sets of an object, shares apart.
func applied(content map[string]any) string {
	template, _, _ := unstructured.NestedMap(content, "spec", "template")
	ports, _, _ := unstructured.NestedSlice(content, "spec", "ports")
	return fmt.Sprint(content["data"], template["spec"], len(ports))
}
