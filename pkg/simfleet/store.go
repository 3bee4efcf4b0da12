package simfleet

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage"
)

// firstRevision is the revision of an empty store. As in etcd it is 1, and the
// first write gets 2, so no object ever has resource version "1". That is what
// makes a create of an apply with resourceVersion "1" safe.
const firstRevision = 1

// store holds the objects of one cluster, in memory, with one revision counter
// for all kinds and, per kind, the window of recent changes from which watches
// and consistent pages are answered. Objects in it are never changed in place.
type store struct {
	window int

	// changed is called after each change, without the lock held.
	changed func(schema.GroupResource, change)

	mu       sync.Mutex
	revision uint64
	tables   map[schema.GroupResource]*table
	owners   owners
}

// table is what a store knows about one kind.
type table struct {
	objects map[string]runtime.Object
	// keys are the keys of objects in order; nil when they must be sorted again.
	keys []string
	// log holds the latest changes, oldest first. Changes up to and including
	// compacted are gone from it.
	log       []change
	compacted uint64
	// wake is closed at the next change; nil while nobody waits.
	wake chan struct{}
}

// change is one entry of a table's log. An object is absent before its creation
// and after its deletion; a deletion carries the object at the revision of the
// deletion, as the API server sends it.
type change struct {
	revision uint64
	key      string
	before   runtime.Object
	after    runtime.Object
	// deleted is the last state with the deletion's revision.
	deleted runtime.Object
}

func newStore(window int, changed func(schema.GroupResource, change)) *store {
	return &store{window: window, changed: changed, revision: firstRevision, tables: map[schema.GroupResource]*table{}, owners: newOwners()}
}

func storeKey(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

func (s *store) table(gr schema.GroupResource) *table {
	t := s.tables[gr]
	if t == nil {
		t = &table{objects: map[string]runtime.Object{}, compacted: s.revision}
		s.tables[gr] = t
	}
	return t
}

// get returns the stored object or nil. The caller must not change it.
func (s *store) get(gr schema.GroupResource, key string) runtime.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[gr]; t != nil {
		return t.objects[key]
	}
	return nil
}

func (s *store) currentRevision() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// put stores obj in place of the object with revision expect (0: there must be
// none) and returns what is stored then. It writes nothing when nothing differs.
// It takes obj over; the error is one of package storage.
func (s *store) put(gr schema.GroupResource, key string, expect uint64, obj runtime.Object) (runtime.Object, error) {
	s.mu.Lock()
	t := s.table(gr)
	before := t.objects[key]
	if before == nil && expect != 0 {
		s.mu.Unlock()
		return nil, storage.NewKeyNotFoundError(key, int64(s.revision))
	}
	if before != nil && expect == 0 {
		s.mu.Unlock()
		return nil, storage.NewKeyExistsError(key, 0)
	}
	if before != nil && revisionOf(before) != expect {
		s.mu.Unlock()
		return nil, storage.NewResourceVersionConflictsError(key, 0)
	}
	if before != nil {
		setRevision(obj, expect)
		if equality.Semantic.DeepEqual(before, obj) {
			s.mu.Unlock()
			return before, nil
		}
	}
	s.revision++
	setRevision(obj, s.revision)
	t.objects[key] = obj
	if before == nil {
		t.keys = nil
	}
	c := change{revision: s.revision, key: key, before: before, after: obj}
	t.append(c, s.window)
	s.owners.note(gr, c)
	s.mu.Unlock()
	s.changed(gr, c)
	return obj, nil
}

// remove deletes the object with revision expect and returns its last state,
// with the revision of the deletion.
func (s *store) remove(gr schema.GroupResource, key string, expect uint64) (runtime.Object, error) {
	s.mu.Lock()
	t := s.table(gr)
	before := t.objects[key]
	if before == nil {
		s.mu.Unlock()
		return nil, storage.NewKeyNotFoundError(key, int64(s.revision))
	}
	if revisionOf(before) != expect {
		s.mu.Unlock()
		return nil, storage.NewResourceVersionConflictsError(key, 0)
	}
	s.revision++
	last := before.DeepCopyObject()
	setRevision(last, s.revision)
	delete(t.objects, key)
	t.keys = nil
	c := change{revision: s.revision, key: key, before: before, deleted: last}
	t.append(c, s.window)
	s.owners.note(gr, c)
	s.mu.Unlock()
	s.changed(gr, c)
	return last, nil
}

