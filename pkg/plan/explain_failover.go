package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// ExplainedFailover is what failures and moves have to do with where an object is.
type ExplainedFailover struct {
	// Stopped is why nothing is evicted: failover is paused, or a veto holds; empty: evictions go on.
	Stopped string `json:"stopped"`
	// Clusters are those that the object is on, comes to or has left, and that are not well, or that a move
	// concerns, by name.
	Clusters []FailoverCluster `json:"clusters"`
}

// FailoverCluster is one cluster of an object that a failure or a move concerns.
type FailoverCluster struct {
	Name string `json:"name"`
	// Ready is the status of the cluster's Ready condition, Since and Message are the condition's. A cluster
	// without one counts as ready.
	Ready   metav1.ConditionStatus `json:"ready"`
	Since   *metav1.Time           `json:"since,omitempty"`
	Message string                 `json:"message,omitempty"`
	// Taints are those that evict, and those of the cluster's health, with their times.
	Taints []corev1.Taint `json:"taints"`
	// Health is how the copy there is doing as far as it was seen; empty: there is none.
	Health v1alpha1.Health `json:"health,omitempty"`
	// Left is when the object was moved away from there.
	Left *metav1.Time `json:"left,omitempty"`
	// Owes is since when the removal of the old copy waits for the cluster to be reached.
	Owes *metav1.Time `json:"owes,omitempty"`
	// From are the clusters that it takes over from, Moving is since when, and Healthy since when every copy
	// that takes over is healthy.
	From    []string     `json:"from,omitempty"`
	Moving  *metav1.Time `json:"moving,omitempty"`
	Healthy *metav1.Time `json:"healthy,omitempty"`
}

// recentEviction is for how long it is told of a cluster that is well that a workload has left it.
const recentEviction = time.Hour

// explainFailover says what failures and moves have to do with where an item is; nil: nothing.
func (c *computation) explainFailover(it *item) *ExplainedFailover {
	next, ok := c.record(it.entry, c.snap.Now)
	if !ok {
		next = v1alpha1.Placement{}
	}
	f := &ExplainedFailover{Stopped: c.stopped(), Clusters: []FailoverCluster{}}
	for i, cl := range c.clusters {
		if told, concerned := c.failoverOn(it, i, &next); concerned {
			told.Name = cl.Name
			f.Clusters = append(f.Clusters, told)
		}
	}
	if len(f.Clusters) == 0 {
		// A stop that keeps nothing of it from moving is none of its business.
		return nil
	}
	return f
}

// failoverOn tells what failures and moves have to do with an item on one cluster, and whether they have.
func (c *computation) failoverOn(it *item, cluster int, record *v1alpha1.Placement) (told FailoverCluster, concerned bool) {
	cl := c.clusters[cluster]
	held, isHeld := it.held(cluster)
	told = FailoverCluster{Ready: metav1.ConditionTrue, Taints: []corev1.Taint{}}
	if ready := meta.FindStatusCondition(cl.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		told.Ready = ready.Status
		if ready.Status != metav1.ConditionTrue {
			told.Since, told.Message = &ready.LastTransitionTime, ready.Message
		}
	}
	for _, t := range cl.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoExecute || t.Key == v1alpha1.TaintNotReady || t.Key == v1alpha1.TaintUnreachable {
			told.Taints = append(told.Taints, t)
		}
	}
	if isHeld {
		told.Health = held.Health
	}
	unwell := told.Ready != metav1.ConditionTrue || len(told.Taints) > 0
	moves := told.addMoves(cl.Name, &record.Status)
	if told.Left != nil && !unwell && !moves && c.snap.Now.Sub(told.Left.Time) > recentEviction {
		told.Left = nil
	}
	its := isHeld || it.goesTo(cluster) || slices.ContainsFunc(record.Spec.Clusters, func(t v1alpha1.TargetCluster) bool { return t.Name == cl.Name })
	return told, moves || told.Left != nil || its && unwell
}

