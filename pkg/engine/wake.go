package engine

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// timers finds the next moment at which time alone changes a plan: a toleration that ends, a move that
// has drained, a pause that is over, an operation that is to be tried again. Everything else that
// changes a plan is an event and needs no clock.
type timers struct {
	now  time.Time
	next time.Time
}

// at takes a moment into account; those that have passed have had their effect.
func (t *timers) at(moment time.Time) {
	if moment.After(t.now) && (t.next.IsZero() || moment.Before(t.next)) {
		t.next = moment
	}
}

func (t *timers) after(from time.Time, seconds int64) {
	t.at(from.Add(time.Duration(seconds) * time.Second))
}

// nextTimer returns the next moment, zero if there is none.
func nextTimer(trees plan.Trees, snap plan.Snapshot, placements []v1alpha1.Placement) time.Time {
	t := &timers{now: snap.Now}
	f := snap.Config.Failover
	tolerations, graces, evictions := policySeconds(trees)
	tolerations = append(tolerations, *f.ImplicitTolerationSeconds)
	graces = append(graces, *f.GracePeriodSeconds)
	evictions = append(evictions, *f.ApplicationTolerationSeconds)

	for _, c := range snap.Clusters {
		for _, taint := range c.Spec.Taints {
			if taint.Effect != corev1.TaintEffectNoExecute || taint.TimeAdded == nil {
				continue
			}
			for _, s := range tolerations {
				t.after(taint.TimeAdded.Time, s)
			}
		}
	}
	for _, p := range placements {
		for _, m := range p.Status.Moves {
			if m.HealthySince != nil {
				t.after(m.HealthySince.Time, *f.DrainSeconds)
			}
			for _, s := range graces {
				t.after(m.Since.Time, s)
			}
		}
		for _, u := range p.Status.UnhealthySince {
			for _, s := range evictions {
				t.after(u.Time.Time, s)
			}
		}
		if p.Spec.RebalanceAt != nil {
			t.at(p.Spec.RebalanceAt.Time)
		}
	}
	for _, m := range snap.Members {
		for _, held := range m.Objects {
			t.at(held.PausedUntil)
		}
	}
	if f.PausedUntil != nil {
		t.at(f.PausedUntil.Time)
	}
	return t.next
}

// policySeconds collects the durations that policies name: tolerations of taints, grace periods of
// moves, and how long an application may be unhealthy.
func policySeconds(trees plan.Trees) (tolerations, graces, evictions []int64) {
	for _, s := range trees {
		for _, p := range s.PropagationPolicies {
			for _, t := range p.Spec.Placement.ClusterTolerations {
				if t.TolerationSeconds != nil {
					tolerations = append(tolerations, *t.TolerationSeconds)
				}
			}
			if p.Spec.Failover == nil || p.Spec.Failover.Application == nil {
				continue
			}
			a := p.Spec.Failover.Application
			if a.GracePeriodSeconds != nil {
				graces = append(graces, int64(*a.GracePeriodSeconds))
			}
			if a.DecisionConditions.TolerationSeconds != nil {
				evictions = append(evictions, int64(*a.DecisionConditions.TolerationSeconds))
			}
		}
	}
	return tolerations, graces, evictions
}

// nextAttempt returns when the earliest failed operation is to be tried again, zero if there is none.
func nextAttempt(failures map[v1alpha1.ObjectKey]failure, now time.Time) time.Time {
	t := &timers{now: now}
	for _, f := range failures {
		t.at(f.next)
	}
	return t.next
}
