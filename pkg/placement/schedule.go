package placement

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// defaultFailbackAfter is how long an earlier affinity group must have been able to hold a workload
// before failback: Auto moves it there.
const defaultFailbackAfter = 10 * time.Minute

// Schedule decides about all workloads together, so that no capacity is promised twice, and returns
// the decisions by workload (ObjectReference.Compare). A request that cannot be satisfied, or whose
// policy is invalid, gets a decision with an Error and hinders no other.
func Schedule(requests []Request, fleet *Fleet) []Decision {
	return newScheduler(fleet).schedule(requests)
}

func (s *scheduler) schedule(requests []Request) []Decision {
	queries := make([]*query, len(requests))
	for i := range requests {
		queries[i] = s.newQuery(&requests[i])
		queries[i].place = i
		s.neighbours.groupBy(queries[i])
	}
	// What workloads hold is theirs until they are decided about themselves.
	for _, q := range queries {
		s.bookPrevious(q)
	}
	decisions := make([]Decision, len(queries))
	slices.SortFunc(queries, compareQueries)
	for i, q := range queries {
		q.slot = i
	}
	slices.SortStableFunc(queries, comparePriorities)
	for _, q := range queries {
		decisions[q.slot] = s.decide(q)
	}
	// What an earlier one found no room for may fit in the room that a later one gave up. Each round
	// needs one that did not fit before to move; a few are enough for any but made-up fleets.
	for round := 0; s.released && round < 4; round++ {
		s.released = false
		for _, q := range queries {
			if decisions[q.slot].Error != "" && q.err == nil {
				decisions[q.slot] = s.decide(q)
			}
		}
	}
	s.followGroups(queries, decisions)
	return decisions
}

// compareQueries orders by workload; of several requests about one the first to be decided comes first.
func compareQueries(a, b *query) int {
	x, y := &a.Workload, &b.Workload
	if c := cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Kind, y.Kind)); c != 0 {
		return c
	}
	if c := strings.Compare(x.Name, y.Name); c != 0 {
		return c
	}
	return cmp.Or(x.Compare(*y), comparePriorities(a, b), cmp.Compare(a.place, b.place))
}

// comparePriorities orders by which of two is decided first where capacity is scarce.
func comparePriorities(a, b *query) int {
	return cmp.Or(cmp.Compare(b.ClassPriority, a.ClassPriority), cmp.Compare(b.PolicyPriority, a.PolicyPriority))
}

// scheduler is what the decisions of one Schedule share.
type scheduler struct {
	fleet      *Fleet
	ledger     *ledger
	neighbours *neighbours
	filters    []filter
	// rejections orders the names of filters and later rejections.
	rejections map[string]int
	// released tells that a workload has given up room, or a cluster, that it had.
	released bool
	// candidates is the memory of one attempt, used again by the next.
	candidates []candidate
	eligible   []*candidate
	// classes of clusters by what they are equal in.
	classes map[facets]*classes
	// recall is what a Memory knows of the Schedule before; nil without one.
	recall *recall
	// question is what Explain asks, nil in Schedule; tracing is set while it is answered.
	question *question
	tracing  *Trace
}

func newScheduler(f *Fleet) *scheduler {
	return &scheduler{
		fleet: f, ledger: newLedger(f), neighbours: newNeighbours(len(f.clusters)),
		filters: filters(), rejections: rejections(),
		candidates: make([]candidate, len(f.clusters)), eligible: make([]*candidate, 0, len(f.clusters)),
		classes: map[facets]*classes{},
	}
}

