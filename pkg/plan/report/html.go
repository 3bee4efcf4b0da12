package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

//go:embed html
var htmlFiles embed.FS

// HTML writes a report as one page that needs no network: its policy forbids the browser to load or run
// anything but what is in it. Without scripts everything can be read; with them it can be filtered.
func HTML(r plan.Report, o Options) ([][]byte, error) {
	style, err := htmlFiles.ReadFile("html/style.css")
	if err != nil {
		return nil, fmt.Errorf("print html: %w", err)
	}
	script, err := htmlFiles.ReadFile("html/script.js")
	if err != nil {
		return nil, fmt.Errorf("print html: %w", err)
	}
	t, err := template.ParseFS(htmlFiles, "html/page.tmpl")
	if err != nil {
		return nil, fmt.Errorf("print html: %w", err)
	}
	p := newHTMLPage(arrange(&r), o)
	// Both are part of this program, and no text of a report is in them.
	p.Style, p.Script = template.CSS(style), template.JS(script) //nolint:gosec // See above.
	p.Policy = fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; base-uri 'none'; form-action 'none'", hashOf(style), hashOf(script))
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("print html: %w", err)
	}
	return [][]byte{b.Bytes()}, nil
}

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// htmlPage is what the template shows. Every text in it is escaped by the template for where it stands.
type htmlPage struct {
	Policy, Title, Headline, About string
	Style                          template.CSS
	Script                         template.JS
	// RegionOfClusters is a JSON list: the region of each cluster, by its number.
	RegionOfClusters string
	Chips, Key       []htmlChip
	Clusters         []htmlCluster
	Regions          []htmlRegion
	// Named tells that the fleet is small enough to name each cluster in its overview.
	Named              bool
	FleetSize          string
	Findings, Standing []htmlFinding
	Tables             []htmlTable
	ChangesAbout       string
	Groups             []htmlGroup
	Lists              []htmlList
	Checks             []htmlCheck
	Links              []Link
	Command            string
	Digest, Masked     string

	scene *scene
	o     Options
	// number is the place of each cluster in Clusters.
	number map[string]int
}

type htmlChip struct{ Class, Text string }

type htmlCluster struct {
	Name, Region, Fate, Sign, Tip string
	Index, TabIndex               int
}

type htmlRegion struct {
	Name     string
	Clusters []htmlCluster
}

// htmlClusters is a list of clusters: in short, and all their names where the short form leaves some out.
type htmlClusters struct{ Short, More string }

type htmlCheck struct {
	About   string
	Checked int
	Result  string
}

type htmlList struct {
	Title   string
	Entries []htmlEntry
}

type htmlEntry struct{ Set, Name, Where, Text string }

// namedClusters is the largest fleet whose overview names every cluster.
const namedClusters = 60

func newHTMLPage(s *scene, o Options) *htmlPage {
	p := &htmlPage{scene: s, o: o, number: map[string]int{}, Links: o.Links, Command: command(s)}
	blockers, cautions := countFindings(s.Findings)
	p.Headline = fmt.Sprintf("%d of %d clusters change", s.Summary.Clusters.Changed, s.Summary.Clusters.Total)
	if !s.Changes() {
		p.Headline = "no changes"
	}
	p.Title = "Armada preview · " + p.Headline
	p.About = fmt.Sprintf("%s · base %s (merge-base) → head %s", s.size(), shortCommit(s.Base.Commit), shortCommit(s.Head.Commit))
	if taken := s.taken(); taken != "" {
		p.About += " · fleet snapshot " + taken
	}
	p.chips(blockers, cautions)
	p.fleet()
	p.Findings, p.Standing = p.findings(s.Findings), p.findings(s.Standing)
	for i := range s.tables {
		p.Tables = append(p.Tables, p.table(&s.tables[i]))
	}
	p.ChangesAbout = fmt.Sprintf("%s · +%d ~%d −%d objects", plural(len(s.groups), "group", "groups"), s.Summary.Objects.Create, s.Summary.Objects.Configure, s.Summary.Objects.Prune)
	for i := range s.groups {
		p.Groups = append(p.Groups, p.group(&s.groups[i]))
	}
	p.lists()
	for _, c := range s.Checks {
		if c.Checked+len(c.NotChecked) > 0 {
			p.Checks = append(p.Checks, htmlCheck{page.Scrub(c.About), c.Checked, p.checkResult(c)})
		}
	}
	if len(s.Snapshot.Digest) > 19 {
		p.Digest = page.Scrub(s.Snapshot.Digest[:19])
	}
	if n := s.Summary.SecretValues; n > 0 {
		p.Masked = plural(n, "secret value", "secret values") + " masked"
	}
	return p
}

