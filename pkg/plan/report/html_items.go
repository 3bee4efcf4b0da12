package report

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

type htmlFinding struct {
	Set                          string
	Rank                         int
	Severity, Sign, ID, Page     string
	Where, Source, Line, Message string
}

func (p *htmlPage) findings(findings []v1alpha1.Finding) []htmlFinding {
	var all []htmlFinding
	for _, f := range findings {
		h := htmlFinding{
			Set: p.set(f.Clusters), Rank: f.Severity.Rank(), Severity: page.Scrub(string(f.Severity)), ID: page.Scrub(f.ID), Page: findingPage(f.ID),
			Where: p.scene.where(f.Clusters, ", "), Source: page.Scrub(f.Source), Message: page.Scrub(f.Message),
			Sign: strings.TrimSpace(severitySigns[f.Severity].sign),
		}
		if f.Source != "" {
			h.Line = p.o.lineURL(p.scene.Report, f.Repository, f.Source)
		}
		all = append(all, h)
	}
	return all
}

type htmlTable struct {
	Set                             string
	Rank                            int
	Open                            bool
	Kind, Name, About, Along, Error string
	Rows                            []htmlRow
}

type htmlRow struct {
	Set, Class, Sign              string
	Clusters                      htmlClusters
	Version, Before, After, Delta string
	Why                           string
}

func (p *htmlPage) table(t *table) htmlTable {
	h := htmlTable{
		Kind: page.Scrub(t.Workload.Kind), Name: title(t.Workload), Error: page.Scrub(t.Error),
		Along: p.scene.kinds(t.along, 12), About: fmt.Sprintf("clusters %d → %d", t.before, t.after),
	}
	if t.Before != nil || t.After != nil {
		h.About = fmt.Sprintf("replicas %s → %s · %s", total(t.Before), total(t.After), h.About)
	}
	if t.Policy.Name != "" {
		h.About += " · " + page.Scrub(t.Policy.Kind+" "+t.Policy.Name)
	}
	for _, f := range p.scene.Findings {
		if f.Object != nil && *f.Object == t.Workload {
			h.Rank = max(h.Rank, f.Severity.Rank())
		}
	}
	var names []string
	for _, r := range t.rows {
		names = append(names, r.clusters...)
		h.Rows = append(h.Rows, p.row(r))
	}
	if len(t.stay) > 0 {
		n := count(t.stayReplicas)
		h.Rows = append(h.Rows, htmlRow{Set: p.set(t.stay), Sign: "=", Clusters: p.clusters(t.stay), Before: n, After: n, Why: stayWord(len(t.stay))})
		names = append(names, t.stay...)
	}
	for _, r := range t.Rejected {
		h.Rows = append(h.Rows, htmlRow{
			Set: p.set(r.Clusters), Sign: "·", Clusters: p.clusters(r.Clusters), Before: "–", After: "–",
			Why: page.Scrub(fmt.Sprintf("not chosen: %s: %s", r.Filter, r.Reason)),
		})
		names = append(names, r.Clusters...)
	}
	h.Set, h.Open = p.set(names), len(p.scene.tables) <= openTables || h.Rank > v1alpha1.SeverityInfo.Rank()
	return h
}

// openTables is how many placements are shown unfolded.
const openTables = 12

func (p *htmlPage) row(r row) htmlRow {
	h := htmlRow{
		Set: p.set(r.clusters), Clusters: p.clusters(r.clusters), Before: count(r.Before), After: count(r.After),
		Why: page.Scrub(why(r)),
	}
	versions := map[string]bool{}
	for _, name := range r.clusters {
		if c := p.scene.fleet[name]; c != nil && c.Version != "" {
			versions[minorVersion(page.Scrub(c.Version))] = true
		}
	}
	h.Version = strings.Join(sortedKeys(versions), ", ")
	if n := delta(r); n > 0 {
		h.Delta = fmt.Sprintf("+%d", n)
	} else if n < 0 {
		h.Delta = fmt.Sprintf("−%d", -n)
	}
	switch r.Action {
	case plan.PlacementJoin:
		h.Class, h.Sign, h.Before, h.After = string(fateJoins), "+", "–", present(r.After)
		h.Why = strings.TrimSuffix("joins: "+h.Why, ": ")
	case plan.PlacementLeave:
		h.Class, h.Sign, h.Before, h.After = string(fateLeaves), "−", present(r.Before), "–"
		h.Why = strings.TrimSuffix("leaves: "+h.Why, ": ")
	case plan.PlacementRescale:
		h.Class, h.Sign = string(fateRescaled), "~"
	case plan.PlacementStay:
	}
	return h
}

type htmlGroup struct {
	ID, Set, Action, Sign, Title string
	Rank                         int
	Open                         bool
	Where, From, Restarts        string
	// Names are all clusters, where the title does not name them.
	Names, Reason string
	Fields        []htmlField
	Values        *htmlValues
	Objects       []htmlObject
}

