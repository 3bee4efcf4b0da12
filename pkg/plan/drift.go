package plan

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// Manager is someone else who owns fields of an object of ours, by the API server's record.
type Manager struct {
	Name string
	// Time is when it last changed the fields that it owns.
	Time time.Time
	// Fields is its fieldsV1 document.
	Fields string
}

// maxDriftFields is how many fields of one object are listed.
const maxDriftFields = 20

// drift is what someone else did to an object on a cluster.
type drift struct {
	handling v1alpha1.DriftHandling
	at       *computation
}

// noteDrift remembers that someone else changed an object, for those who list that.
func (c *computation) noteDrift(ch *ObjectChange, handling v1alpha1.DriftHandling) {
	ch.pair.note(func(r *pairRest) { r.drift = &drift{handling: handling, at: c} })
}

// ignores tells whether someone else has a field that a rule leaves to others.
func (c *computation) ignores(t *target, held Held, manifest func() map[string]any) bool {
	for _, f := range t.lent {
		if !f.ignored {
			continue
		}
		for _, m := range held.Detail().Managers {
			if c.planner.cache.owned(m.Fields, f, t.rendered.digest, manifest) {
				return true
			}
		}
	}
	return false
}

// leftTo returns the managers that the source's rules leave fields of an object to.
func (c *computation) leftTo(it *item) map[string]bool {
	var names map[string]bool
	for i := range it.source.Spec.IgnoreDrift {
		rule := &it.source.Spec.IgnoreDrift[i]
		if len(rule.Managers) == 0 || !c.ignoreApplies(rule, it) {
			continue
		}
		if names == nil {
			names = map[string]bool{}
		}
		for _, name := range rule.Managers {
			names[name] = true
		}
	}
	return names
}

// lentOn returns the fields of an object that are not ours on one cluster: those that are not ours
// anywhere, and those that a manager has there to whom the source's rules leave them. A field that it
// gives up is ours again.
func (c *computation) lentOn(it *item, t *target, rendered render.Rendered) []lentField {
	if it.leftTo == nil {
		return it.lent
	}
	held, isHeld := it.held(t.cluster)
	if !isHeld {
		return it.lent
	}
	lent := it.lent
	for _, m := range held.Detail().Managers {
		if !it.leftTo[m.Name] {
			continue
		}
		pointers := c.planner.cache.leftTo(rendered.Digest, m.Fields, held.OwnedFields, func() map[string]any {
			return asSent(rendered.Object).Object
		})
		for _, pointer := range pointers {
			if slices.ContainsFunc(lent, func(f lentField) bool { return f.covers(pointer) }) {
				continue
			}
			if path, ok := fieldPath(pointer); ok {
				lent = append(slices.Clip(lent), lentField{pointer: pointer, path: path, ignored: true})
			}
		}
	}
	return lent
}

// covers tells that a pointer leads to the field or into it.
func (f lentField) covers(pointer string) bool {
	rest, ok := strings.CutPrefix(pointer, f.pointer)
	return ok && (rest == "" || rest[0] == '/')
}

// Drift lists the objects on a cluster that someone else changed, by handling and then in the order of
// the plan. What is being put back is among them until it is.
func (p *Plan) Drift(cluster string) []v1alpha1.ObjectDrift {
	var all []v1alpha1.ObjectDrift
	changes := p.Changes(cluster)
	for i := range changes {
		if ch := &changes[i]; ch.pair.more().drift != nil {
			all = append(all, ch.pair.rest.drift.at.describe(cluster, ch))
		}
	}
	SortDrift(all)
	return all
}

// CountDrift counts the objects on a cluster that someone else changed, by what is done about it.
func (p *Plan) CountDrift(cluster string) map[v1alpha1.DriftHandling]int {
	count := map[v1alpha1.DriftHandling]int{}
	changes := p.Changes(cluster)
	for i := range changes {
		if d := changes[i].pair.more().drift; d != nil {
			count[d.handling]++
		}
	}
	return count
}

// SortDrift puts what needs a person most first; within that by cluster and object.
func SortDrift(all []v1alpha1.ObjectDrift) {
	order := v1alpha1.DriftHandlings()
	slices.SortStableFunc(all, func(a, b v1alpha1.ObjectDrift) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Handling), slices.Index(order, b.Handling)),
			strings.Compare(a.Cluster, b.Cluster), a.Compare(b.ObjectReference))
	})
}

