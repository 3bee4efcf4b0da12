package engine

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// Fights are, by cluster and object, until when an object is left alone since someone changes it again
// and again.
type Fights map[string]map[v1alpha1.ObjectKey]time.Time

// fights are those that go on now.
func (e *Engine) fights() Fights {
	all := Fights{}
	for _, s := range e.sites {
		st := s.state.get()
		if until := st.fought(); until != nil {
			all[s.name] = until
		}
	}
	return all
}

// Drift lists what someone else changed on a cluster and what is done about it, what needs a person most
// first. It may be called from any goroutine.
func (c *Cycle) Drift(cluster string) []v1alpha1.ObjectDrift {
	all := c.Plan.Drift(cluster)
	for i := range all {
		d := &all[i]
		if until, fought := c.Fights[cluster][d.Key()]; fought && d.Handling == v1alpha1.DriftRepaired {
			end := metav1.NewTime(until)
			d.Handling, d.Until = v1alpha1.DriftFought, &end
		}
	}
	plan.SortDrift(all)
	return all
}

// countDrift sets the metrics about what someone else changed.
func (e *Engine) countDrift(p *plan.Plan, fights Fights) {
	for _, s := range e.sites {
		count := p.CountDrift(s.name)
		for key := range fights[s.name] {
			if h, found := p.DriftHandling(s.name, key); found && h == v1alpha1.DriftRepaired {
				count[v1alpha1.DriftRepaired]--
				count[v1alpha1.DriftFought]++
			}
		}
		for _, h := range v1alpha1.DriftHandlings() {
			e.metrics.drift.WithLabelValues(s.name, string(h)).Set(float64(count[h]))
		}
		if m := s.state.get().member; m != nil {
			tally := m.Health()
			for health, n := range map[v1alpha1.Health]int{
				v1alpha1.HealthHealthy: tally.Healthy, v1alpha1.HealthProgressing: tally.Progressing, v1alpha1.HealthDegraded: tally.Degraded,
			} {
				e.metrics.health.WithLabelValues(s.name, string(health)).Set(float64(n))
			}
		}
	}
}
