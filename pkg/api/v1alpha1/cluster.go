package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Cluster is a member of the fleet: what it is, how to reach it and what it can hold.
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ClusterSpec   `json:"spec,omitempty"`
	Status            ClusterStatus `json:"status,omitempty"`

	// Position is where a fleet file or repository declares the cluster.
	Position Position `json:"-"`
}

// ClusterSpec is what people say about a cluster.
type ClusterSpec struct {
	Provider string `json:"provider,omitempty"`
	Region   string `json:"region,omitempty"`
	// Zone is Karmada's deprecated single zone; it is read as the only item of Zones.
	Zone  string   `json:"zone,omitempty"`
	Zones []string `json:"zones,omitempty"`
	// Taints keep workloads away that do not tolerate them.
	Taints []corev1.Taint `json:"taints,omitempty"`
	// ResourceModels name grades of nodes by ranges of their resources.
	ResourceModels []ResourceModel `json:"resourceModels,omitempty"`

	// KubeconfigFile is how a standalone controller reaches the cluster, relative to the
	// configuration file.
	KubeconfigFile string `json:"kubeconfigFile,omitempty"`
	// KubeconfigContext selects a context of that file. Default: its current context.
	KubeconfigContext string `json:"kubeconfigContext,omitempty"`
	// SecretRef is how a controller in a hub reaches the cluster: a Secret with a kubeconfig.
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// The following are Karmada's; they are read so that its Cluster objects decode, and reported
	// as ignored where they ask for something.
	ID                          string            `json:"id,omitempty"`
	SyncMode                    string            `json:"syncMode,omitempty"`
	APIEndpoint                 string            `json:"apiEndpoint,omitempty"`
	ImpersonatorSecretRef       *SecretReference  `json:"impersonatorSecretRef,omitempty"`
	InsecureSkipTLSVerification bool              `json:"insecureSkipTLSVerification,omitempty"`
	ProxyURL                    string            `json:"proxyURL,omitempty"`
	ProxyHeader                 map[string]string `json:"proxyHeader,omitempty"`
}

// SecretReference names a Secret.
type SecretReference struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Key is the entry of the Secret. Default: kubeconfig, or value where there is none.
	Key string `json:"key,omitempty"`
}

// ResourceModel is a grade of nodes.
type ResourceModel struct {
	Grade  uint                 `json:"grade"`
	Ranges []ResourceModelRange `json:"ranges"`
}

// ResourceModelRange bounds one resource of the nodes of a grade: Min inclusive, Max exclusive.
type ResourceModelRange struct {
	Name corev1.ResourceName `json:"name"`
	Min  resource.Quantity   `json:"min"`
	Max  resource.Quantity   `json:"max"`
}

// ClusterStatus is what was seen of a cluster.
type ClusterStatus struct {
	ObservedGeneration int64  `json:"observedGeneration,omitempty"`
	KubernetesVersion  string `json:"kubernetesVersion,omitempty"`
	// APIEnablements are the kinds that the cluster serves. Absent: everything.
	APIEnablements []APIEnablement `json:"apiEnablements,omitempty"`
	// Conditions carry Ready; without it the cluster counts as ready.
	Conditions      []metav1.Condition `json:"conditions,omitempty"`
	NodeSummary     *NodeSummary       `json:"nodeSummary,omitempty"`
	ResourceSummary *ResourceSummary   `json:"resourceSummary,omitempty"`
	// RemedyActions are Karmada's; they are accepted and not acted on.
	RemedyActions []string `json:"remedyActions,omitempty"`
	// ExternalScores are scores from 0 to 100 that someone else publishes, by name, for the scorer
	// External.
	ExternalScores map[string]int64 `json:"externalScores,omitempty"`
}

// APIEnablement lists the served kinds of a group and version.
type APIEnablement struct {
	GroupVersion string        `json:"groupVersion"`
	Resources    []APIResource `json:"resources,omitempty"`
}

// APIResource is a served kind.
type APIResource struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Namespaced tells the scope where it is known.
	Namespaced *bool `json:"namespaced,omitempty"`
}

// NodeSummary counts nodes.
type NodeSummary struct {
	TotalNum int32 `json:"totalNum,omitempty"`
	ReadyNum int32 `json:"readyNum,omitempty"`
}

// ResourceSummary is what a cluster can hold and holds.
type ResourceSummary struct {
	Allocatable corev1.ResourceList `json:"allocatable,omitempty"`
	// Allocating is requested by pods that are not scheduled yet.
	Allocating corev1.ResourceList `json:"allocating,omitempty"`
	Allocated  corev1.ResourceList `json:"allocated,omitempty"`
	// Ours is the part of Allocated and Allocating that belongs to what we manage.
	Ours corev1.ResourceList `json:"ours,omitempty"`
	// AllocatableModelings count the nodes of each grade.
	AllocatableModelings []AllocatableModeling `json:"allocatableModelings,omitempty"`
}

// AllocatableModeling counts the nodes of a grade.
type AllocatableModeling struct {
	Grade uint `json:"grade"`
	Count int  `json:"count"`
}
