package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/placement"
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
	out := newPage(o)
	about := "no decision"
	if e.Decision != nil {
		about = e.Decision.Strategy
		if e.Decision.Replicas != nil {
			about += fmt.Sprintf(", replicas %d", *e.Decision.Replicas)
		}
	}
	out.split(headStyle, "EXPLAIN  "+objectName(e.Workload), about)
	out.words(plainStyle, "  declared  ", 12, scrub(fmt.Sprintf("%s at %s, source %s", e.Declared, shortRevision(e.Revision), e.Source)))
	printClaims(out, e)
	for _, a := range e.Assumptions {
		out.words(changeStyle, "  assumed   ", 12, scrub(a))
	}
	for _, f := range firstFewReferences(e) {
		out.words(plainStyle, "  follows   ", 12, f)
	}
	if e.Decision != nil && e.Trace != nil {
		printDecisionTrace(out, e.Decision, e.Trace)
	}
	printExplainedObjects(out, e)
	out.findings("FINDINGS", e.Findings)
	return out.bytes(), nil
}

func firstFewReferences(e *Explanation) []string {
	var names []string
	for _, f := range e.Follows {
		names = append(names, objectName(f))
	}
	return firstFewInOrder(names, 6)
}

func printClaims(out *page, e *Explanation) {
	if len(e.Policies) == 0 {
		out.words(plainStyle, "  policy    ", 12, "none selects it")
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
		out.words(plainStyle, prefix, 12, scrub(fmt.Sprintf("%s %s at %s (selects by %s, priority %d): %s", p.Kind, name, p.Source, p.Match, p.Priority, p.Why)))
	}
}

func printDecisionTrace(out *page, d *placement.Decision, t *placement.Trace) {
	out.blank()
	head := "DECIDED ANEW  "
	if t.Standing.Stands {
		head = "STANDS  "
	}
	out.words(headStyle, head, 8, scrub(strings.Join(t.Standing.Why, "; ")))
	if d.Error != "" {
		out.words(removeStyle, "  ✘ ", 4, scrub(d.Error))
	}
	if d.Unassigned > 0 {
		out.line("  %d replicas found no place", d.Unassigned)
	}
	for i, g := range t.Groups {
		if len(t.Groups) > 1 || g.Name != "" {
			out.blank()
			name := cmp.Or(g.Name, "all clusters")
			if g.BestEffort {
				name += ", placing what fits"
			}
			out.words(headStyle, fmt.Sprintf("GROUP %d  ", i+1), 9, scrub(name))
		}
		printFilters(out, d, g, i == len(t.Groups)-1)
		printCandidates(out, d, g)
		if i == len(t.Groups)-1 {
			printLeftOut(out, d, g)
		}
		printSelection(out, g)
		printDivision(out, g)
		if g.Failure != "" {
			out.words(removeStyle, "  ✘ ", 4, scrub(g.Failure))
		}
	}
	if t.Cluster != nil {
		printClusterTrace(out, t.Cluster)
	}
}

// printFilters lists the filters with how many clusters each left and, for the group that was decided
// on, which it rejected and why.
func printFilters(out *page, d *placement.Decision, g *placement.GroupTrace, decided bool) {
	if len(g.Filters) == 0 {
		return
	}
	out.blank()
	out.styled(headStyle, "FILTERS  %d clusters", g.Filters[0].Left+g.Filters[0].Rejected)
	for _, f := range g.Filters {
		out.line("  %s %5d left", pad(f.Name, 16), f.Left)
		if f.Rejected == 0 {
			continue
		}
		said := false
		for _, r := range d.Rejected {
			if decided && r.Filter == f.Name {
				said = true
				out.words(faintStyle, fmt.Sprintf("    − %d  ", len(r.Clusters)), 8, scrub(r.Reason)+": "+clusterList(r.Clusters))
			}
		}
		if !said {
			out.styled(faintStyle, "    − %d", f.Rejected)
		}
	}
}

func printCandidates(out *page, d *placement.Decision, g *placement.GroupTrace) {
	if len(g.Candidates) == 0 {
		return
	}
	var scorers []string
	width := runes("cluster")
	for _, c := range g.Candidates {
		width = max(width, runes(c.Name))
		scorers = append(scorers, slices.Collect(maps.Keys(c.Scores))...)
	}
	slices.Sort(scorers)
	scorers = slices.Compact(scorers)
	width = min(width, 40)
	out.blank()
	out.styled(headStyle, "SCORES  in the order of preference: overflow tier, score, room, name")
	head := "  " + pad("cluster", width) + "  score"
	for _, s := range scorers {
		head += "  " + s
	}
	out.styled(faintStyle, "%s    room  share", head)
	for _, c := range g.Candidates[:min(len(g.Candidates), explainedRows)] {
		line := fmt.Sprintf("  %s  %5d", pad(cut(scrub(c.Name), width), width), c.Score)
		for _, s := range scorers {
			line += fmt.Sprintf("  %*s", runes(s), scoreText(c.Scores, s))
		}
		line += fmt.Sprintf("  %6s  %5s", replicasOf(c.Capacity), shareText(d, c))
		if c.Tier > 0 {
			line += fmt.Sprintf("  overflow tier %d", c.Tier)
		}
		if c.RejectedBy != "" {
			line += "  " + c.RejectedBy
		}
		out.styled(shareStyle(c), "%s", line)
	}
	if more := len(g.Candidates) - explainedRows; more > 0 {
		out.line("  and %d more", more)
	}
}

