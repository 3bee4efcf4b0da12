package plan

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// Preserved returns what is preserved of the status of the objects that a cluster holds, should they have
// to leave it: JSON paths in the status by the label that carries the value.
func (p *Plan) Preserved(cluster string) map[v1alpha1.ObjectKey]map[string]string {
	p = p.part(cluster)
	if p.at == nil {
		return nil
	}
	i, known := p.at.clusterN[cluster]
	if !known {
		return nil
	}
	var all map[v1alpha1.ObjectKey]map[string]string
	for held := range p.at.member(i).Objects.All() {
		key := held.Key()
		it := p.at.byKey[key]
		if it == nil || it.owner == nil {
			continue
		}
		if paths := preservation(it); len(paths) > 0 {
			if all == nil {
				all = map[v1alpha1.ObjectKey]map[string]string{}
			}
			all[key] = paths
		}
	}
	return all
}

// preservation returns all paths that the policy of an item names, by label.
func preservation(it *item) map[string]string {
	f := it.owner.Spec.Failover
	if f == nil {
		return nil
	}
	var paths map[string]string
	add := func(s *v1alpha1.StatePreservation) {
		if s == nil {
			return
		}
		if paths == nil {
			paths = map[string]string{}
		}
		for _, r := range s.Rules {
			paths[r.AliasLabelName] = r.JSONPath
		}
	}
	if f.Application != nil {
		add(f.Application.StatePreservation)
	}
	if f.Cluster != nil {
		add(f.Cluster.StatePreservation)
	}
	return paths
}

// preservationFor returns the labels that a new copy gets when an item leaves a cluster for a reason.
func preservationFor(it *item, rejectedBy string) []string {
	f := it.owner.Spec.Failover
	if f == nil {
		return nil
	}
	var s *v1alpha1.StatePreservation
	switch {
	case rejectedBy == "TaintToleration" && f.Cluster != nil:
		s = f.Cluster.StatePreservation
	case rejectedBy == "Eviction" && f.Application != nil:
		s = f.Application.StatePreservation
	}
	if s == nil {
		return nil
	}
	labels := make([]string, 0, len(s.Rules))
	for _, r := range s.Rules {
		labels = append(labels, r.AliasLabelName)
	}
	slices.Sort(labels)
	return labels
}

// preserveStates finds out for every item which of its copies carry values of the status of an old one:
// those that were recorded, and those that are made with this plan since the item leaves a cluster.
func (c *computation) preserveStates() {
	for _, it := range c.items {
		if it.owner == nil || it.owner.Spec.Failover == nil || it.entry == nil {
			continue
		}
		if record := c.recorded[it.key]; record != nil {
			for _, s := range record.Status.Preserved {
				if cluster, known := c.clusterN[s.Cluster]; known && it.goesTo(cluster) {
					it.preserved = append(it.preserved, s)
				}
			}
		}
		for _, from := range it.evicted {
			c.preserveState(it, from)
		}
	}
}

// preserveState lets the new copies of an item carry values of the one on a cluster that it leaves.
func (c *computation) preserveState(it *item, from string) {
	labels := preservationFor(it, rejectedBy(it.entry.Decision, from))
	held, known := it.held(c.clusterN[from])
	if len(labels) == 0 || !known {
		return
	}
	values := map[string]string{}
	for _, label := range labels {
		value, found := held.Detail().State[label]
		problem := ""
		if !found {
			problem = "the status of the old copy has no such value, or it was not seen"
		} else if len(validation.IsValidLabelValue(value)) > 0 {
			problem = "the value is none that a label can have"
		}
		if problem != "" {
			ref := it.ref
			c.findings.add(finding{
				ID: StateNotPreserved, Object: &ref, Clusters: []string{from}, Source: it.owner.place, Repository: it.owner.source.Source,
				Message: fmt.Sprintf("%s leaves %s without label %s: %s", ref, from, label, problem),
			})
			continue
		}
		values[label] = value
	}
	if len(values) == 0 {
		return
	}
	for _, t := range it.targets {
		name := c.clusters[t.cluster].Name
		_, isHeld := it.held(t.cluster)
		carries := slices.ContainsFunc(it.preserved, func(s v1alpha1.PreservedState) bool { return s.Cluster == name })
		if !isHeld && !carries {
			it.preserved = append(it.preserved, v1alpha1.PreservedState{Cluster: name, From: from, Labels: values})
		}
	}
}

// withState returns a rendering with the labels that the copy on a cluster carries.
func (c *computation) withState(it *item, t *target, r render.Rendered) render.Rendered {
	name := c.clusters[t.cluster].Name
	i := slices.IndexFunc(it.preserved, func(s v1alpha1.PreservedState) bool { return s.Cluster == name })
	if i < 0 {
		return r
	}
	object := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(r.Object.Object)}
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	r.Fields = maps.Clone(r.Fields)
	if r.Fields == nil {
		r.Fields = map[string]render.Origin{}
	}
	for label, value := range it.preserved[i].Labels {
		labels[label] = value
		r.Fields["/metadata/labels/"+render.EscapeToken(label)] = render.Origin{Source: it.owner.place}
	}
	object.SetLabels(labels)
	r.Object, r.Digest = object, render.Digest(object)
	return r
}
