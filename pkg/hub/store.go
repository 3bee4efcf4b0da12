package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

const (
	// saveTime is how long one Save may take before the loop gets its turn again.
	saveTime = time.Second
	// saveRetry is when the rest, or what was refused, is tried again.
	saveRetry = 100 * time.Millisecond
	// refusedRetry is when a decision that the hub refused for itself is tried again.
	refusedRetry = 10 * time.Second
	// saveConcurrency is how many decisions are written at once.
	saveConcurrency = 8
)

// store keeps an engine's state in Placement objects: each decision before anything is done about it, and
// its timers later.
type store struct {
	client *client
	writer *writer
	log    *slog.Logger
	// recorded returns the clusters as the hub has them.
	recorded func() []v1alpha1.Cluster

	mu sync.Mutex
	// kept are the decisions that the hub has.
	kept map[types.NamespacedName]v1alpha1.Placement
	// reports are what else the statuses say.
	reports map[types.NamespacedName]v1alpha1.PlacementStatus
	refused map[types.NamespacedName]time.Time
}

func newStore(c *client, w *writer, log *slog.Logger, recorded func() []v1alpha1.Cluster) *store {
	return &store{
		client: c, writer: w, log: log, recorded: recorded, kept: map[types.NamespacedName]v1alpha1.Placement{},
		reports: map[types.NamespacedName]v1alpha1.PlacementStatus{}, refused: map[types.NamespacedName]time.Time{},
	}
}

func placementRef(p *v1alpha1.Placement) reference {
	return reference{placements, v1alpha1.KindPlacement, types.NamespacedName{Namespace: p.Namespace, Name: p.Name}}
}