// addMoves adds what is recorded of an object's moves on one cluster. It tells whether any is under way.
func (f *FailoverCluster) addMoves(cluster string, s *v1alpha1.PlacementStatus) (moves bool) {
	for _, e := range s.Evictions {
		if e.Cluster == cluster {
			f.Left = &e.Time
		}
	}
	for _, d := range s.Debts {
		if d.Cluster == cluster {
			f.Owes, moves = &d.Time, true
		}
	}
	for _, m := range s.Moves {
		moves = moves || m.From == cluster
		if slices.Contains(m.To, cluster) {
			f.From, f.Moving, f.Healthy, moves = append(f.From, m.From), &m.Since, m.HealthySince, true
		}
	}
	return moves
}

func printFailover(out *page.Page, f *ExplainedFailover, now time.Time) {
	if f == nil {
		return
	}
	out.Blank()
	out.Styled(page.Head, "FAILOVER")
	if f.Stopped != "" {
		out.Words(page.Remove, "  ✘ ", 4, page.Scrub("nothing is evicted: "+f.Stopped))
	}
	width := 0
	for i := range f.Clusters {
		width = max(width, page.Columns(page.Scrub(f.Clusters[i].Name)))
	}
	width = min(width, 40)
	for i := range f.Clusters {
		cl := &f.Clusters[i]
		style, words := page.Change, cl.words(now)
		if cl.Ready != metav1.ConditionTrue {
			style = page.Remove
		}
		prefix := "  " + page.Pad(page.Cut(page.Scrub(cl.Name), width), width) + "  "
		for _, w := range words {
			out.Words(style, prefix, width+4, page.Scrub(w))
			prefix, style = strings.Repeat(" ", width+4), page.Plain
		}
	}
}

// words say what there is to say of a cluster, a line each.
func (f *FailoverCluster) words(now time.Time) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch f.Ready {
	case metav1.ConditionUnknown:
		add("cannot be reached since %s%s", ago(f.Since, now), messageOf(f.Message))
	case metav1.ConditionFalse:
		add("answers, but is not ready since %s%s", ago(f.Since, now), messageOf(f.Message))
	case metav1.ConditionTrue:
	}
	for _, t := range f.Taints {
		if t.Effect == corev1.TaintEffectNoExecute {
			name := t.Key + ":" + string(t.Effect)
			if t.Value != "" {
				name = t.Key + "=" + t.Value + ":" + string(t.Effect)
			}
			add("taint %s%s", name, sinceText(t.TimeAdded, now))
		}
	}
	if f.Left != nil {
		add("the workload left it at %s", ago(f.Left, now))
	}
	if f.Owes != nil {
		add("the old copy goes when the cluster can be reached, owed since %s", ago(f.Owes, now))
	}
	if len(f.From) > 0 {
		health := "not healthy yet"
		switch {
		case f.Healthy != nil:
			health = "healthy since " + ago(f.Healthy, now)
		case f.Health != "":
			health += " (" + string(f.Health) + ")"
		}
		add("takes over from %s since %s: %s", strings.Join(firstFewInOrder(f.From, 6), ", "), ago(f.Moving, now), health)
	}
	if len(lines) == 0 {
		add("is being left")
	}
	return lines
}

func messageOf(message string) string {
	const most = 160
	if message == "" {
		return ""
	}
	return ": " + page.Cut(message, most)
}

func sinceText(t *metav1.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	return " since " + ago(t, now)
}

// ago is a point in time with how long it is past.
func ago(t *metav1.Time, now time.Time) string {
	if t == nil {
		return "an unknown time"
	}
	past := now.Sub(t.Time).Round(time.Second)
	if past < 0 || now.IsZero() {
		return rfc3339(t.Time)
	}
	return fmt.Sprintf("%s (%s ago)", rfc3339(t.Time), past)
}
