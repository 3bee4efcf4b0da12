package report

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// findingsURL is where the pages of the findings are.
const findingsURL = "https://github.com/armada-sync/armada-sync/blob/main/docs/findings/"

// findingPage is the address of the page of a finding, "" for one that this project does not know.
func findingPage(id string) string {
	if slices.ContainsFunc(plan.FindingKinds(), func(k plan.FindingKind) bool { return k.ID == id }) {
		return findingsURL + url.PathEscape(id) + ".md"
	}
	return ""
}

// alerts are the blockers and cautions of the change, each list a block of its own.
func (m *markdown) alerts() []block {
	var all []block
	for _, kind := range []struct {
		severity    v1alpha1.Severity
		alert, bold string
		sign        string
	}{
		{v1alpha1.SeverityBlocker, "CAUTION", "⛔ Blockers", "⛔ "},
		{v1alpha1.SeverityCaution, "WARNING", "⚠️ Cautions", ""},
	} {
		var lines []string
		for _, f := range m.Findings {
			if f.Severity == kind.severity {
				lines = append(lines, m.finding(f, kind.sign))
			}
		}
		if len(lines) == 0 {
			continue
		}
		b := block{open: "**" + kind.bold + "**\n\n"}
		bullet := "- "
		if m.style == StyleGitHub {
			b.open, bullet = "> [!"+kind.alert+"]\n", "> - "
			if len(lines) == 1 {
				bullet = "> "
			}
		}
		for _, line := range lines {
			b.lines = append(b.lines, bullet+line)
		}
		all = append(all, b)
	}
	return all
}

// finding writes one finding on one line: id, clusters, what it is, and the line that causes it.
func (m *markdown) finding(f v1alpha1.Finding, sign string) string {
	id := code(page.Cut(f.ID, maxName))
	if at := findingPage(f.ID); at != "" {
		id = "[" + id + "](" + at + ")"
	}
	parts := []string{"**" + sign + id + "**"}
	if len(f.Clusters) > 0 {
		parts = append(parts, m.clusterNames(f.Clusters))
	}
	parts = append(parts, prose(f.Message))
	if f.Source != "" {
		parts = append(parts, "caused by "+m.source(f.Repository, f.Source))
	}
	return strings.Join(parts, " · ")
}

// clusterNames names clusters as code: by what they have in common, else by name, else the first of them.
func (m *markdown) clusterNames(names []string) string {
	if text := m.describe(names); text != "" {
		return prose(text)
	}
	shown := names
	if len(names) > listedClusters+2 {
		shown = names[:listedClusters]
	}
	var parts []string
	for _, name := range shown {
		parts = append(parts, code(page.Cut(name, maxName)))
	}
	text := strings.Join(parts, ", ")
	if rest := len(names) - len(shown); rest > 0 {
		text += fmt.Sprintf(" + %d more", rest)
	}
	return text
}

// source writes "file:line", as a link where it is known where the repository can be looked at.
func (m *markdown) source(repository, position string) string {
	shown := code(page.Cut(position, 2*maxName))
	if at := m.o.lineURL(m.Report, repository, position); at != "" {
		return "[" + shown + "](" + at + ")"
	}
	return shown
}

// repository returns what is known of a source.
func (o Options) repository(source string) Repository {
	if r, named := o.Repositories[source]; named {
		return r
	}
	return o.Repositories[""]
}

// repositoryPath is the path of a file of a source inside its repository.
func (o Options) repositoryPath(source, file string) string {
	return strings.TrimPrefix(path.Clean(path.Join("/", o.repository(source).Folder, file)), "/")
}

// lineURL is the address of a line at the head revision; "" where it is not known, or where the head is
// no commit.
func (o Options) lineURL(r *plan.Report, source, position string) string {
	repository := o.repository(source)
	commit := headCommit(r, source)
	if repository.URL == "" || commit == "" {
		return ""
	}
	file, line := splitPosition(position)
	var segments []string
	for _, s := range strings.Split(o.repositoryPath(source, file), "/") {
		segments = append(segments, url.PathEscape(s))
	}
	template := strings.NewReplacer("%7B", "{", "%7D", "}").Replace(repository.URL)
	if !strings.Contains(template, "{") {
		template = strings.TrimSuffix(template, "/") + o.Style.linePath()
	}
	return strings.NewReplacer("{commit}", url.PathEscape(commit), "{path}", strings.Join(segments, "/"), "{line}", fmt.Sprint(max(line, 1)),
		"(", "%28", ")", "%29", " ", "%20", "<", "%3C", ">", "%3E").Replace(template)
}

