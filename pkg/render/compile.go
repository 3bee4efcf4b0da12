package render

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/schema"
)

// SourcePolicies are the override policies of one source.
type SourcePolicies struct {
	// Source is the name of the GitSource.
	Source   string
	Policies []v1alpha1.OverridePolicy
}

// Overrides is a compiled set of override policies. It may be used from several goroutines.
type Overrides struct {
	renderer *Renderer
	// policies are sorted: cluster-wide ones first, then by namespace, name and source.
	policies []*compiledPolicy
	index    affinity.Index
	// custom are the custom kinds that are defined, and definitions identifies them by content.
	custom      *schema.Custom
	definitions string
}

// RuleRef names a rule of an override policy.
type RuleRef struct {
	// Repository is the name of the GitSource that declares the policy.
	Repository string
	// Namespace is empty for a ClusterOverridePolicy.
	Namespace string
	Policy    string
	// Rule counts from 1.
	Rule int
	// Source is "file:line".
	Source string
}

// Object names the policy as an object of its repository.
func (r RuleRef) Object() v1alpha1.ObjectReference {
	kind := v1alpha1.KindOverridePolicy
	if r.Namespace == "" {
		kind = v1alpha1.KindClusterOverridePolicy
	}
	return v1alpha1.ObjectReference{APIVersion: v1alpha1.APIVersion, Kind: kind, Namespace: r.Namespace, Name: r.Policy}
}

// compiledPolicy is an override policy ready for use.
type compiledPolicy struct {
	number     int
	repository string
	namespace  string
	name       string
	position   v1alpha1.Position
	rules      []*compiledRule
}

// compiledRule is one rule with the clusters that it is for.
type compiledRule struct {
	policy   *compiledPolicy
	ref      RuleRef
	place    location
	clusters affinity.Matcher
	steps    []placedStep
	// hash identifies the rule with its policy and place by content.
	hash [sha256.Size]byte
	// readsCluster tells that the result depends on the cluster's document.
	readsCluster bool
	// onlyTests tells that the rule is not meant to change anything.
	onlyTests bool
}

// step is one entry of a rule, or a list of entries that run together. It changes w.object, in
// place or by replacing it; an error means that the object cannot be had on this cluster.
type step interface {
	apply(w *work) error
}

// placedStep is a step with the place where the policy states it.
type placedStep struct {
	place location
	step  step
}

// brokenStep stands for an entry that does not compile: what it is for must not be sent without it.
type brokenStep struct{ err error }

func (s brokenStep) apply(*work) error { return s.err }

// Compile prepares the policies of the sources whose policies may reach the objects of one source.
// A policy whose selectors or clusters do not compile counts as absent and is a finding
// (invalid-policy); an entry that does not compile fails each object that it would apply to.
func (r *Renderer) Compile(sets ...SourcePolicies) (*Overrides, []v1alpha1.Finding) {
	o := &Overrides{renderer: r}
	var findings []v1alpha1.Finding
	type entry struct {
		compiled  *compiledPolicy
		selectors affinity.Selectors
	}
	var entries []entry
	for _, set := range sets {
		for i := range set.Policies {
			p := &set.Policies[i]
			compiled, selectors, err := r.compilePolicy(set.Source, p)
			if err != nil {
				policy := RuleRef{Repository: set.Source, Namespace: p.Namespace, Policy: p.Name}
				findings = append(findings, finding(v1alpha1.FindingInvalidPolicy, v1alpha1.SeverityBlocker, policy, p.Position.String(), err.Error()))
				continue
			}
			entries = append(entries, entry{compiled, selectors})
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.compiled.compare(b.compiled) })
	for i, e := range entries {
		e.compiled.number = i
		o.policies = append(o.policies, e.compiled)
		if len(e.selectors) == 0 {
			o.index.AddEverything(i, e.compiled.namespace)
		} else {
			o.index.Add(i, e.selectors)
		}
	}
	slices.SortFunc(findings, v1alpha1.Finding.Compare)
	return o, findings
}

// compare orders by type, namespace, name and source: the order in which policies of one match
// level apply.
func (p *compiledPolicy) compare(o *compiledPolicy) int {
	return cmp.Or(
		strings.Compare(p.namespace, o.namespace),
		strings.Compare(p.name, o.name),
		strings.Compare(p.repository, o.repository),
		p.position.Compare(o.position),
	)
}

// kind returns the policy's kind as documents spell it.
func (p *compiledPolicy) kind() string {
	if p.namespace == "" {
		return v1alpha1.KindClusterOverridePolicy
	}
	return v1alpha1.KindOverridePolicy
}

// String names the policy as messages do.
func (p *compiledPolicy) String() string {
	if p.namespace == "" {
		return p.kind() + " " + p.name
	}
	return p.kind() + " " + p.namespace + "/" + p.name
}

func (r *Renderer) compilePolicy(source string, p *v1alpha1.OverridePolicy) (*compiledPolicy, affinity.Selectors, error) {
	c := &compiledPolicy{repository: source, namespace: p.Namespace, name: p.Name, position: p.Position}
	selectors, err := affinity.CompileSelectors(p.Spec.ResourceSelectors, p.Namespace)
	if err != nil {
		return nil, nil, err
	}
	if p.Spec.Overriders != nil {
		rule := v1alpha1.RuleWithCluster{TargetCluster: p.Spec.TargetCluster, Overriders: *p.Spec.Overriders}
		if err := r.compileRule(c, p, rule, "spec"); err != nil {
			return nil, nil, err
		}
	}
	for i, rule := range p.Spec.OverrideRules {
		if err := r.compileRule(c, p, rule, fmt.Sprintf("spec.overrideRules[%d]", i)); err != nil {
			return nil, nil, err
		}
	}
	return c, selectors, nil
}

