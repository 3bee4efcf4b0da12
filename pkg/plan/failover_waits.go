package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// mostWaits bounds what is told of one workload.
const mostWaits = 10

// waits says of an item what is to happen on clusters that has not happened yet, and why: that it stays
// for now, timers that run, and old copies that wait to go. Times are points in time, so that the words
// stay the same while nothing happens.
func (c *computation) waits(it *item) []v1alpha1.ClusterMessage {
	var all []v1alpha1.ClusterMessage
	add := func(cluster, format string, args ...any) {
		all = append(all, v1alpha1.ClusterMessage{Cluster: cluster, Message: fmt.Sprintf(format, args...)})
	}
	for _, a := range it.entry.Clusters {
		for _, reason := range a.Reasons {
			if strings.HasPrefix(reason, "has to leave") || strings.HasPrefix(reason, "pinned") || strings.HasPrefix(reason, "its NoExecute taint is tolerated until") {
				add(a.Name, "%s", reason)
			}
		}
	}
	c.waitsForStop(it, add)
	if record := c.recorded[it.key]; it.entry.Error != "" && record != nil {
		for _, t := range record.Spec.Clusters {
			if rejectedBy(it.entry.Decision, t.Name) == "TaintToleration" {
				add(t.Name, "cannot leave: %s", it.entry.Error)
			}
		}
	}
	if f := it.owner.Spec.Failover; f != nil && f.Application != nil {
		for _, u := range c.recordUnhealthy(it, c.snap.Now) {
			c.waitsForHealth(it, u, f.Application, add)
		}
	}
	for _, d := range c.departures(it) {
		if d.change.Gate != "" {
			add(c.clusters[d.cluster].Name, "the old copy stays for now (%s): %s", d.change.Gate, d.change.Reason)
		}
	}
	all = append(all, it.awaits...)
	c.waitsForMove(it, add)
	slices.SortStableFunc(all, func(a, b v1alpha1.ClusterMessage) int {
		return cmp.Or(strings.Compare(a.Cluster, b.Cluster), strings.Compare(a.Message, b.Message))
	})
	return all[:min(len(all), mostWaits)]
}

// waitsForStop tells of clusters that are not well and that a workload stays on since evictions are stopped: the
// taint that would drive it away is left out as long as they are.
func (c *computation) waitsForStop(it *item, add func(string, string, ...any)) {
	why := c.stopped()
	if why == "" {
		return
	}
	for _, a := range it.entry.Clusters {
		cl := c.clusters[c.clusterN[a.Name]]
		ready := meta.FindStatusCondition(cl.Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && ready.Status != metav1.ConditionTrue && !hasNoExecute(cl) {
			add(a.Name, "the cluster is not well since %s and is not left: evictions are stopped: %s", rfc3339(ready.LastTransitionTime.Time), why)
		}
	}
}

// waitsForHealth tells of the timer of application failover on one cluster.
func (c *computation) waitsForHealth(it *item, u v1alpha1.ClusterTime, f *v1alpha1.ApplicationFailover, add func(string, string, ...any)) {
	switch at := c.evictedAt(u, f); {
	case c.pinned(it):
		add(u.Cluster, "unhealthy since %s; the workload is pinned and does not move", rfc3339(u.Time.Time))
	case c.stopped() != "":
		add(u.Cluster, "unhealthy since %s; evictions are stopped: %s", rfc3339(u.Time.Time), c.stopped())
	default:
		add(u.Cluster, "unhealthy since %s; leaves at %s unless it recovers", rfc3339(u.Time.Time), rfc3339(at))
	}
}

// waitsForMove tells of a failback and a rebalance to come, on the first cluster of the workload.
func (c *computation) waitsForMove(it *item, add func(string, string, ...any)) {
	if len(it.entry.Clusters) == 0 {
		return
	}
	first, record := it.entry.Clusters[0].Name, c.recorded[it.key]
	if it.stay != "" && (it.entry.Failback != "" || it.entry.Imbalance > 0) {
		add(first, "what is due to move stays for now: %s", it.stay)
		return
	}
	begin := func(known func(*v1alpha1.Placement) *time.Time) time.Time {
		if record != nil {
			if t := known(record); t != nil {
				return *t
			}
		}
		return c.snap.Now
	}
	if group := it.entry.Failback; group != "" {
		from := begin(func(p *v1alpha1.Placement) *time.Time { return timeIn(p.Status.FailbackSince) })
		add(first, "group %s could hold it since %s; it goes back there when that has lasted", group, rfc3339(from))
	}
	if percent := it.entry.Imbalance; percent > 0 {
		from := begin(func(p *v1alpha1.Placement) *time.Time { return timeIn(p.Status.ImbalanceSince) })
		add(first, "out of balance since %s: %d %% of the replicas would go elsewhere; it is divided anew when that has lasted", rfc3339(from), percent)
	}
}

// departures are the moves of one item.
func (c *computation) departures(it *item) []departure {
	first, _ := slices.BinarySearchFunc(c.moves, it.key, func(d departure, k v1alpha1.ObjectKey) int { return d.item.key.Compare(k) })
	last := first
	for last < len(c.moves) && c.moves[last].item == it {
		last++
	}
	return c.moves[first:last]
}

// reportStays says once for each reason which workloads stay for now where they would have to leave.
func (c *computation) reportStays() {
	type group struct {
		refs     map[v1alpha1.ObjectReference]bool
		clusters map[string]bool
	}
	byReason := map[string]*group{}
	for _, it := range c.items {
		if it.stay == "" || !runsPods(it) {
			continue
		}
		g := byReason[it.stay]
		if g == nil {
			g = &group{map[v1alpha1.ObjectReference]bool{}, map[string]bool{}}
			byReason[it.stay] = g
		}
		g.refs[it.ref] = true
		for _, t := range c.recorded[it.key].Spec.Clusters {
			if i, known := c.clusterN[t.Name]; known && hasNoExecute(c.clusters[i]) {
				g.clusters[t.Name] = true
			}
		}
	}
	for _, reason := range keys(byReason) {
		g := byReason[reason]
		f := finding{ID: EvictionWaits, Clusters: keys(g.clusters), Message: fmt.Sprintf("%s stay for now where they would have to leave: %s", listReferences(g.refs, 3), reason)}
		if len(g.refs) == 1 {
			for ref := range g.refs {
				f.Object = &ref
			}
			f.Message = fmt.Sprintf("%s stays for now where it would have to leave: %s", listReferences(g.refs, 1), reason)
		}
		if c.stopped() != "" {
			f.Severity = v1alpha1.SeverityCaution
		}
		c.findings.add(f)
	}
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func timeIn(t *metav1.Time) *time.Time {
	if t == nil {
		return nil
	}
	return &t.Time
}