// list returns the objects whose key starts with prefix, in the order of their
// keys, and the revision they are from. At 0 that is now; an older revision is
// put together from the log.
func (s *store) list(gr schema.GroupResource, prefix string, at uint64) ([]runtime.Object, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table(gr)
	if at == 0 || at == s.revision {
		return t.now(prefix), s.revision, nil
	}
	objects, err := t.past(prefix, at)
	return objects, at, err
}

func (t *table) now(prefix string) []runtime.Object {
	if t.keys == nil {
		t.keys = make([]string, 0, len(t.objects))
		for k := range t.objects {
			t.keys = append(t.keys, k)
		}
		slices.Sort(t.keys)
	}
	var out []runtime.Object
	for _, k := range t.keys[sort.SearchStrings(t.keys, prefix):] {
		if !hasPrefix(k, prefix) {
			break
		}
		out = append(out, t.objects[k])
	}
	return out
}

// past undoes, newest first, what happened after revision at.
func (t *table) past(prefix string, at uint64) ([]runtime.Object, error) {
	if at < t.compacted {
		return nil, errCompacted(at, t.compacted)
	}
	objects := map[string]runtime.Object{}
	for k, o := range t.objects {
		if hasPrefix(k, prefix) {
			objects[k] = o
		}
	}
	for i := len(t.log) - 1; i >= 0 && t.log[i].revision > at; i-- {
		c := t.log[i]
		switch {
		case !hasPrefix(c.key, prefix):
		case c.before == nil:
			delete(objects, c.key)
		default:
			objects[c.key] = c.before
		}
	}
	keys := make([]string, 0, len(objects))
	for k := range objects {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := make([]runtime.Object, 0, len(keys))
	for _, k := range keys {
		out = append(out, objects[k])
	}
	return out, nil
}

// since returns the changes after revision at, at most limit of them, and a
// channel that is closed at the next change if there is none yet.
func (s *store) since(gr schema.GroupResource, at uint64, limit int) (changes []change, wake <-chan struct{}, revision uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table(gr)
	if at < t.compacted {
		return nil, nil, 0, errCompacted(at, t.compacted)
	}
	i := sort.Search(len(t.log), func(i int) bool { return t.log[i].revision > at })
	if i < len(t.log) {
		j := min(len(t.log), i+limit)
		return slices.Clone(t.log[i:j]), nil, t.log[j-1].revision, nil
	}
	if t.wake == nil {
		t.wake = make(chan struct{})
	}
	return nil, t.wake, s.revision, nil
}

// compact forgets the changes of every kind, as a busy cluster does after five
// minutes: watches from an older revision answer 410 Gone.
func (s *store) compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		t.log, t.compacted = nil, s.revision
	}
}

func (t *table) append(c change, window int) {
	if len(t.log) >= window {
		// Dropping a quarter at once keeps the copying rare.
		n := len(t.log) - window*3/4
		t.compacted = t.log[n-1].revision
		t.log = append(make([]change, 0, window), t.log[n:]...)
	}
	t.log = append(t.log, c)
	if t.wake != nil {
		close(t.wake)
		t.wake = nil
	}
}

// compactedError says that a revision is older than the window of changes.
type compactedError struct{ asked, oldest uint64 }

func errCompacted(asked, oldest uint64) error { return compactedError{asked, oldest} }

func (e compactedError) Error() string {
	return fmt.Sprintf("too old resource version: %d (%d)", e.asked, e.oldest)
}

func hasPrefix(key, prefix string) bool {
	return len(key) >= len(prefix) && key[:len(prefix)] == prefix
}

func isConflict(err error) bool { return storage.IsConflict(err) || storage.IsExist(err) }

func revisionOf(obj runtime.Object) uint64 {
	m, err := meta.Accessor(obj)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(m.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func setRevision(obj runtime.Object, revision uint64) {
	if m, err := meta.Accessor(obj); err == nil {
		m.SetResourceVersion(strconv.FormatUint(revision, 10))
	}
}