// followGroups decides again about workloads that are wherever their group is, or is not, and do not
// stand by themselves: what was decided about the rest of the group after them must not be left to the
// next plan. Groups that never settle, each going where the other left, are given up after a few rounds.
func (s *scheduler) followGroups(queries []*query, decisions []Decision) {
	for range 6 {
		settled := true
		for _, q := range queries {
			before := &decisions[q.slot]
			if q.err != nil || q.Strategy.WorkloadAffinity == nil || q.division.byCapacity() {
				continue
			}
			s.unbook(q, before)
			s.bookPrevious(q)
			q.going = make(map[int]bool, len(before.Clusters))
			for j := range before.Clusters {
				q.going[s.fleet.byName[before.Clusters[j].Name]] = true
			}
			d := s.decide(q)
			settled = settled && samePlaces(&d, before)
			*before = d
		}
		if settled {
			return
		}
	}
}

// samePlaces tells whether two decisions about one workload name the same clusters and shares.
func samePlaces(a, b *Decision) bool {
	return a.Error == b.Error && slices.EqualFunc(a.Clusters, b.Clusters, func(x, y Assignment) bool {
		return x.Name == y.Name && sameNumber(x.Replicas, y.Replicas)
	})
}

// decide answers one request: let go of what is booked for it, see whether its decision stands, try
// its affinity groups, keep what it has where none can hold it, and book the answer.
func (s *scheduler) decide(q *query) Decision {
	s.unbookPrevious(q)
	if d, ok := s.recalled(q); ok {
		s.recall.remember(q, &d, q.remembered.stood)
		s.bookPrevious(q)
		return d
	}
	asked := s.question.about(q)
	if asked {
		s.tracing = &Trace{}
	}
	d, stood := s.answer(q)
	if asked {
		s.question.trace, s.tracing = s.tracing, nil
		s.explain(q, &d)
	}
	s.lookBack(q, &d)
	s.lookAround(q, &d)
	q.noteMove(&d)
	s.recall.remember(q, &d, stood)
	if d.Standing || d.Error != "" {
		s.bookPrevious(q)
	} else {
		s.book(q, &d)
	}
	return d
}

// answer makes the decision; stood tells that the previous one was kept, whatever clusters there are
// beside those of it.
func (s *scheduler) answer(q *query) (d Decision, stood bool) {
	if q.Refused != "" && q.err == nil {
		return s.try(q, q.order()[0]).keep(failure{message: q.Refused}), false
	}
	if q.err != nil {
		return s.try(q, &group{tiers: make([]tier, 1)}).keep(failure{message: "invalid placement: " + q.err.Error()}), false
	}
	if a, ok := s.standing(q); ok {
		return a.stand(), true
	}
	var failures []failure
	for _, lenient := range []bool{false, true} {
		if lenient && !q.bestEffort {
			break
		}
		failures = failures[:0]
		for _, g := range q.order() {
			a := s.try(q, g)
			a.lenient = lenient
			fail := a.run()
			if fail == nil {
				return a.answer(), a.bound
			}
			failures = append(failures, *fail)
		}
	}
	if q.fresh || q.failback {
		// Nobody has to move: what cannot be had anew stays as it was decided before.
		q.fresh, q.inGroup, q.failback = false, false, false
		return s.answer(q)
	}
	if a, ok := s.unmoved(q); ok {
		return a.stand(), false
	}
	return s.try(q, q.order()[0]).keep(joined(q, failures)), false
}

// lookBack finds out whether an earlier affinity group than the decided one could hold the workload,
// for policies that fail back by themselves.
func (s *scheduler) lookBack(q *query, d *Decision) {
	if q.Strategy.Failback != v1alpha1.FailbackAuto || d.Error != "" {
		return
	}
	for i := range q.groups {
		g := &q.groups[i]
		if g.name == d.AffinityGroup {
			return
		}
		if s.try(q, g).run() != nil {
			continue
		}
		d.Failback = g.name
		since := s.fleet.now
		if p := q.Previous; p != nil && p.FailbackSince != nil {
			since = *p.FailbackSince
		}
		d.RecheckAt = earlier(d.RecheckAt, since.Add(s.fleet.failbackAfter(q.Strategy)))
		return
	}
}

