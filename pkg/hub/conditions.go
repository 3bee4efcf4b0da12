package hub

import (
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// The conditions of kstatus that are there only while they are true.
const (
	conditionReconciling = "Reconciling"
	conditionStalled     = "Stalled"
)

// verdict says in kstatus' terms how something stands.
type verdict struct {
	ready           metav1.ConditionStatus
	reason, message string
	// reconciling tells that we are at it, stalled that a person has to do something first.
	reconciling, stalled bool
	// since is when it became so, where that is known better than by the time of the report.
	since metav1.Time
	// marks are what else is wrong.
	marks []mark
}

// maxMessage bounds a message in a status, in bytes.
const maxMessage = 512

// conditions returns those that say so, with the times of the last ones where nothing changed. A message that
// is only worded anew is no change: errors of the network name another port each time.
func (v verdict) conditions(last []metav1.Condition, generation int64) []metav1.Condition {
	message := shortened(v.message, maxMessage)
	next := append([]metav1.Condition(nil), last...)
	before := meta.FindStatusCondition(next, v1alpha1.ConditionReady)
	if before != nil && before.Status == v.ready && before.Reason == v.reason && before.ObservedGeneration == generation && v.ready != metav1.ConditionTrue && !v.reconciling && before.Message != "" {
		message = before.Message
	}
	meta.SetStatusCondition(&next, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: v.ready, Reason: v.reason, Message: message, ObservedGeneration: generation,
		LastTransitionTime: v.since,
	})
	stalled, reason, why := v.stalled, v.reason, message
	for _, m := range v.marks {
		if m.stalled && !stalled {
			stalled, reason, why = true, m.reason, shortened(m.message, maxMessage)
		}
	}
	for _, c := range []struct {
		name            string
		is              bool
		reason, message string
	}{{conditionReconciling, v.reconciling, v.reason, message}, {conditionStalled, stalled, reason, why}} {
		if !c.is {
			meta.RemoveStatusCondition(&next, c.name)
			continue
		}
		meta.SetStatusCondition(&next, metav1.Condition{
			Type: c.name, Status: metav1.ConditionTrue, Reason: c.reason, Message: c.message, ObservedGeneration: generation,
		})
	}
	return withMarks(next, v.marks, generation)
}

// shortened cuts a text to a number of bytes, between two characters.
func shortened(s string, most int) string {
	const mark = "…"
	if len(s) <= most {
		return s
	}
	cut := most - len(mark)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}
