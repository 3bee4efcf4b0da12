package report_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
	"github.com/armada-sync/armada-sync/pkg/plan/report"
)

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// ownHTML is all the HTML that a comment may hold.
var ownHTML = regexp.MustCompile(`^(<!-- armada-sync:preview v1[ a-zA-Z0-9=/._-]* -->|</?details>|<details open>|</?summary>|</?sub>|</?b>|</?code>)$`)

var tag = regexp.MustCompile(`<!--.*?-->|</?[A-Za-z][^>]*>`)

// mention matches what hosts take for a person, an issue, a merge request or an address, outside of code.
var mention = regexp.MustCompile(`@\w|#\d|\bGH-\d|!\d|(?i:\bwww\.)|://`)

// checkComment parses a part as GitHub and GitLab do, and looks at what they make of it: no link and no
// image but ours, no HTML but ours, no mention, every fold closed.
func checkComment(t failer, style report.Style, part []byte) {
	t.Helper()
	if !utf8.Valid(part) {
		t.Fatalf("not valid UTF-8: %q", part)
	}
	fences := 0
	fence := ""
	folds := 0
	for _, line := range strings.Split(string(part), "\n") {
		ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case fence == "" && len(ticks) >= 3 && strings.HasSuffix(line, "diff"):
			fence, fences = ticks, fences+1
		case fence != "" && line == fence:
			fence = ""
		case fence == "" && strings.HasPrefix(line, "<details"):
			folds++
		case fence == "" && line == "</details>":
			folds--
		}
	}
	if fence != "" || folds != 0 {
		t.Fatalf("fence %q is open, and %d folds:\n%s", fence, folds, part)
	}
	root := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(part))
	blocks := 0
	columns := 0
	err := ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Image, *ast.AutoLink:
			t.Fatalf("an image or a link of its own accord: %s", n.Text(part)) //nolint:staticcheck // The test wants the text, however deprecated.
		case *ast.Link:
			if !strings.HasPrefix(string(n.Destination), "https://github.com/") {
				t.Fatalf("a link to %s", n.Destination)
			}
		case *ast.FencedCodeBlock:
			blocks++
			return ast.WalkSkipChildren, nil
		case *ast.CodeSpan:
			return ast.WalkSkipChildren, nil
		case *ast.CodeBlock:
			t.Fatalf("an indented code block:\n%s", part)
		case *extast.Table:
			columns = len(n.Alignments)
		case *extast.TableRow:
			if n.ChildCount() != columns {
				t.Fatalf("a row of %d cells in a table of %d columns", n.ChildCount(), columns)
			}
		case *extast.TaskCheckBox:
			t.Fatalf("a task")
		case *ast.RawHTML:
			for i := range n.Segments.Len() {
				s := n.Segments.At(i)
				checkHTML(t, style, string(s.Value(part)))
			}
		case *ast.HTMLBlock:
			for i := range n.Lines().Len() {
				s := n.Lines().At(i)
				checkHTML(t, style, string(s.Value(part)))
			}
		case *ast.Text:
			if m := mention.FindString(string(n.Segment.Value(part))); m != "" && !hidden(n) {
				t.Fatalf("%q outside of code in %q", m, n.Segment.Value(part))
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatalf("walk: %v", err)
	}
	if blocks != fences {
		t.Fatalf("%d fences were written and %d are read:\n%s", fences, blocks, part)
	}
}

// hidden tells whether text stands behind <code> and before </code>.
func hidden(n ast.Node) bool {
	for s := n.PreviousSibling(); s != nil; s = s.PreviousSibling() {
		if raw, ok := s.(*ast.RawHTML); ok {
			first := raw.Segments.At(0)
			return first.Stop-first.Start == len("<code>")
		}
	}
	return false
}

func checkHTML(t failer, style report.Style, html string) {
	t.Helper()
	if style == report.StylePlain {
		t.Fatalf("HTML in plain: %q", html)
	}
	for _, found := range tag.FindAllString(html, -1) {
		if !ownHTML.MatchString(found) {
			t.Fatalf("HTML that is not ours: %q", found)
		}
	}
	outside := regexp.MustCompile(`<code>[^<]*</code>|<!--.*?-->`).ReplaceAllString(html, "")
	if m := mention.FindString(regexp.MustCompile(`&#\d+;`).ReplaceAllString(outside, "")); m != "" {
		t.Fatalf("%q outside of code in %q", m, html)
	}
}

// checkDeletions looks for every removed object and every cluster that loses it.
func checkDeletions(t failer, r plan.Report, parts [][]byte) {
	t.Helper()
	whole := string(bytes.Join(parts, nil))
	for _, g := range r.Groups {
		if g.Action != v1alpha1.ActionPrune {
			continue
		}
		for _, o := range g.Objects {
			name := o.Name
			if o.Namespace != "" {
				name = o.Namespace + "/" + name
			}
			if !strings.Contains(whole, page.Scrub(name)) {
				t.Fatalf("the removal of %q is not told", name)
			}
		}
		described := g.Selection != "" && strings.Contains(whole, g.Selection) || len(g.Clusters) == len(r.Clusters) && strings.Contains(whole, fmt.Sprintf("all %d", len(g.Clusters)))
		for _, name := range g.Clusters {
			if !described && !strings.Contains(whole, page.Scrub(name)) && !strings.Contains(unescaped(whole), page.Scrub(name)) && !strings.Contains(whole, "with region") {
				t.Fatalf("that %q loses something is not told:\n%s", name, whole)
			}
		}
	}
}

