package placement

import (
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// filter says of each cluster whether a workload may be there.
type filter struct {
	// name is what Rejection.Filter shows.
	name string
	// prepare returns the test for one attempt; nil: every cluster passes.
	prepare func(*attempt) check
	// remedy says what a person can do about a rejection.
	remedy string
}

// remedyFor says what a person can do about a reason: a taint by which the controller says how the cluster is goes
// with its cause alone.
func (f filter) remedyFor(reason string) string {
	if f.name == filterOfTaints && (strings.Contains(reason, v1alpha1.TaintUnreachable) || strings.Contains(reason, v1alpha1.TaintNotReady)) {
		return "the taint goes when the cluster is ready again; or tolerate it in placement.clusterTolerations"
	}
	return f.remedy
}

// check returns why a cluster is no place for the workload, "" where it is. The reason is for
// people who can do something about it: it names what the cluster has and what would be needed. A
// check may mark the candidate (see its fields) as it passes.
type check func(*candidate) string

// filters in the order in which they are asked; the first that rejects a cluster is the one shown.
func filters() []filter {
	return []filter{
		// the cluster is being removed
		{"Terminating", terminating, "nothing: the cluster is leaving the fleet"},
		// the kind is not served there
		{"APIEnablement", apiEnablement, "install the kind's CRD there, or let a policy place the CRD there"},
		// the policy does not tolerate its taints
		{filterOfTaints, taintToleration, "tolerate the taint in placement.clusterTolerations, or take it off the cluster"},
		// the policy selects other clusters, or whoever asks may not use it
		{"ClusterAffinity", clusterAffinity, "change the cluster's labels or fields so that the affinity selects it, or widen the affinity"},
		// the field that constraints group by is not set
		{"SpreadTopology", spreadTopology, "set the field or label on the cluster, or drop the spread constraint"},
		// the workload is being moved away from it
		{"Eviction", eviction, "wait until the eviction is over"},
		// the workload's group is elsewhere
		{"WorkloadAffinity", workloadAffinity, "place another workload of the group there, or drop placement.workloadAffinity.affinity"},
		// the workload's group is there already
		{"AntiAffinity", workloadAntiAffinity, "move the group's other workload away, or drop placement.workloadAffinity.antiAffinity"},
	}
}

// The names of rejections that come after the filters: passed and not selected, static weight 0,
// and a share of 0 of a positive number.
const (
	rejectedBySpread = "Spread"
	rejectedByWeight = "Weight"
	rejectedByShare  = "NoShare"
)

// filterOfTaints is the only filter that reads taints, and the time.
const filterOfTaints = "TaintToleration"

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
