package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// printPlanText writes a plan for people: where workloads go, what changes where, and what to know.
func printPlanText(p *Plan, o PrintOptions) ([]byte, error) {
	p = p.only(o.Cluster)
	out := page.New(o.Width, o.Color)
	for _, source := range slices.Sorted(maps.Keys(p.Revisions)) {
		out.Line("✔ %s at %s", page.Scrub(source), page.Scrub(shortRevision(p.Revisions[source])))
	}
	printRollouts(out, p)
	printPlacements(out, p)
	printChanges(out, p)
	printFindings(out, "FINDINGS", p.Findings)
	out.Blank()
	out.Words(page.Plain, "", 0, planSummary(p))
	return out.Bytes(), nil
}

// shortRevision shortens the hash of "main@sha1:…" to seven characters.
func shortRevision(revision string) string {
	ref, hash, found := strings.Cut(revision, ":")
	if !found || len(hash) <= 7 {
		return revision
	}
	return ref + ":" + hash[:7]
}

// printPlacements writes one block for each workload with replicas, and counts the objects that go
// whole by where they go.
func printPlacements(out *page.Page, p *Plan) {
	whole := map[string][]string{}
	for i := range p.Placements {
		e := &p.Placements[i]
		if e.Replicas == nil && e.Error == "" {
			names := make([]string, 0, len(e.Clusters))
			for _, a := range e.Clusters {
				names = append(names, a.Name)
			}
			where := clusterList(names)
			whole[where] = append(whole[where], objectName(e.Workload))
			continue
		}
		printPlacement(out, e)
	}
	if len(whole) == 0 {
		return
	}
	out.Blank()
	out.Styled(page.Head, "WHOLE TO EACH CLUSTER")
	for _, where := range slices.Sorted(maps.Keys(whole)) {
		out.Words(page.Plain, "  ", 2, cmp.Or(where, "no cluster")+":")
		out.Words(page.Plain, "    ", 4, strings.Join(firstFewInOrder(whole[where], 12), ", "))
	}
}

// firstFewInOrder returns up to n strings as they stand and counts the rest.
func firstFewInOrder(all []string, n int) []string {
	if len(all) <= n {
		return all
	}
	return append(slices.Clone(all[:n]), fmt.Sprintf("and %d more", len(all)-n))
}

func printPlacement(out *page.Page, e *PlacementEntry) {
	out.Blank()
	title := fmt.Sprintf("PLACEMENT  %s", objectName(e.Workload))
	about := fmt.Sprintf("replicas %s, clusters %d, %s", replicasOf(e.Replicas), len(e.Clusters), e.Strategy)
	out.Split(page.Head, title, about)
	width := 0
	for _, a := range e.Clusters {
		width = max(width, page.Columns(a.Name))
	}
	for _, a := range e.Clusters {
		text := fmt.Sprintf("score %d", a.Score)
		if len(a.Reasons) > 0 {
			text += "  " + page.Scrub(strings.Join(a.Reasons, "; "))
		}
		out.Words(page.Plain, fmt.Sprintf("    %s  %4s  ", page.Pad(page.Scrub(a.Name), width), replicasOf(a.Replicas)), 12, text)
	}
	for _, r := range e.Rejected {
		out.Words(page.Faint, "    not ", 8, fmt.Sprintf("%s: %s %s", clusterList(r.Clusters.Slice()), r.Filter, page.Scrub(r.Reason)))
	}
	if e.Unassigned > 0 {
		out.Line("    %d replicas found no place", e.Unassigned)
	}
	if e.Error != "" {
		out.Words(page.Remove, "    ✘ ", 6, page.Scrub(e.Error))
	}
}

// actionSign is the sign of an action in lists.
func actionSign(a v1alpha1.Action) (string, page.Style) {
	switch a {
	case v1alpha1.ActionCreate:
		return "+", page.Add
	case v1alpha1.ActionConfigure:
		return "~", page.Change
	case v1alpha1.ActionPrune:
		return "-", page.Remove
	case v1alpha1.ActionSkip:
		return "!", page.Faint
	case v1alpha1.ActionUnchanged:
	}
	return "=", page.Plain
}

// alike are changes that are the same on some clusters.
type alike struct {
	ref       v1alpha1.ObjectReference
	action    v1alpha1.Action
	gate      v1alpha1.Gate
	reason    string
	overrides string
}

// printChanges lists what happens, each change once with its clusters.
func printChanges(out *page.Page, p *Plan) {
	clusters := map[alike][]string{}
	for _, c := range p.Clusters {
		for _, ch := range c.Objects {
			if ch.Action == v1alpha1.ActionUnchanged {
				continue
			}
			key := alike{ch.ObjectReference, ch.Action, ch.Gate, ch.Reason, strings.Join(ch.Overrides, ", ")}
			clusters[key] = append(clusters[key], c.Name)
		}
	}
	if len(clusters) == 0 {
		return
	}
	blocks := map[string][]alike{}
	for key, names := range clusters {
		where := strings.Join(names, " ")
		blocks[where] = append(blocks[where], key)
	}
	for _, where := range slices.Sorted(maps.Keys(blocks)) {
		names := strings.Fields(where)
		out.Blank()
		out.Words(page.Head, fmt.Sprintf("CHANGES [%d]  ", len(names)), 4, clusterList(names))
		slices.SortFunc(blocks[where], func(a, b alike) int {
			return cmp.Or(
				a.ref.Compare(b.ref), strings.Compare(string(a.action), string(b.action)),
				strings.Compare(string(a.gate), string(b.gate)), strings.Compare(a.reason, b.reason),
				strings.Compare(a.overrides, b.overrides),
			)
		})
		for _, key := range blocks[where] {
			printChange(out, key)
		}
	}
}

func printChange(out *page.Page, key alike) {
	sign, style := actionSign(key.action)
	var about []string
	if key.gate != "" {
		about = append(about, "["+page.Scrub(string(key.gate))+"]")
	}
	if key.reason != "" {
		about = append(about, page.Scrub(key.reason))
	}
	if key.overrides != "" {
		about = append(about, "# "+page.Scrub(key.overrides))
	}
	out.Words(style, "  "+sign+" ", 8, objectName(key.ref)+"  "+strings.Join(about, " "))
}

// planSummary is the last line.
func planSummary(p *Plan) string {
	count, changed := map[v1alpha1.Action]int{}, 0
	for _, c := range p.Clusters {
		touched := false
		for _, ch := range c.Objects {
			count[ch.Action]++
			touched = touched || ch.Action != v1alpha1.ActionUnchanged && ch.Action != v1alpha1.ActionSkip
		}
		if touched {
			changed++
		}
	}
	if changed == 0 && count[v1alpha1.ActionSkip] == 0 {
		return fmt.Sprintf("Plan: no changes, %s as desired, %s.",
			plural(count[v1alpha1.ActionUnchanged], "object is", "objects are"), countFindings(p.Findings))
	}
	return fmt.Sprintf("Plan: %d to create, %d to configure, %d to prune, %d held, %d unchanged on %d of %d clusters; %s.",
		count[v1alpha1.ActionCreate], count[v1alpha1.ActionConfigure], count[v1alpha1.ActionPrune], count[v1alpha1.ActionSkip],
		count[v1alpha1.ActionUnchanged], changed, len(p.Clusters), countFindings(p.Findings))
}
