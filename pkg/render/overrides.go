package render

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/schema"
)

// OverrideError says that an object cannot be had on a cluster, since an override of it fails. It
// concerns that object on that cluster alone. Its text holds no value of a Secret.
type OverrideError struct {
	// ID is the id of the finding that it is.
	ID   string
	Rule RuleRef
	// Source is "file:line" of the operation.
	Source  string
	Message string
	// Invalid tells that the entry of the policy is wrong in itself, whatever the object.
	Invalid bool
}

// Error names the policy, the rule, and what failed.
func (e *OverrideError) Error() string {
	if e.Rule == (RuleRef{}) {
		return fmt.Sprintf("%s: %s", e.Source, e.Message)
	}
	return fmt.Sprintf("override %q rule %d (%s): %s", e.Rule.Policy, e.Rule.Rule, e.Source, e.Message)
}

// Division is a cluster's share of a divided workload. It is written before overrides apply.
type Division struct {
	// Replicas is the share: spec.replicas, or spec.parallelism of a Job.
	Replicas int64
	// Completions is the share of a Job's completions; nil where it has none.
	Completions *int64
	// Policy is the name of the propagation policy and Source its "file:line".
	Policy string
	Source string
}

// For returns the object as it is meant for the cluster: the share of a divided workload written, variables
// replaced, then every matching rule: those of cluster-wide policies before those of namespaced ones, then the less
// exactly a policy selects the earlier, then by name. Division is nil for objects that go whole.
// A non-nil error is an *OverrideError; Rendered.Matched is filled even then.
//
// Clusters that fall under the same rules with the same share get the same manifest, which is
// computed once; obj.ContentDigest must identify the content for that. Without one nothing is
// remembered.
func (o *Overrides) For(obj Object, cluster *v1alpha1.Cluster, division *Division) (Rendered, error) {
	rules := o.rulesFor(obj, cluster)
	var key []byte
	if obj.ContentDigest != "" {
		key = cacheKey(obj, cluster, division, rules)
		if key != nil && o.custom.Defines(obj.GetAPIVersion(), obj.GetKind()) {
			key = append(append(key, 'k'), o.definitions...)
		}
	}
	var r *result
	if key != nil {
		r = o.renderer.memo.get(key)
	}
	if r == nil {
		r = o.renderer.compute(obj, cluster, division, rules, o.custom)
		if key != nil {
			o.renderer.memo.put(key, r)
		}
	}
	rendered := r.rendered
	rendered.Base = obj.Origin
	if r.err != nil {
		return rendered, r.err
	}
	return rendered, nil
}

// Rules lists every rule of the set, in the order of policies and rules.
func (o *Overrides) Rules() []RuleRef {
	var refs []RuleRef
	for _, p := range o.policies {
		for _, r := range p.rules {
			refs = append(refs, r.ref)
		}
	}
	return refs
}

