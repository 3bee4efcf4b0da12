package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// variant is what an object looks like on the clusters that get the same of it. The manifest itself
// is not kept: a million pairs must fit in memory.
type variant struct {
	// digest is that of what is compared: the manifest without the fields that are not ours once the
	// object is there. It is known of Secrets too, and then never shown.
	digest string
	// shown is the digest that output may carry: empty for Secrets.
	shown string
	// secretDigest is what the executor records on a Secret, where the planner knows how.
	secretDigest string
	overrides    []string
	secret       bool
	// prune is the object's own prune annotation, which it will carry when it is live.
	prune string
	// failed says why the object cannot be had on a cluster.
	failed string
	// failedBy is the id of the finding about that.
	failedBy string
}

// lentField is a field that is sent with a create alone and belongs to someone else afterwards.
type lentField struct {
	pointer string
	// path holds the names and indices of the pointer.
	path []string
	// ignored tells that a rule of the source leaves the field to others.
	ignored bool
}

// in tells whether the object has the field.
func (f lentField) in(object map[string]any) bool {
	_, found := FieldAt(object, f.path)
	return found
}

// inList tells that the field may be below an item of a list, whose place is its own on each cluster.
func (f lentField) inList() bool {
	return slices.ContainsFunc(f.path, func(step string) bool { return strings.Trim(step, "0123456789") == "" })
}

// lend works out the fields of an object that are not ours once it is there: the replicas of a
// workload that an autoscaler scales, the completions of a divided Job, which are frozen, and what the
// source's rules leave to others.
func (c *computation) lend(it *item) []lentField {
	var fields []lentField
	if slices.ContainsFunc(it.targets, func(t target) bool { return t.completions != nil }) {
		fields = append(fields, lentField{pointer: "/spec/completions", path: []string{"spec", "completions"}})
	}
	if it.scaler != nil && len(it.facts.ReplicasField) > 0 {
		fields = append(fields, lentField{pointer: "/" + strings.Join(it.facts.ReplicasField, "/"), path: it.facts.ReplicasField})
	}
	for i := range it.source.Spec.IgnoreDrift {
		rule := &it.source.Spec.IgnoreDrift[i]
		if !c.ignoreApplies(rule, it) {
			continue
		}
		for _, pointer := range rule.Paths {
			if path, ok := fieldPath(inData(it, pointer)); ok {
				fields = append(fields, lentField{pointer: inData(it, pointer), path: path, ignored: true})
			}
		}
	}
	return fields
}

func (c *computation) ignoreApplies(rule *v1alpha1.IgnoreRule, it *item) bool {
	if rule.Target == nil {
		return true
	}
	selector, err := affinity.CompileSelector(*rule.Target, "")
	return err == nil && selector.Match(it.ref, it.GetLabels()) != affinity.LevelNone
}

// inData turns a pointer into the stringData of a Secret into one into its data, where it is once it is
// sent.
func inData(it *item, pointer string) string {
	if rest, ok := strings.CutPrefix(pointer, "/stringData/"); ok && it.ref.Kind == "Secret" && it.ref.Group() == "" {
		return "/data/" + rest
	}
	return pointer
}

// fieldPath reads a JSON pointer; what identifies an object is not to be lent.
func fieldPath(pointer string) ([]string, bool) {
	path, err := render.ParsePointer(pointer)
	if err != nil || len(path) == 0 {
		return nil, false
	}
	switch path[0] {
	case "apiVersion", "kind":
		return nil, false
	case "metadata":
		if len(path) < 3 {
			return nil, false
		}
	}
	return path, true
}

// withoutFields returns a manifest without some fields; the manifest itself where it has none of them.
func withoutFields(manifest *unstructured.Unstructured, fields []lentField) *unstructured.Unstructured {
	sent := asSent(manifest)
	if !slices.ContainsFunc(fields, func(f lentField) bool { return f.in(sent.Object) }) {
		return manifest
	}
	stripped := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(sent.Object)}
	for _, f := range slices.SortedFunc(slices.Values(fields), fromTheEnd) {
		withoutField(stripped.Object, f.path)
	}
	return stripped
}

// overrideSet holds the compiled override policies by the source whose objects they may reach.
type overrideSet struct {
	bySource map[*Source]*render.Overrides
	// ofOthers are, for the sources of tenants, those that are not the tenant's own.
	ofOthers map[*Source]*render.Overrides
	all      []*render.Overrides
}

// compileOverrides prepares the override policies that may reach each source.
func (c *computation) compileOverrides() {
	defined := c.definitionsOf(c.items)
	c.overrides = &overrideSet{bySource: map[*Source]*render.Overrides{}, ofOthers: map[*Source]*render.Overrides{}}
	for _, s := range c.sources {
		var sets, others []render.SourcePolicies
		for _, from := range c.sources {
			if reaches(from, s.Source) && len(from.OverridePolicies) > 0 {
				sets = append(sets, render.SourcePolicies{Source: from.Source, Policies: from.OverridePolicies})
				if from != s {
					others = append(others, sets[len(sets)-1])
				}
			}
		}
		if c.bounds[s] != nil {
			ofOthers, _ := c.planner.cache.compile(others)
			c.overrides.ofOthers[s] = ofOthers.With(defined.custom, defined.digest)
		}
		compiled, findings := c.planner.cache.compile(sets)
		for _, f := range findings {
			c.findings.add(f)
		}
		compiled = compiled.With(defined.custom, defined.digest)
		c.overrides.bySource[s] = compiled
		c.overrides.all = append(c.overrides.all, compiled)
	}
}

