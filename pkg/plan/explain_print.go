package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// ExplanationPrinter writes an explanation in one format.
type ExplanationPrinter func(*Explanation, PrintOptions) ([]byte, error)

// ExplanationFormat is a format of explain with its printer.
type ExplanationFormat struct {
	Name     string
	Sentence string
	Print    ExplanationPrinter
}

// ExplanationFormats lists the formats of explain; the first is the default.
func ExplanationFormats() []ExplanationFormat {
	return []ExplanationFormat{
		{"text", "for a terminal", printExplanationText},
		{"json", "the contract for everything else", func(e *Explanation, _ PrintOptions) ([]byte, error) { return marshal(e) }},
	}
}

// explainedRows is how many clusters a table of the text lists before it counts.
const explainedRows = 40

func printExplanationText(e *Explanation, o PrintOptions) ([]byte, error) {
	out := page.New(o.Width, o.Color)
	about := "no decision"
	if e.Decision != nil {
		about = e.Decision.Strategy
		if e.Decision.Replicas != nil {
			about += fmt.Sprintf(", replicas %d", *e.Decision.Replicas)
		}
	}
	out.Split(page.Head, "EXPLAIN  "+objectName(e.Workload), about)
	out.Words(page.Plain, "  declared  ", 12, page.Scrub(fmt.Sprintf("%s at %s, source %s", e.Declared, shortRevision(e.Revision), e.Source)))
	printClaims(out, e)
	for _, a := range e.Assumptions {
		out.Words(page.Change, "  assumed   ", 12, page.Scrub(a))
	}
	for _, f := range firstFewReferences(e) {
		out.Words(page.Plain, "  follows   ", 12, f)
	}
	printFailover(out, e.Failover, e.at)
	if e.Decision != nil && e.Trace != nil {
		printDecisionTrace(out, e.Decision, e.Trace)
	}
	printExplainedObjects(out, e)
	printWaiting(out, e.Waiting, e.Failover)
	if e.Rollout != nil {
		printRollout(out, e.Rollout)
	}
	printFindings(out, "FINDINGS", e.Findings)
	return out.Bytes(), nil
}

func firstFewReferences(e *Explanation) []string {
	var names []string
	for _, f := range e.Follows {
		names = append(names, objectName(f))
	}
	return firstFewInOrder(names, 6)
}

func printClaims(out *page.Page, e *Explanation) {
	if len(e.Policies) == 0 {
		out.Words(page.Plain, "  policy    ", 12, "none selects it")
	}
	for i, p := range e.Policies {
		prefix := "  policy    "
		if i > 0 {
			prefix = "  not       "
		}
		name := p.Name
		if p.Namespace != "" {
			name = p.Namespace + "/" + p.Name
		}
		out.Words(page.Plain, prefix, 12, page.Scrub(fmt.Sprintf("%s %s at %s (selects by %s, priority %d): %s", p.Kind, name, p.Source, p.Match, p.Priority, p.Why)))
	}
}

func printDecisionTrace(out *page.Page, d *placement.Decision, t *placement.Trace) {
	out.Blank()
	head := "DECIDED ANEW  "
	if t.Standing.Stands {
		head = "STANDS  "
	}
	out.Words(page.Head, head, 8, page.Scrub(strings.Join(t.Standing.Why, "; ")))
	if d.Error != "" {
		out.Words(page.Remove, "  ✘ ", 4, page.Scrub(d.Error))
	}
	if d.Unassigned > 0 {
		out.Line("  %d replicas found no place", d.Unassigned)
	}
	for i, g := range t.Groups {
		if len(t.Groups) > 1 || g.Name != "" {
			out.Blank()
			name := cmp.Or(g.Name, "all clusters")
			if g.BestEffort {
				name += ", placing what fits"
			}
			out.Words(page.Head, fmt.Sprintf("GROUP %d  ", i+1), 9, page.Scrub(name))
		}
		printFilters(out, d, g, i == len(t.Groups)-1)
		printCandidates(out, d, g)
		if i == len(t.Groups)-1 {
			printLeftOut(out, d, g)
		}
		printSelection(out, g)
		printDivision(out, g)
		if g.Failure != "" {
			out.Words(page.Remove, "  ✘ ", 4, page.Scrub(g.Failure))
		}
	}
	if t.Cluster != nil {
		printClusterTrace(out, t.Cluster)
	}
}

