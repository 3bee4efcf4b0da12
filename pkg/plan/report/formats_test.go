package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/report"
)

func printOne(t failer, print report.Printer, r plan.Report, o report.Options) string {
	t.Helper()
	parts, err := print(r, o)
	if err != nil || len(parts) != 1 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	if !utf8.Valid(parts[0]) {
		t.Fatalf("not valid UTF-8: %q", parts[0])
	}
	return string(parts[0])
}

// TestTextSteersNoTerminal: nothing but text reaches a terminal, and no line is wider than asked for.
func TestTextSteersNoTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, width := drawReport(t), rapid.SampledFrom([]int{40, 72, 100, 140}).Draw(t, "width")
		for _, line := range strings.Split(printOne(t, report.Text, r, report.Options{Width: width, Exit: "exit 0"}), "\n") {
			if n := utf8.RuneCountInString(line); n > width {
				t.Fatalf("%d columns: %q", n, line)
			}
			if i := strings.IndexFunc(line, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' }); i >= 0 {
				t.Fatalf("a control character: %q", line)
			}
		}
	})
}

// TestPageRunsNothingForeign: of whatever a repository holds the page makes text. Its policy allows the
// one style and the one script in it, by their hashes.
func TestPageRunsNothingForeign(t *testing.T) {
	foreign := regexp.MustCompile(`(?i)<(script|style|img|svg|iframe|object|embed|link|base|form)[ >/]`)
	handler := regexp.MustCompile(`(?i)<[^>]*\s(on[a-z]+|style|src|srcset|background|formaction)=`)
	address := regexp.MustCompile(`(?:href|action|poster|data)="([^"]*)"`)
	value := regexp.MustCompile(`"[^"]*"`)
	hashes := regexp.MustCompile(`'sha256-([^']+)'`)
	rapid.Check(t, func(t *rapid.T) {
		r := drawReport(t)
		got := printOne(t, report.HTML, r, report.Options{Repositories: map[string]report.Repository{"": {URL: "https://github.com/acme/fleet"}}})
		var contents []string
		for _, tag := range []string{"style", "script"} {
			from, to := strings.Index(got, "<"+tag+">")+len(tag)+2, strings.Index(got, "</"+tag+">")
			contents = append(contents, got[from:to])
		}
		policy := hashes.FindAllStringSubmatch(strings.ReplaceAll(strings.ReplaceAll(got[:strings.Index(got, "<style>")], "&#39;", "'"), "&#43;", "+"), -1)
		for i, content := range contents {
			sum := sha256.Sum256([]byte(content))
			if i >= len(policy) || policy[i][1] != base64.StdEncoding.EncodeToString(sum[:]) {
				t.Fatalf("the policy %v does not allow the page's own parts", policy)
			}
		}
		rest := strings.NewReplacer("<style>"+contents[0]+"</style>", "", "<script>"+contents[1]+"</script>", "", `<form id="filters"`, "").Replace(got)
		if m := foreign.FindString(rest); m != "" {
			t.Fatalf("%q in the page", m)
		}
		// A quote inside of a value is written as an entity, so that what stands between two is a value.
		if m := handler.FindString(value.ReplaceAllString(rest, `""`)); m != "" {
			t.Fatalf("%q in the page", m)
		}
		for _, m := range address.FindAllStringSubmatch(rest, -1) {
			if !strings.HasPrefix(m[1], "https://github.com/") && m[1] != "#main" {
				t.Fatalf("an address %q", m[1])
			}
		}
		if strings.Count(rest, "<details") != strings.Count(rest, "</details>") || strings.Count(rest, "<table") != strings.Count(rest, "</table>") {
			t.Fatal("a fold or table is open")
		}
	})
}

// TestDiffIsWellFormed reads the diff as a viewer does: each hunk has as many lines as it says, and no path
// leads anywhere else.
func TestDiffIsWellFormed(t *testing.T) {
	header := regexp.MustCompile(`^@@ -\d+,(\d+) \+\d+,(\d+) @@`)
	path := regexp.MustCompile(`^diff --git a/([A-Za-z0-9%._-]+/){2}[A-Za-z0-9%._-]+\.yaml b/([A-Za-z0-9%._-]+/){2}[A-Za-z0-9%._-]+\.yaml$`)
	rapid.Check(t, func(t *rapid.T) {
		old, new := 0, 0
		for _, line := range strings.Split(strings.TrimSuffix(printOne(t, report.Unified, drawReport(t), report.Options{}), "\n"), "\n") {
			if old+new > 0 {
				switch line[0] {
				case ' ':
					old, new = old-1, new-1
				case '-':
					old--
				case '+':
					new--
				default:
					t.Fatalf("in a hunk: %q", line)
				}
				continue
			}
			m := header.FindStringSubmatch(line)
			switch {
			case m != nil:
				old, _ = strconv.Atoi(m[1])
				new, _ = strconv.Atoi(m[2])
			case strings.HasPrefix(line, "diff --git "):
				if !path.MatchString(line) || strings.Contains(line, "/../") || strings.Contains(line, "/./") {
					t.Fatalf("a path: %q", line)
				}
			case line == "", strings.HasPrefix(line, "# "), strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "),
				line == "new file mode 100644", line == "deleted file mode 100644":
			default:
				t.Fatalf("outside of a hunk: %q", line)
			}
		}
		if old != 0 || new != 0 {
			t.Fatalf("a hunk lacks %d and %d lines", old, new)
		}
	})
}

