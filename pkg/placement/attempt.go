package placement

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// attempt is the work on one request with one affinity group.
type attempt struct {
	*scheduler
	query *query
	group *group
	// lenient attempts place what fits (whenUnsatisfiable: BestEffort).
	lenient bool
	// candidates are all clusters of the fleet by name; eligible those that pass the filters and
	// have a weight, in the order of preference once order has run; chosen are the selected ones.
	candidates []candidate
	eligible   []*candidate
	chosen     []*candidate
	unassigned int64
	notes      []Note
	// bound tells that the previous clusters stay and no other can join them.
	bound bool
	// trace records the steps where someone asked for them; else nil.
	trace *GroupTrace
	// supposed is what is supposed of one cluster beyond its facts; else nil.
	supposed *supposition
}

// candidate is a cluster in an attempt.
type candidate struct {
	*cluster
	// placed tells that the previous decision names the cluster; own is its share there.
	placed bool
	own    int64
	// rejectedBy and reason say why it is not chosen; empty: it is, or may be.
	rejectedBy, reason string
	// tier of the affinity group that the cluster is in: 0 is the group itself.
	tier int
	// full clusters keep what they have and take no more.
	full bool
	// pinnedBy is the taint that a pinned workload stays in spite of.
	pinnedBy string
	// stays tells that the workload would have to leave and must not for now.
	stays bool
	// until is when the passing of time alone rejects the cluster; zero: never.
	until time.Time

	// capacity is how many replicas it has room for, own included; more how many it can add. known
	// is false where it does not say.
	capacity, more int64
	known          bool
	// offer is how many replicas it has room for in this decision, hold how many of them it can have
	// under the policy's bounds.
	offer, hold int64
	// usable clusters can have a share that keeps the policy's bounds.
	usable bool
	weight int64
	score  int64
	scores map[string]int64
	share  int64
	// part of total is what the division weighed it by.
	part  int64
	total wide
}

// failure is why an attempt does not place the workload; note is the id of the finding.
type failure struct {
	note, message string
}

// joined makes one failure of those of several groups.
func joined(q *query, failures []failure) failure {
	if len(failures) == 1 {
		return failures[0]
	}
	var parts []string
	for i, g := range q.order() {
		parts = append(parts, g.name+": "+failures[i].message)
	}
	return failure{failures[0].note, "no affinity group can hold the workload: " + strings.Join(parts, "; ")}
}

// try starts an attempt. It takes over the memory of the one before.
func (s *scheduler) try(q *query, g *group) *attempt {
	a := &attempt{scheduler: s, query: q, group: g, candidates: s.candidates, eligible: s.eligible[:0]}
	clear(a.candidates)
	for i := range a.candidates {
		a.candidates[i].cluster = &s.fleet.clusters[i]
	}
	for _, p := range q.previous {
		a.candidates[p.cluster].placed, a.candidates[p.cluster].own = true, p.replicas
	}
	if s.tracing != nil {
		a.trace = s.tracing.group(g)
	}
	return a
}

// run decides anew: filter, weigh, measure, score, order, select, divide. It returns nil when every
// candidate has its share or a reason why not.
func (a *attempt) run() *failure {
	fail := a.steps()
	if a.trace != nil {
		a.trace.record(a, fail)
	}
	return fail
}

func (a *attempt) steps() *failure {
	a.filter()
	if len(a.eligible) == 0 {
		return &failure{"no-cluster-matches", a.nobody()}
	}
	a.weigh()
	a.measure()
	a.score()
	if a.supposed != nil {
		a.supposed.apply(a)
	}
	a.order()
	if fail := a.choose(); fail != nil {
		return fail
	}
	if fail := a.divide(); fail != nil {
		return fail
	}
	a.remark()
	return nil
}

// filter rejects clusters and collects the others.
func (a *attempt) filter() {
	checks := make([]check, len(a.filters))
	for i, f := range a.filters {
		checks[i] = f.prepare(a)
	}
	a.eligible = a.eligible[:0]
	for i := range a.candidates {
		c := &a.candidates[i]
		for j, reject := range checks {
			if reject == nil {
				continue
			}
			if reason := reject(c); reason != "" && !a.supposed.admits(c) {
				c.rejectedBy, c.reason = a.filters[j].name, reason
				break
			}
		}
		if c.rejectedBy == "" {
			a.eligible = append(a.eligible, c)
		}
	}
}

