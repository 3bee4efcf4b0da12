package apply

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// capacity adds up what the nodes of a cluster offer and what its pods request. Of each node and pod only the
// numbers are kept, and pods of one owner share theirs.
type capacity struct {
	// held tells whether an object is ours. It must not ask the capacity back.
	held func(v1alpha1.ObjectKey) (uid string, ok bool)
	// complete tells that all objects of ours are known, without which nothing is told for the first time:
	// what is ours would count as somebody else's.
	complete func() bool

	mu    sync.Mutex
	nodes map[types.UID]nodeShare
	pods  map[types.UID]podShare
	// unplaced are the pods that find no node.
	unplaced map[types.UID]bool
	// nodesListed and podsListed tell that the sums are complete.
	nodesListed, podsListed bool
	// allocated and allocating are the sums of scheduled pods and of the others.
	allocated, allocating corev1.ResourceList
	// byOwner and byNode are the sums for each owner, and for each node by name.
	byOwner map[owner]*use
	byNode  map[string]*use
	models  []v1alpha1.ResourceModel
	// urgent tells that the nodes changed since the last publication.
	urgent bool
	// published is what is told, and when it became so.
	published *published
}

type published struct {
	at      time.Time
	nodes   v1alpha1.NodeSummary
	summary v1alpha1.ResourceSummary
	places  places
}

// places are where nodes are.
type places struct {
	zones []string
	// region is the one of all nodes that name any; empty where they differ.
	region string
}

func (p places) equal(q places) bool { return p.region == q.region && slices.Equal(p.zones, q.zones) }

// nodeShare is what one node offers.
type nodeShare struct {
	name        string
	allocatable corev1.ResourceList
	ready       bool
	// zone and region are what its labels say.
	zone, region string
}

// podShare is what one pod asks for.
type podShare struct {
	owner    owner
	node     string
	requests corev1.ResourceList
	// unplaced is since when it finds no node; zero: it has one, or is looked after.
	unplaced time.Time
}

// owner is what a pod belongs to: the controller that made it, or the pod itself; and what that belongs to
// in turn, as far as the pod tells.
type owner struct {
	key    v1alpha1.ObjectKey
	uid    types.UID
	parent v1alpha1.ObjectKey
}

// use is a sum over some pods.
type use struct {
	pods     int
	requests corev1.ResourceList
	// each is what the first of them asks for.
	each corev1.ResourceList
}

func newCapacity(held func(v1alpha1.ObjectKey) (string, bool), complete func() bool) *capacity {
	return &capacity{
		held: held, complete: complete, nodes: map[types.UID]nodeShare{}, pods: map[types.UID]podShare{}, unplaced: map[types.UID]bool{},
		allocated: corev1.ResourceList{}, allocating: corev1.ResourceList{}, byOwner: map[owner]*use{}, byNode: map[string]*use{},
	}
}

// onePod is what each pod takes besides its requests.
func onePod() corev1.ResourceList { return corev1.ResourceList{corev1.ResourcePods: *wholeQuantity(1)} }

// addPod and dropPod keep the sums; the lock is held.
func (c *capacity) addPod(uid types.UID, p podShare) {
	c.dropPod(uid)
	u := addUse(c.byOwner, p.owner, p.requests)
	// Pods of one owner ask for the same, nearly always.
	if u.each == nil {
		u.each = p.requests
	} else if sameResources(u.each, p.requests) {
		p.requests = u.each
	}
	c.pods[uid] = p
	if p.node == "" && !p.unplaced.IsZero() {
		c.unplaced[uid] = true
	}
	if p.node == "" {
		addResources(c.allocating, p.requests)
		return
	}
	addResources(c.allocated, p.requests)
	addUse(c.byNode, p.node, p.requests)
}

func (c *capacity) dropPod(uid types.UID) {
	p, ok := c.pods[uid]
	if !ok {
		return
	}
	delete(c.pods, uid)
	delete(c.unplaced, uid)
	dropUse(c.byOwner, p.owner, p.requests)
	if p.node == "" {
		subResources(c.allocating, p.requests)
		return
	}
	subResources(c.allocated, p.requests)
	dropUse(c.byNode, p.node, p.requests)
}

