package plan

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// clusters lists the fleet as a reader of the report wants to know it.
func (v *preview) clusters() []ReportCluster {
	all := []ReportCluster{}
	if v.head.at == nil {
		for _, cc := range v.head.Clusters {
			all = append(all, ReportCluster{Name: cc.Name, Changed: v.changed[cc.Name]})
		}
		return all
	}
	for _, c := range v.head.at.clusters {
		all = append(all, ReportCluster{
			Name: c.Name, Provider: c.Spec.Provider, Region: c.Spec.Region,
			Version: c.Status.KubernetesVersion, Changed: v.changed[c.Name],
		})
	}
	return all
}

// drift lists the objects that someone else changed on the members. It is taken from the base plan, so
// that none of it is an effect of the change.
func (v *preview) drift() []ReportDrift {
	type key struct {
		ref    v1alpha1.ObjectReference
		reason string
	}
	clusters := map[key][]string{}
	for _, cc := range v.base.Clusters {
		for i := range cc.Objects {
			if ch := &cc.Objects[i]; ch.pair.more().drifted {
				k := key{ch.ObjectReference, ch.Reason}
				clusters[k] = append(clusters[k], cc.Name)
			}
		}
	}
	all := make([]ReportDrift, 0, len(clusters))
	for k, names := range clusters {
		all = append(all, ReportDrift{ObjectReference: k.ref, Reason: k.reason, Clusters: names})
	}
	slices.SortFunc(all, func(a, b ReportDrift) int {
		return cmp.Or(a.Compare(b.ObjectReference), strings.Compare(a.Reason, b.Reason))
	})
	return all
}

// countWorkloads counts the objects with replicas that change or move.
func (v *preview) countWorkloads() int {
	seen := map[v1alpha1.ObjectKey]bool{}
	note := func(ref v1alpha1.ObjectReference) {
		for _, side := range []map[v1alpha1.ObjectKey]*PlacementEntry{v.before, v.after} {
			if e := side[ref.Key()]; e != nil && e.Replicas != nil {
				seen[ref.Key()] = true
			}
		}
	}
	for _, p := range v.report.Placements {
		note(p.Workload)
	}
	for _, g := range v.report.Groups {
		for _, o := range g.Objects {
			note(o.ObjectReference)
		}
	}
	return len(seen)
}

// countPolicies counts the policies that are new, gone or different.
func (v *preview) countPolicies() int {
	before, after := policySpecs(v.base), policySpecs(v.head)
	n := 0
	for key, spec := range after {
		if old, had := before[key]; !had || !reflect.DeepEqual(old, spec) {
			n++
		}
	}
	for key := range before {
		if _, has := after[key]; !has {
			n++
		}
	}
	return n
}

// policySpecs maps every policy of every source to what it says.
func policySpecs(p *Plan) map[[4]string]any {
	specs := map[[4]string]any{}
	if p.at == nil {
		return specs
	}
	for _, s := range p.at.sources {
		for i := range s.PropagationPolicies {
			o := &s.PropagationPolicies[i]
			specs[[4]string{s.Source, "propagation", o.Namespace, o.Name}] = o.Spec
		}
		for i := range s.OverridePolicies {
			o := &s.OverridePolicies[i]
			specs[[4]string{s.Source, "override", o.Namespace, o.Name}] = o.Spec
		}
	}
	return specs
}

// storage is what a PersistentVolumeClaim asks for; "" for other kinds and where it is not known.
func (v *preview) storage(cluster string, ch *ObjectChange) string {
	if ch.Kind != "PersistentVolumeClaim" || ch.Group() != "" {
		return ""
	}
	for _, side := range []*Plan{v.head, v.base} {
		if rendered, err := side.Rendered(cluster, ch.ObjectReference); err == nil {
			return stringAt(mapAt(rendered.Object.Object, "spec", "resources", "requests"), "storage")
		}
	}
	return ""
}
