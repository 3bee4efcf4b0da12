package engine

import (
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// timers finds the next moment at which time alone changes what is to be done. Everything else that
// does is an event and needs no clock.
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

// nextTimer returns when time alone changes the plan or what can be done of it: a toleration ends, a
// move has drained, a pause is over, a failed operation may be tried again. Zero: never.
func (e *Engine) nextTimer(p *plan.Plan, snap plan.Snapshot) time.Time {
	t := &timers{now: snap.Now}
	t.at(p.RecheckAt)
	t.at(e.kept.Again)
	if until := e.current.Config.Failover.PausedUntil; until != nil {
		t.at(until.Time)
	}
	for _, s := range e.sites {
		t.at(nextAttempt(s.state.get().failures, snap.Now))
		t.at(s.nextUnschedulable(snap.Now))
	}
	return t.next
}

// nextAttempt returns when the earliest failed operation is to be tried again, zero if there is none.
func nextAttempt(failures map[v1alpha1.ObjectKey]failure, now time.Time) time.Time {
	t := &timers{now: now}
	for _, f := range failures {
		t.at(f.next)
		if f.fight && !f.quiet.IsZero() {
			t.at(f.quiet.Add(fightWindow))
		}
	}
	return t.next
}
