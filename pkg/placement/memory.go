package placement

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Memory lets a Schedule that follows another cost what has changed since: a decision that stood is
// taken over where the request is the same and no cluster has changed in a way that the decision read.
// What it gives is what Schedule gives. The zero value remembers nothing. One goroutine at a time may
// use it; requests and clusters must not change after they were given to it.
type Memory struct {
	fleet   *Fleet
	entries map[v1alpha1.ObjectKey]*remembered
}

// remembered is a decision with what it was made from.
type remembered struct {
	query    *query
	decision Decision
	// stood tells that the decision was kept, whatever clusters there are beside those of it.
	stood bool
}

// Schedule decides like the function of that name.
func (m *Memory) Schedule(requests []Request, fleet *Fleet) []Decision {
	s := newScheduler(fleet)
	s.recall = m.recall(s)
	decisions := s.schedule(requests)
	m.fleet, m.entries = fleet, s.recall.now
	return decisions
}

// recall is what one Schedule knows of the one before, and what it leaves for the next.
type recall struct {
	entries map[v1alpha1.ObjectKey]*remembered
	now     map[v1alpha1.ObjectKey]*remembered
	// before decides about the fleet as it was; changed are the clusters that are not as they were.
	before  *scheduler
	changed []changedCluster
}

// changedCluster is a cluster of which facts have changed, other than what it can hold.
type changedCluster struct {
	index int
	// taints tells that nothing but the taints, or the time that they count from, has changed.
	taints bool
}

func (m *Memory) recall(s *scheduler) *recall {
	r := &recall{now: make(map[v1alpha1.ObjectKey]*remembered, len(m.entries))}
	old := m.fleet
	if old == nil || old.implied != s.fleet.implied || old.failback != s.fleet.failback || len(old.clusters) != len(s.fleet.clusters) {
		return r
	}
	for i := range old.clusters {
		a, b := &old.clusters[i], &s.fleet.clusters[i]
		if a.Name != b.Name {
			return r
		}
		others := a.Cluster == b.Cluster || sameFacts(a.Cluster, b.Cluster)
		if others && slices.EqualFunc(a.taints, b.taints, sameTaint) && (old.now.Equal(s.fleet.now) || !slices.ContainsFunc(b.taints, executes)) {
			continue
		}
		r.changed = append(r.changed, changedCluster{i, others})
	}
	r.entries, r.before = m.entries, newScheduler(old)
	return r
}

// sameFacts compares what filters and scorers read of a cluster beside taints and what it can hold.
func sameFacts(a, b *v1alpha1.Cluster) bool {
	return (a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil) && maps.Equal(a.Labels, b.Labels) &&
		a.Spec.Provider == b.Spec.Provider && a.Spec.Region == b.Spec.Region && a.Spec.Zone == b.Spec.Zone && slices.Equal(a.Spec.Zones, b.Spec.Zones) &&
		maps.Equal(a.Status.ExternalScores, b.Status.ExternalScores) &&
		slices.EqualFunc(a.Status.APIEnablements, b.Status.APIEnablements, func(x, y v1alpha1.APIEnablement) bool {
			return x.GroupVersion == y.GroupVersion && slices.Equal(x.Resources, y.Resources)
		})
}

func sameTaint(a, b corev1.Taint) bool {
	return a.Key == b.Key && a.Value == b.Value && a.Effect == b.Effect && a.TimeAdded.Equal(b.TimeAdded)
}

func executes(t corev1.Taint) bool { return t.Effect == corev1.TaintEffectNoExecute }

// newQuery makes a request ready, or takes it over ready made.
func (s *scheduler) newQuery(r *Request) *query {
	if s.recall == nil {
		return s.fleet.newQuery(r)
	}
	e := s.recall.entries[r.Workload.Key()]
	if e == nil || !e.query.steady() || !sameRequest(e.query.Request, r) {
		return s.fleet.newQuery(r)
	}
	delete(s.recall.entries, r.Workload.Key()) // one query serves one request
	q := e.query
	q.Request, q.demand, q.remembered = r, s.fleet.newDemand(r.Requests), e
	return q
}

// steady tells that a decision about the request, once it stands, reads nothing of the ledger but what
// is shown as capacity, nothing of other workloads, and nothing of the time but through taints.
func (q *query) steady() bool {
	p, s := q.Previous, q.Strategy
	if q.err != nil || p == nil || p.RebalanceAt != nil || len(p.Evicting) > 0 || s.Failback == v1alpha1.FailbackAuto || s.Rebalance != nil || s.WorkloadAffinity != nil {
		return false
	}
	if slices.ContainsFunc(q.scorers, func(w weightedScorer) bool { return !w.alone }) {
		return false
	}
	return true
}

