package placement

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// spread is the choice of clusters under the spread constraints of one attempt. Clusters are named
// by their place in the order of preference.
type spread struct {
	*attempt
	// fewest and most clusters.
	fewest, most int
	// needed is how many replicas the chosen clusters must have room for together; room is what each
	// contributes.
	needed int64
	room   []int64
	// fields are the constraints beside that on the number of clusters.
	fields []field
	// groups of all fields, and for each cluster those that it belongs to.
	groups []spreadGroup
	of     [][]int
	// held is the most that any admissible choice held; best is that choice.
	held    int64
	best    []int
	bounded bool
}

// field is a constraint on the number of groups by one field or label.
type field struct {
	name           string
	fewest, most   int
	present, first int // number of groups that there are, and the place of the first in groups
}

// spreadGroup is one group: its clusters in the order of preference and what it is worth.
type spreadGroup struct {
	name    string
	field   int
	members []int
	worth   worth
}

// worth ranks groups: how much of its share a group can hold, then its mean score.
type worth struct {
	held int64
	mean int64
}

func (w worth) plus(o worth) worth { return worth{addAmounts(w.held, o.held), w.mean + o.mean} }

func (w worth) compare(o worth) int {
	switch {
	case w.held != o.held:
		return compareBool(w.held > o.held, o.held > w.held)
	case w.mean != o.mean:
		return compareBool(w.mean > o.mean, o.mean > w.mean)
	}
	return 0
}

// choose selects clusters under the spread constraints; without any, all that are eligible.
func (a *attempt) choose() *failure {
	if len(a.query.constraints) == 0 {
		a.chosen = a.eligible
		return nil
	}
	s := newSpread(a)
	if fail := s.enough(); fail != nil {
		return fail
	}
	picked, ok := s.previous()
	a.bound = ok && a.query.division == duplicated && len(picked) == len(a.query.previous) && len(picked) >= a.query.mostClusters()
	if !ok {
		picked, ok = s.search()
	}
	if !ok && a.lenient && s.best != nil {
		picked, ok = s.best, true
	}
	if !ok {
		return s.fail()
	}
	s.take(picked)
	if a.trace != nil {
		a.trace.selected(s, picked)
	}
	return nil
}

func newSpread(a *attempt) *spread {
	s := &spread{attempt: a, fewest: 1, most: len(a.eligible), held: -1}
	s.measureRoom()
	s.of = make([][]int, len(a.eligible))
	for i := range a.query.constraints {
		c := &a.query.constraints[i]
		most := c.MaxGroups
		if most == 0 {
			most = math.MaxInt
		}
		if c.SpreadByField == v1alpha1.SpreadByCluster {
			s.fewest, s.most = max(s.fewest, c.MinGroups), min(s.most, most)
			continue
		}
		s.addField(c, max(c.MinGroups, 1), most)
	}
	for i := range s.groups {
		s.groups[i].worth = s.worthOf(&s.groups[i])
	}
	return s
}

// measureRoom finds what each cluster contributes to holding the replicas.
func (s *spread) measureRoom() {
	q := s.query
	s.room = make([]int64, len(s.eligible))
	if q.Replicas == nil || q.division == duplicated {
		return
	}
	s.needed = *q.Replicas
	for i, c := range s.eligible {
		room := c.hold
		if q.division == static {
			room = q.most
		}
		switch {
		case q.Indivisible && q.division == static:
			room = s.needed
		case q.Indivisible && room < s.needed:
			room = 0
		}
		s.room[i] = min(room, s.needed)
	}
}

