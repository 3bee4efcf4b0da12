package engine

import (
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// recoverPlacements adds, for divided workloads that members hold and no decision is recorded of, the
// decision that the shares on the members tell. It has no inputs, so it is made again, with those
// shares as the previous ones: a lost state moves nothing. A recorded decision without inputs may list
// a part of its shares alone, where the record was too large: what members hold completes it.
func recoverPlacements(recorded []v1alpha1.Placement, members map[string]plan.Member) []v1alpha1.Placement {
	complete := make(map[v1alpha1.ObjectKey]bool, len(recorded))
	found := map[v1alpha1.ObjectKey]*v1alpha1.Placement{}
	listed := map[v1alpha1.ObjectKey]map[string]bool{}
	for _, p := range recorded {
		key := p.Spec.Workload.Key()
		if complete[key] = p.Spec.Inputs != ""; !complete[key] {
			p.Spec.Clusters = slices.Clone(p.Spec.Clusters)
			found[key], listed[key] = &p, mentioned(p)
		}
	}
	for cluster, m := range members {
		for held := range m.Objects.All() {
			key := held.Key()
			if held.Replicas == nil || complete[key] || listed[key][cluster] {
				continue
			}
			p := found[key]
			if p == nil {
				p = &v1alpha1.Placement{Spec: v1alpha1.PlacementSpec{Workload: held.ObjectReference}}
				found[key] = p
			}
			p.Spec.Clusters = append(p.Spec.Clusters, v1alpha1.TargetCluster{Name: cluster, Replicas: held.Replicas})
		}
	}
	if len(found) == 0 {
		return recorded
	}
	all := make([]v1alpha1.Placement, 0, len(recorded)+len(found))
	for _, p := range recorded {
		if complete[p.Spec.Workload.Key()] {
			all = append(all, p)
		}
	}
	for _, p := range found {
		slices.SortFunc(p.Spec.Clusters, func(a, b v1alpha1.TargetCluster) int { return strings.Compare(a.Name, b.Name) })
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b v1alpha1.Placement) int { return a.Spec.Workload.Compare(b.Spec.Workload) })
	return all
}

// mentioned are the clusters that a record says something about: that they have a share, or that their
// copy is on its way out.
func mentioned(p v1alpha1.Placement) map[string]bool {
	names := map[string]bool{}
	for _, c := range p.Spec.Clusters {
		names[c.Name] = true
	}
	for _, name := range p.Spec.Evicting {
		names[name] = true
	}
	for _, m := range p.Status.Moves {
		names[m.From] = true
	}
	for _, d := range p.Status.Debts {
		names[d.Cluster] = true
	}
	return names
}
