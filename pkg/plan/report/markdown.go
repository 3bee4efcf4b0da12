package report

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// Style is a flavour of markdown.
type Style string

// The styles. Plain has no HTML: for Bitbucket, Azure DevOps and mail.
const (
	StyleGitHub Style = "github"
	StyleGitLab Style = "gitlab"
	StylePlain  Style = "plain"
)

// Styles lists the flavours; the first is the default.
func Styles() []Style { return []Style{StyleGitHub, StyleGitLab, StylePlain} }

// maxBytes is what a comment holds on the hosts of a style. GitHub counts characters; bytes are on the
// safe side.
func (s Style) maxBytes() int {
	switch s {
	case StyleGitLab:
		return 1_000_000
	case StylePlain:
		return 32_768
	case StyleGitHub:
	}
	return 65_536
}

// MinBytes is the least that a part may be limited to: room for its head and for the longest line that
// must not be cut.
const MinBytes = 8192

// MarkerPrefix begins every part, so that a comment can be found again. The style plain says the same in
// a way that Markdown without HTML hides.
const MarkerPrefix = "<!-- armada-sync:preview "

// HasMarker tells whether a text is a part of a report in Markdown.
func HasMarker(text []byte) bool {
	return bytes.HasPrefix(text, []byte(MarkerPrefix)) || bytes.HasPrefix(text, []byte(markerPrefixPlain))
}

// markerPrefixPlain is a link definition, which Markdown does not show.
const markerPrefixPlain = "[//]: # (armada-sync:preview "

// detail is how much of the changes a comment shows. Header, findings, placements and every removal are
// there on each step.
type detail int

// The steps of the size ladder.
const (
	detailAll detail = iota
	// detailFolded leaves out lines that stay as they are.
	detailFolded
	// detailConcerned shows what changes only in groups with findings or removals.
	detailConcerned
	// detailTitles shows titles alone.
	detailTitles
	// detailSummary counts the groups that remove nothing.
	detailSummary
)

// maxParts is how many comments a report may become before its changes are only counted.
const maxParts = 8

// Markdown writes a report as a comment on a pull request, in as many parts as the limit asks for. Each
// part stands for itself: its fences and folds are closed, and it begins with a marker.
func Markdown(r plan.Report, o Options) ([][]byte, error) {
	m := newMarkdown(&r, o)
	for d := detailAll; d <= detailTitles; d++ {
		if body := join(m.blocks(d)); len(body) <= m.room() {
			return m.parts([]string{body}), nil
		}
	}
	bodies := pack(m.blocks(detailTitles), m.room())
	if len(bodies) > maxParts {
		bodies = pack(m.blocks(detailSummary), m.room())
	}
	return m.parts(bodies), nil
}

type markdown struct {
	*scene
	o     Options
	style Style
	limit int
}

func newMarkdown(r *plan.Report, o Options) *markdown {
	m := &markdown{scene: arrange(r), o: o, style: o.Style, limit: o.MaxBytes}
	if m.style == "" {
		m.style = StyleGitHub
	}
	if m.limit == 0 {
		m.limit = m.style.maxBytes()
	}
	m.limit = max(m.limit, MinBytes)
	return m
}

// room is what a part has for everything but its head.
func (m *markdown) room() int { return m.limit - len(m.partHead(9999, 9999)) }

func (m *markdown) parts(bodies []string) [][]byte {
	parts := make([][]byte, len(bodies))
	for i, body := range bodies {
		parts[i] = []byte(m.partHead(i+1, len(bodies)) + body)
	}
	return parts
}

// partHead is the marker, and from the second part on a heading.
func (m *markdown) partHead(n, of int) string {
	about := "v1"
	if m.o.Project != "" {
		about += " repo=" + markerWord(m.o.Project)
	}
	if m.o.PullRequest != "" {
		about += " pr=" + markerWord(m.o.PullRequest)
	}
	about += fmt.Sprintf(" part=%d/%d", n, of)
	head := MarkerPrefix + about + " -->\n"
	if m.style == StylePlain {
		head = markerPrefixPlain + about + ")\n\n"
	}
	if n > 1 {
		head += fmt.Sprintf("## Armada preview · part %d of %d\n\n", n, of)
	}
	return head
}

