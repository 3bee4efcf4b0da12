package immutable

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// field is one that cannot be changed.
type field struct {
	// path are the names down to it; "*" stands for any name or index. Everything below is meant.
	path []string
	// except are paths below it that may be changed.
	except [][]string
	// chosen tells that the cluster fills the field in where the manifest leaves it out, so that what it is
	// then is not known here; leaving it out again changes nothing where kept is set.
	chosen, kept bool
	// free tells that the field may be changed in this object after all; nil: never.
	free func(old, new map[string]any) bool
}

// Refusal says in which words the API server refuses to change a field. The words differ by kind and few of
// them are "immutable".
type Refusal struct {
	// Field is a prefix of the cause's field, and Message part of its message.
	Field, Message string
	// Name is that of the field, for people; empty: the cause's.
	Name string
}

// rule is what is known of one kind.
type rule struct {
	fields   []field
	refusals []Refusal
}

// Names of fields that stand for many.
const (
	statefulSetName = "a field of spec other than replicas, template or updateStrategy"
	podName         = "a field of spec other than the images"
	claimName       = "a field of spec other than the requested size of a bound claim"
)

// kinds returns what is known of a kind.
func kinds(gk schema.GroupKind) rule {
	switch gk.Group {
	case "":
		return coreKinds(gk.Kind)
	case "apps":
		return appsKinds(gk.Kind)
	case "batch":
		if gk.Kind == "Job" {
			return job()
		}
	case "rbac.authorization.k8s.io":
		if gk.Kind == "RoleBinding" || gk.Kind == "ClusterRoleBinding" {
			return rule{[]field{at("roleRef")}, []Refusal{{"roleRef", "cannot change roleRef", ""}}}
		}
	case "storage.k8s.io":
		return storageKinds(gk.Kind)
	case "scheduling.k8s.io":
		if gk.Kind == "PriorityClass" {
			return rule{
				[]field{at("value"), at("preemptionPolicy")},
				[]Refusal{{"value", "may not be changed in an update", ""}, {"preemptionPolicy", "may not be changed in an update", ""}},
			}
		}
	case "networking.k8s.io":
		if gk.Kind == "IngressClass" {
			return rule{fields: []field{at("spec", "controller")}}
		}
	case "node.k8s.io":
		if gk.Kind == "RuntimeClass" {
			return rule{fields: []field{at("handler")}}
		}
	case "discovery.k8s.io":
		if gk.Kind == "EndpointSlice" {
			return rule{fields: []field{at("addressType")}}
		}
	case "apiextensions.k8s.io":
		if gk.Kind == "CustomResourceDefinition" {
			return rule{fields: []field{at("spec", "group"), at("spec", "scope"), at("spec", "names", "kind"), at("spec", "names", "plural")}}
		}
	}
	return rule{}
}

func at(path ...string) field { return field{path: path} }

func coreKinds(kind string) rule {
	switch kind {
	case "Pod":
		return rule{
			[]field{{path: []string{"spec"}, except: [][]string{
				{"containers", "*", "image"}, {"initContainers", "*", "image"}, {"activeDeadlineSeconds"}, {"tolerations"}, {"schedulingGates"},
			}}},
			[]Refusal{{"spec", "pod updates may not", podName}, {"spec.containers", "pod updates may not add or remove containers", ""}},
		}
	case "Service":
		return rule{
			[]field{
				{path: []string{"spec", "clusterIP"}, chosen: true, kept: true, free: external},
				{path: []string{"spec", "clusterIPs", "0"}, chosen: true, kept: true, free: external},
				{path: []string{"spec", "ipFamilies", "0"}, chosen: true, kept: true, free: external},
			},
			[]Refusal{
				{"spec.clusterIP", "may not change once set", ""}, {"spec.clusterIP", "primary clusterIP can not be", ""},
				{"spec.ipFamilies", "may not change once set", ""},
			},
		}
	case "PersistentVolumeClaim":
		return rule{
			[]field{
				{path: []string{"spec"}, except: [][]string{{"resources"}, {"volumeAttributesClassName"}, {"storageClassName"}, {"volumeName"}}},
				{path: []string{"spec", "storageClassName"}, chosen: true},
				{path: []string{"spec", "volumeName"}, chosen: true},
			},
			[]Refusal{{"spec", "spec is immutable after creation", claimName}},
		}
	case "PersistentVolume":
		return rule{
			[]field{{path: []string{"spec"}, except: [][]string{
				{"capacity"}, {"accessModes"}, {"claimRef"}, {"persistentVolumeReclaimPolicy"}, {"storageClassName"}, {"mountOptions"},
				{"nodeAffinity"}, {"volumeAttributesClassName"},
			}}},
			[]Refusal{{"spec.persistentvolumesource", "spec.persistentvolumesource is immutable", ""}},
		}
	case "ConfigMap", "Secret":
		fields := []field{sealed("data"), sealed("binaryData"), sealed("stringData"), sealed("immutable")}
		if kind == "Secret" {
			fields = append(fields, at("type"))
		}
		return rule{fields, []Refusal{{"", "field is immutable when `immutable` is set", "data (the live object says immutable: true)"}}}
	}
	return rule{}
}

