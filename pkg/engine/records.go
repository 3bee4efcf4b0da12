package engine

import (
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// RecordChange is what others did to the records of decisions where a store keeps them.
type RecordChange struct {
	// Rebalance says for workloads from when on they are to be scheduled afresh; nil: no more so.
	Rebalance map[v1alpha1.ObjectKey]*metav1.Time
	// Lost tells that records are not as they were kept: the store is to be asked to keep everything once
	// more.
	Lost bool
}

// RecordChanged tells a running engine what others did to records. What is decided stands.
func (e *Engine) RecordChanged(c RecordChange) {
	e.inbox.update(func(in *inbox) bool {
		in.records.Lost = in.records.Lost || c.Lost
		merged := maps.Clone(in.records.Rebalance)
		if merged == nil {
			merged = map[v1alpha1.ObjectKey]*metav1.Time{}
		}
		maps.Copy(merged, c.Rebalance)
		in.records.Rebalance = merged
		return true
	})
	e.nudge()
}

// takeRecords takes up what others did to records.
func (e *Engine) takeRecords(c RecordChange) {
	if c.Lost {
		e.kept.Again = time.Unix(0, 0) // Long due.
	}
	if len(c.Rebalance) == 0 {
		return
	}
	e.state.Placements = slices.Clone(e.state.Placements)
	for i := range e.state.Placements {
		p := &e.state.Placements[i]
		if at, wished := c.Rebalance[p.Spec.Workload.Key()]; wished {
			p.Spec.RebalanceAt = at
		}
	}
}
