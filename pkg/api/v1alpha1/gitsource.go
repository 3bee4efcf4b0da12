package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GitSource is a repository to pull: from where, as whom, and how fast a change may spread.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=gs,categories=armada
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.revision`
// +kubebuilder:printcolumn:name="Applied",type=string,JSONPath=`.status.appliedRevision`,priority=1
// +kubebuilder:printcolumn:name="Rollout",type=string,JSONPath=`.status.rollout.phase`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type GitSource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              GitSourceSpec   `json:"spec"`
	Status            GitSourceStatus `json:"status,omitempty"`

	// Position is where the configuration declares the source.
	Position Position `json:"-"`
}

// GitSourceSpec is what people ask of a source.
//
// +kubebuilder:validation:XValidation:rule="!has(self.credentialsFile)",message="credentialsFile is for a standalone controller; use secretRef"
type GitSourceSpec struct {
	// URL is https, ssh, or, standalone only, file.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https|ssh)://[^\\\\s]+$') || self.matches('^[A-Za-z0-9_.][A-Za-z0-9_.-]*@[A-Za-z0-9.][A-Za-z0-9.-]*:[^\\\\s:-][^\\\\s]*$')",message="an address is https://…, ssh://… or user@host:path"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https://[^/]*@') && !self.matches('^ssh://[^/@]*:[^/@]*@')",message="the address holds credentials; put them into the Secret of secretRef"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[?#]')",message="an address has no query or fragment; use ref to choose a revision"
	URL string `json:"url"`
	Ref GitRef `json:"ref,omitempty"`
	// Path is the folder that is read, relative to the root of the repository. Default "./".
	// +kubebuilder:default="./"
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.matches('(^|/)[.][.](/|$)')",message="the path is a folder inside the repository"
	Path string `json:"path,omitempty"`
	// Interval between polls. Default 30s.
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="the duration must be positive"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	Interval *metav1.Duration `json:"interval,omitempty"`
	// Timeout of one fetch. Default 60s.
	// +kubebuilder:default="1m0s"
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="the duration must be positive"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// SecretRef names the Secret with credentials, in the same namespace. On a hub only.
	SecretRef *LocalSecretReference `json:"secretRef,omitempty"`
	// CredentialsFile is a YAML map with the same keys as such a Secret (username, password,
	// bearerToken, caFile, identity, known_hosts). Standalone only; relative to the configuration.
	CredentialsFile string `json:"credentialsFile,omitempty"`
	// TargetNamespace receives namespaced objects that name no namespace. Default "default".
	// +kubebuilder:default="default"
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	TargetNamespace string `json:"targetNamespace,omitempty"`
	// PoliciesFor lists other sources ("namespace/name" or "name") whose objects this source's
	// policies may reach. Without effect beside Tenant.
	// +listType=atomic
	PoliciesFor []string `json:"policiesFor,omitempty"`
	// Suspend stops following; what is applied stays.
	Suspend bool `json:"suspend,omitempty"`
	// PinnedRevision is the commit that a rollback pinned the source to; empty: follow Ref.
	// +kubebuilder:validation:Pattern="^([^@\\s]+@)?(sha1:|sha256:)?([0-9a-f]{40}|[0-9a-f]{64})$"
	PinnedRevision string `json:"pinnedRevision,omitempty"`
	// DeletionPolicy says what happens to applied objects when the source goes. Default Orphan.
	// +kubebuilder:default=Orphan
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
	// MaxPrunePercent is the share of the source's objects on a cluster that may go from Git at
	// once, counted above ten objects. Default 30.
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MaxPrunePercent *int32 `json:"maxPrunePercent,omitempty"`
	// Rollout says how fast a change spreads. Nil: to all clusters at once.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Tenant bounds what the source may do. Nil: unbounded, for a source of the platform team.
	Tenant *Tenant `json:"tenant,omitempty"`
	// Decryption says how encrypted files are opened. Nil: they are not, and hold what they declare.
	Decryption *Decryption `json:"decryption,omitempty"`
	// Variables replaces ${armada:…} in the objects of the source by facts of the cluster they go to.
	// An object's annotation armada-sync.io/variables, enabled or disabled, wins.
	Variables bool `json:"variables,omitempty"`
	// Limits bound what is read from the repository.
	Limits *SourceLimits `json:"limits,omitempty"`
	// IgnoreDrift lists fields that belong to someone else.
	// +listType=atomic
	IgnoreDrift []IgnoreRule `json:"ignoreDrift,omitempty"`
}

// GitRef selects a commit. At most one field; none: branch main.
//
// +kubebuilder:validation:XValidation:rule="[has(self.branch), has(self.tag), has(self.semver), has(self.commit), has(self.name)].filter(set, set).size() <= 1",message="at most one of branch, tag, semver, commit and name may be set"
type GitRef struct {
	Branch string `json:"branch,omitempty"`
	Tag    string `json:"tag,omitempty"`
	// SemVer is a range of versions; the highest matching tag wins.
	SemVer string `json:"semver,omitempty"`
	// +kubebuilder:validation:Pattern="^([^@\\s]+@)?(sha1:|sha256:)?([0-9a-f]{40}|[0-9a-f]{64})$"
	Commit string `json:"commit,omitempty"`
	// Name is a full reference name such as refs/pull/420/head.
	// +kubebuilder:validation:Pattern="^refs/"
	Name string `json:"name,omitempty"`
}

// LocalSecretReference names a Secret in the namespace of the object that refers to it.
type LocalSecretReference struct {
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// DeletionPolicy says what becomes of applied objects when their source is deleted.
//
// +kubebuilder:validation:Enum=Orphan;Prune
type DeletionPolicy string

// The values of DeletionPolicy.
const (
	DeletionOrphan DeletionPolicy = "Orphan"
	DeletionPrune  DeletionPolicy = "Prune"
)

// Decryption opens encrypted files of a repository, in memory.
//
// +kubebuilder:validation:XValidation:rule="!has(self.keysFile)",message="keysFile is for a standalone controller; use secretRef"
type Decryption struct {
	// Provider is the format of the files: sops. Default sops.
	// +kubebuilder:default=sops
	// +kubebuilder:validation:Enum=sops
	Provider string `json:"provider,omitempty"`
	// SecretRef names a Secret in the same namespace of which every entry that ends in .agekey holds age
	// identities. On a hub only.
	SecretRef *LocalSecretReference `json:"secretRef,omitempty"`
	// KeysFile holds age identities, as age-keygen writes them. Standalone only; relative to the
	// configuration. Without it, SOPS_AGE_KEY and SOPS_AGE_KEY_FILE name the keys.
	KeysFile string `json:"keysFile,omitempty"`
	// Required refuses a Secret whose values stand in clear text in the repository.
	Required bool `json:"required,omitempty"`
}

// Rollout spreads a commit over the clusters step by step.
type Rollout struct {
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	Steps []RolloutStep `json:"steps"`
	// MaxParallel is how many clusters change at the same time. 0: no limit.
	// +kubebuilder:validation:Minimum=0
	MaxParallel int `json:"maxParallel,omitempty"`
	// StopOnUnhealthy stops at an unhealthy step. Default true.
	StopOnUnhealthy *bool `json:"stopOnUnhealthy,omitempty"`
}

// RolloutStep is one step: the clusters of a selector, or a percentage of all in order of name.
//
// +kubebuilder:validation:XValidation:rule="has(self.clusterSelector) != has(self.percent)",message="exactly one of clusterSelector and percent must be set"
type RolloutStep struct {
	ClusterSelector *ClusterAffinity `json:"clusterSelector,omitempty"`
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`
	// Soak is how long the step must stay healthy before the next begins.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$"
	Soak *metav1.Duration `json:"soak,omitempty"`
}

