package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Cluster is a member of the fleet: what it is, how to reach it and what it can hold.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=mcl,categories=armada
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.kubernetesVersion`
// +kubebuilder:printcolumn:name="Region",type=string,JSONPath=`.status.summary.region`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Taints",type=string,JSONPath=`.status.summary.taints`
// +kubebuilder:printcolumn:name="Capacity",type=string,JSONPath=`.status.summary.capacity`
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ClusterSpec   `json:"spec,omitempty"`
	Status            ClusterStatus `json:"status,omitempty"`

	// Position is where a fleet file or repository declares the cluster.
	Position Position `json:"-"`
}

// ClusterSpec is what people say about a cluster.
//
// +kubebuilder:validation:XValidation:rule="!has(self.kubeconfigFile)",message="kubeconfigFile is for a standalone controller; use secretRef"
type ClusterSpec struct {
	Provider string `json:"provider,omitempty"`
	Region   string `json:"region,omitempty"`
	// Zone is Karmada's deprecated single zone; it is read as the only item of Zones.
	Zone string `json:"zone,omitempty"`
	// +listType=set
	Zones []string `json:"zones,omitempty"`
	// Taints keep workloads away that do not tolerate them.
	// +listType=map
	// +listMapKey=key
	// +listMapKey=effect
	// +kubebuilder:validation:MaxItems=100
	Taints []corev1.Taint `json:"taints,omitempty"`
	// ResourceModels name grades of nodes by ranges of their resources.
	// +listType=map
	// +listMapKey=grade
	ResourceModels []ResourceModel `json:"resourceModels,omitempty"`

	// KubeconfigFile is how a standalone controller reaches the cluster, relative to the
	// configuration file.
	KubeconfigFile string `json:"kubeconfigFile,omitempty"`
	// KubeconfigContext selects a context of that file. Default: its current context.
	KubeconfigContext string `json:"kubeconfigContext,omitempty"`
	// SecretRef is how a controller in a hub reaches the cluster: a Secret with a kubeconfig.
	SecretRef *SecretReference `json:"secretRef,omitempty"`
	// ClusterProfileRef is how it reaches the cluster without a Secret: by the credential plug-in that
	// discovery.clusterProfiles of the Config allows for a ClusterProfile.
	ClusterProfileRef *ClusterProfileReference `json:"clusterProfileRef,omitempty"`

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
	// Namespace of the Secret. Default: the controller's own.
	Namespace string `json:"namespace,omitempty"`
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Key is the entry of the Secret. Default: kubeconfig, or value where there is none.
	Key string `json:"key,omitempty"`
}

// ResourceModel is a grade of nodes.
type ResourceModel struct {
	// +kubebuilder:validation:Minimum=0
	Grade uint `json:"grade"`
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
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
	// +listType=atomic
	APIEnablements []APIEnablement `json:"apiEnablements,omitempty"`
	// Conditions carry Ready; without it the cluster counts as ready.
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Taints are those that the cluster's health puts on it, with their times, and since when a NoExecute
	// taint of the spec is there that does not say so itself. Those of the spec come on top.
	// +listType=atomic
	Taints []corev1.Taint `json:"taints,omitempty"`
	// Evictions says whether workloads may be moved away.
	Evictions *EvictionStatus `json:"evictions,omitempty"`
	// ReadyHistory are the latest changes of Ready, the oldest first: a cluster that was hardly ever ready
	// does not count when it is judged whose fault a loss of many is.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	ReadyHistory []ReadyTransition `json:"readyHistory,omitempty"`
	// Summary says the same in words for lists of clusters.
	Summary     *ClusterSummary `json:"summary,omitempty"`
	NodeSummary *NodeSummary    `json:"nodeSummary,omitempty"`
	// Region and Zones are where the cluster's nodes are, by their labels topology.kubernetes.io/region and
	// topology.kubernetes.io/zone. They count where the spec names none. A zone stays for a day after its
	// last node has gone.
	Region string `json:"region,omitempty"`
	// +listType=set
	Zones           []string         `json:"zones,omitempty"`
	ResourceSummary *ResourceSummary `json:"resourceSummary,omitempty"`
	// RemedyActions are Karmada's; they are accepted and not acted on.
	// +listType=atomic
	RemedyActions []string `json:"remedyActions,omitempty"`
	// ExternalScores are scores from 0 to 100 that someone else publishes, by name, for the scorer
	// External.
	ExternalScores map[string]int64 `json:"externalScores,omitempty"`
}

// ClusterSummary is what a list of clusters shows.
type ClusterSummary struct {
	// Region is where the cluster is: the region of the spec, or else that of its nodes.
	Region string `json:"region,omitempty"`
	// Taints are all taints in force, as key:effect.
	Taints string `json:"taints,omitempty"`
	// Capacity is what is allocated of what can be allocated, as "cpu 3/16, memory 10Gi/64Gi, nodes 2/2".
	Capacity string `json:"capacity,omitempty"`
}

// APIEnablement lists the served kinds of a group and version.
type APIEnablement struct {
	GroupVersion string `json:"groupVersion"`
	// +listType=atomic
	Resources []APIResource `json:"resources,omitempty"`
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
	// +listType=atomic
	AllocatableModelings []AllocatableModeling `json:"allocatableModelings,omitempty"`
}

// AllocatableModeling counts the nodes of a grade.
type AllocatableModeling struct {
	Grade uint `json:"grade"`
	Count int  `json:"count"`
}
