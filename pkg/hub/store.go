package hub

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
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
	// manyDecisions is from how many on new decisions are kept in the journal first: half a second's
	// writes.
	manyDecisions = writesPerSecond / 2
)

// store keeps an engine's state in Placement objects: each decision before anything is done about it, and
// its timers later. Many decisions at once go to the journal, which takes a few writes, and from there to
// their Placements as fast as the budget of writes allows.
type store struct {
	client  *client
	writer  *writer
	journal *journal
	log     *slog.Logger
	// recorded returns the clusters as the hub has them.
	recorded func() []v1alpha1.Cluster
	// sources returns the GitSources as the hub has them; nil: none.
	sources func() []v1alpha1.GitSource
	// wake asks the goroutine of run to look for work.
	wake chan struct{}

	// paging has room for the one that arranges and writes pages of the journal.
	paging chan struct{}

	mu sync.Mutex
	// kept are the decisions that Placements say.
	kept map[types.NamespacedName]record
	// reports are what else the statuses say.
	reports map[types.NamespacedName]v1alpha1.PlacementStatus
	refused map[types.NamespacedName]time.Time
	ledger  ledger
	// gone are Placements of workloads that are gone.
	gone map[types.NamespacedName]v1alpha1.Placement
	// records are the Placements as they are watched, nil before; tell takes what others did to them.
	records records
	tell    func(engine.RecordChange)
	// busy are Placements that a request is under way for.
	busy map[types.NamespacedName]bool
}

// record is a decision that a Placement says.
type record struct {
	v1alpha1.Placement
	// digest is that of the spec on the hub, as specDigest makes it.
	digest string
	// cut is what the Placement does not say, in words, and since when.
	cut   string
	since metav1.Time
}

func newStore(c *client, w *writer, log *slog.Logger, namespace string, recorded func() []v1alpha1.Cluster) *store {
	return &store{
		client: c, writer: w, log: log, recorded: recorded, journal: &journal{client: c, namespace: namespace},
		wake: make(chan struct{}, 1), paging: make(chan struct{}, 1), kept: map[types.NamespacedName]record{},
		reports: map[types.NamespacedName]v1alpha1.PlacementStatus{}, refused: map[types.NamespacedName]time.Time{},
		ledger: newLedger(), gone: map[types.NamespacedName]v1alpha1.Placement{}, busy: map[types.NamespacedName]bool{},
	}
}

func placementRef(p *v1alpha1.Placement) reference {
	return reference{placements, v1alpha1.KindPlacement, types.NamespacedName{Namespace: p.Namespace, Name: p.Name}}
}

