package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// printReportText writes a report for a terminal: header, placements, changes, findings, and one
// closing line.
func printReportText(r Report, o PrintOptions) ([]byte, error) {
	out := page.New(o.Width, o.Color)
	printReportHead(out, r)
	alikePlacements(r.Placements, func(p *ReportPlacement, others []string) { printReportPlacement(out, p, others) })
	if err := printReportGroups(out, r); err != nil {
		return nil, err
	}
	printReportHeld(out, r)
	printFindings(out, "FINDINGS", r.Findings)
	printFindings(out, "TRUE WITH OR WITHOUT THIS CHANGE", r.Standing)
	out.Blank()
	out.Words(page.Plain, "", 0, reportSummary(r))
	return out.Bytes(), nil
}

func printReportHead(out *page.Page, r Report) {
	taken := ""
	if r.Snapshot.TakenAt != nil {
		taken = "snapshot " + r.Snapshot.TakenAt.Format("2006-01-02 15:04 UTC")
	}
	out.Split(page.Plain, fmt.Sprintf("✔ base %s → head %s   %s, %s", page.Scrub(shortCommit(r.Base.Commit)), page.Scrub(shortCommit(r.Head.Commit)),
		plural(len(r.Placements), "placement changes", "placements change"), plural(r.Snapshot.Clusters, "cluster", "clusters")), taken)
}

// shortCommit shortens a commit, with or without the name of its branch.
func shortCommit(commit string) string {
	if _, hash, found := strings.Cut(commit, ":"); found {
		return hash[:min(len(hash), 7)]
	}
	if len(commit) == 40 || len(commit) == 64 {
		return commit[:7]
	}
	return cmp.Or(commit, "?")
}

// alikePlacements calls show for each workload with replicas or an error, and once for all objects
// without that change place in the same way.
func alikePlacements(placements []ReportPlacement, show func(p *ReportPlacement, others []string)) {
	type table struct {
		first  *ReportPlacement
		others []string
	}
	byTable := map[string]*table{}
	var order []*table
	for i := range placements {
		p := &placements[i]
		if p.Before != nil || p.After != nil || p.Error != "" {
			order = append(order, &table{first: p})
			continue
		}
		var key strings.Builder
		for _, a := range p.Clusters {
			fmt.Fprintf(&key, "%q %s %q ", a.Name, a.Action, a.Reasons)
		}
		t := byTable[key.String()]
		if t == nil {
			t = &table{first: p}
			byTable[key.String()] = t
			order = append(order, t)
			continue
		}
		t.others = append(t.others, objectName(p.Workload))
	}
	for _, t := range order {
		show(t.first, t.others)
	}
}

func printReportPlacement(out *page.Page, p *ReportPlacement, others []string) {
	before, after := 0, 0
	byAction := map[PlacementAction][]ReportAssignment{}
	width := 0
	for _, a := range p.Clusters {
		byAction[a.Action] = append(byAction[a.Action], a)
		if a.Action != PlacementJoin {
			before++
		}
		if a.Action != PlacementLeave {
			after++
		}
		if a.Action != PlacementStay {
			width = max(width, page.Columns(a.Name))
		}
	}
	about := fmt.Sprintf("clusters %d → %d", before, after)
	if p.Before != nil || p.After != nil {
		about = fmt.Sprintf("replicas %s → %s, %s", total(p.Before), total(p.After), about)
	}
	out.Blank()
	out.Split(page.Head, "PLACEMENT  "+objectName(p.Workload), about)
	if len(others) > 0 {
		out.Words(page.Plain, "  and alike: ", 4, strings.Join(firstFewInOrder(others, 8), ", "))
	}
	for _, action := range []PlacementAction{PlacementJoin, PlacementLeave, PlacementRescale} {
		for _, a := range byAction[action] {
			printAssignment(out, a, width)
		}
	}
	printRest(out, p, byAction[PlacementStay])
	if p.Error != "" {
		out.Words(page.Remove, "    ✘ ", 6, page.Scrub(p.Error))
	}
}

