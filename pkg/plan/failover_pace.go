package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
)

// Guards hold evictions back. The zero value holds nothing back: a plan that people ask for shows where
// everything ends up.
type Guards struct {
	// Limited tells that evictions take turns: as many a second from each cluster as the Config's
	// failover.evictionsPerSecond says, and from a cluster that is drained as many at a time as its taint
	// says.
	Limited bool
	// Stopped is why nothing is evicted at all; empty: evictions go on.
	Stopped string
	// Lifted is when evictions were last allowed again after they were stopped: tolerations count from
	// there at the earliest. Zero: they were never stopped.
	Lifted time.Time
}

// stopped returns why nothing is evicted: by what guards it now, or by a pause in the configuration.
func (c *computation) stopped() string {
	f := c.config.Failover
	switch {
	case c.snap.Guards.Stopped != "":
		return c.snap.Guards.Stopped
	case f.PausedUntil != nil && c.snap.Now.Before(f.PausedUntil.Time):
		return PauseReason(f)
	}
	return ""
}

// guards returns what holds evictions back in a snapshot: what was said of it, else what the statuses of its
// clusters tell, which is how a stop comes with a fleet file.
func (s *Snapshot) guards() Guards {
	g := s.Guards
	if g.Stopped != "" {
		return g
	}
	for i := range s.Clusters {
		ev := s.Clusters[i].Status.Evictions
		if ev == nil {
			continue
		}
		g.Stopped = cmp.Or(g.Stopped, ev.Stopped)
		if ev.AllowedSince != nil && ev.AllowedSince.After(g.Lifted) {
			g.Lifted = ev.AllowedSince.Time
		}
	}
	return g
}

// EvictionsStopped returns why nothing is evicted; empty: evictions go on, or the plan was read back.
func (p *Plan) EvictionsStopped() string {
	if p.at == nil {
		return ""
	}
	return p.at.stopped()
}

// PauseReason says in words that failover is paused, until when and why.
func PauseReason(f v1alpha1.FailoverConfig) string {
	reason := "failover is paused until " + f.PausedUntil.UTC().Format(time.RFC3339)
	if f.PausedReason != "" {
		reason += ": " + f.PausedReason
	}
	return reason
}

// pacer lets workloads leave clusters one after another. A cluster lets go of one workload each
// interval; what it did not use it may make up for, up to one second's worth. Its state are the times at
// which workloads left, which are recorded with the decisions (this is the generic cell rate algorithm,
// as in ITU-T I.371).
type pacer struct {
	interval, slack time.Duration
	// due is, by cluster, when the next workload may leave if nothing is made up for.
	due map[string]time.Time
	// moving are how many workloads are on the way away from a cluster, most how many may be.
	moving, most map[string]int
	// next is when somebody who had to wait has a turn; zero: nobody waits for a time.
	next time.Time
}

// newPacer reads who has left when, and who is on the way.
func (c *computation) newPacer() *pacer {
	rate, err := strconv.ParseFloat(c.config.Failover.EvictionsPerSecond, 64)
	if err != nil || !(rate > 0) {
		rate = 0.5 // Only a configuration that was not validated gets here.
	}
	p := &pacer{interval: max(1, time.Duration(float64(time.Second)/rate)), due: map[string]time.Time{}, moving: map[string]int{}, most: map[string]int{}}
	p.slack = max(0, time.Second-p.interval)
	var left []v1alpha1.ClusterTime
	for key, record := range c.recorded {
		left = append(left, record.Status.Evictions...)
		it := c.byKey[key]
		if it == nil || !runsPods(it) {
			continue
		}
		for _, m := range record.Status.Moves {
			if cluster, known := c.clusterN[m.From]; known && c.member(cluster).Known {
				if _, held := c.held(cluster, key); !held {
					continue // It has gone.
				}
			}
			owed := slices.ContainsFunc(record.Status.Debts, func(d v1alpha1.ClusterTime) bool { return d.Cluster == m.From })
			if !owed || m.HealthySince == nil {
				p.moving[m.From]++
			}
		}
	}
	slices.SortFunc(left, func(a, b v1alpha1.ClusterTime) int { return a.Time.Compare(b.Time.Time) })
	for _, l := range left {
		p.pass(l.Cluster, l.Time.Time)
	}
	for _, cl := range c.clusters {
		if n := maxMoves(cl); n > 0 {
			p.most[cl.Name] = n
		}
	}
	return p
}

