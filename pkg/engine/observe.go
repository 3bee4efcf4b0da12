package engine

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/failover"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// tellTime is how long the first plan waits for clusters that answer to tell what they hold and can hold.
const tellTime = 5 * time.Second

// observed tells that every source was tried and every cluster probed once, so that a plan is not
// made on half of the truth. Both attempts are bounded by their timeouts. The first plan also waits for
// clusters that answer to tell what decisions depend on.
func (e *Engine) observed(ctx context.Context) bool {
	patient := !e.ready.get() && time.Since(e.began) < tellTime
	for _, p := range e.pollers {
		if !p.leaving && !p.state.get().tried {
			return false
		}
	}
	for _, s := range e.sites {
		if !s.state.get().probed || patient && !s.toldEnough(ctx) {
			return false
		}
	}
	return true
}

func (e *Engine) trees() plan.Trees {
	var trees plan.Trees
	for _, p := range e.pollers {
		if s, ok := p.planned(); ok {
			trees = append(trees, s)
		}
	}
	return trees
}

// snapshot takes everything that a plan may know, once. It has no FleetDigest, which costs more than the
// plan itself: only what people are shown names the fleet.
func (e *Engine) snapshot(ctx context.Context, now time.Time) plan.Snapshot {
	snap := plan.Snapshot{
		Now: now, TakenAt: now, Placements: e.state.Orders.asked(e.state.Placements), Config: e.current.Config,
		Members: make(map[string]plan.Member, len(e.sites)), Facts: map[string]v1alpha1.ClusterFactsSpec{},
	}
	e.judge(now)
	snap.Guards = e.stop.guards()
	for _, s := range e.sites {
		st := s.state.get()
		cluster, member := s.described.get(), plan.Member{}
		scores := cluster.Status.ExternalScores
		if st.facts != nil {
			cluster.Status = *st.facts
		}
		if st.member != nil {
			counts, _ := st.member.Unschedulable(now.Add(-unschedulableAfter))
			member = withUnschedulable(st.member.Inventory(), counts)
			member.Refused = st.refusals()
			if facts, told := s.facts(ctx, st, cluster.Spec.ResourceModels); told {
				cluster.Status = facts
				known := st.member.Classes()
				known.Version = facts.KubernetesVersion
				snap.Facts[cluster.Name] = known
				s.locate(facts, now)
			}
		}
		s.state.get().location.tell(&cluster.Status)
		cluster.Status.ExternalScores = scores
		cluster.Spec.Taints = e.withTimes(withoutOurs(cluster.Spec.Taints), cluster.Name, now)
		snap.Clusters = append(snap.Clusters, describe(cluster, st.health, e.stop))
		member.Reachable = member.Reachable && st.health.Answering()
		snap.Members[cluster.Name] = member
	}
	snap.Placements = recoverPlacements(snap.Placements, snap.Members)
	snap.GoneSources = e.goneSources(snap.Members)
	e.spread(&snap)
	snap.Sources = Declared(snap.Sources, e.current.Sources)
	return snap
}

// describe returns the cluster as it stands, with what its health adds. Its taints belong to the caller.
func describe(c v1alpha1.Cluster, h failover.ClusterHealth, s stop) v1alpha1.Cluster {
	c.Status.Conditions = slices.Clone(c.Status.Conditions)
	meta.SetStatusCondition(&c.Status.Conditions, h.Condition())
	c.Spec.Taints = append(s.countAnew(c.Spec.Taints), h.Taints(s.reason != "", s.lifted)...)
	c.Status.Evictions, c.Status.ReadyHistory = s.status(), historyOf(h)
	return Located(c)
}

// restoreHealth takes up the timers of clusters where the last run left them.
func (e *Engine) restoreHealth() {
	e.restoreStop(e.state.Clusters)
	recorded := map[string]v1alpha1.Cluster{}
	for _, c := range e.state.Clusters {
		recorded[c.Name] = c
	}
	for _, s := range e.sites {
		c, ok := recorded[s.name]
		if !ok {
			continue
		}
		s.state.update(func(st *siteState) bool { st.location = restoredLocation(c.Status, e.options.Now()); return true })
		if c.Status.KubernetesVersion != "" {
			s.state.update(func(st *siteState) bool { st.facts = factsOf(c.Status); return true })
		}
		condition := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
		if condition == nil || condition.Reason == "NotProbed" {
			continue
		}
		s.state.update(func(st *siteState) bool {
			st.health = failover.Restore(*condition, failedSince(c.Spec.Taints), transitionsOf(c.Status.ReadyHistory))
			return true
		})
	}
}

// factsOf are the facts that a recorded status tells of a cluster which has not told them itself yet.
func factsOf(s v1alpha1.ClusterStatus) *v1alpha1.ClusterStatus {
	return &v1alpha1.ClusterStatus{
		KubernetesVersion: s.KubernetesVersion, APIEnablements: s.APIEnablements,
		NodeSummary: s.NodeSummary, ResourceSummary: s.ResourceSummary,
	}
}

func failedSince(taints []corev1.Taint) time.Time {
	for _, t := range taints {
		if isOurs(t) && t.Effect == corev1.TaintEffectNoSchedule && t.TimeAdded != nil {
			return t.TimeAdded.Time
		}
	}
	return time.Time{}
}

// readyStatus is the status of the Ready condition of a cluster in a snapshot.
func readyStatus(c v1alpha1.Cluster) metav1.ConditionStatus {
	if condition := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady); condition != nil {
		return condition.Status
	}
	return metav1.ConditionTrue
}
