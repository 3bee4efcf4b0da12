package simfleet

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// generationRule says what bumps metadata.generation of a kind.
type generationRule int

const (
	// generationNone: the kind has no generation.
	generationNone generationRule = iota
	// generationSpec: a change of spec.
	generationSpec
	// generationSpecAndAnnotations: Deployments hand their annotations down.
	generationSpecAndAnnotations
	// generationContent: anything but metadata, for kinds without a spec.
	generationContent
	// generationFixed: 1 for ever.
	generationFixed
)

// kind is one built-in kind as the API server serves it. The values were read
// from the strategies in k8s.io/kubernetes/pkg/registry.
type kind struct {
	gvk        schema.GroupVersionKind
	plural     string
	singular   string
	short      []string
	categories []string
	namespaced bool
	status     bool
	scale      bool
	generation generationRule
	// createOnUpdate: PUT of an absent object creates it.
	createOnUpdate bool
	// needsRevision: PUT must carry a resource version.
	needsRevision bool
	// returnsDeleted: DELETE answers with the object.
	returnsDeleted bool
	// orphans: deletion keeps the dependents unless told otherwise.
	orphans bool
	// keepsStatus: status may be set at creation, as kubelets do.
	keepsStatus bool
}

func (k *kind) resource() schema.GroupResource {
	return schema.GroupResource{Group: k.gvk.Group, Resource: k.plural}
}

func (k *kind) gvr() schema.GroupVersionResource {
	return k.gvk.GroupVersion().WithResource(k.plural)
}

// builtinKinds lists what every simulated cluster serves from its start.
func builtinKinds() []*kind {
	var all []*kind
	add := func(gv schema.GroupVersion, kinds ...*kind) {
		for _, k := range kinds {
			k.gvk = gv.WithKind(k.gvk.Kind)
			all = append(all, k)
		}
	}
	add(corev1.SchemeGroupVersion, coreKinds()...)
	add(appsv1.SchemeGroupVersion, appsKinds()...)
	add(batchv1.SchemeGroupVersion,
		&kind{gvk: of("CronJob"), plural: "cronjobs", singular: "cronjob", short: s("cj"), categories: s("all"), namespaced: true, status: true, generation: generationSpec},
		&kind{gvk: of("Job"), plural: "jobs", singular: "job", categories: s("all"), namespaced: true, status: true, generation: generationSpec, orphans: true},
	)
	add(autoscalingv2.SchemeGroupVersion,
		&kind{gvk: of("HorizontalPodAutoscaler"), plural: "horizontalpodautoscalers", singular: "horizontalpodautoscaler", short: s("hpa"), categories: s("all"), namespaced: true, status: true},
	)
	add(networkingv1.SchemeGroupVersion,
		&kind{gvk: of("Ingress"), plural: "ingresses", singular: "ingress", short: s("ing"), namespaced: true, status: true, generation: generationSpec},
		&kind{gvk: of("IngressClass"), plural: "ingressclasses", singular: "ingressclass", generation: generationSpec},
		&kind{gvk: of("NetworkPolicy"), plural: "networkpolicies", singular: "networkpolicy", short: s("netpol"), namespaced: true, generation: generationSpec},
	)
	add(policyv1.SchemeGroupVersion,
		&kind{gvk: of("PodDisruptionBudget"), plural: "poddisruptionbudgets", singular: "poddisruptionbudget", short: s("pdb"), namespaced: true, status: true, generation: generationSpec, needsRevision: true},
	)
	add(rbacv1.SchemeGroupVersion,
		&kind{gvk: of("ClusterRole"), plural: "clusterroles", singular: "clusterrole", createOnUpdate: true},
		&kind{gvk: of("ClusterRoleBinding"), plural: "clusterrolebindings", singular: "clusterrolebinding", createOnUpdate: true},
		&kind{gvk: of("Role"), plural: "roles", singular: "role", namespaced: true, createOnUpdate: true},
		&kind{gvk: of("RoleBinding"), plural: "rolebindings", singular: "rolebinding", namespaced: true, createOnUpdate: true},
	)
	add(storagev1.SchemeGroupVersion,
		&kind{gvk: of("CSIDriver"), plural: "csidrivers", singular: "csidriver", needsRevision: true, returnsDeleted: true},
		&kind{gvk: of("StorageClass"), plural: "storageclasses", singular: "storageclass", short: s("sc"), returnsDeleted: true},
	)
	add(schedulingv1.SchemeGroupVersion,
		&kind{gvk: of("PriorityClass"), plural: "priorityclasses", singular: "priorityclass", short: s("pc"), generation: generationFixed},
	)
	add(coordinationv1.SchemeGroupVersion,
		&kind{gvk: of("Lease"), plural: "leases", singular: "lease", namespaced: true, createOnUpdate: true, needsRevision: true},
	)
	add(discoveryv1.SchemeGroupVersion,
		&kind{gvk: of("EndpointSlice"), plural: "endpointslices", singular: "endpointslice", namespaced: true, generation: generationContent},
	)
	add(nodev1.SchemeGroupVersion,
		&kind{gvk: of("RuntimeClass"), plural: "runtimeclasses", singular: "runtimeclass", createOnUpdate: true, needsRevision: true},
	)
	add(admissionregistrationv1.SchemeGroupVersion, admissionKinds()...)
	add(apiextensionsv1.SchemeGroupVersion,
		&kind{gvk: of("CustomResourceDefinition"), plural: "customresourcedefinitions", singular: "customresourcedefinition", short: s("crd", "crds"), categories: s("api-extensions"), status: true, generation: generationSpec, needsRevision: true},
	)
	return all
}

