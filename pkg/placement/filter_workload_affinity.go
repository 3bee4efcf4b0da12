package placement

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

// settled tells that the workload is on the cluster by a decision from the same inputs. Where others
// of its group went since does not move it.
func (q *query) settled(c *candidate) bool {
	return c.placed && q.unchanged() || q.going[c.index]
}
