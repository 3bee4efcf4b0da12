package simulation

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// planted is a fault in the engine that a simulation must find. The zero value is none.
type planted string

// The faults that are planted.
const (
	// removesEarly: the old copy of a move does not wait for the new one.
	removesEarly planted = "removes-early"
	// forgetsFailures: a file that cannot be read counts as removed from Git.
	forgetsFailures planted = "forgets-failures"
	// ignoresVeto: lost clusters are fled from though the veto holds.
	ignoresVeto planted = "ignores-veto"
	// movesPinned: pinned workloads are decided like others.
	movesPinned planted = "moves-pinned"
	// leavesLeftovers: what is no longer wanted is never removed.
	leavesLeftovers planted = "leaves-leftovers"
	// overlooks: one kind of object is never corrected.
	overlooks planted = "overlooks"
	// prunesEmpty: an empty commit removes everything.
	prunesEmpty planted = "prunes-empty"
)

// plantedFaults are all of them, with what a witness says of each.
var plantedFaults = []struct {
	fault planted
	says  string
}{
	{removesEarly, "last healthy copy"},
	{forgetsFailures, "though a file of the commit could not be read"},
	{ignoresVeto, "while the veto must hold"},
	{movesPinned, "pinned"},
	{leavesLeftovers, "at rest"},
	{overlooks, "at rest"},
	{prunesEmpty, "because of an empty commit"},
}

// plannerFunc is an engine.Planner.
type plannerFunc func(plan.Trees, plan.Snapshot) *plan.Plan

// Compute implements engine.Planner.
func (f plannerFunc) Compute(t plan.Trees, s plan.Snapshot) *plan.Plan { return f(t, s) }

// planner is the production planner, with the fault in front of it or behind it.
func (f planted) planner() engine.Planner {
	real := plan.NewPlanner(plan.Options{SecretDigest: apply.SecretDigester([]byte("a key that is only for tests....")[:32])})
	if f == "" {
		return real
	}
	return plannerFunc(func(trees plan.Trees, snap plan.Snapshot) *plan.Plan {
		if f == ignoresVeto {
			snap.Clusters = withEvictions(snap)
		}
		if f == movesPinned {
			trees = unpinned(trees)
		}
		p := real.Compute(trees, snap)
		f.spoil(p)
		return p
	})
}

// remember keeps the last plans of a planner, to judge by them what is carried out.
func (w *world) remember(p engine.Planner) engine.Planner {
	const enough = 4
	return plannerFunc(func(trees plan.Trees, snap plan.Snapshot) *plan.Plan {
		next := p.Compute(trees, snap)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.plans = append(w.plans, next)
		w.plans = w.plans[max(0, len(w.plans)-enough):]
		return next
	})
}

// spoil changes what a plan does.
func (f planted) spoil(p *plan.Plan) {
	for i := range p.Clusters {
		for j := range p.Clusters[i].Objects {
			o := &p.Clusters[i].Objects[j]
			switch {
			case f == removesEarly && o.Action == v1alpha1.ActionPrune && strings.HasPrefix(string(o.Gate), "move"):
				o.Gate = ""
			case f == leavesLeftovers && o.Action == v1alpha1.ActionPrune, f == overlooks && o.Kind == "ConfigMap" && o.Action == v1alpha1.ActionConfigure:
				o.Action, o.Gate = v1alpha1.ActionUnchanged, ""
			case f == prunesEmpty && o.Action == v1alpha1.ActionSkip && strings.HasPrefix(string(o.Gate), "held"):
				o.Action, o.Gate = v1alpha1.ActionPrune, ""
			}
		}
	}
}

// withEvictions gives every lost cluster the taint that a veto withholds.
func withEvictions(snap plan.Snapshot) []v1alpha1.Cluster {
	var out []v1alpha1.Cluster
	for _, c := range snap.Clusters {
		for _, condition := range c.Status.Conditions {
			if condition.Type == v1alpha1.ConditionReady && condition.Status == metav1.ConditionUnknown {
				added := condition.LastTransitionTime
				c.Spec.Taints = append(theirTaints(c), corev1.Taint{Key: v1alpha1.TaintUnreachable, Effect: corev1.TaintEffectNoExecute, TimeAdded: &added},
					corev1.Taint{Key: v1alpha1.TaintUnreachable, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &added})
			}
		}
		out = append(out, c)
	}
	return out
}

// unpinned takes the annotation that pins off every object.
func unpinned(trees plan.Trees) plan.Trees {
	out := make(plan.Trees, len(trees))
	copy(out, trees)
	for i := range out {
		objects := out[i].Objects
		out[i].Objects = nil
		for _, o := range objects {
			if o.GetAnnotations()[v1alpha1.AnnotationFailover] != "" {
				o.Unstructured = o.DeepCopy()
				o.SetAnnotations(nil)
				o.ContentDigest += " unpinned"
			}
			out[i].Objects = append(out[i].Objects, o)
		}
	}
	return out
}

// tree is what the builder gives to the engine.
func (f planted) tree(t render.Tree) render.Tree {
	if f == forgetsFailures {
		t.FailedUnits = nil
	}
	return t
}
