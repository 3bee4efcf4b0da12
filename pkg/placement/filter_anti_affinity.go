package placement

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