func hasNoExecute(c *v1alpha1.Cluster) bool {
	return slices.ContainsFunc(c.Spec.Taints, func(t corev1.Taint) bool { return t.Effect == corev1.TaintEffectNoExecute })
}

// maxMoves returns how many workloads may be on the move away from a cluster that is drained; 0: any
// number.
func maxMoves(c *v1alpha1.Cluster) int {
	for _, t := range c.Spec.Taints {
		if t.Key == v1alpha1.TaintDrain && t.Effect == corev1.TaintEffectNoExecute {
			if n, err := strconv.Atoi(t.Value); err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}

// pass notes that a workload left a cluster.
func (p *pacer) pass(cluster string, at time.Time) {
	due := p.due[cluster]
	if due.Before(at) {
		due = at
	}
	p.due[cluster] = due.Add(p.interval)
}

// wait says why a workload cannot leave a cluster now; empty: it can.
func (p *pacer) wait(cluster string, now time.Time) string {
	if most, limited := p.most[cluster]; limited && p.moving[cluster] >= most {
		return fmt.Sprintf("%s is drained %s at a time, and so many are on the move", cluster, plural(most, "workload", "workloads"))
	}
	at := p.due[cluster].Add(-p.slack)
	if !now.Before(at) {
		return ""
	}
	if p.next.IsZero() || at.Before(p.next) {
		p.next = at
	}
	return fmt.Sprintf("one workload leaves %s each %s", cluster, p.interval.Round(time.Millisecond))
}

// runsPods tells that an item takes time to become healthy elsewhere, so that its moves are paced and
// counted. Everything else follows at once.
func runsPods(it *item) bool {
	return it.facts.Replicas != nil || judgedKinds[groupKind{it.key.Group, it.key.Kind}] && it.key.Kind != "CustomResourceDefinition"
}

// evictions are the clusters that an item leaves by a decision which moves what runs: because a taint or
// the workload's own health drives it away, or for a failback or a rebalance.
func (c *computation) evictions(it *item, d *placement.Decision) []string {
	record := c.recorded[it.key]
	if record == nil || d.Standing || d.Error != "" {
		return nil
	}
	var names []string
	for _, t := range record.Spec.Clusters {
		cluster, known := c.clusterN[t.Name]
		if !known || slices.ContainsFunc(d.Clusters, func(a placement.Assignment) bool { return a.Name == t.Name }) {
			continue
		}
		if _, held := it.held(cluster); !held && c.member(cluster).Known {
			continue
		}
		by := rejectedBy(*d, t.Name)
		if d.Moved != "" || by == "TaintToleration" || by == "Eviction" {
			names = append(names, t.Name)
		}
	}
	return names
}

// evictee is an item that leaves clusters by its decision.
type evictee struct {
	at    int
	leave []string
}

// pace decides which evictions of some decisions happen now. It sets stay for the items whose do not,
// and notes the others. It tells whether there is any of the former, so that decisions are to be made
// again.
func (c *computation) pace(items []*item, requests []placement.Request, decisions []placement.Decision) bool {
	var leaving []evictee
	for i, it := range items {
		if leave := c.evictions(it, &decisions[i]); len(leave) > 0 || decisions[i].Moved != "" {
			leaving = append(leaving, evictee{i, leave})
		}
	}
	slices.SortStableFunc(leaving, func(a, b evictee) int {
		x, y := &requests[a.at], &requests[b.at]
		return cmp.Or(
			-compareBool(runsPods(items[a.at]), runsPods(items[b.at])),
			cmp.Compare(y.ClassPriority, x.ClassPriority), cmp.Compare(y.PolicyPriority, x.PolicyPriority), x.Workload.Compare(y.Workload),
		)
	})
	held := false
	for i, it := range items {
		if c.evictedInVain(it, &decisions[i]) {
			it.stay, held = stayNowhere, true
		}
	}
	for _, l := range leaving {
		it := items[l.at]
		if it.stay = c.mustStay(it, l.leave); it.stay == "" {
			it.evicted = l.leave
			continue
		}
		held = true
	}
	return held
}

// stayNowhere is why a workload stays that is unhealthy where it is and has nowhere else to go.
const stayNowhere = "no other cluster can take it"

// evictedInVain tells that a workload which is unhealthy where it is cannot be placed elsewhere. It stays
// then, and goes on to get what Git says: the next commit may be what makes it well.
func (c *computation) evictedInVain(it *item, d *placement.Decision) bool {
	record := c.recorded[it.key]
	if record == nil || d.Error == "" {
		return false
	}
	evicted := false
	for _, t := range record.Spec.Clusters {
		switch rejectedBy(*d, t.Name) {
		case "Eviction":
			evicted = true
		case "TaintToleration":
			return false
		}
	}
	return evicted
}

// mustStay says why an eviction has to wait; empty: it happens now.
func (c *computation) mustStay(it *item, leave []string) string {
	if why := c.stopped(); why != "" {
		return "evictions are stopped: " + why
	}
	if !c.snap.Guards.Limited || !runsPods(it) {
		// What runs no pods is there in no time, and is needed by the first that arrives.
		return ""
	}
	for _, cluster := range leave {
		if why := c.pacer.wait(cluster, c.snap.Now); why != "" {
			return why
		}
	}
	for _, cluster := range leave {
		c.pacer.pass(cluster, c.snap.Now)
		c.pacer.moving[cluster]++
	}
	return ""
}

// paceRemovals makes removals take turns that no eviction stands behind: those after a commit has
// changed where a workload goes. A removal whose decision was an eviction had its turn.
func (c *computation) paceRemovals() {
	stopped := c.stopped()
	for i := range c.moves {
		d := &c.moves[i]
		name := c.clusters[d.cluster].Name
		evicted := slices.Contains(d.item.evicted, name) || c.wasEvicted(d.item, name)
		switch {
		case !d.ready() || !runsPods(d.item):
		case evicted && stopped != "":
			d.gate(moveStopped, "evictions are stopped: "+stopped)
		case evicted || !c.snap.Guards.Limited:
		default:
			if why := c.pacer.wait(name, c.snap.Now); why != "" {
				d.gate(moveRate, why)
				continue
			}
			c.pacer.pass(name, c.snap.Now)
			d.item.evicted = append(d.item.evicted, name)
		}
	}
}

// wasEvicted tells that a workload has left a cluster by an eviction that is recorded.
func (c *computation) wasEvicted(it *item, cluster string) bool {
	record := c.recorded[it.key]
	return record != nil && slices.ContainsFunc(record.Status.Evictions, func(e v1alpha1.ClusterTime) bool { return e.Cluster == cluster })
}

// mostEvictions bounds how many evictions of one workload are remembered.
const mostEvictions = 50

// recordEvictions returns when the workload left which cluster: what is known, without the clusters that
// it is on again or that are gone, and what leaves now.
func (c *computation) recordEvictions(it *item, targets []v1alpha1.TargetCluster, now time.Time) []v1alpha1.ClusterTime {
	var next []v1alpha1.ClusterTime
	on := func(cluster string) bool {
		return slices.ContainsFunc(targets, func(t v1alpha1.TargetCluster) bool { return t.Name == cluster })
	}
	if record := c.recorded[it.key]; record != nil {
		for _, e := range record.Status.Evictions {
			if _, known := c.clusterN[e.Cluster]; known && !on(e.Cluster) && !slices.Contains(it.evicted, e.Cluster) {
				next = append(next, e)
			}
		}
	}
	for _, name := range it.evicted {
		if !on(name) && runsPods(it) {
			next = append(next, v1alpha1.ClusterTime{Cluster: name, Time: timeOf(nil, name, now)})
		}
	}
	slices.SortFunc(next, func(a, b v1alpha1.ClusterTime) int {
		return cmp.Or(b.Time.Compare(a.Time.Time), strings.Compare(a.Cluster, b.Cluster))
	})
	return next[:min(len(next), mostEvictions)]
}