// Load reads all Placements and what the journal holds beyond them, and of the Clusters since when they are
// as they are.
func (s *store) Load(ctx context.Context) (engine.State, error) {
	pages, err := s.journal.read(ctx)
	if err != nil {
		return engine.State{}, err
	}
	list, err := s.client.listPlacements(ctx)
	if err != nil {
		return engine.State{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for number, decisions := range pages {
		s.ledger.holds(number, decisions)
	}
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
		s.kept[ref.NamespacedName] = record{Placement: q, digest: specDigest(p.Spec), since: shortenedSince(p.Status)}
		if open, journaled := s.ledger.open[ref.NamespacedName]; journaled {
			// A wish is on the Placement alone.
			open.Spec.RebalanceAt = q.Spec.RebalanceAt
			s.ledger.open[ref.NamespacedName] = open
			continue
		}
		q.Generation = 0
		state.Placements = append(state.Placements, q)
	}
	for _, p := range s.ledger.open {
		state.Placements = append(state.Placements, p)
	}
	slices.SortFunc(state.Placements, func(a, b v1alpha1.Placement) int { return a.Spec.Workload.Compare(b.Spec.Workload) })
	if s.sources != nil {
		state.Sources = s.sources()
	}
	for _, c := range s.recorded() {
		r := v1alpha1.Cluster{Status: c.Status}
		r.Name, r.Spec.Taints = c.Name, c.Status.Taints
		state.Clusters = append(state.Clusters, r)
	}
	s.nudge()
	return state, nil
}

// timersOf is the part of a status that the engine needs again; reportOf is the rest, for people.
func timersOf(s v1alpha1.PlacementStatus) v1alpha1.PlacementStatus {
	return v1alpha1.PlacementStatus{
		Moves: s.Moves, UnhealthySince: s.UnhealthySince, Debts: s.Debts, FailbackSince: s.FailbackSince,
		ImbalanceSince: s.ImbalanceSince, RebalancedAt: s.RebalancedAt, Evictions: s.Evictions, LeftOn: s.LeftOn, Preserved: s.Preserved,
		Earlier: s.Earlier, Preserve: s.Preserve,
	}
}

func reportOf(s v1alpha1.PlacementStatus) v1alpha1.PlacementStatus {
	return v1alpha1.PlacementStatus{ObservedGeneration: s.ObservedGeneration, Conditions: s.Conditions, Worst: s.Worst, Summary: s.Summary, Waiting: s.Waiting, Drift: s.Drift}
}

// statusOf joins the two.
func statusOf(timers, report v1alpha1.PlacementStatus, generation int64) v1alpha1.PlacementStatus {
	s := timersOf(timers)
	s.ObservedGeneration, s.Conditions, s.Worst, s.Summary = generation, report.Conditions, report.Worst, report.Summary
	s.Waiting, s.Drift = report.Waiting, report.Drift
	return s
}

// sameDecision tells that two placements need no write before anything is done: shares, moves, debts,
// evictions and preserved values are the same. Timers may follow.
func sameDecision(a, b v1alpha1.Placement) bool {
	return equality.Semantic.DeepEqual(a.Spec, b.Spec) && sameMoves(a.Status, b.Status)
}

func sameMoves(a, b v1alpha1.PlacementStatus) bool {
	return slices.EqualFunc(a.Moves, b.Moves, func(x, y v1alpha1.MoveStatus) bool {
		return x.From == y.From && slices.Equal(x.To, y.To) && x.Since.Equal(&y.Since)
	}) && a.Preserve == b.Preserve && equality.Semantic.DeepEqual(a.Earlier, b.Earlier) && equality.Semantic.DeepEqual(a.Debts, b.Debts) && equality.Semantic.DeepEqual(a.Evictions, b.Evictions) &&
		equality.Semantic.DeepEqual(a.Preserved, b.Preserved) && slices.Equal(a.LeftOn, b.LeftOn)
}

// later collects what one Save leaves for the next.
type later struct{ engine.Kept }

func (l *later) wait(p *v1alpha1.Placement, at time.Time) {
	l.Waiting[p.Spec.Workload.Key()] = true
	if l.Again.IsZero() || at.Before(l.Again) {
		l.Again = at
	}
}

// Save keeps what was decided anew, for at most a second. Decisions that had no turn wait; so do those that
// the hub refuses. An error says that the hub cannot be written to at all.
func (s *store) Save(ctx context.Context, state engine.State) (engine.Kept, error) {
	rest := &later{engine.Kept{Waiting: map[v1alpha1.ObjectKey]bool{}}}
	few, many, err := s.sift(state, rest)
	if err != nil {
		return rest.Kept, err
	}
	defer s.nudge()
	ctx, cancel := context.WithTimeoutCause(ctx, saveTime, errOutOfTime)
	defer cancel()
	if err := s.page(ctx, many, rest); err != nil {
		return rest.Kept, err
	}
	return rest.Kept, s.each(ctx, few, s.put, func(p *v1alpha1.Placement, err error) {
		at := time.Now().Add(saveRetry)
		if err != nil && concernsOne(err) {
			at = time.Now().Add(refusedRetry)
		}
		rest.wait(p, at)
	})
}

// sift returns the decisions that are not kept as they are: those for a write each, and those for the
// journal. What is gone is noted for run.
func (s *store) sift(state engine.State, rest *later) (few, many []v1alpha1.Placement, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	wanted := make(map[types.NamespacedName]bool, len(state.Placements))
	for i := range state.Placements {
		p := &state.Placements[i]
		name := placementRef(p).NamespacedName
		wanted[name] = true
		delete(s.gone, name)
		open, journaled := s.ledger.open[name]
		have, exists := s.kept[name]
		_, paged := s.ledger.page[name]
		switch {
		case journaled && sameDecision(open, *p):
			s.ledger.open[name] = *p // Its timers may be others.
		case !journaled && exists && sameDecision(have.Placement, *p):
			have.Status = p.Status
			s.kept[name] = have
			if err := s.want(have, s.reports[name]); err != nil {
				return nil, nil, err
			}
		case s.busy[name] && !paged:
			rest.wait(p, now.Add(saveRetry))
		case paged:
			many = append(many, *p)
		case now.Before(s.refused[name]):
			rest.wait(p, s.refused[name])
		default:
			few = append(few, *p)
		}
	}
	if len(few) >= manyDecisions {
		few, many = nil, append(many, few...)
	}
	for name, r := range s.kept {
		if !wanted[name] {
			s.gone[name] = r.Placement
		}
	}
	for name := range s.ledger.open {
		if !wanted[name] {
			delete(s.ledger.open, name)
		}
	}
	return few, many, nil
}

// page writes decisions to the journal, as many pages as there is time for.
func (s *store) page(ctx context.Context, decisions []v1alpha1.Placement, rest *later) error {
	if len(decisions) == 0 {
		return nil
	}
	select {
	case s.paging <- struct{}{}:
		defer func() { <-s.paging }()
	case <-ctx.Done():
		for i := range decisions {
			rest.wait(&decisions[i], time.Now().Add(saveRetry))
		}
		return nil
	}
	s.mu.Lock()
	pages := s.ledger.arrange(decisions)
	s.mu.Unlock()
	for number, content := range pages {
		if s.writer.limiter.Wait(ctx) != nil {
			for i := range content {
				rest.wait(&content[i], time.Now().Add(saveRetry))
			}
			continue
		}
		if err := s.journal.write(context.WithoutCancel(ctx), number, content); err != nil {
			return err
		}
		s.mu.Lock()
		s.ledger.holds(number, content)
		s.mu.Unlock()
	}
	return nil
}

// want asks for a status to be written, where it says anything: the one write in a while is not to be spent
// on a Placement that was made a moment ago. The lock is held.
func (s *store) want(r record, report v1alpha1.PlacementStatus) error {
	small, _ := fitted(r.Placement)
	next := withShortened(statusOf(small.Status, report, r.Generation), r.cut, r.since)
	if report.Summary == nil && equality.Semantic.DeepEqual(next, v1alpha1.PlacementStatus{ObservedGeneration: r.Generation}) {
		return nil
	}
	return s.writer.want(placementRef(&r.Placement), next)
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
	if size(next) > reportRoom {
		next.Worst = nil
	}
	s.reports[name] = next
	return s.want(have, next)
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
