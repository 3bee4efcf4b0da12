package placement

// filter says of each cluster whether a workload may be there.
type filter struct {
	// name is what Rejection.Filter shows.
	name string
	// prepare returns the test for one attempt; nil: every cluster passes.
	prepare func(*attempt) check
}

// check returns why a cluster is no place for the workload, "" where it is. The reason is for
// people who can do something about it: it names what the cluster has and what would be needed. A
// check may mark the candidate (see its fields) as it passes.
type check func(*candidate) string

// filters in the order in which they are asked; the first that rejects a cluster is the one shown.
func filters() []filter {
	return []filter{
		{"Terminating", terminating},           // the cluster is being removed
		{"APIEnablement", apiEnablement},       // the kind is not served there
		{"TaintToleration", taintToleration},   // the policy does not tolerate its taints
		{"ClusterAffinity", clusterAffinity},   // the policy selects other clusters
		{"SpreadTopology", spreadTopology},     // the field that constraints group by is not set
		{"Eviction", eviction},                 // the workload is being moved away from it
		{"WorkloadAffinity", workloadAffinity}, // the workload's group is elsewhere
		{"AntiAffinity", workloadAntiAffinity}, // the workload's group is there already
	}
}

// The names of rejections that come after the filters: passed and not selected, static weight 0,
// and a share of 0 of a positive number.
const (
	rejectedBySpread = "Spread"
	rejectedByWeight = "Weight"
	rejectedByShare  = "NoShare"
)

// rejections is the order of Decision.Rejected.
func rejections() map[string]int {
	order := map[string]int{}
	for i, f := range filters() {
		order[f.name] = i
	}
	for i, name := range []string{rejectedBySpread, rejectedByWeight, rejectedByShare} {
		order[name] = len(filters()) + i
	}
	return order
}
