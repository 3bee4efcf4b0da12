package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// errOutOfTime ends a Save whose second is over.
var errOutOfTime = errors.New("the rest is for later")

// concernsOne tells errors about one object from those of the hub.
func concernsOne(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsBadRequest(err)
}

func (s *store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run carries what the journal holds to the Placements, and deletes those that are gone, until ctx ends.
// What is left then is for the next leader, which reads the journal.
func (s *store) run(ctx context.Context) {
	timer := time.NewTimer(refusedRetry)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		if err := s.settle(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "decisions stay in the journal for now", "error", err)
		}
		timer.Reset(refusedRetry)
	}
}

// settle does once what run is for.
func (s *store) settle(ctx context.Context) error {
	open, gone := s.waiting()
	ignored := func(*v1alpha1.Placement, error) {}
	if err := s.each(ctx, open, s.putOpen, ignored); err != nil {
		return err
	}
	if err := s.each(ctx, gone, s.drop, ignored); err != nil {
		return err
	}
	return s.emptyPages(ctx)
}

// waiting are the open decisions page by page, so that pages become empty one after another, and the
// Placements that are gone.
func (s *store) waiting() (open, gone []v1alpha1.Placement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for name, p := range s.ledger.open {
		if !now.Before(s.refused[name]) {
			open = append(open, p)
		}
	}
	pageOf := func(p v1alpha1.Placement) int { return s.ledger.page[placementRef(&p).NamespacedName] }
	slices.SortFunc(open, func(a, b v1alpha1.Placement) int {
		if x, y := pageOf(a), pageOf(b); x != y {
			return x - y
		}
		return a.Spec.Workload.Compare(b.Spec.Workload)
	})
	gone = slices.SortedFunc(maps.Values(s.gone), func(a, b v1alpha1.Placement) int { return a.Spec.Workload.Compare(b.Spec.Workload) })
	return open, gone
}

// emptyPages empties the pages whose decisions all are in their Placements.
func (s *store) emptyPages(ctx context.Context) error {
	select {
	case s.paging <- struct{}{}:
		defer func() { <-s.paging }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	done := s.ledger.finished()
	s.mu.Unlock()
	for _, number := range done {
		if err := s.writer.limiter.Wait(ctx); err != nil {
			return err
		}
		if err := s.journal.write(ctx, number, nil); err != nil {
			return err
		}
		s.mu.Lock()
		s.ledger.holds(number, nil)
		s.mu.Unlock()
	}
	return nil
}

// each does something with every placement, several at once, as long as there is time; left is called, one
// after another, for those that are not done.
func (s *store) each(ctx context.Context, list []v1alpha1.Placement, do func(context.Context, *v1alpha1.Placement) error, left func(*v1alpha1.Placement, error)) error {
	results := make([]error, len(list))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(saveConcurrency, len(list)) {
		workers.Go(func() {
			for i := range next {
				results[i] = s.paced(ctx, &list[i], do)
			}
		})
	}
	for i := range list {
		next <- i
	}
	close(next)
	workers.Wait()
	var failed error
	for i, err := range results {
		switch {
		case err == nil:
			continue
		case errors.Is(err, errOutOfTime):
		case concernsOne(err):
			s.log.WarnContext(ctx, "the hub refuses to keep a decision", "workload", list[i].Spec.Workload.String(), "error", err)
			s.mu.Lock()
			s.refused[placementRef(&list[i]).NamespacedName] = time.Now().Add(refusedRetry)
			s.mu.Unlock()
		case failed == nil:
			failed = fmt.Errorf("keep the decision about %s: %w", list[i].Spec.Workload, err)
		}
		left(&list[i], err)
	}
	return failed
}

// paced does something when the budget of writes allows it. errOutOfTime: it did not in time.
func (s *store) paced(ctx context.Context, p *v1alpha1.Placement, do func(context.Context, *v1alpha1.Placement) error) error {
	if err := s.writer.limiter.Wait(ctx); err != nil {
		return errOutOfTime // Wait fails for no other reason than the end of ctx.
	}
	name := placementRef(p).NamespacedName
	s.mu.Lock()
	s.busy[name] = true
	s.mu.Unlock()
	// What has begun is finished: half a write would be tried again in any case.
	err := do(context.WithoutCancel(ctx), p)
	s.mu.Lock()
	delete(s.busy, name)
	s.mu.Unlock()
	s.look(name)
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", ErrNotLeading, err)
	}
	return err
}

