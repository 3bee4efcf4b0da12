package plan

import (
	"fmt"
	"slices"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// standsAlone tells of an item that two copies of it must never run, not even for a moment and not even
// when the cluster of one cannot be reached: a CronJob would run every job twice, and what holds state and may
// be recreated could write twice.
func (c *computation) standsAlone(it *item) bool {
	return it.key.Group == "batch" && it.key.Kind == "CronJob" || it.facts.Stateful && recreated(it)
}

// recreated tells that a policy lets what holds state move, by being removed and made anew.
func recreated(it *item) bool {
	if it.owner == nil {
		return false
	}
	f := it.owner.Spec.Failover
	return f != nil && f.Cluster != nil && f.Cluster.Stateful == v1alpha1.StatefulRecreate
}

// wasLeftOn tells that a policy left an old copy on a cluster when the workload was moved away from there, and
// still leaves old copies: it stays when what drove the workload away is over.
func (c *computation) wasLeftOn(it *item, cluster int) bool {
	record := c.recorded[it.key]
	if record == nil || it.owner == nil || !slices.Contains(record.Status.LeftOn, c.clusters[cluster].Name) {
		return false
	}
	f := it.owner.Spec.Failover
	return f != nil && (f.Cluster != nil && f.Cluster.PurgeMode == v1alpha1.PurgeNever ||
		f.Application != nil && f.Application.PurgeMode == v1alpha1.PurgeNever)
}

// recordLeftOn returns the clusters that keep an old copy of an item since its policy says so. Of one that has
// not told what it holds, the record counts.
func (c *computation) recordLeftOn(it *item) []string {
	names := slices.Clone(it.leftOn)
	if record := c.recorded[it.key]; record != nil {
		for _, name := range record.Status.LeftOn {
			if i, known := c.clusterN[name]; known && !c.member(i).Known && !it.goesTo(i) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// awaitRemovals makes new copies of what is removed first wait while another cluster has an old one: also
// where that is being deleted, or stays for a reason of its own.
func (c *computation) awaitRemovals() {
	for i := range c.changes {
		for j := range c.changes[i] {
			ch := &c.changes[i][j]
			it := ch.pair.item
			if it == nil || it.owner == nil || it.goesTo(i) || c.purge(it, i) != v1alpha1.PurgeDirectly {
				continue
			}
			held, _ := it.held(i)
			switch {
			case ch.Action == v1alpha1.ActionPrune:
				if ch.Gate == "" {
					ch.Reason = c.whyFirst(it)
				}
				c.awaitRemoval(it, i)
			case c.standsAlone(it), held.Terminating && c.reachable(i):
				c.awaitRemoval(it, i)
			case ch.Gate == v1alpha1.GateMove.Of(moveUnreachable):
				c.reportRunsTwice(it, i)
			}
		}
	}
}

// whyFirst says why an old copy of an item is removed before a new one is made.
func (c *computation) whyFirst(it *item) string {
	if c.standsAlone(it) {
		return "it is removed before it is made elsewhere, since two copies must not run"
	}
	return "its policy removes the old copy first (purgeMode: Directly)"
}

// awaitRemoval makes the new copies of an item wait until the one on a cluster is gone.
func (c *computation) awaitRemoval(it *item, cluster int) {
	name := c.clusters[cluster].Name
	reason := "waits until the copy on " + name + " is gone"
	if !c.reachable(cluster) {
		reason += ", which cannot be reached"
	}
	waits := false
	for _, t := range it.targets {
		for j := range c.changes[t.cluster] {
			ch := &c.changes[t.cluster][j]
			if ch.pair.item == it && ch.Action == v1alpha1.ActionCreate {
				ch.Gate, ch.Reason, waits = v1alpha1.GateMove.Of(movePurge), reason, true
				it.awaits = append(it.awaits, v1alpha1.ClusterMessage{Cluster: c.clusters[t.cluster].Name, Message: "the new copy " + reason})
			}
		}
	}
	if !waits || c.reachable(cluster) {
		return
	}
	ref := it.ref
	c.findings.add(finding{
		ID: FailoverBlocked, Object: &ref, Clusters: []string{name}, Source: it.owner.place, Repository: it.owner.source.Source,
		Message: fmt.Sprintf("%s is not made elsewhere: %s cannot be reached, and two copies of it must not run", ref, name),
	})
}

// reportRunsTwice warns that the policy wants the old copy of an item removed first, and that its cluster
// cannot be reached, so that both may run.
func (c *computation) reportRunsTwice(it *item, cluster int) {
	ref, name := it.ref, c.clusters[cluster].Name
	c.findings.add(finding{
		ID: RunsTwice, Object: &ref, Clusters: []string{name}, Source: it.owner.place, Repository: it.owner.source.Source,
		Message: fmt.Sprintf("%s is made elsewhere before its copy on %s is removed (purgeMode: Directly): the cluster cannot be reached, and both copies may run until it can", ref, name),
	})
}
