package hub

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

// The conditions beside those of kstatus. Each is there only while it is true.
const (
	// conditionRenewalFailed on a Cluster: its token was due for renewal and has not been renewed.
	conditionRenewalFailed = "RenewalFailed"
	// conditionSourceGone on a Cluster: what it was discovered from is not there any more.
	conditionSourceGone = "SourceGone"
	// conditionDiscoveryIncomplete on a Config: something that was found, or a place to look in, cannot be used.
	conditionDiscoveryIncomplete = "DiscoveryIncomplete"
)

// maxMark bounds the message of a mark, in bytes: it names what is missing at several places, each with the
// command that mends it.
const maxMark = 4 * maxMessage

// mark is something wrong with a Cluster or Config that the engine does not know of. It becomes a condition,
// and an event when it appears and when it goes.
type mark struct {
	condition, reason, message string
	// stalled tells that nothing more happens by itself.
	stalled bool
}

// mark replaces the marks of one author: those of Clusters by name, that of the Config under "". They are
// reported with the next report.
func (r *reporter) mark(author string, marks map[string]mark) {
	r.mu.Lock()
	if r.marks == nil {
		r.marks = map[string]map[string]mark{}
	}
	same := maps.Equal(r.marks[author], marks)
	r.marks[author] = marks
	r.mu.Unlock()
	if !same {
		r.nudge()
	}
}

// marksOf returns the marks of a Cluster, or of the Config, by author.
func (r *reporter) marksOf(cluster string) []mark {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []mark
	for _, author := range slices.Sorted(maps.Keys(r.marks)) {
		if m, ok := r.marks[author][cluster]; ok {
			found = append(found, m)
		}
	}
	return found
}

// markedProblems returns all marks as problems, for events.
func (r *reporter) markedProblems() []engine.Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []engine.Problem
	for _, marks := range r.marks {
		for cluster, m := range marks {
			found = append(found, engine.Problem{Cluster: cluster, ID: m.condition, Reason: m.message, Severity: v1alpha1.SeverityBlocker})
		}
	}
	return found
}

// withMarks sets the conditions of the marks and takes away those that stand no longer. A message that is
// only worded anew is no change.
func withMarks(conditions []metav1.Condition, marks []mark, generation int64) []metav1.Condition {
	for _, name := range []string{conditionRenewalFailed, conditionSourceGone, conditionDiscoveryIncomplete} {
		i := slices.IndexFunc(marks, func(m mark) bool { return m.condition == name })
		if i < 0 {
			meta.RemoveStatusCondition(&conditions, name)
			continue
		}
		message := shortened(marks[i].message, maxMark)
		before := meta.FindStatusCondition(conditions, name)
		if name == conditionRenewalFailed && before != nil && before.Reason == marks[i].reason {
			message = before.Message
		}
		meta.SetStatusCondition(&conditions, metav1.Condition{
			Type: name, Status: metav1.ConditionTrue, Reason: marks[i].reason, Message: message, ObservedGeneration: generation,
		})
	}
	return conditions
}
