package engine

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/failover"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// stop is why nothing is evicted.
type stop struct {
	// reason in words; empty: evictions go on.
	reason string
	// paused tells that somebody wants it so; otherwise it is a veto.
	paused bool
	// lifted is when evictions were last allowed again.
	lifted time.Time
}

// judge decides whether evictions must stop, and remembers when they may go on.
func (e *Engine) judge(now time.Time) {
	f := e.current.Config.Failover
	sites := make([]failover.Site, 0, len(e.sites))
	for _, s := range e.sites {
		st, cluster := s.state.get(), s.described.get()
		st.location.tell(&cluster.Status)
		spec := Located(cluster).Spec
		sites = append(sites, failover.Site{
			Name: s.name, Region: spec.Region, Provider: spec.Provider, Cordoned: cordoned(spec.Taints), Health: st.health,
		})
	}
	veto := failover.Veto(sites, failover.VetoRule{
		Window: f.VetoWindow.Duration, ReadyFor: f.VetoReadyFor.Duration, History: f.VetoHistory.Duration,
		Percent: int(*f.VetoPercent), MinClusters: int(*f.VetoMinClusters),
	}, now)
	next := stop{reason: veto, lifted: e.stop.lifted}
	if f.PausedUntil != nil && now.Before(f.PausedUntil.Time) {
		next.reason, next.paused = plan.PauseReason(f), true
	}
	switch {
	case next.reason == "" && e.stop.reason != "":
		next.lifted = now
	case next.reason != "" && !next.paused && (e.stop.reason == "" || e.stop.paused):
		e.metrics.vetoes.Inc()
	}
	e.stop = next
	e.metrics.stopped(next)
}

// cordoned tells that people keep what is new from a cluster.
func cordoned(taints []corev1.Taint) bool {
	return slices.ContainsFunc(taints, func(t corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule && (t.Key == v1alpha1.TaintCordoned || t.Key == corev1.TaintNodeUnschedulable)
	})
}

// guards are what a plan has to know of it.
func (s stop) guards() plan.Guards { return plan.Guards{Stopped: s.reason, Lifted: s.lifted} }

// problems are that evictions are stopped, where they are.
func (s stop) problems() []Problem {
	switch {
	case s.reason == "":
		return nil
	case s.paused:
		return []Problem{{ID: ProblemFailoverPaused, Reason: s.reason, Severity: v1alpha1.SeverityCaution}}
	}
	return []Problem{{ID: ProblemFailoverVeto, Reason: s.reason}}
}

// The ids of problems that concern the whole fleet.
const (
	ProblemFailoverVeto   = "failover-veto"
	ProblemFailoverPaused = "failover-paused"
)

// status is what the hub's object of a cluster says of it, and what a restart takes up again.
func (s stop) status() *v1alpha1.EvictionStatus {
	if s.reason == "" && s.lifted.IsZero() {
		return nil
	}
	status := &v1alpha1.EvictionStatus{Stopped: s.reason}
	if !s.lifted.IsZero() {
		at := metav1.NewTime(s.lifted)
		status.AllowedSince = &at
	}
	return status
}

// countAnew lets the tolerations of NoExecute taints that people set begin when evictions were last
// allowed again, as those of the health taints do.
func (s stop) countAnew(taints []corev1.Taint) []corev1.Taint {
	for i := range taints {
		if t := &taints[i]; t.Effect == corev1.TaintEffectNoExecute && t.TimeAdded != nil && t.TimeAdded.Time.Before(s.lifted) {
			at := metav1.NewTime(s.lifted)
			t.TimeAdded = &at
		}
	}
	return taints
}

// restoreStop takes up what the last run knew of it: a stop that ends while nobody looks ends now.
func (e *Engine) restoreStop(recorded []v1alpha1.Cluster) {
	for _, c := range recorded {
		ev := c.Status.Evictions
		if ev == nil {
			continue
		}
		if ev.Stopped != "" {
			e.stop.reason = ev.Stopped
			// Whether it was a veto or a pause is judged anew; a veto that goes on is not another one.
			e.stop.paused = false
		}
		if ev.AllowedSince != nil && ev.AllowedSince.After(e.stop.lifted) {
			e.stop.lifted = ev.AllowedSince.Time
		}
	}
}

// mostTransitions bounds the history of a cluster that is kept.
const mostTransitions = 20

// historyOf is the history of a cluster in the form in which it is kept; transitionsOf reads it.
func historyOf(h failover.ClusterHealth) []v1alpha1.ReadyTransition {
	from := h.Transitions[max(0, len(h.Transitions)-mostTransitions):]
	kept := make([]v1alpha1.ReadyTransition, 0, len(from))
	for _, t := range from {
		kept = append(kept, v1alpha1.ReadyTransition{Status: t.Status, Time: metav1.NewTime(t.Time)})
	}
	return kept
}

func transitionsOf(kept []v1alpha1.ReadyTransition) []failover.Transition {
	list := make([]failover.Transition, 0, len(kept))
	for _, t := range kept {
		list = append(list, failover.Transition{Time: t.Time.Time, Status: t.Status})
	}
	return list
}

// ConfiguredTaints are those that the configuration which the engine was made with gives a cluster.
func (e *Engine) ConfiguredTaints(cluster string) []corev1.Taint {
	for _, c := range e.options.Clusters {
		if c.Name == cluster {
			return c.Spec.Taints
		}
	}
	return nil
}

// unschedulableAfter is for how long a pod must have found no node to count as missing capacity.
const unschedulableAfter = 5 * time.Minute

// withUnschedulable returns what a member holds with how many pods of each workload have long found no node.
func withUnschedulable(m plan.Member, counts map[v1alpha1.ObjectKey]int64) plan.Member {
	if len(counts) == 0 {
		return m
	}
	objects := m.Objects.ByKey()
	for key, n := range counts {
		if held := objects[key]; held != nil {
			counted := *held
			counted.SetDetail(func(d *plan.HeldDetails) { d.Unschedulable = n })
			objects[key] = &counted
		}
	}
	m.Objects = plan.InventoryOf(objects)
	return m
}

// nextUnschedulable returns when the next pod that finds no node counts; zero: none waits for that.
func (s *site) nextUnschedulable(now time.Time) time.Time {
	member := s.state.get().member
	if member == nil {
		return time.Time{}
	}
	if _, since := member.Unschedulable(now.Add(-unschedulableAfter)); !since.IsZero() {
		return since.Add(unschedulableAfter)
	}
	return time.Time{}
}
