package apply

import (
	"context"
	"fmt"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// podPage is how many pods are listed at once: a page is a few megabytes, all pods of a large cluster would be
// a gigabyte.
const podPage = 500

// publishGap is the least time between two looks at what changed.
const publishGap = time.Second

func wholeQuantity(n int64) *quantity.Quantity { return quantity.NewQuantity(n, quantity.DecimalSI) }

// SetResourceModels says which grades the nodes are counted by, with every snapshot.
func (m *Member) SetResourceModels(models []v1alpha1.ResourceModel) {
	c := m.capacity
	c.mu.Lock()
	same := reflect.DeepEqual(c.models, models)
	c.models, c.urgent = models, c.urgent || !same
	c.mu.Unlock()
	if !same {
		m.capacityMoved.fire()
	}
}

// heldUID tells whether an object is ours, and its UID.
func (m *Member) heldUID(key v1alpha1.ObjectKey) (string, bool) {
	h, ok := m.state.held(key)
	return h.UID, ok
}

// watchCapacity watches nodes and pods. Without the right to, there is no summary.
func (m *Member) watchCapacity(ctx context.Context) {
	m.running.Go(func() { m.publishCapacity(ctx) })
	for _, w := range []struct {
		what  string
		from  lister
		store *capacityStore
	}{
		{"watch nodes", m.objects(nodeResource), &capacityStore{m: m, take: m.capacity.takeNode, drop: m.capacity.dropNode, replace: m.capacity.replaceNodes}},
		{"watch pods", m.podLister(), &capacityStore{m: m, take: m.capacity.takePod, drop: m.capacity.losePod, replace: m.capacity.replacePods}},
	} {
		m.running.Go(func() {
			m.keep(ctx, w.what, func(ctx context.Context) error {
				return m.follow(ctx, source{what: w.what, lister: w.from, store: w.store})
			})
		})
	}
}

// publishCapacity tells what changed, when it is due.
func (m *Member) publishCapacity(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		moved := m.capacityMoved.next()
		news, wait := m.capacity.publish(time.Now(), m.opts.CapacityInterval)
		if news {
			m.changed()
		}
		if wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Reset(time.Hour)
		}
		select {
		case <-ctx.Done():
			return
		case <-moved:
		case <-timer.C:
		}
		gap := time.NewTimer(publishGap)
		select {
		case <-ctx.Done():
			gap.Stop()
			return
		case <-gap.C:
		}
	}
}

// podLister lists pods page by page and keeps of each what is counted. Events of the watch are counted one by
// one as they come.
func (m *Member) podLister() lister {
	all := m.dynamic.Resource(podResource)
	return lister{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.Limit = podPage
			out := &unstructured.UnstructuredList{}
			for {
				page, err := all.List(ctx, o)
				if err != nil {
					return nil, err
				}
				out.Object = page.Object
				for i := range page.Items {
					out.Items = append(out.Items, *trimmedPod(&page.Items[i]))
				}
				if o.Continue = page.GetContinue(); o.Continue == "" {
					return out, nil
				}
			}
		},
		watch: all.Watch,
	}
}

// trimmedPod is what of a pod says whose it is, where it is and what it asks for.
func trimmedPod(u *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod"}}
	out.SetNamespace(u.GetNamespace())
	out.SetName(u.GetName())
	out.SetUID(u.GetUID())
	out.SetResourceVersion(u.GetResourceVersion())
	labels := map[string]string{}
	for _, k := range []string{"pod-template-hash", "rollouts-pod-template-hash"} {
		if v := u.GetLabels()[k]; v != "" {
			labels[k] = v
		}
	}
	if len(labels) > 0 {
		out.SetLabels(labels)
	}
	if c := metav1.GetControllerOf(u); c != nil {
		out.SetOwnerReferences([]metav1.OwnerReference{*c})
	}
	spec := map[string]any{}
	for _, field := range []string{"nodeName", "overhead"} {
		if v, ok, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", field); ok {
			spec[field] = v
		}
	}
	for _, field := range []string{"containers", "initContainers"} {
		var kept []any
		list, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", field)
		items, _ := list.([]any)
		for _, item := range items {
			container, _ := item.(map[string]any)
			small := map[string]any{}
			for _, f := range []string{"resources", "restartPolicy"} {
				if v, ok := container[f]; ok {
					small[f] = v
				}
			}
			kept = append(kept, small)
		}
		if len(kept) > 0 {
			spec[field] = kept
		}
	}
	out.Object["spec"] = spec
	if phase, ok, _ := unstructured.NestedString(u.Object, "status", "phase"); ok {
		out.Object["status"] = map[string]any{"phase": phase}
	}
	return out
}

