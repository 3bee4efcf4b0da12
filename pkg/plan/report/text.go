package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// Text writes a report for a terminal: header, placements, changes, findings, and one closing line. The
// shape carries the meaning without colour.
func Text(r plan.Report, o Options) ([][]byte, error) {
	t := &textPrinter{scene: arrange(&r), out: page.New(o.Width, o.Color)}
	t.head()
	for i := range t.tables {
		t.table(&t.tables[i])
	}
	t.changes()
	t.heldBack()
	t.findings("FINDINGS", r.Findings)
	t.findings("TRUE WITH OR WITHOUT THIS CHANGE", r.Standing)
	t.drift()
	t.notChecked()
	t.closing(o)
	return [][]byte{t.out.Bytes()}, nil
}

type textPrinter struct {
	*scene
	out *page.Page
}

func (t *textPrinter) head() {
	taken := t.taken()
	if taken != "" {
		taken = "snapshot " + taken
	}
	t.out.Split(page.Plain, fmt.Sprintf("✔ base %s → head %s   %s, %s", shortCommit(t.Base.Commit), shortCommit(t.Head.Commit),
		t.size(), plural(t.Snapshot.Clusters, "cluster", "clusters")), taken)
	if legend := t.legend(); legend != "" {
		t.out.Words(page.Faint, "  ", 2, legend)
	}
	if !t.Changes() && len(t.Held) == 0 {
		t.out.Blank()
		t.out.Words(page.Plain, "", 0, "No changes: every cluster gets from the head what it gets from the base.")
	}
}

// legend explains the signs that the report uses, and no others.
func (t *textPrinter) legend() string {
	used := map[string]bool{"!": len(t.held) > 0}
	for i := range t.Placements {
		for _, a := range t.Placements[i].Clusters {
			used[actionSigns[a.Action]] = true
		}
	}
	for _, g := range t.groups {
		used[sign(g.Action)] = true
	}
	var words []string
	for _, s := range []struct{ sign, meaning string }{
		{"+", "joins, created"}, {"-", "leaves, removed"}, {"~", "changed"}, {"!", "held back"},
	} {
		if used[s.sign] {
			words = append(words, s.sign+" "+s.meaning)
		}
	}
	return strings.Join(words, " · ")
}

var actionSigns = map[plan.PlacementAction]string{
	plan.PlacementJoin: "+", plan.PlacementLeave: "-", plan.PlacementRescale: "~",
}

var signStyles = map[string]page.Style{"+": page.Add, "-": page.Remove, "~": page.Change, "!": page.Faint}

func (t *textPrinter) table(b *table) {
	about := fmt.Sprintf("clusters %d → %d", b.before, b.after)
	if b.Before != nil || b.After != nil {
		about = fmt.Sprintf("replicas %s → %s, %s", total(b.Before), total(b.After), about)
	}
	t.out.Blank()
	t.out.Split(page.Head, fmt.Sprintf("PLACEMENT  %s (%s)", title(b.Workload), page.Scrub(b.Workload.Kind)), about)
	if len(b.along) > 0 {
		t.out.Words(page.Faint, "    along: ", 8, t.kinds(b.along, 12))
	}
	width, shares := 0, 0
	for _, r := range b.rows {
		width, shares = max(width, page.Columns(t.rowName(r))), max(shares, page.Columns(rowShares(r)))
	}
	for _, r := range b.rows {
		t.row(r, width, shares)
	}
	if len(b.stay) > 0 {
		t.out.Words(page.Plain, fmt.Sprintf("    %s: ", plural(len(b.stay), "stays", "stay")), 8, t.where(b.stay, " "))
	}
	if none := b.rejected(); len(none) > 0 {
		left := fmt.Sprintf("    %d not chosen: %s", len(none), t.where(none, " "))
		hint := page.Scrub(fmt.Sprintf("(armada-sync explain %s/%s)", strings.ToLower(b.Workload.Kind), b.Workload.Name))
		if page.Columns(left)+2+page.Columns(hint) <= t.out.Width() {
			t.out.Split(page.Faint, left, hint)
		} else {
			t.out.Words(page.Faint, "    ", 8, strings.TrimSpace(left))
		}
	}
	if b.Error != "" {
		t.out.Words(page.Remove, "    ✘ ", 6, page.Scrub(b.Error))
	}
}

