package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// classKinds are the kinds that objects name without carrying them along, each with the field of
// ClusterFacts that lists its names. Their metadata says all that a check of references needs.
var classKinds = []struct {
	schema.GroupKind
	list func(*v1alpha1.ClusterFactsSpec) *[]string
}{
	{schema.GroupKind{Group: "storage.k8s.io", Kind: "StorageClass"}, func(f *v1alpha1.ClusterFactsSpec) *[]string { return &f.StorageClasses }},
	{schema.GroupKind{Group: "networking.k8s.io", Kind: "IngressClass"}, func(f *v1alpha1.ClusterFactsSpec) *[]string { return &f.IngressClasses }},
	{schema.GroupKind{Group: "scheduling.k8s.io", Kind: "PriorityClass"}, func(f *v1alpha1.ClusterFactsSpec) *[]string { return &f.PriorityClasses }},
}

// classes are the names of the classes of a cluster. A kind without an entry is not known.
type classes struct {
	mu    sync.Mutex
	names map[schema.GroupKind]map[string]bool
}

// put replaces what is known of a kind; nil: nothing is known.
func (c *classes) put(gk schema.GroupKind, names map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names == nil {
		c.names = map[schema.GroupKind]map[string]bool{}
	}
	if names == nil {
		delete(c.names, gk)
		return
	}
	c.names[gk] = names
}

// set notes that a class is there or not, and tells whether that is news.
func (c *classes) set(gk schema.GroupKind, name string, there bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := c.names[gk]
	if names == nil || names[name] == there {
		return false
	}
	if there {
		names[name] = true
	} else {
		delete(names, name)
	}
	return true
}

// fill lists the names of each known kind. A kind that is known to have none gets an empty list, so that
// a reference to it counts as missing; one that is not known gets none, and nothing is checked.
func (c *classes) fill(f *v1alpha1.ClusterFactsSpec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range classKinds {
		if names, known := c.names[k.GroupKind]; known {
			list := slices.AppendSeq([]string{}, maps.Keys(names))
			slices.Sort(list)
			*k.list(f) = list
		}
	}
}

// Classes are the names of the storage, ingress and priority classes of the cluster, from memory. A nil
// list is not known: the cluster has not told, does not serve the kind, or refuses to list it.
func (m *Member) Classes() v1alpha1.ClusterFactsSpec {
	facts := v1alpha1.ClusterFactsSpec{Cluster: m.opts.Name}
	m.classes.fill(&facts)
	return facts
}

// watchClasses keeps the names of classes by watching their metadata.
func (m *Member) watchClasses(ctx context.Context) {
	for _, k := range classKinds {
		m.running.Go(func() {
			m.keep(ctx, "watch "+k.String(), func(ctx context.Context) error {
				r, err := m.mapper.lookup(k.GroupKind, "")
				if errors.Is(err, errNotServed) {
					m.classes.put(k.GroupKind, nil)
				}
				if err != nil {
					return err
				}
				return m.follow(ctx, source{what: "watch " + k.String(), lister: m.metadataOf(r.GroupVersionResource, ""), store: classStore{m: m, kind: k.GroupKind}})
			})
		})
	}
}

// classStore takes in what the watch of one kind of classes says.
type classStore struct {
	m    *Member
	kind schema.GroupKind
}

func (s classStore) take(obj any, there bool) error {
	meta, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return fmt.Errorf("watch %s: unexpected %T", s.kind, obj)
	}
	if s.m.classes.set(s.kind, meta.Name, there) {
		s.m.changed()
	}
	return nil
}

// Add takes in a class.
func (s classStore) Add(obj any) error { return s.take(obj, true) }

// Update takes in a class; its name does not change.
func (s classStore) Update(any) error { return nil }

// Delete forgets a class.
func (s classStore) Delete(obj any) error { return s.take(obj, false) }

// Replace takes in the whole list.
func (s classStore) Replace(items []any, _ string) error {
	names := make(map[string]bool, len(items))
	for _, item := range items {
		meta, ok := item.(*metav1.PartialObjectMetadata)
		if !ok {
			return fmt.Errorf("watch %s: unexpected %T", s.kind, item)
		}
		names[meta.Name] = true
	}
	s.m.classes.put(s.kind, names)
	s.m.changed()
	return nil
}

// Resync does nothing.
func (classStore) Resync() error { return nil }
