package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Labels and annotations of discovery on a hub.
const (
	// LabelDiscoveredBy on a Cluster says how it came into the fleet: a value of Discoverer.
	LabelDiscoveredBy = "armada-sync.io/discovered-by"
	// AnnotationDiscoveredFrom on a Cluster names the object that it was discovered from, as
	// <discoverer>/<namespace>/<name>.
	AnnotationDiscoveredFrom = "armada-sync.io/discovered-from"
	// LabelDiscovery set to DiscoveryIgnore on an object keeps its cluster out of the fleet.
	LabelDiscovery  = "armada-sync.io/discovery"
	DiscoveryIgnore = "ignore"
)

// Discoverer says where a cluster was found.
type Discoverer string

// The discoverers.
const (
	DiscoveredByClusterAPI     Discoverer = "cluster-api"
	DiscoveredByClusterProfile Discoverer = "cluster-profile"
	DiscoveredByArgoCD         Discoverer = "argo-cd"
)

// DiscoveryConfig says where a controller in a hub looks for clusters that join by themselves. What is
// absent is not looked at.
type DiscoveryConfig struct {
	// ClusterAPI takes up the clusters of Cluster API, by the Secrets <cluster>-kubeconfig.
	ClusterAPI *DiscoveryScope `json:"clusterAPI,omitempty"`
	// ClusterProfiles takes up the ClusterProfiles of SIG-Multicluster, by credential plug-ins.
	ClusterProfiles *ClusterProfileDiscovery `json:"clusterProfiles,omitempty"`
	// ArgoCD takes up the clusters that Argo CD knows, by its cluster Secrets.
	ArgoCD *DiscoveryScope `json:"argoCD,omitempty"`
}

// DiscoveryScope bounds who can bring clusters into the fleet: whoever may write the objects in these
// namespaces.
type DiscoveryScope struct {
	// Namespaces are looked at. The controller needs the rights to, which are bound in each of them.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	Namespaces []string `json:"namespaces"`
	// Selector selects by the labels of the object that describes the cluster: the Cluster of Cluster
	// API, the ClusterProfile, the Secret of Argo CD. Default: all.
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// Labels are put on each cluster, beside those of the object that describes it.
	// +kubebuilder:validation:MaxProperties=50
	Labels map[string]string `json:"labels,omitempty"`
}

// ClusterProfileDiscovery is where ClusterProfiles are looked for and how their clusters are reached.
type ClusterProfileDiscovery struct {
	DiscoveryScope `json:",inline"`
	// Providers are the kinds of access that may be used, by the names that ClusterProfiles give them,
	// the preferred first. Others are not used.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	Providers []CredentialProvider `json:"providers"`
}

// CredentialProvider is a credential plug-in: a program that tells the credentials of a cluster by the
// protocol of client-go. A ClusterProfile chooses it by name and has no say in how it is run.
type CredentialProvider struct {
	// Name as in status.accessProviders of a ClusterProfile.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Command is the name of a file in the folder that the controller was started with
	// (--credential-plugins).
	// +kubebuilder:validation:Pattern="^[A-Za-z0-9_][A-Za-z0-9._-]*$"
	// +kubebuilder:validation:MaxLength=253
	Command string `json:"command"`
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Args []string `json:"args,omitempty"`
	// Env is added to the environment of the controller.
	// +kubebuilder:validation:MaxProperties=100
	Env map[string]string `json:"env,omitempty"`
	// APIVersion of the protocol. Default client.authentication.k8s.io/v1.
	// +kubebuilder:validation:Enum=client.authentication.k8s.io/v1;client.authentication.k8s.io/v1beta1
	APIVersion string `json:"apiVersion,omitempty"`
}

// ClusterProfileReference names a ClusterProfile of SIG-Multicluster on the hub.
type ClusterProfileReference struct {
	// +kubebuilder:validation:MinLength=1
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}
