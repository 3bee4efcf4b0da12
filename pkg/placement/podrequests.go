package placement

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// PodRequests returns what one pod asks of a node: max(sum of containers and sidecars, largest stage
// of the init containers) + overhead, as Kubernetes computes it. A sidecar is an init container with
// restartPolicy Always; an init container's stage is its own request and those of the sidecars
// started before it. Where a container sets a limit and no request, the limit is the request.
// Requests of the pod as a whole (spec.resources) replace the sum for the resources that they name.
func PodRequests(spec *corev1.PodSpec) corev1.ResourceList {
	total := corev1.ResourceList{}
	for i := range spec.Containers {
		addList(total, effectiveRequests(spec.Containers[i].Resources))
	}
	sidecars, stages := corev1.ResourceList{}, corev1.ResourceList{}
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		own := effectiveRequests(c.Resources)
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			addList(sidecars, own)
			addList(total, own)
			maxList(stages, sidecars)
			continue
		}
		stage := corev1.ResourceList{}
		addList(stage, own)
		addList(stage, sidecars)
		maxList(stages, stage)
	}
	maxList(total, stages)
	if spec.Resources != nil {
		for name, q := range effectiveRequests(*spec.Resources) {
			total[name] = q.DeepCopy()
		}
	}
	addList(total, spec.Overhead)
	return total
}

// effectiveRequests adds the limits of resources that have no request.
func effectiveRequests(r corev1.ResourceRequirements) corev1.ResourceList {
	if len(r.Limits) == 0 {
		return r.Requests
	}
	all := make(corev1.ResourceList, len(r.Limits))
	for name, q := range r.Limits {
		all[name] = q
	}
	for name, q := range r.Requests {
		all[name] = q
	}
	return all
}

func addList(into, list corev1.ResourceList) {
	for name, q := range list {
		sum := resource.Quantity{Format: q.Format}
		if have, ok := into[name]; ok {
			sum = have.DeepCopy()
		}
		sum.Add(q)
		into[name] = sum
	}
}

func maxList(into, list corev1.ResourceList) {
	for name, q := range list {
		if have, ok := into[name]; !ok || have.Cmp(q) < 0 {
			into[name] = q.DeepCopy()
		}
	}
}