// printFilters lists the filters with how many clusters each left and, for the group that was decided
// on, which it rejected and why.
func printFilters(out *page.Page, d *placement.Decision, g *placement.GroupTrace, decided bool) {
	if len(g.Filters) == 0 {
		return
	}
	out.Blank()
	out.Styled(page.Head, "FILTERS  %d clusters", g.Filters[0].Left+g.Filters[0].Rejected)
	for _, f := range g.Filters {
		out.Line("  %s %5d left", page.Pad(f.Name, 16), f.Left)
		if f.Rejected == 0 {
			continue
		}
		said := false
		for _, r := range d.Rejected {
			if decided && r.Filter == f.Name {
				said = true
				out.Words(page.Faint, fmt.Sprintf("    − %d  ", r.Clusters.Len()), 8, page.Scrub(r.Reason)+": "+clusterList(r.Clusters.Slice()))
			}
		}
		if !said {
			out.Styled(page.Faint, "    − %d", f.Rejected)
		}
	}
}

func printCandidates(out *page.Page, d *placement.Decision, g *placement.GroupTrace) {
	if len(g.Candidates) == 0 {
		return
	}
	var scorers []string
	width := page.Columns("cluster")
	for _, c := range g.Candidates {
		width = max(width, page.Columns(c.Name))
		scorers = append(scorers, slices.Collect(maps.Keys(c.Scores))...)
	}
	slices.Sort(scorers)
	scorers = slices.Compact(scorers)
	width = min(width, 40)
	out.Blank()
	out.Styled(page.Head, "SCORES  in the order of preference: overflow tier, score, room, name")
	head := "  " + page.Pad("cluster", width) + "  score"
	for _, s := range scorers {
		head += "  " + s
	}
	out.Styled(page.Faint, "%s    room  share", head)
	for _, c := range g.Candidates[:min(len(g.Candidates), explainedRows)] {
		line := fmt.Sprintf("  %s  %5d", page.Pad(page.Cut(page.Scrub(c.Name), width), width), c.Score)
		for _, s := range scorers {
			line += fmt.Sprintf("  %*s", page.Columns(s), scoreText(c.Scores, s))
		}
		line += fmt.Sprintf("  %6s  %5s", replicasOf(c.Capacity), shareText(d, c))
		if c.Tier > 0 {
			line += fmt.Sprintf("  overflow tier %d", c.Tier)
		}
		if c.RejectedBy != "" {
			line += "  " + c.RejectedBy
		}
		out.Styled(shareStyle(c), "%s", line)
	}
	if more := len(g.Candidates) - explainedRows; more > 0 {
		out.Line("  and %d more", more)
	}
}

// printLeftOut lists why clusters that pass the filters are not chosen.
func printLeftOut(out *page.Page, d *placement.Decision, g *placement.GroupTrace) {
	for _, r := range d.Rejected {
		if slices.ContainsFunc(g.Filters, func(f placement.FilterTrace) bool { return f.Name == r.Filter }) {
			continue
		}
		out.Words(page.Faint, fmt.Sprintf("    − %d  ", r.Clusters.Len()), 8, r.Filter+", "+page.Scrub(r.Reason)+": "+clusterList(r.Clusters.Slice()))
	}
}

func scoreText(scores map[string]int64, name string) string {
	if v, ok := scores[name]; ok {
		return fmt.Sprint(v)
	}
	return "–"
}

func shareText(d *placement.Decision, c placement.CandidateTrace) string {
	switch {
	case !c.Chosen:
		return "–"
	case d.Replicas == nil:
		return "✔"
	}
	return replicasOf(c.Replicas)
}

func shareStyle(c placement.CandidateTrace) page.Style {
	if c.Chosen {
		return page.Plain
	}
	return page.Faint
}

func printSelection(out *page.Page, g *placement.GroupTrace) {
	for _, s := range g.Selection {
		out.Blank()
		bounds := fmt.Sprintf("at least %d", s.MinGroups)
		if s.MaxGroups > 0 {
			bounds += fmt.Sprintf(", at most %d", s.MaxGroups)
		}
		out.Words(page.Head, "SPREAD  ", 8, "by "+page.Scrub(s.By)+", "+bounds)
		for _, group := range s.Groups[:min(len(s.Groups), explainedRows)] {
			sign := " "
			if group.Chosen {
				sign = "✔"
			}
			out.Words(page.Plain, "  "+sign+" ", 6, fmt.Sprintf("%s: %s, holds %d, mean score %d", page.Scrub(group.Name), plural(group.Clusters, "cluster", "clusters"), group.Holds, group.Score))
		}
		if more := len(s.Groups) - explainedRows; more > 0 {
			out.Line("  and %d more", more)
		}
	}
}

