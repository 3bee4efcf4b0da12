package apply

import (
	"maps"
	"slices"
	"sync"
	"time"
	"unique"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// kindID names a kind in the version in which it is looked at.
type kindID struct {
	schema.GroupKind
	apiVersion string
}

func (k kindID) key(namespace, name string) v1alpha1.ObjectKey {
	return v1alpha1.ObjectKey{Group: k.Group, Kind: k.Kind, Namespace: one(namespace), Name: one(name)}
}

// state is what is known of the objects of ours on one member. All methods may be called at any time.
//
// It is written to from two sides: by the watches and by our own writes, whose answers come before or
// after the event that they cause. An event that arrives while a write to its object is in flight is
// put aside until the answer is there, so that the echo of our own write is never taken for a change
// by someone else.
type state struct {
	mu    sync.Mutex
	kinds map[schema.GroupKind]*kindState
	// sets are the ids of the ApplySets of this hub, with the name of their source.
	sets map[string]string
	// version counts changes; inventory is what was built of the latest one that was asked for.
	version   uint64
	inventory plan.Inventory
	builtFrom uint64
	// judged tells which kinds have a health rule.
	judged func(schema.GroupKind) bool

	// moved fires on every change, foreign ones included.
	moved signal
	// foreign fires when something changed that was not our write; health apart.
	foreign signal
	// notify is called without the lock after changes that a plan may depend on.
	notify func()
}

func newState(judged func(schema.GroupKind) bool, notify func()) *state {
	return &state{
		kinds: map[schema.GroupKind]*kindState{}, sets: map[string]string{}, version: 1,
		judged: judged, notify: notify,
	}
}

// kindState is what is known of the objects of one kind.
type kindState struct {
	// synced tells that objects is complete as of the last list.
	synced bool
	// required tells that an ApplySet of ours lists the kind, so that without it the inventory is
	// not known.
	required bool
	// seen is the resource version up to which lists and watches have told of the kind.
	seen string
	// judged tells that the kind has a health rule.
	judged  bool
	objects map[types.NamespacedName]*entry
	writing map[types.NamespacedName]*write
	// removed are the uids of objects that we removed and whose end the watch has not told yet: what it tells
	// of them until then is of before.
	removed map[types.NamespacedName]string
	// tally counts the objects by health; unjudged says of which the rule failed, and why.
	tally    Tally
	unjudged map[types.NamespacedName]string
}

// entry is one object of ours.
type entry struct {
	// held is shared with inventories: once it is in the state it is replaced, never changed.
	held       *plan.Held
	generation int64
	// found makes up held.Detail().Drift; nil: there is none.
	found *found
	// settled is the state that is known to be as we left it, or has been compared.
	settled settledAt
}

// found are the parts of what someone else changed: missing metadata of ours, and what a comparison found.
type found struct{ lost, differs []string }

// differs is what the last comparison found.
func (e *entry) differs() []string {
	if e.found == nil {
		return nil
	}
	return e.found.differs
}

// change gives the entry a copy of what is held, to be changed.
func (e *entry) change() *plan.Held {
	h := *e.held
	e.held = &h
	return &h
}

type settledAt struct {
	generation      int64
	resourceVersion string
}

// write counts the writes in flight to one object and keeps what a watch told meanwhile.
type write struct {
	inFlight int
	event    *observed
	deleted  bool
}

// look is what the caller of a state method has to do next, outside the lock.
type look int

const (
	lookNone look = iota
	// lookGone asks to verify by name that an object is gone.
	lookGone
	// lookCompare asks to compare the whole object with what is desired.
	lookCompare
)

// kind returns the state of a kind, made on first use.
func (s *state) kind(gk schema.GroupKind) *kindState {
	k := s.kinds[gk]
	if k == nil {
		k = &kindState{
			judged: s.judged(gk), objects: map[types.NamespacedName]*entry{}, writing: map[types.NamespacedName]*write{},
			unjudged: map[types.NamespacedName]string{},
		}
		s.kinds[gk] = k
	}
	return k
}

// see takes in what a watch or a list tells of an object.
func (s *state) see(o *observed) look {
	s.mu.Lock()
	k := s.kind(o.groupKind())
	if w := k.writing[o.name()]; w != nil {
		w.event, w.deleted = o, false
		s.mu.Unlock()
		return lookNone
	}
	next, effect := s.take(k, o)
	s.mu.Unlock()
	s.announce(effect)
	return next
}

// effect says who must be told of a change.
type effect int

const (
	effectNone effect = iota
	effectOwn
	effectHealth
	effectForeign
)

// take updates the entry of an object. The caller holds the lock.
func (s *state) take(k *kindState, o *observed) (look, effect) {
	e := k.objects[o.name()]
	switch {
	case e == nil && k.removed[o.name()] == string(o.uid):
		return lookNone, effectNone
	case e == nil:
	case e.held.UID != string(o.uid):
		if newer(e.held.ResourceVersion, o.resourceVersion) {
			return lookNone, effectNone
		}
		// Another object of that name took the place of ours.
		e = nil
	case !newer(o.resourceVersion, e.held.ResourceVersion):
		return s.rejudge(k, e, o)
	}
	if !s.ours(e, o) {
		if k.objects[o.name()] == nil {
			return lookNone, effectNone
		}
		k.remove(o.name())
		s.version++
		return lookNone, effectForeign
	}
	if e == nil {
		// A new one of ours that we did not just write: of an earlier life, or given its label back.
		k.put(o.name(), s.entryOf(k, o))
		s.version++
		return lookNone, effectForeign
	}
	before, unjudged := *e, len(k.unjudged)
	e.change()
	k.count(e, -1)
	s.fill(k, e, o)
	k.count(e, 1)
	s.version++
	eff := difference(&before, e)
	if eff == effectForeign {
		e.held.SetDetail(func(d *plan.HeldDetails) { d.ChangedAt = time.Now() })
	}
	if len(k.unjudged) != unjudged {
		eff = max(eff, effectHealth)
	}
	if e.settled.covers(o) {
		return lookNone, eff
	}
	return lookCompare, eff
}

// rejudge takes only the health from a look that is not newer than what is known. A write's answer
// carries no health, so the event with the same resource version adds it.
func (s *state) rejudge(k *kindState, e *entry, o *observed) (look, effect) {
	if !o.judged || o.resourceVersion != e.held.ResourceVersion {
		return lookNone, effectNone
	}
	before, unjudged := *e, len(k.unjudged)
	e.change()
	k.count(e, -1)
	k.judgeBy(e, o)
	k.count(e, 1)
	s.version++
	eff := difference(&before, e)
	if len(k.unjudged) != unjudged {
		eff = max(eff, effectHealth)
	}
	return lookNone, eff
}

// ours decides about an object, given the entry that it had. An object that was ours stays ours while
// it has the label or our entry: what it lost is drift. One that is new to us needs all three.
func (s *state) ours(e *entry, o *observed) bool {
	if o.controlled {
		return false
	}
	if e != nil {
		if id := o.setID(); id != "" && !ownsDigest(o.owned) {
			return s.sets[id] != ""
		}
		return len(o.owned) > 0
	}
	return o.isSelf() && s.sets[o.setID()] != ""
}

// entryOf makes the entry of an object that is seen for the first time.
func (s *state) entryOf(k *kindState, o *observed) *entry {
	e := &entry{held: &plan.Held{}, settled: settledAt{o.generation, o.resourceVersion}}
	switch {
	case o.judged:
	case k.judged:
		// Metadata does not say; the watch of the kind will.
		e.setHealth(v1alpha1.HealthProgressing, "nobody has looked at it yet")
	default:
		e.held.Health = v1alpha1.HealthHealthy
	}
	s.fill(k, e, o)
	return e
}

// fill copies what a look tells into an entry.
func (s *state) fill(k *kindState, e *entry, o *observed) {
	h := e.held
	h.ObjectReference = v1alpha1.ObjectReference{
		APIVersion: o.apiVersion, Kind: o.key.Kind, Namespace: o.key.Namespace, Name: o.key.Name,
	}
	h.UID, h.ResourceVersion = string(o.uid), o.resourceVersion
	if id := o.setID(); s.sets[id] != "" {
		h.Source = s.sets[id]
	}
	if d := o.annotations[v1alpha1.AnnotationDigest]; d != "" || ownsDigest(o.owned) {
		h.Digest = one(d)
	}
	h.OwnedFields = one(string(o.owned))
	h.Replicas, h.Terminating = o.replicas(), o.terminating
	h.SetDetail(func(d *plan.HeldDetails) {
		d.Managers = managersOf(d.Managers, o)
		d.Prune, d.PausedUntil = o.annotations[v1alpha1.AnnotationPrune], o.pausedUntil()
		if o.object != nil {
			d.State = o.state
		}
	})
	e.generation = o.generation
	if o.judged {
		k.judgeBy(e, o)
	}
	e.setDrift(o.lostMetadata(), e.differs())
}

// setDrift says what someone else changed in an entry that is not shared yet.
func (e *entry) setDrift(lost, differs []string) {
	e.found = nil
	if len(lost)+len(differs) > 0 {
		e.found = &found{lost, differs}
	}
	e.held.SetDetail(func(d *plan.HeldDetails) { d.Drift = slices.Concat(lost, differs) })
}

// setHealth says how an object is that an entry holds which is not shared yet.
func (e *entry) setHealth(h v1alpha1.Health, message string) {
	e.held.Health = h
	e.held.SetDetail(func(d *plan.HeldDetails) { d.HealthMessage = message })
}

// one returns the one copy that equal strings share, over all clusters: names, digests and sets of fields are the
// same on each.
func one(s string) string { return unique.Make(s).Value() }

// covers tells that nothing was written to the object since it was settled that metadata might hide.
func (a settledAt) covers(o *observed) bool {
	if o.generation != 0 {
		return o.generation == a.generation
	}
	return o.resourceVersion == a.resourceVersion
}

// difference says who has to hear of the change between two states of an entry.
func difference(a, b *entry) effect {
	x, y := a.held, b.held
	switch {
	case x.UID != y.UID, x.Source != y.Source, x.Digest != y.Digest, x.Detail().Prune != y.Detail().Prune, x.Terminating != y.Terminating,
		!x.Detail().PausedUntil.Equal(y.Detail().PausedUntil), !slices.Equal(x.Detail().Drift, y.Detail().Drift), !sameFields(x.OwnedFields, y.OwnedFields),
		!sameNumber(x.Replicas, y.Replicas):
		return effectForeign
	case x.Health != y.Health, !slices.EqualFunc(x.Detail().Managers, y.Detail().Managers, sameClaim):
		// A claim on a field of ours that stays ours too matters to rules that leave fields to others.
		return effectHealth
	}
	return effectOwn
}

// sameClaim tells that a manager owns what it owned.
func sameClaim(a, b plan.Manager) bool { return a.Name == b.Name && sameFields(a.Fields, b.Fields) }

// managersOf returns who else owns fields, with one copy of what is alike.
func managersOf(before []plan.Manager, o *observed) []plan.Manager {
	if len(o.managers) == 0 {
		return nil
	}
	same := func(a, b plan.Manager) bool {
		return a.Time.Equal(b.Time) && a.Name == b.Name && a.Fields == b.Fields
	}
	if slices.EqualFunc(before, o.managers, same) {
		return before
	}
	out := make([]plan.Manager, len(o.managers))
	for i, m := range o.managers {
		m.Fields = one(m.Fields)
		out[i] = m
	}
	return out
}

func sameNumber(a, b *int64) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

// missed takes in that a watch reports an object as deleted, or that a list lacks it.
func (s *state) missed(gk schema.GroupKind, name types.NamespacedName) look {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kind(gk)
	delete(k.removed, name)
	if w := k.writing[name]; w != nil {
		w.deleted = true
		return lookNone
	}
	if k.objects[name] == nil {
		return lookNone
	}
	return lookGone
}

// gone takes in that an object with the uid is certainly not there any more.
func (s *state) gone(gk schema.GroupKind, name types.NamespacedName, uid string) {
	s.mu.Lock()
	k := s.kind(gk)
	e := k.objects[name]
	if w := k.writing[name]; w != nil {
		// The write decides, and has the object looked for again.
		w.deleted = true
		s.mu.Unlock()
		return
	}
	if e == nil || (uid != "" && e.held.UID != uid) {
		s.mu.Unlock()
		return
	}
	terminating := e.held.Terminating
	k.remove(name)
	s.version++
	s.mu.Unlock()
	if terminating && gk != crdKind {
		// Its end was announced when it began; health waits and plans still want to know. Objects of a kind
		// whose definition has gone wait for a plan that brings it back.
		s.announce(effectHealth)
		return
	}
	s.announce(effectForeign)
}

// replaced takes in a whole list of a kind: the objects that it lacks are returned, since only a look
// by name proves that they are gone. Objects that were written after the list was made are left out.
func (s *state) replaced(gk schema.GroupKind, listed map[types.NamespacedName]bool, listVersion string) []types.NamespacedName {
	s.mu.Lock()
	k := s.kind(gk)
	var missing []types.NamespacedName
	for name, e := range k.objects {
		if !listed[name] && !newer(e.held.ResourceVersion, listVersion) {
			missing = append(missing, name)
		}
	}
	eff := effectNone
	if !k.synced {
		k.synced, eff = true, k.firstTold()
		s.version++
	}
	s.mu.Unlock()
	s.announce(eff)
	return missing
}

// heard takes in how far the watch of a kind is, and tells whether that is before what was told already.
func (s *state) heard(gk schema.GroupKind, resourceVersion string) (rewound bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kind(gk)
	if older(resourceVersion, k.seen) {
		return true
	}
	k.seen = resourceVersion
	return false
}

// relisted takes in that a list of the kind as of a version is about to be told. Lists are of the newest
// state, so one from before what was told already is of a cluster that was restored from a backup: what
// is known of later versions is not true any more, and says nothing about what is there.
func (s *state) relisted(gk schema.GroupKind, listVersion string) {
	s.mu.Lock()
	k := s.kind(gk)
	eff := effectNone
	if older(listVersion, k.seen) {
		for name := range k.objects {
			k.remove(name)
		}
		s.version++
		eff = effectForeign
	}
	k.seen = listVersion
	clear(k.removed)
	s.mu.Unlock()
	s.announce(eff)
}

// unsynced marks every kind as not complete until it is listed again.
func (s *state) unsynced() {
	s.mu.Lock()
	for _, k := range s.kinds {
		k.synced = false
	}
	s.version++
	s.mu.Unlock()
}

// notServed takes in that the cluster serves no such kind, so that it has no objects of it.
func (s *state) notServed(gk schema.GroupKind) {
	s.mu.Lock()
	k := s.kind(gk)
	eff := effectNone
	if !k.synced {
		eff = k.firstTold()
		s.version++
	}
	if len(k.objects) > 0 {
		eff = effectForeign
		s.version++
	}
	k.synced = true
	for name := range k.objects {
		k.remove(name)
	}
	s.mu.Unlock()
	s.announce(eff)
}

// begin tells that a write to an object starts; each begin is followed by one end or ended.
func (s *state) begin(key v1alpha1.ObjectKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kind(gkOfKey(key))
	w := k.writing[nameOf(key)]
	if w == nil {
		w = &write{}
		k.writing[nameOf(key)] = w
	}
	w.inFlight++
}

// wrote is what a write did.
type wrote struct {
	// object is the state after it; nil with removed false: the write failed.
	object *observed
	// removed tells that the object is gone.
	removed bool
}

// end takes in the result of a write and then what the watch told meanwhile.
func (s *state) end(key v1alpha1.ObjectKey, result wrote) look {
	s.mu.Lock()
	k, name := s.kind(gkOfKey(key)), nameOf(key)
	w := k.writing[name]
	w.inFlight--
	if old := k.objects[name]; result.removed && old != nil && !w.deleted {
		if k.removed == nil {
			k.removed = map[types.NamespacedName]string{}
		}
		k.removed[name] = old.held.UID
	}
	eff := s.takeWrite(k, name, result)
	next := lookNone
	if w.inFlight == 0 {
		if delete(k.writing, name); len(k.writing) == 0 {
			k.writing = map[types.NamespacedName]*write{} // It does not shrink by itself.
		}
		if w.event != nil && !w.deleted && !result.removed {
			var e effect
			next, e = s.take(k, w.event)
			eff = max(eff, e)
		}
		if w.deleted && !result.removed && k.objects[name] != nil {
			next = lookGone
		}
	}
	s.mu.Unlock()
	s.announce(eff)
	return next
}

// takeWrite updates the entry of an object that we wrote. The caller holds the lock.
func (s *state) takeWrite(k *kindState, name types.NamespacedName, result wrote) effect {
	switch {
	case result.removed:
		k.remove(name)
	case result.object == nil:
		return effectNone
	default:
		o := result.object
		old := k.objects[name]
		if old != nil && old.held.UID == string(o.uid) && newer(old.held.ResourceVersion, o.resourceVersion) {
			return effectNone
		}
		e := s.entryOf(k, o)
		if old != nil && old.held.UID == string(o.uid) {
			before := old.held.Detail()
			e.setHealth(old.held.Health, before.HealthMessage)
			e.held.SetDetail(func(d *plan.HeldDetails) { d.State = before.State })
		}
		if k.judged && (old == nil || old.generation != o.generation || o.generation == 0 && old.held.ResourceVersion != o.resourceVersion) {
			// Nobody has looked at the new state; it is not healthy until someone has.
			e.setHealth(v1alpha1.HealthProgressing, "just written")
		}
		k.put(name, e)
	}
	s.version++
	return effectOwn
}

// compared takes in the result of a full comparison.
func (s *state) compared(o *observed, differs []string) {
	s.mu.Lock()
	e := s.kind(o.groupKind()).objects[o.name()]
	if e == nil || e.held.UID != string(o.uid) || newer(e.held.ResourceVersion, o.resourceVersion) {
		// Something newer is known, and has been or will be looked at on its own.
		s.mu.Unlock()
		return
	}
	e.settled = settledAt{o.generation, o.resourceVersion}
	eff := effectNone
	if !slices.Equal(e.differs(), differs) {
		var lost []string
		if e.found != nil {
			lost = e.found.lost
		}
		e.change()
		e.setDrift(lost, differs)
		if e.held.Detail().ChangedAt.IsZero() {
			e.held.SetDetail(func(d *plan.HeldDetails) { d.ChangedAt = time.Now() })
		}
		s.version++
		eff = effectForeign
	}
	s.mu.Unlock()
	s.announce(eff)
}

// announce tells whoever waits for such a change. The caller does not hold the lock.
func (s *state) announce(e effect) {
	if e == effectNone {
		return
	}
	s.moved.fire()
	if e == effectForeign {
		s.foreign.fire()
	}
	if e != effectOwn {
		s.notify()
	}
}

// held returns one object of ours.
func (s *state) held(key v1alpha1.ObjectKey) (plan.Held, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kinds[gkOfKey(key)]
	if k == nil || k.objects[nameOf(key)] == nil {
		return plan.Held{}, false
	}
	return *k.objects[nameOf(key)].held, true
}

// all returns every object of ours.
func (s *state) all() plan.Inventory {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.builtFrom == s.version {
		return s.inventory
	}
	count := 0
	for _, k := range s.kinds {
		count += len(k.objects)
	}
	objects := make([]*plan.Held, 0, count)
	for _, k := range s.kinds {
		for _, e := range k.objects {
			objects = append(objects, e.held)
		}
	}
	s.inventory, s.builtFrom = plan.NewInventory(objects), s.version
	return s.inventory
}

// survivors are the kinds and namespaces of the objects of a set that are there now.
func (s *state) survivors(setID string) (groupKinds, namespaces []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for gk, k := range s.kinds {
		found := false
		for name, e := range k.objects {
			if e.held.Source == s.sets[setID] {
				found = true
				namespaces = append(namespaces, name.Namespace)
			}
		}
		if found {
			groupKinds = append(groupKinds, gk.String())
		}
	}
	return groupKinds, namespaces
}

// ownSets returns the ids of the ApplySets of this hub, with the name of their source.
func (s *state) ownSets() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.sets)
}