// sameRequest compares everything of two requests; the strategy by where it lies in memory first.
func sameRequest(a, b *Request) bool {
	if a.Strategy != b.Strategy && !reflect.DeepEqual(a.Strategy, b.Strategy) || a.Workload != b.Workload || a.PolicyPriority != b.PolicyPriority || a.ClassPriority != b.ClassPriority ||
		a.Pinned != b.Pinned || a.Refused != b.Refused || !sameBound(a.Bound, b.Bound) || a.Stay != b.Stay || a.Indivisible != b.Indivisible || !sameNumber(a.Replicas, b.Replicas) {
		return false
	}
	if !maps.Equal(a.Labels, b.Labels) || !maps.Equal(a.CRDOnClusters, b.CRDOnClusters) || !maps.Equal(a.Held, b.Held) || !maps.Equal(a.Unschedulable, b.Unschedulable) {
		return false
	}
	sameQuantity := func(x, y corev1.ResourceList) bool {
		for name, q := range x {
			other, ok := y[name]
			if !ok || q.Cmp(other) != 0 {
				return false
			}
		}
		return len(x) == len(y)
	}
	return sameQuantity(a.Requests, b.Requests) && samePrevious(a.Previous, b.Previous)
}

func sameBound(a, b *Bound) bool { return a == b || reflect.DeepEqual(a, b) }

func sameNumber(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }

func samePrevious(a, b *Previous) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	sameTime := func(x, y *time.Time) bool { return x == y || x != nil && y != nil && x.Equal(*y) }
	return a.AffinityGroup == b.AffinityGroup && a.Inputs == b.Inputs && slices.Equal(a.Evicting, b.Evicting) &&
		sameTime(a.RebalanceAt, b.RebalanceAt) && sameTime(a.FailbackSince, b.FailbackSince) && sameTime(a.ImbalanceSince, b.ImbalanceSince) &&
		sameTime(a.RebalancedAt, b.RebalancedAt) &&
		slices.EqualFunc(a.Clusters, b.Clusters, func(x, y v1alpha1.TargetCluster) bool { return x.Name == y.Name && sameNumber(x.Replicas, y.Replicas) })
}

// recalled returns the decision of before where it is still the one.
func (s *scheduler) recalled(q *query) (Decision, bool) {
	e := q.remembered
	if e == nil || !e.decision.Standing || e.decision.Unassigned > 0 || e.decision.Error != "" {
		return Decision{}, false
	}
	if !e.stood && (q.division.byCapacity() || len(q.constraints) > 0 || q.least > 0) {
		return Decision{}, false // the order of preference decided, which follows what is free
	}
	d := e.decision
	d.Workload = q.Workload
	g := q.order()[0]
	for _, x := range s.recall.changed {
		was, is := s.outcomes(e.query, q, g, x)
		switch {
		case was == is && (x.taints || is.by != ""):
		case e.stood && !q.placed(x.index):
			from, to := s.recall.before.left(q, &d, was, x.index), s.left(q, &d, is, x.index)
			d.Rejected = s.moveRejection(d.Rejected, x.index, from, to)
		default:
			return Decision{}, false
		}
	}
	return d, s.refresh(q, &d)
}

// outcome is what the filters say of one cluster.
type outcome struct {
	by, reason, pinnedBy string
	stays                bool
	tier                 int
	full                 bool
	until                time.Time
}

// outcomes are what the filters say of a cluster that has changed: as it was, and as it is. was and is are
// the same request, asked of the one fleet and of the other. Where only taints have changed, what the other
// filters prepare is used for both.
func (s *scheduler) outcomes(was, is *query, g *group, x changedCluster) (before, now outcome) {
	a := &attempt{scheduler: s.recall.before, query: was, group: g}
	b := &attempt{scheduler: s, query: is, group: g}
	old, changed := a.candidate(x.index), b.candidate(x.index)
	for _, f := range s.filters {
		if old.rejectedBy != "" && changed.rejectedBy != "" {
			break
		}
		reject := f.prepare(b)
		if old.rejectedBy == "" {
			rejectOld := reject
			if !x.taints || f.name == filterOfTaints {
				rejectOld = f.prepare(a)
			}
			rejectOld.ask(&old, f.name)
		}
		if changed.rejectedBy == "" {
			reject.ask(&changed, f.name)
		}
	}
	return old.outcome(), changed.outcome()
}

