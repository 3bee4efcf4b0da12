package plan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// PrintOptions say how output for people looks. Formats for machines ignore them, but for Cluster.
type PrintOptions struct {
	// Width is the most columns of a line. Default, and at most useful, 100.
	Width int
	// Color adds terminal colours. Everything is plain without them too.
	Color bool
	// Cluster restricts a plan to one cluster; empty: all.
	Cluster string
}

// Printer writes a report in one format. It is pure: equal reports give equal bytes.
type Printer func(Report, PrintOptions) ([]byte, error)

// PlanPrinter writes a plan in one format.
type PlanPrinter func(*Plan, PrintOptions) ([]byte, error)

// ReportFormat is a format of preview with its printer.
type ReportFormat struct {
	Name string
	// Sentence says what it is for.
	Sentence string
	Print    Printer
}

// PlanFormat is a format of plan with its printer.
type PlanFormat struct {
	Name     string
	Sentence string
	Print    PlanPrinter
}

// ReportFormats lists the formats of preview; the first is the default.
func ReportFormats() []ReportFormat {
	return []ReportFormat{
		{"text", "for a terminal", printReportText},
		{"json", "the contract for everything else", printReportJSON},
	}
}

// PlanFormats lists the formats of plan; the first is the default.
func PlanFormats() []PlanFormat {
	return []PlanFormat{
		{"text", "for a terminal", printPlanText},
		{"json", "the contract for everything else", printPlanJSON},
		{"yaml", "the same as JSON, in YAML", printPlanYAML},
	}
}

func printReportJSON(r Report, _ PrintOptions) ([]byte, error) { return marshal(r) }

func printPlanJSON(p *Plan, o PrintOptions) ([]byte, error) { return marshal(p.only(o.Cluster)) }

func printPlanYAML(p *Plan, o PrintOptions) ([]byte, error) {
	raw, err := yaml.Marshal(p.only(o.Cluster))
	if err != nil {
		return nil, fmt.Errorf("print plan: %w", err)
	}
	return raw, nil
}

// marshal writes indented JSON without escaping <, > and &, and ends with a line break.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("print: %w", err)
	}
	return b.Bytes(), nil
}

// only returns the plan with the changes of one cluster alone; placements and findings stay whole.
func (p *Plan) only(cluster string) *Plan {
	if cluster == "" {
		return p
	}
	one := *p
	one.Clusters = []ClusterChanges{}
	for _, c := range p.Clusters {
		if c.Name == cluster {
			one.Clusters = append(one.Clusters, c)
		}
	}
	return &one
}

// defaultWidth is what fits every terminal that matters.
const defaultWidth = 100

// page collects lines for people. Text that comes from outside must pass through scrub before it
// reaches a page.
type page struct {
	b     strings.Builder
	width int
	color bool
}

func newPage(o PrintOptions) *page {
	return &page{width: max(cmp.Or(o.Width, defaultWidth), 40), color: o.Color}
}

func (p *page) bytes() []byte { return []byte(p.b.String()) }

func (p *page) blank() { p.b.WriteByte('\n') }

// line writes one line, cut at the width.
func (p *page) line(format string, args ...any) { p.styled("", format, args...) }

func (p *page) styled(style style, format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	p.b.WriteString(p.paint(style, cut(text, p.width)))
	p.b.WriteByte('\n')
}

// split writes one line with something at its right end, or two lines where both do not fit.
func (p *page) split(style style, left, right string) {
	gap := p.width - runes(left) - runes(right)
	if right == "" || gap < 2 {
		p.styled(style, "%s", left)
		if right != "" {
			p.line("%s%s", strings.Repeat(" ", max(p.width-runes(right), 2)), right)
		}
		return
	}
	p.b.WriteString(p.paint(style, left))
	p.b.WriteString(strings.Repeat(" ", gap))
	p.b.WriteString(right)
	p.b.WriteByte('\n')
}

// words writes words with a prefix, on as many lines as they need; further lines are indented by the
// width of the prefix, or by at most hang columns.
func (p *page) words(style style, prefix string, hang int, text string) {
	line, indent := prefix, strings.Repeat(" ", min(runes(prefix), hang))
	fresh := true
	for _, word := range strings.Fields(text) {
		if !fresh && runes(line)+1+runes(word) > p.width {
			p.styled(style, "%s", line)
			line, fresh = indent, true
		}
		if fresh {
			line += word
		} else {
			line += " " + word
		}
		fresh = false
	}
	p.styled(style, "%s", line)
}

// style is a terminal colour.
type style string

const (
	plainStyle  style = ""
	headStyle   style = "1"
	addStyle    style = "32"
	removeStyle style = "31"
	changeStyle style = "33"
	faintStyle  style = "2"
)

func (p *page) paint(s style, text string) string {
	if !p.color || s == plainStyle || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func runes(s string) int { return utf8.RuneCountInString(s) }

// cut shortens text to a number of columns and says so with an ellipsis.
func cut(text string, width int) string {
	if runes(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// pad fills text up with spaces to a number of columns.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(width-runes(text), 0))
}

// objectName writes "Kind namespace/name" without anything that could harm a terminal.
func objectName(r v1alpha1.ObjectReference) string { return scrub(r.String()) }

// listedClusters is how many clusters a line names before it counts.
const listedClusters = 6

// clusterList names clusters, or the first of many.
func clusterList(names []string) string {
	shown := names
	if len(names) > listedClusters+2 {
		shown = names[:listedClusters]
	}
	text := scrub(strings.Join(shown, " "))
	if rest := len(names) - len(shown); rest > 0 {
		text += fmt.Sprintf(" + %d more", rest)
	}
	return text
}

// severitySign is the sign of a severity; its shape carries the meaning without colour.
func severitySign(s v1alpha1.Severity) (string, style) {
	switch s {
	case v1alpha1.SeverityBlocker:
		return "⛔", removeStyle
	case v1alpha1.SeverityCaution:
		return "⚠ ", changeStyle
	case v1alpha1.SeverityInfo:
	}
	return "ℹ ", plainStyle
}

// findings writes a block of findings.
func (p *page) findings(title string, findings []finding) {
	if len(findings) == 0 {
		return
	}
	p.blank()
	p.styled(headStyle, "%s", title)
	for _, f := range findings {
		sign, style := severitySign(f.Severity)
		text := scrub(f.Message)
		if len(f.Clusters) > 0 {
			text += " · " + clusterList(f.Clusters)
		}
		if f.Source != "" {
			text += " · " + scrub(f.Source)
		}
		p.words(style, fmt.Sprintf("  %s %s  ", sign, f.ID), 6, text)
	}
}

// countFindings writes "1 blocker, 3 cautions".
func countFindings(findings []finding) string {
	count := map[v1alpha1.Severity]int{}
	for _, f := range findings {
		count[f.Severity]++
	}
	var parts []string
	if n := count[v1alpha1.SeverityBlocker]; n > 0 {
		parts = append(parts, plural(n, "blocker", "blockers"))
	}
	if n := count[v1alpha1.SeverityCaution]; n > 0 {
		parts = append(parts, plural(n, "caution", "cautions"))
	}
	if len(parts) == 0 {
		return "no blockers, no cautions"
	}
	return strings.Join(parts, ", ")
}

// replicasOf writes a number of replicas, "–" for objects without.
func replicasOf(n *int64) string {
	if n == nil {
		return "–"
	}
	return fmt.Sprint(*n)
}
