package simulation

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// witness remembers what the promises about decisions are judged by.
type witness struct {
	mu sync.Mutex
	// before is the cycle before this one.
	before *engine.Cycle
	// ready are since when clusters are Ready, and how long they were in all.
	health map[string]*healthRecord
	// shaken is when the clock jumped last: what depends on durations is not judged soon after.
	shaken time.Time
}

// healthRecord is the history of one cluster as the controller saw it.
type healthRecord struct {
	status    metav1.ConditionStatus
	since     time.Time
	unknownAt time.Time
	// readyFor is how long it was Ready when it was last, readyInAll how long since the record began.
	readyFor, readyInAll time.Duration
	// unclear tells that nobody saw how the cluster was before the record began.
	unclear bool
}

func newWitness() *witness { return &witness{health: map[string]*healthRecord{}} }

// jumped notes that the clock did.
func (x *witness) jumped() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.shaken = time.Now()
	x.health, x.before = map[string]*healthRecord{}, nil
}

// observe judges the decisions of a cycle by those of the one before.
func (w *world) observe(p *process, c engine.Cycle) {
	if p.dead.Load() {
		return
	}
	w.mu.Lock()
	w.latest = &c
	w.mu.Unlock()
	x := w.watch
	x.mu.Lock()
	defer x.mu.Unlock()
	x.record(c.Snapshot)
	before := x.before
	x.before = &c
	w.tally.add(countPlans, 1)
	if c.Plan.EvictionsStopped() != "" {
		w.tally.add(countVetoed, 1)
	}
	if before == nil || !sameWishes(before, &c) {
		return
	}
	veto := x.mustVeto(c.Snapshot)
	for _, lost := range losses(before.Plan, c.Plan) {
		a := w.original(lost.workload.Name)
		w.tally.add(countLosses, 1)
		if x.health[lost.cluster].status != metav1.ConditionTrue {
			w.tally.add(countFled, 1)
		}
		switch {
		case x.health[lost.cluster].status == metav1.ConditionTrue:
			// Nobody fled from there: an application failed, or replicas were divided anew.
		case a.pinned():
			w.violate("pinned %s left %s, whose readiness is %q", lost.workload, lost.cluster, x.health[lost.cluster].status)
		case veto && x.health[lost.cluster].status == metav1.ConditionUnknown:
			w.violate("%s left %s while the veto must hold", lost.workload, lost.cluster)
		}
	}
}

// sameWishes tells that nobody asked for something else between two cycles.
func sameWishes(a, b *engine.Cycle) bool {
	if !maps.Equal(a.Plan.Revisions, b.Plan.Revisions) || len(a.Snapshot.Clusters) != len(b.Snapshot.Clusters) {
		return false
	}
	for i := range a.Snapshot.Clusters {
		x, y := a.Snapshot.Clusters[i], b.Snapshot.Clusters[i]
		if !maps.Equal(x.Labels, y.Labels) || !reflect.DeepEqual(theirTaints(x), theirTaints(y)) {
			return false
		}
	}
	return true
}

// theirTaints are those that people gave a cluster.
func theirTaints(c v1alpha1.Cluster) []corev1.Taint {
	return slices.DeleteFunc(slices.Clone(c.Spec.Taints), func(t corev1.Taint) bool {
		return strings.HasPrefix(t.Key, v1alpha1.Group+"/")
	})
}

// record takes in how the clusters are.
func (x *witness) record(snap plan.Snapshot) {
	for _, c := range snap.Clusters {
		status := metav1.ConditionTrue
		for _, condition := range c.Status.Conditions {
			if condition.Type == v1alpha1.ConditionReady {
				status = condition.Status
			}
		}
		h := x.health[c.Name]
		if h == nil {
			h = &healthRecord{status: status, since: snap.Now, unclear: status != metav1.ConditionTrue || !x.shaken.IsZero()}
			x.health[c.Name] = h
		}
		if h.status == status {
			continue
		}
		if h.status == metav1.ConditionTrue {
			h.readyFor = snap.Now.Sub(h.since)
			h.readyInAll += h.readyFor
		}
		h.status, h.since = status, snap.Now
		if status == metav1.ConditionUnknown {
			h.unknownAt = snap.Now
		}
	}
}

// mustVeto tells, by a second reading of the rule, that evictions must stand still: more than half of the
// clusters that count, at least two, became Unknown together, and they do not share a region while a cluster
// elsewhere is well. Where the rule is close to its edge it answers no.
func (x *witness) mustVeto(snap plan.Snapshot) bool {
	counted, lost, wellElsewhere := 0, 0, false
	regions := map[string]bool{}
	for _, c := range snap.Clusters {
		if slices.ContainsFunc(c.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeUnschedulable }) {
			continue
		}
		h := x.health[c.Name]
		counts, sure := h.counts(snap.Now)
		if !sure {
			return false
		}
		if !counts {
			continue
		}
		counted++
		if h.status == metav1.ConditionUnknown && snap.Now.Sub(h.unknownAt) < 50*time.Second {
			lost++
			regions[c.Spec.Region] = true
		}
	}
	for _, c := range snap.Clusters {
		if x.health[c.Name].status == metav1.ConditionTrue && !regions[c.Spec.Region] {
			wellElsewhere = true
		}
	}
	// All share the provider "sim", so a well cluster elsewhere must be of another region.
	if len(regions) == 1 && wellElsewhere {
		return false
	}
	return lost >= 2 && lost*2 > counted
}

