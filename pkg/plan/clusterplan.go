package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// ErrReadBack is the answer of a plan that was decoded from JSON: it says what happens, but no longer
// holds the manifests.
var ErrReadBack = errors.New("the plan was read back and holds no manifests")

// Changes returns what happens on one cluster, by reference; nil for a cluster that is not in the plan.
func (p *Plan) Changes(cluster string) []ObjectChange {
	i, found := slices.BinarySearchFunc(p.Clusters, cluster, func(c ClusterChanges, name string) int { return strings.Compare(c.Name, name) })
	if !found {
		return nil
	}
	return p.Clusters[i].Objects
}

// change returns what happens to one object on one cluster, whatever the version of its API.
func (p *Plan) change(cluster string, key v1alpha1.ObjectKey) *ObjectChange {
	changes := p.Changes(cluster)
	i, found := slices.BinarySearchFunc(changes, key, func(ch ObjectChange, k v1alpha1.ObjectKey) int { return ch.Key().Compare(k) })
	if !found {
		return nil
	}
	return &changes[i]
}

// DeclaredAt returns the "file:line" of the document behind a change on a cluster; empty where none is, as for
// what is gone from Git.
func (p *Plan) DeclaredAt(cluster string, key v1alpha1.ObjectKey) string {
	ch := p.change(cluster, key)
	if ch == nil || ch.pair == nil || ch.pair.item == nil {
		return ""
	}
	return ch.pair.item.Origin.Source
}

// Rendered returns an object as it is meant for one cluster. It is rendered now, since a plan keeps no
// more than digests. The error says that the object does not belong there, or why it cannot be had.
func (p *Plan) Rendered(cluster string, ref v1alpha1.ObjectReference) (render.Rendered, error) {
	if p.at == nil {
		return render.Rendered{}, ErrReadBack
	}
	ch := p.change(cluster, ref.Key())
	if ch == nil || ch.pair.target == nil {
		return render.Rendered{}, fmt.Errorf("%s does not belong on cluster %q", ref, cluster)
	}
	if why := ch.pair.target.denied; why != "" {
		return render.Rendered{}, fmt.Errorf("%s is held on cluster %q: %s", ref, cluster, why)
	}
	return p.computation(ch).render(ch.pair.item, ch.pair.target)
}

// Desired returns what the plan wants an object to be on a cluster, without what is sent with a create
// alone; false where it wants nothing of it, or where that cannot be had.
func (p *Plan) Desired(cluster string) func(v1alpha1.ObjectKey) (*unstructured.Unstructured, bool) {
	p = p.part(cluster)
	return func(key v1alpha1.ObjectKey) (*unstructured.Unstructured, bool) {
		ch := p.change(cluster, key)
		if p.at == nil || ch == nil || ch.pair.target == nil || ch.pair.target.denied != "" || ch.pair.target.rendered.failed != "" {
			return nil, false
		}
		rendered, err := p.at.render(ch.pair.item, ch.pair.target)
		if err != nil {
			return nil, false
		}
		return withoutFields(rendered.Object, ch.pair.target.lent), true
	}
}

// Removes returns whether the plan removes an object from a cluster now, with nothing in the way that only
// another plan could open.
func (p *Plan) Removes(cluster string) func(v1alpha1.ObjectKey) bool {
	p = p.part(cluster)
	return func(key v1alpha1.ObjectKey) bool {
		ch := p.change(cluster, key)
		return ch != nil && ch.Action == v1alpha1.ActionPrune && !ch.Gate.NeedsReplan()
	}
}

// GroupKinds returns the kinds of everything that the plan knows of on a cluster, held or wanted, in
// kubectl's spelling and sorted.
func (p *Plan) GroupKinds(cluster string) []string {
	kinds := map[string]bool{}
	for _, ch := range p.Changes(cluster) {
		kinds[ch.GroupKind()] = true
	}
	return keys(kinds)
}

