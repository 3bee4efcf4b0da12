package engine

import (
	"context"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// facts returns what a cluster tells of itself; false where it has not told its kinds, which counts as not
// known. Capacity that it has not told since it was connected to stays as it was known before: new credentials
// are no news about nodes.
func (s *site) facts(ctx context.Context, st siteState, models []v1alpha1.ResourceModel) (v1alpha1.ClusterStatus, bool) {
	st.member.SetResourceModels(models)
	facts, err := st.member.Facts(ctx)
	if err != nil {
		return v1alpha1.ClusterStatus{}, false
	}
	if facts.ResourceSummary == nil && st.facts != nil {
		facts.NodeSummary, facts.ResourceSummary = st.facts.NodeSummary, st.facts.ResourceSummary
		return facts, true
	}
	s.state.update(func(now *siteState) bool { now.facts = &facts; return true })
	return facts, true
}

// locate takes in what a cluster tells of where its nodes are.
func (s *site) locate(facts v1alpha1.ClusterStatus, now time.Time) {
	s.state.update(func(st *siteState) bool { st.location = st.location.seen(facts, now); return true })
}
