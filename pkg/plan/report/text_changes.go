package report

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// changes writes each change once.
func (t *textPrinter) changes() {
	if len(t.groups) == 0 {
		return
	}
	width := 0
	for i := range t.groups {
		width = max(width, page.Columns(t.groupTitle(&t.groups[i])))
	}
	t.out.Blank()
	o := t.Summary.Objects
	t.out.Split(page.Head,
		fmt.Sprintf("CHANGES  %s, %s", plural(len(t.groups), "group", "groups"), plural(t.Summary.Clusters.Changed, "cluster", "clusters")),
		fmt.Sprintf("+%d  ~%d  -%d objects", o.Create, o.Configure, o.Prune))
	for i := range t.groups {
		t.group(&t.groups[i], min(width, 44))
	}
}

func (t *textPrinter) groupTitle(g *group) string {
	if g.Action == v1alpha1.ActionConfigure || len(g.Objects) == 1 && len(g.orphans)+len(g.notServed) == 0 {
		return fmt.Sprintf("%s %s %s %s", g.ID, sign(g.Action), page.Scrub(g.Object.Kind), title(g.Object))
	}
	return fmt.Sprintf("%s %s %s", g.ID, sign(g.Action), plural(len(g.Objects), "object", "objects"))
}

func (t *textPrinter) group(g *group, width int) {
	style := signStyles[sign(g.Action)]
	prefix := fmt.Sprintf("  %s  [%d] ", page.Pad(t.groupTitle(g), width), len(g.Clusters))
	if line, short := t.oneField(g); short && page.Columns(prefix+line) <= t.out.Width() {
		t.out.Styled(style, "%s%s", prefix, line)
		t.restarts(g)
		return
	}
	where := t.where(g.Clusters, " ")
	if g.Action == v1alpha1.ActionPrune {
		// What is removed is never counted, only named.
		where = page.Scrub(cmp.Or(t.describe(g.Clusters), strings.Join(g.Clusters, " ")))
	}
	t.out.Words(style, prefix, 10, where)
	if g.Action != v1alpha1.ActionConfigure {
		t.groupObjects(g)
		return
	}
	if len(g.Fields) == 0 {
		t.out.Words(page.Faint, "        ", 8, page.Scrub(cmp.Or(g.Reason, "no field changes")))
	}
	if g.Kind == plan.GroupSameShape {
		t.sameShape(g)
	} else {
		for _, f := range g.Fields {
			t.field(f)
		}
	}
	t.restarts(g)
}

func (t *textPrinter) restarts(g *group) {
	if g.PodsRestarted > 0 {
		t.out.Styled(page.Change, "        → restarts %s", plural(g.PodsRestarted, "pod", "pods"))
	}
}

// oneField writes a change of one field with few values on one line.
func (t *textPrinter) oneField(g *group) (string, bool) {
	if g.Kind != plan.GroupSameShape || len(g.Fields) != 1 || len(g.Fields[0].Values) > listedClusters {
		return "", false
	}
	var parts []string
	for _, v := range g.Fields[0].Values {
		parts = append(parts, fmt.Sprintf("%s %s→%s", page.Scrub(v.Cluster), inline(v.Old), inline(v.New)))
	}
	return shortPath(g.Fields[0].Path) + ": " + strings.Join(parts, ", "), true
}

// sameShape lists the values of a group, clusters with the same ones together.
func (t *textPrinter) sameShape(g *group) {
	rows := valueRows(g.ReportGroup)
	for i, f := range g.Fields {
		t.commented(page.Plain, "        "+shortPath(f.Path), originText(f.Origin))
		for _, r := range rows {
			if i >= len(r.values) {
				continue
			}
			v := r.values[i]
			text := inline(v.Old) + " → " + inline(v.New)
			if len(r.clusters) == 1 {
				t.commented(page.Plain, fmt.Sprintf("          %s  %s", page.Scrub(r.clusters[0]), text), originText(v.Origin))
				continue
			}
			t.commented(page.Plain, fmt.Sprintf("          %s  [%d]", text, len(r.clusters)), originText(v.Origin))
			t.out.Words(page.Faint, "            ", 12, t.where(r.clusters, " "))
		}
	}
}

