package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// scene is a report arranged for people: what belongs together stands together, whatever the format.
type scene struct {
	*plan.Report
	tables []table
	groups []group
	// held are the objects held back that no group shows.
	held  []plan.ReportHeld
	fleet map[string]*plan.ReportCluster
	// selections describe lists of clusters, by the names joined with spaces.
	selections map[string]string
	// namespace is that of every changed object; "" where there are several.
	namespace string
}

// table is one workload that moves, with the objects that move along.
type table struct {
	*plan.ReportPlacement
	along         []v1alpha1.ObjectReference
	rows          []row
	stay          []string
	stayReplicas  *int64
	before, after int
}

// row is what becomes of a workload on some clusters: one, or several that fare alike.
type row struct {
	plan.ReportAssignment
	clusters []string
}

// group is a change with what a reader must see beside it.
type group struct {
	*plan.ReportGroup
	// notServed are objects that do not go along since a cluster of the group does not serve their kind.
	notServed []v1alpha1.ObjectReference
	// orphans stay behind though the rest of the group is removed.
	orphans []plan.ReportHeld
	// findings are those about an object of the group.
	findings []v1alpha1.Finding
}

// notServedFilter is the filter of placement that rejects clusters which do not serve a kind.
const notServedFilter = "APIEnablement"

func arrange(r *plan.Report) *scene {
	s := &scene{Report: r, fleet: make(map[string]*plan.ReportCluster, len(r.Clusters)), selections: map[string]string{}}
	for i := range r.Clusters {
		s.fleet[r.Clusters[i].Name] = &r.Clusters[i]
	}
	for i := range r.Groups {
		if g := &r.Groups[i]; g.Selection != "" {
			s.selections[strings.Join(g.Clusters, " ")] = g.Selection
		}
	}
	s.arrangeTables()
	s.arrangeGroups()
	s.findNamespace()
	return s
}

func (s *scene) arrangeGroups() {
	shown := make([]bool, len(s.Held))
	for i := range s.Groups {
		g := group{ReportGroup: &s.Groups[i]}
		for _, f := range s.Findings {
			if concerns(f, g.ReportGroup) {
				g.findings = append(g.findings, f)
			}
			if f.ID == plan.APINotServed && f.Object != nil && g.Action == v1alpha1.ActionCreate && overlap(f.Clusters, g.Clusters) {
				g.notServed = append(g.notServed, *f.Object)
			}
		}
		if g.Action == v1alpha1.ActionPrune {
			for j, h := range s.Held {
				// What stays behind on every one of these clusters and on no other is told here alone.
				if h.Gate == v1alpha1.GateHeld.Of("prune-confirm") && overlap(h.Clusters, g.Clusters) {
					g.orphans = append(g.orphans, h)
					shown[j] = shown[j] || slices.Equal(h.Clusters, g.Clusters)
				}
			}
		}
		s.groups = append(s.groups, g)
	}
	for i, h := range s.Held {
		if !shown[i] {
			s.held = append(s.held, h)
		}
	}
}

// concerns tells whether a finding is about an object of a group, on one of its clusters.
func concerns(f v1alpha1.Finding, g *plan.ReportGroup) bool {
	if f.Object == nil || len(f.Clusters) > 0 && !overlap(f.Clusters, g.Clusters) {
		return false
	}
	return slices.ContainsFunc(g.Objects, func(o plan.ReportObject) bool { return o.ObjectReference == *f.Object })
}

// overlap tells whether two sorted lists have a name in common.
func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(name string) bool {
		_, found := slices.BinarySearch(b, name)
		return found
	})
}

func (s *scene) findNamespace() {
	first := true
	for _, g := range s.groups {
		for _, o := range g.Objects {
			switch {
			case first:
				s.namespace, first = o.Namespace, false
			case o.Namespace != s.namespace:
				s.namespace = ""
				return
			}
		}
	}
}

// short names an object without its namespace, where that goes without saying.
func (s *scene) short(ref v1alpha1.ObjectReference) string {
	if ref.Namespace == "" || ref.Namespace == s.namespace {
		return page.Scrub(ref.Name)
	}
	return page.Scrub(ref.Namespace + "/" + ref.Name)
}

// title names an object as "namespace/name".
func title(ref v1alpha1.ObjectReference) string {
	if ref.Namespace == "" {
		return page.Scrub(ref.Name)
	}
	return page.Scrub(ref.Namespace + "/" + ref.Name)
}

// listedClusters is how many clusters a line names before it counts.
const listedClusters = 6

// where names clusters in one line: by what they have in common where that is exact, else by name, or
// else the first of them and how many more.
func (s *scene) where(names []string, separator string) string {
	if text := s.describe(names); text != "" {
		return page.Scrub(text)
	}
	return firstClusters(names, separator)
}

func firstClusters(names []string, separator string) string {
	shown := names
	if len(names) > listedClusters+2 {
		shown = names[:listedClusters]
	}
	text := page.Scrub(strings.Join(shown, separator))
	if rest := len(names) - len(shown); rest > 0 {
		text += fmt.Sprintf(" + %d more", rest)
	}
	return text
}

// fewClusters is how many clusters are better named than described.
const fewClusters = 3

