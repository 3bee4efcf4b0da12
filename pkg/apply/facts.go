package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

var (
	nodeResource = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	podResource  = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// Facts are what is known of the cluster itself, from memory: its version, the kinds it serves and,
// with Options.Capacity and the right to list nodes and pods, what it can hold and holds. Conditions
// are not among them. The error says that the cluster has not told its kinds yet.
func (m *Member) Facts(context.Context) (v1alpha1.ClusterStatus, error) {
	kinds, ok := m.mapper.enablements()
	if !ok {
		return v1alpha1.ClusterStatus{}, fmt.Errorf("cluster %q has not told which kinds it serves", m.opts.Name)
	}
	m.mu.Lock()
	version := m.version
	m.mu.Unlock()
	status := v1alpha1.ClusterStatus{KubernetesVersion: version, APIEnablements: kinds}
	status.NodeSummary, status.ResourceSummary = m.capacity.summary()
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

// capacity sums up what the nodes of a cluster offer and what its pods request. Of each node and pod
// only the numbers are kept.
type capacity struct {
	mu    sync.Mutex
	nodes map[types.UID]nodeShare
	pods  map[types.UID]podShare
}

type nodeShare struct {
	allocatable corev1.ResourceList
	ready       bool
}

type podShare struct {
	requests  corev1.ResourceList
	scheduled bool
}

// watchCapacity watches nodes and pods. Without the right to, there is no summary.
func (m *Member) watchCapacity(ctx context.Context) {
	for _, w := range []struct {
		what  string
		gvr   schema.GroupVersionResource
		store *capacityStore
	}{
		{"watch nodes", nodeResource, &capacityStore{m: m, take: m.capacity.takeNode, drop: m.capacity.dropNode, reset: m.capacity.resetNodes}},
		{"watch pods", podResource, &capacityStore{m: m, take: m.capacity.takePod, drop: m.capacity.dropPod, reset: m.capacity.resetPods}},
	} {
		m.running.Go(func() {
			m.keep(ctx, w.what, func(ctx context.Context) error {
				return m.follow(ctx, source{lister: m.objects(w.gvr), store: w.store})
			})
		})
	}
}

// capacityStore feeds a capacity from a watch.
type capacityStore struct {
	m     *Member
	take  func(*unstructured.Unstructured) (relevant bool, err error)
	drop  func(types.UID) (relevant bool)
	reset func()
}

// Add takes in a node or pod. Plans are asked for again only when nodes changed: capacity never moves
// what runs.
func (s *capacityStore) Add(obj any) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("watch capacity: unexpected %T", obj)
	}
	relevant, err := s.take(u)
	if relevant {
		s.m.changed()
	}
	return err
}

// Update takes in a node or pod.
func (s *capacityStore) Update(obj any) error { return s.Add(obj) }

// Delete drops a node or pod.
func (s *capacityStore) Delete(obj any) error {
	if u, ok := obj.(*unstructured.Unstructured); ok && s.drop(u.GetUID()) {
		s.m.changed()
	}
	return nil
}

// Replace takes in all nodes or pods.
func (s *capacityStore) Replace(items []any, _ string) error {
	s.reset()
	for _, item := range items {
		if err := s.Add(item); err != nil {
			return err
		}
	}
	return nil
}

// Resync does nothing.
func (s *capacityStore) Resync() error { return nil }

func (c *capacity) resetNodes() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = map[types.UID]nodeShare{}
}

func (c *capacity) resetPods() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods = map[types.UID]podShare{}
}

func (c *capacity) dropNode(uid types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, had := c.nodes[uid]
	delete(c.nodes, uid)
	return had
}

func (c *capacity) dropPod(uid types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pods, uid)
	return false
}

func (c *capacity) takeNode(u *unstructured.Unstructured) (bool, error) {
	var node corev1.Node
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &node); err != nil {
		return false, fmt.Errorf("read node %q: %w", u.GetName(), err)
	}
	share := nodeShare{}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			share.ready = condition.Status == corev1.ConditionTrue
		}
	}
	if share.ready && !node.Spec.Unschedulable {
		share.allocatable = node.Status.Allocatable
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, had := c.nodes[node.UID]
	c.nodes[node.UID] = share
	return !had || old.ready != share.ready || !sameResources(old.allocatable, share.allocatable), nil
}

func (c *capacity) takePod(u *unstructured.Unstructured) (bool, error) {
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &pod); err != nil {
		return false, fmt.Errorf("read pod %q: %w", u.GetName(), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		delete(c.pods, pod.UID)
		return false, nil
	}
	c.pods[pod.UID] = podShare{requests: podRequests(&pod.Spec), scheduled: pod.Spec.NodeName != ""}
	return false, nil
}

// summary adds everything up; nil while there is nothing to add.
func (c *capacity) summary() (*v1alpha1.NodeSummary, *v1alpha1.ResourceSummary) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes == nil || c.pods == nil {
		return nil, nil
	}
	nodes := &v1alpha1.NodeSummary{}
	sum := &v1alpha1.ResourceSummary{
		Allocatable: corev1.ResourceList{}, Allocated: corev1.ResourceList{}, Allocating: corev1.ResourceList{},
	}
	for _, n := range c.nodes {
		nodes.TotalNum++
		if n.ready {
			nodes.ReadyNum++
		}
		addResources(sum.Allocatable, n.allocatable)
	}
	one := corev1.ResourceList{corev1.ResourcePods: *quantity.NewQuantity(1, quantity.DecimalSI)}
	for _, p := range c.pods {
		into := sum.Allocating
		if p.scheduled {
			into = sum.Allocated
		}
		addResources(into, p.requests)
		addResources(into, one)
	}
	return nodes, sum
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
		if !ok || cmp.Compare(q.Cmp(other), 0) != 0 {
			return false
		}
	}
	return true
}
