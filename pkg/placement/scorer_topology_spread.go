package placement

import (
	"fmt"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// The arguments of TopologySpread and what they default to.
const (
	argGroupByLabel  = "groupByLabelKey"
	argTopology      = "topology"
	defaultGroupedBy = "app.kubernetes.io/part-of"
)

// topologySpread gives 100 · (1 − n/N) where n is how many other workloads of the group are in the
// cluster's region (args.topology: cluster, region, zone or provider) and N the greatest n of an
// eligible cluster. The group is the value of the workload's label args.groupByLabelKey; its default
// is the key of the policy's antiAffinity, else app.kubernetes.io/part-of.
func topologySpread(q *query, use *v1alpha1.Scorer) (scoring, error) {
	key, topology := topologySpreadArgs(q, use)
	switch topology {
	case v1alpha1.SpreadByCluster, v1alpha1.SpreadByRegion, v1alpha1.SpreadByZone, v1alpha1.SpreadByProvider:
	default:
		return nil, fmt.Errorf("args.topology %q is none of cluster, region, zone, provider", topology)
	}
	by := v1alpha1.SpreadConstraint{SpreadByField: topology}
	return func(a *attempt, scores []int64) {
		where := a.neighbours.of(q.Workload.Namespace, key, q.Labels[key])
		nearby := map[string]int64{}
		if where != nil {
			for i := range a.fleet.clusters {
				if where.count[i] > 0 {
					for _, g := range groupsOf(&a.fleet.clusters[i], &by) {
						nearby[g] += int64(where.count[i])
					}
				}
			}
		}
		most := int64(0)
		for i, c := range a.eligible {
			for _, g := range groupsOf(c.cluster, &by) {
				scores[i] += nearby[g]
			}
			most = max(most, scores[i])
		}
		for i := range scores {
			scores[i] = proportion(most-scores[i], most)
		}
	}, nil
}

func topologySpreadArgs(q *query, use *v1alpha1.Scorer) (key string, topology v1alpha1.SpreadField) {
	key, topology = use.Args[argGroupByLabel], v1alpha1.SpreadField(use.Args[argTopology])
	if w := q.Strategy.WorkloadAffinity; key == "" && w != nil && w.AntiAffinity != nil {
		key = w.AntiAffinity.GroupByLabelKey
	}
	if key == "" {
		key = defaultGroupedBy
	}
	if topology == "" {
		topology = v1alpha1.SpreadByRegion
	}
	return key, topology
}
