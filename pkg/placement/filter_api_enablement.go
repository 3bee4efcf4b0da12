package placement

// apiEnablement rejects clusters that do not serve the workload's kind. A cluster that lists no
// kinds serves all. It passes where the plan places the kind's CRD itself, and where the workload is
// already: a list that shrinks for a moment must not remove anything.
func apiEnablement(a *attempt) check {
	w := a.query.Workload
	served := a.fleet.served[kind{w.APIVersion, w.Kind}]
	reason := ""
	return func(c *candidate) string {
		if served.has(c.index) || a.fleet.servesAll.has(c.index) || a.query.placed(c.index) ||
			a.query.CRDOnClusters[c.Name] || a.query.Held[c.Name] {
			return ""
		}
		if reason == "" {
			reason = "serves no " + w.APIVersion + " " + w.Kind
		}
		return reason
	}
}
