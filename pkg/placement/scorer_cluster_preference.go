package placement

import (
	"fmt"

	"github.com/armada-sync/armada-sync/pkg/api/affinity"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// clusterPreference gives 100 · Σ weights of the preferences that match / Σ all weights.
func clusterPreference(_ *query, use *v1alpha1.Scorer) (scoring, error) {
	var terms []weightRule
	total := int64(0)
	for i := range use.Preferences {
		p := &use.Preferences[i]
		if p.Weight < 1 || p.Weight > 100 {
			return nil, fmt.Errorf("preferences[%d]: weight %d is not from 1 to 100", i, p.Weight)
		}
		m, err := affinity.Compile(&p.Affinity)
		if err != nil {
			return nil, fmt.Errorf("preferences[%d].affinity: %w", i, err)
		}
		terms = append(terms, weightRule{m, p.Weight})
		total += p.Weight
	}
	if total == 0 {
		return nil, fmt.Errorf("preferences are missing")
	}
	return func(a *attempt, scores []int64) {
		for i, c := range a.eligible {
			sum := int64(0)
			for j := range terms {
				if terms[j].matcher.Match(c.Cluster) {
					sum += terms[j].weight
				}
			}
			scores[i] = proportion(sum, total)
		}
	}, nil
}
