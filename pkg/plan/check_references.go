package plan

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// reportMissingReferences names what a workload refers to, what Git has or had, and what neither goes along
// nor stays there.
func (c *computation) reportMissingReferences() {
	for _, it := range c.items {
		for _, key := range it.traits.needs {
			if it.traits.optional[key] {
				continue
			}
			for _, t := range it.targets {
				if why := c.missing(key, t.cluster); why != "" {
					ref := it.ref
					c.findings.add(finding{
						ID: MissingReference, Message: fmt.Sprintf("%s refers to %s", ref, why),
						Source: it.Origin.Source, Repository: it.source.Source, Object: &ref, Clusters: []string{c.clusters[t.cluster].Name},
					})
				}
			}
		}
	}
	c.reportUnknownClasses()
}

// missing says that a cluster will not have something that an object of ours needs there; "" where it will,
// or where that is not ours to know.
func (c *computation) missing(key v1alpha1.ObjectKey, cluster int) string {
	need := c.byKey[key]
	if need != nil && need.goesTo(cluster) {
		return ""
	}
	held, isHeld := c.held(cluster, key)
	switch goes := isHeld && c.goesAway(key, cluster); {
	case need == nil && goes:
		return fmt.Sprintf("%s, which is gone from Git and is removed there", held.ObjectReference)
	case need != nil && goes:
		return fmt.Sprintf("%s, which leaves the cluster", need.ref)
	case need != nil && !isHeld:
		return fmt.Sprintf("%s, which does not go along", need.ref)
	}
	return ""
}

// goesAway tells whether the plan removes an object from a cluster before what needs it there.
func (c *computation) goesAway(key v1alpha1.ObjectKey, cluster int) bool {
	i, found := slices.BinarySearchFunc(c.changes[cluster], key, func(ch ObjectChange, k v1alpha1.ObjectKey) int { return ch.Key().Compare(k) })
	if !found {
		return false
	}
	ch := &c.changes[cluster][i]
	return ch.Action == v1alpha1.ActionPrune && !ch.pair.more().release && ch.Gate != v1alpha1.GateMove.Of(moveTogether)
}

// classKind is a kind that objects name by its names alone.
type classKind struct {
	groupKind
	// list is the field of ClusterFacts with the names, and names returns it; nil is not known.
	list  string
	names func(*v1alpha1.ClusterFactsSpec) []string
}

// The kinds of classes.
const (
	storageClass = iota
	ingressClass
	priorityClass
)

func classKinds() []classKind {
	return []classKind{
		storageClass:  {groupKind{"storage.k8s.io", "StorageClass"}, "storageClasses", func(f *v1alpha1.ClusterFactsSpec) []string { return f.StorageClasses }},
		ingressClass:  {groupKind{"networking.k8s.io", "IngressClass"}, "ingressClasses", func(f *v1alpha1.ClusterFactsSpec) []string { return f.IngressClasses }},
		priorityClass: {groupKind{"scheduling.k8s.io", "PriorityClass"}, "priorityClasses", func(f *v1alpha1.ClusterFactsSpec) []string { return f.PriorityClasses }},
	}
}

// classRef is a class that a manifest names.
type classRef struct {
	kind    int
	name    string
	pointer string
}

// classRefs lists the classes that a manifest names.
func classRefs(o *unstructured.Unstructured) []classRef {
	var refs []classRef
	add := func(kind int, name, pointer string) {
		if name != "" {
			refs = append(refs, classRef{kind, name, pointer})
		}
	}
	switch gvk := o.GroupVersionKind(); (groupKind{gvk.Group, gvk.Kind}) {
	case groupKind{"", "PersistentVolumeClaim"}:
		if stringAt(o.Object, "spec", "volumeName") == "" {
			add(storageClass, stringAt(o.Object, "spec", "storageClassName"), "/spec/storageClassName")
		}
	case groupKind{"apps", "StatefulSet"}:
		for i, claim := range mapsAt(o.Object, "spec", "volumeClaimTemplates") {
			add(storageClass, stringAt(claim, "spec", "storageClassName"), fmt.Sprintf("/spec/volumeClaimTemplates/%d/spec/storageClassName", i))
		}
	case groupKind{"networking.k8s.io", "Ingress"}:
		add(ingressClass, stringAt(o.Object, "spec", "ingressClassName"), "/spec/ingressClassName")
	}
	path := render.PodSpecPath(o.GetAPIVersion(), o.GetKind())
	if path == nil {
		return refs
	}
	spec, at := mapAt(o.Object, path...), pointerOf(path)
	add(priorityClass, stringAt(spec, "priorityClassName"), at+"/priorityClassName")
	for i, v := range mapsAt(spec, "volumes") {
		add(storageClass, stringAt(v, "ephemeral", "volumeClaimTemplate", "spec", "storageClassName"),
			fmt.Sprintf("%s/volumes/%d/ephemeral/volumeClaimTemplate/spec/storageClassName", at, i))
	}
	return refs
}

