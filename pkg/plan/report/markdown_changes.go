package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// changes lists every change once.
func (m *markdown) changes(d detail) []block {
	if len(m.groups) == 0 {
		return nil
	}
	all := []block{{open: fmt.Sprintf("### Changes · %s %s %s\n", plural(len(m.groups), "group", "groups"),
		map[bool]string{true: "covers", false: "cover"}[len(m.groups) == 1], plural(m.Summary.Clusters.Changed, "cluster", "clusters"))}}
	var titles []string
	left := 0
	flush := func() {
		if len(titles) > 0 {
			all = append(all, block{lines: titles})
			titles = nil
		}
	}
	for i := range m.groups {
		g := &m.groups[i]
		switch {
		case g.Action == v1alpha1.ActionPrune:
			flush()
			all = append(all, m.pruned(g))
		case d == detailSummary:
			left++
		case m.titleOnly(g, i, d):
			titles = append(titles, "- "+m.groupTitle(g, StylePlain))
		default:
			flush()
			all = append(all, m.group(g, d))
		}
	}
	flush()
	if left > 0 {
		all = append(all, block{open: fmt.Sprintf("%s that remove nothing are not listed here.\n", plural(left, "group", "groups"))})
	}
	return all
}

// titleOnly tells whether a group is reduced to its title.
func (m *markdown) titleOnly(g *group, i int, d detail) bool {
	switch {
	case d >= detailTitles:
		return true
	case d == detailConcerned:
		return len(g.findings)+len(g.notServed) == 0
	}
	// Without folds a comment would be long: the first group shows what a change is like.
	return m.style == StylePlain && i > 0
}

// groupTitle says what changes where, as the title of a fold; in the style plain it fits every line.
func (m *markdown) groupTitle(g *group, s Style) string {
	what := fmt.Sprintf("%d %s", len(g.Objects), map[v1alpha1.Action]string{v1alpha1.ActionCreate: "created", v1alpha1.ActionPrune: "pruned"}[g.Action])
	if g.Action == v1alpha1.ActionConfigure || len(g.Objects) == 1 {
		what = s.name(g.Object.Kind) + " " + s.name(m.short(g.Object))
	}
	mark := strings.ReplaceAll(sign(g.Action), "-", "−")
	parts := []string{s.strong(g.ID + " · " + mark + " " + what)}
	switch {
	case g.Kind == plan.GroupSameShape && g.Action == v1alpha1.ActionConfigure:
		fields := fmt.Sprintf("same %d fields", len(g.Fields))
		if len(g.Fields) == 1 {
			fields = "same field"
		}
		text := fmt.Sprintf("%s, %s, own values", plural(len(g.Clusters), "cluster", "clusters"), fields)
		if len(g.Fields) == 1 {
			text += ": " + s.mono(g.Fields[0].Path)
		}
		parts = append(parts, text)
	case len(g.Clusters) == 1:
		parts = append(parts, s.name(g.Clusters[0]))
	default:
		parts = append(parts, plural(len(g.Clusters), "cluster", "clusters")+": "+m.titleClusters(g.Clusters, s))
	}
	if origin := commonOrigin(g.ReportGroup); origin != nil && origin.Name != "" {
		parts = append(parts, s.fromOrigin(origin))
	}
	if g.PodsRestarted > 0 {
		parts = append(parts, "restarts "+plural(g.PodsRestarted, "pod", "pods"))
	}
	return strings.Join(parts, " · ")
}

func (m *markdown) titleClusters(names []string, s Style) string {
	if text := m.describe(names); text != "" {
		return s.name(text)
	}
	shown := names
	if len(names) > listedClusters+2 {
		shown = names[:listedClusters]
	}
	var parts []string
	for _, name := range shown {
		parts = append(parts, s.name(name))
	}
	text := strings.Join(parts, ", ")
	if rest := len(names) - len(shown); rest > 0 {
		text += fmt.Sprintf(" + %d more", rest)
	}
	return text
}

