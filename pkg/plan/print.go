package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
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

// PlanPrinter writes a plan in one format. It is pure: equal plans give equal bytes.
type PlanPrinter func(*Plan, PrintOptions) ([]byte, error)

// PlanFormat is a format of plan with its printer.
type PlanFormat struct {
	Name     string
	Sentence string
	Print    PlanPrinter
}

// PlanFormats lists the formats of plan; the first is the default.
func PlanFormats() []PlanFormat {
	return []PlanFormat{
		{"text", "for a terminal", printPlanText},
		{"json", "the contract for everything else", printPlanJSON},
		{"yaml", "the same as JSON, in YAML", printPlanYAML},
	}
}

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

// objectName writes "Kind namespace/name" without anything that could harm a terminal.
func objectName(r v1alpha1.ObjectReference) string { return page.Scrub(r.String()) }

// listedClusters is how many clusters a line names before it counts.
const listedClusters = 6

// clusterList names clusters, or the first of many.
func clusterList(names []string) string {
	shown := names
	if len(names) > listedClusters+2 {
		shown = names[:listedClusters]
	}
	text := page.Scrub(strings.Join(shown, " "))
	if rest := len(names) - len(shown); rest > 0 {
		text += fmt.Sprintf(" + %d more", rest)
	}
	return text
}

// severitySign is the sign of a severity; its shape carries the meaning without colour.
func severitySign(s v1alpha1.Severity) (string, page.Style) {
	switch s {
	case v1alpha1.SeverityBlocker:
		return "⛔", page.Remove
	case v1alpha1.SeverityCaution:
		return "⚠ ", page.Change
	case v1alpha1.SeverityInfo:
	}
	return "ℹ ", page.Plain
}

// findings writes a block of findings.
func printFindings(p *page.Page, title string, findings []finding) {
	if len(findings) == 0 {
		return
	}
	p.Blank()
	p.Styled(page.Head, "%s", title)
	for _, f := range findings {
		sign, style := severitySign(f.Severity)
		text := page.Scrub(f.Message)
		if len(f.Clusters) > 0 {
			text += " · " + clusterList(f.Clusters)
		}
		if f.Source != "" {
			text += " · " + page.Scrub(f.Source)
		}
		p.Words(style, fmt.Sprintf("  %s %s  ", sign, f.ID), 6, text)
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
