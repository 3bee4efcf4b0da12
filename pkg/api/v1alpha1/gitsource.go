package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GitSource is a repository to pull: from where, as whom, and how fast a change may spread.
type GitSource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              GitSourceSpec   `json:"spec"`
	Status            GitSourceStatus `json:"status,omitempty"`

	// Position is where the configuration declares the source.
	Position Position `json:"-"`
}

// GitSourceSpec is what people ask of a source.
type GitSourceSpec struct {
	// URL is https, ssh, or, standalone only, file.
	URL string `json:"url"`
	Ref GitRef `json:"ref,omitempty"`
	// Path is the folder that is read, relative to the root of the repository. Default "./".
	Path string `json:"path,omitempty"`
	// Interval between polls. Default 30s.
	Interval *metav1.Duration `json:"interval,omitempty"`
	// Timeout of one fetch. Default 60s.
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// SecretRef names the Secret with credentials, in the same namespace. On a hub only.
	SecretRef *LocalSecretReference `json:"secretRef,omitempty"`
	// CredentialsFile is a YAML map with the same keys as such a Secret (username, password,
	// bearerToken, caFile, identity, known_hosts). Standalone only; relative to the configuration.
	CredentialsFile string `json:"credentialsFile,omitempty"`
	// TargetNamespace receives namespaced objects that name no namespace. Default "default".
	TargetNamespace string `json:"targetNamespace,omitempty"`
	// PoliciesFor lists other sources ("namespace/name" or "name") whose objects this source's
	// policies may reach.
	PoliciesFor []string `json:"policiesFor,omitempty"`
	// Suspend stops following; what is applied stays.
	Suspend bool `json:"suspend,omitempty"`
	// PinnedRevision is the commit that a rollback pinned the source to; empty: follow Ref.
	PinnedRevision string `json:"pinnedRevision,omitempty"`
	// DeletionPolicy says what happens to applied objects when the source goes. Default Orphan.
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
	// MaxPrunePercent is the share of the source's objects on a cluster that may go from Git at
	// once, counted above ten objects. Default 30.
	MaxPrunePercent *int32 `json:"maxPrunePercent,omitempty"`
	// Rollout says how fast a change spreads. Nil: to all clusters at once.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Tenant bounds what the source may do. Nil: unbounded, for a source of the platform team.
	Tenant *Tenant `json:"tenant,omitempty"`
	// Limits bound what is read from the repository.
	Limits *SourceLimits `json:"limits,omitempty"`
	// IgnoreDrift lists fields that belong to someone else.
	IgnoreDrift []IgnoreRule `json:"ignoreDrift,omitempty"`
}

// GitRef selects a commit. At most one field; none: branch main.
type GitRef struct {
	Branch string `json:"branch,omitempty"`
	Tag    string `json:"tag,omitempty"`
	// SemVer is a range of versions; the highest matching tag wins.
	SemVer string `json:"semver,omitempty"`
	Commit string `json:"commit,omitempty"`
	// Name is a full reference name such as refs/pull/420/head.
	Name string `json:"name,omitempty"`
}

// LocalSecretReference names a Secret in the namespace of the object that refers to it.
type LocalSecretReference struct {
	Name string `json:"name"`
}

// DeletionPolicy says what becomes of applied objects when their source is deleted.
type DeletionPolicy string

// The values of DeletionPolicy.
const (
	DeletionOrphan DeletionPolicy = "Orphan"
	DeletionPrune  DeletionPolicy = "Prune"
)

// Rollout spreads a commit over the clusters step by step.
type Rollout struct {
	Steps []RolloutStep `json:"steps"`
	// MaxParallel is how many clusters change at the same time. 0: no limit.
	MaxParallel int `json:"maxParallel,omitempty"`
	// StopOnUnhealthy stops at an unhealthy step. Default true.
	StopOnUnhealthy *bool `json:"stopOnUnhealthy,omitempty"`
}

// RolloutStep is one step: the clusters of a selector, or a percentage of all in order of name.
type RolloutStep struct {
	ClusterSelector *ClusterAffinity `json:"clusterSelector,omitempty"`
	Percent         *int32           `json:"percent,omitempty"`
	// Soak is how long the step must stay healthy before the next begins.
	Soak *metav1.Duration `json:"soak,omitempty"`
}

// Tenant bounds a source.
type Tenant struct {
	// ServiceAccount is whom the source acts as on members, as namespace/name.
	ServiceAccount    string            `json:"serviceAccount,omitempty"`
	AllowedNamespaces []string          `json:"allowedNamespaces,omitempty"`
	AllowedKinds      []AllowedKind     `json:"allowedKinds,omitempty"`
	AllowedClusters   []ClusterAffinity `json:"allowedClusters,omitempty"`
}

// AllowedKind names a kind, or with Kind "*" all kinds of a group.
type AllowedKind struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
}

// SourceLimits bound what is read from a repository.
type SourceLimits struct {
	// MaxFileBytes bounds one file. Default 10 MiB.
	MaxFileBytes *int64 `json:"maxFileBytes,omitempty"`
	// MaxTotalBytes bounds all files that are read. Default 256 MiB.
	MaxTotalBytes *int64 `json:"maxTotalBytes,omitempty"`
	// MaxFiles bounds the number of files. Default 100000.
	MaxFiles *int64 `json:"maxFiles,omitempty"`
}

// IgnoreRule leaves fields to someone else: by JSON pointer, by manager, or both.
type IgnoreRule struct {
	// Target restricts the rule to the objects of a selector. Nil: all.
	Target *ResourceSelector `json:"target,omitempty"`
	// Paths are JSON pointers.
	Paths []string `json:"paths,omitempty"`
	// Managers are field managers whose fields are left alone.
	Managers []string `json:"managers,omitempty"`
}

// GitSourceStatus is what was seen of a source.
type GitSourceStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions carry Ready, Reconciling and Stalled.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Revision is the last one that was fetched, AppliedRevision the last one that was carried out.
	Revision        string `json:"revision,omitempty"`
	AppliedRevision string `json:"appliedRevision,omitempty"`
}