// TestSARIFStructure holds what code scanners ask for: every result has a rule and a level of the
// standard, and its file is a relative URI with a line.
func TestSARIFStructure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawReport(t)
		var log struct {
			Schema  string `json:"$schema"`
			Version string
			Runs    []struct {
				Tool struct {
					Driver struct {
						Name  string
						Rules []struct {
							ID, Name, HelpURI    string
							ShortDescription     struct{ Text string }
							DefaultConfiguration struct{ Level string }
						}
					}
				}
				Results []struct {
					RuleID              string
					RuleIndex           int
					Level               string
					BaselineState       string
					Message             struct{ Text string }
					PartialFingerprints map[string]string
					Locations           []struct {
						PhysicalLocation *struct {
							ArtifactLocation struct{ URI, URIBaseID string }
							Region           struct{ StartLine int }
						}
					}
				}
			}
		}
		d := json.NewDecoder(strings.NewReader(printOne(t, report.SARIF, r, report.Options{Repositories: map[string]report.Repository{"": {Folder: "clusters/prod"}}})))
		if err := d.Decode(&log); err != nil {
			t.Fatal(err)
		}
		if log.Version != "2.1.0" || len(log.Runs) != 1 || len(log.Runs[0].Results) != len(r.Findings) {
			t.Fatalf("version %q, %d runs", log.Version, len(log.Runs))
		}
		rules := log.Runs[0].Tool.Driver.Rules
		levels := map[string]bool{"error": true, "warning": true, "note": true}
		for _, rule := range rules {
			if !levels[rule.DefaultConfiguration.Level] || rule.ShortDescription.Text == "" {
				t.Fatalf("rule %+v", rule)
			}
		}
		for _, res := range log.Runs[0].Results {
			if res.RuleIndex < 0 || res.RuleIndex >= len(rules) || rules[res.RuleIndex].ID != res.RuleID {
				t.Fatalf("result %+v has no rule", res)
			}
			if !levels[res.Level] || res.Message.Text == "" || res.BaselineState != "new" || len(res.PartialFingerprints) == 0 {
				t.Fatalf("result %+v", res)
			}
			for _, l := range res.Locations {
				if l.PhysicalLocation == nil {
					continue
				}
				uri := l.PhysicalLocation.ArtifactLocation.URI
				u, err := url.Parse(uri)
				if err != nil || u.IsAbs() || u.Host != "" || strings.HasPrefix(uri, "/") || strings.HasPrefix(uri, "..") {
					t.Fatalf("location %q: %v", uri, err)
				}
				if l.PhysicalLocation.ArtifactLocation.URIBaseID != "%SRCROOT%" || l.PhysicalLocation.Region.StartLine < 1 {
					t.Fatalf("location %+v", l)
				}
			}
		}
	})
}

// TestSameBytes: equal reports give equal bytes in every format.
func TestSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawReport(t)
		for _, f := range report.Formats() {
			first, err := f.Print(r, report.Options{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := f.Print(r, report.Options{})
			if err != nil || !bytes.Equal(bytes.Join(first, nil), bytes.Join(again, nil)) {
				t.Fatalf("%s differs from itself (%v)", f.Name, err)
			}
		}
	})
}

// TestLineLinks: where a line of a repository can be looked at, by the host.
func TestLineLinks(t *testing.T) {
	finding := v1alpha1.Finding{ID: plan.Restart, Severity: v1alpha1.SeverityCaution, Message: "m", Source: "a b/(x).yaml:7", Repository: "shop", Clusters: []string{}}
	r := plan.Report{Findings: []v1alpha1.Finding{finding}, Head: plan.ReportRevision{Revisions: map[string]string{"shop": "main@sha1:abc"}}}
	for _, c := range []struct {
		name, url, folder, want string
		style                   report.Style
	}{
		{"GitHub", "https://github.com/acme/fleet/", "", "(https://github.com/acme/fleet/blob/abc/a%20b/%28x%29.yaml#L7)", report.StyleGitHub},
		{"GitLab, and a folder of the repository", "https://gl.example.com/g/p", "prod", "(https://gl.example.com/g/p/-/blob/abc/prod/a%20b/%28x%29.yaml#L7)", report.StyleGitLab},
		{"Bitbucket", "https://bitbucket.org/acme/fleet", "", "(https://bitbucket.org/acme/fleet/src/abc/a%20b/%28x%29.yaml#lines-7)", report.StylePlain},
		{"any other, by a pattern", "https://dev.example.com/_git/f?path=/{path}&version=GC{commit}&line={line}", "", "(https://dev.example.com/_git/f?path=/a%20b/%28x%29.yaml&version=GCabc&line=7)", report.StylePlain},
		{"not known", "", "", "caused by `a b/(x).yaml:7`", report.StyleGitHub},
	} {
		o := report.Options{Style: c.style, Repositories: map[string]report.Repository{"shop": {URL: c.url, Folder: c.folder}}}
		if got := printOne(t, report.Markdown, r, o); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s is not in\n%s", c.name, c.want, got)
		}
	}
	r.Head.Revisions["shop"] = "dir@sha256:abc"
	o := report.Options{Repositories: map[string]report.Repository{"shop": {URL: "https://github.com/acme/fleet"}}}
	if got := printOne(t, report.Markdown, r, o); strings.Contains(got, "github.com/acme") {
		t.Errorf("a link to a folder as it stands:\n%s", got)
	}
}
