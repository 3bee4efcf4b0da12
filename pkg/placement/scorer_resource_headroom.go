package placement

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// resourceHeadroom gives the share of the cluster that is free after one more replica:
// 100 · (free − request) / allocatable of the scarcest resource that the workload asks for, cpu and
// memory where it asks for none. A cluster that does not say what it can hold gets 0.
func resourceHeadroom(*query, *v1alpha1.Scorer) (scoring, error) {
	return func(a *attempt, scores []int64) {
		items := a.scoredResources()
		for i, c := range a.eligible {
			scores[i] = a.freeShare(c, items)
		}
	}, nil
}

// scoredResources are what the workload asks for, else cpu and memory with amount 0.
func (a *attempt) scoredResources() []demandItem {
	if len(a.query.demand.items) > 0 {
		return a.query.demand.items
	}
	var items []demandItem
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if r, ok := a.fleet.resources[name]; ok {
			items = append(items, demandItem{r, 0})
		}
	}
	return items
}

// freeShare is the free part of a cluster in percent after one more replica, 0 where unknown.
func (a *attempt) freeShare(c *candidate, items []demandItem) int64 {
	if !c.supply.known || len(items) == 0 || a.query.demand.unmet {
		return 0
	}
	share := int64(maxScore)
	for _, item := range items {
		if item.resource >= len(c.supply.allocatable) || c.supply.allocatable[item.resource] == 0 {
			return 0
		}
		free := subAmounts(a.ledger.free(c.index, item.resource), item.amount)
		share = min(share, proportion(free, c.supply.allocatable[item.resource]))
	}
	return share
}
