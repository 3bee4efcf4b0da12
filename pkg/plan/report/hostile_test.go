package report_test

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// hostileTexts are what an attacker puts into a name, an annotation or a value, since every host of
// comments, every terminal and every browser takes some of it for its own.
func hostileTexts() []string {
	return []string{
		"@team", "@acme/owners", "#1", "acme/fleet#7", "GH-12", "!12", "~label", "www.evil.example.com", "http://evil.example.com/x",
		"user@evil.example.com", "[click](http://evil.example.com)", "![x](http://evil.example.com/x.png)", "<img src=x onerror=alert(1)>",
		"<script>alert(1)</script>", "</script><script>alert(1)</script>", "</details>", "</summary><b>", "<!-- armada-sync:preview v1 -->", "-->",
		"```", "````", "~~~", "``", "`", "a ``` b", "| a | b |", "|---|", "\\|", "\\", "**bold**", "__x__", "# heading", "- [ ] task", "> [!NOTE]", "* * *", "---", "===",
		"\x1b[2J", "\x1b]0;owned\a", "\u202egpj.exe", "\u200b", "\ufeff", "\u2028", "a\nb", "a\r\nb", "\t", "\x00", "\xff\xfe", "&lt;b&gt;", "&#64;team", "${{ secrets.X }}", "{{.X}}",
		"javascript:alert(1)", "\"><svg onload=alert(1)>", "' onmouseover='x", "%2e%2e%2f", "../../etc/passwd", "::set-output name=x::y", "::error::x", ":smile:", "[^1]: x", "[x]: http://evil.example.com",
		"日本語", "e\u0301", "🏴", "", " ", strings.Repeat("x", 300), strings.Repeat("`", 50), strings.Repeat("|", 40),
	}
}

// drawText is a plain name, a hostile text, or both.
func drawText(t *rapid.T, label string) string {
	plain := rapid.StringMatching(`[a-z][a-z0-9-]{0,20}`).Draw(t, label)
	switch rapid.IntRange(0, 3).Draw(t, label+" kind") {
	case 0:
		return rapid.SampledFrom(hostileTexts()).Draw(t, label+" text")
	case 1:
		return plain + rapid.SampledFrom(hostileTexts()).Draw(t, label+" text") + plain
	case 2:
		return rapid.StringN(0, 30, 120).Draw(t, label+" runes")
	}
	return plain
}

func drawReference(t *rapid.T) v1alpha1.ObjectReference {
	return v1alpha1.ObjectReference{APIVersion: drawText(t, "version"), Kind: drawText(t, "kind"), Namespace: drawText(t, "namespace"), Name: drawText(t, "name")}
}

func drawValue(t *rapid.T) any {
	switch rapid.IntRange(0, 5).Draw(t, "value kind") {
	case 0:
		return nil
	case 1:
		return int64(rapid.IntRange(0, 9).Draw(t, "number"))
	case 2:
		return map[string]any{drawText(t, "key"): drawText(t, "value"), "name": "x"}
	case 3:
		return []any{drawText(t, "item"), drawText(t, "item")}
	case 4:
		return strings.Join([]string{drawText(t, "line"), drawText(t, "line"), drawText(t, "line")}, "\n")
	}
	return drawText(t, "value")
}

func drawClusters(t *rapid.T, fleet []plan.ReportCluster) []string {
	from := rapid.IntRange(0, len(fleet)-1).Draw(t, "from")
	n := rapid.IntRange(1, len(fleet)-from).Draw(t, "clusters")
	var names []string
	for _, c := range fleet[from : from+n] {
		names = append(names, c.Name)
	}
	return names
}

