package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

// digestAnnotation holds, in memory alone, the digest of a Placement's spec.
const digestAnnotation = "digest"

// records answers what a Placement looks like on the hub now, as far as it is watched.
type records func(types.NamespacedName) (*v1alpha1.Placement, bool)

// specDigest tells specs apart, the wish to rebalance aside, which is a person's.
func specDigest(spec v1alpha1.PlacementSpec) string {
	spec.RebalanceAt = nil
	data, err := json.Marshal(spec)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// trimmed is what is kept in memory of a Placement that is watched: whose it is, its generation, the digest
// of its spec, and the wish to rebalance.
func trimmed(o any) (any, error) {
	p, ok := o.(*v1alpha1.Placement)
	if !ok {
		return o, nil
	}
	t := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{
		Namespace: p.Namespace, Name: p.Name, Generation: p.Generation, ResourceVersion: p.ResourceVersion, UID: p.UID,
		Annotations: map[string]string{digestAnnotation: specDigest(p.Spec)},
	}}
	t.Spec.RebalanceAt = p.Spec.RebalanceAt
	return t, nil
}

// watch follows the Placements until ctx ends, and says what others do to them: a wish to rebalance, and
// records that are deleted or edited, which are written again.
func (s *store) watch(ctx context.Context, tell func(engine.RecordChange)) error {
	i := s.client.informer(placements, &v1alpha1.Placement{})
	if err := i.SetTransform(trimmed); err != nil {
		return err
	}
	s.mu.Lock()
	s.tell = tell
	s.records = func(name types.NamespacedName) (*v1alpha1.Placement, bool) {
		o, exists, err := i.GetStore().GetByKey(name.String())
		p, ok := o.(*v1alpha1.Placement)
		return p, err == nil && exists && ok
	}
	s.mu.Unlock()
	seen := func(o any) {
		if p, ok := o.(*v1alpha1.Placement); ok {
			s.look(placementRef(p).NamespacedName)
		}
	}
	_, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: seen, UpdateFunc: func(_, after any) { seen(after) },
		DeleteFunc: func(o any) {
			if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = last.Obj
			}
			if p, ok := o.(*v1alpha1.Placement); ok {
				s.vanished(placementRef(p).NamespacedName)
			}
		},
	})
	if err != nil {
		return err
	}
	i.RunWithContext(ctx)
	return nil
}

// look compares a Placement on the hub with what was kept there.
func (s *store) look(name types.NamespacedName) {
	s.mu.Lock()
	have, exists := s.kept[name]
	if s.records == nil || !exists || s.busy[name] {
		s.mu.Unlock() // Whoever is busy looks afterwards.
		return
	}
	now, there := s.records(name)
	if !there || now.Generation <= have.Generation {
		s.mu.Unlock() // What was written by ourselves, or is not seen yet.
		return
	}
	var change engine.RecordChange
	if !now.Spec.RebalanceAt.Equal(have.Spec.RebalanceAt) {
		change.Rebalance = map[v1alpha1.ObjectKey]*metav1.Time{have.Spec.Workload.Key(): now.Spec.RebalanceAt}
		have.Spec.RebalanceAt = now.Spec.RebalanceAt
		if open, journaled := s.ledger.open[name]; journaled {
			open.Spec.RebalanceAt = now.Spec.RebalanceAt
			s.ledger.open[name] = open
		}
	}
	have.Generation = now.Generation
	if digest := now.Annotations[digestAnnotation]; digest != have.digest {
		// With another digest it is not what was decided, and so is decided to be written again.
		have.digest, have.Spec.Clusters, have.Spec.Inputs, change.Lost = digest, nil, edited, true
	}
	s.kept[name] = have
	tell := s.tell
	s.mu.Unlock()
	if change.Lost || change.Rebalance != nil {
		tell(change)
	}
}

// edited stands for the inputs of a decision that somebody wrote over.
const edited = "edited"

// vanished has a Placement written again that somebody deleted.
func (s *store) vanished(name types.NamespacedName) {
	s.mu.Lock()
	have, exists := s.kept[name]
	_, going := s.gone[name]
	_, there := s.records(name)
	if !exists || going || there || s.busy[name] {
		s.mu.Unlock()
		return
	}
	delete(s.kept, name)
	s.writer.forget(placementRef(&have.Placement))
	tell := s.tell
	s.mu.Unlock()
	tell(engine.RecordChange{Lost: true})
}
