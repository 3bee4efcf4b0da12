package simfleet

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/diff"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// builtinRules returns the rules of a kind that go beyond the generic strategy:
// the faults that manifests really have and the fields that cannot change, in
// the words of k8s.io/kubernetes/pkg/apis/*/validation.
func builtinRules(name string) kindRules {
	switch name {
	case "Namespace":
		return namespaceRules()
	case "Service":
		return serviceRules()
	case "ServiceAccount":
		return kindRules{name: validation.ValidateServiceAccountName}
	case "ConfigMap":
		return kindRules{validate: validateConfigMap, validateUpdate: validateConfigMapUpdate}
	case "Secret":
		return kindRules{prepareUpdate: keepSecretType, validate: validateSecret, validateUpdate: validateSecretUpdate}
	case "Deployment", "DaemonSet", "StatefulSet", "Job":
		return workloadRules(name)
	case "Pod":
		return kindRules{
			prepareCreate: func(_ *Cluster, o runtime.Object) { admitPod(o.(*corev1.Pod)) },
			validate: func(o runtime.Object) field.ErrorList {
				return validatePodSpec(&o.(*corev1.Pod).Spec, field.NewPath("spec"))
			},
		}
	case "PersistentVolumeClaim":
		return kindRules{
			prepareCreate: func(_ *Cluster, o runtime.Object) {
				claim := o.(*corev1.PersistentVolumeClaim)
				claim.Status.Phase = corev1.ClaimPending
				protect(claim, claimProtection)
			},
			validate: validateClaim, validateUpdate: validateClaimUpdate,
		}
	case "PersistentVolume":
		return kindRules{prepareCreate: func(c *Cluster, o runtime.Object) {
			volume := o.(*corev1.PersistentVolume)
			now := metav1.NewTime(c.now())
			volume.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending, LastPhaseTransitionTime: &now}
			protect(volume, volumeProtection)
		}}
	case "Role", "ClusterRole":
		return kindRules{name: validatePathSegment}
	case "RoleBinding":
		return kindRules{name: validatePathSegment, validateUpdate: func(o, old runtime.Object) field.ErrorList {
			return validateRoleRef(o.(*rbacv1.RoleBinding).RoleRef, old.(*rbacv1.RoleBinding).RoleRef)
		}}
	case "ClusterRoleBinding":
		return kindRules{name: validatePathSegment, validateUpdate: func(o, old runtime.Object) field.ErrorList {
			return validateRoleRef(o.(*rbacv1.ClusterRoleBinding).RoleRef, old.(*rbacv1.ClusterRoleBinding).RoleRef)
		}}
	case "CustomResourceDefinition":
		return definitionRules()
	default:
		return kindRules{}
	}
}

// workloadRules returns the rules of the kinds that run pods.
func workloadRules(name string) kindRules {
	switch name {
	case "Deployment":
		return kindRules{
			validate: func(o runtime.Object) field.ErrorList {
				d := o.(*appsv1.Deployment)
				return validateWorkload("deployment", d.Spec.Replicas, d.Spec.Selector, &d.Spec.Template)
			},
			validateUpdate: func(o, old runtime.Object) field.ErrorList {
				return validation.ValidateImmutableField(o.(*appsv1.Deployment).Spec.Selector, old.(*appsv1.Deployment).Spec.Selector, field.NewPath("spec", "selector"))
			},
		}
	case "DaemonSet":
		return kindRules{
			prepareCreate: func(_ *Cluster, o runtime.Object) { countTemplate(o.(*appsv1.DaemonSet), nil) },
			prepareUpdate: func(o, old runtime.Object) { countTemplate(o.(*appsv1.DaemonSet), old.(*appsv1.DaemonSet)) },
			validate: func(o runtime.Object) field.ErrorList {
				d := o.(*appsv1.DaemonSet)
				return validateWorkload("daemonset", nil, d.Spec.Selector, &d.Spec.Template)
			},
			validateUpdate: func(o, old runtime.Object) field.ErrorList {
				return validation.ValidateImmutableField(o.(*appsv1.DaemonSet).Spec.Selector, old.(*appsv1.DaemonSet).Spec.Selector, field.NewPath("spec", "selector"))
			},
		}
	case "StatefulSet":
		return kindRules{
			validate: func(o runtime.Object) field.ErrorList {
				d := o.(*appsv1.StatefulSet)
				return validateWorkload("statefulset", d.Spec.Replicas, d.Spec.Selector, withClaims(&d.Spec))
			},
			validateUpdate: validateStatefulSetUpdate,
		}
	case "Job":
		return kindRules{prepareCreate: prepareJob, validate: validateJob, validateUpdate: validateJobUpdate}
	default:
		return kindRules{}
	}
}

