package engine

import (
	"cmp"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// ProblemUnhealthy is an object that was written and then failed, by the rules for its kind.
const ProblemUnhealthy = "unhealthy"

// unhealthy are the objects of a cluster that have failed, by what they are doubted under until a probe confirms
// that the cluster is well (see confirmed): what fails for a moment is not worth a line.
func (s *site) unhealthy(m *apply.Member, held plan.Member, p *plan.Plan) map[string]Problem {
	if !held.Reachable || m.Health().Degraded == 0 {
		return nil
	}
	found := map[string]Problem{}
	for _, ch := range p.Changes(s.name) {
		o := held.Objects.Get(ch.Key())
		if o == nil || o.Health != v1alpha1.HealthDegraded || o.Terminating {
			continue
		}
		found[ProblemUnhealthy+" "+o.String()] = Problem{
			Source: ch.Source, Cluster: s.name, Object: o.String(), ID: ProblemUnhealthy, At: p.DeclaredAt(s.name, ch.Key()),
			Reason: cmp.Or(o.Detail().HealthMessage, "it has failed"), Severity: v1alpha1.SeverityCaution,
		}
	}
	return found
}
