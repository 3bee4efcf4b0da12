// Package v1alpha1 defines the documents that people write and that armada-sync reads: what to
// propagate, where to, with which differences, from which repository and to which clusters.
//
// It holds types, strict decoding, defaults and validation, and no behaviour. The same documents
// under Karmada's groups policy.karmada.io/v1alpha1 and cluster.karmada.io/v1alpha1 decode into
// the same types, so that a Karmada repository works unchanged. A policy and its Cluster- twin are
// one type: an empty namespace means the cluster-wide form.
//
// +kubebuilder:object:generate=true
// +groupName=armada-sync.io
package v1alpha1

// The group and version of our own kinds, and the two groups of Karmada that are read as ours.
const (
	Group               = "armada-sync.io"
	Version             = "v1alpha1"
	APIVersion          = Group + "/" + Version
	KarmadaPolicyGroup  = "policy.karmada.io"
	KarmadaClusterGroup = "cluster.karmada.io"
)

// Kinds as they are spelled in documents.
const (
	KindPropagationPolicy        = "PropagationPolicy"
	KindClusterPropagationPolicy = "ClusterPropagationPolicy"
	KindOverridePolicy           = "OverridePolicy"
	KindClusterOverridePolicy    = "ClusterOverridePolicy"
	KindCluster                  = "Cluster"
	KindGitSource                = "GitSource"
	KindConfig                   = "Config"
	KindPlacement                = "Placement"
	KindSnapshot                 = "Snapshot"
	KindInventory                = "Inventory"
	KindClusterFacts             = "ClusterFacts"
	KindOrders                   = "Orders"
)

// Labels, annotations and taints that armada-sync reads or writes on the objects of members.
const (
	// AnnotationDigest holds the digest of the manifest that we applied last.
	AnnotationDigest = "armada-sync.io/digest"
	// AnnotationSource names the GitSource, as namespace/name, that an object comes from.
	AnnotationSource = "armada-sync.io/source"
	// AnnotationReplicas remembers the share of a divided object, so that lost state can be rebuilt.
	AnnotationReplicas = "armada-sync.io/replicas"
	// AnnotationHub names the hub that owns an ApplySet parent.
	AnnotationHub = "armada-sync.io/hub"
	// AnnotationPrune is "confirm" (may be pruned though it holds data) or "disabled" (never).
	AnnotationPrune = "armada-sync.io/prune"
	// AnnotationAllowPrune on a GitSource lifts the prune limit for the revision it names.
	AnnotationAllowPrune = "armada-sync.io/allow-prune"
	// AnnotationRecreate set to "allowed" permits delete and create where a field is immutable.
	AnnotationRecreate = "armada-sync.io/recreate"
	// AnnotationDrift set to "report" reports a foreign change of our field instead of undoing it.
	AnnotationDrift = "armada-sync.io/drift"
	// AnnotationPausedUntil on a live object stops us there until that RFC 3339 time.
	AnnotationPausedUntil = "armada-sync.io/paused-until"
	// AnnotationWave orders objects within one cluster: lower waves first, default 0.
	AnnotationWave = "armada-sync.io/wave"
	// AnnotationFailover set to "never" pins a workload to its clusters.
	AnnotationFailover = "armada-sync.io/failover"
	// AnnotationDependsOn lists objects that must be there first, in cli-utils' syntax.
	AnnotationDependsOn = "config.kubernetes.io/depends-on"
	// TaintNotReady is on a cluster whose Ready condition is False.
	TaintNotReady = "armada-sync.io/not-ready"
	// TaintUnreachable is on a cluster whose Ready condition is Unknown.
	TaintUnreachable = "armada-sync.io/unreachable"
	// LabelPartOf is KEP-3659's membership label; its value is the id of an ApplySet.
	LabelPartOf = "applyset.kubernetes.io/part-of"
	// ConditionReady is the condition of a Cluster that says whether it answers.
	ConditionReady = "Ready"
)
