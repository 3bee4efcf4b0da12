package placement

import "github.com/armada-sync/armada-sync/pkg/api/v1alpha1"

// neighbours counts the workloads of each group by cluster, for the labels that something groups by.
type neighbours struct {
	clusters int
	keys     map[string]bool
	groups   map[neighbourGroup]*presence
}

type neighbourGroup struct{ namespace, key, value string }

// presence is where the workloads of a group are.
type presence struct {
	count []int32
	total int
}

func newNeighbours(clusters int) *neighbours {
	return &neighbours{clusters, map[string]bool{}, map[neighbourGroup]*presence{}}
}

// groupBy makes a label one that is counted. It comes before the first book.
func (n *neighbours) groupBy(q *query) {
	if w := q.Strategy.WorkloadAffinity; w != nil {
		for _, term := range []*v1alpha1.WorkloadAffinityTerm{w.Affinity, w.AntiAffinity} {
			if term != nil {
				n.keys[term.GroupByLabelKey] = true
			}
		}
	}
	for i := range q.scorers {
		if key := q.scorers[i].neighbourLabel; key != "" {
			n.keys[key] = true
		}
	}
}

func (n *neighbours) of(namespace, key, value string) *presence {
	return n.groups[neighbourGroup{namespace, key, value}]
}

// book adds delta workloads to the groups of q on a cluster.
func (n *neighbours) book(q *query, cluster int, delta int) {
	for key := range n.keys {
		value, ok := q.Labels[key]
		if !ok {
			continue
		}
		g := neighbourGroup{q.Workload.Namespace, key, value}
		p, ok := n.groups[g]
		if !ok {
			p = &presence{count: make([]int32, n.clusters)}
			n.groups[g] = p
		}
		p.count[cluster] += int32(delta)
		p.total += delta
	}
}