func addUse[K comparable](all map[K]*use, k K, requests corev1.ResourceList) *use {
	u := all[k]
	if u == nil {
		u = &use{requests: corev1.ResourceList{}}
		all[k] = u
	}
	u.pods++
	addResources(u.requests, requests)
	return u
}

func dropUse[K comparable](all map[K]*use, k K, requests corev1.ResourceList) {
	u := all[k]
	if u == nil {
		return
	}
	u.pods--
	subResources(u.requests, requests)
	if u.pods <= 0 {
		delete(all, k)
	}
}

// summary adds everything up; false while something was not listed. The lock is held.
func (c *capacity) summary() (v1alpha1.NodeSummary, v1alpha1.ResourceSummary, bool) {
	if !c.nodesListed || !c.podsListed {
		return v1alpha1.NodeSummary{}, v1alpha1.ResourceSummary{}, false
	}
	var nodes v1alpha1.NodeSummary
	sum := v1alpha1.ResourceSummary{
		Allocatable: corev1.ResourceList{}, Allocated: c.allocated.DeepCopy(), Allocating: c.allocating.DeepCopy(), Ours: corev1.ResourceList{},
	}
	for _, n := range c.nodes {
		nodes.TotalNum++
		if n.ready {
			nodes.ReadyNum++
		}
		addResources(sum.Allocatable, n.allocatable)
	}
	for o, u := range c.byOwner {
		if c.isOurs(o) {
			addResources(sum.Ours, u.requests)
		}
	}
	// Absent means that nobody knows what is ours.
	if _, some := sum.Ours[corev1.ResourcePods]; !some {
		sum.Ours[corev1.ResourcePods] = *wholeQuantity(0)
	}
	sum.AllocatableModelings = c.grade()
	return nodes, sum, true
}

// where tells where the nodes are, ready or not. The lock is held.
func (c *capacity) where() places {
	zones, regions := map[string]bool{}, map[string]bool{}
	for _, n := range c.nodes {
		zones[n.zone], regions[n.region] = true, true
	}
	delete(zones, "")
	delete(regions, "")
	found := places{zones: slices.Sorted(maps.Keys(zones))}
	if len(regions) == 1 {
		for found.region = range regions {
		}
	}
	return found
}

// isOurs tells whether pods belong to an object of ours whose replicas a decision counts. A DaemonSet or CronJob
// has none, so what it uses is as good as anybody else's.
func (c *capacity) isOurs(o owner) bool {
	if o.parent.Name != "" {
		if _, ok := c.held(o.parent); ok {
			return true
		}
	}
	if o.key.Kind == "DaemonSet" || o.key.Kind == "CronJob" {
		return false
	}
	uid, ok := c.held(o.key)
	return ok && uid == string(o.uid)
}

// grade counts the nodes of each grade by what is free on them. A node is of the highest grade of which it has
// at least the minimum of each resource; one below the lowest counts nowhere.
func (c *capacity) grade() []v1alpha1.AllocatableModeling {
	if len(c.models) == 0 {
		return nil
	}
	out := make([]v1alpha1.AllocatableModeling, len(c.models))
	for i, m := range c.models {
		out[i].Grade = m.Grade
	}
	for _, n := range c.nodes {
		if n.allocatable == nil {
			continue
		}
		free := n.allocatable.DeepCopy()
		if u := c.byNode[n.name]; u != nil {
			subResources(free, u.requests)
		}
		for i := len(c.models) - 1; i >= 0; i-- {
			if atLeast(free, c.models[i].Ranges) {
				out[i].Count++
				break
			}
		}
	}
	return out
}

func atLeast(free corev1.ResourceList, ranges []v1alpha1.ResourceModelRange) bool {
	return !slices.ContainsFunc(ranges, func(r v1alpha1.ResourceModelRange) bool {
		have := free[r.Name]
		return have.Cmp(r.Min) < 0
	})
}

