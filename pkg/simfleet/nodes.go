package simfleet

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// addNodes creates the nodes of a cluster, all ready.
func (c *Cluster) addNodes(specs []NodeSpec) error {
	number := 0
	for _, spec := range specs {
		capacity, err := spec.capacity()
		if err != nil {
			return err
		}
		for range max(spec.Count, 1) {
			number++
			c.createAs("kubelet", corev1.SchemeGroupVersion.WithKind("Node"), "", c.node(fmt.Sprintf("%s-node-%d", c.name, number), spec, capacity))
		}
	}
	return nil
}

func (spec NodeSpec) capacity() (corev1.ResourceList, error) {
	out := corev1.ResourceList{}
	for _, q := range []struct {
		name            corev1.ResourceName
		value, fallback string
	}{
		{corev1.ResourceCPU, spec.CPU, "4"},
		{corev1.ResourceMemory, spec.Memory, "16Gi"},
		{corev1.ResourcePods, spec.Pods, "110"},
	} {
		if q.value == "" {
			q.value = q.fallback
		}
		parsed, err := resource.ParseQuantity(q.value)
		if err != nil {
			return nil, fmt.Errorf("node %s %q: %w", q.name, q.value, err)
		}
		out[q.name] = parsed
	}
	return out, nil
}

func (c *Cluster) node(name string, spec NodeSpec, capacity corev1.ResourceList) *corev1.Node {
	labels := map[string]string{corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"}
	if spec.Zone != "" {
		labels[corev1.LabelTopologyZone] = spec.Zone
	}
	if spec.Region != "" {
		labels[corev1.LabelTopologyRegion] = spec.Region
	}
	for k, v := range spec.Labels {
		labels[k] = v
	}
	now := metav1.NewTime(c.now())
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity.DeepCopy(),
			NodeInfo: corev1.NodeSystemInfo{KubeletVersion: c.version, OperatingSystem: "linux", Architecture: "amd64"},
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status",
				LastHeartbeatTime: now, LastTransitionTime: now,
			}},
		},
	}
}