// drawReport is a report such as Preview makes, of texts that it never would.
func drawReport(t *rapid.T) plan.Report {
	at := time.Date(2026, 3, 2, 14, 2, 0, 0, time.UTC)
	r := plan.Report{
		Base: plan.ReportRevision{Commit: drawText(t, "base")}, Head: plan.ReportRevision{Commit: drawText(t, "head"), Revisions: map[string]string{"shop": drawText(t, "revision")}},
		Snapshot: plan.ReportSnapshot{TakenAt: &at},
	}
	for i := range rapid.IntRange(1, 40).Draw(t, "fleet") {
		r.Clusters = append(r.Clusters, plan.ReportCluster{Name: fmt.Sprintf("c%02d%s", i, drawText(t, "cluster")), Region: drawText(t, "region"), Version: drawText(t, "k8s")})
	}
	r.Summary.Clusters.Total = len(r.Clusters)
	for range rapid.IntRange(0, 3).Draw(t, "placements") {
		r.Placements = append(r.Placements, drawPlacement(t, r.Clusters))
	}
	for i := range rapid.IntRange(0, 8).Draw(t, "groups") {
		r.Groups = append(r.Groups, drawGroup(t, fmt.Sprintf("G%d", i), r.Clusters))
	}
	for range rapid.IntRange(0, 5).Draw(t, "findings") {
		ref := drawReference(t)
		r.Findings = append(r.Findings, v1alpha1.Finding{
			ID:       rapid.SampledFrom([]string{plan.PruneData, plan.APINotServed, drawText(t, "id")}).Draw(t, "finding"),
			Severity: rapid.SampledFrom([]v1alpha1.Severity{v1alpha1.SeverityBlocker, v1alpha1.SeverityCaution, v1alpha1.SeverityInfo}).Draw(t, "severity"),
			Message:  drawText(t, "message") + " " + drawText(t, "message"), Source: drawText(t, "source") + ":3", Object: &ref, Clusters: drawClusters(t, r.Clusters),
		})
	}
	r.Held = append(r.Held, plan.ReportHeld{ObjectReference: drawReference(t), Gate: "held:prune-confirm", Reason: drawText(t, "reason"), Clusters: drawClusters(t, r.Clusters)})
	r.Drift = append(r.Drift, plan.ReportDrift{ObjectReference: drawReference(t), Reason: drawText(t, "reason"), Clusters: drawClusters(t, r.Clusters)})
	r.Checks = append(r.Checks, plan.ReportCheck{ID: drawText(t, "check"), About: drawText(t, "about"), Checked: 1})
	return r
}

func drawPlacement(t *rapid.T, fleet []plan.ReportCluster) plan.ReportPlacement {
	n := int64(rapid.IntRange(0, 9).Draw(t, "replicas"))
	p := plan.ReportPlacement{Workload: drawReference(t), Policy: plan.PolicyReference{Kind: drawText(t, "policy kind"), Name: drawText(t, "policy")}, Before: &n, After: &n, Error: drawText(t, "error")}
	for _, name := range drawClusters(t, fleet) {
		p.Clusters = append(p.Clusters, plan.ReportAssignment{
			Name: name, Before: &n, After: &n, Score: 5, Scores: map[string]int64{drawText(t, "scorer"): 3}, FilterBy: drawText(t, "filter"), Reasons: []string{drawText(t, "reason")},
			Action: rapid.SampledFrom([]plan.PlacementAction{plan.PlacementJoin, plan.PlacementLeave, plan.PlacementRescale, plan.PlacementStay}).Draw(t, "action"),
		})
	}
	p.Rejected = []plan.ReportRejection{{Filter: drawText(t, "filter"), Reason: drawText(t, "reason"), Clusters: drawClusters(t, fleet)}}
	return p
}

func drawGroup(t *rapid.T, id string, fleet []plan.ReportCluster) plan.ReportGroup {
	g := plan.ReportGroup{
		ID: id, Kind: plan.GroupExact, Clusters: drawClusters(t, fleet), Reason: drawText(t, "reason"),
		Action: rapid.SampledFrom([]v1alpha1.Action{v1alpha1.ActionConfigure, v1alpha1.ActionCreate, v1alpha1.ActionPrune}).Draw(t, "action"),
	}
	objects := 1
	if g.Action != v1alpha1.ActionConfigure {
		objects = rapid.IntRange(1, 6).Draw(t, "objects")
	}
	for range objects {
		g.Objects = append(g.Objects, plan.ReportObject{ObjectReference: drawReference(t), Gate: v1alpha1.Gate(drawText(t, "gate")), Storage: drawText(t, "storage")})
	}
	g.Object = g.Objects[0].ObjectReference
	if g.Action != v1alpha1.ActionConfigure {
		return g
	}
	origin := &render.Origin{Kind: render.OriginOverride, Name: drawText(t, "origin"), Rule: 1, Source: drawText(t, "origin source")}
	shape := rapid.Bool().Draw(t, "same shape")
	for range rapid.IntRange(0, 3).Draw(t, "fields") {
		f := plan.ReportField{Path: drawText(t, "path"), Origin: origin}
		if shape {
			g.Kind = plan.GroupSameShape
			for _, name := range g.Clusters {
				f.Values = append(f.Values, plan.ReportValue{Cluster: name, Old: drawValue(t), New: drawValue(t)})
			}
		} else {
			f.Old, f.New = drawValue(t), drawValue(t)
		}
		g.Fields = append(g.Fields, f)
	}
	return g
}
