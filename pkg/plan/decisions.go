package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
)

// decide asks placement for clusters and shares. CRDs come first, since where they go decides where
// the objects of their kinds can; everything else is decided together, so that no capacity is promised
// twice.
func (c *computation) decide() {
	c.findAutoscalers()
	c.pacer = c.newPacer()
	var crds, rest []*item
	for _, it := range c.items {
		switch {
		case it.owner == nil:
		case it.traits.defines != nil:
			crds = append(crds, it)
		default:
			rest = append(rest, it)
		}
	}
	classes := c.priorityClasses()
	memory := &c.planner.cache.decisions
	c.schedule(crds, classes, nil, &memory[0])
	c.schedule(rest, classes, c.crdTargets(crds), &memory[1])
}

// schedule decides about some items and gives them their targets.
func (c *computation) schedule(items []*item, classes map[string]int32, served map[groupKind]map[string]bool, memory *placement.Memory) {
	requests := make([]placement.Request, 0, len(items))
	for _, it := range items {
		requests = append(requests, c.request(it, classes, served))
	}
	asked := len(c.asked)
	decisions := c.placements(requests, memory)
	if c.pace(items, requests, decisions) {
		requests = slices.Clone(requests) // the first ones belong to the memory now
		for i, it := range items {
			if it.stay != "" {
				if runsPods(it) {
					c.staying = append(c.staying, it)
				}
				requests[i].Stay = it.stay
				requests[i].Previous = c.previous(it)
			}
		}
		c.asked = c.asked[:asked]
		decisions = c.placements(requests, memory)
	}
	for i, it := range items {
		c.accept(it, decisions[i])
	}
}

// request asks for a place for one item.
func (c *computation) request(it *item, classes map[string]int32, served map[groupKind]map[string]bool) placement.Request {
	facts := it.traits.facts
	if err := it.traits.unreadable; err != nil {
		ref := it.ref
		it.hold = v1alpha1.FindingInvalidDocument
		c.findings.add(finding{
			ID: v1alpha1.FindingInvalidDocument, Message: fmt.Sprintf("%s: %v; it stays as it is", ref, err),
			Source: it.Origin.Source, Object: &ref, Repository: it.source.Source,
		})
	}
	it.facts = facts
	r := placement.Request{
		Workload: it.ref, Labels: it.GetLabels(), Replicas: facts.Replicas, Requests: facts.Requests,
		Bound: c.placementBound(it), Refused: c.refusal(it),
		Strategy: &it.owner.Spec.Placement, PolicyPriority: it.owner.priority(), Indivisible: facts.Indivisible,
		Pinned: c.pinned(it), CRDOnClusters: served[groupKind{it.key.Group, it.key.Kind}],
		Previous: c.previous(it), Held: c.holders(it), Unschedulable: c.unschedulable(it),
	}
	if p := it.owner.Spec.SchedulePriority; p != nil {
		r.ClassPriority = classes[p.PriorityClassName]
	}
	return r
}

// pinned tells whether a workload never moves by taints or application failover.
func (c *computation) pinned(it *item) bool {
	if it.traits.neverMoves {
		return true
	}
	if it.facts.PinnedOnceStarted {
		return len(it.copies) > 0
	}
	if it.key.Group == "batch" && it.key.Kind == "CronJob" {
		return !c.holdersReachable(it)
	}
	if !it.facts.Stateful {
		return false
	}
	return !recreated(it) || !c.holdersReachable(it)
}

func (c *computation) holdersReachable(it *item) bool {
	return !slices.ContainsFunc(it.copies, func(o copyOn) bool { return !c.reachable(o.cluster) })
}

// unschedulable returns how many pods of a workload have found no node for long, by cluster.
func (c *computation) unschedulable(it *item) map[string]int64 {
	var counts map[string]int64
	for _, o := range it.copies {
		if n := o.held.Detail().Unschedulable; n > 0 {
			if counts == nil {
				counts = map[string]int64{}
			}
			counts[c.clusters[o.cluster].Name] = n
		}
	}
	return counts
}

// holders names the clusters that hold an object.
func (c *computation) holders(it *item) map[string]bool {
	names := make(map[string]bool, len(it.copies))
	for _, o := range it.copies {
		names[c.clusters[o.cluster].Name] = true
	}
	return names
}

