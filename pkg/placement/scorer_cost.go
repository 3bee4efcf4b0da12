package placement

import (
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// costAnnotation is where a cluster states its price, as a decimal number of any unit.
const costAnnotation = "armada-sync.io/cost"

// cost gives 100 to the cheapest eligible cluster and 0 to the dearest, and what lies between in
// proportion: 100 · (greatest − price) / (greatest − least). The price is the annotation
// armada-sync.io/cost, or the one that args.annotation names; a cluster without one gets 0.
func cost(_ *query, use *v1alpha1.Scorer) (scoring, error) {
	annotation := use.Args["annotation"]
	if annotation == "" {
		annotation = costAnnotation
	}
	return func(a *attempt, scores []int64) {
		const unpriced = -1
		least, greatest := int64(unlimited), int64(0)
		for i, c := range a.eligible {
			scores[i] = unpriced
			price := c.Annotations[annotation]
			if v1alpha1.CheckQuantity(price) != nil {
				continue
			}
			q, err := resource.ParseQuantity(price)
			if err != nil || q.Sign() < 0 {
				continue
			}
			scores[i] = thousandths(q)
			least, greatest = min(least, scores[i]), max(greatest, scores[i])
		}
		for i := range scores {
			if scores[i] == unpriced {
				scores[i] = 0
				continue
			}
			scores[i] = proportion(greatest-scores[i], greatest-least)
		}
	}, nil
}