// capacityStore feeds a capacity from a watch.
type capacityStore struct {
	m       *Member
	take    func(*unstructured.Unstructured) error
	drop    func(types.UID)
	replace func([]*unstructured.Unstructured) error
}

// Add takes in a node or pod.
func (s *capacityStore) Add(obj any) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("watch capacity: unexpected %T", obj)
	}
	err := s.take(u)
	s.m.capacityMoved.fire()
	return err
}

// Update takes in a node or pod.
func (s *capacityStore) Update(obj any) error { return s.Add(obj) }

// Delete drops a node or pod.
func (s *capacityStore) Delete(obj any) error {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		s.drop(u.GetUID())
		s.m.capacityMoved.fire()
	}
	return nil
}

// Replace takes in all nodes or pods at once, so that nobody sees a part of them.
func (s *capacityStore) Replace(items []any, _ string) error {
	all := make([]*unstructured.Unstructured, 0, len(items))
	for _, item := range items {
		u, ok := item.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("watch capacity: unexpected %T", item)
		}
		all = append(all, u)
	}
	err := s.replace(all)
	// What is known for the first time is told at once.
	if news, _ := s.m.capacity.publish(time.Now(), s.m.opts.CapacityInterval); news {
		s.m.changed()
	}
	s.m.capacityMoved.fire()
	return err
}

// Resync does nothing.
func (s *capacityStore) Resync() error { return nil }

func readNode(u *unstructured.Unstructured) (nodeShare, error) {
	var node corev1.Node
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &node); err != nil {
		return nodeShare{}, fmt.Errorf("read node %q: %w", u.GetName(), err)
	}
	share := nodeShare{name: node.Name, zone: node.Labels[corev1.LabelTopologyZone], region: node.Labels[corev1.LabelTopologyRegion]}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			share.ready = condition.Status == corev1.ConditionTrue
		}
	}
	if share.ready && !node.Spec.Unschedulable {
		share.allocatable = node.Status.Allocatable
	}
	return share, nil
}

func (c *capacity) takeNode(u *unstructured.Unstructured) error {
	share, err := readNode(u)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, had := c.nodes[u.GetUID()]
	c.nodes[u.GetUID()] = share
	c.urgent = c.urgent || !had || old.ready != share.ready || old.zone != share.zone || old.region != share.region ||
		!sameResources(old.allocatable, share.allocatable)
	return nil
}

func (c *capacity) dropNode(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes, uid)
	c.urgent = true
}

func (c *capacity) replaceNodes(all []*unstructured.Unstructured) error {
	nodes := make(map[types.UID]nodeShare, len(all))
	for _, u := range all {
		share, err := readNode(u)
		if err != nil {
			return err
		}
		nodes[u.GetUID()] = share
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes, c.nodesListed, c.urgent = nodes, true, true
	return nil
}

// controllerRef names what made a pod.
type controllerRef struct {
	group, kind, name string
	uid               types.UID
}

// readPod reads what a pod asks for; false where it has ended.
func readPod(u *unstructured.Unstructured) (podShare, bool, error) {
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &pod); err != nil {
		return podShare{}, false, fmt.Errorf("read pod %q: %w", u.GetName(), err)
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return podShare{}, false, nil
	}
	var controller *controllerRef
	if c := metav1.GetControllerOf(&pod); c != nil {
		gv, err := schema.ParseGroupVersion(c.APIVersion)
		if err != nil {
			gv = schema.GroupVersion{}
		}
		controller = &controllerRef{group: gv.Group, kind: c.Kind, name: c.Name, uid: c.UID}
	}
	requests := podRequests(&pod.Spec)
	addResources(requests, onePod())
	return podShare{owner: ownerOf(pod.Namespace, pod.Name, pod.UID, controller, pod.Labels), node: pod.Spec.NodeName, requests: requests, unplaced: unplacedSince(&pod)}, true, nil
}

func (c *capacity) takePod(u *unstructured.Unstructured) error {
	share, runs, err := readPod(u)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !runs {
		c.dropPod(u.GetUID())
		return nil
	}
	c.addPod(u.GetUID(), share)
	return nil
}

func (c *capacity) losePod(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropPod(uid)
}

func (c *capacity) replacePods(all []*unstructured.Unstructured) error {
	next := newCapacity(c.held, c.complete)
	for _, u := range all {
		share, runs, err := readPod(u)
		if err != nil {
			return err
		}
		if runs {
			next.addPod(u.GetUID(), share)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unplaced = next.unplaced
	c.pods, c.byOwner, c.byNode, c.allocated, c.allocating = next.pods, next.byOwner, next.byNode, next.allocated, next.allocating
	c.podsListed = true
	return nil
}