func total(n *int64) string {
	if n == nil {
		return "0"
	}
	return fmt.Sprint(*n)
}

// rowName names the cluster of a row, or says how many there are.
func (t *textPrinter) rowName(r row) string {
	if len(r.clusters) == 1 {
		return page.Cut(page.Scrub(r.clusters[0]), 40)
	}
	return plural(len(r.clusters), "cluster", "clusters")
}

func rowShares(r row) string {
	if r.Before == nil && r.After == nil {
		return ""
	}
	return count(r.Before) + " → " + count(r.After) + "    "
}

func (t *textPrinter) row(r row, width, shares int) {
	word := map[plan.PlacementAction]string{plan.PlacementJoin: "joins", plan.PlacementLeave: "leaves"}[r.Action]
	mark := actionSigns[r.Action]
	prefix := fmt.Sprintf("  %s %s   %s%s  ", mark, page.Pad(t.rowName(r), width), page.Pad(rowShares(r), shares), page.Pad(word, 6))
	t.out.Words(signStyles[mark], prefix, 40, page.Scrub(why(r)))
	if len(r.clusters) > 1 {
		t.out.Words(page.Faint, "      ", 6, t.where(r.clusters, " "))
	}
}

// why says in words what made a cluster join, leave or get another share.
func why(r row) string {
	var parts []string
	for _, reason := range r.Reasons {
		if rest, isAffinity := strings.CutPrefix(reason, "ClusterAffinity: "); isAffinity && r.Action == plan.PlacementJoin {
			reason = rest + " matches"
		}
		parts = append(parts, reason)
	}
	if text := score(r.ReportAssignment); text != "" && r.Action == plan.PlacementJoin {
		parts = append(parts, text)
	}
	text := strings.Join(parts, "; ")
	if r.FilterBy != "" {
		text = r.FilterBy + ": " + text
	}
	return text
}

// kinds lists objects as "Kind name", each once.
func (s *scene) kinds(refs []v1alpha1.ObjectReference, most int) string {
	var names []string
	for i, ref := range refs {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(refs)-most))
			break
		}
		names = append(names, page.Scrub(ref.Kind)+" "+s.short(ref))
	}
	return strings.Join(names, ", ")
}

func (t *textPrinter) heldBack() {
	if len(t.held) == 0 {
		return
	}
	t.out.Blank()
	t.out.Styled(page.Head, "HELD BACK")
	for _, h := range t.held {
		t.out.Words(page.Faint, "  ! ", 8, fmt.Sprintf("%s %s  [%s] %s · %s", page.Scrub(h.Kind), title(h.ObjectReference),
			page.Scrub(string(h.Gate)), page.Scrub(h.Reason), t.where(h.Clusters, " ")))
	}
}

// severitySigns tell severities apart by their shape.
var severitySigns = map[v1alpha1.Severity]struct {
	sign  string
	style page.Style
}{
	v1alpha1.SeverityBlocker: {"⛔", page.Remove},
	v1alpha1.SeverityCaution: {"⚠ ", page.Change},
	v1alpha1.SeverityInfo:    {"ℹ ", page.Plain},
}

// findingClusters is the widest that the column of clusters gets.
const findingClusters = 24

