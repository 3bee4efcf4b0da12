package report

import (
	"fmt"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// Unified writes the changes as one unified diff, with headers as git writes them, for viewers of diffs.
// Each group is a set of files, <clusters>/<namespace>/<kind>-<name>.yaml, as render lays them out; a
// hunk is a field, with its path and origin behind the second @@. It shows what changes and is not meant
// to be applied: the lines around a field are not in it. Line numbers count the lines of the diff.
func Unified(r plan.Report, _ Options) ([][]byte, error) {
	u := &unified{scene: arrange(&r)}
	for i := range u.groups {
		u.group(&u.groups[i])
	}
	return [][]byte{[]byte(u.b.String())}, nil
}

type unified struct {
	*scene
	b strings.Builder
}

func (u *unified) line(format string, args ...any) { fmt.Fprintf(&u.b, format+"\n", args...) }

func (u *unified) group(g *group) {
	u.line("# %s %s · %s: %s", page.Scrub(g.ID), g.Action, plural(len(g.Clusters), "cluster", "clusters"), u.groupClusters(g))
	for _, f := range g.findings {
		u.line("# %s %s: %s", f.Severity, page.Scrub(f.ID), page.Cut(page.Scrub(f.Message), maxProse))
	}
	folder := g.ID
	if len(g.Clusters) == 1 {
		folder = g.Clusters[0]
	} else {
		folder += fmt.Sprintf("-%d-clusters", len(g.Clusters))
	}
	switch g.Action {
	case v1alpha1.ActionConfigure:
		u.configured(g, folder)
	case v1alpha1.ActionCreate:
		for _, o := range g.objects() {
			u.whole(o, folder, "+")
		}
	case v1alpha1.ActionPrune:
		for _, o := range g.objects() {
			u.whole(o, folder, "-")
		}
		for _, h := range g.orphans {
			u.line("# stays as an orphan: %s %s", page.Scrub(h.Kind), title(h.ObjectReference))
		}
	case v1alpha1.ActionUnchanged, v1alpha1.ActionSkip:
	}
}

// groupClusters names every cluster that loses something, and describes the others.
func (u *unified) groupClusters(g *group) string {
	if g.Action == v1alpha1.ActionPrune && u.describe(g.Clusters) == "" {
		return page.Scrub(strings.Join(g.Clusters, " "))
	}
	return u.where(g.Clusters, " ")
}

// configured writes one file for an exact group, and one for each set of values of a same-shape group.
func (u *unified) configured(g *group, folder string) {
	if len(g.Fields) == 0 {
		u.line("# %s %s: no field of the manifest changes: %s", page.Scrub(g.Object.Kind), title(g.Object), page.Scrub(g.Reason))
		return
	}
	if g.Kind != plan.GroupSameShape {
		u.file(g.Object, folder, g.Fields)
		return
	}
	for _, row := range valueRows(g.ReportGroup) {
		fields := make([]plan.ReportField, 0, len(row.values))
		for i, v := range row.values {
			f := plan.ReportField{Path: g.Fields[i].Path, Old: v.Old, New: v.New, Origin: g.Fields[i].Origin}
			if v.Origin != nil {
				f.Origin = v.Origin
			}
			fields = append(fields, f)
		}
		at := row.clusters[0]
		if len(row.clusters) > 1 {
			at = fmt.Sprintf("%s-%s-and-%d-more", g.ID, row.clusters[0], len(row.clusters)-1)
			u.line("# %s: %s", plural(len(row.clusters), "cluster", "clusters"), u.where(row.clusters, " "))
		}
		u.file(g.Object, at, fields)
	}
}

// file writes the changed fields of one object.
func (u *unified) file(ref v1alpha1.ObjectReference, folder string, fields []plan.ReportField) {
	path := filePath(folder, ref)
	u.line("diff --git a/%s b/%s", path, path)
	u.line("--- a/%s", path)
	u.line("+++ b/%s", path)
	old, new := 1, 1
	for _, f := range fields {
		var lines []string
		removed, added := 0, 0
		for _, h := range hunks(f.Path, f.Old, f.New) {
			lines = appendMarked(lines, " ", h.same)
			lines = appendMarked(lines, "-", h.old)
			lines = appendMarked(lines, "+", h.new)
			removed += len(h.same) + len(h.old)
			added += len(h.same) + len(h.new)
		}
		head := page.Cut(page.Scrub(f.Path), maxLine)
		if text := originText(f.Origin); text != "" {
			head += "  # " + page.Cut(text, maxLine)
		}
		u.line("@@ -%s +%s @@ %s", span(old, removed), span(new, added), head)
		for _, line := range lines {
			u.line("%s", line)
		}
		old, new = old+removed, new+added
	}
}

// span is where a hunk begins and how many lines it has; an empty one stands behind the line before.
func span(from, n int) string {
	if n == 0 {
		from--
	}
	return fmt.Sprintf("%d,%d", from, n)
}

// whole writes an object that appears or goes as one line: its manifest is not in the report.
func (u *unified) whole(o plan.ReportObject, folder, mark string) {
	path := filePath(folder, o.ObjectReference)
	u.line("diff --git a/%s b/%s", path, path)
	from, to := "a/"+path, "/dev/null"
	hunk := "@@ -1,1 +0,0 @@"
	if mark == "+" {
		u.line("new file mode 100644")
		from, to, hunk = "/dev/null", "b/"+path, "@@ -0,0 +1,1 @@"
	} else {
		u.line("deleted file mode 100644")
	}
	u.line("--- %s", from)
	u.line("+++ %s", to)
	u.line("%s", hunk)
	text := page.Scrub(o.APIVersion+" "+o.Kind) + " " + title(o.ObjectReference)
	if about := about(o); about != "" {
		text += "  " + about
	}
	u.line("%s# %s", mark, text)
}

// filePath is where render would put an object. No name can lead out of its folder or be taken for
// something else.
func filePath(folder string, ref v1alpha1.ObjectReference) string {
	namespace := ref.Namespace
	if namespace == "" {
		namespace = "_cluster"
	}
	return segment(folder) + "/" + segment(namespace) + "/" + segment(strings.ToLower(ref.Kind)+"-"+ref.Name) + ".yaml"
}

// segment writes a name as one segment of a path.
func segment(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
