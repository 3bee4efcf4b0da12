package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PropagationPolicy says which objects go to which clusters. With a namespace it selects objects of
// that namespace; without one it is a ClusterPropagationPolicy and selects cluster-scoped objects
// and objects of any namespace.
type PropagationPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              PropagationSpec `json:"spec"`

	// Position is where Git declares the policy. Lines maps field paths of the document
	// ("spec.placement.clusterAffinity") to their lines.
	Position Position       `json:"-"`
	Lines    map[string]int `json:"-"`
}

// PropagationSpec is what a propagation policy asks for. Field names and meaning are Karmada's.
type PropagationSpec struct {
	// ResourceSelectors select objects; an object that one of them matches is selected. Required.
	ResourceSelectors []ResourceSelector `json:"resourceSelectors"`
	// Association is Karmada's deprecated alias of nothing we do; it is reported as ignored.
	Association *bool `json:"association,omitempty"`
	// Priority ranks policies of one type that select the same object: higher wins. Default 0.
	Priority *int32 `json:"priority,omitempty"`
	// Preemption is accepted for Karmada's sake. Ownership here is a function of the commits alone.
	Preemption string `json:"preemption,omitempty"`
	// PropagateDeps sends what the object references along: ConfigMaps, Secrets, ServiceAccounts,
	// PersistentVolumeClaims and the TLS Secrets of an Ingress. Default false.
	PropagateDeps bool `json:"propagateDeps,omitempty"`
	// Placement chooses clusters and divides replicas. The zero value: every cluster, duplicated.
	Placement PlacementStrategy `json:"placement,omitempty"`
	// DependentOverrides is accepted and reported as ignored: overrides never wait here.
	DependentOverrides []string `json:"dependentOverrides,omitempty"`
	// SchedulerName is accepted and reported as ignored: there is one scheduler.
	SchedulerName string `json:"schedulerName,omitempty"`
	// Failover says what happens when a cluster or the application turns unhealthy.
	Failover *FailoverBehavior `json:"failover,omitempty"`
	// ConflictResolution is Abort (default: report an existing foreign object) or Overwrite (adopt it).
	ConflictResolution ConflictResolution `json:"conflictResolution,omitempty"`
	// ActivationPreference is accepted and reported as ignored: a policy is active once merged.
	ActivationPreference string `json:"activationPreference,omitempty"`
	// Suspension holds the application back, everywhere or on named clusters.
	Suspension *Suspension `json:"suspension,omitempty"`
	// PreserveResourcesOnDeletion leaves objects in the members when Git drops them. Default false.
	PreserveResourcesOnDeletion *bool `json:"preserveResourcesOnDeletion,omitempty"`
	// SchedulePriority orders the work when capacity is scarce.
	SchedulePriority *SchedulePriority `json:"schedulePriority,omitempty"`
}