// commonOrigin is what made every field of a group, nil where that is more than one thing.
func commonOrigin(g *plan.ReportGroup) *render.Origin {
	if len(g.Fields) == 0 {
		return nil
	}
	first := g.Fields[0].Origin
	for _, f := range g.Fields {
		if f.Origin == nil || first == nil || f.Origin.Kind != first.Kind || f.Origin.Name != first.Name || f.Origin.Rule != first.Rule {
			return nil
		}
	}
	return first
}

func (s Style) fromOrigin(o *render.Origin) string {
	if o.Kind == render.OriginOverride {
		return fmt.Sprintf("from override %s rule %d", s.mono(o.Name), o.Rule)
	}
	return "share of " + s.mono(o.Name)
}

// group shows what a group changes or creates.
func (m *markdown) group(g *group, d detail) block {
	open := len(g.findings) > 0
	switch {
	case g.Action == v1alpha1.ActionCreate:
		return m.fenced(g, open, aligned(createdRows(g)))
	case g.Kind == plan.GroupSameShape:
		return m.valueTable(g, open)
	case len(g.Fields) == 0:
		return m.folded(m.groupTitle(g, m.style), open, prose(cmp.Or(g.Reason, "no field of the manifest changes"))+"\n", nil, "")
	}
	var lines []string
	for _, f := range g.Fields {
		lines = append(lines, diffLines(f, d >= detailFolded)...)
	}
	return m.fenced(g, open, lines)
}

// fenced shows lines as a diff.
func (m *markdown) fenced(g *group, open bool, lines []string) block {
	fence := fenceFor(lines)
	return m.folded(m.groupTitle(g, m.style), open, fence+"diff\n", lines, fence+"\n")
}

// diffLines writes a field as a hunk of a diff: its path and origin, and what it was and is.
func diffLines(f plan.ReportField, folded bool) []string {
	head := "@@ " + page.Cut(page.Scrub(f.Path), maxLine) + " @@"
	if text := originText(f.Origin); text != "" {
		head += " " + page.Cut(text, maxLine)
	}
	lines := []string{head}
	all := hunks(f.Path, f.Old, f.New)
	if folded {
		all = fold(all)
	}
	for _, h := range all {
		lines = appendMarked(lines, "  ", h.same)
		lines = appendMarked(lines, "- ", h.old)
		lines = appendMarked(lines, "+ ", h.new)
	}
	return lines
}

func appendMarked(lines []string, mark string, more []string) []string {
	for _, line := range more {
		lines = append(lines, mark+line)
	}
	return lines
}

// valueTable lists the values of a same-shape group, clusters with the same ones together.
func (m *markdown) valueTable(g *group, open bool) block {
	head, rule := "| cluster |", "|---|"
	if len(g.Fields) == 1 {
		head, rule = head+" before | after |", rule+"--:|--:|"
	} else {
		for _, f := range g.Fields {
			head += " " + cell(page.Cut(f.Path, maxName)) + " |"
			rule += "---|"
		}
	}
	var lines []string
	for _, r := range valueRows(g.ReportGroup) {
		line := "| " + m.clusterCells(r.clusters) + " |"
		for _, v := range r.values {
			if len(g.Fields) == 1 {
				line += fmt.Sprintf(" %s | %s |", m.value(v.Old), m.value(v.New))
			} else {
				line += fmt.Sprintf(" %s → %s |", m.value(v.Old), m.value(v.New))
			}
		}
		lines = append(lines, line)
	}
	return m.folded(m.groupTitle(g, m.style), open, head+"\n"+rule+"\n", lines, "")
}

// value writes a value into a cell: numbers as they are, everything else as code.
func (m *markdown) value(v any) string {
	text := page.Cut(inline(v), maxName)
	if plainWord.MatchString(text) || text == "–" {
		return text
	}
	return cell(text)
}

// kindColumn bounds the column of kinds, in characters.
const kindColumn = 48

// objectRow is an object in a list of what is created or removed.
type objectRow struct {
	mark string
	ref  v1alpha1.ObjectReference
	note string
}

