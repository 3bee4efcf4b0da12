package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// addTargets sends an item to more clusters. Where it goes anyway only the permissions are merged: it
// is suspended there only if everything that sends it is, and adopts if anything that sends it may.
func (it *item) addTargets(more []target) {
	for _, t := range more {
		i, found := it.targetIndex(t.cluster)
		if found {
			it.targets[i].suspended = it.targets[i].suspended && t.suspended
			it.targets[i].adopt = it.targets[i].adopt || t.adopt
			continue
		}
		it.targets = slices.Insert(it.targets, i, target{cluster: t.cluster, suspended: t.suspended, adopt: t.adopt})
	}
}

func (it *item) targetIndex(cluster int) (int, bool) {
	return slices.BinarySearchFunc(it.targets, cluster, func(t target, n int) int { return cmp.Compare(t.cluster, n) })
}

// goesTo tells whether a cluster is among the targets.
func (it *item) goesTo(cluster int) bool {
	_, ok := it.targetIndex(cluster)
	return ok
}

// followDependencies sends what a workload refers to along with it where its policy asks for that.
// While a workload's own decision is in doubt, so is where its dependencies belong.
func (c *computation) followDependencies() {
	for _, it := range c.items {
		if it.owner == nil || !it.owner.Spec.PropagateDeps || !c.leads(it) {
			continue
		}
		for _, key := range it.traits.needs {
			need := c.byKey[key]
			if need == nil || !reaches(it.owner.source, need.source.Source) {
				continue
			}
			c.follow(need, it)
		}
	}
}

// follow makes an item go where another goes, or stay where it is while that one is held.
func (c *computation) follow(it, leader *item) {
	if it.denied != "" {
		return
	}
	if leader.hold != "" {
		it.removalHold = cmp.Or(it.removalHold, leader.hold)
		if it.hold == Unclaimed && leader.hold != Unclaimed {
			// It would follow, if it were known where to.
			it.hold = leader.hold
		}
		return
	}
	targets := c.within(it, leader.targets)
	it.addTargets(targets)
	if it.owner == nil && len(targets) > 0 {
		it.hold = ""
	}
}

// followNamespaces sends each namespace of Git wherever something in it goes. It needs no policy.
func (c *computation) followNamespaces() {
	namespaces := map[string]*item{}
	for _, it := range c.items {
		if isNamespace(it.ref) {
			namespaces[it.ref.Name] = it
		}
	}
	for _, it := range c.items {
		if ns := namespaces[it.ref.Namespace]; ns != nil && it.ref.Namespace != "" && c.leads(it) {
			c.follow(ns, it)
		}
	}
}

func isNamespace(r v1alpha1.ObjectReference) bool { return r.Kind == "Namespace" && r.Group() == "" }

// findAutoscalers marks the workloads whose replicas an autoscaler of the plan owns.
func (c *computation) findAutoscalers() {
	for _, it := range c.items {
		if it.traits.scales == nil || it.owner == nil || it.denied != "" {
			continue
		}
		scaled := c.byKey[*it.traits.scales]
		if scaled == nil {
			continue
		}
		scaled.scaler = it
		ref := scaled.ref
		c.findings.add(finding{
			ID: HPAOwned, Message: fmt.Sprintf("%s owns the replicas of %s; its share is only where it starts", it.ref, ref),
			Source: it.Origin.Source, Object: &ref, Repository: it.source.Source,
		})
	}
}

// reportAutoscalers names those that go to several clusters, each with the whole maximum.
func (c *computation) reportAutoscalers() {
	for _, it := range c.items {
		if it.traits.scales == nil || len(it.targets) < 2 {
			continue
		}
		ref := it.ref
		c.findings.add(finding{
			ID:      HPAMultiplied,
			Message: fmt.Sprintf("%s goes to %d clusters and may scale to its maximum on each", ref, len(it.targets)),
			Source:  it.Origin.Source, Object: &ref, Repository: it.source.Source, Clusters: c.names(it.targets),
		})
	}
}

func (c *computation) names(targets []target) []string {
	names := make([]string, 0, len(targets))
	for _, t := range targets {
		names = append(names, c.clusters[t.cluster].Name)
	}
	return names
}