// Load reads all Placements, and of the Clusters since when they are as they are.
func (s *store) Load(ctx context.Context) (engine.State, error) {
	list, err := s.client.listPlacements(ctx)
	if err != nil {
		return engine.State{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state := engine.State{}
	for _, p := range list {
		ref := placementRef(&p)
		if err := s.writer.known(ref, p.Status); err != nil {
			return engine.State{}, err
		}
		s.reports[ref.NamespacedName] = reportOf(p.Status)
		q := v1alpha1.Placement{Spec: p.Spec, Status: timersOf(p.Status)}
		q.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindPlacement}
		q.Name, q.Namespace, q.Generation = p.Name, p.Namespace, p.Generation
		s.kept[ref.NamespacedName] = q
		q.Generation = 0
		state.Placements = append(state.Placements, q)
	}
	slices.SortFunc(state.Placements, func(a, b v1alpha1.Placement) int { return a.Spec.Workload.Compare(b.Spec.Workload) })
	for _, c := range s.recorded() {
		r := v1alpha1.Cluster{Status: c.Status}
		r.Name, r.Spec.Taints = c.Name, c.Status.Taints
		state.Clusters = append(state.Clusters, r)
	}
	return state, nil
}

// timersOf is the part of a status that the engine needs again; reportOf is the rest, for people.
func timersOf(s v1alpha1.PlacementStatus) v1alpha1.PlacementStatus {
	return v1alpha1.PlacementStatus{Moves: s.Moves, UnhealthySince: s.UnhealthySince, Debts: s.Debts, FailbackSince: s.FailbackSince}
}

func reportOf(s v1alpha1.PlacementStatus) v1alpha1.PlacementStatus {
	return v1alpha1.PlacementStatus{ObservedGeneration: s.ObservedGeneration, Conditions: s.Conditions, Worst: s.Worst, Summary: s.Summary}
}

// statusOf joins the two.
func statusOf(timers, report v1alpha1.PlacementStatus, generation int64) v1alpha1.PlacementStatus {
	s := timersOf(timers)
	s.ObservedGeneration, s.Conditions, s.Worst, s.Summary = generation, report.Conditions, report.Worst, report.Summary
	return s
}

// sameDecision tells that two placements need no write before anything is done: shares, moves and debts are
// the same. Timers may follow.
func sameDecision(a, b v1alpha1.Placement) bool {
	return equality.Semantic.DeepEqual(a.Spec, b.Spec) && sameMoves(a.Status, b.Status)
}

func sameMoves(a, b v1alpha1.PlacementStatus) bool {
	return slices.EqualFunc(a.Moves, b.Moves, func(x, y v1alpha1.MoveStatus) bool {
		return x.From == y.From && slices.Equal(x.To, y.To) && x.Since.Equal(&y.Since)
	}) && equality.Semantic.DeepEqual(a.Debts, b.Debts)
}

// Save writes what was decided anew, for at most a second. Decisions that had no turn wait; so do those that
// the hub refuses. An error says that the hub cannot be written to at all.
func (s *store) Save(ctx context.Context, state engine.State) (engine.Kept, error) {
	var fresh []v1alpha1.Placement
	wanted := map[types.NamespacedName]bool{}
	kept := engine.Kept{Waiting: map[v1alpha1.ObjectKey]bool{}}
	now := time.Now()
	later := func(p *v1alpha1.Placement, at time.Time) {
		if p != nil {
			kept.Waiting[p.Spec.Workload.Key()] = true
		}
		if kept.Again.IsZero() || at.Before(kept.Again) {
			kept.Again = at
		}
	}
	s.mu.Lock()
	for i := range state.Placements {
		p := &state.Placements[i]
		name := placementRef(p).NamespacedName
		wanted[name] = true
		have, exists := s.kept[name]
		switch {
		case !exists || !sameDecision(have, *p):
			if again := s.refused[name]; now.Before(again) {
				later(p, again)
				continue
			}
			fresh = append(fresh, *p)
		default:
			have.Status = p.Status
			s.kept[name] = have
			if err := s.want(placementRef(p), p.Status, s.reports[name], have.Generation); err != nil {
				s.mu.Unlock()
				return kept, err
			}
		}
	}
	var gone []v1alpha1.Placement
	for name, p := range s.kept {
		if !wanted[name] {
			gone = append(gone, p)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(gone, func(a, b v1alpha1.Placement) int { return a.Spec.Workload.Compare(b.Spec.Workload) })

	ctx, cancel := context.WithTimeoutCause(ctx, saveTime, errOutOfTime)
	defer cancel()
	err := s.each(ctx, fresh, s.put, func(p *v1alpha1.Placement, err error) {
		at := time.Now().Add(saveRetry)
		if err != nil && concernsOne(err) {
			at = now.Add(refusedRetry)
		}
		later(p, at)
	})
	if err != nil {
		return kept, err
	}
	err = s.each(ctx, gone, s.drop, func(_ *v1alpha1.Placement, _ error) { later(nil, now.Add(refusedRetry)) })
	return kept, err
}

// errOutOfTime ends a Save whose second is over.
var errOutOfTime = errors.New("the rest is for later")

// concernsOne tells errors about one object from those of the hub.
func concernsOne(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsBadRequest(err)
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
			s.log.WarnContext(ctx, "the hub refuses to keep a decision, nothing is done about it", "workload", list[i].Spec.Workload.String(), "error", err)
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
	// What has begun is finished: half a write would be tried again in any case.
	err := do(context.WithoutCancel(ctx), p)
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", ErrNotLeading, err)
	}
	return err
}

// put writes one decision. Moves come before the shares that they belong to: a crash in between must not
// leave a share that is gone without the move that keeps its old copy.
func (s *store) put(ctx context.Context, p *v1alpha1.Placement) error {
	ref := placementRef(p)
	s.mu.Lock()
	have, exists := s.kept[ref.NamespacedName]
	report := s.reports[ref.NamespacedName]
	s.mu.Unlock()
	generation := have.Generation
	status := func() error {
		if err := s.want(ref, p.Status, report, generation); err != nil {
			return err
		}
		if sameMoves(have.Status, p.Status) {
			return nil
		}
		return s.writer.writeNow(ctx, ref)
	}
	if exists {
		if err := status(); err != nil {
			return err
		}
	}
	if !exists || !equality.Semantic.DeepEqual(have.Spec, p.Spec) {
		spec := p.Spec
		spec.RebalanceAt = nil // A person's wish: it is only ever taken back.
		var err error
		if generation, err = s.client.apply(ctx, ref, "", "spec", spec); err != nil {
			return err
		}
		if exists && have.Spec.RebalanceAt != nil && p.Spec.RebalanceAt == nil {
			if err := s.client.patch(ctx, ref, map[string]any{"spec": map[string]any{"rebalanceAt": nil}}); err != nil {
				return err
			}
		}
	}
	if !exists {
		if err := status(); err != nil {
			return err
		}
	}
	now := *p
	now.Generation = generation
	s.mu.Lock()
	s.kept[ref.NamespacedName] = now
	delete(s.refused, ref.NamespacedName)
	s.mu.Unlock()
	return s.want(ref, p.Status, report, generation)
}

// want asks for a status to be written, where it says anything: the one write in a while is not to be spent
// on a Placement that was made a moment ago.
func (s *store) want(ref reference, timers, report v1alpha1.PlacementStatus, generation int64) error {
	next := statusOf(timers, report, generation)
	if report.Summary == nil && equality.Semantic.DeepEqual(next, v1alpha1.PlacementStatus{ObservedGeneration: generation}) {
		return nil
	}
	return s.writer.want(ref, next)
}

// drop deletes the Placement of a workload that is gone.
func (s *store) drop(ctx context.Context, p *v1alpha1.Placement) error {
	ref := placementRef(p)
	s.writer.forget(ref)
	if err := s.client.delete(ctx, ref); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, ref.NamespacedName)
	delete(s.reports, ref.NamespacedName)
	return nil
}

// report says how the workload of a Placement is doing, where there is one. Make gets what was said last.
func (s *store) report(name types.NamespacedName, make func(last v1alpha1.PlacementStatus) v1alpha1.PlacementStatus) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, exists := s.kept[name]
	if !exists {
		return nil
	}
	next := make(s.reports[name])
	s.reports[name] = next
	return s.writer.want(placementRef(&have), statusOf(have.Status, next, have.Generation))
}

// names are the names of the Placements by workload.
func (s *store) names() map[v1alpha1.ObjectKey]types.NamespacedName {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make(map[v1alpha1.ObjectKey]types.NamespacedName, len(s.kept))
	for name, p := range s.kept {
		names[p.Spec.Workload.Key()] = name
	}
	return names
}
