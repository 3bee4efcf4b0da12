package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/schema"
)

// ValidateOptions say what trees are checked against where there is no fleet.
type ValidateOptions struct {
	// Version of Kubernetes that the manifests are for. Zero: what no embedded release takes is a fault,
	// and an API that the oldest of them does not serve.
	Version schema.Version
	// Mentions tells whether a part of a source that could not be read has a word in it, such as the name
	// of an object: what may be there is not called missing. Nil: nothing is known of such parts.
	Mentions func(source, word string) bool
}

// Validate says of trees what is wrong with them on every fleet: the rules of the plan, as far as they
// need no cluster. Overrides are tried on clusters made up for the purpose, one for each set of clusters
// that a rule names. The findings are sorted by place.
func Validate(trees Trees, o ValidateOptions) []v1alpha1.Finding {
	v := &validating{options: o, trees: trees, unsatisfied: map[string]bool{}}
	v.c = NewPlanner(Options{}).begin(trees, Snapshot{Clusters: v.clusters()})
	v.c.mentions = o.Mentions
	// 1. What the trees already know to be wrong.
	v.c.collectProblems()
	// 2. One declaration and one policy for every object.
	v.c.resolveScopes()
	v.c.bound()
	v.c.resolveClaims()
	v.c.resolveOwners()
	v.unclaimed()
	// 3. What each object looks like on each kind of cluster, and whether that is what API servers take.
	v.render()
	// 4. What objects refer to.
	v.references()
	findings := v.c.findings.list()
	findings = slices.DeleteFunc(findings, func(f v1alpha1.Finding) bool { return f.ID == NotChecked && f.Object == nil })
	for i := range findings {
		findings[i].Clusters = []string{}
	}
	findings = slices.CompactFunc(findings, func(a, b v1alpha1.Finding) bool { return a.Compare(b) == 0 })
	slices.SortStableFunc(findings, func(a, b v1alpha1.Finding) int {
		return cmp.Or(strings.Compare(a.Repository, b.Repository), comparePlaces(a.Source, b.Source), a.Compare(b))
	})
	return findings
}

// validating is one run of Validate.
type validating struct {
	options ValidateOptions
	trees   Trees
	c       *computation
	// unsatisfied are the places of rules for which no cluster could be made up.
	unsatisfied map[string]bool
	// expressive are the override policies whose effect depends on more of a cluster than its name,
	// labels and place.
	expressive map[v1alpha1.ObjectReference]bool
}

// plainCluster is what no rule names.
const plainCluster = "any-cluster"

// maxInvented bounds how many clusters are made up.
const maxInvented = 200

// clusters makes up a cluster for each set of clusters that a rule names, behind a plain one.
func (v *validating) clusters() []v1alpha1.Cluster {
	invented := []v1alpha1.Cluster{invent(nil)}
	v.expressive = map[v1alpha1.ObjectReference]bool{}
	for _, s := range v.trees {
		for i := range s.OverridePolicies {
			p := &s.OverridePolicies[i]
			rules := p.Spec.OverrideRules
			if p.Spec.Overriders != nil {
				rules = append([]v1alpha1.RuleWithCluster{{TargetCluster: p.Spec.TargetCluster, Overriders: *p.Spec.Overriders}}, rules...)
			}
			for _, r := range rules {
				if len(r.Overriders.Expression) > 0 {
					v.expressive[overrideReference(p)] = true
				}
				cl := invent(r.TargetCluster)
				matcher, err := affinity.Compile(r.TargetCluster)
				if err != nil || !matcher.Match(&cl) || len(invented) == maxInvented {
					v.unsatisfied[p.Position.String()] = true
					continue
				}
				cl.Name = fmt.Sprintf("%s-%03d", plainCluster, len(invented))
				if len(targetNames(r.TargetCluster)) > 0 {
					cl.Name = targetNames(r.TargetCluster)[0]
				}
				if !slices.ContainsFunc(invented, func(o v1alpha1.Cluster) bool { return matcher.Match(&o) }) && matcher.Match(&cl) {
					invented = append(invented, cl)
				}
			}
		}
	}
	return invented
}

func targetNames(a *v1alpha1.ClusterAffinity) []string {
	if a == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(a.ClusterNames), func(n string) bool { return slices.Contains(a.Exclude, n) })
}

// invent makes up a cluster that an affinity wants.
func invent(a *v1alpha1.ClusterAffinity) v1alpha1.Cluster {
	cl := v1alpha1.Cluster{}
	cl.Name, cl.Labels = plainCluster, map[string]string{}
	if a == nil {
		return cl
	}
	if names := targetNames(a); len(names) > 0 {
		cl.Name = names[0]
	}
	if a.LabelSelector != nil {
		for key, value := range a.LabelSelector.MatchLabels {
			cl.Labels[key] = value
		}
		for _, e := range a.LabelSelector.MatchExpressions {
			_, there := cl.Labels[e.Key]
			switch {
			case e.Operator == metav1.LabelSelectorOpIn && len(e.Values) > 0:
				cl.Labels[e.Key] = e.Values[0]
			case e.Operator == metav1.LabelSelectorOpExists && !there:
				cl.Labels[e.Key] = ""
			}
		}
	}
	if a.FieldSelector != nil {
		for _, e := range a.FieldSelector.MatchExpressions {
			if e.Operator != "In" || len(e.Values) == 0 {
				continue
			}
			switch e.Key {
			case "provider":
				cl.Spec.Provider = e.Values[0]
			case "region":
				cl.Spec.Region = e.Values[0]
			case "zone":
				cl.Spec.Zones = e.Values[:1]
			}
		}
	}
	return cl
}

