package placement

// eviction rejects clusters that the workload is being moved away from.
func eviction(a *attempt) check {
	if len(a.query.evicting) == 0 {
		return nil
	}
	return func(c *candidate) string {
		if a.query.evicting[c.Name] {
			return "the workload is being evicted from there"
		}
		return ""
	}
}
