package placement

import "github.com/armada-sync/armada-sync/pkg/api/v1alpha1"

// locality gives 100 to clusters on which the workload is already. A fresh decision, which a
// rebalance asks for, does not look at where it is.
func locality(*query, *v1alpha1.Scorer) (scoring, error) {
	return func(a *attempt, scores []int64) {
		for i, c := range a.eligible {
			if c.placed && !a.query.fresh {
				scores[i] = maxScore
			}
		}
	}, nil
}
