package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FormatVersion is the version of the fleet-file format that this release writes and reads.
const FormatVersion = 1

// Snapshot says of a fleet file when it was taken.
type Snapshot struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	FormatVersion     int          `json:"formatVersion,omitempty"`
	TakenAt           *metav1.Time `json:"takenAt,omitempty"`
	// Revisions are the applied revisions by source, where the snapshot's writer knew them.
	Revisions map[string]string `json:"revisions,omitempty"`
}

// Placement is a decision: where a workload is, with how many replicas, and how its moves stand.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=pl,categories=armada
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Workload",type=string,JSONPath=`.status.summary.workload`
// +kubebuilder:printcolumn:name="Clusters",type=string,JSONPath=`.status.summary.clusters`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Placement struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              PlacementSpec   `json:"spec"`
	Status            PlacementStatus `json:"status,omitempty"`
}

// PlacementSpec is the decision itself.
type PlacementSpec struct {
	Workload ObjectReference `json:"workload"`
	// Clusters are the chosen ones, by name.
	// +listType=atomic
	Clusters []TargetCluster `json:"clusters,omitempty"`
	// AffinityGroup is the name of the clusterAffinities group that was used.
	AffinityGroup string `json:"affinityGroup,omitempty"`
	// Evicting names clusters that the workload is being moved away from.
	// +listType=atomic
	Evicting []string `json:"evicting,omitempty"`
	// RebalanceAt asks for fresh scheduling once, when the snapshot's time has reached it.
	RebalanceAt *metav1.Time `json:"rebalanceAt,omitempty"`
	// Inputs is the digest of what the decision was made from. Equal: it stands. Different or
	// absent: it is made again with these shares as the previous ones.
	Inputs string `json:"inputs,omitempty"`
}

// TargetCluster is a chosen cluster. Replicas is nil for objects without replicas.
type TargetCluster struct {
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// +kubebuilder:validation:Minimum=0
	Replicas *int64 `json:"replicas,omitempty"`
}

// PlacementStatus holds timers, moves and debts. Reasons are not kept; explain recomputes them.
type PlacementStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions carry Ready, Reconciling and Stalled.
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Moves are removals that wait for their new copies.
	// +listType=atomic
	Moves []MoveStatus `json:"moves,omitempty"`
	// UnhealthySince are the timers of application failover, by cluster.
	// +listType=atomic
	UnhealthySince []ClusterTime `json:"unhealthySince,omitempty"`
	// Debts are removals that an unreachable cluster still owes.
	// +listType=atomic
	Debts []ClusterTime `json:"debts,omitempty"`
	// FailbackSince is since when an earlier affinity group has been able to hold the workload.
	FailbackSince *metav1.Time `json:"failbackSince,omitempty"`
	// ImbalanceSince is since when a fresh decision would put more replicas elsewhere than the policy's
	// rebalance lets be.
	ImbalanceSince *metav1.Time `json:"imbalanceSince,omitempty"`
	// RebalancedAt is when the workload was last divided anew.
	RebalancedAt *metav1.Time `json:"rebalancedAt,omitempty"`
	// Evictions are when the workload was last moved away from a cluster: by a taint, by its own health,
	// a failback or a rebalance, or, for a removal after any other decision, when its old copy went.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Evictions []ClusterTime `json:"evictions,omitempty"`
	// LeftOn are the clusters that keep an old copy, since the policy left it there when the workload was
	// moved away (purgeMode: Never).
	// +listType=set
	LeftOn []string `json:"leftOn,omitempty"`
	// Preserved are values of old copies that new ones carry as labels.
	// +listType=atomic
	Preserved []PreservedState `json:"preserved,omitempty"`
	// Waiting says, for people, what is to happen on clusters that has not happened yet, and why: what
	// stays for now, timers that run, removals that wait.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Waiting []ClusterMessage `json:"waiting,omitempty"`
	// Preserve tells that the policy leaves the object in the members when Git drops it. It counts also when
	// Git drops the policy along with it.
	Preserve bool `json:"preserve,omitempty"`
	// Earlier are the decisions of revisions that a rollout has not taken from every cluster yet. They
	// count where those revisions are.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Earlier []EarlierDecision `json:"earlier,omitempty"`
	// Drift lists copies of the workload that someone else changed, but for those that are put back at
	// once.
	Drift *DriftSummary `json:"drift,omitempty"`
	// Worst are the up to ten clusters that are worst off, with the reason.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Worst []ClusterMessage `json:"worst,omitempty"`
	// Summary says the decision in words for lists of placements.
	Summary *PlacementSummary `json:"summary,omitempty"`
}