// The thresholds of publication: what is told becomes new within a while, the sooner the more it matters, so
// that the coming and going of pods does not become as many writes and plans.
const (
	// publishFactor times the interval is how long a small change waits.
	publishFactor = 10
	// publishShare of what can be allocated is how large a change is that does not wait so long: one in a
	// hundred.
	publishShare = 100
)

// publish tells the present sums if they are due, and returns how long to wait where they are not; 0 where
// nothing is left to tell.
func (c *capacity) publish(now time.Time, interval time.Duration) (news bool, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.published == nil && !c.complete() {
		return false, publishGap
	}
	nodes, sum, ok := c.summary()
	if !ok {
		return false, 0
	}
	where := c.where()
	if last := c.published; last != nil {
		due := last.at
		switch {
		case c.urgent || last.nodes != nodes:
		case sameSummary(last.summary, sum):
			return false, 0
		case matters(last.summary, sum):
			due = due.Add(interval)
		default:
			due = due.Add(publishFactor * interval)
		}
		if now.Before(due) {
			return false, due.Sub(now)
		}
		if last.nodes == nodes && sameSummary(last.summary, sum) && last.places.equal(where) {
			c.urgent = false
			return false, 0
		}
	}
	c.urgent = false
	c.published = &published{at: now, nodes: nodes, summary: sum, places: where}
	return true, 0
}

func sameSummary(a, b v1alpha1.ResourceSummary) bool {
	return sameResources(a.Allocatable, b.Allocatable) && sameResources(a.Allocated, b.Allocated) &&
		sameResources(a.Allocating, b.Allocating) && sameResources(a.Ours, b.Ours) && slices.Equal(a.AllocatableModelings, b.AllocatableModelings)
}

// matters tells that what others use of some resource differs by a share of what can be allocated.
func matters(a, b v1alpha1.ResourceSummary) bool {
	for name, all := range b.Allocatable {
		difference := taken(b, name) - taken(a, name)
		if difference < 0 {
			difference = -difference
		}
		if difference*publishShare >= all.AsApproximateFloat64() && difference > 0 {
			return true
		}
	}
	return false
}

// taken is what others use of a resource.
func taken(s v1alpha1.ResourceSummary, name corev1.ResourceName) float64 {
	allocated, allocating, ours := s.Allocated[name], s.Allocating[name], s.Ours[name]
	return allocated.AsApproximateFloat64() + allocating.AsApproximateFloat64() - ours.AsApproximateFloat64()
}

// told adds what was published last to a status; nothing before that.
func (c *capacity) told(status *v1alpha1.ClusterStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.published
	if p == nil {
		return
	}
	status.NodeSummary, status.ResourceSummary = &p.nodes, p.summary.DeepCopy()
	status.Region, status.Zones = p.places.region, slices.Clone(p.places.zones)
}

// ownerOf finds what a pod belongs to. A ReplicaSet of a Deployment is named after it and the hash that its pods
// carry as a label, which saves a watch of all ReplicaSets; an Argo Rollout does the same with a label of its
// own.
func ownerOf(namespace, name string, uid types.UID, controller *controllerRef, labels map[string]string) owner {
	if controller == nil {
		return owner{key: v1alpha1.ObjectKey{Kind: "Pod", Namespace: namespace, Name: name}, uid: uid}
	}
	o := owner{key: v1alpha1.ObjectKey{Group: controller.group, Kind: controller.kind, Namespace: namespace, Name: controller.name}, uid: controller.uid}
	if controller.group != "apps" || controller.kind != "ReplicaSet" {
		return o
	}
	for _, by := range []struct{ label, group, kind string }{
		{"pod-template-hash", "apps", "Deployment"}, {"rollouts-pod-template-hash", "argoproj.io", "Rollout"},
	} {
		if hash := labels[by.label]; hash != "" {
			if parent, ok := strings.CutSuffix(controller.name, "-"+hash); ok && parent != "" {
				o.parent = v1alpha1.ObjectKey{Group: by.group, Kind: by.kind, Namespace: namespace, Name: parent}
			}
		}
	}
	return o
}