// ClusterPlan returns one cluster's part with everything that is needed to carry it out. The error
// names an object that cannot be rendered any more, or a cluster that is not in the plan.
func (p *Plan) ClusterPlan(cluster string) (ClusterPlan, error) {
	revisions := p.RevisionsAt(cluster)
	p = p.part(cluster)
	if p.at == nil {
		return ClusterPlan{}, ErrReadBack
	}
	if _, known := p.at.clusterN[cluster]; !known {
		return ClusterPlan{}, fmt.Errorf("cluster %q is not in the plan", cluster)
	}
	cp := ClusterPlan{
		APIVersion: v1alpha1.APIVersion, Kind: "ClusterPlan", Cluster: cluster, HubID: p.at.snap.Config.HubID,
		Revisions: revisions, Operations: []Operation{}, Sets: p.sets(cluster),
	}
	changes := p.Changes(cluster)
	for i := range changes {
		op, err := p.operation(&changes[i])
		if err != nil {
			return ClusterPlan{}, fmt.Errorf("plan for cluster %q: %w", cluster, err)
		}
		cp.Operations = append(cp.Operations, op)
	}
	slices.SortStableFunc(cp.Operations, func(a, b Operation) int { return compareOperations(&a, &b) })
	return cp, nil
}

// operation returns what the executor does for one change.
func (p *Plan) operation(ch *ObjectChange) (Operation, error) {
	op := Operation{
		ObjectReference: ch.ObjectReference, Action: ch.Action, Gate: ch.Gate, Source: ch.Source, Digest: ch.Digest,
		Replicas: ch.Replicas, Reason: ch.Reason,
		Release:  ch.pair.more().release,
		PutsBack: ch.Action == v1alpha1.ActionConfigure && ch.pair.more().drifted,
		Wave:     ch.wave(),
	}
	op.ExpectedUID, op.ExpectedDigest = ch.pair.expected()
	if s := p.at.byName[ch.Source]; s != nil && s.Spec.Tenant != nil {
		op.Identity, op.Bounded = s.Spec.Tenant.ServiceAccount, true
	}
	if ch.Action != v1alpha1.ActionCreate && ch.Action != v1alpha1.ActionConfigure {
		return op, nil
	}
	it, t := ch.pair.item, ch.pair.target
	rendered, err := p.at.render(it, t)
	if err != nil {
		return Operation{}, fmt.Errorf("render %s: %w", ch.ObjectReference, err)
	}
	op.Manifest, op.HandOver, op.Adopt = asSent(rendered.Object), ch.pair.more().handOver, t.adopt
	for _, f := range t.lent {
		if f.in(op.Manifest.Object) {
			op.OnCreateOnly = append(op.OnCreateOnly, f.pointer)
		}
	}
	op.Unowned = len(op.HandOver)+len(op.OnCreateOnly) > 0 && !slices.ContainsFunc(t.lent, func(f lentField) bool { return !f.ignored })
	op.DependsOn = p.at.dependencies(it, t.cluster)
	return op, nil
}

// dependencies are the objects of a depends-on annotation that are, or are to be, on the cluster.
func (c *computation) dependencies(it *item, cluster int) []v1alpha1.ObjectReference {
	var refs []v1alpha1.ObjectReference
	for _, ref := range it.traits.dependsOn {
		if other := c.byKey[ref.Key()]; other != nil && other.goesTo(cluster) {
			refs = append(refs, other.ref)
		} else if held, ok := c.held(cluster, ref.Key()); ok {
			refs = append(refs, held.ObjectReference)
		}
	}
	return refs
}

// sets lists by source what the cluster holds when all is done: whatever is not pruned now. A source of which
// everything goes has an empty set.
func (p *Plan) sets(cluster string) []ApplySet {
	kinds, namespaces := map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, ch := range p.Changes(cluster) {
		if uid, digest := ch.pair.expected(); ch.Action == v1alpha1.ActionSkip && uid == "" && digest == "" {
			continue
		}
		if kinds[ch.Source] == nil {
			kinds[ch.Source], namespaces[ch.Source] = map[string]bool{}, map[string]bool{}
		}
		if ch.Action == v1alpha1.ActionPrune && ch.Gate == "" {
			continue
		}
		kinds[ch.Source][ch.GroupKind()] = true
		if ch.Namespace != "" {
			namespaces[ch.Source][ch.Namespace] = true
		}
	}
	sets := []ApplySet{}
	for _, source := range keys(kinds) {
		sets = append(sets, ApplySet{Source: source, GroupKinds: keys(kinds[source]), Namespaces: keys(namespaces[source])})
	}
	return sets
}
