package placement

import (
	"fmt"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// external gives the score that someone else published on the cluster under the name args.name
// (status.externalScores), held to 0 to 100; a cluster without it gets 0.
func external(_ *query, use *v1alpha1.Scorer) (scoring, error) {
	name := use.Args["name"]
	if name == "" {
		return nil, fmt.Errorf("args.name says which of the clusters' externalScores to use, and is missing")
	}
	return func(a *attempt, scores []int64) {
		for i, c := range a.eligible {
			scores[i] = min(max(c.Status.ExternalScores[name], 0), maxScore)
		}
	}, nil
}