func overrideReference(p *v1alpha1.OverridePolicy) v1alpha1.ObjectReference {
	kind := v1alpha1.KindOverridePolicy
	if p.Namespace == "" {
		kind = v1alpha1.KindClusterOverridePolicy
	}
	return v1alpha1.ObjectReference{APIVersion: v1alpha1.APIVersion, Kind: kind, Namespace: p.Namespace, Name: p.Name}
}

// unclaimed reports objects that no policy selects, in trees that have policies: in one without, they are
// elsewhere. Where a policy could not be read, its objects are no second mistake.
func (v *validating) unclaimed() {
	policies := 0
	for _, s := range v.trees {
		policies += len(s.PropagationPolicies)
		for _, p := range s.Problems {
			if p.ID == v1alpha1.FindingInvalidPolicy && p.Severity == v1alpha1.SeverityBlocker ||
				!s.Complete() && (v.options.Mentions == nil || v.options.Mentions(s.Source, v1alpha1.KindPropagationPolicy)) {
				return
			}
		}
	}
	if policies == 0 {
		return
	}
	implied := map[string]bool{}
	for _, it := range v.c.items {
		if it.owner != nil {
			implied[it.ref.Namespace] = true
			if it.owner.Spec.PropagateDeps {
				for _, need := range it.traits.needs {
					if dependency := v.c.byKey[need]; dependency != nil {
						dependency.hold = ""
					}
				}
			}
		}
	}
	for _, it := range v.c.items {
		if isNamespace(it.ref) && implied[it.ref.Name] {
			it.hold = ""
		}
	}
	v.c.reportUnclaimed()
}

// render tries the overrides and checks what comes out.
func (v *validating) render() {
	v.c.compileOverrides()
	defined := v.c.definitionsOf(v.c.items)
	to := schemaTarget{Target: schema.Target{Version: v.options.Version, Custom: defined.custom}, name: v.options.Version.String()}
	var effects render.Effects
	for _, it := range v.c.items {
		versions := make([]render.Rendered, 0, len(v.c.clusters))
		for i := range v.c.clusters {
			rendered, err := v.c.render(it, &target{cluster: i})
			effects.Add(rendered)
			if err == nil {
				versions = append(versions, rendered)
			} else if v.depends(err) {
				continue
			}
			v.c.noteRendering(it, &target{cluster: i}, rendered, err)
		}
		if !it.Variables && len(versions) > 0 {
			v.check(it, versions, to)
		}
	}
	for _, f := range effects.Findings(v.c.overrides.all...) {
		if f.Object == nil || !v.unsure(f) {
			v.c.findings.add(f)
		}
	}
}

// depends tells that an error may be one of the made-up cluster: it lacks a fact that real ones have.
func (v *validating) depends(err error) bool {
	var failed *render.OverrideError
	if !errors.As(err, &failed) || failed.ID == v1alpha1.FindingVariableFailed {
		return true
	}
	kind := v1alpha1.KindOverridePolicy
	if failed.Rule.Namespace == "" {
		kind = v1alpha1.KindClusterOverridePolicy
	}
	return v.expressive[v1alpha1.ObjectReference{
		APIVersion: v1alpha1.APIVersion, Kind: kind, Namespace: failed.Rule.Namespace, Name: failed.Rule.Policy,
	}]
}

// unsure tells that a finding about an override without effect is none: real clusters differ in more, or
// what it is for may be in a part that could not be read.
func (v *validating) unsure(f v1alpha1.Finding) bool {
	if v.expressive[*f.Object] && f.ID == v1alpha1.FindingOverrideNoOp {
		return true
	}
	for _, s := range v.c.sources {
		for i := range s.OverridePolicies {
			p := &s.OverridePolicies[i]
			if overrideReference(p) == *f.Object && (v.unsatisfied[p.Position.String()] || v.c.incompleteWith(s, p.Spec.ResourceSelectors) != nil) {
				return true
			}
		}
	}
	return false
}

// check checks an object as it is without rules for some clusters alone, and what those rules made of it.
// What a rule mends is no fault: the object is meant to be completed.
func (v *validating) check(it *item, versions []render.Rendered, to schemaTarget) {
	ref := it.ref
	at := finding{Object: &ref, Repository: it.source.Source, Source: it.Origin.Source}
	seen := map[string]int{}
	verdicts := make([]*verdict, len(versions))
	for i, rendered := range versions {
		verdicts[i] = v.c.planner.cache.verdicts.get(schemaKey{rendered.Digest, to.name}, func() *verdict { return v.c.judge(rendered, to) })
		for _, fault := range verdicts[i].faults {
			seen[fault.Message]++
		}
	}
	reported := map[string]bool{}
	for i, rendered := range versions {
		for _, fault := range verdicts[i].faults {
			f := v.c.faultOf(it, rendered, fault, at)
			byRule := f.Field == "" && fault.Pointer != ""
			if reported[fault.Message] || !byRule && seen[fault.Message] < len(versions) {
				continue
			}
			reported[fault.Message] = true
			v.c.findings.add(f)
		}
	}
	if first := verdicts[0]; first.id != "" {
		at.ID, at.Message, at.Field = first.id, fmt.Sprintf("%s: %s", ref, first.message), "/apiVersion"
		v.c.findings.add(at)
	}
}

// incompleteWith returns a source in the reach of another of which a part could not be read that may have
// what some selectors are for, or nil.
func (c *computation) incompleteWith(from *Source, selectors []v1alpha1.ResourceSelector) *Source {
	for _, s := range c.sources {
		if s.Complete() || !reaches(from, s.Source) {
			continue
		}
		if c.mentions == nil || len(selectors) == 0 || slices.ContainsFunc(selectors, func(r v1alpha1.ResourceSelector) bool {
			return c.mentions(s.Source, cmp.Or(r.Name, r.Kind))
		}) {
			return s
		}
	}
	return nil
}
