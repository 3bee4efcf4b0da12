package placement

import (
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// defaultRebalanceAfter is for how long a workload must be out of balance before its policy's rebalance
// divides it anew.
const defaultRebalanceAfter = 10 * time.Minute

// The values of Decision.Moved.
const (
	MovedByRebalance = "rebalance"
	MovedByFailback  = "failback"
)

func rebalanceAfter(r *v1alpha1.RebalancePolicy) time.Duration {
	if r.After != nil {
		return r.After.Duration
	}
	return defaultRebalanceAfter
}

// dueRebalance tells that a workload has been out of balance for as long as its policy lets it.
func (f *Fleet) dueRebalance(s *v1alpha1.PlacementStrategy, since *time.Time) bool {
	return s.Rebalance != nil && since != nil && !f.now.Before(since.Add(rebalanceAfter(s.Rebalance)))
}

// rebalancePause is how often the time that a workload must be out of balance has to pass between two
// rebalances that nobody asked for.
const rebalancePause = 6

// lookAround finds out how many replicas a fresh decision would put elsewhere, for policies that ask for
// a rebalance. What a fresh decision gives is in balance, so that one does not follow another: the
// capacity of clusters has to change first, by the whole threshold and for the whole time. What changes
// back because of the rebalance itself, such as pods that found no node and are gone, makes it wait longer.
func (s *scheduler) lookAround(q *query, d *Decision) {
	r := q.Strategy.Rebalance
	if r == nil || !q.division.byCapacity() || !d.Standing || d.Error != "" || *q.Replicas == 0 {
		return
	}
	if last := q.Previous.RebalancedAt; last != nil {
		if again := last.Add(rebalancePause * rebalanceAfter(r)); s.fleet.now.Before(again) {
			d.RecheckAt = earlier(d.RecheckAt, again)
			return
		}
	}
	moved, ok := s.outOfBalance(q, d.AffinityGroup)
	if percent := mulAmounts(moved, 100) / *q.Replicas; ok && percent >= int64(r.ThresholdPercent) {
		d.Imbalance = percent
		since := s.fleet.now
		if p := q.Previous; p.ImbalanceSince != nil {
			since = *p.ImbalanceSince
		}
		d.RecheckAt = earlier(d.RecheckAt, since.Add(rebalanceAfter(r)))
	}
}

// outOfBalance returns how many replicas a fresh decision in an affinity group would move; ok is false
// where there is none.
func (s *scheduler) outOfBalance(q *query, group string) (moved int64, ok bool) {
	fresh := q.fresh
	defer func() { q.fresh = fresh }()
	q.fresh = true
	for i := range q.groups {
		if q.groups[i].name != group {
			continue
		}
		a := s.try(q, &q.groups[i])
		if a.run() != nil {
			return 0, false
		}
		for j := range a.candidates {
			if c := &a.candidates[j]; c.share > c.own {
				moved = addAmounts(moved, c.share-c.own)
			}
		}
		return moved, true
	}
	return 0, false
}

// noteMove says of a decision that was opened, though nothing had to open it, what did.
func (q *query) noteMove(d *Decision) {
	switch {
	case d.Standing || d.Error != "" || q.Previous == nil:
	case q.fresh:
		d.Moved = MovedByRebalance
	case q.failback && d.AffinityGroup != q.Previous.AffinityGroup:
		d.Moved = MovedByFailback
	}
}
