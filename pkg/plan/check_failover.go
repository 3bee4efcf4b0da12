package plan

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// How many clusters are lost one after the other, and how many decisions about one workload on one cluster
// all of that may take.
const (
	maxLosses     = 12
	lossDecisions = 400_000
)

// loss asks what would become of some workloads if a cluster were lost.
type loss struct {
	planner *Planner
	trees   Trees
	// after is the fleet when the trees have been applied.
	after Snapshot
}

// reportFailover names workloads that the change leaves without a place to go when one cluster is lost. Asked
// is the planner itself, about the clusters with most replicas of what the change concerns.
func (v *preview) reportFailover() {
	if v.head.at == nil || v.base.at == nil {
		return
	}
	concerned, weight := v.atRisk()
	if len(concerned) == 0 {
		return
	}
	names := keys(weight)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(weight[b], weight[a]) })
	if n := v.losses(); n < len(names) {
		v.findings.add(finding{
			ID: NotChecked, Clusters: names[n:],
			Message: fmt.Sprintf("what becomes of workloads that change if one of these clusters is lost: only the %s with most of their replicas looked at", plural(n, "one is", "ones are")),
		})
		v.unasked = map[string]bool{}
		for _, name := range names[n:] {
			v.unasked[name] = true
		}
		names = names[:n]
	}
	head := v.lossOf(v.head, *v.head.at.snap)
	var base *loss
	for _, name := range names {
		lost := head.decide(name)
		for _, it := range concerned {
			why := lost.stranded(it.key)
			if why == "" || !slices.Contains(assigned(it.entry), name) {
				continue
			}
			if base == nil {
				base = v.lossOf(v.base, *v.base.at.snap)
			}
			if base.stranded(name, it.key) {
				// It was so before.
				continue
			}
			ref := it.ref
			v.findings.add(finding{
				ID: FailoverWouldViolate, Object: &ref, Clusters: []string{name},
				Source: it.owner.place, Repository: it.owner.source.Source,
				Message: fmt.Sprintf("if the cluster were lost, %s %s", ref, why),
			})
		}
	}
}

// losses is how many clusters there is time for.
func (v *preview) losses() int {
	cost := max(1, len(v.head.at.items)*len(v.head.at.clusters))
	return min(maxLosses, max(1, lossDecisions/cost))
}

// atRisk returns the workloads whose clusters, shares or policies the change touches and that could go
// elsewhere, and how many of their replicas each cluster has.
func (v *preview) atRisk() ([]*item, map[string]int64) {
	moved := map[v1alpha1.ObjectKey]bool{}
	for i := range v.report.Placements {
		moved[v.report.Placements[i].Workload.Key()] = true
	}
	var all []*item
	weight := map[string]int64{}
	for _, it := range v.head.at.items {
		if it.entry == nil || it.entry.Error != "" || it.entry.Replicas == nil || it.hold != "" || v.head.at.pinned(it) {
			continue
		}
		if !moved[it.key] && !v.newPlacement(it) {
			continue
		}
		if len(it.entry.Clusters) < 2 && len(it.owner.Spec.Placement.SpreadConstraints) == 0 {
			// Whoever asks for one cluster knows.
			continue
		}
		all = append(all, it)
		for _, a := range it.entry.Clusters {
			if a.Replicas != nil {
				weight[a.Name] += *a.Replicas
			}
		}
	}
	return all, weight
}

// newPlacement tells whether the policy of a workload asks for other places than before.
func (v *preview) newPlacement(it *item) bool {
	before := v.base.at.byKey[it.key]
	return before == nil || before.owner == nil || !reflect.DeepEqual(before.owner.Spec.Placement, it.owner.Spec.Placement)
}

// lossOf prepares the question for the fleet as it is when a plan has been carried out.
func (v *preview) lossOf(p *Plan, snap Snapshot) *loss {
	return &loss{planner: NewPlanner(Options{}), trees: p.Trees(), after: unguarded(NextSnapshot(p, snap))}
}

// decide asks for the places of everything without one cluster.
func (l *loss) decide(cluster string) *computation {
	snap, err := Assume(l.after, Assumptions{Down: []string{escapePattern(cluster)}})
	if err != nil {
		return nil
	}
	c := l.planner.begin(l.trees, snap)
	c.resolveScopes()
	c.bound()
	c.resolveClaims()
	c.resolveOwners()
	c.decide()
	return c
}

// escapePattern writes a name so that a pattern means it alone.
func escapePattern(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// stranded tells whether a workload that a cluster has would find no place without it.
func (l *loss) stranded(cluster string, key v1alpha1.ObjectKey) bool {
	return l.decide(cluster).stranded(key) != ""
}

// stranded says of a workload that it would have no place that its policy asks for; "": it would have one.
func (c *computation) stranded(key v1alpha1.ObjectKey) string {
	if c == nil {
		return ""
	}
	it := c.byKey[key]
	switch {
	case it == nil || it.entry == nil || it.entry.Stay != "":
		return ""
	case it.entry.Error != "":
		return "could not be placed anew: " + it.entry.Error
	case it.entry.Unassigned > 0:
		return fmt.Sprintf("would lack a place for %s", plural(it.entry.Unassigned, "replica", "replicas"))
	}
	return ""
}