func printDivision(out *page.Page, g *placement.GroupTrace) {
	if len(g.Division) == 0 {
		return
	}
	out.Blank()
	out.Styled(page.Head, "DIVISION")
	for i, step := range g.Division {
		out.Words(page.Plain, fmt.Sprintf("  %d. ", i+1), 5, page.Scrub(step.What))
		if len(step.Parties) == 0 {
			continue
		}
		width := page.Columns("cluster")
		for _, p := range step.Parties {
			width = max(width, page.Columns(p.Cluster))
		}
		width = min(width, 40)
		out.Styled(page.Faint, "     %s  %10s  %10s  %10s  %10s", page.Pad("cluster", width), "weight", "quota", "at most", "gets")
		for _, p := range step.Parties[:min(len(step.Parties), explainedRows)] {
			out.Line("     %s  %10d  %10s  %10s  %10d", page.Pad(page.Cut(page.Scrub(p.Cluster), width), width), p.Weight, p.Quota, replicasOf(p.Most), p.Got)
		}
		if more := len(step.Parties) - explainedRows; more > 0 {
			out.Line("     and %d more", more)
		}
		if step.LastSeat != "" {
			out.Words(page.Plain, "     ", 5, page.Scrub(step.LastSeat))
		}
	}
}

func printClusterTrace(out *page.Page, c *placement.ClusterTrace) {
	out.Blank()
	if c.Chosen {
		out.Words(page.Head, "CLUSTER  ", 9, page.Scrub(c.Name)+" is chosen")
		return
	}
	out.Words(page.Head, "CLUSTER  ", 9, fmt.Sprintf("%s is not chosen: %s, %s", page.Scrub(c.Name), c.RejectedBy, page.Scrub(c.Reason)))
	for _, f := range c.Filters {
		out.Words(page.Plain, "  "+f.Filter+"  ", 6, page.Scrub(f.Reason)+" → "+page.Scrub(f.Remedy))
	}
	if len(c.Filters) > 0 {
		out.Words(page.Plain, "  if it passed: ", 4, page.Scrub(c.Then))
	}
	if len(c.Changes) == 0 {
		if !strings.HasPrefix(c.Then, "chosen") {
			out.Line("  no single change that was tried makes it chosen")
		}
		return
	}
	if len(c.Filters) > 0 {
		out.Line("  if it passed, it would be chosen with any one of:")
	} else {
		out.Line("  it would be chosen with any one of:")
	}
	for _, change := range c.Changes {
		out.Words(page.Plain, "    - ", 6, page.Scrub(change.Change)+": "+page.Scrub(change.Outcome))
	}
}

// printWaiting lists what has not happened yet.
func printWaiting(out *page.Page, waiting []v1alpha1.ClusterMessage, f *ExplainedFailover) {
	if len(waiting) == 0 {
		return
	}
	out.Blank()
	out.Styled(page.Head, "WAITING")
	for _, w := range waiting[:min(len(waiting), explainedRows)] {
		message := w.Message
		if f != nil {
			// Why evictions are stopped is said once, above.
			message = strings.TrimSuffix(message, ": "+f.Stopped)
		}
		out.Words(page.Change, "  "+page.Scrub(w.Cluster)+"  ", 4, page.Scrub(message))
	}
	if more := len(waiting) - explainedRows; more > 0 {
		out.Line("  and %d more", more)
	}
}

// printExplainedObjects lists what happens to the object, each thing once with its clusters.
func printExplainedObjects(out *page.Page, e *Explanation) {
	if len(e.Objects) == 0 {
		return
	}
	out.Blank()
	out.Styled(page.Head, "OBJECTS")
	type standing struct {
		alike
		health, problem string
	}
	clusters := map[standing][]string{}
	var order []standing
	for _, o := range e.Objects {
		key := standing{alike{e.Workload, o.Action, o.Gate, o.Reason, strings.Join(o.Overrides, ", ")}, healthWords(o), o.Problem}
		if clusters[key] == nil {
			order = append(order, key)
		}
		clusters[key] = append(clusters[key], o.Cluster)
	}
	for _, key := range order {
		sign, style := actionSign(key.action)
		text := string(key.action) + " on " + clusterList(clusters[key])
		if key.gate != "" {
			text += " [" + page.Scrub(string(key.gate)) + "]"
		}
		if key.reason != "" {
			text += " " + page.Scrub(key.reason)
		}
		if key.overrides != "" {
			text += " # " + page.Scrub(key.overrides)
		}
		out.Words(style, "  "+sign+" ", 8, text)
		if key.problem != "" {
			out.Words(page.Remove, "    ⛔ ", 8, page.Scrub(key.problem))
		}
		if key.health != "" {
			out.Words(page.Change, "    ⚠  ", 8, page.Scrub(key.health))
		}
	}
}

// healthWords say how what is there fares, where that is not well.
func healthWords(o ExplainedObject) string {
	switch {
	case o.Health == v1alpha1.HealthUnknown || o.Health == v1alpha1.HealthHealthy:
		return ""
	case o.HealthMessage == "":
		return string(o.Health)
	}
	return string(o.Health) + ": " + o.HealthMessage
}
