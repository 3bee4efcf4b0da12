package plan

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan/immutable"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// versions are what a change makes of one object.
type versions struct {
	item *item
	kind groupKind
	// old is nil for an object that the base does not have anywhere.
	old *unstructured.Unstructured
	new *unstructured.Unstructured
	// diff is what is different; nil where old is another cluster's, or is nil.
	diff []fieldChange
	// rendered knows where each field of new comes from.
	rendered render.Rendered
}

// risk is a finding about two versions of an object before it has a cluster.
type risk struct {
	finding
	// pointer is the field that it is about.
	pointer string
}

// changeChecks are the checks that compare two versions of an object, in order.
func changeChecks() []func(*versions) []risk {
	return []func(*versions) []risk{
		checkImmutable,
		checkClaimSize,
		checkPrivileges,
		checkGrants,
	}
}

// assess says what a reviewer must know of two versions of an object. The severity is the default of the id
// unless a check says otherwise.
func (v *preview) assess(key diffKey, it *item, old, new *unstructured.Unstructured, diff []fieldChange, rendered render.Rendered) {
	if _, known := v.risks[key]; known {
		return
	}
	ver := &versions{
		item: it, kind: groupKind{it.ref.Group(), it.ref.Kind}, old: old, new: new, rendered: rendered,
		diff: slices.DeleteFunc(slices.Clone(diff), func(d fieldChange) bool { return isLent(it.lent, d.pointer) }),
	}
	found := []finding{}
	for _, check := range changeChecks() {
		for _, r := range check(ver) {
			ref := it.ref
			r.Object = &ref
			r.Source, r.Repository, r.Field = it.Origin.Source, it.source.Source, r.pointer
			if origin := rendered.OriginOf(r.pointer); origin.Kind != render.OriginFile && origin.Source != "" {
				r.Source, r.Field = origin.Source, ""
				if rule, ok := overriding(rendered, origin); ok {
					r.Repository = rule.Repository
				}
			}
			found = append(found, r.finding)
		}
	}
	v.risks[key] = assessment{found, newNeeds(ver)}
}

// assessment is what a reviewer must know of two versions of an object.
type assessment struct {
	findings []finding
	// needed are what the object newly refers to.
	needed []v1alpha1.ObjectKey
}

// noteRisks adds what is known of two versions for one cluster.
func (v *preview) noteRisks(cluster string, it *item, key diffKey) {
	a := v.risks[key]
	for _, f := range a.findings {
		f.Clusters = []string{cluster}
		v.findings.add(f)
	}
	v.reportForeign(cluster, it, a.needed)
}

// assessNew looks at an object that a cluster gets, beside the one that the base has anywhere: what merely
// moves grants nothing new.
func (v *preview) assessNew(cluster string, ch *ObjectChange) {
	gk := groupKind{ch.Group(), ch.Kind}
	if ch.pair == nil || ch.pair.target == nil || !grants(gk) && render.PodSpecPath(ch.APIVersion, ch.Kind) == nil {
		return
	}
	key := diffKey{ch.Key(), nil, ch.pair.target.rendered}
	if _, known := v.risks[key]; !known {
		rendered, err := v.head.Rendered(cluster, ch.ObjectReference)
		if err != nil {
			return
		}
		v.assess(key, ch.pair.item, v.anywhere(ch.Key()), rendered.Object, nil, rendered)
	}
	v.noteRisks(cluster, ch.pair.item, key)
}

// anywhere returns an object as the base has it on the first of its clusters; nil where it has none.
func (v *preview) anywhere(key v1alpha1.ObjectKey) *unstructured.Unstructured {
	if v.base.at == nil {
		return nil
	}
	it := v.base.at.byKey[key]
	if it == nil || len(it.targets) == 0 {
		return nil
	}
	rendered, err := v.base.at.render(it, &it.targets[0])
	if err != nil {
		return it.Unstructured
	}
	return rendered.Object
}

// isLent tells whether a field is sent with a create alone.
func isLent(lent []lentField, pointer string) bool {
	return slices.ContainsFunc(lent, func(f lentField) bool { return pointer == f.pointer || strings.HasPrefix(pointer, f.pointer+"/") })
}

// checkImmutable names fields that the API server will refuse to change.
func checkImmutable(v *versions) []risk {
	if v.old == nil || len(v.diff) == 0 {
		return nil
	}
	changes := make([]immutable.Change, 0, len(v.diff))
	for _, d := range v.diff {
		changes = append(changes, immutable.Change{Pointer: d.pointer, Old: d.old, New: d.new})
	}
	var found []risk
	for _, f := range immutable.Changed(schema.GroupKind{Group: v.kind.group, Kind: v.kind.kind}, v.old.Object, v.new.Object, changes) {
		r := risk{pointer: f.Pointer, finding: finding{ID: ImmutableField}}
		what := fmt.Sprintf("%s: %s cannot be changed on a %s that exists", v.item.ref, f.Name, v.kind.kind)
		switch {
		case f.Unless:
			r.Severity = v1alpha1.SeverityCaution
			r.Message = what + ", unless the cluster chose the same value itself"
		case dataKinds[v.kind]:
			r.Message = what + ": make one of another name, and move what is in it"
		case v.new.GetAnnotations()[v1alpha1.AnnotationRecreate] == "allowed":
			r.Severity = v1alpha1.SeverityCaution
			r.Message = what + ": it is removed and created again, as its annotation " + v1alpha1.AnnotationRecreate + " allows"
		default:
			r.Message = fmt.Sprintf("%s: give it another name, or the annotation %s: allowed, with which it is removed and created again", what, v1alpha1.AnnotationRecreate)
		}
		found = append(found, r)
	}
	return found
}

// checkClaimSize names claims that ask for less than before.
func checkClaimSize(v *versions) []risk {
	if v.kind != (groupKind{"", "PersistentVolumeClaim"}) || v.old == nil {
		return nil
	}
	path := []string{"spec", "resources", "requests"}
	before, after := stringAt(mapAt(v.old.Object, path...), "storage"), stringAt(mapAt(v.new.Object, path...), "storage")
	if !shrinks(before, after) {
		return nil
	}
	return []risk{{
		pointer: "/spec/resources/requests/storage",
		finding: finding{ID: PVCShrink, Message: fmt.Sprintf("%s asks for %s instead of %s: a volume cannot shrink; make a smaller one of another name, and move the data", v.item.ref, after, before)},
	}}
}

// shrinks compares two quantities; those that cannot be read are the schema's business.
func shrinks(before, after string) bool {
	if v1alpha1.CheckQuantity(before) != nil || v1alpha1.CheckQuantity(after) != nil {
		return false
	}
	old, err := resource.ParseQuantity(before)
	if err != nil {
		return false
	}
	now, err := resource.ParseQuantity(after)
	return err == nil && now.Cmp(old) < 0
}