// rulesFor returns the rules that apply to an object on a cluster, in their order.
func (o *Overrides) rulesFor(obj Object, cluster *v1alpha1.Cluster) []*compiledRule {
	if len(o.policies) == 0 {
		return nil
	}
	hits := o.index.Match(obj.Reference(), obj.GetLabels())
	slices.SortFunc(hits, func(a, b affinity.Hit) int {
		x, y := o.policies[a.ID], o.policies[b.ID]
		return cmp.Or(
			cmp.Compare(min(len(x.namespace), 1), min(len(y.namespace), 1)),
			cmp.Compare(a.Level, b.Level),
			cmp.Compare(a.ID, b.ID),
		)
	})
	var rules []*compiledRule
	for _, h := range hits {
		for _, r := range o.policies[h.ID].rules {
			if r.clusters.Match(cluster) {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

// cacheKey identifies everything that a rendering depends on.
func cacheKey(obj Object, cluster *v1alpha1.Cluster, division *Division, rules []*compiledRule) []byte {
	key := make([]byte, 0, len(obj.ContentDigest)+64+32*len(rules))
	key = append(key, obj.ContentDigest...)
	if division != nil {
		key = append(key, 'd')
		key = binary.AppendVarint(key, division.Replicas)
		if division.Completions != nil {
			key = append(key, 'c')
			key = binary.AppendVarint(key, *division.Completions)
		}
		key = append(append(append(key, division.Policy...), 0), division.Source...)
	}
	if obj.Variables {
		key = append(append(key, 'v'), factsOf(cluster).key()...)
	}
	readsCluster := false
	for _, r := range rules {
		key = append(append(key, 'r'), r.hash[:]...)
		readsCluster = readsCluster || r.readsCluster
	}
	if !readsCluster {
		return key
	}
	tree, err := document(cluster)
	if err != nil {
		return nil
	}
	return append(append(key, 'x'), canonicalJSON(tree)...)
}

// work is one object on its way through the rules for one cluster.
type work struct {
	rules            *Renderer
	custom           *schema.Custom
	apiVersion, kind string
	secret           bool
	cluster          *v1alpha1.Cluster
	// object is read-only while shared; see mutable.
	object  map[string]any
	shared  bool
	writers map[string]writer
	notes   []Note
	changed []string
	// rule and place are those of the running step, writes what the steps of the rule wrote so far.
	rule   *compiledRule
	place  location
	writes []write
	idles  int
}

// write is a field that a step wrote, or the root of what it may have written.
type write struct {
	pointer string
	place   location
}

// compute renders an object without looking at what is remembered.
func (r *Renderer) compute(obj Object, cluster *v1alpha1.Cluster, division *Division, rules []*compiledRule, custom *schema.Custom) *result {
	w := &work{
		rules: r, custom: custom, apiVersion: obj.GetAPIVersion(), kind: obj.GetKind(), secret: IsSecret(obj.Unstructured),
		cluster: cluster, object: obj.Object, shared: true, writers: map[string]writer{},
	}
	matched := make([]RuleRef, 0, len(rules))
	for _, rule := range rules {
		matched = append(matched, rule.ref)
	}
	failed := func(err *OverrideError) *result {
		err.ID = cmp.Or(err.ID, v1alpha1.FindingOverrideFailed)
		return &result{rendered: Rendered{Matched: matched}, err: err, weight: resultOverhead}
	}
	w.dropDuplicates()
	w.divide(division)
	if obj.Variables {
		if err := w.substitute(factsOf(cluster), obj.Origin.Source); err != nil {
			return failed(err)
		}
	}
	for _, rule := range rules {
		if err := w.run(rule, obj.Object); err != nil {
			return failed(err)
		}
	}
	w.rule = nil
	w.dropDuplicates()
	object, err := Normalize(&unstructured.Unstructured{Object: w.object})
	if err != nil {
		e := &OverrideError{Message: err.Error(), Source: obj.Origin.Source}
		if len(rules) > 0 {
			e.Rule, e.Source = rules[len(rules)-1].ref, rules[len(rules)-1].ref.Source
		}
		return failed(e)
	}
	canonical := canonicalJSON(object.Object)
	if len(canonical) > maxObjectBytes && len(w.changed) > 0 {
		return failed(&OverrideError{
			Rule: rules[len(rules)-1].ref, Source: rules[len(rules)-1].ref.Source,
			Message: fmt.Sprintf("the object would have %d bytes, more than %d", len(canonical), maxObjectBytes),
		})
	}
	weight := int64(resultOverhead + len(canonical))
	if len(w.changed) == 0 && division == nil && !obj.Variables && jsonEqual(object.Object, obj.Object) {
		// Most objects stay as they are on most clusters, and need no copy.
		object, weight = obj.Unstructured, resultOverhead
	}
	return &result{
		rendered: Rendered{
			Object: object, Fields: w.origins(), Overrides: w.changed, Notes: w.notes, Matched: matched, Digest: digestOf(canonical),
		},
		weight: weight,
	}
}

// mutable returns the object for changes in place, a copy where someone else holds it.
func (w *work) mutable() map[string]any {
	if w.shared {
		w.object, w.shared = runtime.DeepCopyJSON(w.object), false
	}
	return w.object
}

// become makes a tree that nobody else holds the object.
func (w *work) become(object map[string]any) { w.object, w.shared = object, false }

// run applies one rule and finds out what it changed.
func (w *work) run(rule *compiledRule, base map[string]any) *OverrideError {
	w.rule, w.writes, w.idles = rule, nil, 0
	before := w.object
	w.shared = true
	for _, s := range rule.steps {
		w.place = s.place
		if err := s.step.apply(w); err != nil {
			failed := w.overrideError(err)
			_, failed.Invalid = s.step.(brokenStep)
			return failed
		}
	}
	w.place = rule.place
	w.preferData(before)
	if err := checkIdentity(base, w.object); err != nil {
		return w.overrideError(err)
	}
	t := &tracer{before: w.writers, after: map[string]writer{}, by: w.writerOf, overwritten: w.noteConflict}
	t.walk(before, w.object, "", "")
	w.writers = t.after
	switch {
	case t.changed:
		w.changed = append(w.changed, rule.ref.Source)
	case w.idles == 0 && !rule.onlyTests:
		w.idle("the rule changes nothing")
	}
	return nil
}

// preferData lets an override of a Secret's data win over its stringData, which the API server
// would prefer.
func (w *work) preferData(before map[string]any) {
	if _, ok := w.object["stringData"].(map[string]any); !w.secret || !ok {
		return
	}
	clear := w.mutable()["stringData"].(map[string]any)
	old, _ := before["data"].(map[string]any)
	now, _ := w.object["data"].(map[string]any)
	for key, value := range now {
		if !jsonEqual(value, old[key]) {
			delete(clear, key)
		}
	}
}

// dropDuplicates removes items with equal keys from keyed lists and carries origins along.
func (w *work) dropDuplicates() {
	if !dropDuplicates(w.object, w.apiVersion, w.kind, nil) {
		return
	}
	before := w.object
	w.shared = true
	dropDuplicates(w.mutable(), w.apiVersion, w.kind, func(message string) { w.note(v1alpha1.FindingDuplicateKey, "%s", message) })
	t := &tracer{before: w.writers, after: map[string]writer{}}
	t.walk(before, w.object, "", "")
	w.writers = t.after
}

// writerOf returns the writer of a field that the running rule changed: the last of its steps that
// wrote there, else the rule as a whole.
func (w *work) writerOf(pointer string) writer {
	place := w.rule.place
	for i := len(w.writes) - 1; i >= 0; i-- {
		if related(pointer, w.writes[i].pointer) {
			place = w.writes[i].place
			break
		}
	}
	return writer{
		policy: w.rule.policy.number,
		Origin: Origin{Kind: OriginOverride, Name: w.rule.policy.name, Rule: w.rule.ref.Rule, Source: place.position.String()},
	}
}

// noteConflict reports a field that another policy, or the division, had written.
func (w *work) noteConflict(pointer string, previous, now writer) {
	if previous.policy == variableWriter {
		return
	}
	what := fmt.Sprintf("%s overwrites %s, which policy %q (%s) wrote", w.rule.policy, pointer, previous.Name, previous.Source)
	if previous.policy == divisionWriter {
		what = fmt.Sprintf("%s overwrites %s, the share that policy %q (%s) divided", w.rule.policy, pointer, previous.Name, previous.Source)
	}
	w.notes = append(w.notes, Note{
		ID: v1alpha1.FindingOverrideConflict, Message: what, Source: now.Source, Repository: w.rule.policy.repository, Rule: w.rule.ref,
	})
}

// origins are those of the finished object, in which stringData has become data.
func (w *work) origins() map[string]Origin {
	fields := origins(w.writers)
	if !w.secret {
		return fields
	}
	for _, pointer := range sortedKeys(fields) {
		if rest, ok := strings.CutPrefix(pointer, "/stringData"); ok {
			if _, ok := fields["/data"+rest]; !ok {
				fields["/data"+rest] = fields[pointer]
			}
			delete(fields, pointer)
		}
	}
	return fields
}

// wrote notes that the running step wrote at or below a pointer.
func (w *work) wrote(pointer string) { w.wroteAt(pointer, w.place) }

func (w *work) wroteAt(pointer string, place location) {
	w.writes = append(w.writes, write{pointer, place})
}

// idle notes that the running step, or one thing that it asks for, has no effect on this object.
func (w *work) idle(format string, args ...any) { w.idleAt(w.place, format, args...) }

func (w *work) idleAt(place location, format string, args ...any) {
	w.idles++
	w.noteAt(place, v1alpha1.FindingOverrideNoOp, fmt.Sprintf(format, args...))
}

func (w *work) note(id, format string, args ...any) {
	w.noteAt(w.place, id, fmt.Sprintf(format, args...))
}

func (w *work) noteAt(place location, id, message string) {
	n := Note{ID: id, Message: message}
	if w.rule != nil {
		n.Source, n.Repository, n.Rule = place.position.String(), place.repository, w.rule.ref
	}
	w.notes = append(w.notes, n)
}

// detail returns the text of a foreign error for a message, and nothing for a Secret, of which such
// a text may quote a value.
func (w *work) detail(err error) string {
	if w.secret {
		return ""
	}
	return ": " + err.Error()
}

// failAt moves the blame for an error to another place than that of the running step.
func (w *work) failAt(place location, err error) error {
	w.place = place
	return err
}

func (w *work) overrideError(err error) *OverrideError {
	return &OverrideError{Rule: w.rule.ref, Source: w.place.position.String(), Message: err.Error()}
}

func (w *work) clusterDocument() (map[string]any, error) { return document(w.cluster) }
