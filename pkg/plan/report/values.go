package report

import (
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// maxLine is how many characters of a line of a value are shown, and maxValueLines how many lines.
const (
	maxLine       = 400
	maxValueLines = 400
)

// hunk is a stretch of a field: lines that stay, or lines that are replaced by others. All lines are safe
// to print.
type hunk struct {
	same     []string
	old, new []string
}

// hunks compares the two values of a field. Long texts are compared line by line, everything else is
// old above new.
func hunks(path string, old, new any) []hunk {
	a, aIsText := old.(string)
	b, bIsText := new.(string)
	if aIsText && bIsText && strings.Contains(a+b, "\n") {
		return compareLines(textLines(a), textLines(b))
	}
	return []hunk{{old: valueLines(path, old), new: valueLines(path, new)}}
}

// valueLines writes a value on as many lines as it needs: a scalar as it is, a map or list as YAML; none
// for a field that is not there. The field that a list item is known by is in its path already.
func valueLines(path string, value any) []string {
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		if strings.Contains(v, "\n") {
			return textLines(v)
		}
		return []string{inline(v)}
	case map[string]any:
		value = withoutKey(path, v)
	case []any:
	default:
		return []string{inline(v)}
	}
	raw, err := yaml.Marshal(value)
	if err != nil {
		return []string{inline(value)}
	}
	return textLines(strings.TrimRight(string(raw), "\n"))
}

// withoutKey leaves out the field of a list item that its path names: [name=api].
func withoutKey(path string, item map[string]any) map[string]any {
	at := strings.LastIndexByte(path, '[')
	key, value, found := strings.Cut(strings.TrimSuffix(path[at+1:], "]"), "=")
	if at < 0 || !found || len(item) < 2 || fmt.Sprint(item[key]) != value {
		return item
	}
	rest := make(map[string]any, len(item))
	for k, v := range item {
		if k != key {
			rest[k] = v
		}
	}
	return rest
}

// textLines cuts a text into lines that are safe to print and not endless.
func textLines(text string) []string {
	lines := strings.Split(text, "\n")
	if rest := len(lines) - maxValueLines; rest > 0 {
		lines = append(lines[:maxValueLines:maxValueLines], fmt.Sprintf("(%d more lines)", rest))
	}
	for i, line := range lines {
		// A tab is as wide as the viewer likes; everything else that is not visible is shown as such.
		lines[i] = page.Cut(page.Scrub(strings.ReplaceAll(line, "\t", "  ")), maxLine)
	}
	return lines
}

// inline writes a value on one line; "–" for a field that is not there.
func inline(v any) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case string:
		if v == "" || strings.TrimSpace(v) != v {
			return page.Cut(page.Scrub(asJSON(v)), maxLine)
		}
		return page.Cut(page.Scrub(strings.ReplaceAll(v, "\n", "⏎")), maxLine)
	}
	return page.Cut(page.Scrub(asJSON(v)), maxLine)
}

// asJSON writes a value on one line, as JSON does.
func asJSON(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// maxComparison bounds the work of comparing two texts: lines of one times lines of the other.
const maxComparison = 1 << 20

// compareLines tells the lines that stay from those that are replaced.
func compareLines(a, b []string) []hunk {
	start := 0
	for start < min(len(a), len(b)) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < min(len(a), len(b))-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	var all []hunk
	if start > 0 {
		all = append(all, hunk{same: a[:start]})
	}
	all = append(all, replaced(a[start:len(a)-end], b[start:len(b)-end])...)
	if end > 0 {
		all = append(all, hunk{same: a[len(a)-end:]})
	}
	return all
}

// replaced finds the longest common subsequence of two lists of lines.
func replaced(a, b []string) []hunk {
	if len(a)*len(b) > maxComparison || len(a) == 0 || len(b) == 0 {
		if len(a)+len(b) == 0 {
			return nil
		}
		return []hunk{{old: a, new: b}}
	}
	// longest[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	longest := make([][]int32, len(a)+1)
	for i := range longest {
		longest[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var all []hunk
	for i, j := 0, 0; i < len(a) || j < len(b); {
		var h hunk
		for i < len(a) && j < len(b) && a[i] == b[j] {
			h.same = append(h.same, a[i])
			i, j = i+1, j+1
		}
		if h.same != nil {
			all = append(all, h)
			continue
		}
		for i < len(a) || j < len(b) {
			switch {
			case i < len(a) && j < len(b) && a[i] == b[j]:
			case j == len(b) || i < len(a) && longest[i+1][j] >= longest[i][j+1]:
				h.old = append(h.old, a[i])
				i++
				continue
			default:
				h.new = append(h.new, b[j])
				j++
				continue
			}
			break
		}
		all = append(all, h)
	}
	return all
}

// foldedContext is how many lines are left above and below a change when what stays is folded.
const foldedContext = 2

// fold shortens what stays, in place of which it says how much that is.
func fold(all []hunk) []hunk {
	folded := make([]hunk, 0, len(all))
	for i, h := range all {
		if len(h.same) > 2*foldedContext+1 {
			var kept []string
			if i > 0 {
				kept = append(kept, h.same[:foldedContext]...)
			}
			tail := foldedContext
			if i == len(all)-1 {
				tail = 0
			}
			kept = append(kept, fmt.Sprintf("… %s …", plural(len(h.same)-len(kept)-tail, "line as before", "lines as before")))
			h.same = append(kept, h.same[len(h.same)-tail:]...)
		}
		folded = append(folded, h)
	}
	return folded
}

// originText writes what made a field, "" where that is not one thing.
func originText(o *render.Origin) string {
	if o == nil || o.Source == "" && o.Name == "" {
		return ""
	}
	switch o.Kind {
	case render.OriginOverride:
		return page.Scrub(fmt.Sprintf("override %s rule %d (%s)", o.Name, o.Rule, o.Source))
	case render.OriginDivision:
		return page.Scrub(fmt.Sprintf("share of %s (%s)", o.Name, o.Source))
	case render.OriginVariable:
		return page.Scrub(fmt.Sprintf("variable (%s)", o.Source))
	case render.OriginFile, render.OriginKustomization, render.OriginChart:
	}
	return page.Scrub(o.Source)
}

// plural writes a number with the word that fits it.
func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

// sameValues are the clusters of a same-shape group that get the same values, in the order of its fields.
type sameValues struct {
	clusters []string
	values   []plan.ReportValue
}

// valueRows puts the clusters of a same-shape group together that have the same values.
func valueRows(g *plan.ReportGroup) []sameValues {
	var rows []*sameValues
	byKey := map[string]*sameValues{}
	for i, cluster := range g.Clusters {
		r := sameValues{clusters: []string{cluster}}
		for _, f := range g.Fields {
			if i < len(f.Values) {
				v := f.Values[i]
				v.Cluster = ""
				r.values = append(r.values, v)
			}
		}
		raw, err := json.Marshal(r.values)
		if err != nil {
			raw = []byte(cluster)
		}
		if known := byKey[string(raw)]; known != nil {
			known.clusters = append(known.clusters, cluster)
			continue
		}
		byKey[string(raw)] = &r
		rows = append(rows, &r)
	}
	all := make([]sameValues, 0, len(rows))
	for _, r := range rows {
		all = append(all, *r)
	}
	return all
}
