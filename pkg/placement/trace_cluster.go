package placement

import (
	"fmt"
	"slices"
)

// ClusterTrace says why one cluster is in a decision or not, and what would have to change for it to
// be chosen. Everything that it says of changes was tried by deciding again.
type ClusterTrace struct {
	Name   string `json:"name"`
	Chosen bool   `json:"chosen"`
	// RejectedBy and Reason are those of Decision.Rejected; empty for a chosen cluster.
	RejectedBy string `json:"rejectedBy"`
	Reason     string `json:"reason"`
	// Filters are all that reject it, not the first alone.
	Filters []FilterRejection `json:"filters"`
	// Then says what would happen if it passed every filter, and nothing else changed.
	Then string `json:"then"`
	// Changes are those of which each alone makes that a choice of the cluster.
	Changes []ChangeTrace `json:"changes"`
}

// FilterRejection is a filter that rejects a cluster.
type FilterRejection struct {
	Filter string `json:"filter"`
	Reason string `json:"reason"`
	// Remedy is what a person can do about it.
	Remedy string `json:"remedy"`
}

// ChangeTrace is a change with what was decided when it was tried.
type ChangeTrace struct {
	Change  string `json:"change"`
	Outcome string `json:"outcome"`
}

// supposition is what is supposed of one cluster: that every filter admits it, and, where they are not
// negative, its score, static weight and room for replicas.
type supposition struct {
	cluster             int
	score, weight, room int64
}

const asItIs = -1

// admits tells that a filter's rejection of a cluster does not count.
func (x *supposition) admits(c *candidate) bool { return x != nil && x.cluster == c.index }

// apply gives the cluster its supposed score.
func (x *supposition) apply(a *attempt) {
	if c := &a.candidates[x.cluster]; x.score >= 0 {
		c.score = x.score
	}
}

// supposed is what came of a supposition.
type supposed struct {
	chosen     bool
	share      int64
	score      int64
	weight     int64
	capacity   int64
	by, reason string
}

func (r supposed) outcome(q *query) string {
	switch {
	case !r.chosen && r.by == "":
		return "not chosen: " + r.reason
	case !r.chosen:
		return "not chosen: " + r.by + ", " + r.reason
	case q.Replicas == nil:
		return "chosen"
	}
	return fmt.Sprintf("chosen with %s", plural(int(r.share), "replica"))
}

// suppose decides with something supposed, and books nothing.
func (s *scheduler) suppose(q *query, x *supposition) supposed {
	r := supposed{reason: "no decision"}
	for _, lenient := range []bool{false, true} {
		if lenient && !q.bestEffort {
			break
		}
		for _, g := range q.order() {
			a := s.try(q, g)
			a.lenient, a.supposed = lenient, x
			fail := a.run()
			c := &a.candidates[x.cluster]
			if fail != nil {
				r = supposed{reason: fail.message, score: c.score, weight: c.weight, capacity: c.capacity}
				continue
			}
			if c.rejectedBy == "" && q.Replicas != nil && *q.Replicas > 0 && c.share == 0 {
				c.rejectedBy, c.reason = rejectedByShare, a.whyNoShare(c, map[reasonKey]string{})
			}
			return supposed{c.rejectedBy == "", c.share, c.score, c.weight, c.capacity, c.rejectedBy, c.reason}
		}
	}
	return r
}

// explainCluster answers for one cluster. It comes before the decision is booked.
func (s *scheduler) explainCluster(q *query, d *Decision, cluster int) *ClusterTrace {
	t := &ClusterTrace{Name: s.fleet.clusters[cluster].Name, Filters: []FilterRejection{}, Changes: []ChangeTrace{}}
	for i := range d.Clusters {
		t.Chosen = t.Chosen || d.Clusters[i].Name == t.Name
	}
	for _, r := range d.Rejected {
		if r.Clusters.Contains(t.Name) {
			t.RejectedBy, t.Reason = r.Filter, r.Reason
		}
	}
	t.Filters = s.rejectionsOf(q, d, cluster)
	if t.Chosen {
		return t
	}
	r := s.suppose(q, &supposition{cluster, asItIs, asItIs, asItIs})
	t.Then = r.outcome(q)
	if r.chosen {
		return t
	}
	t.Changes = s.changes(q, cluster, r)
	return t
}

// rejectionsOf asks every filter about one cluster.
func (s *scheduler) rejectionsOf(q *query, d *Decision, cluster int) []FilterRejection {
	g := q.order()[0]
	for i := range q.groups {
		if q.groups[i].name == d.AffinityGroup {
			g = &q.groups[i]
		}
	}
	a := s.try(q, g)
	list := []FilterRejection{}
	for _, f := range a.filters {
		if reject := f.prepare(a); reject != nil {
			if reason := reject(&a.candidates[cluster]); reason != "" {
				list = append(list, FilterRejection{f.name, reason, f.remedyFor(reason)})
			}
		}
	}
	return list
}

