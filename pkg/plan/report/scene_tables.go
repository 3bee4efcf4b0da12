package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// arrangeTables makes a table of each workload with replicas or an error, and of other objects unless
// they go where a workload of their policy goes, or where another such object goes.
func (s *scene) arrangeTables() {
	var rest []*plan.ReportPlacement
	for i := range s.Placements {
		if p := &s.Placements[i]; p.Before != nil || p.After != nil || p.Error != "" {
			s.tables = append(s.tables, newTable(p))
		} else {
			rest = append(rest, p)
		}
	}
	byPolicy := map[plan.PolicyReference][]int{}
	for i := range s.tables {
		byPolicy[s.tables[i].Policy] = append(byPolicy[s.tables[i].Policy], i)
	}
	alike := map[string]int{}
next:
	for _, p := range rest {
		for _, i := range byPolicy[p.Policy] {
			if follows(s.tables[i].ReportPlacement, p) {
				s.tables[i].along = append(s.tables[i].along, p.Workload)
				continue next
			}
		}
		key := movement(p)
		if i, known := alike[key]; known {
			s.tables[i].along = append(s.tables[i].along, p.Workload)
			continue
		}
		alike[key] = len(s.tables)
		s.tables = append(s.tables, newTable(p))
	}
}

// movement is equal for objects without replicas that move alike for the same reasons.
func movement(p *plan.ReportPlacement) string {
	var key strings.Builder
	for _, a := range p.Clusters {
		fmt.Fprintf(&key, "%q %s %q ", a.Name, a.Action, a.Reasons)
	}
	return key.String()
}

// follows tells whether an object moves as its workload does. Where it is held back, or where its kind is
// not served, a finding says so and it need not.
func follows(workload, p *plan.ReportPlacement) bool {
	excused := map[string]bool{}
	for _, r := range p.Rejected {
		for _, name := range r.Clusters {
			excused[name] = excused[name] || r.Filter == notServedFilter
		}
	}
	where := map[string]plan.PlacementAction{}
	for _, a := range p.Clusters {
		where[a.Name] = a.Action
		excused[a.Name] = excused[a.Name] || a.FilterBy == notServedFilter ||
			a.Action == plan.PlacementStay && slices.ContainsFunc(a.Reasons, func(r string) bool { return strings.HasPrefix(r, "held:") })
	}
	moved := false
	for _, a := range workload.Clusters {
		action := where[a.Name]
		delete(where, a.Name)
		want := a.Action
		if want == plan.PlacementRescale {
			want = plan.PlacementStay
		}
		if action != want && !excused[a.Name] {
			return false
		}
		moved = moved || want != plan.PlacementStay
	}
	return moved && len(where) == 0
}

// alikeRows is how many clusters that fare alike get a row of their own each.
const alikeRows = 4

func newTable(p *plan.ReportPlacement) table {
	t := table{ReportPlacement: p}
	type key struct {
		action        plan.PlacementAction
		before, after string
		why           string
	}
	merged := map[key][]int{}
	for i, a := range p.Clusters {
		if a.Action != plan.PlacementJoin {
			t.before++
		}
		if a.Action != plan.PlacementLeave {
			t.after++
		}
		if a.Action == plan.PlacementStay {
			t.stay = append(t.stay, a.Name)
			t.stayReplicas = add(t.stayReplicas, a.After)
			continue
		}
		k := key{a.Action, count(a.Before), count(a.After), a.FilterBy + "\n" + strings.Join(a.Reasons, "\n")}
		merged[k] = append(merged[k], i)
	}
	for _, members := range merged {
		if len(members) < alikeRows {
			for _, i := range members {
				t.rows = append(t.rows, row{p.Clusters[i], []string{p.Clusters[i].Name}})
			}
			continue
		}
		r := row{ReportAssignment: p.Clusters[members[0]]}
		// Each has its own score.
		r.Score, r.Scores = 0, nil
		for _, i := range members {
			r.clusters = append(r.clusters, p.Clusters[i].Name)
		}
		t.rows = append(t.rows, r)
	}
	order := map[plan.PlacementAction]int{plan.PlacementJoin: 0, plan.PlacementLeave: 1, plan.PlacementRescale: 2}
	slices.SortFunc(t.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(order[a.Action], order[b.Action]), cmp.Compare(delta(b), delta(a)), strings.Compare(a.clusters[0], b.clusters[0]))
	})
	return t
}

// delta is by how many replicas a row differs, 0 for objects without.
func delta(r row) int64 {
	if r.Before == nil || r.After == nil {
		return 0
	}
	return *r.After - *r.Before
}

func add(sum, n *int64) *int64 {
	if n == nil {
		return sum
	}
	total := *n
	if sum != nil {
		total += *sum
	}
	return &total
}

// count writes a number of replicas, "–" for objects without.
func count(n *int64) string {
	if n == nil {
		return "–"
	}
	return fmt.Sprint(*n)
}

// rejected are the clusters that a workload is not on and does not come to, by name.
func (t *table) rejected() []string {
	seen := map[string]bool{}
	for _, r := range t.Rejected {
		for _, name := range r.Clusters {
			seen[name] = true
		}
	}
	return sortedKeys(seen)
}

// score writes what made a cluster rank where it does, without scorers that gave nothing.
func score(a plan.ReportAssignment) string {
	if a.Score == 0 {
		return ""
	}
	var parts []string
	for _, name := range sortedKeys(a.Scores) {
		if n := a.Scores[name]; n != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", page.Scrub(name), n))
		}
	}
	text := fmt.Sprintf("score %d", a.Score)
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	return text
}
