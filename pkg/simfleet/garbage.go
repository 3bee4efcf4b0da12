package simfleet

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// place says where an object is stored.
type place struct {
	gr  schema.GroupResource
	key string
}

// owners is the garbage collector's view of a store: where each object is, by
// uid, and which objects name it as an owner. The store keeps it.
type owners struct {
	where      map[types.UID]place
	dependents map[types.UID]map[place]struct{}
}

func newOwners() owners {
	return owners{where: map[types.UID]place{}, dependents: map[types.UID]map[place]struct{}{}}
}

func (o *owners) note(gr schema.GroupResource, c change) {
	at := place{gr, c.key}
	if c.before != nil {
		if m, err := meta.Accessor(c.before); err == nil {
			for _, ref := range m.GetOwnerReferences() {
				delete(o.dependents[ref.UID], at)
				if len(o.dependents[ref.UID]) == 0 {
					delete(o.dependents, ref.UID)
				}
			}
			if c.after == nil {
				delete(o.where, m.GetUID())
			}
		}
	}
	if c.after == nil {
		return
	}
	m, err := meta.Accessor(c.after)
	if err != nil {
		return
	}
	o.where[m.GetUID()] = at
	for _, ref := range m.GetOwnerReferences() {
		if o.dependents[ref.UID] == nil {
			o.dependents[ref.UID] = map[place]struct{}{}
		}
		o.dependents[ref.UID][at] = struct{}{}
	}
}

// dependentsOf returns where the dependents of an owner are, in order.
func (s *store) dependentsOf(uid types.UID) []place {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []place
	for p := range s.owners.dependents[uid] {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b place) int {
		return cmp.Or(strings.Compare(a.gr.String(), b.gr.String()), strings.Compare(a.key, b.key))
	})
	return out
}

func (s *store) alive(uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.owners.where[uid]
	return ok
}

// collect is what the garbage collector does after a change.
func (c *Cluster) collect(gr schema.GroupResource, ch change) {
	switch ch.after {
	case nil:
		m, err := meta.Accessor(ch.deleted)
		if err != nil {
			return
		}
		c.releaseOwners(m)
		if len(c.store.dependentsOf(m.GetUID())) > 0 {
			c.tasks.schedule("gc/owner/"+string(m.GetUID()), 0, func() { c.collectDependents(m.GetUID()) })
		}
	default:
		m, err := meta.Accessor(ch.after)
		if err != nil {
			return
		}
		if m.GetDeletionTimestamp() != nil && collectable(m.GetFinalizers()) {
			c.tasks.schedule("gc/finalize/"+string(m.GetUID()), 0, func() { c.finalizeOwner(gr, ch.key) })
		}
		if ch.before == nil && len(m.GetOwnerReferences()) > 0 {
			c.tasks.schedule("gc/new/"+string(m.GetUID()), 0, func() { c.collectOne(place{gr, ch.key}) })
		}
	}
}

func collectable(finalizers []string) bool {
	return slices.Contains(finalizers, metav1.FinalizerOrphanDependents) || slices.Contains(finalizers, metav1.FinalizerDeleteDependents)
}

// releaseOwners looks again at owners that wait for this dependent to go.
func (c *Cluster) releaseOwners(m metav1.Object) {
	for _, ref := range m.GetOwnerReferences() {
		c.store.mu.Lock()
		p, ok := c.store.owners.where[ref.UID]
		c.store.mu.Unlock()
		if ok {
			c.tasks.schedule("gc/finalize/"+string(ref.UID), 0, func() { c.finalizeOwner(p.gr, p.key) })
		}
	}
}

func (c *Cluster) collectDependents(uid types.UID) {
	for _, p := range c.store.dependentsOf(uid) {
		c.collectOne(p)
	}
}

