package simfleet

import (
	"maps"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Backup is the content of a cluster at one moment, as etcdctl snapshot saves it.
type Backup struct {
	revision uint64
	objects  map[schema.GroupResource]map[string]runtime.Object
}

// Backup saves everything that the cluster holds.
func (c *Cluster) Backup() Backup { return c.store.backup() }

// Restore makes the cluster hold what a backup of it has, and nothing else: what was written since is forgotten, its
// resource versions are given out a second time, and connections break, as when etcd is restored and the API
// server starts again. Kinds that definitions made stay served.
func (c *Cluster) Restore(b Backup) {
	c.store.restore(b)
	c.CutConnections()
}

func (s *store) backup() Backup {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := Backup{revision: s.revision, objects: map[schema.GroupResource]map[string]runtime.Object{}}
	for gr, t := range s.tables {
		// Stored objects are never changed in place.
		b.objects[gr] = maps.Clone(t.objects)
	}
	return b
}

func (s *store) restore(b Backup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision = b.revision
	s.owners = newOwners()
	for gr, t := range s.tables {
		t.objects, t.keys, t.log, t.compacted = map[string]runtime.Object{}, nil, nil, b.revision
		for key, obj := range b.objects[gr] {
			t.objects[key] = obj
			s.owners.note(gr, change{revision: b.revision, key: key, after: obj})
		}
		if t.wake != nil {
			close(t.wake)
			t.wake = nil
		}
	}
}