// ResourceSelector selects objects by kind and, narrower, by namespace and name or labels.
type ResourceSelector struct {
	APIVersion string `json:"apiVersion"`
	// Kind is required.
	Kind string `json:"kind"`
	// Namespace defaults to the policy's namespace, or to any for a cluster-wide policy.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// LabelSelector is ignored when Name is set.
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`
}

// ConflictResolution says what to do with an existing object that is not ours.
type ConflictResolution string

// The values of ConflictResolution.
const (
	ConflictAbort     ConflictResolution = "Abort"
	ConflictOverwrite ConflictResolution = "Overwrite"
)

// PlacementStrategy is the placement part of a propagation policy.
type PlacementStrategy struct {
	// ClusterAffinity restricts the clusters. Nil: all. Excludes ClusterAffinities.
	ClusterAffinity *ClusterAffinity `json:"clusterAffinity,omitempty"`
	// ClusterAffinities are groups in order of preference; the first that can hold the workload wins.
	ClusterAffinities []ClusterAffinityTerm `json:"clusterAffinities,omitempty"`
	// Failback is Manual (default) or Auto: move back to an earlier group of ClusterAffinities that
	// has been able to hold the workload for FailbackAfter.
	Failback FailbackMode `json:"failback,omitempty"`
	// FailbackAfter is how long the earlier group must have been able to. Default 10m.
	FailbackAfter *metav1.Duration `json:"failbackAfter,omitempty"`
	// ClusterTolerations tolerate taints of clusters; tolerationSeconds count from the taint's timeAdded.
	ClusterTolerations []corev1.Toleration `json:"clusterTolerations,omitempty"`
	// SpreadConstraints hold all at once.
	SpreadConstraints []SpreadConstraint `json:"spreadConstraints,omitempty"`
	// ReplicaScheduling divides replicas. Nil: Duplicated.
	ReplicaScheduling *ReplicaSchedulingStrategy `json:"replicaScheduling,omitempty"`
	// WorkloadAffinity keeps workloads of a group together or apart.
	WorkloadAffinity *WorkloadAffinity `json:"workloadAffinity,omitempty"`
	// WhenUnsatisfiable is DoNotSchedule (default) or BestEffort: place what fits, report the rest.
	WhenUnsatisfiable WhenUnsatisfiable `json:"whenUnsatisfiable,omitempty"`
	// Scorers rank clusters. Default: Locality with weight 1.
	Scorers []Scorer `json:"scorers,omitempty"`
	// Rebalance divides replicas anew when they are no longer where a fresh decision would put them. Nil:
	// only on request. It needs replicas that are divided by capacity.
	Rebalance *RebalancePolicy `json:"rebalance,omitempty"`
}

// RebalancePolicy says when a workload is divided anew by itself.
type RebalancePolicy struct {
	// ThresholdPercent is how many percent of the replicas a fresh decision would have to put elsewhere,
	// from 1 to 100. Required.
	ThresholdPercent int32 `json:"thresholdPercent"`
	// After is for how long that must have been so without a break. Default 10m.
	After *metav1.Duration `json:"after,omitempty"`
}

// FailbackMode says whether a workload returns to a preferred group by itself.
type FailbackMode string

// The values of FailbackMode.
const (
	FailbackManual FailbackMode = "Manual"
	FailbackAuto   FailbackMode = "Auto"
)

// WhenUnsatisfiable says what to do with a workload that cannot be placed as asked.
type WhenUnsatisfiable string

// The values of WhenUnsatisfiable.
const (
	DoNotSchedule WhenUnsatisfiable = "DoNotSchedule"
	BestEffort    WhenUnsatisfiable = "BestEffort"
)

// Scorer names a scorer with its weight and arguments.
type Scorer struct {
	Name string `json:"name"`
	// Weight is relative to the other scorers. Default 1; 0 switches the scorer off.
	Weight *int64            `json:"weight,omitempty"`
	Args   map[string]string `json:"args,omitempty"`
	// Preferences are the weighted terms of the scorer ClusterPreference.
	Preferences []ClusterPreference `json:"preferences,omitempty"`
}

// ClusterPreference prefers the clusters of an affinity by a weight from 1 to 100.
type ClusterPreference struct {
	Weight   int64           `json:"weight"`
	Affinity ClusterAffinity `json:"affinity"`
}

// ClusterAffinity selects clusters: Exclude removes first, then every part that is present must match.
type ClusterAffinity struct {
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`
	FieldSelector *FieldSelector        `json:"fieldSelector,omitempty"`
	ClusterNames  []string              `json:"clusterNames,omitempty"`
	// Exclude names clusters that are never selected. Karmada spells the field "exclude".
	Exclude []string `json:"exclude,omitempty"`
}

// FieldSelector selects clusters by the fields provider, region and zone with In and NotIn. For a
// cluster with several zones In means any overlap and NotIn none.
type FieldSelector struct {
	MatchExpressions []corev1.NodeSelectorRequirement `json:"matchExpressions,omitempty"`
}

// ClusterAffinityTerm is a named group of clusters with the tiers that it overflows into.
type ClusterAffinityTerm struct {
	AffinityName    string `json:"affinityName"`
	ClusterAffinity `json:",inline"`
	// OverflowAffinities are filled in order when the group lacks capacity (dynamic weights and
	// Aggregated only).
	OverflowAffinities []OverflowAffinity `json:"overflowAffinities,omitempty"`
}

// OverflowAffinity is one tier of a group.
type OverflowAffinity struct {
	AffinityName    string `json:"affinityName,omitempty"`
	ClusterAffinity `json:",inline"`
}

// SpreadField is a field of a cluster that clusters are grouped by.
type SpreadField string

// The values of SpreadField.
const (
	SpreadByCluster  SpreadField = "cluster"
	SpreadByRegion   SpreadField = "region"
	SpreadByZone     SpreadField = "zone"
	SpreadByProvider SpreadField = "provider"
)

// SpreadConstraint bounds the number of groups that a workload is spread over.
type SpreadConstraint struct {
	SpreadByField SpreadField `json:"spreadByField,omitempty"`
	// SpreadByLabel groups by the value of a cluster label. Excludes SpreadByField.
	SpreadByLabel string `json:"spreadByLabel,omitempty"`
	// MaxGroups is the most groups; 0 or absent: no upper limit.
	MaxGroups int `json:"maxGroups,omitempty"`
	// MinGroups is the fewest groups; 0 reads as 1.
	MinGroups int `json:"minGroups,omitempty"`
}

// ReplicaSchedulingType says whether replicas are copied or divided.
type ReplicaSchedulingType string

// The values of ReplicaSchedulingType.
const (
	Duplicated ReplicaSchedulingType = "Duplicated"
	Divided    ReplicaSchedulingType = "Divided"
)

// ReplicaDivisionPreference says how replicas are divided.
type ReplicaDivisionPreference string

// The values of ReplicaDivisionPreference.
const (
	Aggregated ReplicaDivisionPreference = "Aggregated"
	Weighted   ReplicaDivisionPreference = "Weighted"
)