// put writes one decision. Moves come before the shares that they belong to: a crash in between must not
// leave a share that is gone without the move that keeps its old copy.
func (s *store) put(ctx context.Context, p *v1alpha1.Placement) error {
	ref := placementRef(p)
	small, cut := fitted(*p)
	s.mu.Lock()
	have, exists := s.kept[ref.NamespacedName]
	s.mu.Unlock()
	next := record{Placement: *p, digest: specDigest(small.Spec), cut: cut, since: have.since}
	next.Generation = have.Generation
	if cut != "" && next.since.IsZero() {
		next.since = metav1.Now()
		s.log.WarnContext(ctx, "a Placement is too large for the hub and does not list everything", "workload", p.Spec.Workload.String(), "missing", cut)
	}
	if cut == "" {
		next.since = metav1.Time{}
	}
	if exists {
		if err := s.putMoves(ctx, have, next); err != nil {
			return err
		}
	}
	if !exists || have.digest != next.digest || have.Spec.RebalanceAt != nil && p.Spec.RebalanceAt == nil {
		var err error
		if next.Generation, err = s.putSpec(ctx, ref, small.Spec, exists && have.Spec.RebalanceAt != nil && p.Spec.RebalanceAt == nil); err != nil {
			return err
		}
	}
	if !exists {
		if err := s.putMoves(ctx, have, next); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[ref.NamespacedName] = next
	delete(s.refused, ref.NamespacedName)
	return s.want(next, s.reports[ref.NamespacedName])
}

// putSpec writes a spec, and takes back the wish to rebalance where that was granted. It returns the
// Placement's generation.
func (s *store) putSpec(ctx context.Context, ref reference, spec v1alpha1.PlacementSpec, granted bool) (int64, error) {
	spec.RebalanceAt = nil // A person's wish: it is only ever taken back.
	generation, err := s.client.apply(ctx, ref, "", "spec", spec)
	if err != nil || !granted {
		return generation, err
	}
	if err := s.writer.limiter.Wait(ctx); err != nil {
		return 0, err
	}
	return s.client.patch(ctx, ref, map[string]any{"spec": map[string]any{"rebalanceAt": nil}})
}

// putMoves writes the moves and debts of a decision where they are others than before.
func (s *store) putMoves(ctx context.Context, have, next record) error {
	s.mu.Lock()
	err := s.want(next, s.reports[placementRef(&next.Placement).NamespacedName])
	s.mu.Unlock()
	if err != nil || sameMoves(have.Status, next.Status) {
		return err
	}
	return s.writer.writeNow(ctx, placementRef(&next.Placement))
}

// putOpen writes what is open about a Placement by now.
func (s *store) putOpen(ctx context.Context, p *v1alpha1.Placement) error {
	name := placementRef(p).NamespacedName
	latest, open := s.openDecision(name)
	if !open {
		return nil
	}
	if err := s.put(ctx, &latest); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, open := s.ledger.open[name]
	switch {
	case !open: // The workload went meanwhile.
		s.gone[name] = latest
	case sameDecision(now, latest):
		delete(s.ledger.open, name)
		kept := s.kept[name]
		kept.Status = now.Status
		s.kept[name] = kept
	}
	return nil
}

func (s *store) openDecision(name types.NamespacedName) (v1alpha1.Placement, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, open := s.ledger.open[name]
	return p, open
}

// drop deletes the Placement of a workload that is gone, unless it came back.
func (s *store) drop(ctx context.Context, p *v1alpha1.Placement) error {
	ref := placementRef(p)
	s.mu.Lock()
	_, still := s.gone[ref.NamespacedName]
	s.mu.Unlock()
	if !still {
		return nil
	}
	s.writer.forget(ref)
	if err := s.client.delete(ctx, ref); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.gone, ref.NamespacedName)
	delete(s.kept, ref.NamespacedName)
	delete(s.reports, ref.NamespacedName)
	return nil
}