// counts tells whether a cluster was Ready for 20 of the last 600 seconds, and whether that is sure.
func (h *healthRecord) counts(now time.Time) (counts, sure bool) {
	last, inAll := h.readyFor, h.readyInAll
	if h.status == metav1.ConditionTrue {
		last = now.Sub(h.since)
		inAll += last
	}
	switch {
	case last >= 30*time.Second && (h.status == metav1.ConditionTrue || now.Sub(h.since) < 8*time.Minute):
		return true, true
	case inAll < 10*time.Second && !h.unclear:
		return false, true
	}
	return false, false
}

// loss is a workload that is no longer meant to be on a cluster.
type loss struct {
	workload v1alpha1.ObjectReference
	cluster  string
}

// losses are what a decision took away from clusters.
func losses(before, after *plan.Plan) []loss {
	now := map[v1alpha1.ObjectKey]map[string]bool{}
	for _, e := range after.Placements {
		now[e.Workload.Key()] = names(e)
	}
	var all []loss
	for _, e := range before.Placements {
		targets, decided := now[e.Workload.Key()]
		if !decided {
			continue
		}
		for _, c := range e.Clusters {
			if !targets[c.Name] {
				all = append(all, loss{e.Workload, c.Name})
			}
		}
	}
	return all
}

func names(e plan.PlacementEntry) map[string]bool {
	set := map[string]bool{}
	for _, c := range e.Clusters {
		set[c.Name] = true
	}
	return set
}

// deleting judges a deletion by the controller, before the cluster hears of it.
func (w *world) deleting(cluster, path string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	at := slices.Index(parts, "namespaces")
	if at < 0 || len(parts) != at+4 {
		return
	}
	namespace, resource, name := parts[at+1], parts[at+2], parts[at+3]
	c := commit{apps: w.layout.apps}
	a := c.app(name)
	if a == nil || a.namespace != namespace || a.gvr().Resource != resource {
		return
	}
	w.tally.add(countDeletions, 1)
	w.mu.Lock()
	plans := slices.Clone(w.plans)
	w.mu.Unlock()
	why := "no plan was made yet"
	for _, p := range slices.Backward(plans) {
		if why = w.mayDelete(*a, cluster, p); why == "" {
			return
		}
	}
	w.violate("%s was deleted on %s: %s", name, cluster, why)
}

// mayDelete tells why a plan does not prove that an application may be deleted on a cluster; empty: it does.
func (w *world) mayDelete(a app, cluster string, p *plan.Plan) string {
	w.mu.Lock()
	seen, known := w.commits[p.Revisions[sourceID]]
	w.mu.Unlock()
	switch {
	case !known:
		return "no commit was read"
	case seen.empty:
		return "because of an empty commit"
	case !seen.app(a.name).gone:
		return w.mayLeave(*seen.app(a.name), cluster, p)
	case seen.broken():
		return "though a file of the commit could not be read"
	}
	return ""
}

// mayLeave tells why an application that is in Git must not be deleted on a cluster; empty: it may.
func (w *world) mayLeave(a app, cluster string, p *plan.Plan) string {
	i := slices.IndexFunc(p.Placements, func(e plan.PlacementEntry) bool {
		return e.Workload.Name == a.name && e.Workload.Namespace == a.namespace && e.Workload.Kind == a.kind
	})
	if i < 0 {
		return "it is in Git and no decision was made about it"
	}
	entry := p.Placements[i]
	if entry.Error != "" {
		return "its decision failed: " + entry.Error
	}
	if names(entry)[cluster] {
		return "its decision names this cluster"
	}
	if a.kind != "Deployment" || a.replicas == 0 || !w.healthy(a, cluster) {
		return ""
	}
	for _, other := range w.layout.clusters {
		if other != cluster && w.healthy(a, other) {
			return ""
		}
	}
	return fmt.Sprintf("it was the last healthy copy, the decision is %v", slices.Sorted(maps.Keys(names(entry))))
}

// healthy tells that a Deployment has pods on a cluster that runs.
func (w *world) healthy(a app, cluster string) bool {
	if w.isDown(cluster) {
		return false
	}
	d, ok := w.fleet.Cluster(cluster).Get(a.gvk(), a.namespace, a.name).(*appsv1.Deployment)
	return ok && d.Status.AvailableReplicas > 0 && d.DeletionTimestamp == nil
}