// describe says which fields of an object differ, who has them, and since when.
func (c *computation) describe(cluster string, ch *ObjectChange) v1alpha1.ObjectDrift {
	it, t, held := ch.pair.item, ch.pair.target, ch.pair.held
	d := v1alpha1.ObjectDrift{Cluster: cluster, ObjectReference: ch.ObjectReference, Source: ch.Source, Handling: ch.pair.more().drift.handling}
	if d.Handling == v1alpha1.DriftPaused {
		until := metav1.NewTime(held.Detail().PausedUntil)
		d.Until = &until
	}
	manifest := c.manifest(it, t)
	var pointers []string
	if d.Handling == v1alpha1.DriftIgnored {
		manifest = c.whole(it, t)
		for _, f := range t.lent {
			if f.ignored {
				pointers = append(pointers, f.pointer)
			}
		}
	} else {
		pointers = slices.Clone(held.Detail().Drift)
		if held.OwnedFields != "" {
			pointers = append(pointers, lostPointers(parseFields(held.OwnedFields), manifest)...)
		}
	}
	slices.Sort(pointers)
	ours := parseFields(held.OwnedFields)
	owners := make([]ownerOf, 0, len(held.Detail().Managers))
	for _, m := range held.Detail().Managers {
		owners = append(owners, ownerOf{m, ownedPointers(parseFields(m.Fields), ours, manifest)})
	}
	for _, pointer := range slices.Compact(pointers) {
		field := fieldDrift(pointer, owners, held.Detail().ChangedAt)
		if d.Handling == v1alpha1.DriftIgnored && field.Manager == "" {
			continue
		}
		if len(d.Fields) == maxDriftFields {
			d.More++
			continue
		}
		d.Fields = append(d.Fields, field)
	}
	return d
}

// ownerOf is a manager with what it has of a manifest.
type ownerOf struct {
	Manager
	pointers []string
}

// fieldDrift names who changed a field last.
func fieldDrift(pointer string, owners []ownerOf, seen time.Time) v1alpha1.DriftField {
	f := v1alpha1.DriftField{Path: pointer}
	var latest time.Time
	for _, o := range owners {
		if !slices.ContainsFunc(o.pointers, func(p string) bool {
			return lentField{pointer: pointer}.covers(p) || lentField{pointer: p}.covers(pointer)
		}) {
			continue
		}
		if f.Manager == "" || o.Time.After(latest) {
			f.Manager, latest = o.Name, o.Time
		}
	}
	if latest.IsZero() {
		latest = seen
	}
	if !latest.IsZero() {
		since := metav1.NewTime(latest.UTC().Truncate(time.Second))
		f.Since = &since
	}
	return f
}

// leftKey names a question to the cache about what a manager has of a manifest.
type leftKey struct {
	digest       string
	theirs, ours uint64
}

// leftTo returns the fields of a manifest that a manager has.
func (c *cache) leftTo(digest string, theirs, ours string, manifest func() map[string]any) []string {
	key := leftKey{digest, c.hash(theirs), c.hash(ours)}
	return c.left.get(key, func() []string { return ownedPointers(parseFields(theirs), parseFields(ours), manifest()) })
}

// owned tells whether a fieldsV1 document holds a field of a manifest, or a part of it. digest tells
// manifests apart.
func (c *cache) owned(fields string, f lentField, digest string, manifest func() map[string]any) bool {
	key := coverageKey{of: f.pointer, owned: c.hash(fields)}
	if f.inList() {
		key.of += "\x00" + digest
	}
	return c.coverages.get(key, func() bool {
		set := parseFields(fields)
		return !set.Empty() && ownsAt(set, manifest(), f.path)
	})
}

// DriftOf returns what someone else did to one object on a cluster; false for nothing.
func (p *Plan) DriftOf(cluster string, key v1alpha1.ObjectKey) (v1alpha1.ObjectDrift, bool) {
	ch := p.change(cluster, key)
	if ch == nil || ch.pair.more().drift == nil {
		return v1alpha1.ObjectDrift{}, false
	}
	return ch.pair.rest.drift.at.describe(cluster, ch), true
}

// DriftHandling returns what is done about an object that someone else changed; false where nobody did.
func (p *Plan) DriftHandling(cluster string, key v1alpha1.ObjectKey) (v1alpha1.DriftHandling, bool) {
	ch := p.change(cluster, key)
	if ch == nil || ch.pair.more().drift == nil {
		return "", false
	}
	return ch.pair.rest.drift.handling, true
}