func (r *Renderer) compileRule(c *compiledPolicy, p *v1alpha1.OverridePolicy, rule v1alpha1.RuleWithCluster, path string) error {
	clusters, err := affinity.Compile(rule.TargetCluster)
	if err != nil {
		return fmt.Errorf("%s.targetCluster: %w", path, err)
	}
	lines := placer{repository: c.repository, policy: p}
	place := lines.at(path)
	if path == "spec" {
		place = lines.at("spec.overriders")
	}
	compiled := &compiledRule{
		policy: c, place: place, clusters: clusters,
		ref: RuleRef{
			Repository: c.repository, Namespace: c.namespace, Policy: c.name, Rule: len(c.rules) + 1,
			Source: place.position.String(),
		},
	}
	compiled.steps = r.compileSteps(&rule.Overriders, lines, path+".overriders")
	compiled.onlyTests = onlyTests(&rule.Overriders)
	for _, s := range compiled.steps {
		if _, ok := s.step.(interface{ readsCluster() }); ok {
			compiled.readsCluster = true
		}
	}
	raw, err := json.Marshal(struct {
		Ref        RuleRef
		Overriders *v1alpha1.Overriders
		Lines      []string
	}{compiled.ref, &rule.Overriders, compiled.lines()})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	compiled.hash = sha256.Sum256(raw)
	c.rules = append(c.rules, compiled)
	return nil
}

// lines are the places of the steps; they are part of what a rendering says.
func (r *compiledRule) lines() []string {
	var lines []string
	for _, s := range r.steps {
		lines = append(lines, s.place.position.String())
		if patch, ok := s.step.(patchStep); ok {
			for _, place := range patch.places {
				lines = append(lines, place.position.String())
			}
		}
	}
	return lines
}

// compileSteps lists the steps of a rule in the order in which they apply.
func (r *Renderer) compileSteps(o *v1alpha1.Overriders, lines placer, path string) []placedStep {
	var steps []placedStep
	add := func(list string, i int, s step, err error) {
		place := lines.at(fmt.Sprintf("%s.%s[%d]", path, list, i))
		if err != nil {
			s = brokenStep{err}
		}
		steps = append(steps, placedStep{place, s})
	}
	// 1. Images.
	for i, e := range o.ImageOverrider {
		s, err := compileImage(e)
		add("imageOverrider", i, s, err)
	}
	// 2. Commands, then arguments.
	for i, e := range o.CommandOverrider {
		s, err := compileCommand("command", e)
		add("commandOverrider", i, s, err)
	}
	for i, e := range o.ArgsOverrider {
		s, err := compileCommand("args", e)
		add("argsOverrider", i, s, err)
	}
	// 3. Labels, then annotations.
	for i, e := range o.LabelsOverrider {
		s, err := compileMetadata("labels", e)
		add("labelsOverrider", i, s, err)
	}
	for i, e := range o.AnnotationsOverrider {
		s, err := compileMetadata("annotations", e)
		add("annotationsOverrider", i, s, err)
	}
	// 4. Documents inside strings.
	for i, e := range o.FieldOverrider {
		s, err := compileField(e)
		add("fieldOverrider", i, s, err)
	}
	// 5. JSON patches, in both spellings.
	steps = append(steps, compilePatch(o.Plaintext, lines, path+".plaintext")...)
	steps = append(steps, compilePatch(o.JSONPatch, lines, path+".jsonPatch")...)
	// 6. Strategic merge patches.
	for i, e := range o.StrategicMerge {
		s, err := compileMerge(e.Raw)
		add("strategicMerge", i, s, err)
	}
	// 7. Expressions.
	for i, e := range o.Expression {
		s, err := r.compileExpression(e)
		add("expression", i, s, err)
	}
	return steps
}

// compilePatch makes one step of a list of operations, so that they run together.
func compilePatch(list []v1alpha1.JSONPatchOperation, lines placer, path string) []placedStep {
	if len(list) == 0 {
		return nil
	}
	var patch patchStep
	for i, e := range list {
		place := lines.at(fmt.Sprintf("%s[%d]", path, i))
		o, err := compileOperation(e)
		if err != nil {
			return []placedStep{{place, brokenStep{err}}}
		}
		patch.operations = append(patch.operations, o)
		patch.places = append(patch.places, place)
	}
	return []placedStep{{lines.at(path), patch}}
}

// onlyTests tells that a rule states nothing but test operations.
func onlyTests(o *v1alpha1.Overriders) bool {
	tests := 0
	for _, list := range [][]v1alpha1.JSONPatchOperation{o.Plaintext, o.JSONPatch} {
		for _, e := range list {
			if e.Op != v1alpha1.OperatorTest && e.Operator != v1alpha1.OperatorTest {
				return false
			}
			tests++
		}
	}
	others := len(o.ImageOverrider) + len(o.CommandOverrider) + len(o.ArgsOverrider) + len(o.LabelsOverrider) +
		len(o.AnnotationsOverrider) + len(o.FieldOverrider) + len(o.StrategicMerge) + len(o.Expression)
	return tests > 0 && others == 0
}

// placer finds the line of a field of a policy.
type placer struct {
	repository string
	policy     *v1alpha1.OverridePolicy
}

// at returns the place of a field path, or of the nearest enclosing one whose line is known.
func (p placer) at(path string) location {
	position := p.policy.Position
	position.Line = v1alpha1.LineOf(p.policy.Lines, path, position.Line)
	return location{repository: p.repository, position: position}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