// ReplicaSchedulingStrategy divides replicas over the chosen clusters.
type ReplicaSchedulingStrategy struct {
	// ReplicaSchedulingType defaults to Divided inside a present replicaScheduling.
	ReplicaSchedulingType ReplicaSchedulingType `json:"replicaSchedulingType,omitempty"`
	// ReplicaDivisionPreference defaults to Weighted.
	ReplicaDivisionPreference ReplicaDivisionPreference `json:"replicaDivisionPreference,omitempty"`
	// WeightPreference gives the weights. Nil: equal weights.
	WeightPreference *ClusterPreferences `json:"weightPreference,omitempty"`
	// MinReplicas and MaxReplicas bound the share of each chosen cluster.
	MinReplicas *int64 `json:"minReplicas,omitempty"`
	MaxReplicas *int64 `json:"maxReplicas,omitempty"`
}

// ClusterPreferences are the weights of a Weighted division.
type ClusterPreferences struct {
	StaticWeightList []StaticClusterWeight `json:"staticWeightList,omitempty"`
	// DynamicWeight, when set, beats StaticWeightList.
	DynamicWeight DynamicWeightFactor `json:"dynamicWeight,omitempty"`
}

// StaticClusterWeight gives the clusters of an affinity a weight. A cluster's weight is the
// greatest over the rules that match it.
type StaticClusterWeight struct {
	TargetCluster ClusterAffinity `json:"targetCluster"`
	Weight        int64           `json:"weight"`
}

// DynamicWeightFactor names what dynamic weights follow.
type DynamicWeightFactor string

// AvailableReplicas weighs clusters by how many replicas they have room for.
const AvailableReplicas DynamicWeightFactor = "AvailableReplicas"

// WorkloadAffinity keeps workloads of one namespace together or apart by a label of theirs.
type WorkloadAffinity struct {
	Affinity     *WorkloadAffinityTerm `json:"affinity,omitempty"`
	AntiAffinity *WorkloadAffinityTerm `json:"antiAffinity,omitempty"`
}

// WorkloadAffinityTerm names the label whose values are the groups.
type WorkloadAffinityTerm struct {
	GroupByLabelKey string `json:"groupByLabelKey"`
}

// Suspension holds a policy's objects back.
type Suspension struct {
	// Dispatching true applies and prunes nothing anywhere.
	Dispatching *bool `json:"dispatching,omitempty"`
	// DispatchingOnClusters does so on the named clusters.
	DispatchingOnClusters *SuspendClusters `json:"dispatchingOnClusters,omitempty"`
	// Scheduling is Karmada's; it is accepted and reported as ignored.
	Scheduling *bool `json:"scheduling,omitempty"`
}

// SuspendClusters names clusters.
type SuspendClusters struct {
	ClusterNames []string `json:"clusterNames,omitempty"`
}

// SchedulePriority names the PriorityClass whose value orders the work.
type SchedulePriority struct {
	PriorityClassSource string `json:"priorityClassSource,omitempty"`
	PriorityClassName   string `json:"priorityClassName,omitempty"`
}

// PurgeMode says how an old copy is removed in a move.
type PurgeMode string

// The values of PurgeMode. Karmada's older spellings Immediately and Graciously are read as
// Directly and Gracefully.
const (
	PurgeDirectly   PurgeMode = "Directly"
	PurgeGracefully PurgeMode = "Gracefully"
	PurgeNever      PurgeMode = "Never"
)

// FailoverBehavior says what happens when a cluster or the application turns unhealthy.
type FailoverBehavior struct {
	Application *ApplicationFailover `json:"application,omitempty"`
	Cluster     *ClusterFailover     `json:"cluster,omitempty"`
}

// ApplicationFailover moves a workload away from a cluster on which it is unhealthy.
type ApplicationFailover struct {
	DecisionConditions DecisionConditions `json:"decisionConditions,omitempty"`
	PurgeMode          PurgeMode          `json:"purgeMode,omitempty"`
	// GracePeriodSeconds is how long the new copy may take to turn healthy before the move counts
	// as stuck. Default 600.
	GracePeriodSeconds *int32             `json:"gracePeriodSeconds,omitempty"`
	StatePreservation  *StatePreservation `json:"statePreservation,omitempty"`
}

// DecisionConditions say when an application counts as failed.
type DecisionConditions struct {
	// TolerationSeconds is how long the application may be unhealthy. Default 300.
	TolerationSeconds *int32 `json:"tolerationSeconds,omitempty"`
}

// ClusterFailover moves a workload away from a cluster that is not ready.
type ClusterFailover struct {
	PurgeMode         PurgeMode          `json:"purgeMode,omitempty"`
	StatePreservation *StatePreservation `json:"statePreservation,omitempty"`
	// Stateful is Never (default: stateful workloads are pinned) or Recreate: removed first, the
	// removal confirmed, then created elsewhere; never for an unreachable cluster.
	Stateful StatefulFailover `json:"stateful,omitempty"`
}

// StatefulFailover says whether stateful workloads move.
type StatefulFailover string

// The values of StatefulFailover.
const (
	StatefulNever    StatefulFailover = "Never"
	StatefulRecreate StatefulFailover = "Recreate"
)

// StatePreservation copies values of the status of the old copy as labels to the new one.
type StatePreservation struct {
	Rules []StatePreservationRule `json:"rules"`
}

// StatePreservationRule copies one value.
type StatePreservationRule struct {
	AliasLabelName string `json:"aliasLabelName"`
	JSONPath       string `json:"jsonPath"`
}
