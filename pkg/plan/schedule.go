package plan

import (
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
)

// placements decides about requests together and returns the decisions in their order. What nothing has
// touched since the last time is taken from memory.
func (c *computation) placements(requests []placement.Request, memory *placement.Memory) []placement.Decision {
	if c.fleet == nil {
		c.fleet = placement.NewFleet(c.snap.Clusters, c.snap.Now, placement.Options{
			ImplicitTolerationSeconds: c.config.Failover.ImplicitTolerationSeconds,
			FailbackAfter:             c.config.Failover.FailbackAfter.Duration,
		})
	}
	if c.explained {
		c.asked = append(c.asked, requests)
	}
	byKey := make(map[v1alpha1.ObjectKey]placement.Decision, len(requests))
	for _, d := range memory.Schedule(requests, c.fleet) {
		byKey[d.Workload.Key()] = d
	}
	decisions := make([]placement.Decision, len(requests))
	for i, r := range requests {
		decisions[i] = byKey[r.Workload.Key()]
	}
	return decisions
}

// divideCompletions gives each cluster of a divided Job its share of the completions.
func (c *computation) divideCompletions(it *item) {
	if it.key.Group != "batch" || it.key.Kind != "Job" {
		return
	}
	completions, found := integerAt(it.Unstructured.Object, "spec", "completions")
	if !found {
		return
	}
	shares := make([]int64, len(it.targets))
	for i, t := range it.targets {
		shares[i] = *t.replicas
	}
	for i, n := range placement.Completions(completions, shares) {
		it.targets[i].completions = &n
	}
}
