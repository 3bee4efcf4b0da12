package placement

import "github.com/armada-sync/armada-sync/pkg/api/v1alpha1"

// workloadAffinity rejects clusters on which no other workload of the group is, once there is one
// anywhere. The group is the value of a label on workloads of the namespace.
func workloadAffinity(a *attempt) check {
	w := a.query.Strategy.WorkloadAffinity
	if w == nil || w.Affinity == nil {
		return nil
	}
	key := w.Affinity.GroupByLabelKey
	value, ok := a.query.Labels[key]
	if !ok {
		return nil
	}
	where := a.neighbours.of(a.query.Workload.Namespace, key, value)
	if where == nil || where.total == 0 {
		return nil
	}
	reason := "no other workload with " + key + "=" + value + " is there"
	return func(c *candidate) string {
		if where.count[c.index] == 0 && !a.query.settled(c) {
			return reason
		}
		return ""
	}
}

// workloadAntiAffinity rejects clusters on which another workload of the group is.
func workloadAntiAffinity(a *attempt) check {
	w := a.query.Strategy.WorkloadAffinity
	if w == nil || w.AntiAffinity == nil {
		return nil
	}
	key := w.AntiAffinity.GroupByLabelKey
	value, ok := a.query.Labels[key]
	if !ok {
		return nil
	}
	where := a.neighbours.of(a.query.Workload.Namespace, key, value)
	if where == nil || where.total == 0 {
		return nil
	}
	reason := "another workload with " + key + "=" + value + " is there"
	return func(c *candidate) string {
		if where.count[c.index] > 0 && !a.query.settled(c) {
			return reason
		}
		return ""
	}
}

// settled tells that the workload is on the cluster by a decision from the same inputs. Where others
// of its group went since does not move it.
func (q *query) settled(c *candidate) bool {
	return c.placed && q.unchanged()
}

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