// changes looks for changes of which each alone makes the cluster, which the filters admit, a chosen
// one: of the least size that does.
func (s *scheduler) changes(q *query, cluster int, now supposed) []ChangeTrace {
	x := supposition{cluster, asItIs, asItIs, asItIs}
	list := []ChangeTrace{}
	try := func(q *query, x supposition, change string) bool {
		r := s.suppose(q, &x)
		if r.chosen {
			list = append(list, ChangeTrace{change, r.outcome(q)})
		}
		return r.chosen
	}
	if q.Previous != nil && !q.fresh {
		afresh := *q
		afresh.fresh = true
		try(&afresh, x, "a rebalance, which decides afresh")
	}
	if now.by == rejectedByShare && q.Replicas != nil {
		n, ok := least(addAmounts(*q.Replicas, 1), 1<<31-1, func(n int64) bool { return s.suppose(q.withReplicas(n), &x).chosen })
		if ok {
			try(q.withReplicas(n), x, fmt.Sprintf("%d replicas instead of %d", n, *q.Replicas))
		}
	}
	if now.by == rejectedBySpread {
		list = append(list, s.spreadChanges(q, x, now)...)
	}
	if q.division == static && (now.by == rejectedByWeight || now.by == rejectedByShare) {
		x := x
		weigh := func(w int64) bool { x.weight = w; return s.suppose(q, &x).chosen }
		if w, ok := least(now.weight+1, 1<<31-1, weigh); ok {
			x.weight = w
			try(q, x, fmt.Sprintf("weight %d instead of %d in staticWeightList", w, now.weight))
		}
	}
	if q.division.byCapacity() {
		x := x
		room := func(n int64) bool { x.room = n; return s.suppose(q, &x).chosen }
		if n, ok := least(addAmounts(now.capacity, 1), 1<<31-1, room); ok {
			x.room = n
			try(q, x, fmt.Sprintf("room for %s instead of %d on it", plural(int(n), "replica"), now.capacity))
		}
	}
	return list
}

// spreadChanges are those of score and of the spread constraints themselves.
func (s *scheduler) spreadChanges(q *query, x supposition, now supposed) []ChangeTrace {
	var list []ChangeTrace
	score := func(n int64) bool { x.score = n; return s.suppose(q, &x).chosen }
	if n, ok := least(now.score+1, maxScore, score); ok {
		x.score = n
		list = append(list, ChangeTrace{fmt.Sprintf("a score of %d instead of %d", n, now.score), s.suppose(q, &x).outcome(q)})
	}
	x.score = asItIs
	for i := range q.constraints {
		c := &q.constraints[i]
		by := constraintName(c)
		for _, bound := range []string{"maxGroups", "minGroups"} {
			from := c.MaxGroups
			if bound == "minGroups" {
				from = max(c.MinGroups, 1)
			} else if from == 0 {
				continue
			}
			with := func(n int64) *query { return q.withGroups(i, bound, int(n)) }
			n, ok := least(int64(from)+1, int64(len(s.fleet.clusters)), func(n int64) bool { return s.suppose(with(n), &x).chosen })
			if ok {
				list = append(list, ChangeTrace{fmt.Sprintf("%s %d instead of %d of the spread constraint by %s", bound, n, from, by), s.suppose(with(n), &x).outcome(q)})
			}
		}
	}
	return list
}

// withReplicas returns the query as one for another number of replicas.
func (q *query) withReplicas(n int64) *query {
	changed, request := *q, *q.Request
	request.Replicas, changed.Request, changed.digest = &n, &request, ""
	return &changed
}

// withGroups returns the query with another bound of one spread constraint. A maximum never falls
// below the minimum.
func (q *query) withGroups(constraint int, bound string, n int) *query {
	changed := *q
	changed.digest, changed.constraints = "", slices.Clone(q.constraints)
	c := &changed.constraints[constraint]
	if bound == "minGroups" {
		c.MinGroups = n
		if c.MaxGroups > 0 {
			c.MaxGroups = max(c.MaxGroups, n)
		}
		return &changed
	}
	c.MaxGroups = n
	return &changed
}

// least returns a number from lo to hi for which ok holds; the least one where ok, once it holds,
// holds for all greater ones. It asks about as often as hi−lo has digits, twice.
func least(lo, hi int64, ok func(int64) bool) (int64, bool) {
	if lo > hi {
		return 0, false
	}
	bad, step := lo-1, int64(1)
	at := lo
	for !ok(at) {
		if at == hi {
			return 0, false
		}
		bad = at
		at = min(addAmounts(at, step), hi)
		step = addAmounts(step, step)
	}
	for at-bad > 1 {
		mid := bad + (at-bad)/2
		if ok(mid) {
			at = mid
		} else {
			bad = mid
		}
	}
	return at, true
}
