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

// resourceBalance gives 100 to the least used cluster and 0 to the most used one, and what lies
// between in proportion: 100 · (free share − least) / (greatest − least), with the free share of
// resourceHeadroom. Where all are used alike all get 100.
func resourceBalance(*query, *v1alpha1.Scorer) (scoring, error) {
	return func(a *attempt, scores []int64) {
		items := a.scoredResources()
		least, greatest := int64(maxScore), int64(0)
		for i, c := range a.eligible {
			scores[i] = a.freeShare(c, items)
			least, greatest = min(least, scores[i]), max(greatest, scores[i])
		}
		for i := range scores {
			scores[i] = proportion(scores[i]-least, greatest-least)
		}
	}, nil
}

// proportion is 100·part/whole, and 100 where the whole is 0.
func proportion(part, whole int64) int64 {
	if whole == 0 {
		return maxScore
	}
	for part > unlimited/maxScore {
		part, whole = part/2, whole/2
	}
	return part * maxScore / whole
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
