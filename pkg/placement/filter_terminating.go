package placement

// terminating rejects clusters that are being removed from the fleet.
func terminating(*attempt) check {
	return func(c *candidate) string {
		if c.DeletionTimestamp != nil {
			return "the cluster is being removed"
		}
		return ""
	}
}