// order returns the affinity groups in the order in which they are tried: the recorded one first,
// then the list from its start. A due failback and a rebalance that was asked for ask the list alone.
func (q *query) order() []*group {
	var order []*group
	recorded := ""
	if q.Previous != nil && !q.failback && (!q.fresh || q.inGroup) {
		recorded = q.Previous.AffinityGroup
	}
	for i := range q.groups {
		if g := &q.groups[i]; recorded != "" && g.name == recorded {
			order = slices.Insert(order, 0, g)
		} else {
			order = append(order, g)
		}
	}
	return order
}

// standing tells whether the previous decision stands without being made again. Duplicated and static
// decisions also follow the set of eligible clusters; they are computed again, which gives the same
// while that set is.
func (s *scheduler) standing(q *query) (*attempt, bool) {
	if !q.division.byCapacity() {
		return nil, false
	}
	assigned := int64(0)
	for _, p := range q.previous {
		assigned = addAmounts(assigned, p.replicas)
	}
	if assigned != *q.Replicas {
		return nil, false // something found no place then and is tried again
	}
	return s.unmoved(q)
}

// unmoved tells whether nothing opens the previous decision: what it was decided from is the same, no
// chosen cluster must be left, and nothing is due.
func (s *scheduler) unmoved(q *query) (*attempt, bool) {
	if !q.unchanged() || !q.complete || len(q.previous) == 0 || q.fresh || q.failback {
		return nil, false
	}
	a := s.try(q, q.order()[0])
	if a.group.name != q.Previous.AffinityGroup {
		return nil, false
	}
	a.filter()
	for i := range a.candidates {
		if c := &a.candidates[i]; c.placed && a.mustLeave(c) {
			return nil, false
		}
	}
	return a, true
}

// mustLeave tells whether a cluster that the workload is on has to be left, so that the decision is
// opened: of the filters only these do that.
func (a *attempt) mustLeave(c *candidate) bool {
	switch c.rejectedBy {
	case "Terminating", filterOfTaints, "ClusterAffinity":
		return true
	}
	return a.query.evicting[c.Name]
}

// The following keep the ledger and the neighbours up to date with one workload.

func (s *scheduler) bookPrevious(q *query)   { s.eachPrevious(q, 1, s.ledger.charge) }
func (s *scheduler) unbookPrevious(q *query) { s.eachPrevious(q, -1, s.ledger.take) }

func (s *scheduler) eachPrevious(q *query, delta int, charge func(int, *demand, int64)) {
	for _, p := range q.previous {
		charge(p.cluster, &q.demand, s.fleet.bill(p.cluster, p.replicas, p.replicas))
		s.neighbours.book(q, p.cluster, delta)
	}
}

func (s *scheduler) book(q *query, d *Decision) {
	kept := 0
	for i := range d.Clusters {
		c := s.fleet.byName[d.Clusters[i].Name]
		share := d.Clusters[i].Replicas
		own, placed := q.previous.of(c)
		if placed && (share == nil || *share >= own) {
			kept++
		}
		if share != nil {
			s.ledger.charge(c, &q.demand, s.fleet.bill(c, *share, own))
			s.ledger.add(c, &q.demand, subAmounts(*share, own))
		}
		s.neighbours.book(q, c, 1)
	}
	s.released = s.released || kept < len(q.previous)
}

// unbook takes back what decide booked for a decision.
func (s *scheduler) unbook(q *query, d *Decision) {
	if d.Standing || d.Error != "" {
		s.unbookPrevious(q)
		return
	}
	for i := range d.Clusters {
		c := s.fleet.byName[d.Clusters[i].Name]
		if share := d.Clusters[i].Replicas; share != nil {
			own, _ := q.previous.of(c)
			s.ledger.take(c, &q.demand, s.fleet.bill(c, *share, own))
			s.ledger.remove(c, &q.demand, subAmounts(*share, own))
		}
		s.neighbours.book(q, c, -1)
	}
}