func validateConfigMap(o runtime.Object) field.ErrorList {
	cm := o.(*corev1.ConfigMap)
	var errs field.ErrorList
	for key := range cm.Data {
		errs = append(errs, validateConfigKey(key, field.NewPath("data"))...)
		if _, twice := cm.BinaryData[key]; twice {
			errs = append(errs, field.Invalid(field.NewPath("data").Key(key), key, fmt.Sprintf("duplicate of key present in %s", field.NewPath("binaryData"))))
		}
	}
	for key := range cm.BinaryData {
		errs = append(errs, validateConfigKey(key, field.NewPath("binaryData"))...)
	}
	return errs
}

func validateConfigKey(key string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range utilvalidation.IsConfigMapKey(key) {
		errs = append(errs, field.Invalid(at.Key(key), key, msg))
	}
	return errs
}

const frozenMessage = "field is immutable when `immutable` is set"

func validateConfigMapUpdate(o, old runtime.Object) field.ErrorList {
	a, b := o.(*corev1.ConfigMap), old.(*corev1.ConfigMap)
	if b.Immutable == nil || !*b.Immutable {
		return nil
	}
	errs := stillImmutable(a.Immutable)
	if !reflect.DeepEqual(a.Data, b.Data) {
		errs = append(errs, field.Forbidden(field.NewPath("data"), frozenMessage))
	}
	if !reflect.DeepEqual(a.BinaryData, b.BinaryData) {
		errs = append(errs, field.Forbidden(field.NewPath("binaryData"), frozenMessage))
	}
	return errs
}

func stillImmutable(b *bool) field.ErrorList {
	if b != nil && *b {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("immutable"), frozenMessage)}
}

func keepSecretType(o, old runtime.Object) {
	if a := o.(*corev1.Secret); a.Type == "" {
		a.Type = old.(*corev1.Secret).Type
	}
}

func validateSecret(o runtime.Object) field.ErrorList {
	var errs field.ErrorList
	for key := range o.(*corev1.Secret).Data {
		errs = append(errs, validateConfigKey(key, field.NewPath("data"))...)
	}
	return errs
}

func validateSecretUpdate(o, old runtime.Object) field.ErrorList {
	a, b := o.(*corev1.Secret), old.(*corev1.Secret)
	errs := validation.ValidateImmutableField(a.Type, b.Type, field.NewPath("type"))
	if b.Immutable == nil || !*b.Immutable {
		return errs
	}
	errs = append(errs, stillImmutable(a.Immutable)...)
	if !reflect.DeepEqual(a.Data, b.Data) {
		errs = append(errs, field.Forbidden(field.NewPath("data"), frozenMessage))
	}
	return errs
}

// validateWorkload checks what Deployments, StatefulSets and DaemonSets share:
// replicas, the selector, and the pods that it must select.
func validateWorkload(kindWord string, replicas *int32, selector *metav1.LabelSelector, template *corev1.PodTemplateSpec) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if replicas != nil {
		errs = append(errs, validation.ValidateNonnegativeField(int64(*replicas), spec.Child("replicas"))...)
	}
	if selector == nil {
		errs = append(errs, field.Required(spec.Child("selector"), ""))
	} else {
		errs = append(errs, metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, spec.Child("selector"))...)
		if len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
			errs = append(errs, field.Invalid(spec.Child("selector"), selector, "empty selector is invalid for "+kindWord))
		}
	}
	at := spec.Child("template")
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	switch {
	case err != nil:
		errs = append(errs, field.Invalid(spec.Child("selector"), selector, "invalid label selector"))
	case !parsed.Empty() && !parsed.Matches(labels.Set(template.Labels)):
		errs = append(errs, field.Invalid(at.Child("metadata", "labels"), template.Labels, "`selector` does not match template `labels`"))
	}
	errs = append(errs, metavalidation.ValidateLabels(template.Labels, at.Child("metadata", "labels"))...)
	errs = append(errs, validatePodSpec(&template.Spec, at.Child("spec"))...)
	if template.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(at.Child("spec", "restartPolicy"), template.Spec.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	return errs
}

