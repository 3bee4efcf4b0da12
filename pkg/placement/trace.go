package placement

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Trace says step by step how a decision came about. It is made for one workload when somebody asks
// (Explain), by the code that decides, so that plans stay cheap. No list of it is nil.
type Trace struct {
	Standing StandingTrace `json:"standing"`
	// Groups are the affinity groups in the order in which they were tried. The last one is decided
	// on, unless all have a Failure.
	Groups []*GroupTrace `json:"groups"`
	// Cluster answers for the cluster that was asked about; nil: none was.
	Cluster *ClusterTrace `json:"cluster,omitempty"`
}

// StandingTrace says whether the previous decision stands.
type StandingTrace struct {
	Stands bool `json:"stands"`
	// Why has at least one reason.
	Why []string `json:"why"`
}

// GroupTrace is the attempt with one affinity group.
type GroupTrace struct {
	// Name of the group; empty where the policy has no groups.
	Name string `json:"name"`
	// BestEffort tells that what fits is placed.
	BestEffort bool `json:"bestEffort"`
	// Filters in their order with how many clusters each left.
	Filters []FilterTrace `json:"filters"`
	// Candidates are the clusters that pass the filters, in the order of preference.
	Candidates []CandidateTrace `json:"candidates"`
	// Selection is the choice under spread constraints, one entry for each.
	Selection []SelectionTrace `json:"selection"`
	// Division are the steps from the replicas to the shares.
	Division []DivisionStep `json:"division"`
	// Failure says why the group cannot hold the workload; empty: it can.
	Failure string `json:"failure"`

	complete bool
}

// FilterTrace is what one filter did.
type FilterTrace struct {
	Name     string `json:"name"`
	Rejected int    `json:"rejected"`
	Left     int    `json:"left"`
}

// CandidateTrace is a cluster that passes the filters.
type CandidateTrace struct {
	Name string `json:"name"`
	// Tier is 0 for the group's own affinity, else the overflow tier.
	Tier int `json:"tier"`
	// Score is the weighted mean of Scores, 0 to 100.
	Score  int64            `json:"score"`
	Scores map[string]int64 `json:"scores"`
	// Capacity is how many replicas it has room for, its own included; nil: unknown or not looked at.
	Capacity *int64 `json:"capacity"`
	// Replicas is its share; nil: not chosen, or an object without replicas.
	Replicas *int64 `json:"replicas"`
	Chosen   bool   `json:"chosen"`
	// RejectedBy is Spread, Weight, NoShare or empty.
	RejectedBy string `json:"rejectedBy"`
	Reason     string `json:"reason"`
}

// SelectionTrace is one spread constraint and the groups that it makes.
type SelectionTrace struct {
	// By is cluster, region, zone, provider or "label <key>".
	By        string `json:"by"`
	MinGroups int    `json:"minGroups"`
	// MaxGroups is 0 where there is no upper limit.
	MaxGroups int               `json:"maxGroups"`
	Groups    []SelectableGroup `json:"groups"`
}

// SelectableGroup is one group that a constraint makes. There are none for constraints by cluster.
type SelectableGroup struct {
	Name     string `json:"name"`
	Clusters int    `json:"clusters"`
	// Holds is, for Divided, how much of its share the group can hold; for Duplicated, how many of its
	// clusters can hold all replicas.
	Holds int64 `json:"holds"`
	// Score is the mean score of its clusters.
	Score  int64 `json:"score"`
	Chosen bool  `json:"chosen"`
}

// DivisionStep is one step of a division. Parties are empty where nothing is divided.
type DivisionStep struct {
	What string `json:"what"`
	// Seats is how many replicas the step divides by Webster's method.
	Seats   int64        `json:"seats"`
	Parties []PartyTrace `json:"parties"`
	// LastSeat says which cluster got the last replica and which would get the next.
	LastSeat string `json:"lastSeat"`
}

// PartyTrace is a cluster in a division.
type PartyTrace struct {
	Cluster string `json:"cluster"`
	Weight  int64  `json:"weight"`
	// Quota is its exact proportion of the seats, with two decimals.
	Quota string `json:"quota"`
	Least int64  `json:"least"`
	// Most is how many it can have; nil: no limit.
	Most *int64 `json:"most"`
	Got  int64  `json:"got"`
}

// Explain decides like Schedule and returns the decision about one workload with how it came about.
// cluster, where not empty, is one whose place in the decision is explained and what would have to
// change for it to be chosen. ok is false where no request is about the workload.
func Explain(requests []Request, fleet *Fleet, workload v1alpha1.ObjectKey, cluster string) (d Decision, t *Trace, ok bool) {
	s := newScheduler(fleet)
	s.question = &question{workload: workload, cluster: cluster}
	for _, d := range s.schedule(requests) {
		if d.Workload.Key() == workload && s.question.trace != nil {
			return d, s.question.trace, true
		}
	}
	return Decision{}, nil, false
}