func coreKinds() []*kind {
	return []*kind{
		{gvk: of("ConfigMap"), plural: "configmaps", singular: "configmap", short: s("cm"), namespaced: true},
		{gvk: of("Endpoints"), plural: "endpoints", singular: "endpoints", short: s("ep"), namespaced: true, createOnUpdate: true},
		{gvk: of("Event"), plural: "events", singular: "event", short: s("ev"), namespaced: true, createOnUpdate: true},
		{gvk: of("LimitRange"), plural: "limitranges", singular: "limitrange", short: s("limits"), namespaced: true, createOnUpdate: true},
		{gvk: of("Namespace"), plural: "namespaces", singular: "namespace", short: s("ns"), status: true, returnsDeleted: true},
		{gvk: of("Node"), plural: "nodes", singular: "node", short: s("no"), status: true, keepsStatus: true},
		{gvk: of("PersistentVolume"), plural: "persistentvolumes", singular: "persistentvolume", short: s("pv"), status: true, returnsDeleted: true},
		{gvk: of("PersistentVolumeClaim"), plural: "persistentvolumeclaims", singular: "persistentvolumeclaim", short: s("pvc"), namespaced: true, status: true, returnsDeleted: true},
		{gvk: of("Pod"), plural: "pods", singular: "pod", short: s("po"), categories: s("all"), namespaced: true, status: true, generation: generationSpec, returnsDeleted: true},
		{gvk: of("PodTemplate"), plural: "podtemplates", singular: "podtemplate", namespaced: true, generation: generationContent, returnsDeleted: true},
		{gvk: of("ReplicationController"), plural: "replicationcontrollers", singular: "replicationcontroller", short: s("rc"), categories: s("all"), namespaced: true, status: true, scale: true, generation: generationSpec, orphans: true},
		{gvk: of("ResourceQuota"), plural: "resourcequotas", singular: "resourcequota", short: s("quota"), namespaced: true, status: true, returnsDeleted: true},
		{gvk: of("Secret"), plural: "secrets", singular: "secret", namespaced: true},
		{gvk: of("Service"), plural: "services", singular: "service", short: s("svc"), categories: s("all"), namespaced: true, status: true, createOnUpdate: true, returnsDeleted: true},
		{gvk: of("ServiceAccount"), plural: "serviceaccounts", singular: "serviceaccount", short: s("sa"), namespaced: true, returnsDeleted: true},
	}
}

func appsKinds() []*kind {
	return []*kind{
		{gvk: of("ControllerRevision"), plural: "controllerrevisions", singular: "controllerrevision", namespaced: true},
		{gvk: of("DaemonSet"), plural: "daemonsets", singular: "daemonset", short: s("ds"), categories: s("all"), namespaced: true, status: true, generation: generationSpec},
		{gvk: of("Deployment"), plural: "deployments", singular: "deployment", short: s("deploy"), categories: s("all"), namespaced: true, status: true, scale: true, generation: generationSpecAndAnnotations},
		{gvk: of("ReplicaSet"), plural: "replicasets", singular: "replicaset", short: s("rs"), categories: s("all"), namespaced: true, status: true, scale: true, generation: generationSpec},
		{gvk: of("StatefulSet"), plural: "statefulsets", singular: "statefulset", short: s("sts"), categories: s("all"), namespaced: true, status: true, scale: true, generation: generationSpec},
	}
}

func admissionKinds() []*kind {
	return []*kind{
		{gvk: of("MutatingWebhookConfiguration"), plural: "mutatingwebhookconfigurations", singular: "mutatingwebhookconfiguration", categories: s("api-extensions"), generation: generationContent, needsRevision: true},
		{gvk: of("ValidatingAdmissionPolicy"), plural: "validatingadmissionpolicies", singular: "validatingadmissionpolicy", categories: s("api-extensions"), status: true, generation: generationSpec, needsRevision: true},
		{gvk: of("ValidatingAdmissionPolicyBinding"), plural: "validatingadmissionpolicybindings", singular: "validatingadmissionpolicybinding", categories: s("api-extensions"), generation: generationSpec, needsRevision: true},
		{gvk: of("ValidatingWebhookConfiguration"), plural: "validatingwebhookconfigurations", singular: "validatingwebhookconfiguration", categories: s("api-extensions"), generation: generationContent, needsRevision: true},
	}
}

func of(kind string) schema.GroupVersionKind { return schema.GroupVersionKind{Kind: kind} }

func s(names ...string) []string { return names }
