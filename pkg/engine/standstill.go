package engine

import (
	"fmt"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// Problems that people asked for, and that others may wonder about.
const (
	problemPinned    = "source-pinned"
	problemSuspended = "source-suspended"
)

// lookedAtAnew is why a cluster counts as not ready that was so when the last run ended, and answers by now.
const lookedAtAnew = "it was not ready when the controller ended; it counts as ready again once it has answered for health.recoveryThreshold"

// standstill says that new commits of the source are not followed, and how that ends.
func (p *poller) standstill() []Problem {
	about := Problem{Source: p.id, Severity: v1alpha1.SeverityCaution}
	switch {
	case p.leaving:
		return nil
	case p.given.PinnedRevision != "":
		about.ID = problemPinned
		about.Reason = fmt.Sprintf("spec.pinnedRevision keeps it at %s: new commits are not followed", p.given.PinnedRevision)
	case p.spec.Spec.PinnedRevision != "":
		about.ID = problemPinned
		about.Reason = fmt.Sprintf("a rollback keeps it at %s: new commits are not followed until 'armada-sync resume %s'", p.spec.Spec.PinnedRevision, p.spec.Name)
	case p.spec.Spec.Suspend:
		about.ID = problemSuspended
		about.Reason = "spec.suspend is set: new commits are not followed, and what is applied is kept"
	default:
		return nil
	}
	return []Problem{about}
}

// confirmed returns, of what a member cannot watch, what a probe that began later could not explain: watches
// of a cluster that goes away break a moment before a probe says so.
func (s *site) confirmed(reasons []string) []string {
	var sure []string
	now := s.now()
	s.state.update(func(st *siteState) bool {
		doubts := map[string]time.Time{}
		st.unsure = false
		for _, reason := range reasons {
			since, known := st.doubts[reason]
			if !known {
				since = now
			}
			doubts[reason] = since
			if st.answered.After(since) {
				sure = append(sure, reason)
			} else {
				st.unsure = true
			}
		}
		st.doubts = doubts
		return true
	})
	return sure
}

// refusals are the manifests that the API server does not take, whatever comes, until a person changes
// something there or in Git.
func (s siteState) refusals() map[v1alpha1.ObjectKey]plan.Refusal {
	var found map[v1alpha1.ObjectKey]plan.Refusal
	for k, f := range s.failures {
		switch {
		case f.fight:
		case f.result.Class == apply.ClassStalled, f.result.Class == apply.ClassConflict, f.result.Class == apply.ClassDenied:
			if found == nil {
				found = map[v1alpha1.ObjectKey]plan.Refusal{}
			}
			found[k] = plan.Refusal{Digest: f.digest, Message: f.result.Message}
		}
	}
	return found
}