// collectOne deletes an object none of whose owners lives, and takes dead owners
// from one that has another.
func (c *Cluster) collectOne(p place) {
	obj := c.store.get(p.gr, p.key)
	if obj == nil {
		return
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return
	}
	var living []metav1.OwnerReference
	for _, ref := range m.GetOwnerReferences() {
		if c.store.alive(ref.UID) {
			living = append(living, ref)
		}
	}
	switch {
	case len(living) == len(m.GetOwnerReferences()):
	case len(living) > 0:
		c.rewrite(p, func(m metav1.Object) { m.SetOwnerReferences(living) })
	default:
		c.deletePlace(p, metav1.DeletePropagationBackground)
	}
}

// finalizeOwner carries out the propagation policy of an object that is being
// deleted and takes the finalizer away when that is done.
func (c *Cluster) finalizeOwner(gr schema.GroupResource, key string) {
	obj := c.store.get(gr, key)
	if obj == nil {
		return
	}
	m, err := meta.Accessor(obj)
	if err != nil || m.GetDeletionTimestamp() == nil {
		return
	}
	dependents := c.store.dependentsOf(m.GetUID())
	switch {
	case slices.Contains(m.GetFinalizers(), metav1.FinalizerOrphanDependents):
		for _, p := range dependents {
			c.rewrite(p, func(d metav1.Object) {
				d.SetOwnerReferences(slices.DeleteFunc(d.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == m.GetUID() }))
			})
		}
		c.dropFinalizer(place{gr, key}, metav1.FinalizerOrphanDependents)
	case slices.Contains(m.GetFinalizers(), metav1.FinalizerDeleteDependents):
		blocking := 0
		for _, p := range dependents {
			if c.blocks(p, m.GetUID()) {
				blocking++
			}
			c.deletePlace(p, metav1.DeletePropagationForeground)
		}
		if blocking == 0 || len(c.store.dependentsOf(m.GetUID())) == 0 {
			c.dropFinalizer(place{gr, key}, metav1.FinalizerDeleteDependents)
		}
	}
}

func (c *Cluster) blocks(p place, owner types.UID) bool {
	obj := c.store.get(p.gr, p.key)
	if obj == nil {
		return false
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(m.GetOwnerReferences(), func(r metav1.OwnerReference) bool {
		return r.UID == owner && r.BlockOwnerDeletion != nil && *r.BlockOwnerDeletion
	})
}

func (c *Cluster) dropFinalizer(p place, name string) {
	c.rewrite(p, func(m metav1.Object) {
		m.SetFinalizers(slices.DeleteFunc(m.GetFinalizers(), func(f string) bool { return f == name }))
	})
}

// rewrite changes metadata as the garbage collector and removes the object if
// that took its last finalizer.
func (c *Cluster) rewrite(p place, edit func(metav1.Object)) {
	for {
		obj := c.store.get(p.gr, p.key)
		if obj == nil {
			return
		}
		next := obj.DeepCopyObject()
		m, err := meta.Accessor(next)
		if err != nil {
			return
		}
		edit(m)
		if len(m.GetFinalizers()) == 0 && m.GetDeletionTimestamp() != nil && !namespaceHasContent(next) {
			_, err = c.store.remove(p.gr, p.key, revisionOf(obj))
		} else {
			_, err = c.store.put(p.gr, p.key, revisionOf(obj), next)
		}
		if err == nil || !isConflict(err) {
			return
		}
	}
}

func (c *Cluster) deletePlace(p place, policy metav1.DeletionPropagation) {
	reg := c.registryOf(p.gr)
	obj := c.store.get(p.gr, p.key)
	if reg == nil || obj == nil {
		return
	}
	m, err := meta.Accessor(obj)
	if err != nil || m.GetDeletionTimestamp() != nil {
		return
	}
	uid := m.GetUID()
	_, _, _ = reg.Delete(c.internalContext(m.GetNamespace()), m.GetName(), nil, &metav1.DeleteOptions{
		PropagationPolicy: &policy, Preconditions: &metav1.Preconditions{UID: &uid},
	})
}

// registryOf returns the storage of a resource, whatever the version.
func (c *Cluster) registryOf(gr schema.GroupResource) *registry {
	for _, sv := range c.allServed() {
		if sv.registry.resource == gr {
			return sv.registry
		}
	}
	return nil
}