func total(n *int64) string {
	if n == nil {
		return "0"
	}
	return fmt.Sprint(*n)
}

func printAssignment(out *page.Page, a ReportAssignment, width int) {
	sign, word, style := "~", "", page.Change
	why := page.Scrub(strings.Join(a.Reasons, "; "))
	switch a.Action {
	case PlacementJoin:
		sign, word, style = "+", "joins", page.Add
		if a.Score > 0 {
			why = strings.TrimPrefix(why+"; score "+fmt.Sprint(a.Score)+scoreList(a.Scores), "; ")
		}
	case PlacementLeave:
		sign, word, style = "-", "leaves", page.Remove
		if a.FilterBy != "" {
			why = a.FilterBy + ": " + why
		}
	case PlacementRescale, PlacementStay:
	}
	shares := ""
	if a.Before != nil || a.After != nil {
		shares = page.Pad(fmt.Sprintf("%s → %s", replicasOf(a.Before), replicasOf(a.After)), 7) + "  "
	}
	prefix := fmt.Sprintf("  %s %s  %s%s  ", sign, page.Pad(page.Scrub(a.Name), width), shares, page.Pad(word, 6))
	out.Words(style, prefix, 40, why)
}

func scoreList(scores map[string]int64) string {
	if len(scores) == 0 {
		return ""
	}
	var parts []string
	for _, name := range keys(scores) {
		parts = append(parts, fmt.Sprintf("%s %d", page.Scrub(name), scores[name]))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// printRest names who stays and who was not chosen.
func printRest(out *page.Page, p *ReportPlacement, stay []ReportAssignment) {
	if len(stay) > 0 {
		names := make([]string, 0, len(stay))
		for _, a := range stay {
			names = append(names, a.Name)
		}
		out.Words(page.Plain, fmt.Sprintf("    %s: ", plural(len(stay), "stays", "stay")), 8, clusterList(names))
	}
	var none []string
	for _, r := range p.Rejected {
		none = append(none, r.Clusters...)
	}
	if len(none) > 0 {
		slices.Sort(none)
		out.Words(page.Faint, fmt.Sprintf("    %d not chosen: ", len(none)), 8, clusterList(none))
	}
}

// printReportGroups writes each change once.
func printReportGroups(out *page.Page, r Report) error {
	if len(r.Groups) == 0 {
		return nil
	}
	width := 0
	for _, g := range r.Groups {
		width = max(width, page.Columns(groupTitle(g)))
	}
	out.Blank()
	o := r.Summary.Objects
	out.Split(page.Head,
		fmt.Sprintf("CHANGES  %s, %s", plural(len(r.Groups), "group", "groups"), plural(r.Summary.Clusters.Changed, "cluster", "clusters")),
		fmt.Sprintf("+%d  ~%d  -%d objects", o.Create, o.Configure, o.Prune))
	for _, g := range r.Groups {
		_, style := actionSign(g.Action)
		where := g.Selection
		if where == "" {
			where = clusterList(g.Clusters)
		}
		out.Words(style, fmt.Sprintf("  %s  [%d] ", page.Pad(groupTitle(g), min(width, 44)), len(g.Clusters)), 10, page.Scrub(where))
		if g.Action != v1alpha1.ActionConfigure {
			printGroupObjects(out, g)
			continue
		}
		if len(g.Fields) == 0 {
			out.Words(page.Faint, "        ", 8, page.Scrub(cmp.Or(g.Reason, "no field changes")))
		}
		for _, f := range g.Fields {
			if err := printField(out, g, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func groupTitle(g ReportGroup) string {
	sign, _ := actionSign(g.Action)
	if g.Action == v1alpha1.ActionConfigure || len(g.Objects) == 1 {
		return fmt.Sprintf("%s %s %s%s", g.ID, sign, objectName(g.Object), aboutObject(g.Objects[0]))
	}
	return fmt.Sprintf("%s %s %d objects", g.ID, sign, len(g.Objects))
}

// printGroupObjects lists what is created or removed, one line each: a removal is never left out.
func printGroupObjects(out *page.Page, g ReportGroup) {
	if len(g.Objects) == 1 {
		return
	}
	for _, o := range g.Objects {
		out.Line("        %s%s", objectName(o.ObjectReference), aboutObject(o))
	}
}

// aboutObject writes how many replicas an object has and what its removal waits for.
func aboutObject(o ReportObject) string {
	text := ""
	if o.Replicas != nil {
		text += "  " + plural(*o.Replicas, "replica", "replicas")
	}
	if o.Gate != "" {
		text += "  [" + page.Scrub(string(o.Gate)) + "]"
	}
	return text
}

// maxValueLines is how many lines of one value are shown.
const maxValueLines = 24

func printField(out *page.Page, g ReportGroup, f ReportField) error {
	if g.Kind == GroupSameShape {
		out.Line("        %s%s", page.Scrub(f.Path), originOf(f.Origin))
		for _, v := range f.Values {
			out.Line("          %s  %s → %s%s", page.Scrub(v.Cluster), inline(v.Old), inline(v.New), originOf(v.Origin))
		}
		return nil
	}
	out.Line("        %s", page.Scrub(f.Path))
	if err := printValue(out, "- ", page.Remove, f.Old, ""); err != nil {
		return err
	}
	comment := originOf(f.Origin)
	if f.New == nil {
		out.Line("          (removed)%s", comment)
		return nil
	}
	return printValue(out, "+ ", page.Add, f.New, comment)
}

// printValue writes a value, a map or list as YAML; the comment stands behind its first line.
func printValue(out *page.Page, sign string, style page.Style, value any, comment string) error {
	if value == nil {
		return nil
	}
	if isScalar(value) {
		out.Split(style, "          "+sign+inline(value), comment)
		return nil
	}
	raw, err := yaml.Marshal(value)
	if err != nil {
		return fmt.Errorf("print a field: %w", err)
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	for i, line := range lines {
		if i == maxValueLines {
			out.Line("          %s(%d more lines)", sign, len(lines)-i)
			break
		}
		out.Split(style, "          "+sign+page.Scrub(line), comment)
		comment = ""
	}
	return nil
}

// inline writes a value on one line.
func inline(v any) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case string:
		if v == "" || strings.TrimSpace(v) != v {
			return quote(v)
		}
		return page.Scrub(strings.ReplaceAll(v, "\n", "⏎"))
	}
	raw, err := marshal(v)
	if err != nil {
		return page.Scrub(fmt.Sprint(v))
	}
	return page.Scrub(strings.Join(strings.Fields(string(raw)), " "))
}

// originOf writes what made a field as a trailing comment.
func originOf(o *render.Origin) string {
	if o == nil {
		return ""
	}
	switch o.Kind {
	case render.OriginOverride:
		return fmt.Sprintf("  # override %s rule %d (%s)", page.Scrub(o.Name), o.Rule, page.Scrub(o.Source))
	case render.OriginDivision:
		return fmt.Sprintf("  # share of %s (%s)", page.Scrub(o.Name), page.Scrub(o.Source))
	case render.OriginFile, render.OriginKustomization, render.OriginChart:
	}
	return "  # " + page.Scrub(o.Source)
}

func printReportHeld(out *page.Page, r Report) {
	if len(r.Held) == 0 {
		return
	}
	out.Blank()
	out.Styled(page.Head, "HELD BACK")
	for _, h := range r.Held {
		out.Words(page.Faint, "  ! ", 8, fmt.Sprintf("%s  [%s] %s · %s", objectName(h.ObjectReference), page.Scrub(string(h.Gate)), page.Scrub(h.Reason), clusterList(h.Clusters)))
	}
}

func reportSummary(r Report) string {
	if !r.Changes() && len(r.Held) == 0 {
		return fmt.Sprintf("Preview: no changes on any of %d clusters, %s.", r.Summary.Clusters.Total, countFindings(r.Findings))
	}
	return fmt.Sprintf("Preview: %d of %d clusters change, %s.", r.Summary.Clusters.Changed, r.Summary.Clusters.Total, countFindings(r.Findings))
}