// textValueLines is how many lines of one value are shown on a terminal.
const textValueLines = 24

// field writes what a field was and is, and behind it what made it.
func (t *textPrinter) field(f plan.ReportField) {
	t.out.Line("        %s", shortPath(f.Path))
	comment, n := originText(f.Origin), 0
	write := func(mark string, style page.Style, lines []string, comment string) {
		for _, line := range lines {
			if n++; n > textValueLines {
				continue
			}
			t.commented(style, "          "+mark+line, comment)
			comment = ""
		}
	}
	for _, h := range fold(hunks(f.Path, f.Old, f.New)) {
		write("  ", page.Faint, h.same, "")
		write("- ", page.Remove, h.old, "")
		if len(h.new) > 0 {
			write("+ ", page.Add, valueOnly(h.new), comment)
			comment = ""
		}
	}
	if n > textValueLines {
		t.out.Line("          (%d more lines)", n-textValueLines)
	}
	if f.New == nil {
		t.commented(page.Plain, "          (removed)", comment)
	}
}

// commentColumn is where comments stand if they can.
const commentColumn = 50

// commented writes a line with a comment behind it, which goes to the right or below where it must.
func (t *textPrinter) commented(style page.Style, line, comment string) {
	if comment == "" {
		t.out.Styled(style, "%s", line)
		return
	}
	t.out.Aside(style, line, commentColumn, "# "+comment)
}

// groupObjects names every object that is created or removed, and what is left out or stays behind.
func (t *textPrinter) groupObjects(g *group) {
	if len(g.Objects) == 1 && len(g.orphans)+len(g.notServed) == 0 {
		if text := about(g.Objects[0]); text != "" {
			t.out.Words(page.Plain, "        ", 8, text)
		}
		return
	}
	var words []string
	gates := map[v1alpha1.Gate]int{}
	for _, o := range g.objects() {
		word := page.Scrub(o.Kind) + " " + t.short(o.ObjectReference)
		gates[o.Gate]++
		o.Gate = ""
		if text := about(o); text != "" {
			word += " (" + text + ")"
		}
		words = append(words, word)
	}
	t.out.Words(page.Plain, "        ", 8, strings.Join(words, ", "))
	for _, gate := range sortedKeys(gateNames(gates)) {
		t.out.Words(page.Faint, "        ", 8, fmt.Sprintf("[%s] %s", page.Scrub(gate), gateCount(gates[v1alpha1.Gate(gate)], len(g.Objects))))
	}
	if len(g.notServed) > 0 {
		t.out.Words(page.Remove, "        ", 8, "("+t.kinds(g.notServed, 12)+" not served ⛔)")
	}
	if len(g.orphans) > 0 {
		t.out.Words(page.Change, "        ", 8, "("+t.kinds(orphanReferences(g.orphans), 12)+stays(len(g.orphans))+" ⚠)")
	}
}

func orphanReferences(orphans []plan.ReportHeld) []v1alpha1.ObjectReference {
	refs := make([]v1alpha1.ObjectReference, 0, len(orphans))
	for _, h := range orphans {
		refs = append(refs, h.ObjectReference)
	}
	return refs
}

func stays(n int) string {
	if n == 1 {
		return " stays"
	}
	return " stay"
}

func gateNames(gates map[v1alpha1.Gate]int) map[string]bool {
	names := map[string]bool{}
	for gate := range gates {
		if gate != "" {
			names[string(gate)] = true
		}
	}
	return names
}

func gateCount(n, all int) string {
	if n == all {
		return "each waits"
	}
	return fmt.Sprintf("%d of %d wait", n, all)
}