// markerWord keeps a word from ending the marker.
func markerWord(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '/' || r == '.' || r == '_' {
			return r
		}
		return '-'
	}, text[:min(len(text), maxName)])
}

// blocks is the whole comment at one step of the ladder.
func (m *markdown) blocks(d detail) []block {
	all := []block{m.header()}
	all = append(all, m.alerts()...)
	for i := range m.tables {
		all = append(all, m.placement(&m.tables[i]))
	}
	all = append(all, m.changes(d)...)
	all = append(all, m.heldBack()...)
	all = append(all, m.drift()...)
	all = append(all, m.remarks()...)
	all = append(all, m.checks()...)
	return append(all, m.footer(d))
}

func (m *markdown) header() block {
	blockers, cautions := countFindings(m.Findings)
	head := "## Armada preview"
	if blockers > 0 {
		head += " · ⛔ " + plural(blockers, "blocker", "blockers")
	}
	if cautions > 0 {
		head += " · ⚠️ " + plural(cautions, "caution", "cautions")
	}
	if blockers+cautions == 0 {
		head += " · no blockers, no cautions"
	}
	return block{open: head + "\n\n" + m.counts() + "\n" + m.subscript(m.about()) + "\n"}
}

// counts is the one line that most readers need.
func (m *markdown) counts() string {
	if !m.Changes() && len(m.Held) == 0 {
		return fmt.Sprintf("**No changes**: every one of %s gets from the head what it gets from the base.", plural(m.Summary.Clusters.Total, "cluster", "clusters"))
	}
	parts := []string{fmt.Sprintf("**%d of %d clusters change**", m.Summary.Clusters.Changed, m.Summary.Clusters.Total)}
	parts = append(parts, m.tally()...)
	s := m.Summary
	parts = append(parts, fmt.Sprintf("objects `+%d ~%d −%d`", s.Objects.Create, s.Objects.Configure, s.Objects.Prune))
	if s.Replicas != (plan.ReplicaCounts{}) {
		parts = append(parts, fmt.Sprintf("replicas %d → %d", s.Replicas.Before, s.Replicas.After))
	}
	if s.PodsRestarted > 0 {
		parts = append(parts, "restarts "+plural(s.PodsRestarted, "pod", "pods"))
	}
	return strings.Join(parts, " · ")
}

// about says what was compared, on which fleet.
func (m *markdown) about() string {
	text := fmt.Sprintf("%s · base %s (merge-base) → head %s", m.size(), code(shortCommit(m.Base.Commit)), code(shortCommit(m.Head.Commit)))
	if taken := m.taken(); taken != "" {
		return text + " · fleet snapshot " + taken
	}
	return text
}

func (m *markdown) subscript(text string) string {
	if m.style == StylePlain {
		return "\n" + text
	}
	return "<sub>" + text + "</sub>"
}

// footer leads to more, and says how to see the same.
func (m *markdown) footer(d detail) block {
	var parts []string
	for _, l := range m.o.Links {
		parts = append(parts, fmt.Sprintf("[%s](%s)", prose(l.Label), l.URL))
	}
	parts = append(parts, "locally: "+code(command(m.scene)))
	text := strings.Join(parts, " · ")
	var notes []string
	switch d {
	case detailAll:
	case detailFolded:
		notes = append(notes, "lines that stay as they are are left out, to fit in a comment")
	case detailConcerned, detailTitles, detailSummary:
		notes = append(notes, "details are left out, to fit in a comment")
	}
	switch m.o.Bar {
	case v1alpha1.SeverityBlocker:
		notes = append(notes, "the check `"+CheckName+"` fails on ⛔ only")
	case v1alpha1.SeverityCaution:
		notes = append(notes, "the check `"+CheckName+"` fails on ⛔ and ⚠️")
	case v1alpha1.SeverityInfo:
		notes = append(notes, "the check `"+CheckName+"` fails on every finding")
	}
	if len(notes) > 0 {
		text += "\n" + m.subscript(strings.Join(notes, " · "))
	}
	return block{open: text + "\n"}
}

// command computes the same report, given a fleet file.
func command(s *scene) string {
	text := "armada-sync preview --base " + shortCommit(s.Base.Commit)
	if !strings.HasPrefix(s.Head.Commit, "dir@") {
		text += " --head " + shortCommit(s.Head.Commit)
	}
	return text
}