// aligned writes rows with their names below each other.
func aligned(rows []objectRow) []string {
	kinds, names := 0, 0
	for _, r := range rows {
		kinds = max(kinds, page.Columns(r.ref.APIVersion+" "+r.ref.Kind))
		names = max(names, page.Columns(plainTitle(r.ref)))
	}
	kinds, names = min(kinds, kindColumn), min(names, kindColumn)
	lines := make([]string, 0, len(rows))
	for _, r := range rows {
		kind := page.Pad(page.Scrub(r.ref.APIVersion+" "+r.ref.Kind), kinds)
		lines = append(lines, strings.TrimRight(r.mark+kind+"  "+page.Pad(title(r.ref), names)+"  "+r.note, " "))
	}
	return lines
}

func objectRows(mark string, objects []plan.ReportObject) []objectRow {
	rows := make([]objectRow, 0, len(objects))
	for _, o := range objects {
		rows = append(rows, objectRow{mark, o.ObjectReference, about(o)})
	}
	return rows
}

// createdRows are the objects that appear, and those that a cluster of the group does not serve.
func createdRows(g *group) []objectRow {
	rows := objectRows("+ ", g.objects())
	for _, ref := range g.notServed {
		rows = append(rows, objectRow{"! ", ref, "⛔ not served"})
	}
	return rows
}

// prunedRows are the objects that go, and those that stay behind.
func prunedRows(g *group) []objectRow {
	rows := objectRows("- ", g.objects())
	for _, h := range g.orphans {
		note := "⚠️ stays as an orphan"
		if h.Storage != "" {
			note = page.Cut(page.Scrub(h.Storage), 20) + "  " + note
		}
		rows = append(rows, objectRow{"  ", h.ObjectReference, note})
	}
	return rows
}

// pruned lists every object that is removed and every cluster that loses it, whatever the size.
func (m *markdown) pruned(g *group) block {
	lines := aligned(prunedRows(g))
	cut := len(g.Clusters) > listedClusters+2 || slices.ContainsFunc(g.Clusters, func(name string) bool { return page.Columns(name) > maxName })
	if cut && m.describe(g.Clusters) == "" {
		lines = append(lines, "# on")
		lines = append(lines, wrapped("#  ", g.Clusters)...)
	}
	return m.fenced(g, true, lines)
}

// wrapped writes names on lines of about 100 characters.
func wrapped(prefix string, names []string) []string {
	var lines []string
	line := prefix
	for _, name := range names {
		name = page.Scrub(name)
		if line != prefix && page.Columns(line)+1+page.Columns(name) > page.DefaultWidth {
			lines = append(lines, line)
			line = prefix
		}
		line += " " + name
	}
	if line != prefix {
		lines = append(lines, line)
	}
	return lines
}

// heldBack lists what stays as it is since something about it is in doubt.
func (m *markdown) heldBack() []block {
	var lines []string
	for _, h := range m.held {
		lines = append(lines, fmt.Sprintf("- %s %s · %s · %s · %s", word(h.Kind), code(page.Cut(plainTitle(h.ObjectReference), 2*maxName)),
			code(page.Cut(string(h.Gate), maxName)), prose(h.Reason), m.clusterNames(h.Clusters)))
	}
	if len(lines) == 0 {
		return nil
	}
	return []block{m.folded(fmt.Sprintf("%d held back", len(lines)), false, "", lines, "")}
}

// drift is apart from the changes, since it is there with or without them.
func (m *markdown) drift() []block {
	var lines []string
	for _, d := range m.Drift {
		lines = append(lines, fmt.Sprintf("- %s %s · %s · %s", word(d.Kind), code(page.Cut(plainTitle(d.ObjectReference), 2*maxName)), prose(d.Reason), m.clusterNames(d.Clusters)))
	}
	if len(lines) == 0 {
		return nil
	}
	return []block{m.folded(fmt.Sprintf("Drift · %s changed by someone else, no part of this change", plural(len(lines), "object", "objects")), false, "", lines, "")}
}