// linePath is where the hosts of a style show a line.
func (s Style) linePath() string {
	switch s {
	case StyleGitLab:
		return "/-/blob/{commit}/{path}#L{line}"
	case StylePlain:
		return "/src/{commit}/{path}#lines-{line}"
	case StyleGitHub:
	}
	return "/blob/{commit}/{path}#L{line}"
}

// headCommit is the hash of a source's head, "" where that is a folder as it stands.
func headCommit(r *plan.Report, source string) string {
	revision, known := r.Head.Revisions[source]
	if !known && len(r.Head.Revisions) == 1 {
		for _, revision = range r.Head.Revisions {
		}
	}
	ref, hash, found := strings.Cut(revision, "@")
	algorithm, digest, hasDigest := strings.Cut(hash, ":")
	if !found || !hasDigest || ref == "dir" || algorithm != "sha1" && algorithm != "sha256" {
		return ""
	}
	return digest
}

// splitPosition reads "file:line"; without a line it is 0.
func splitPosition(position string) (file string, line int) {
	at := strings.LastIndexByte(position, ':')
	if at < 0 {
		return position, 0
	}
	for _, d := range position[at+1:] {
		if d < '0' || d > '9' || line > 1<<24 {
			return position, 0
		}
		line = line*10 + int(d-'0')
	}
	return position[:at], line
}

// remarks are the findings that need no decision, and those that are true anyway.
func (m *markdown) remarks() []block {
	var infos []v1alpha1.Finding
	for _, f := range m.Findings {
		if f.Severity != v1alpha1.SeverityBlocker && f.Severity != v1alpha1.SeverityCaution {
			infos = append(infos, f)
		}
	}
	var all []block
	for _, list := range []struct {
		findings []v1alpha1.Finding
		title    string
	}{{infos, plural(len(infos), "remark", "remarks")}, {m.Standing, fmt.Sprintf("%d true with or without this change", len(m.Standing))}} {
		var lines []string
		for _, f := range list.findings {
			lines = append(lines, "- "+m.finding(f, ""))
		}
		if len(lines) > 0 {
			all = append(all, m.folded(list.title, false, "", lines, ""))
		}
	}
	return all
}

// folded is a block with a title that can be folded away, or a heading where there is no HTML.
func (m *markdown) folded(title string, open bool, before string, lines []string, after string) block {
	if m.style == StylePlain {
		return block{open: "#### " + title + "\n\n" + before, lines: lines, close: after}
	}
	tag := "<details>"
	if open {
		tag = "<details open>"
	}
	return block{open: tag + "<summary>" + title + "</summary>\n\n" + before, lines: lines, close: after + "</details>\n"}
}

// checks say what was looked at; nothing that was not gets a tick.
func (m *markdown) checks() []block {
	if len(m.Checks) == 0 || len(m.Clusters) == 0 {
		return nil
	}
	var short, lines []string
	for _, c := range m.Checks {
		if c.Checked+len(c.NotChecked) == 0 {
			continue
		}
		short = append(short, m.style.name(c.ID)+" "+checkSign(c))
		lines = append(lines, fmt.Sprintf("| %s | %d | %s |", cellProse(c.About), c.Checked, m.checkResult(c)))
	}
	if len(lines) == 0 {
		return nil
	}
	if n := m.Summary.SecretValues; n > 0 {
		short = append(short, plural(n, "secret value", "secret values")+" masked")
	}
	return []block{m.folded("Checks · "+strings.Join(short, " · "), false, "| check | clusters | result |\n|---|--:|---|\n", lines, "")}
}

func checkSign(c plan.ReportCheck) string {
	switch {
	case c.Severity == v1alpha1.SeverityBlocker:
		return "⛔"
	case c.Severity == v1alpha1.SeverityCaution:
		return "⚠️"
	case c.Severity == v1alpha1.SeverityInfo:
		return "ℹ️"
	case c.Checked == 0:
		return "not checked"
	case len(c.NotChecked) > 0:
		return "partly"
	}
	return "✅"
}

func (m *markdown) checkResult(c plan.ReportCheck) string {
	var parts []string
	switch {
	case c.Severity != "":
		parts = append(parts, strings.TrimSpace(checkSign(c)+" "+m.clusterCells(c.Failed)))
	case len(c.NotChecked) == 0:
		parts = append(parts, "✅")
	case c.Checked > 0:
		parts = append(parts, "nothing found on those")
	}
	if n := len(c.NotChecked); n > 0 {
		parts = append(parts, fmt.Sprintf("not checked on %d: the fleet file does not say enough", n))
	}
	return strings.Join(parts, " · ")
}