func (s *spread) addField(c *v1alpha1.SpreadConstraint, fewest, most int) {
	f := field{name: constraintName(c), fewest: fewest, most: most, first: len(s.groups)}
	members := map[string][]int{}
	for i, candidate := range s.eligible {
		for _, g := range groupsOf(candidate.cluster, c) {
			if m := members[g]; len(m) == 0 || m[len(m)-1] != i {
				members[g] = append(m, i)
			}
		}
	}
	for _, name := range sortedKeys(members) {
		for _, i := range members[name] {
			s.of[i] = append(s.of[i], len(s.groups))
		}
		s.groups = append(s.groups, spreadGroup{name: name, field: len(s.fields), members: members[name]})
		f.present++
	}
	s.fields = append(s.fields, f)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// worthOf ranks a group. Divided: how much of its share ⌈replicas / minGroups⌉ it can hold;
// Duplicated: how many of its clusters can hold all replicas.
func (s *spread) worthOf(g *spreadGroup) worth {
	var w worth
	scores := int64(0)
	for _, i := range g.members {
		c := s.eligible[i]
		scores += c.score
		switch {
		case s.query.Replicas == nil:
		case s.query.division == duplicated:
			if c.hold >= *s.query.Replicas {
				w.held++
			}
		default:
			w.held = addAmounts(w.held, c.hold)
		}
	}
	if s.query.Replicas != nil && s.query.division != duplicated {
		groups := int64(s.fields[g.field].fewest)
		share := *s.query.Replicas / groups
		if *s.query.Replicas%groups > 0 {
			share++
		}
		w.held = min(w.held, share)
	}
	w.mean = scores * meanParts / int64(len(g.members))
	return w
}

// meanParts is of how many parts of a point mean scores are made.
const meanParts = 1_000_000

// enough checks that there are as many clusters and groups as the constraints ask for at least.
// Lenient attempts make do with what there is.
func (s *spread) enough() *failure {
	var short []string
	if n := len(s.eligible); n < s.fewest {
		short = append(short, fmt.Sprintf("%s of the %d that spread constraints ask for", plural(n, "cluster"), s.fewest))
		s.fewest = n
	}
	for i := range s.fields {
		f := &s.fields[i]
		if f.present >= f.fewest {
			continue
		}
		var names []string
		for _, g := range s.groups[f.first : f.first+f.present] {
			names = append(names, g.name)
		}
		short = append(short, fmt.Sprintf("%s by %s (%s) of the %d that spread constraints ask for",
			plural(f.present, "group"), f.name, strings.Join(names, ", "), f.fewest))
		f.fewest = f.present
	}
	if len(short) == 0 {
		return nil
	}
	fail := &failure{"fewer-than-min-groups", "only " + strings.Join(short, " and ") + " can be chosen"}
	if !s.lenient {
		return fail
	}
	s.notes = append(s.notes, Note{ID: fail.note, Message: fail.message})
	return nil
}

// previous returns the clusters of the previous decision where they satisfy everything. A duplicated
// workload also goes to further clusters of its groups, as many as are allowed. Of a static division from the same inputs
// the clusters with a share of 0 are not on record, so that it stays though those that are may be
// too few groups: otherwise it would move to wherever the missing ones are made up for.
func (s *spread) previous() ([]int, bool) {
	q := s.query
	if q.fresh || !q.complete || len(q.previous) == 0 {
		return nil, false
	}
	var picked []int
	for i, c := range s.eligible {
		if c.placed {
			picked = append(picked, i)
		}
	}
	if len(picked) != len(q.previous) || s.roomOf(picked) < s.needed {
		return nil, false
	}
	if q.division == static && q.unchanged() {
		return picked, len(picked) <= s.most && s.counted(picked, func(f *field, n int) bool { return n <= f.most })
	}
	if !s.admissible(picked) {
		return nil, false
	}
	if q.division == duplicated {
		picked = s.fill(picked, s.membersOf(s.groupsOf(picked)))
	}
	return picked, true
}

// admissible tells whether clusters satisfy the constraints.
func (s *spread) admissible(picked []int) bool {
	if len(picked) < s.fewest || len(picked) > s.most {
		return false
	}
	return s.counted(picked, func(f *field, n int) bool { return n >= f.fewest && n <= f.most })
}

// counted asks ok about each field with the number of its groups that the clusters are in.
func (s *spread) counted(picked []int, ok func(*field, int) bool) bool {
	seen := make([]bool, len(s.groups))
	counts := make([]int, len(s.fields))
	for _, i := range picked {
		for _, g := range s.of[i] {
			if !seen[g] {
				seen[g] = true
				counts[s.groups[g].field]++
			}
		}
	}
	for i := range s.fields {
		if !ok(&s.fields[i], counts[i]) {
			return false
		}
	}
	return true
}

// groupsOf returns the groups that clusters are in.
func (s *spread) groupsOf(picked []int) []int {
	var groups []int
	for _, i := range picked {
		groups = append(groups, s.of[i]...)
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

func (s *spread) roomOf(picked []int) int64 {
	sum := int64(0)
	for _, i := range picked {
		sum = addAmounts(sum, s.room[i])
	}
	return sum
}

// offer remembers an admissible choice that holds too little, and tells whether it holds enough.
func (s *spread) offer(picked []int) bool {
	if room := s.roomOf(picked); room > s.held {
		s.held, s.best = room, slices.Clone(picked)
	}
	return s.roomOf(picked) >= s.needed
}

// fail says why nothing could be chosen.
func (s *spread) fail() *failure {
	if s.best == nil {
		return &failure{"fewer-than-min-groups", "no choice of clusters satisfies all spread constraints together"}
	}
	return &failure{"headroom", fmt.Sprintf("%d of %d replicas fit on the best choice of clusters that the spread constraints allow", s.held, s.needed)}
}

// take makes the picked clusters the chosen ones and gives the others their reason.
func (s *spread) take(picked []int) {
	slices.Sort(picked)
	s.chosen = make([]*candidate, len(picked))
	for j, i := range picked {
		s.chosen[j] = s.eligible[i]
	}
	in := make([]bool, len(s.groups))
	for _, i := range picked {
		for _, g := range s.of[i] {
			in[g] = true
		}
	}
	reasons := make([]string, len(s.groups)+1) // by the group that is not chosen; the last: none is
	for i, c := range s.eligible {
		if _, ok := slices.BinarySearch(picked, i); ok {
			continue
		}
		missing := s.missing(i, in)
		if reasons[missing] == "" {
			reasons[missing] = s.whyNot(missing, in, len(picked))
		}
		c.rejectedBy, c.reason = rejectedBySpread, reasons[missing]
	}
	if s.bounded {
		s.notes = append(s.notes, Note{ID: "spread-search-bounded", Message: "not every choice of groups was tried; a better one may exist"})
	}
}

// missing returns the first group of a cluster that is not chosen, len(s.groups) where all are.
func (s *spread) missing(i int, in []bool) int {
	for _, g := range s.of[i] {
		if !in[g] {
			return g
		}
	}
	return len(s.groups)
}

func (s *spread) whyNot(group int, in []bool, picked int) string {
	if group < len(s.groups) {
		f := &s.fields[s.groups[group].field]
		var names []string
		for j := f.first; j < f.first+f.present; j++ {
			if in[j] {
				names = append(names, s.groups[j].name)
			}
		}
		return notAmong(f.name, s.groups[group].name, names)
	}
	if picked >= s.most {
		return isReached(s.most)
	}
	return "the previous clusters satisfy the spread constraints and stay"
}

func notAmong(field, group string, chosen []string) string {
	return fmt.Sprintf("%s %s is not among the chosen ones (%s)", field, group, strings.Join(chosen, ", "))
}

func isReached(most int) string {
	return fmt.Sprintf("cluster.maxGroups %d is reached without it", most)
}

// mostClusters is the least cluster.maxGroups of the constraints.
func (q *query) mostClusters() int {
	most := math.MaxInt
	for i := range q.constraints {
		if c := &q.constraints[i]; c.SpreadByField == v1alpha1.SpreadByCluster && c.MaxGroups > 0 {
			most = min(most, c.MaxGroups)
		}
	}
	return most
}