func validatePodSpec(spec *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(spec.Containers) == 0 {
		errs = append(errs, field.Required(at.Child("containers"), ""))
	}
	volumes := map[string]bool{}
	for i, v := range spec.Volumes {
		errs = append(errs, validateUniqueLabel(v.Name, volumes, at.Child("volumes").Index(i).Child("name"))...)
	}
	seen := map[string]bool{}
	for i := range spec.Containers {
		errs = append(errs, validateContainer(&spec.Containers[i], seen, volumes, at.Child("containers").Index(i))...)
	}
	for i := range spec.InitContainers {
		errs = append(errs, validateContainer(&spec.InitContainers[i], seen, volumes, at.Child("initContainers").Index(i))...)
	}
	return errs
}

func validateUniqueLabel(name string, seen map[string]bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case name == "":
		errs = append(errs, field.Required(at, ""))
	case seen[name]:
		errs = append(errs, field.Duplicate(at, name))
	default:
		for _, msg := range utilvalidation.IsDNS1123Label(name) {
			errs = append(errs, field.Invalid(at, name, msg))
		}
	}
	seen[name] = true
	return errs
}

func validateContainer(c *corev1.Container, seen, volumes map[string]bool, at *field.Path) field.ErrorList {
	errs := validateUniqueLabel(c.Name, seen, at.Child("name"))
	if c.Image == "" {
		errs = append(errs, field.Required(at.Child("image"), ""))
	}
	for i, p := range c.Ports {
		for _, msg := range utilvalidation.IsValidPortNum(int(p.ContainerPort)) {
			errs = append(errs, field.Invalid(at.Child("ports").Index(i).Child("containerPort"), p.ContainerPort, msg))
		}
	}
	for i, e := range c.Env {
		if e.Name == "" {
			errs = append(errs, field.Required(at.Child("env").Index(i).Child("name"), ""))
		}
	}
	for i, m := range c.VolumeMounts {
		switch {
		case m.Name == "":
			errs = append(errs, field.Required(at.Child("volumeMounts").Index(i).Child("name"), ""))
		case !volumes[m.Name]:
			errs = append(errs, field.NotFound(at.Child("volumeMounts").Index(i).Child("name"), m.Name))
		}
		if m.MountPath == "" {
			errs = append(errs, field.Required(at.Child("volumeMounts").Index(i).Child("mountPath"), ""))
		}
	}
	return append(errs, validateResources(&c.Resources, at.Child("resources"))...)
}

func validateResources(r *corev1.ResourceRequirements, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for name, request := range r.Requests {
		if limit, ok := r.Limits[name]; ok && request.Cmp(limit) > 0 {
			errs = append(errs, field.Invalid(at.Child("requests"), request.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String())))
		}
	}
	return errs
}

// countTemplate keeps the annotation in which a DaemonSet counts its templates,
// a leftover of an older API that the server still serves.
func countTemplate(o, old *appsv1.DaemonSet) {
	n := 1
	if old != nil {
		n, _ = strconv.Atoi(old.Annotations[appsv1.DeprecatedTemplateGeneration])
		if !equality.Semantic.DeepEqual(o.Spec.Template, old.Spec.Template) {
			n++
		}
	}
	if o.Annotations == nil {
		o.Annotations = map[string]string{}
	}
	o.Annotations[appsv1.DeprecatedTemplateGeneration] = strconv.Itoa(n)
}

// withClaims returns the pod template with a volume per claim template, as the
// pods get it.
func withClaims(spec *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	if len(spec.VolumeClaimTemplates) == 0 {
		return &spec.Template
	}
	t := spec.Template.DeepCopy()
	for _, claim := range spec.VolumeClaimTemplates {
		t.Spec.Volumes = slices.DeleteFunc(t.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == claim.Name })
		t.Spec.Volumes = append(t.Spec.Volumes, corev1.Volume{Name: claim.Name})
	}
	return t
}

func validateStatefulSetUpdate(o, old runtime.Object) field.ErrorList {
	a, b := o.(*appsv1.StatefulSet).DeepCopy(), old.(*appsv1.StatefulSet)
	a.Spec.Replicas = b.Spec.Replicas
	a.Spec.Template = b.Spec.Template
	a.Spec.UpdateStrategy = b.Spec.UpdateStrategy
	a.Spec.MinReadySeconds = b.Spec.MinReadySeconds
	a.Spec.Ordinals = b.Spec.Ordinals
	a.Spec.RevisionHistoryLimit = b.Spec.RevisionHistoryLimit
	a.Spec.PersistentVolumeClaimRetentionPolicy = b.Spec.PersistentVolumeClaimRetentionPolicy
	if equality.Semantic.DeepEqual(a.Spec, b.Spec) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec"), "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")}
}

