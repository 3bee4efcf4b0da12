package plan

import (
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// keepHeld corrects what becomes of a workload on a cluster where the controller will not do what was
// decided: what the head plan holds back stays as it is, and replicas that an autoscaler sets stay too. A
// workload that does not come since it is held back is returned as a rejection.
func (v *preview) keepHeld(a *ReportAssignment, key v1alpha1.ObjectKey) *ReportRejection {
	ch := v.head.change(a.Name, key)
	if ch == nil || a.Action == PlacementStay {
		return nil
	}
	held := ch.Action == v1alpha1.ActionSkip && ch.Gate.Kind() != v1alpha1.GateMove
	reason := string(ch.Gate) + ": " + ch.Reason
	switch {
	case held && a.Action == PlacementJoin:
		return &ReportRejection{Filter: string(ch.Gate), Reason: ch.Reason, Clusters: []string{a.Name}}
	case held:
	case a.Action == PlacementRescale && ch.lendsReplicas():
		reason = "an autoscaler sets its replicas"
	default:
		return nil
	}
	a.Action, a.After, a.FilterBy = PlacementStay, a.Before, ""
	a.Reasons = []string{reason}
	return nil
}

// lendsReplicas tells that the replicas of a workload are someone else's once it is there.
func (ch *ObjectChange) lendsReplicas() bool {
	if ch.pair == nil || ch.pair.target == nil || ch.pair.item == nil || len(ch.pair.item.facts.ReplicasField) == 0 {
		return false
	}
	pointer := "/" + strings.Join(ch.pair.item.facts.ReplicasField, "/")
	return slices.ContainsFunc(ch.pair.target.lent, func(f lentField) bool { return f.pointer == pointer })
}
