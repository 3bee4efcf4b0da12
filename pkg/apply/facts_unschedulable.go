package apply

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// unplacedSince is since when a pod finds no node; zero: it has one, or nobody says that it finds none.
func unplacedSince(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// Unschedulable counts, by the workload that they belong to, the pods that have found no node since before a
// time. next is since when the first of the others finds none, zero where there are no others.
func (m *Member) Unschedulable(before time.Time) (counts map[v1alpha1.ObjectKey]int64, next time.Time) {
	return m.capacity.unschedulable(before)
}

func (c *capacity) unschedulable(before time.Time) (counts map[v1alpha1.ObjectKey]int64, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for uid := range c.unplaced {
		p := c.pods[uid]
		if p.unplaced.After(before) {
			if next.IsZero() || p.unplaced.Before(next) {
				next = p.unplaced
			}
			continue
		}
		key := p.owner.key
		if p.owner.parent.Kind != "" {
			key = p.owner.parent
		}
		if counts == nil {
			counts = map[v1alpha1.ObjectKey]int64{}
		}
		counts[key]++
	}
	return counts, next
}