// Tenant bounds a source that the platform team does not answer for. The lists say what it may declare
// and where; one that is absent does not bound. Whatever they say, a tenant declares nothing in
// armada-system, sets no pod-security.kubernetes.io labels on namespaces, and its policies reach its own
// objects alone.
type Tenant struct {
	// ServiceAccount is whom the source acts as on members, as namespace/name. Empty: the
	// controller's own account.
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// AllowedNamespaces are the namespaces that objects may live in, and the names that Namespaces may
	// have. A * stands for any characters: "shop-*". Absent: every namespace.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern="^[-a-z0-9*]+$"
	AllowedNamespaces []string `json:"allowedNamespaces,omitempty"`
	// AllowedKinds are the kinds of objects. Absent: every namespaced kind. A cluster-scoped kind,
	// Namespace included, needs an entry with its own name: no * stands for it.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	AllowedKinds []AllowedKind `json:"allowedKinds,omitempty"`
	// AllowedClusters are the clusters: those that any of the entries selects. Absent: every cluster.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	AllowedClusters []ClusterAffinity `json:"allowedClusters,omitempty"`
}

// AllowedKind names a kind. Kind "*" stands for every namespaced kind of the group.
type AllowedKind struct {
	// Group is an API group, "" for the core group. A * stands for any characters: "*" is every
	// group, "*.example.com" those under a domain.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern="^[-.a-z0-9*]*$"
	Group string `json:"group"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern="^([*]|[^*]+)$"
	Kind string `json:"kind"`
}

// SourceLimits bound what is read from a repository.
type SourceLimits struct {
	// MaxFileBytes bounds one file. Default 10 MiB.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1073741824
	MaxFileBytes *int64 `json:"maxFileBytes,omitempty"`
	// MaxTotalBytes bounds all files that are read. Default 256 MiB.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1099511627776
	MaxTotalBytes *int64 `json:"maxTotalBytes,omitempty"`
	// MaxFiles bounds the number of files. Default 100000.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	MaxFiles *int64 `json:"maxFiles,omitempty"`
}

// IgnoreRule leaves fields to someone else: by JSON pointer, by manager, or both.
//
// +kubebuilder:validation:XValidation:rule="has(self.paths) || has(self.managers)",message="one of paths and managers is required"
type IgnoreRule struct {
	// Target restricts the rule to the objects of a selector. Nil: all.
	Target *ResourceSelector `json:"target,omitempty"`
	// Paths are JSON pointers.
	// +listType=atomic
	Paths []string `json:"paths,omitempty"`
	// Managers are field managers whose fields are left alone.
	// +listType=atomic
	Managers []string `json:"managers,omitempty"`
}

// GitSourceStatus is what was seen of a source.
type GitSourceStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions carry Ready, Reconciling and Stalled.
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Revision is the last one that was fetched, AppliedRevision the last one that was carried out.
	Revision        string `json:"revision,omitempty"`
	AppliedRevision string `json:"appliedRevision,omitempty"`
	// Drift lists objects that someone else changed and that no Placement is about.
	Drift *DriftSummary `json:"drift,omitempty"`
	// History are the revisions that were carried out everywhere, the newest first.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	History []AppliedRevision `json:"history,omitempty"`
	// Rollout is how far the latest revision has spread. Nil without spec.rollout.
	Rollout *RolloutStatus `json:"rollout,omitempty"`
}