type htmlField struct {
	Path, Origin string
	Hunks        []htmlHunk
}

// htmlHunk is a stretch of lines; Folded says how many lines as before can be unfolded.
type htmlHunk struct{ Same, Folded, Old, New string }

type htmlValues struct {
	Heads []string
	Rows  []htmlValueRow
}

type htmlValueRow struct {
	Set      string
	Clusters htmlClusters
	Cells    []string
}

type htmlObject struct {
	Mark, Class, Kind, Name, About string
	Note                           bool
}

func (p *htmlPage) group(g *group) htmlGroup {
	h := htmlGroup{
		ID: page.Scrub(g.ID), Set: p.set(g.Clusters), Action: string(g.Action), Sign: strings.ReplaceAll(sign(g.Action), "-", "−"),
		Open: len(g.findings)+len(g.notServed) > 0 || g.Action == v1alpha1.ActionPrune,
	}
	for _, f := range g.findings {
		h.Rank = max(h.Rank, f.Severity.Rank())
	}
	if len(g.notServed) > 0 {
		h.Rank = max(h.Rank, v1alpha1.SeverityBlocker.Rank())
	}
	where := p.clusters(g.Clusters)
	h.Where, h.Names = fmt.Sprintf("%s: %s", plural(len(g.Clusters), "cluster", "clusters"), where.Short), where.More
	if g.PodsRestarted > 0 {
		h.Restarts = "restarts " + plural(g.PodsRestarted, "pod", "pods")
	}
	if o := commonOrigin(g.ReportGroup); o != nil && o.Name != "" {
		h.From = "from " + originText(o)
	}
	switch g.Action {
	case v1alpha1.ActionConfigure:
		h.Title = page.Scrub(g.Object.Kind) + " " + title(g.Object)
		p.fields(&h, g)
	case v1alpha1.ActionCreate:
		h.Title = plural(len(g.Objects), "object", "objects") + " created"
		h.Objects = htmlObjects(createdRows(g), "create")
	case v1alpha1.ActionPrune:
		h.Title = plural(len(g.Objects), "object", "objects") + " pruned"
		h.Objects = htmlObjects(prunedRows(g), "prune")
	case v1alpha1.ActionUnchanged, v1alpha1.ActionSkip:
	}
	return h
}

func htmlObjects(rows []objectRow, class string) []htmlObject {
	var all []htmlObject
	for _, r := range rows {
		o := htmlObject{Mark: strings.TrimSpace(r.mark), Class: class, Kind: page.Scrub(r.ref.APIVersion + " " + r.ref.Kind), Name: title(r.ref), About: r.note}
		if o.Mark != "+" && o.Mark != "-" {
			o.Note, o.Class = true, ""
		}
		o.Mark = strings.ReplaceAll(o.Mark, "-", "−")
		all = append(all, o)
	}
	return all
}

func (p *htmlPage) fields(h *htmlGroup, g *group) {
	switch {
	case len(g.Fields) == 0:
		h.Reason = page.Scrub(cmp.Or(g.Reason, "no field of the manifest changes"))
	case g.Kind == plan.GroupSameShape:
		v := &htmlValues{}
		for _, f := range g.Fields {
			v.Heads = append(v.Heads, page.Scrub(f.Path))
		}
		for _, r := range valueRows(g.ReportGroup) {
			row := htmlValueRow{Set: p.set(r.clusters), Clusters: p.clusters(r.clusters)}
			for _, value := range r.values {
				row.Cells = append(row.Cells, inline(value.Old)+" → "+inline(value.New))
			}
			v.Rows = append(v.Rows, row)
		}
		h.Values = v
	default:
		for _, f := range g.Fields {
			h.Fields = append(h.Fields, htmlField{Path: page.Scrub(f.Path), Origin: originText(f.Origin), Hunks: htmlHunks(hunks(f.Path, f.Old, f.New))})
		}
	}
}

// htmlHunks marks the lines, and folds the middle of long stretches that stay.
func htmlHunks(all []hunk) []htmlHunk {
	marked := func(mark string, lines []string) string {
		return strings.Join(appendMarked(nil, mark, lines), "\n")
	}
	var out []htmlHunk
	for i, h := range all {
		before, after := foldedContext, foldedContext
		if i == 0 {
			before = 0
		}
		if i == len(all)-1 {
			after = 0
		}
		if len(h.same) > before+after+1 {
			middle := h.same[before : len(h.same)-after]
			out = append(out,
				htmlHunk{Same: marked("  ", h.same[:before])},
				htmlHunk{Same: marked("  ", middle), Folded: plural(len(middle), "line as before", "lines as before")},
				htmlHunk{Same: marked("  ", h.same[len(h.same)-after:])})
			continue
		}
		out = append(out, htmlHunk{Same: marked("  ", h.same), Old: marked("- ", h.old), New: marked("+ ", h.new)})
	}
	return out
}
