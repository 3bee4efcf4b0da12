package report

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// placement is the table of one workload: who joins, leaves and gets another share, and why.
func (m *markdown) placement(t *table) block {
	title := fmt.Sprintf("### Placement · %s %s", word(t.Workload.Kind), code(page.Cut(plainTitle(t.Workload), 2*maxName)))
	if t.Policy.Name != "" {
		title += fmt.Sprintf(" · %s %s", word(t.Policy.Kind), code(page.Cut(t.Policy.Name, maxName)))
	}
	b := block{open: title + "\n\n"}
	if len(t.along) > 0 {
		b.open += "along: " + prose(m.kinds(t.along, 8)) + "\n\n"
	}
	if t.Error != "" {
		b.open += "⛔ " + prose(t.Error) + "\n\n"
	}
	b.open += "| | cluster | k8s | before | after | Δ | why |\n|---|---|---|--:|--:|--:|---|\n"
	for _, r := range t.rows {
		b.lines = append(b.lines, m.row(r))
	}
	if len(t.stay) > 0 {
		n := count(t.stayReplicas)
		delta := "0"
		if t.stayReplicas == nil {
			delta = ""
		}
		b.lines = append(b.lines, fmt.Sprintf("| ⚪ | %s | | %s | %s | %s | %s |", m.clusterCells(t.stay), n, n, delta, stayWord(len(t.stay))))
	}
	if none := t.rejected(); len(none) > 0 {
		b.lines = append(b.lines, fmt.Sprintf("| ⚫ | %s | | – | – | | not chosen: %s |", m.clusterCells(none), m.whyNot(t)))
	}
	return b
}

// plainTitle is "namespace/name" as it stands.
func plainTitle(ref v1alpha1.ObjectReference) string {
	if ref.Namespace == "" {
		return ref.Name
	}
	return ref.Namespace + "/" + ref.Name
}

func stayWord(n int) string {
	if n == 1 {
		return "stays"
	}
	return "stay"
}

func (m *markdown) row(r row) string {
	dots := map[plan.PlacementAction]string{plan.PlacementJoin: "🟢", plan.PlacementLeave: "🔴", plan.PlacementRescale: "🔵"}
	name := m.clusterCells(r.clusters)
	before, after, change := count(r.Before), count(r.After), ""
	if n := delta(r); n > 0 {
		change = fmt.Sprintf("+%d", n)
	} else if n < 0 {
		change = fmt.Sprintf("−%d", -n)
	}
	switch r.Action {
	case plan.PlacementJoin:
		name, before, after = "**"+name+"**", "–", "**"+present(r.After)+"**"
	case plan.PlacementLeave:
		name, before, after = "**"+name+"**", "**"+present(r.Before)+"**", "–"
	case plan.PlacementRescale:
		after = "**" + after + "**"
	case plan.PlacementStay:
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |", dots[r.Action], name, m.versions(r.clusters), before, after, change, m.why(r))
}

// present writes a number of replicas, or that something without replicas is there.
func present(n *int64) string {
	if n == nil {
		return "✓"
	}
	return fmt.Sprint(*n)
}

// why says what a row is about; every name in it is code.
func (m *markdown) why(r row) string {
	if r.Action == plan.PlacementLeave && r.FilterBy != "" {
		return fmt.Sprintf("leaves: filtered by %s (%s)", cellProse(r.FilterBy), cell(page.Cut(strings.Join(r.Reasons, "; "), maxProse)))
	}
	var parts []string
	for _, reason := range r.Reasons {
		if rest, found := strings.CutPrefix(reason, "ClusterAffinity: "); found {
			parts = append(parts, cell(page.Cut(rest, maxProse))+" matches")
			continue
		}
		parts = append(parts, cellProse(reason))
	}
	if text := score(r.ReportAssignment); text != "" && r.Action == plan.PlacementJoin {
		parts = append(parts, cellProse(text))
	}
	text := strings.Join(parts, "; ")
	switch r.Action {
	case plan.PlacementJoin:
		return strings.TrimSuffix("joins: "+text, ": ")
	case plan.PlacementLeave:
		return strings.TrimSuffix("leaves: "+text, ": ")
	case plan.PlacementRescale, plan.PlacementStay:
	}
	return text
}

// whyNot counts the clusters that are not chosen by the filter that turns them away.
func (m *markdown) whyNot(t *table) string {
	counts := map[string]int{}
	for _, r := range t.Rejected {
		counts[r.Filter] += len(r.Clusters)
	}
	var parts []string
	for _, filter := range sortedKeys(counts) {
		parts = append(parts, fmt.Sprintf("%s %d", cellProse(cmp.Or(filter, "other")), counts[filter]))
	}
	return strings.Join(parts, " · ")
}

// clusterCells names clusters in a table: plainly where a name means nothing else.
func (m *markdown) clusterCells(names []string) string {
	if text := m.describe(names); text != "" {
		return cellProse(text)
	}
	shown := names
	if len(names) > listedClusters+2 {
		shown = names[:listedClusters]
	}
	var parts []string
	for _, name := range shown {
		if name = page.Cut(page.Scrub(name), maxName); harmless(name) {
			parts = append(parts, name)
		} else {
			parts = append(parts, cell(name))
		}
	}
	text := strings.Join(parts, " · ")
	if rest := len(names) - len(shown); rest > 0 {
		text += fmt.Sprintf(" + %d more", rest)
	}
	return text
}

// versions are those of Kubernetes on some clusters: one, or from the least to the greatest.
func (m *markdown) versions(names []string) string {
	seen := map[string]bool{}
	for _, name := range names {
		if c := m.fleet[name]; c != nil && c.Version != "" {
			seen[minorVersion(c.Version)] = true
		}
	}
	sorted := sortedKeys(seen)
	switch len(sorted) {
	case 0:
		return ""
	case 1:
		return cellProse(sorted[0])
	}
	return cellProse(fmt.Sprintf("%d versions", len(sorted)))
}

// minorVersion shortens v1.35.2 to 1.35.
func minorVersion(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}