// prepareJob generates the selector and the labels that tie pods to their Job.
func prepareJob(_ *Cluster, o runtime.Object) {
	job := o.(*batchv1.Job)
	if job.Spec.ManualSelector != nil && *job.Spec.ManualSelector {
		return
	}
	uid, name := string(job.UID), job.Name
	if job.Spec.Template.Labels == nil {
		job.Spec.Template.Labels = map[string]string{}
	}
	for key, value := range map[string]string{
		"job-name": name, batchv1.JobNameLabel: name, "controller-uid": uid, batchv1.ControllerUidLabel: uid,
	} {
		if _, ok := job.Spec.Template.Labels[key]; !ok {
			job.Spec.Template.Labels[key] = value
		}
	}
	setDefault(&job.Spec.Selector, metav1.LabelSelector{})
	if job.Spec.Selector.MatchLabels == nil {
		job.Spec.Selector.MatchLabels = map[string]string{}
	}
	if _, ok := job.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel]; !ok {
		job.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] = uid
	}
	if len(job.Labels) == 0 {
		job.Labels = maps.Clone(job.Spec.Template.Labels)
	}
}

func validateJob(o runtime.Object) field.ErrorList {
	job := o.(*batchv1.Job)
	at := field.NewPath("spec", "template", "spec")
	errs := validatePodSpec(&job.Spec.Template.Spec, at)
	switch policy := job.Spec.Template.Spec.RestartPolicy; policy {
	case corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever:
	default:
		errs = append(errs, field.Required(at.Child("restartPolicy"),
			fmt.Sprintf("valid values: %q, %q", corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)))
	}
	return errs
}

func validateJobUpdate(o, old runtime.Object) field.ErrorList {
	a, b := o.(*batchv1.Job), old.(*batchv1.Job)
	spec := field.NewPath("spec")
	errs := validation.ValidateImmutableField(a.Spec.Completions, b.Spec.Completions, spec.Child("completions"))
	errs = append(errs, validation.ValidateImmutableField(a.Spec.Selector, b.Spec.Selector, spec.Child("selector"))...)
	errs = append(errs, validation.ValidateImmutableField(a.Spec.Template, b.Spec.Template, spec.Child("template"))...)
	return append(errs, validation.ValidateImmutableField(a.Spec.CompletionMode, b.Spec.CompletionMode, spec.Child("completionMode"))...)
}

func validateClaim(o runtime.Object) field.ErrorList {
	claim := o.(*corev1.PersistentVolumeClaim)
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if len(claim.Spec.AccessModes) == 0 {
		errs = append(errs, field.Required(spec.Child("accessModes"), "at least 1 access mode is required"))
	}
	if _, ok := claim.Spec.Resources.Requests[corev1.ResourceStorage]; !ok {
		errs = append(errs, field.Required(spec.Child("resources").Key(string(corev1.ResourceStorage)), ""))
	}
	return errs
}

func validateClaimUpdate(o, old runtime.Object) field.ErrorList {
	a, b := o.(*corev1.PersistentVolumeClaim).DeepCopy(), old.(*corev1.PersistentVolumeClaim).DeepCopy()
	if b.Spec.VolumeName == "" {
		b.Spec.VolumeName = a.Spec.VolumeName
	}
	// A claim that waits for a default class may get one later.
	if b.Spec.StorageClassName == nil {
		a.Spec.StorageClassName = nil
	}
	if a.Status.Phase == corev1.ClaimBound && a.Spec.Resources.Requests != nil {
		a.Spec.Resources.Requests[corev1.ResourceStorage] = b.Spec.Resources.Requests[corev1.ResourceStorage]
		a.Spec.VolumeAttributesClassName = b.Spec.VolumeAttributesClassName
	}
	if equality.Semantic.DeepEqual(a.Spec, b.Spec) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec"), fmt.Sprintf(
		"spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n%v", diff.Diff(b.Spec, a.Spec)))}
}

func validateRoleRef(ref, old rbacv1.RoleRef) field.ErrorList {
	if ref == old {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("roleRef"), ref, "cannot change roleRef")}
}

// validatePathSegment is the rule for the names of RBAC objects: whatever may stand in a path.
func validatePathSegment(name string, prefix bool) []string {
	if prefix {
		return content.IsPathSegmentPrefix(name)
	}
	return content.IsPathSegmentName(name)
}