// findings writes a table: id, clusters, what it is, and the line of the repository at the right end.
func (t *textPrinter) findings(heading string, findings []v1alpha1.Finding) {
	if len(findings) == 0 {
		return
	}
	t.out.Blank()
	t.out.Styled(page.Head, "%s", heading)
	ids, wide := 0, 0
	where := make([]string, len(findings))
	for i, f := range findings {
		where[i] = page.Cut(t.briefly(f.Clusters), findingClusters)
		ids, wide = max(ids, page.Columns(page.Scrub(f.ID))), max(wide, page.Columns(where[i]))
	}
	for i, f := range findings {
		s := severitySigns[f.Severity]
		if s.sign == "" {
			s = severitySigns[v1alpha1.SeverityInfo]
		}
		prefix := fmt.Sprintf("  %s %s  ", s.sign, page.Pad(page.Scrub(f.ID), min(ids, 24)))
		if wide > 0 {
			prefix += page.Pad(where[i], wide) + "  "
		}
		message, source := page.Scrub(f.Message), page.Scrub(f.Source)
		line := prefix + message
		if page.Columns(line)+2+page.Columns(source) <= t.out.Width() {
			t.out.Split(s.style, line, source)
			continue
		}
		if source != "" {
			message += " · " + source
		}
		t.out.Words(s.style, prefix, 6, message)
	}
}

// briefly names one or two clusters, and counts or describes more.
func (s *scene) briefly(names []string) string {
	switch text := s.describe(names); {
	case len(names) == 0:
		return ""
	case text != "":
		return page.Scrub(text)
	case len(names) == 1 || len(names) == 2 && len(names[0])+len(names[1]) < findingClusters:
		return page.Scrub(strings.Join(names, " "))
	}
	return fmt.Sprintf("%s + %d more", page.Cut(page.Scrub(names[0]), findingClusters-10), len(names)-1)
}

// drift has a block of its own, since it is no part of the change.
func (t *textPrinter) drift() {
	if len(t.Drift) == 0 {
		return
	}
	t.out.Blank()
	t.out.Styled(page.Head, "DRIFT  changed by someone else, and no part of this change")
	for _, d := range t.Drift {
		t.out.Words(page.Faint, "    ", 8, fmt.Sprintf("%s %s  %s · %s", page.Scrub(d.Kind), title(d.ObjectReference), page.Scrub(d.Reason), t.where(d.Clusters, " ")))
	}
}

// notChecked names the checks that could not be made, so that nobody takes silence for success.
func (t *textPrinter) notChecked() {
	var missing []string
	for _, c := range t.Checks {
		if n := len(c.NotChecked); n > 0 && c.Checked == 0 {
			missing = append(missing, c.About)
		} else if n > 0 {
			missing = append(missing, fmt.Sprintf("%s (on %s)", c.About, plural(n, "cluster", "clusters")))
		}
	}
	if len(missing) > 0 {
		t.out.Blank()
		t.out.Words(page.Faint, "Not checked, since the fleet file does not say enough: ", 2, page.Scrub(strings.Join(missing, "; "))+".")
	}
}

func (t *textPrinter) closing(o Options) {
	text := "Preview: " + Sentence(*t.Report)
	t.out.Blank()
	if o.Exit == "" {
		t.out.Words(page.Plain, "", 0, text)
		return
	}
	t.out.Split(page.Plain, text, "("+o.Exit+")")
}

// namedItem matches what a path says of a list item that is known by its name.
var namedItem = regexp.MustCompile(`\[name=([^\]"]*)\]`)

// shortPath writes containers[api] for containers[name=api].
func shortPath(path string) string { return page.Scrub(namedItem.ReplaceAllString(path, "[$1]")) }

// onlyLine returns the line of a value that has one.
func onlyLine(lines []string) (string, bool) {
	if len(lines) != 1 {
		return "", false
	}
	return lines[0], true
}

// valueOnly shows an item that has a name and a value, such as a variable, by its value alone.
func valueOnly(lines []string) []string {
	if line, one := onlyLine(lines); one {
		if value, found := strings.CutPrefix(line, "value: "); found {
			return []string{value}
		}
	}
	return slices.Clone(lines)
}