// renderTargets renders every object for every cluster that it goes to and keeps the digests.
func (c *computation) renderTargets() {
	c.compileOverrides()
	var effects render.Effects
	for _, it := range c.items {
		it.lent, it.leftTo = c.lend(it), c.leftTo(it)
		for i := range it.targets {
			t := &it.targets[i]
			rendered, err := c.render(it, t)
			effects.Add(rendered)
			c.noteRendering(it, t, rendered, err)
			if err == nil {
				c.checkPodSecurity(it, t, rendered)
				c.checkSchema(it, t, rendered)
				c.checkClasses(it, t, rendered)
			}
			t.lent = it.lent
			if err == nil {
				t.lent = c.lentOn(it, t, rendered)
			}
			t.rendered = c.variantOf(rendered, err, t.lent)
		}
	}
	for _, f := range effects.Findings(c.overrides.all...) {
		if f.ID == v1alpha1.FindingOverrideNoMatch {
			if s := c.incompleteSource(f.Repository); s != nil {
				f = finding{ID: NotChecked, Source: f.Source, Repository: f.Repository, Object: f.Object,
					Message: fmt.Sprintf("whether %s matches anything: part of source %q did not load", f.Object, s.Source)}
			}
		}
		c.findings.add(f)
	}
}

// incompleteSource returns a source, in the reach of the policies of another, of which a unit failed.
func (c *computation) incompleteSource(repository string) *Source {
	from := c.byName[repository]
	for _, s := range c.sources {
		if !s.Complete() && from != nil && reaches(from, s.Source) {
			return s
		}
	}
	return nil
}

// render renders an object for one of its clusters. It may be called from several goroutines once the
// plan is there.
func (c *computation) render(it *item, t *target) (render.Rendered, error) {
	r, err := c.overrides.bySource[it.source].For(it.Object, c.clusters[t.cluster], c.division(it, t))
	if err != nil || len(it.preserved) == 0 {
		return r, err
	}
	return c.withState(it, t, r), nil
}

// division returns the share to write into a divided workload, nil for what goes whole.
func (c *computation) division(it *item, t *target) *render.Division {
	if t.replicas == nil || it.owner == nil {
		return nil
	}
	d := &render.Division{
		Replicas: *t.replicas, Completions: t.completions, Policy: it.owner.Name, Source: it.owner.place,
	}
	if it.scaler != nil {
		if least, found := integerAt(it.scaler.Unstructured.Object, "spec", "minReplicas"); found {
			d.Replicas = max(d.Replicas, least)
		}
	}
	return d
}

// noteRendering turns what rendering found out into findings.
func (c *computation) noteRendering(it *item, t *target, rendered render.Rendered, err error) {
	if err == nil && len(rendered.Notes) == 0 {
		return
	}
	ref := it.ref
	clusters := []string{c.clusters[t.cluster].Name}
	for _, n := range rendered.Notes {
		if n.ID == v1alpha1.FindingOverrideNoOp {
			// One without effect anywhere is reported for the plan as a whole.
			continue
		}
		f := finding{ID: n.ID, Message: fmt.Sprintf("%s: %s", ref, n.Message), Source: n.Source, Repository: n.Repository, Object: &ref, Clusters: clusters}
		if f.Source == "" {
			f.Source, f.Repository = it.Origin.Source, it.source.Source
		}
		c.findings.add(f)
	}
	if err == nil {
		return
	}
	f := finding{
		ID: v1alpha1.FindingOverrideFailed, Message: fmt.Sprintf("%s: %v", ref, err),
		Source: it.Origin.Source, Repository: it.source.Source, Object: &ref, Clusters: clusters,
	}
	var failed *render.OverrideError
	if errors.As(err, &failed) {
		f.ID, f.Source = failed.ID, failed.Source
		if failed.Rule.Repository != "" {
			f.Repository = failed.Rule.Repository
		}
		if failed.Invalid {
			// It is one mistake, however many objects it holds.
			policy := failed.Rule.Object()
			f.Object, f.Message = &policy, fmt.Sprintf("%s rule %d: %s", policy, failed.Rule.Rule, failed.Message)
		}
	}
	c.findings.add(f)
}

// variantOf returns what to keep of a rendering.
func (c *computation) variantOf(rendered render.Rendered, err error, lent []lentField) *variant {
	if err != nil {
		id := v1alpha1.FindingOverrideFailed
		var failed *render.OverrideError
		if errors.As(err, &failed) {
			id = failed.ID
		}
		return &variant{failed: err.Error(), failedBy: id, overrides: []string{}}
	}
	return c.planner.cache.variant(rendered, lent, c.planner.options.SecretDigest)
}

// manifest returns what is compared with what a member holds; nil where it cannot be rendered.
func (c *computation) manifest(it *item, t *target) map[string]any {
	rendered, err := c.render(it, t)
	if err != nil {
		return nil
	}
	return asSent(withoutFields(rendered.Object, t.lent)).Object
}

// whole returns what is sent with a create; nil where it cannot be rendered.
func (c *computation) whole(it *item, t *target) map[string]any {
	rendered, err := c.render(it, t)
	if err != nil {
		return nil
	}
	return asSent(rendered.Object).Object
}