// nobody says how many clusters each filter rejected, and why where the reason is one for all.
func (a *attempt) nobody() string {
	if len(a.candidates) == 0 {
		return "the fleet has no clusters"
	}
	counts, reasons := map[string]int{}, map[string]string{}
	for i := range a.candidates {
		c := &a.candidates[i]
		if counts[c.rejectedBy]++; counts[c.rejectedBy] == 1 {
			reasons[c.rejectedBy] = c.reason
		} else if reasons[c.rejectedBy] != c.reason {
			reasons[c.rejectedBy] = ""
		}
	}
	var parts []string
	for _, f := range a.filters {
		n := counts[f.name]
		if n == 0 {
			continue
		}
		part := fmt.Sprintf("%s rejects %d", f.name, n)
		if reason := reasons[f.name]; reason != "" {
			part += " (" + reason + ")"
		}
		parts = append(parts, part)
	}
	return "no cluster matches: " + strings.Join(parts, ", ")
}

// weigh gives static weights and drops clusters of weight 0; all zero counts as all 1.
func (a *attempt) weigh() {
	if a.query.division != static {
		return
	}
	some := false
	weights := a.staticWeights()
	for _, c := range a.eligible {
		c.weight = weights(c)
		if a.supposed.admits(c) && a.supposed.weight >= 0 {
			c.weight = a.supposed.weight
		}
		some = some || c.weight > 0
	}
	if !some {
		for _, c := range a.eligible {
			c.weight = 1
		}
		return
	}
	a.eligible = slices.DeleteFunc(a.eligible, func(c *candidate) bool {
		if c.weight == 0 {
			c.rejectedBy, c.reason = rejectedByWeight, "no rule of staticWeightList gives it a weight"
		}
		return c.weight == 0
	})
}

// staticWeights asks the rules for weights once about each class of clusters.
func (a *attempt) staticWeights() func(*candidate) int64 {
	if len(a.query.weights) == 0 {
		return func(c *candidate) int64 { return a.query.staticWeight(c.cluster) }
	}
	by := a.classesBy(a.query.weightFacets)
	known := make([]int64, by.count)
	for i := range known {
		known[i] = -1 // not known yet
	}
	return func(c *candidate) int64 {
		w := &known[by.of[c.index]]
		if *w < 0 {
			*w = a.query.staticWeight(c.cluster)
		}
		return *w
	}
}

// measure finds out how many replicas each eligible cluster can have.
func (a *attempt) measure() {
	q := a.query
	if q.Replicas == nil {
		return
	}
	for _, c := range a.eligible {
		a.look(c)
		c.offer = unlimited
		switch {
		case !q.division.byCapacity() && !c.known:
		case !q.division.byCapacity():
			c.offer = c.capacity
		case q.fresh && c.full:
			c.offer = min(c.capacity, c.own)
		case q.fresh:
			c.offer = c.capacity
		case c.full:
			c.more, c.offer = 0, c.own
		default:
			c.offer = addAmounts(c.own, c.more)
		}
		c.hold = c.offer
		if q.division != duplicated && !q.Indivisible {
			c.hold = min(c.hold, q.most)
		}
		if q.division.byCapacity() && !q.Indivisible && c.hold < q.least {
			c.hold = 0
		}
		c.usable = !q.division.byCapacity() || c.hold > 0
	}
}

// look reads what a cluster has room for.
func (a *attempt) look(c *candidate) {
	c.capacity, c.more, c.known = a.ledger.capacity(c.index, &a.query.demand, c.own)
	if missing := a.query.Unschedulable[c.Name]; missing > 0 && c.known {
		c.capacity, c.more = min(c.capacity, max(0, c.own-missing)), 0
	}
	if a.supposed.admits(c) && a.supposed.room >= 0 {
		c.capacity, c.more, c.known = a.supposed.room, subAmounts(a.supposed.room, c.own), true
	}
}

// order sorts the eligible clusters by preference: overflow tier, score and capacity descending,
// name. Only the selection and minReplicas look at it; without them the order by name will do.
func (a *attempt) order() {
	if len(a.query.constraints) == 0 && a.query.least == 0 {
		return
	}
	slices.SortFunc(a.eligible, preferred)
}