// printLeftOut lists why clusters that pass the filters are not chosen.
func printLeftOut(out *page, d *placement.Decision, g *placement.GroupTrace) {
	for _, r := range d.Rejected {
		if slices.ContainsFunc(g.Filters, func(f placement.FilterTrace) bool { return f.Name == r.Filter }) {
			continue
		}
		out.words(faintStyle, fmt.Sprintf("    − %d  ", len(r.Clusters)), 8, r.Filter+", "+scrub(r.Reason)+": "+clusterList(r.Clusters))
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

func shareStyle(c placement.CandidateTrace) style {
	if c.Chosen {
		return plainStyle
	}
	return faintStyle
}

func printSelection(out *page, g *placement.GroupTrace) {
	for _, s := range g.Selection {
		out.blank()
		bounds := fmt.Sprintf("at least %d", s.MinGroups)
		if s.MaxGroups > 0 {
			bounds += fmt.Sprintf(", at most %d", s.MaxGroups)
		}
		out.words(headStyle, "SPREAD  ", 8, "by "+scrub(s.By)+", "+bounds)
		for _, group := range s.Groups[:min(len(s.Groups), explainedRows)] {
			sign := " "
			if group.Chosen {
				sign = "✔"
			}
			out.words(plainStyle, "  "+sign+" ", 6, fmt.Sprintf("%s: %s, holds %d, mean score %d", scrub(group.Name), plural(group.Clusters, "cluster", "clusters"), group.Holds, group.Score))
		}
		if more := len(s.Groups) - explainedRows; more > 0 {
			out.line("  and %d more", more)
		}
	}
}

func printDivision(out *page, g *placement.GroupTrace) {
	if len(g.Division) == 0 {
		return
	}
	out.blank()
	out.styled(headStyle, "DIVISION")
	for i, step := range g.Division {
		out.words(plainStyle, fmt.Sprintf("  %d. ", i+1), 5, scrub(step.What))
		if len(step.Parties) == 0 {
			continue
		}
		width := runes("cluster")
		for _, p := range step.Parties {
			width = max(width, runes(p.Cluster))
		}
		width = min(width, 40)
		out.styled(faintStyle, "     %s  %10s  %10s  %10s  %10s", pad("cluster", width), "weight", "quota", "at most", "gets")
		for _, p := range step.Parties[:min(len(step.Parties), explainedRows)] {
			out.line("     %s  %10d  %10s  %10s  %10d", pad(cut(scrub(p.Cluster), width), width), p.Weight, p.Quota, replicasOf(p.Most), p.Got)
		}
		if more := len(step.Parties) - explainedRows; more > 0 {
			out.line("     and %d more", more)
		}
		if step.LastSeat != "" {
			out.words(plainStyle, "     ", 5, scrub(step.LastSeat))
		}
	}
}

func printClusterTrace(out *page, c *placement.ClusterTrace) {
	out.blank()
	if c.Chosen {
		out.words(headStyle, "CLUSTER  ", 9, scrub(c.Name)+" is chosen")
		return
	}
	out.words(headStyle, "CLUSTER  ", 9, fmt.Sprintf("%s is not chosen: %s, %s", scrub(c.Name), c.RejectedBy, scrub(c.Reason)))
	for _, f := range c.Filters {
		out.words(plainStyle, "  "+f.Filter+"  ", 6, scrub(f.Reason)+" → "+scrub(f.Remedy))
	}
	if len(c.Filters) > 0 {
		out.words(plainStyle, "  if it passed: ", 4, scrub(c.Then))
	}
	if len(c.Changes) == 0 {
		if !strings.HasPrefix(c.Then, "chosen") {
			out.line("  no single change that was tried makes it chosen")
		}
		return
	}
	if len(c.Filters) > 0 {
		out.line("  if it passed, it would be chosen with any one of:")
	} else {
		out.line("  it would be chosen with any one of:")
	}
	for _, change := range c.Changes {
		out.words(plainStyle, "    - ", 6, scrub(change.Change)+": "+scrub(change.Outcome))
	}
}

// printExplainedObjects lists what happens to the object, each thing once with its clusters.
func printExplainedObjects(out *page, e *Explanation) {
	if len(e.Objects) == 0 {
		return
	}
	out.blank()
	out.styled(headStyle, "OBJECTS")
	clusters := map[alike][]string{}
	var order []alike
	for _, o := range e.Objects {
		key := alike{e.Workload, o.Action, o.Gate, o.Reason, strings.Join(o.Overrides, ", ")}
		if clusters[key] == nil {
			order = append(order, key)
		}
		clusters[key] = append(clusters[key], o.Cluster)
	}
	for _, key := range order {
		sign, style := actionSign(key.action)
		text := string(key.action) + " on " + clusterList(clusters[key])
		if key.gate != "" {
			text += " [" + scrub(string(key.gate)) + "]"
		}
		if key.reason != "" {
			text += " " + scrub(key.reason)
		}
		if key.overrides != "" {
			text += " # " + scrub(key.overrides)
		}
		out.words(style, "  "+sign+" ", 8, text)
	}
}