// know takes in a set of this hub and the kinds that its parent lists.
func (s *state) know(setID, source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets[setID] = source
}

// require tells that the inventory is not known without the kind; empty tells that the set which begins
// to list it has no object of it yet, which is all there is to know unless another set lists it, too.
func (s *state) require(gk schema.GroupKind, empty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kind(gk)
	if empty && !k.required {
		k.synced = true
	}
	k.required = true
}

// firstTold says who has to hear that a kind was looked at for the first time. Nobody's waiting is in vain
// for that, unless an ApplySet of ours lists the kind.
func (k *kindState) firstTold() effect {
	if k.required {
		return effectForeign
	}
	return effectHealth
}

// missingKinds are the kinds that the inventory waits for, in no order.
func (s *state) missingKinds() (out []schema.GroupKind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for gk, k := range s.kinds {
		if k.required && !k.synced {
			out = append(out, gk)
		}
	}
	return out
}

// nameOf is an object's key within its kind.
func nameOf(key v1alpha1.ObjectKey) types.NamespacedName {
	return types.NamespacedName{Namespace: key.Namespace, Name: key.Name}
}

func (o *observed) groupKind() schema.GroupKind {
	return schema.GroupKind{Group: o.key.Group, Kind: o.key.Kind}
}

// newer tells whether resource version a is later than b. Versions that cannot be compared count as
// newer when they differ, so that nothing is missed.
func newer(a, b string) bool {
	if a == b {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || order > 0
}

// gkOfKey is the kind of an object's key.
func gkOfKey(key v1alpha1.ObjectKey) schema.GroupKind {
	return schema.GroupKind{Group: key.Group, Kind: key.Kind}
}