// question is what Explain asks.
type question struct {
	workload v1alpha1.ObjectKey
	cluster  string
	trace    *Trace
}

func (x *question) about(q *query) bool { return x != nil && x.workload == q.Workload.Key() }

// group begins the trace of an attempt.
func (t *Trace) group(g *group) *GroupTrace {
	trace := &GroupTrace{Name: g.name, Filters: []FilterTrace{}, Candidates: []CandidateTrace{}, Selection: []SelectionTrace{}, Division: []DivisionStep{}}
	t.Groups = append(t.Groups, trace)
	return trace
}

// explain completes the trace of a decision that was just made.
func (s *scheduler) explain(q *query, d *Decision) {
	t := s.question.trace
	t.Groups = slices.DeleteFunc(t.Groups, func(g *GroupTrace) bool { return !g.complete })
	if t.Groups == nil {
		t.Groups = []*GroupTrace{}
	}
	t.Standing = StandingTrace{Stands: d.Standing, Why: s.whyStanding(q, d)}
	if i, ok := s.fleet.byName[s.question.cluster]; ok && q.err == nil {
		t.Cluster = s.explainCluster(q, d, i)
	}
}

// whyStanding says why the previous decision stands, or what opened it.
func (s *scheduler) whyStanding(q *query, d *Decision) []string {
	p := q.Previous
	if p == nil {
		return []string{"there is no previous decision"}
	}
	if d.Standing && q.division.byCapacity() {
		return []string{"nothing that it was decided from has changed, and no cluster of it must be left; less capacity or a better score moves nothing"}
	}
	if d.Standing {
		return []string{"it is computed anew each time, since it follows the set of clusters that can be chosen, and comes out the same"}
	}
	var why []string
	if p.Inputs == "" {
		why = append(why, "it is not known from what the previous decision was made")
	} else if !q.unchanged() {
		why = append(why, "what it was decided from has changed: replicas, requests, labels or the policy's placement")
	}
	if !q.complete {
		why = append(why, "a cluster of it is no longer in the fleet")
	}
	switch {
	case q.inGroup:
		why = append(why, "it has been out of balance since "+p.ImbalanceSince.UTC().Format(time.RFC3339))
	case q.fresh:
		why = append(why, "a rebalance was asked for at "+p.RebalanceAt.UTC().Format(time.RFC3339))
	}
	if q.failback {
		why = append(why, "an earlier affinity group has been able to hold it since "+p.FailbackSince.UTC().Format(time.RFC3339))
	}
	if q.err == nil {
		why = append(why, s.whyLeave(q)...)
	}
	if len(why) == 0 && q.division.byCapacity() {
		why = append(why, "not all replicas had a place")
	}
	if len(why) == 0 {
		why = append(why, "the set of clusters that can be chosen has changed")
	}
	return why
}

// whyLeave names the clusters of the previous decision that have to be left.
func (s *scheduler) whyLeave(q *query) []string {
	a := s.try(q, q.order()[0])
	a.filter()
	var why []string
	for i := range a.candidates {
		if c := &a.candidates[i]; c.placed && a.mustLeave(c) {
			reason := c.reason
			if c.rejectedBy != "" {
				reason = c.rejectedBy + ": " + reason
			}
			why = append(why, c.Name+" must be left: "+reason)
		}
	}
	return why
}

// record takes over what an attempt has found out so far. A later call replaces it.
func (t *GroupTrace) record(a *attempt, fail *failure) {
	t.complete, t.BestEffort = true, a.lenient
	if fail != nil {
		t.Failure = fail.message
	}
	left := len(a.candidates)
	t.Filters, t.Candidates = make([]FilterTrace, 0, len(a.filters)), []CandidateTrace{}
	for i := range a.filters {
		n := 0
		for j := range a.candidates {
			if a.candidates[j].rejectedBy == a.filters[i].name {
				n++
			}
		}
		left -= n
		t.Filters = append(t.Filters, FilterTrace{a.filters[i].name, n, left})
	}
	var passed []*candidate
	for i := range a.candidates {
		if c := &a.candidates[i]; a.rejections[c.rejectedBy] >= len(a.filters) || c.rejectedBy == "" {
			passed = append(passed, c)
		}
	}
	slices.SortFunc(passed, preferred)
	for _, c := range passed {
		t.Candidates = append(t.Candidates, a.traceOf(c, fail))
	}
}

func (a *attempt) traceOf(c *candidate, fail *failure) CandidateTrace {
	t := CandidateTrace{
		Name: c.Name, Tier: c.tier, Score: c.score, Scores: c.scores, RejectedBy: c.rejectedBy, Reason: c.reason,
		Chosen: fail == nil && c.rejectedBy == "",
	}
	if t.Scores == nil {
		t.Scores = map[string]int64{}
	}
	if a.query.Replicas != nil {
		if capacity := c.capacity; c.known {
			t.Capacity = &capacity
		}
		if share := c.share; t.Chosen {
			t.Replicas = &share
		}
	}
	return t
}

