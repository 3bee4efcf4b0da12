package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The taints that people set with the commands cordon and drain.
const (
	// TaintCordoned, with effect NoSchedule, lets nothing new onto a cluster; a cordoned cluster does not
	// count for the veto.
	TaintCordoned = "armada-sync.io/cordoned"
	// TaintDrain, with effect NoExecute, moves away what is there. A value that is a number is how many
	// workloads may be on the move away from the cluster at a time; any other is no limit.
	TaintDrain = "armada-sync.io/drain"
)

// EvictionStatus says whether workloads may be moved away from a cluster.
type EvictionStatus struct {
	// Stopped is why nothing is evicted for now, on no cluster; empty: evictions go on.
	Stopped string `json:"stopped,omitempty"`
	// AllowedSince is when evictions were last allowed again after they were stopped: tolerations count
	// from there at the earliest. Nil: they were never stopped.
	AllowedSince *metav1.Time `json:"allowedSince,omitempty"`
}

// ReadyTransition is a change of the Ready condition.
type ReadyTransition struct {
	Status metav1.ConditionStatus `json:"status"`
	Time   metav1.Time            `json:"time"`
}

// PreservedState are values of the status of an old copy that a new one carries as labels.
type PreservedState struct {
	// Cluster is where the new copy is, From where the values come from.
	Cluster string            `json:"cluster"`
	From    string            `json:"from"`
	Labels  map[string]string `json:"labels"`
}
