package placement

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Request asks for a place for one workload.
type Request struct {
	Workload v1alpha1.ObjectReference
	Labels   map[string]string
	// Replicas is nil for objects that have none: they go whole to every chosen cluster.
	Replicas *int64
	// Requests is what one replica asks for. See PodRequests for the formula.
	Requests corev1.ResourceList
	// Strategy is the placement of the policy that owns the workload; never nil.
	Strategy *v1alpha1.PlacementStrategy
	// PolicyPriority and ClassPriority order open decisions when capacity is scarce.
	PolicyPriority int32
	ClassPriority  int32
	// Pinned workloads are never moved by NoExecute taints or application failover.
	Pinned bool
	// Indivisible workloads (an Indexed Job, a Pod) go whole to one cluster under Divided.
	Indivisible bool
	// CRDOnClusters, when the plan places the CRD of the workload's kind itself, are the clusters it
	// goes to: the kind counts as served there.
	CRDOnClusters map[string]bool
	// Previous is the recorded decision; nil: never decided.
	Previous *Previous
	// Bound are the clusters that whoever asks may use at all; nil: every one.
	Bound *Bound
	// Refused says why the workload is not to be placed, whatever its policy says: it keeps what it has.
	// Empty: it is to be placed.
	Refused string
	// Held are the clusters that hold the workload now, by name.
	Held map[string]bool
	// Stay, where not empty, is why the workload must not be moved for now: NoExecute taints, a failback
	// and a rebalance wait, and a cluster that it would have to leave gets no more of it. Its previous
	// decision is opened by what else opens one.
	Stay string
	// Unschedulable is how many replicas of it have long found no node, by cluster: that much room is
	// missing there for it.
	Unschedulable map[string]int64
}

// Bound limits the clusters of a workload to those that any of some affinities selects.
type Bound struct {
	// Name is how reasons call the bound.
	Name       string
	Affinities []v1alpha1.ClusterAffinity
}

// Previous is what was decided and recorded before.
type Previous struct {
	Clusters      []v1alpha1.TargetCluster
	AffinityGroup string
	// Evicting names clusters that the workload is being moved away from.
	Evicting []string
	// RebalanceAt asks for fresh scheduling once the fleet's time has reached it. Who records the
	// decision that follows drops it, else every decision is made afresh.
	RebalanceAt *time.Time
	// FailbackSince is since when an earlier affinity group has been able to hold the workload, as
	// Decision.Failback told; nil: not known to.
	FailbackSince *time.Time
	// ImbalanceSince is since when a fresh decision would put more replicas elsewhere than the policy
	// lets be, as Decision.Imbalance told; nil: not known to.
	ImbalanceSince *time.Time
	// RebalancedAt is when it was last divided anew; nil: it was not.
	RebalancedAt *time.Time
	// Inputs is the digest that the decision was made from; equal to the request's: it stands.
	Inputs string
}

// Decision is the answer to a Request.
type Decision struct {
	Workload v1alpha1.ObjectReference `json:"-"`
	// Strategy is "Duplicated", "Divided/Aggregated", "Divided/Weighted/Static" or
	// "Divided/Weighted/Dynamic".
	Strategy      string `json:"strategy"`
	Replicas      *int64 `json:"replicas"`
	AffinityGroup string `json:"affinityGroup"`
	// Standing tells that the previous decision was kept as it was.
	Standing bool `json:"standing"`
	// Clusters are the chosen ones, by name.
	Clusters []Assignment `json:"clusters"`
	// Rejected groups the others by filter and reason, in the order of the filters.
	Rejected []Rejection `json:"rejected"`
	// Unassigned is how many replicas found no place under BestEffort.
	Unassigned int64 `json:"unassigned"`
	// Error says why the workload cannot be placed; Clusters then shows what it keeps.
	Error string `json:"error"`
	// Inputs is the digest of what was decided from, to be recorded with the decision. With an Error
	// it is the previous one, since the recorded decision does not change.
	Inputs string `json:"-"`
	// Failback names an earlier affinity group that could hold the workload now, where the policy
	// asks for failback: Auto; empty: none could.
	Failback string `json:"-"`
	// Imbalance is how many percent of the replicas a fresh decision would put elsewhere, where the
	// policy asks for a rebalance and that many reach its threshold; else 0.
	Imbalance int64 `json:"-"`
	// Moved is why a decision that nothing had to open was opened: "rebalance" or "failback"; else empty.
	Moved string `json:"-"`
	// RecheckAt is when the passing of time alone may change the decision (a toleration ends, a
	// rebalance or failback is due); zero: never.
	RecheckAt time.Time `json:"-"`
	// Notes are remarks that become findings.
	Notes []Note `json:"-"`
}

// Assignment is a chosen cluster.
type Assignment struct {
	Name string `json:"name"`
	// Replicas is nil for objects without replicas.
	Replicas *int64 `json:"replicas"`
	// Score is the weighted mean of Scores, 0 to 100.
	Score  int64            `json:"score"`
	Scores map[string]int64 `json:"scores"`
	// Capacity is how many replicas the cluster had room for when this was decided; nil: unknown,
	// or not looked at.
	Capacity *int64   `json:"capacity"`
	Reasons  []string `json:"reasons"`
}

// Rejection lists clusters that one filter rejected for one reason.
type Rejection struct {
	// Filter is one of the names of the filters, or Spread, Weight or NoShare.
	Filter   string       `json:"filter"`
	Reason   string       `json:"reason"`
	Clusters ClusterNames `json:"clusters"`
}

// Note is a remark about a decision; ID is the id of a finding.
type Note struct {
	ID       string
	Message  string
	Clusters []string
}