func (p *htmlPage) chips(blockers, cautions int) {
	s := p.scene
	if blockers > 0 {
		p.Chips = append(p.Chips, htmlChip{"stop", "⛔ " + plural(blockers, "blocker", "blockers")})
	}
	if cautions > 0 {
		p.Chips = append(p.Chips, htmlChip{"warn", "⚠ " + plural(cautions, "caution", "cautions")})
	}
	if blockers+cautions == 0 {
		p.Chips = append(p.Chips, htmlChip{"", "no blockers, no cautions"})
	}
	for _, word := range s.tally() {
		p.Chips = append(p.Chips, htmlChip{"", word})
	}
	if s.Summary.Replicas != (plan.ReplicaCounts{}) {
		p.Chips = append(p.Chips, htmlChip{"", fmt.Sprintf("replicas %d → %d", s.Summary.Replicas.Before, s.Summary.Replicas.After)})
	}
	if n := s.Summary.PodsRestarted; n > 0 {
		p.Chips = append(p.Chips, htmlChip{"", "restarts " + plural(n, "pod", "pods")})
	}
}

// fleet shows every cluster by region, with what becomes of it.
func (p *htmlPage) fleet() {
	s := p.scene
	fates := s.fates()
	signs := map[fate]string{fateJoins: "+", fateLeaves: "−", fateRescaled: "~", fateReconfigured: "~"}
	byRegion := map[string]*htmlRegion{}
	regions := make([]string, 0, len(s.Clusters))
	p.Named = len(s.Clusters) <= namedClusters
	for i, c := range s.Clusters {
		f := fates[c.Name]
		h := htmlCluster{Name: page.Scrub(c.Name), Region: page.Scrub(c.Region), Fate: string(f), Sign: signs[f], Index: i, TabIndex: -1}
		if p.Named && h.Sign != "" {
			h.Sign += " "
		}
		h.Tip = h.Name
		for _, word := range []string{string(f), minorVersion(page.Scrub(c.Version))} {
			if word != "" {
				h.Tip += " · " + word
			}
		}
		p.number[c.Name] = i
		p.Clusters = append(p.Clusters, h)
		regions = append(regions, h.Region)
		if byRegion[h.Region] == nil {
			byRegion[h.Region] = &htmlRegion{Name: h.Region}
		}
		byRegion[h.Region].Clusters = append(byRegion[h.Region].Clusters, h)
	}
	for _, name := range sortedKeys(byRegion) {
		p.Regions = append(p.Regions, *byRegion[name])
	}
	if len(p.Regions) > 0 {
		// The Tab key stops at the first; arrows go on from there.
		p.Regions[0].Clusters[0].TabIndex = 0
	}
	raw, err := json.Marshal(regions)
	if err == nil {
		p.RegionOfClusters = string(raw)
	}
	p.FleetSize = fmt.Sprintf("%s, %d change", plural(s.Summary.Clusters.Total, "cluster", "clusters"), s.Summary.Clusters.Changed)
	used := map[fate]bool{}
	for _, f := range fates {
		used[f] = true
	}
	for _, f := range []fate{fateJoins, fateLeaves, fateRescaled, fateReconfigured} {
		if used[f] {
			p.Key = append(p.Key, htmlChip{string(f), string(f)})
		}
	}
	if len(fates) < len(s.Clusters) {
		p.Key = append(p.Key, htmlChip{"", "unchanged"})
	}
}

// set writes clusters as ranges of their numbers: "0-3,7". "*" stands for what is about none in
// particular.
func (p *htmlPage) set(names ...[]string) string {
	in := make([]bool, len(p.Clusters))
	any := false
	for _, list := range names {
		for _, name := range list {
			if i, known := p.number[name]; known {
				in[i], any = true, true
			}
		}
	}
	if !any {
		return "*"
	}
	var ranges []string
	for i := 0; i < len(in); i++ {
		if !in[i] {
			continue
		}
		from := i
		for i+1 < len(in) && in[i+1] {
			i++
		}
		if from == i {
			ranges = append(ranges, fmt.Sprint(from))
		} else {
			ranges = append(ranges, fmt.Sprintf("%d-%d", from, i))
		}
	}
	return strings.Join(ranges, ",")
}

func (p *htmlPage) clusters(names []string) htmlClusters {
	c := htmlClusters{Short: p.scene.where(names, ", ")}
	if all := page.Scrub(strings.Join(names, ", ")); all != c.Short {
		c.More = all
	}
	return c
}

// lists are what is held back and what has drifted.
func (p *htmlPage) lists() {
	held, drift := htmlList{Title: "Held back"}, htmlList{Title: "Drift, no part of this change"}
	for _, h := range p.scene.held {
		held.Entries = append(held.Entries, htmlEntry{
			p.set(h.Clusters), page.Scrub(h.Kind) + " " + title(h.ObjectReference), p.scene.where(h.Clusters, ", "),
			page.Scrub(fmt.Sprintf("%s: %s", h.Gate, h.Reason)),
		})
	}
	for _, d := range p.scene.Drift {
		drift.Entries = append(drift.Entries, htmlEntry{
			p.set(d.Clusters), page.Scrub(d.Kind) + " " + title(d.ObjectReference), p.scene.where(d.Clusters, ", "), page.Scrub(d.Reason),
		})
	}
	for _, l := range []htmlList{held, drift} {
		if len(l.Entries) > 0 {
			p.Lists = append(p.Lists, l)
		}
	}
}

func (p *htmlPage) checkResult(c plan.ReportCheck) string {
	var parts []string
	switch {
	case c.Severity != "":
		parts = append(parts, strings.TrimSpace(checkSign(c)+" "+p.scene.where(c.Failed, ", ")))
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
