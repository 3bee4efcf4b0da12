package placement

import "github.com/armada-sync/armada-sync/pkg/api/v1alpha1"

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