// checkClasses names the classes that an object names and that its cluster does not have.
func (c *computation) checkClasses(it *item, t *target, rendered render.Rendered) {
	for _, ref := range c.planner.cache.classRefs(rendered) {
		kind := classKinds()[ref.kind]
		there, known := c.hasClass(kind, ref, t.cluster)
		name := c.clusters[t.cluster].Name
		switch {
		case there:
		case !known:
			if c.unknownClasses == nil {
				c.unknownClasses = map[int]map[string]bool{}
			}
			if c.unknownClasses[ref.kind] == nil {
				c.unknownClasses[ref.kind] = map[string]bool{}
			}
			c.unknownClasses[ref.kind][name] = true
		default:
			object := it.ref
			f := finding{
				ID: MissingReference, Source: it.Origin.Source, Repository: it.source.Source, Object: &object, Clusters: []string{name},
				Message: fmt.Sprintf("%s names %s %q, which is not there and does not go along", object, kind.kind, ref.name),
			}
			if origin := rendered.OriginOf(ref.pointer); origin.Source != "" {
				f.Source = origin.Source
			}
			c.findings.add(f)
		}
	}
}

// hasClass tells whether a cluster has a class, or gets it with this plan; known tells whether that can be told.
func (c *computation) hasClass(kind classKind, ref classRef, cluster int) (there, known bool) {
	if ref.kind == priorityClass && (ref.name == "system-cluster-critical" || ref.name == "system-node-critical") {
		return true, true
	}
	key := v1alpha1.ObjectKey{Group: kind.group, Kind: kind.kind, Name: ref.name}
	if it := c.byKey[key]; it != nil && it.goesTo(cluster) {
		return true, true
	}
	if ref.kind == storageClass && c.hasVolumeOf(ref.name, cluster) {
		return true, true
	}
	facts, found := c.snap.Facts[c.clusters[cluster].Name]
	if !found || kind.names(&facts) == nil {
		_, held := c.held(cluster, key)
		return held, false
	}
	return slices.Contains(kind.names(&facts), ref.name), true
}

// hasVolumeOf tells whether a PersistentVolume of the plan on a cluster has a class: claims find it by the
// name, and nobody needs a StorageClass.
func (c *computation) hasVolumeOf(class string, cluster int) bool {
	return slices.ContainsFunc(c.items, func(it *item) bool {
		return it.key.Kind == "PersistentVolume" && it.key.Group == "" && it.goesTo(cluster) &&
			stringAt(it.Unstructured.Object, "spec", "storageClassName") == class
	})
}

// reportUnknownClasses says on which clusters it is not known which classes there are.
func (c *computation) reportUnknownClasses() {
	for i, kind := range classKinds() {
		if names := c.unknownClasses[i]; len(names) > 0 {
			c.findings.add(finding{
				ID: NotChecked, Clusters: keys(names),
				Message: fmt.Sprintf("whether the %s that objects name is there: the fleet file does not list the %s of these clusters (ClusterFacts)", kind.kind, kind.list),
			})
		}
	}
}

// newNeeds are what an object refers to since the change.
func newNeeds(v *versions) []v1alpha1.ObjectKey {
	had := map[v1alpha1.ObjectKey]bool{}
	if v.old != nil {
		before, _ := needs(v.old)
		for _, key := range before {
			had[key] = true
		}
	}
	after, optional := needs(v.new)
	return slices.DeleteFunc(after, func(key v1alpha1.ObjectKey) bool {
		// These are in every namespace.
		common := key.Kind == "ConfigMap" && (key.Name == "kube-root-ca.crt" || key.Name == "openshift-service-ca.crt")
		return had[key] || optional[key] || common
	})
}

// reportForeign names what an object newly refers to and Git does not have: something else must make it.
func (v *preview) reportForeign(cluster string, it *item, needed []v1alpha1.ObjectKey) {
	c := v.head.at
	for _, key := range needed {
		if _, held := c.held(c.clusterN[cluster], key); held || c.byKey[key] != nil {
			continue
		}
		ref := it.ref
		name := v1alpha1.ObjectReference{APIVersion: "v1", Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}
		v.findings.add(finding{
			ID: MissingReference, Severity: v1alpha1.SeverityInfo, Object: &ref, Clusters: []string{cluster},
			Source: it.Origin.Source, Repository: it.source.Source,
			Message: fmt.Sprintf("%s newly refers to %s, which Git does not have: something else must make it there", ref, name),
		})
	}
}