// previous returns what was decided before. Where no record is left, what members hold says it.
func (c *computation) previous(it *item) *placement.Previous {
	if r := c.recorded[it.key]; r != nil {
		p := &placement.Previous{
			Clusters: r.Spec.Clusters, AffinityGroup: r.Spec.AffinityGroup, Inputs: r.Spec.Inputs, Evicting: c.evicting(it),
		}
		if r.Spec.RebalanceAt != nil {
			p.RebalanceAt = &r.Spec.RebalanceAt.Time
		}
		if r.Status.FailbackSince != nil {
			p.FailbackSince = &r.Status.FailbackSince.Time
		}
		if r.Status.ImbalanceSince != nil {
			p.ImbalanceSince = &r.Status.ImbalanceSince.Time
		}
		if r.Status.RebalancedAt != nil {
			p.RebalancedAt = &r.Status.RebalancedAt.Time
		}
		return p
	}
	p := &placement.Previous{}
	for _, o := range it.copies {
		p.Clusters = append(p.Clusters, v1alpha1.TargetCluster{Name: c.clusters[o.cluster].Name, Replicas: o.held.Replicas})
	}
	if len(p.Clusters) == 0 {
		return nil
	}
	return p
}

// accept turns a decision into targets. One that failed holds everything where it is.
func (c *computation) accept(it *item, d placement.Decision) {
	it.entry = &PlacementEntry{Workload: it.ref, Source: it.source.Source, Policy: it.owner.reference(), Decision: d, Stay: it.stay}
	if it.denied == "" {
		c.noteDecision(it, d)
	}
	if it.hold != "" {
		return
	}
	if d.Error != "" {
		it.hold = errorFinding(d)
		return
	}
	divided := strings.HasPrefix(d.Strategy, string(v1alpha1.Divided)) && len(it.facts.ReplicasField) > 0
	it.targets = make([]target, 0, len(d.Clusters))
	for _, a := range d.Clusters {
		t := target{
			cluster: c.clusterN[a.Name], suspended: suspended(it.owner, a.Name),
			adopt: it.owner.Spec.ConflictResolution == v1alpha1.ConflictOverwrite,
		}
		if divided {
			t.replicas = a.Replicas
		}
		it.targets = append(it.targets, t)
	}
	slices.SortFunc(it.targets, func(a, b target) int { return a.cluster - b.cluster })
	if divided {
		c.divideCompletions(it)
	}
}

// errorFinding returns the id of the finding that says why a decision failed.
func errorFinding(d placement.Decision) string {
	for _, n := range d.Notes {
		if id := noteFinding(n); reportedElsewhere[id] {
			return id
		}
	}
	return NoClusterMatches
}

// noteFinding returns the id of the finding that a remark becomes: one without is about a placement that
// cannot be read.
func noteFinding(n placement.Note) string { return cmp.Or(n.ID, v1alpha1.FindingInvalidPolicy) }

// noteDecision turns the remarks of a decision into findings; an error is one in any case.
func (c *computation) noteDecision(it *item, d placement.Decision) {
	ref := it.ref
	said := false
	for _, n := range d.Notes {
		f := finding{
			ID: noteFinding(n), Message: fmt.Sprintf("%s: %s", ref, n.Message), Clusters: n.Clusters, Object: &ref,
			Source: it.owner.place, Repository: it.owner.source.Source,
		}
		if d.Error != "" && f.ID == errorFinding(d) {
			// Whatever it is about elsewhere, here it leaves the workload without a place.
			f.Severity, said = v1alpha1.SeverityBlocker, true
		}
		c.findings.add(f)
	}
	if d.Error != "" && !said {
		c.findings.add(finding{
			ID: errorFinding(d), Severity: v1alpha1.SeverityBlocker, Message: fmt.Sprintf("%s: %s", ref, d.Error), Object: &ref,
			Source: it.owner.place, Repository: it.owner.source.Source,
		})
	}
}

// priorityClasses returns the values of the PriorityClasses of the trees by name.
func (c *computation) priorityClasses() map[string]int32 {
	// The two that every cluster has.
	values := map[string]int32{"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}
	for _, it := range c.items {
		if it.denied != "" || it.key.Kind != "PriorityClass" || it.key.Group != "scheduling.k8s.io" {
			continue
		}
		if v, found := integerAt(it.Unstructured.Object, "value"); found {
			values[it.ref.Name] = int32(min(max(v, -1<<31), 1<<31-1))
		}
	}
	return values
}

// crdTargets returns, by the kind that it defines, where each CRD of the plan goes or is held.
func (c *computation) crdTargets(crds []*item) map[groupKind]map[string]bool {
	served := map[groupKind]map[string]bool{}
	for _, it := range crds {
		names := c.holders(it)
		for _, t := range it.targets {
			names[c.clusters[t.cluster].Name] = true
		}
		served[*it.traits.defines] = names
	}
	return served
}
