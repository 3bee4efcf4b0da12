package engine

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

func withoutOurs(taints []corev1.Taint) []corev1.Taint {
	return slices.DeleteFunc(slices.Clone(taints), isOurs)
}

func isOurs(t corev1.Taint) bool {
	return t.Key == v1alpha1.TaintNotReady || t.Key == v1alpha1.TaintUnreachable
}

// withTimes gives the NoExecute taints of a cluster that do not say since when they are there the time at
// which they were first seen: that of the same taint among the recorded ones, else now. Tolerations would
// count from every plan anew otherwise, and never end. Taints are changed in place.
func (e *Engine) withTimes(taints []corev1.Taint, cluster string, now time.Time) []corev1.Taint {
	for i := range taints {
		t := &taints[i]
		if t.Effect != corev1.TaintEffectNoExecute || t.TimeAdded != nil {
			continue
		}
		at := metav1.NewTime(now)
		recorded := e.recordedTaints(cluster)
		if r := slices.IndexFunc(recorded, func(r corev1.Taint) bool { return sameTaint(r, *t) && r.TimeAdded != nil }); r >= 0 {
			at = *recorded[r].TimeAdded
		}
		t.TimeAdded = &at
	}
	return taints
}

func sameTaint(a, b corev1.Taint) bool { return a.MatchTaint(&b) && a.Value == b.Value }

// WithRecordedTaints returns the taints that people gave a cluster with those that were recorded of it: what
// its health puts on it, and since when a NoExecute taint is there that does not say so itself.
func WithRecordedTaints(taints, recorded []corev1.Taint) []corev1.Taint {
	all := withoutOurs(taints)
	for _, r := range recorded {
		switch i := slices.IndexFunc(all, func(t corev1.Taint) bool { return sameTaint(t, r) }); {
		case isOurs(r):
			all = append(all, r)
		case i >= 0 && all[i].TimeAdded == nil:
			all[i].TimeAdded = r.TimeAdded
		}
	}
	return all
}

// recordedTaints are those that are recorded of a cluster.
func (e *Engine) recordedTaints(cluster string) []corev1.Taint {
	for i := range e.state.Clusters {
		if e.state.Clusters[i].Name == cluster {
			return e.state.Clusters[i].Spec.Taints
		}
	}
	return nil
}

// WorthRecording tells of a taint in a snapshot that its time cannot be known otherwise after a restart: it is
// of the cluster's health, or those that people gave the cluster do not say it.
func WorthRecording(t corev1.Taint, given []corev1.Taint) bool {
	if isOurs(t) {
		return true
	}
	return t.Effect == corev1.TaintEffectNoExecute && t.TimeAdded != nil &&
		slices.ContainsFunc(given, func(g corev1.Taint) bool { return sameTaint(g, t) && g.TimeAdded == nil })
}
