package hub

import (
	"slices"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

const (
	// maxDrift is how many objects a status names, maxDriftFields how many fields of each, and
	// maxDriftPath and maxDriftManager how long a path and a name may be, in bytes: a longer path is left
	// out, since one that is cut short leads nowhere.
	maxDrift       = 5
	maxDriftFields = 3
	maxDriftPath   = 128

	maxDriftManager = 63
)

// drifted is what someone else changed, by the workload whose Placement tells it, and by source where no
// Placement does.
type drifted struct {
	workloads map[v1alpha1.ObjectKey][]v1alpha1.ObjectDrift
	sources   map[string][]v1alpha1.ObjectDrift
}

// driftOf sorts the drift of a cycle. What is put back at once is left out: it is over before anybody reads
// of it.
func driftOf(cycle *engine.Cycle, recorded func(v1alpha1.ObjectKey) bool) drifted {
	d := drifted{workloads: map[v1alpha1.ObjectKey][]v1alpha1.ObjectDrift{}, sources: map[string][]v1alpha1.ObjectDrift{}}
	for _, c := range cycle.Plan.Clusters {
		for _, o := range cycle.Drift(c.Name) {
			switch {
			case o.Handling == v1alpha1.DriftRepaired:
			case recorded(o.Key()):
				d.workloads[o.Key()] = append(d.workloads[o.Key()], o)
			default:
				d.sources[o.Source] = append(d.sources[o.Source], o)
			}
		}
	}
	return d
}

// summary names the worst of what someone else changed, within the bounds of a status; nil where there is
// nothing. before is what was said last: who writes a field again and again is not news.
func summary(all []v1alpha1.ObjectDrift, before *v1alpha1.DriftSummary) *v1alpha1.DriftSummary {
	if len(all) == 0 {
		return nil
	}
	plan.SortDrift(all)
	s := &v1alpha1.DriftSummary{Total: int32(min(len(all), 1<<30))} //nolint:gosec // Bounded by the line itself.
	for i := range all[:min(maxDrift, len(all))] {
		o := all[i]
		fields := o.Fields
		o.Fields = nil
		for _, f := range fields {
			if len(o.Fields) == maxDriftFields || len(f.Path) > maxDriftPath {
				o.More++
				continue
			}
			f.Manager = shortened(f.Manager, maxDriftManager)
			o.Fields = append(o.Fields, said(before, o, f))
		}
		s.Objects = append(s.Objects, o)
	}
	return s
}

// said returns a field with the time that was told of it before, as long as the same manager has it.
func said(before *v1alpha1.DriftSummary, o v1alpha1.ObjectDrift, f v1alpha1.DriftField) v1alpha1.DriftField {
	if before == nil {
		return f
	}
	i := slices.IndexFunc(before.Objects, func(b v1alpha1.ObjectDrift) bool {
		return b.Cluster == o.Cluster && b.Key() == o.Key() && b.Handling == o.Handling
	})
	if i < 0 {
		return f
	}
	for _, b := range before.Objects[i].Fields {
		if b.Path == f.Path && b.Manager == f.Manager && b.Since != nil {
			f.Since = b.Since
		}
	}
	return f
}