// PlacementSummary is what a list of placements shows.
type PlacementSummary struct {
	// Workload is "Kind namespace/name".
	Workload string `json:"workload,omitempty"`
	// Clusters are the chosen ones with their shares, as "eu-1=3, us-1=2", shortened where they are
	// many.
	Clusters string `json:"clusters,omitempty"`
}

// MoveStatus is one removal that waits.
type MoveStatus struct {
	// From is the cluster whose copy goes.
	From  string      `json:"from"`
	Since metav1.Time `json:"since"`
	// To are the clusters that take over, with a new or a greater share, by name. The old copy waits
	// for them and for no others.
	// +listType=atomic
	To []string `json:"to,omitempty"`
	// HealthySince is since when all new copies are healthy; nil: not yet.
	HealthySince *metav1.Time `json:"healthySince,omitempty"`
}

// ClusterTime is a point in time on a cluster.
type ClusterTime struct {
	Cluster string      `json:"cluster"`
	Time    metav1.Time `json:"time"`
}

// ClusterMessage is a message about a cluster.
type ClusterMessage struct {
	Cluster string `json:"cluster"`
	Message string `json:"message"`
}

// Inventory is what a member holds of ours.
type Inventory struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              InventorySpec `json:"spec"`
}

// InventorySpec lists the objects of one member.
type InventorySpec struct {
	Cluster string            `json:"cluster"`
	Objects []InventoryObject `json:"objects,omitempty"`
}

// InventoryObject is one object that a member holds.
type InventoryObject struct {
	ObjectReference `json:",inline"`
	// Digest is that of the manifest that we applied; empty for Secrets and unknown ones.
	Digest string `json:"digest,omitempty"`
	// Source names the GitSource, as "name" or "namespace/name".
	Source string `json:"source,omitempty"`
	// Health is healthy, progressing, degraded or empty for unknown.
	Health Health `json:"health,omitempty"`
	// Replicas is the share of a divided object.
	Replicas *int64 `json:"replicas,omitempty"`
	// Prune is the value of the object's prune annotation.
	Prune string `json:"prune,omitempty"`
	// PausedUntil is that of the live object; absent: not paused.
	PausedUntil *metav1.Time `json:"pausedUntil,omitempty"`
	// Drift are fields of ours, as JSON pointers, that someone else changed.
	Drift []string `json:"drift,omitempty"`
	// Terminating tells that the object is being deleted.
	Terminating bool `json:"terminating,omitempty"`
	// Unschedulable is how many of its pods have found no node for long.
	Unschedulable int64 `json:"unschedulable,omitempty"`
	// State are the values of its status that its policy preserves over a failover, by label.
	State map[string]string `json:"state,omitempty"`
}

// Health is the verdict on an object or a cluster.
type Health string

// The values of Health.
const (
	HealthUnknown     Health = ""
	HealthHealthy     Health = "healthy"
	HealthProgressing Health = "progressing"
	HealthDegraded    Health = "degraded"
)

// ClusterFacts are facts of a member that checks of the preview need.
type ClusterFacts struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ClusterFactsSpec `json:"spec"`
}

// ClusterFactsSpec lists the facts. An absent list is not known and its check is not made; an empty
// one is known to be empty.
type ClusterFactsSpec struct {
	Cluster         string   `json:"cluster"`
	Version         string   `json:"version,omitempty"`
	StorageClasses  []string `json:"storageClasses,omitempty"`
	IngressClasses  []string `json:"ingressClasses,omitempty"`
	PriorityClasses []string `json:"priorityClasses,omitempty"`
	// Schemas are OpenAPI v3 documents by group and version ("apps/v1"), or references to them.
	Schemas *apiextensionsv1.JSON `json:"schemas,omitempty"`
}
