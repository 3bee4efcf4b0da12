package failover

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Answer is what one probe of a cluster gave.
type Answer string

// The values of Answer.
const (
	// Ready: /readyz answered 200.
	Ready Answer = "ready"
	// NotReady: the API server answered, but not that it is ready.
	NotReady Answer = "not-ready"
	// Unreachable: there was no answer.
	Unreachable Answer = "unreachable"
)

// Observation is one probe.
type Observation struct {
	Time   time.Time
	Answer Answer
	// Message says what was seen, without credentials.
	Message string
}

// Thresholds say how long a change must last before it counts.
type Thresholds struct {
	// Failure is how long probes must fail.
	Failure time.Duration
	// Recovery is how long they must succeed.
	Recovery time.Duration
	// MaxGap is the longest time between two observations that still count as one streak. After a
	// longer one (a suspended process, a clock that jumped) the streak begins anew. 0: no limit.
	MaxGap time.Duration
}

// MaxHistory bounds how far back transitions are kept. The veto looks at one hour by default.
const MaxHistory = 24 * time.Hour

// Transition is a change of the verdict.
type Transition struct {
	Time   time.Time
	Status metav1.ConditionStatus
}

// ClusterHealth is the verdict on one cluster. The zero value: never observed.
type ClusterHealth struct {
	// Status is True, False, Unknown, or empty while the cluster was never observed.
	Status metav1.ConditionStatus
	// Since is when Status was reached.
	Since time.Time
	// FailedSince is when the cluster left Ready; it survives a change between False and Unknown.
	FailedSince time.Time
	Message     string
	// Transitions within MaxHistory, oldest first.
	Transitions []Transition

	streak     Answer
	streakFrom time.Time
	// answerFrom is since when the answers are the very same, where a streak only tells ready from not.
	answerFrom time.Time
	last       time.Time
}

// Restore returns the health that a recorded Ready condition describes, so that a restart of the
// controller starts no timer anew. History are the transitions that were recorded with it, so that a
// restart does not lift a veto either; without any, the cluster counts as new.
func Restore(c metav1.Condition, failedSince time.Time, history []Transition) ClusterHealth {
	h := ClusterHealth{Status: c.Status, Since: c.LastTransitionTime.Time, Message: c.Message}
	if c.Status != metav1.ConditionTrue {
		h.FailedSince = failedSince
		if failedSince.IsZero() {
			h.FailedSince = h.Since
		}
	}
	h.Transitions = slices.Clone(history)
	if n := len(h.Transitions); n == 0 || h.Transitions[n-1].Status != h.Status {
		h.Transitions = append(h.Transitions, Transition{Time: h.Since, Status: h.Status})
	}
	return h
}

// Observe returns the health after one more observation. A cluster that was never observed takes
// the first answer at once: there is nothing on it that a hasty verdict could hurt.
func (h ClusterHealth) Observe(o Observation, t Thresholds) ClusterHealth {
	gap := t.MaxGap > 0 && !h.last.IsZero() && (o.Time.Sub(h.last) > t.MaxGap || o.Time.Before(h.last))
	h = h.until(o.Time)
	h.last = o.Time
	if (o.Answer == Ready) != (h.streak == Ready) || h.streak == "" || gap {
		h.streakFrom = o.Time
	}
	if o.Answer != h.streak || gap {
		h.answerFrom = o.Time
	}
	h.streak = o.Answer
	lasted := o.Time.Sub(h.streakFrom)

	switch {
	case h.Status == "":
		return h.turn(statusOf(o.Answer), o)
	case h.Status == metav1.ConditionTrue:
		if o.Answer != Ready && lasted >= t.Failure {
			return h.turn(statusOf(o.Answer), o)
		}
	case o.Answer == Ready:
		if lasted >= t.Recovery {
			return h.turn(metav1.ConditionTrue, o)
		}
	default:
		s := statusOf(o.Answer)
		starting := h.Status == metav1.ConditionUnknown && s == metav1.ConditionFalse && o.Time.Sub(h.answerFrom) < t.Failure
		if s != h.Status && !starting {
			return h.turn(s, o)
		}
		h.Message = o.Message
	}
	return h
}