// describe says in a few words which clusters a list is, "" where nothing is exact.
func (s *scene) describe(names []string) string {
	if len(names) <= fewClusters {
		return ""
	}
	if text := s.selections[strings.Join(names, " ")]; text != "" {
		return text
	}
	if len(names) == len(s.Clusters) {
		return fmt.Sprintf("all %d", len(names))
	}
	first := s.fleet[names[0]]
	if first == nil || first.Region == "" {
		return ""
	}
	for _, name := range names {
		if c := s.fleet[name]; c == nil || c.Region != first.Region {
			return ""
		}
	}
	total := 0
	for i := range s.Clusters {
		if s.Clusters[i].Region == first.Region {
			total++
		}
	}
	if total != len(names) {
		return ""
	}
	return fmt.Sprintf("all %d with region %s", total, first.Region)
}

// fate is the most that happens to a cluster: joining or leaving says more than a new share, and that
// more than a new field.
type fate string

// The fates of clusters.
const (
	fateNone         fate = ""
	fateReconfigured fate = "reconfigured"
	fateRescaled     fate = "rescaled"
	fateLeaves       fate = "leaves"
	fateJoins        fate = "joins"
)

var fateRanks = map[fate]int{fateNone: 0, fateReconfigured: 1, fateRescaled: 2, fateLeaves: 3, fateJoins: 4}

// fates says what happens to each cluster that anything happens to.
func (s *scene) fates() map[string]fate {
	fates := map[string]fate{}
	note := func(name string, f fate) {
		if fateRanks[f] > fateRanks[fates[name]] {
			fates[name] = f
		}
	}
	for i := range s.Placements {
		for _, a := range s.Placements[i].Clusters {
			switch a.Action {
			case plan.PlacementJoin:
				note(a.Name, fateJoins)
			case plan.PlacementLeave:
				note(a.Name, fateLeaves)
			case plan.PlacementRescale:
				note(a.Name, fateRescaled)
			case plan.PlacementStay:
			}
		}
	}
	for i := range s.Groups {
		for _, name := range s.Groups[i].Clusters {
			note(name, fateReconfigured)
		}
	}
	return fates
}

// tally counts the fates: "joins 1", "leaves 1" and so on, without those that nobody has.
func (s *scene) tally() []string {
	counts := map[fate]int{}
	for _, f := range s.fates() {
		counts[f]++
	}
	var words []string
	for _, f := range []fate{fateJoins, fateLeaves, fateRescaled, fateReconfigured} {
		if n := counts[f]; n > 0 {
			words = append(words, fmt.Sprintf("%s %d", f, n))
		}
	}
	return words
}

// shortCommit shortens a commit, with or without the name of its branch.
func shortCommit(commit string) string {
	if _, hash, found := strings.Cut(commit, ":"); found {
		commit = hash
	} else if len(commit) != 40 && len(commit) != 64 {
		return page.Scrub(cmp.Or(commit, "?"))
	}
	return page.Scrub(commit[:min(len(commit), 7)])
}

// taken says when the fleet was looked at, "" where that is not known.
func (s *scene) taken() string {
	if s.Snapshot.TakenAt == nil {
		return ""
	}
	return s.Snapshot.TakenAt.Format("2006-01-02 15:04 UTC")
}

// size says how much the change is about.
func (s *scene) size() string {
	return plural(s.Summary.Workloads, "workload", "workloads") + ", " + plural(s.Summary.Policies, "policy", "policies")
}

// countFindings writes "1 blocker, 3 cautions".
func countFindings(findings []v1alpha1.Finding) (blockers, cautions int) {
	for _, f := range findings {
		switch f.Severity {
		case v1alpha1.SeverityBlocker:
			blockers++
		case v1alpha1.SeverityCaution:
			cautions++
		case v1alpha1.SeverityInfo:
		}
	}
	return blockers, cautions
}

// sign is how an action is marked.
func sign(a v1alpha1.Action) string {
	switch a {
	case v1alpha1.ActionCreate:
		return "+"
	case v1alpha1.ActionConfigure:
		return "~"
	case v1alpha1.ActionPrune:
		return "-"
	case v1alpha1.ActionUnchanged, v1alpha1.ActionSkip:
	}
	return "="
}

// objects are those of a group, workloads first.
func (g *group) objects() []plan.ReportObject {
	sorted := slices.Clone(g.Objects)
	slices.SortStableFunc(sorted, func(a, b plan.ReportObject) int {
		return cmp.Compare(boolRank(a.Replicas == nil), boolRank(b.Replicas == nil))
	})
	return sorted
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// about says how much an object is and what its removal waits for.
func about(o plan.ReportObject) string {
	var parts []string
	if o.Replicas != nil {
		parts = append(parts, plural(*o.Replicas, "replica", "replicas"))
	}
	if o.Storage != "" {
		parts = append(parts, page.Cut(page.Scrub(o.Storage), 20))
	}
	if o.Gate != "" {
		parts = append(parts, "["+page.Cut(page.Scrub(string(o.Gate)), 120)+"]")
	}
	return strings.Join(parts, "  ")
}

func sortedKeys[V any](m map[string]V) []string {
	all := make([]string, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}