// external tells that a Service is, or was, a name without an address.
func external(old, new map[string]any) bool {
	return valueAt(old, "spec", "type") == "ExternalName" || valueAt(new, "spec", "type") == "ExternalName"
}

// sealed is a field that cannot be changed once the object says that it is immutable.
func sealed(path ...string) field {
	return field{path: path, free: func(old, _ map[string]any) bool { return old["immutable"] != true }}
}

func appsKinds(kind string) rule {
	switch kind {
	case "Deployment", "DaemonSet", "ReplicaSet":
		return rule{fields: []field{at("spec", "selector")}}
	case "StatefulSet":
		return rule{
			[]field{{path: []string{"spec"}, except: [][]string{
				{"replicas"}, {"ordinals"}, {"template"}, {"updateStrategy"}, {"revisionHistoryLimit"},
				{"persistentVolumeClaimRetentionPolicy"}, {"minReadySeconds"},
			}}},
			[]Refusal{{"spec", "updates to statefulset spec for fields other than", statefulSetName}},
		}
	}
	return rule{}
}

// job: the template of one that is suspended may be changed in part, which is left to the API server.
func job() rule {
	return rule{fields: []field{
		{path: []string{"spec", "selector"}, chosen: true},
		{path: []string{"spec", "template"}, free: func(old, _ map[string]any) bool { return valueAt(old, "spec", "suspend") == true }},
		{path: []string{"spec", "completions"}, free: func(_, new map[string]any) bool { return valueAt(new, "spec", "completionMode") == "Indexed" }},
		at("spec", "completionMode"), at("spec", "podFailurePolicy"), at("spec", "backoffLimitPerIndex"),
		at("spec", "managedBy"), at("spec", "successPolicy"),
	}}
}

func storageKinds(kind string) rule {
	switch kind {
	case "StorageClass":
		return rule{
			[]field{at("provisioner"), at("parameters"), at("reclaimPolicy"), at("volumeBindingMode")},
			[]Refusal{{"", "updates to", ""}},
		}
	case "VolumeAttributesClass":
		return rule{fields: []field{at("driverName"), at("parameters")}}
	}
	return rule{}
}

// usual returns what the API server takes a field for that is left out: writing it out, or leaving it out
// again, changes nothing.
func usual(path []string) (any, bool) {
	for _, d := range []struct {
		path  string
		value any
		// ending tells that the path is the end of the field's.
		ending bool
	}{
		{"type", "Opaque", false},
		{"preemptionPolicy", "PreemptLowerPriority", false},
		{"reclaimPolicy", "Delete", false},
		{"volumeBindingMode", "Immediate", false},
		{"roleRef.apiGroup", "rbac.authorization.k8s.io", false},
		{"spec.podManagementPolicy", "OrderedReady", false},
		{"spec.serviceName", "", false},
		{"spec.completionMode", "NonIndexed", false},
		{"spec.managedBy", "kubernetes.io/job-controller", false},
		{"spec.volumeMode", "Filesystem", false},
		{"spec.volumeClaimTemplates.*.apiVersion", "v1", false},
		{"spec.volumeClaimTemplates.*.kind", "PersistentVolumeClaim", false},
		{"spec.volumeClaimTemplates.*.spec.volumeMode", "Filesystem", false},
		{"spec.terminationGracePeriodSeconds", int64(30), true},
		{"spec.dnsPolicy", "ClusterFirst", true},
		{"spec.schedulerName", "default-scheduler", true},
		{"spec.enableServiceLinks", true, true},
		{"containers.*.terminationMessagePath", "/dev/termination-log", true},
		{"containers.*.terminationMessagePolicy", "File", true},
		{"ports.*.protocol", "TCP", true},
		{"fieldRef.apiVersion", "v1", true},
	} {
		pattern := strings.Split(d.path, ".")
		cut := len(path) - len(pattern)
		if cut == 0 || d.ending && cut > 0 {
			if covers(pattern, path[cut:]) {
				return d.value, true
			}
		}
	}
	return nil, false
}
