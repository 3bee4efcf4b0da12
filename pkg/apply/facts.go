package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

var (
	nodeResource = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	podResource  = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// Facts are what is known of the cluster itself, from memory: its version, the kinds it serves and,
// with Options.Capacity and the right to list nodes and pods, what it can hold and holds, and where its
// nodes are: Zones are those that have a node now, Region the one that all nodes name. Conditions are not
// among them. The error says that the cluster has not told its kinds yet.
func (m *Member) Facts(context.Context) (v1alpha1.ClusterStatus, error) {
	kinds, ok := m.mapper.enablements()
	if !ok {
		return v1alpha1.ClusterStatus{}, fmt.Errorf("cluster %q has not told which kinds it serves", m.opts.Name)
	}
	m.mu.Lock()
	version := m.version
	m.mu.Unlock()
	status := v1alpha1.ClusterStatus{KubernetesVersion: version, APIEnablements: kinds}
	m.capacity.told(&status)
	return status, nil
}

// readVersion asks for the cluster's version.
func (m *Member) readVersion(ctx context.Context) error {
	ans, err := m.client.do(ctx, call{verb: "get", method: http.MethodGet, path: "/version", accept: acceptJSON})
	if err != nil {
		return err
	}
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(ans.body, &v); err != nil {
		return fmt.Errorf("read the version: %w", err)
	}
	m.mu.Lock()
	m.version = v.GitVersion
	m.mu.Unlock()
	return nil
}

// podRequests is what a pod takes of a node: the greater of its containers with its sidecars and of any
// single init container with the sidecars started before it, and the overhead.
func podRequests(spec *corev1.PodSpec) corev1.ResourceList {
	total, peak, sidecars := corev1.ResourceList{}, corev1.ResourceList{}, corev1.ResourceList{}
	for i := range spec.Containers {
		addResources(total, requestsOf(&spec.Containers[i]))
	}
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			addResources(total, requestsOf(c))
			addResources(sidecars, requestsOf(c))
			continue
		}
		now := sidecars.DeepCopy()
		addResources(now, requestsOf(c))
		maxResources(peak, now)
	}
	maxResources(total, peak)
	addResources(total, spec.Overhead)
	return total
}

// requestsOf are a container's requests, with limits for those that it does not name.
func requestsOf(c *corev1.Container) corev1.ResourceList {
	out := c.Resources.Limits.DeepCopy()
	if out == nil {
		out = corev1.ResourceList{}
	}
	for name, q := range c.Resources.Requests {
		out[name] = q
	}
	return out
}

func addResources(into, more corev1.ResourceList) {
	for name, q := range more {
		sum := into[name].DeepCopy()
		sum.Add(q)
		into[name] = sum
	}
}

// subResources takes away what was added before; what is left of nothing is dropped.
func subResources(from, less corev1.ResourceList) {
	for name, q := range less {
		rest := from[name].DeepCopy()
		rest.Sub(q)
		if rest.IsZero() {
			delete(from, name)
			continue
		}
		from[name] = rest
	}
}

func maxResources(into, other corev1.ResourceList) {
	for name, q := range other {
		if have, ok := into[name]; !ok || have.Cmp(q) < 0 {
			into[name] = q
		}
	}
}

func sameResources(a, b corev1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for name, q := range a {
		other, ok := b[name]
		if !ok || q.Cmp(other) != 0 {
			return false
		}
	}
	return true
}