// selected records the choice under spread constraints.
func (t *GroupTrace) selected(s *spread, picked []int) {
	in := map[int]bool{}
	for _, i := range picked {
		for _, g := range s.of[i] {
			in[g] = true
		}
	}
	next := 0
	for i := range s.query.constraints {
		c := &s.query.constraints[i]
		trace := SelectionTrace{By: string(c.SpreadByField), MinGroups: max(c.MinGroups, 1), MaxGroups: c.MaxGroups, Groups: []SelectableGroup{}}
		if c.SpreadByField != v1alpha1.SpreadByCluster {
			f := &s.fields[next]
			next++
			trace.By = f.name
			for g := f.first; g < f.first+f.present; g++ {
				from := &s.groups[g]
				trace.Groups = append(trace.Groups, SelectableGroup{
					Name: from.name, Clusters: len(from.members), Holds: from.worth.held, Score: from.worth.mean / meanParts, Chosen: in[g],
				})
			}
		}
		t.Selection = append(t.Selection, trace)
	}
}

// explain records a step of the division where a trace is asked for.
func (a *attempt) explain(format string, args ...any) {
	if a.trace != nil {
		a.trace.Division = append(a.trace.Division, DivisionStep{What: fmt.Sprintf(format, args...), Parties: []PartyTrace{}})
	}
}

// divided records the parties of the step that was explained last.
func (t *GroupTrace) divided(n int64, taking []*candidate, parties []seat) {
	step := DivisionStep{Seats: n, Parties: []PartyTrace{}}
	if last := len(t.Division) - 1; last >= 0 && len(t.Division[last].Parties) == 0 {
		step.What, t.Division = t.Division[last].What, t.Division[:last]
	}
	total := new(big.Int)
	for i := range parties {
		total.Add(total, big.NewInt(parties[i].weight))
	}
	for i, c := range taking {
		p := &parties[i]
		trace := PartyTrace{Cluster: c.Name, Weight: p.weight, Least: p.least, Got: p.got}
		if most := p.most; most < unlimited {
			trace.Most = &most
		}
		quota := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(n), big.NewInt(p.weight)), total)
		trace.Quota = quota.FloatString(2)
		step.Parties = append(step.Parties, trace)
	}
	step.LastSeat = lastSeat(taking, parties)
	t.Division = append(t.Division, step)
}

// lastSeat says who got the last seat and who would get the next one, with their quotients
// weight / (2·seats + 1).
func lastSeat(taking []*candidate, parties []seat) string {
	last, next := -1, -1
	quotient := func(i int, seats int64) *big.Rat {
		odd := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(seats), 1), big.NewInt(1))
		return new(big.Rat).SetFrac(big.NewInt(parties[i].weight), odd)
	}
	for i := range parties {
		p := &parties[i]
		if p.got > p.least && p.weight > 0 {
			if last < 0 || quotient(i, p.got-1).Cmp(quotient(last, parties[last].got-1)) <= 0 {
				last = i
			}
		}
		if p.open() && (next < 0 || quotient(i, p.got).Cmp(quotient(next, parties[next].got)) > 0) {
			next = i
		}
	}
	if last < 0 {
		return ""
	}
	show := func(i int, seats int64) string {
		return fmt.Sprintf("%s at %d/%s = %s", taking[i].Name, parties[i].weight,
			new(big.Int).Add(new(big.Int).Lsh(big.NewInt(seats), 1), big.NewInt(1)), quotient(i, seats).FloatString(2))
	}
	text := "the last replica went to " + show(last, parties[last].got-1)
	if next >= 0 {
		text += "; the next would go to " + show(next, parties[next].got)
	}
	return text
}

// amountText writes an amount, "any number" where it is not limited.
func amountText(n int64) string {
	if n >= unlimited {
		return "any number"
	}
	return fmt.Sprint(n)
}

func whyAnew(fresh, broken bool) string {
	switch {
	case fresh:
		return "afresh, as the rebalance asks"
	case broken:
		return "afresh, since shares break the bounds that the policy has now"
	}
	return "nothing is placed yet"
}

// namedClusters bounds how many clusters a sentence names.
const namedClusters = 8

func namesOf(members []*candidate) string {
	var names []string
	for _, c := range members[:min(len(members), namedClusters)] {
		names = append(names, c.Name)
	}
	if more := len(members) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// preferred is the order of preference: overflow tier, score and capacity descending, name.
func preferred(x, y *candidate) int {
	return cmp.Or(
		cmp.Compare(x.tier, y.tier),
		cmp.Compare(y.score, x.score),
		cmp.Compare(y.capacity, x.capacity),
		cmp.Compare(x.index, y.index),
	)
}