// unescaped reads numeric entities.
func unescaped(s string) string {
	return regexp.MustCompile(`&#(\d+);`).ReplaceAllStringFunc(s, func(e string) string {
		var n rune
		if _, err := fmt.Sscanf(e, "&#%d;", &n); err != nil {
			return e
		}
		return string(n)
	})
}

// TestCommentsAreWhole: whatever a repository holds and however small the limit, each part is valid and
// closed, fits, says nothing to a host that we did not mean to say, and no removal is missing.
func TestCommentsAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawReport(t)
		style := rapid.SampledFrom(report.Styles()).Draw(t, "style")
		limit := rapid.SampledFrom([]int{report.MinBytes, report.MinBytes + 1, 12000, 20000, 0}).Draw(t, "limit")
		o := report.Options{Style: style, MaxBytes: limit, Project: drawText(t, "project"), PullRequest: drawText(t, "pr"), Repositories: map[string]report.Repository{"": {URL: "https://github.com/acme/fleet"}}}
		parts, err := report.Markdown(r, o)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range parts {
			if limit > 0 && len(part) > limit {
				t.Fatalf("part %d has %d bytes, more than %d", i, len(part), limit)
			}
			if want := fmt.Sprintf("part=%d/%d", i+1, len(parts)); !bytes.Contains(part[:bytes.IndexByte(part, '\n')], []byte(want)) || !report.HasMarker(part) {
				t.Fatalf("no marker %s: %.200s", want, part)
			}
			checkComment(t, style, part)
		}
		checkDeletions(t, r, parts)
	})
}

// large is a change of 1,000 clusters: every workload moves, and one goes from half the fleet.
func large() plan.Report {
	one, two := int64(1), int64(2)
	r := plan.Report{}
	for i := range 1000 {
		r.Clusters = append(r.Clusters, plan.ReportCluster{Name: fmt.Sprintf("cluster-%04d", i), Region: fmt.Sprintf("region-%d", i%7), Version: "v1.35.2", Changed: true})
	}
	r.Summary.Clusters = plan.ClusterCounts{Total: 1000, Changed: 1000}
	for w := range 40 {
		p := plan.ReportPlacement{Workload: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("web-%d", w)}, Before: &one, After: &two}
		g := plan.ReportGroup{ID: fmt.Sprintf("G%d", w), Kind: plan.GroupExact, Action: v1alpha1.ActionConfigure, Object: p.Workload, Objects: []plan.ReportObject{{ObjectReference: p.Workload}}}
		for i, c := range r.Clusters {
			p.Clusters = append(p.Clusters, plan.ReportAssignment{Name: c.Name, Before: &one, After: &two, Action: plan.PlacementRescale, Reasons: []string{"share re-divided"}})
			if i%3 != w%3 {
				g.Clusters = append(g.Clusters, c.Name)
			}
		}
		for f := range 30 {
			g.Fields = append(g.Fields, plan.ReportField{Path: fmt.Sprintf("spec.field%d", f), Old: strings.Repeat("line\n", 40) + "old", New: strings.Repeat("line\n", 40) + "new"})
		}
		r.Placements, r.Groups = append(r.Placements, p), append(r.Groups, g)
	}
	gone := plan.ReportGroup{ID: "Z", Kind: plan.GroupExact, Action: v1alpha1.ActionPrune}
	for i := range 300 {
		gone.Objects = append(gone.Objects, plan.ReportObject{ObjectReference: v1alpha1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: fmt.Sprintf("settings-%d", i)}})
	}
	for i := 0; i < 1000; i += 2 {
		gone.Clusters = append(gone.Clusters, r.Clusters[i].Name)
	}
	gone.Object = gone.Objects[0].ObjectReference
	r.Groups = append(r.Groups, gone)
	return r
}

// TestLargeFleet: a change of 1,000 clusters fits into what each host takes, with less and less detail, and
// with every removal.
func TestLargeFleet(t *testing.T) {
	r := large()
	for _, c := range []struct {
		style  report.Style
		limit  int
		parts  int
		reason string
	}{
		{report.StyleGitLab, 0, 1, "a million bytes hold all of it"},
		{report.StyleGitHub, 0, 1, "64 KiB hold the titles and every removal"},
		{report.StyleGitHub, 150_000, 1, "150,000 bytes, as Azure DevOps takes"},
		{report.StylePlain, 0, 1, "32 KiB hold them without the titles' HTML"},
		{report.StyleGitHub, report.MinBytes, 4, "the least: the removals alone are more than one part"},
	} {
		parts, err := report.Markdown(r, report.Options{Style: c.style, MaxBytes: c.limit})
		if err != nil {
			t.Fatal(err)
		}
		if len(parts) != c.parts {
			t.Errorf("%s at %d: %d parts, want %d: %s", c.style, c.limit, len(parts), c.parts, c.reason)
		}
		limit := c.limit
		if limit == 0 {
			limit = map[report.Style]int{report.StyleGitHub: 65_536, report.StyleGitLab: 1_000_000, report.StylePlain: 32_768}[c.style]
		}
		for _, part := range parts {
			if len(part) > limit {
				t.Errorf("%s at %d: a part of %d bytes", c.style, limit, len(part))
			}
			checkComment(t, c.style, part)
		}
		checkDeletions(t, r, parts)
		whole := string(bytes.Join(parts, nil))
		for w := range 40 {
			if !strings.Contains(whole, fmt.Sprintf("`shop/web-%d`", w)) {
				t.Errorf("%s at %d: the placement of web-%d is missing", c.style, limit, w)
			}
		}
	}
}
