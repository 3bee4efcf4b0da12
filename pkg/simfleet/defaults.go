package simfleet

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// registerDefaults adds the defaults of the built-in kinds to the scheme.
// Kubernetes' own functions live in k8s.io/kubernetes/pkg/apis/*/v1/defaults.go,
// which cannot be imported; these say the same for the fields that manifests
// leave out.
func registerDefaults(scheme *runtime.Scheme) {
	addDefault(scheme, defaultDeployment)
	addDefault(scheme, defaultStatefulSet)
	addDefault(scheme, defaultDaemonSet)
	addDefault(scheme, func(o *appsv1.ReplicaSet) {
		setDefault(&o.Spec.Replicas, 1)
		defaultPodTemplate(&o.Spec.Template)
	})
	addDefault(scheme, defaultJob)
	addDefault(scheme, defaultCronJob)
	addDefault(scheme, defaultHPA)
	addDefault(scheme, defaultService)
	addDefault(scheme, defaultPod)
	addDefault(scheme, defaultSecret)
	addDefault(scheme, defaultNamespace)
	addDefault(scheme, func(o *corev1.ReplicationController) {
		setDefault(&o.Spec.Replicas, 1)
		if o.Spec.Template != nil {
			defaultPodTemplate(o.Spec.Template)
		}
	})
	addDefault(scheme, func(o *corev1.PodTemplate) { defaultPodTemplate(&o.Template) })
	addDefault(scheme, func(o *corev1.PersistentVolumeClaim) {
		setIfEmpty(&o.Status.Phase, corev1.ClaimPending)
		defaultClaimSpec(&o.Spec)
	})
	addDefault(scheme, func(o *corev1.PersistentVolume) {
		setIfEmpty(&o.Status.Phase, corev1.VolumePending)
		setIfEmpty(&o.Spec.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
		setDefault(&o.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
		if o.Spec.HostPath != nil {
			setDefault(&o.Spec.HostPath.Type, corev1.HostPathUnset)
		}
	})
	addDefault(scheme, defaultLimitRange)
	addDefault(scheme, func(o *discoveryv1.EndpointSlice) {
		for i := range o.Ports {
			setDefault(&o.Ports[i].Name, "")
			setDefault(&o.Ports[i].Protocol, corev1.ProtocolTCP)
		}
	})
	addDefault(scheme, defaultNetworkPolicy)
	addDefault(scheme, func(o *networkingv1.IngressClass) {
		if o.Spec.Parameters != nil {
			setDefault(&o.Spec.Parameters.Scope, networkingv1.IngressClassParametersReferenceScopeCluster)
		}
	})
	addDefault(scheme, func(o *rbacv1.RoleBinding) { defaultBinding(&o.RoleRef, o.Subjects) })
	addDefault(scheme, func(o *rbacv1.ClusterRoleBinding) { defaultBinding(&o.RoleRef, o.Subjects) })
	addDefault(scheme, func(o *storagev1.StorageClass) {
		setDefault(&o.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
		setDefault(&o.VolumeBindingMode, storagev1.VolumeBindingImmediate)
	})
	addDefault(scheme, func(o *schedulingv1.PriorityClass) {
		setDefault(&o.PreemptionPolicy, corev1.PreemptLowerPriority)
	})
	registerAdmissionDefaults(scheme)
}

// addDefault registers a defaulting function for *T.
func addDefault[T any, P interface {
	*T
	runtime.Object
}](scheme *runtime.Scheme, f func(P)) {
	scheme.AddTypeDefaultingFunc(P(new(T)), func(obj any) {
		if o, ok := obj.(P); ok {
			f(o)
		}
	})
}

func setDefault[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func setIfEmpty[T ~string](p *T, value T) {
	if *p == "" {
		*p = value
	}
}

func setIfZero[T ~int32 | ~int64](p *T, value T) {
	if *p == 0 {
		*p = value
	}
}

func defaultDeployment(o *appsv1.Deployment) {
	setDefault(&o.Spec.Replicas, 1)
	st := &o.Spec.Strategy
	setIfEmpty(&st.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if st.Type == appsv1.RollingUpdateDeploymentStrategyType {
		setDefault(&st.RollingUpdate, appsv1.RollingUpdateDeployment{})
		setDefault(&st.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		setDefault(&st.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	setDefault(&o.Spec.RevisionHistoryLimit, 10)
	setDefault(&o.Spec.ProgressDeadlineSeconds, 600)
	defaultPodTemplate(&o.Spec.Template)
}

func defaultStatefulSet(o *appsv1.StatefulSet) {
	sp := &o.Spec
	setIfEmpty(&sp.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	if sp.UpdateStrategy.Type == "" {
		sp.UpdateStrategy.Type = appsv1.RollingUpdateStatefulSetStrategyType
		setDefault(&sp.UpdateStrategy.RollingUpdate, appsv1.RollingUpdateStatefulSetStrategy{})
	}
	if sp.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType && sp.UpdateStrategy.RollingUpdate != nil {
		setDefault(&sp.UpdateStrategy.RollingUpdate.Partition, 0)
	}
	setDefault(&sp.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	setIfEmpty(&sp.PersistentVolumeClaimRetentionPolicy.WhenDeleted, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	setIfEmpty(&sp.PersistentVolumeClaimRetentionPolicy.WhenScaled, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	setDefault(&sp.Replicas, 1)
	setDefault(&sp.RevisionHistoryLimit, 10)
	for i := range sp.VolumeClaimTemplates {
		setIfEmpty(&sp.VolumeClaimTemplates[i].APIVersion, "v1")
		setIfEmpty(&sp.VolumeClaimTemplates[i].Kind, "PersistentVolumeClaim")
		setIfEmpty(&sp.VolumeClaimTemplates[i].Status.Phase, corev1.ClaimPending)
		defaultClaimSpec(&sp.VolumeClaimTemplates[i].Spec)
	}
	defaultPodTemplate(&sp.Template)
}

func defaultDaemonSet(o *appsv1.DaemonSet) {
	st := &o.Spec.UpdateStrategy
	setIfEmpty(&st.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if st.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		setDefault(&st.RollingUpdate, appsv1.RollingUpdateDaemonSet{})
		setDefault(&st.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		setDefault(&st.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	setDefault(&o.Spec.RevisionHistoryLimit, 10)
	defaultPodTemplate(&o.Spec.Template)
}

func defaultJob(o *batchv1.Job) {
	if labels := o.Spec.Template.Labels; labels != nil && len(o.Labels) == 0 {
		o.Labels = labels
	}
	defaultJobSpec(&o.Spec)
	setDefault(&o.Spec.ManualSelector, false)
}

func defaultJobSpec(sp *batchv1.JobSpec) {
	if sp.Completions == nil && sp.Parallelism == nil {
		sp.Completions = ptr.To[int32](1)
	}
	setDefault(&sp.Parallelism, 1)
	setDefault(&sp.BackoffLimit, 6)
	setDefault(&sp.CompletionMode, batchv1.NonIndexedCompletion)
	setDefault(&sp.Suspend, false)
	if sp.PodFailurePolicy != nil {
		setDefault(&sp.PodReplacementPolicy, batchv1.Failed)
	}
	setDefault(&sp.PodReplacementPolicy, batchv1.TerminatingOrFailed)
	defaultPodTemplate(&sp.Template)
}

func defaultCronJob(o *batchv1.CronJob) {
	setIfEmpty(&o.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent)
	setDefault(&o.Spec.Suspend, false)
	setDefault(&o.Spec.SuccessfulJobsHistoryLimit, 3)
	setDefault(&o.Spec.FailedJobsHistoryLimit, 1)
	// The job template gets the defaults of its pods, not those of a Job.
	defaultPodTemplate(&o.Spec.JobTemplate.Spec.Template)
}

func defaultHPA(o *autoscalingv2.HorizontalPodAutoscaler) {
	setDefault(&o.Spec.MinReplicas, 1)
	if len(o.Spec.Metrics) == 0 {
		o.Spec.Metrics = []autoscalingv2.MetricSpec{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{
				Name:   corev1.ResourceCPU,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](80)},
			},
		}}
	}
	if b := o.Spec.Behavior; b != nil {
		up := autoscalingv2.HPAScalingRules{
			StabilizationWindowSeconds: ptr.To[int32](0), SelectPolicy: ptr.To(autoscalingv2.MaxChangePolicySelect),
			Policies: []autoscalingv2.HPAScalingPolicy{
				{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
				{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
			},
		}
		down := autoscalingv2.HPAScalingRules{
			SelectPolicy: ptr.To(autoscalingv2.MaxChangePolicySelect),
			Policies:     []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}},
		}
		b.ScaleUp, b.ScaleDown = withRules(b.ScaleUp, up), withRules(b.ScaleDown, down)
	}
}

// withRules fills the rules that are not said.
func withRules(said *autoscalingv2.HPAScalingRules, rules autoscalingv2.HPAScalingRules) *autoscalingv2.HPAScalingRules {
	if said == nil {
		return &rules
	}
	if said.StabilizationWindowSeconds == nil {
		said.StabilizationWindowSeconds = rules.StabilizationWindowSeconds
	}
	if said.SelectPolicy == nil {
		said.SelectPolicy = rules.SelectPolicy
	}
	if said.Policies == nil {
		said.Policies = rules.Policies
	}
	return said
}

// defaultLimitRange lets the limits of containers default to their maximum and
// their requests to the limits, then to the minimum.
func defaultLimitRange(o *corev1.LimitRange) {
	fill := func(to *corev1.ResourceList, from corev1.ResourceList) {
		for name, q := range from {
			if _, ok := (*to)[name]; ok {
				continue
			}
			if *to == nil {
				*to = corev1.ResourceList{}
			}
			(*to)[name] = q.DeepCopy()
		}
	}
	for i := range o.Spec.Limits {
		if l := &o.Spec.Limits[i]; l.Type == corev1.LimitTypeContainer {
			fill(&l.Default, l.Max)
			fill(&l.DefaultRequest, l.Default)
			fill(&l.DefaultRequest, l.Min)
		}
	}
}

func defaultService(o *corev1.Service) {
	sp := &o.Spec
	setIfEmpty(&sp.SessionAffinity, corev1.ServiceAffinityNone)
	switch sp.SessionAffinity {
	case corev1.ServiceAffinityNone:
		sp.SessionAffinityConfig = nil
	case corev1.ServiceAffinityClientIP:
		setDefault(&sp.SessionAffinityConfig, corev1.SessionAffinityConfig{})
		setDefault(&sp.SessionAffinityConfig.ClientIP, corev1.ClientIPConfig{})
		setDefault(&sp.SessionAffinityConfig.ClientIP.TimeoutSeconds, corev1.DefaultClientIPServiceAffinitySeconds)
	}
	setIfEmpty(&sp.Type, corev1.ServiceTypeClusterIP)
	for i := range sp.Ports {
		p := &sp.Ports[i]
		setIfEmpty(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	outside := sp.Type == corev1.ServiceTypeLoadBalancer || sp.Type == corev1.ServiceTypeNodePort ||
		sp.Type == corev1.ServiceTypeClusterIP && len(sp.ExternalIPs) > 0
	if outside {
		setIfEmpty(&sp.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if sp.Type != corev1.ServiceTypeExternalName {
		setDefault(&sp.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
	if sp.Type == corev1.ServiceTypeLoadBalancer {
		setDefault(&sp.AllocateLoadBalancerNodePorts, true)
	}
}

// defaultSecret also folds stringData into data, as the conversion to the API
// server's internal version does.
func defaultSecret(o *corev1.Secret) {
	setIfEmpty(&o.Type, corev1.SecretTypeOpaque)
	for k, v := range o.StringData {
		if o.Data == nil {
			o.Data = map[string][]byte{}
		}
		o.Data[k] = []byte(v)
	}
	o.StringData = nil
}

func defaultNamespace(o *corev1.Namespace) {
	setIfEmpty(&o.Status.Phase, corev1.NamespaceActive)
	if o.Name == "" {
		return
	}
	if o.Labels == nil {
		o.Labels = map[string]string{}
	}
	o.Labels[corev1.LabelMetadataName] = o.Name
}

func defaultNetworkPolicy(o *networkingv1.NetworkPolicy) {
	protocol := func(ports []networkingv1.NetworkPolicyPort) {
		for i := range ports {
			setDefault(&ports[i].Protocol, corev1.ProtocolTCP)
		}
	}
	for _, r := range o.Spec.Ingress {
		protocol(r.Ports)
	}
	for _, r := range o.Spec.Egress {
		protocol(r.Ports)
	}
	if len(o.Spec.PolicyTypes) > 0 {
		return
	}
	o.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	if len(o.Spec.Egress) != 0 {
		o.Spec.PolicyTypes = append(o.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}
}

func defaultBinding(ref *rbacv1.RoleRef, subjects []rbacv1.Subject) {
	setIfEmpty(&ref.APIGroup, rbacv1.GroupName)
	for i := range subjects {
		if subjects[i].Kind == rbacv1.UserKind || subjects[i].Kind == rbacv1.GroupKind {
			setIfEmpty(&subjects[i].APIGroup, rbacv1.GroupName)
		}
	}
}

func defaultClaimSpec(sp *corev1.PersistentVolumeClaimSpec) {
	setDefault(&sp.VolumeMode, corev1.PersistentVolumeFilesystem)
}

func imageIsLatest(image string) bool {
	if strings.Contains(image, "@") {
		return false
	}
	name := image[strings.LastIndex(image, "/")+1:]
	_, tag, tagged := strings.Cut(name, ":")
	return !tagged || tag == "latest"
}