func (a *attempt) candidate(cluster int) candidate {
	own, placed := a.query.previous.of(cluster)
	return candidate{cluster: &a.fleet.clusters[cluster], placed: placed, own: own}
}

// ask writes the answer of a filter into the candidate.
func (c check) ask(to *candidate, filter string) {
	if c == nil {
		return
	}
	if reason := c(to); reason != "" {
		to.rejectedBy, to.reason = filter, reason
	}
}

func (c *candidate) outcome() outcome {
	return outcome{c.rejectedBy, c.reason, c.pinnedBy, c.stays, c.tier, c.full, c.until}
}

// left is how a decision that was kept says of a cluster that it is not in it.
func (s *scheduler) left(q *query, d *Decision, o outcome, cluster int) Rejection {
	switch {
	case o.by != "":
		return Rejection{Filter: o.by, Reason: o.reason}
	case q.division.byCapacity():
		return Rejection{Filter: q.leftOut(), Reason: notIncluded}
	}
	for i := range q.constraints {
		c := &q.constraints[i]
		if c.SpreadByField == v1alpha1.SpreadByCluster {
			continue
		}
		var chosen []string
		for j := range d.Clusters {
			chosen = append(chosen, groupsOf(&s.fleet.clusters[s.fleet.byName[d.Clusters[j].Name]], c)...)
		}
		slices.Sort(chosen)
		chosen = slices.Compact(chosen)
		for _, g := range slices.Sorted(slices.Values(groupsOf(&s.fleet.clusters[cluster], c))) {
			if _, in := slices.BinarySearch(chosen, g); !in {
				return Rejection{Filter: rejectedBySpread, Reason: notAmong(constraintName(c), g, chosen)}
			}
		}
	}
	return Rejection{Filter: rejectedBySpread, Reason: isReached(q.mostClusters())}
}

// moveRejection returns a list of rejections with one cluster under another reason.
func (s *scheduler) moveRejection(list []Rejection, cluster int, from, to Rejection) []Rejection {
	same := func(x, y Rejection) bool { return x.Filter == y.Filter && x.Reason == y.Reason }
	if same(from, to) {
		return list
	}
	moved := make([]Rejection, 0, len(list)+1)
	placed := false
	for _, r := range list {
		if same(r, from) {
			r.Clusters = r.Clusters.without(cluster)
		}
		if same(r, to) {
			r.Clusters, placed = r.Clusters.with(cluster), true
		}
		if r.Clusters.Len() > 0 {
			moved = append(moved, r)
		}
	}
	if !placed {
		to.Clusters = s.fleet.none().with(cluster)
		at, _ := slices.BinarySearchFunc(moved, to, s.compareRejections)
		moved = slices.Insert(moved, at, to)
	}
	return moved
}

func (s *scheduler) compareRejections(x, y Rejection) int {
	return cmp.Or(cmp.Compare(s.rejections[x.Filter], s.rejections[y.Filter]), cmp.Compare(x.Reason, y.Reason))
}

// refresh writes what the clusters of a decision have room for now. It tells false where a remark
// about that may change.
func (s *scheduler) refresh(q *query, d *Decision) bool {
	if q.Replicas == nil {
		return true
	}
	fresh := false
	for i := range d.Clusters {
		c := &d.Clusters[i]
		at := s.fleet.byName[c.Name]
		own, _ := q.previous.of(at)
		capacity, _, known := s.ledger.capacity(at, &q.demand, own)
		if known == (c.Capacity != nil) && (!known || capacity == *c.Capacity) {
			continue
		}
		if !q.division.byCapacity() && (known && *c.Replicas > capacity || c.Capacity != nil && *c.Replicas > *c.Capacity) {
			return false
		}
		if !fresh {
			d.Clusters, fresh = slices.Clone(d.Clusters), true
			c = &d.Clusters[i]
		}
		if c.Capacity = nil; known {
			c.Capacity = &capacity
		}
	}
	return true
}

// remember keeps a decision for the next Schedule.
func (r *recall) remember(q *query, d *Decision, stood bool) {
	if r != nil {
		e := q.remembered
		if e == nil {
			e = &remembered{}
		}
		q.remembered = nil
		e.query, e.decision, e.stood = q, *d, stood
		r.now[q.Workload.Key()] = e
	}
}

// constraintName is how reasons name what a constraint groups by.
func constraintName(c *v1alpha1.SpreadConstraint) string {
	if c.SpreadByLabel != "" {
		return "label " + c.SpreadByLabel
	}
	return string(c.SpreadByField)
}