// until returns the health as seen by a clock that tells now. After a clock was set back everything that
// was seen moves back with it, so that how long a cluster was well still counts; what lies ahead of now
// would have lasted a negative time.
func (h ClusterHealth) until(now time.Time) ClusterHealth {
	latest := h.last
	if latest.IsZero() {
		latest = h.Since
	}
	back := now.Sub(latest)
	if latest.IsZero() || back >= 0 {
		return h
	}
	for _, t := range []*time.Time{&h.Since, &h.FailedSince, &h.streakFrom, &h.answerFrom, &h.last} {
		if !t.IsZero() {
			*t = t.Add(back)
		}
	}
	h.Transitions = slices.Clone(h.Transitions)
	for i := range h.Transitions {
		h.Transitions[i].Time = h.Transitions[i].Time.Add(back)
	}
	return h
}

func (h ClusterHealth) turn(s metav1.ConditionStatus, o Observation) ClusterHealth {
	switch {
	case s == metav1.ConditionTrue:
		h.FailedSince = time.Time{}
	case h.FailedSince.IsZero():
		h.FailedSince = o.Time
	}
	h.Status, h.Since, h.Message = s, o.Time, o.Message
	kept := make([]Transition, 0, len(h.Transitions)+1)
	for i, tr := range h.Transitions {
		// The last transition before the window still tells the state at its beginning.
		if i+1 < len(h.Transitions) && o.Time.Sub(h.Transitions[i+1].Time) > MaxHistory {
			continue
		}
		kept = append(kept, tr)
	}
	h.Transitions = append(kept, Transition{Time: o.Time, Status: s})
	return h
}

// Recovering tells that a failed cluster answers again but has not done so for long enough: nothing
// new is placed there and nothing is moved away.
func (h ClusterHealth) Recovering() bool {
	return h.Status != "" && h.Status != metav1.ConditionTrue && h.streak == Ready
}

// Starting tells that a cluster which could not be reached answers again, and not yet that it is ready:
// as every API server does for its first seconds. It becomes NotReady when that lasts for as long as a
// failure has to.
func (h ClusterHealth) Starting() bool {
	return h.Status == metav1.ConditionUnknown && h.streak == NotReady
}

// Answering tells that the last observation got an answer, so that requests are worth sending.
func (h ClusterHealth) Answering() bool {
	if h.streak == "" {
		return h.Status == metav1.ConditionTrue
	}
	return h.streak != Unreachable
}

// Pending tells that the verdict may change without another answer: a streak is running against it.
func (h ClusterHealth) Pending() bool {
	return h.Status != "" && h.streak != "" && (h.Status == metav1.ConditionTrue) != (h.streak == Ready)
}

func statusOf(a Answer) metav1.ConditionStatus {
	switch a {
	case Ready:
		return metav1.ConditionTrue
	case NotReady:
		return metav1.ConditionFalse
	case Unreachable:
	}
	return metav1.ConditionUnknown
}

// Condition returns the Ready condition that says so.
func (h ClusterHealth) Condition() metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: h.Status, Message: h.Message,
		LastTransitionTime: metav1.NewTime(h.Since),
	}
	switch h.Status {
	case metav1.ConditionTrue:
		c.Reason = "Answers"
	case metav1.ConditionFalse:
		c.Reason = "NotReady"
	case metav1.ConditionUnknown:
		c.Reason = "Unreachable"
	default:
		c.Status, c.Reason = metav1.ConditionUnknown, "NotProbed"
	}
	return c
}

// Taints returns the taints that the verdict puts on the cluster. A failed cluster takes nothing new
// and loses what does not tolerate it; one that recovers or starts takes nothing new. Under a veto nothing is
// evicted: the NoExecute taint is left out, and when the veto lifts at liftedAt the tolerations
// start from there.
func (h ClusterHealth) Taints(vetoed bool, liftedAt time.Time) []corev1.Taint {
	key := ""
	switch h.Status {
	case metav1.ConditionFalse:
		key = v1alpha1.TaintNotReady
	case metav1.ConditionUnknown, "":
		key = v1alpha1.TaintUnreachable
	case metav1.ConditionTrue:
		return nil
	}
	since := metav1.NewTime(h.FailedSince)
	taints := []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &since}}
	if vetoed || h.Recovering() || h.Starting() || h.Status == "" {
		return taints
	}
	execute := since
	if liftedAt.After(since.Time) {
		execute = metav1.NewTime(liftedAt)
	}
	return append(taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute, TimeAdded: &execute})
}
