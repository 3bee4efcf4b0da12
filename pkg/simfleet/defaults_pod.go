package simfleet

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func defaultPod(o *corev1.Pod) {
	// Ports of the host are defaulted in Pods only, not in templates.
	requests := func(containers []corev1.Container) {
		for i := range containers {
			for j := range containers[i].Ports {
				if o.Spec.HostNetwork {
					setIfZero(&containers[i].Ports[j].HostPort, containers[i].Ports[j].ContainerPort)
				}
			}
			r := &containers[i].Resources
			for name, limit := range r.Limits {
				if r.Requests == nil {
					r.Requests = corev1.ResourceList{}
				}
				if _, ok := r.Requests[name]; !ok {
					r.Requests[name] = limit.DeepCopy()
				}
			}
		}
	}
	requests(o.Spec.Containers)
	requests(o.Spec.InitContainers)
	setDefault(&o.Spec.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
	defaultPodSpec(&o.Spec)
}

func defaultPodTemplate(o *corev1.PodTemplateSpec) { defaultPodSpec(&o.Spec) }

func defaultPodSpec(sp *corev1.PodSpec) {
	setIfEmpty(&sp.DNSPolicy, corev1.DNSClusterFirst)
	setIfEmpty(&sp.RestartPolicy, corev1.RestartPolicyAlways)
	setDefault(&sp.SecurityContext, corev1.PodSecurityContext{})
	setDefault(&sp.TerminationGracePeriodSeconds, int64(corev1.DefaultTerminationGracePeriodSeconds))
	setIfEmpty(&sp.SchedulerName, corev1.DefaultSchedulerName)
	// The deprecated field mirrors the new one, as the conversion does.
	if sp.ServiceAccountName != "" {
		sp.DeprecatedServiceAccount = sp.ServiceAccountName
	} else if sp.DeprecatedServiceAccount != "" {
		sp.ServiceAccountName = sp.DeprecatedServiceAccount
	}
	for i := range sp.InitContainers {
		defaultContainer(&sp.InitContainers[i])
	}
	for i := range sp.Containers {
		defaultContainer(&sp.Containers[i])
	}
	for i := range sp.Volumes {
		defaultVolume(&sp.Volumes[i])
	}
}

func defaultContainer(c *corev1.Container) {
	if c.ImagePullPolicy == "" {
		c.ImagePullPolicy = corev1.PullIfNotPresent
		if imageIsLatest(c.Image) {
			c.ImagePullPolicy = corev1.PullAlways
		}
	}
	setIfEmpty(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	setIfEmpty(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		setIfEmpty(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil && from.FieldRef != nil {
			setIfEmpty(&from.FieldRef.APIVersion, "v1")
		}
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		defaultProbe(p)
	}
	if c.Lifecycle != nil {
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				defaultHTTPGet(h.HTTPGet)
			}
		}
	}
}

func defaultProbe(p *corev1.Probe) {
	if p == nil {
		return
	}
	setIfZero(&p.TimeoutSeconds, 1)
	setIfZero(&p.PeriodSeconds, 10)
	setIfZero(&p.SuccessThreshold, 1)
	setIfZero(&p.FailureThreshold, 3)
	defaultHTTPGet(p.HTTPGet)
	if p.GRPC != nil {
		setDefault(&p.GRPC.Service, "")
	}
}

func defaultHTTPGet(a *corev1.HTTPGetAction) {
	if a == nil {
		return
	}
	setIfEmpty(&a.Path, "/")
	setIfEmpty(&a.Scheme, corev1.URISchemeHTTP)
}

func defaultVolume(v *corev1.Volume) {
	if v.VolumeSource == (corev1.VolumeSource{}) {
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	if v.Secret != nil {
		setDefault(&v.Secret.DefaultMode, corev1.SecretVolumeSourceDefaultMode)
	}
	if v.ConfigMap != nil {
		setDefault(&v.ConfigMap.DefaultMode, corev1.ConfigMapVolumeSourceDefaultMode)
	}
	if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
		defaultClaimSpec(&v.Ephemeral.VolumeClaimTemplate.Spec)
	}
	if v.HostPath != nil {
		setDefault(&v.HostPath.Type, corev1.HostPathUnset)
	}
	if v.DownwardAPI != nil {
		setDefault(&v.DownwardAPI.DefaultMode, corev1.DownwardAPIVolumeSourceDefaultMode)
		defaultFieldRefs(v.DownwardAPI.Items)
	}
	if v.Projected == nil {
		return
	}
	setDefault(&v.Projected.DefaultMode, corev1.ProjectedVolumeSourceDefaultMode)
	for i := range v.Projected.Sources {
		source := &v.Projected.Sources[i]
		if source.ServiceAccountToken != nil && source.ServiceAccountToken.ExpirationSeconds == nil {
			source.ServiceAccountToken.ExpirationSeconds = ptr.To[int64](3600)
		}
		if source.DownwardAPI != nil {
			defaultFieldRefs(source.DownwardAPI.Items)
		}
	}
}

func defaultFieldRefs(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		if items[i].FieldRef != nil {
			setIfEmpty(&items[i].FieldRef.APIVersion, "v1")
		}
	}
}

// admitPod fills what admission plug-ins set in every Pod: the default priority
// and the tolerations of a node that is away for five minutes.
func admitPod(o *corev1.Pod) {
	o.Status.Phase = corev1.PodPending
	o.Status.QOSClass = qosClass(&o.Spec)
	setDefault(&o.Spec.Priority, 0)
	setDefault(&o.Spec.PreemptionPolicy, corev1.PreemptLowerPriority)
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		tolerated := slices.ContainsFunc(o.Spec.Tolerations, func(t corev1.Toleration) bool {
			return (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "")
		})
		if !tolerated {
			o.Spec.Tolerations = append(o.Spec.Tolerations, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](300),
			})
		}
	}
}

func qosClass(sp *corev1.PodSpec) corev1.PodQOSClass {
	guaranteed, some := true, false
	for _, c := range sp.Containers {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, hasRequest := c.Resources.Requests[name]
			limit, hasLimit := c.Resources.Limits[name]
			some = some || hasRequest || hasLimit
			guaranteed = guaranteed && hasRequest && hasLimit && request.Cmp(limit) == 0
		}
	}
	switch {
	case !some:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	default:
		return corev1.PodQOSBurstable
	}
}
