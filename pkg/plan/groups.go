package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// configured is one object that changes on one cluster.
type configured struct {
	cluster string
	ref     v1alpha1.ObjectReference
	fields  []ReportField
	reason  string
	// pods is how many are replaced.
	pods int64
}

// diffKey identifies a pair of versions of one object.
type diffKey struct {
	key      v1alpha1.ObjectKey
	old, new *variant
}

// configure compares the two versions of an object on one cluster. Pairs of versions that were
// compared before are not compared again.
func (v *preview) configure(cluster string, before, ch *ObjectChange) configured {
	c := configured{cluster: cluster, ref: ch.ObjectReference, fields: []ReportField{}}
	if before == nil || before.pair == nil || before.pair.target == nil || ch.pair == nil {
		c.reason = cmp.Or(ch.Reason, "what it was before is not known")
		return c
	}
	head, err := v.head.Rendered(cluster, ch.ObjectReference)
	if err != nil {
		c.reason = err.Error()
		return c
	}
	key := diffKey{ch.Key(), before.pair.target.rendered, ch.pair.target.rendered}
	diff, known := v.diffs[key]
	if !known {
		base, err := v.base.Rendered(cluster, before.ObjectReference)
		if err != nil {
			c.reason = "the version before cannot be rendered: " + err.Error()
			return c
		}
		diff = v.diff(withoutFields(base.Object, before.pair.target.lent), withoutFields(head.Object, ch.pair.target.lent))
		v.diffs[key] = diff
		v.assess(key, ch.pair.item, base.Object, head.Object, diff, head)
		if render.IsSecret(head.Object) {
			v.secretValues += len(diff)
		}
	}
	v.noteRisks(cluster, ch.pair.item, key)
	for _, d := range diff {
		origin := head.OriginOf(d.pointer)
		c.fields = append(c.fields, ReportField{Path: d.path, Old: d.old, New: d.new, Origin: &origin})
	}
	if len(c.fields) == 0 {
		c.reason = ch.Reason
	}
	c.pods = v.noteRestart(cluster, ch, diff, c.fields)
	return c
}

// diff compares two manifests; values of Secrets are told apart by number alone.
func (v *preview) diff(old, new *unstructured.Unstructured) []fieldChange {
	if !render.IsSecret(old) && !render.IsSecret(new) {
		return diffFields(old.Object, new.Object)
	}
	key := v1alpha1.ObjectReference{APIVersion: new.GetAPIVersion(), Kind: new.GetKind(), Namespace: new.GetNamespace(), Name: new.GetName()}.Key()
	m := v.maskers[key]
	if m == nil {
		m = &masker{numbers: map[string]int{}}
		v.maskers[key] = m
	}
	hide := render.HidesSecret(old.Object, new.Object)
	return diffFields(m.mask(old.Object, hide), m.mask(new.Object, hide))
}

// masker replaces the values of one Secret by numbers, equal ones by the same. The order in which it
// sees them is that of clusters and keys, so that the numbers are the same each time.
type masker struct{ numbers map[string]int }

// mask hides the values of a Secret, and the labels and annotations that hold one.
func (m *masker) mask(secret map[string]any, hide func(string) bool) map[string]any {
	masked := make(map[string]any, len(secret))
	for _, name := range keys(secret) {
		if name == "data" || name == "stringData" {
			continue
		}
		masked[name] = secret[name]
	}
	if metadata, ok := secret["metadata"]; ok {
		masked["metadata"] = render.HideCopies(metadata, hide, func(text string) string { return m.number(text) })
	}
	for _, field := range []string{"data", "stringData"} {
		// A Secret without data and one with empty data say the same.
		values, _ := secret[field].(map[string]any)
		hidden := map[string]any{}
		for _, key := range keys(values) {
			hidden[key] = m.number(values[key])
		}
		masked[field] = hidden
	}
	return masked
}

func (m *masker) number(value any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		raw = []byte(fmt.Sprint(value))
	}
	n, known := m.numbers[string(raw)]
	if !known {
		n = len(m.numbers) + 1
		m.numbers[string(raw)] = n
	}
	return fmt.Sprintf("value #%d", n)
}

// listed is an object that appears or goes on some clusters.
type listedKey struct {
	action v1alpha1.Action
	ref    v1alpha1.ObjectReference
	gate   v1alpha1.Gate
}

type listed struct {
	clusters []string
	digests  map[string]bool
	replicas []*int64
	storage  string
}

func (v *preview) list(cluster string, ch *ObjectChange) {
	key := listedKey{ch.Action, ch.ObjectReference, ch.Gate}
	l := v.listed[key]
	if l == nil {
		l = &listed{digests: map[string]bool{}, storage: v.storage(cluster, ch)}
		v.listed[key] = l
	}
	digest := ""
	if ch.Action == v1alpha1.ActionCreate && ch.pair != nil && ch.pair.target != nil {
		digest = ch.pair.target.rendered.digest
	}
	l.clusters = append(l.clusters, cluster)
	l.digests[digest] = true
	l.replicas = append(l.replicas, v.replicasOn(cluster, ch))
}

// replicasOn returns how many replicas an object has, or had, on a cluster.
func (v *preview) replicasOn(cluster string, ch *ObjectChange) *int64 {
	e := v.after[ch.Key()]
	if ch.Action == v1alpha1.ActionPrune {
		e = v.before[ch.Key()]
	}
	if e == nil {
		return ch.Replicas
	}
	for _, a := range e.Clusters {
		if a.Name == cluster {
			return a.Replicas
		}
	}
	return ch.Replicas
}

// groups returns each change once: changed objects first, then new ones, then removed ones.
func (v *preview) groups() []ReportGroup {
	groups := append(v.configureGroups(), v.listGroups()...)
	order := map[v1alpha1.Action]int{v1alpha1.ActionConfigure: 0, v1alpha1.ActionCreate: 1, v1alpha1.ActionPrune: 2}
	slices.SortStableFunc(groups, func(a, b ReportGroup) int {
		return cmp.Or(
			cmp.Compare(order[a.Action], order[b.Action]),
			a.Object.Compare(b.Object),
			strings.Compare(string(a.Kind), string(b.Kind)),
			slices.Compare(a.Clusters, b.Clusters),
		)
	})
	for i := range groups {
		groups[i].ID = groupID(i)
		if v.head.at != nil {
			groups[i].Selection = describeClusters(v.head.at.clusters, groups[i].Clusters)
		}
	}
	return groups
}

// groupID is A to Z, AA, AB and so on.
func groupID(i int) string {
	id := ""
	for i++; i > 0; i = (i - 1) / 26 {
		id = string(rune('A'+(i-1)%26)) + id
	}
	return id
}

// configureGroups puts identical changes of one object together, and then those of the same fields.
func (v *preview) configureGroups() []ReportGroup {
	exact := map[string]*ReportGroup{}
	var order []string
	for _, c := range v.configured {
		key := changeKey(c, true)
		g := exact[key]
		if g == nil {
			g = &ReportGroup{
				Kind: GroupExact, Action: v1alpha1.ActionConfigure, Object: c.ref,
				Objects: []ReportObject{{ObjectReference: c.ref}}, Fields: c.fields, Reason: c.reason,
			}
			exact[key] = g
			order = append(order, key)
		}
		g.Clusters = append(g.Clusters, c.cluster)
		g.PodsRestarted += c.pods
	}
	shapes := map[string][]*ReportGroup{}
	var shapeOrder []string
	for _, key := range order {
		g := exact[key]
		shape := changeKey(configured{ref: g.Object, fields: g.Fields, reason: g.Reason}, false)
		if shapes[shape] == nil {
			shapeOrder = append(shapeOrder, shape)
		}
		shapes[shape] = append(shapes[shape], g)
	}
	groups := make([]ReportGroup, 0, len(shapeOrder))
	for _, shape := range shapeOrder {
		groups = append(groups, mergeShape(shapes[shape]))
	}
	return groups
}

// changeKey is equal for changes that are to be shown as one: with values those that are identical,
// without those of the same fields.
func changeKey(c configured, values bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q %q %q", c.ref.APIVersion, c.ref.Kind, c.ref.Namespace, c.ref.Name, c.reason)
	for _, f := range c.fields {
		fmt.Fprintf(&b, " %q", f.Path)
		if !values {
			continue
		}
		raw, err := json.Marshal(f)
		if err != nil {
			// A value that JSON cannot hold keeps the change apart from every other.
			raw = []byte(fmt.Sprintf("%#v", f))
		}
		b.Write(raw)
	}
	return b.String()
}

// mergeShape makes one group of groups of the same fields: a table of clusters with their values.
func mergeShape(groups []*ReportGroup) ReportGroup {
	if len(groups) == 1 {
		return *groups[0]
	}
	merged := *groups[0]
	merged.Kind, merged.Clusters, merged.Fields = GroupSameShape, nil, make([]ReportField, len(groups[0].Fields))
	merged.PodsRestarted = 0
	for _, g := range groups {
		merged.Clusters = append(merged.Clusters, g.Clusters...)
		merged.PodsRestarted += g.PodsRestarted
	}
	slices.Sort(merged.Clusters)
	for i, first := range groups[0].Fields {
		field := ReportField{Path: first.Path, Origin: first.Origin}
		for _, g := range groups {
			f := g.Fields[i]
			if f.Origin == nil || field.Origin == nil || *f.Origin != *field.Origin {
				field.Origin = nil
			}
			for _, cluster := range g.Clusters {
				field.Values = append(field.Values, ReportValue{Cluster: cluster, Old: f.Old, New: f.New, Origin: f.Origin})
			}
		}
		slices.SortFunc(field.Values, func(a, b ReportValue) int { return strings.Compare(a.Cluster, b.Cluster) })
		if field.Origin != nil {
			for j := range field.Values {
				field.Values[j].Origin = nil
			}
		}
		merged.Fields[i] = field
	}
	return merged
}

// listGroups puts objects together that appear, or go, on the same clusters.
func (v *preview) listGroups() []ReportGroup {
	type place struct {
		action   v1alpha1.Action
		clusters string
	}
	groups := map[place]*ReportGroup{}
	listKeys := make([]listedKey, 0, len(v.listed))
	for key := range v.listed {
		listKeys = append(listKeys, key)
	}
	slices.SortFunc(listKeys, func(a, b listedKey) int {
		return cmp.Or(a.ref.Compare(b.ref), strings.Compare(string(a.action), string(b.action)), strings.Compare(string(a.gate), string(b.gate)))
	})
	var order []place
	for _, key := range listKeys {
		l := v.listed[key]
		at := place{key.action, strings.Join(l.clusters, " ")}
		g := groups[at]
		if g == nil {
			g = &ReportGroup{Kind: GroupExact, Action: key.action, Object: key.ref, Clusters: l.clusters, Fields: []ReportField{}}
			groups[at] = g
			order = append(order, at)
		}
		if len(l.digests) > 1 {
			g.Kind = GroupSameShape
		}
		g.Objects = append(g.Objects, ReportObject{ObjectReference: key.ref, Replicas: sameReplicas(l.replicas), Gate: key.gate, Storage: l.storage})
	}
	all := make([]ReportGroup, 0, len(order))
	for _, at := range order {
		all = append(all, *groups[at])
	}
	return all
}

// sameReplicas returns the share if all clusters have the same, else nil.
func sameReplicas(shares []*int64) *int64 {
	for _, s := range shares {
		if s == nil || *s != *shares[0] {
			return nil
		}
	}
	return shares[0]
}

// restart is a workload whose pods are replaced.
type restart struct {
	clusters []string
	pods     int64
	source   string
}

// noteRestart notes that a change replaces the pods of a workload, and returns how many.
func (v *preview) noteRestart(cluster string, ch *ObjectChange, diff []fieldChange, fields []ReportField) int64 {
	switch (groupKind{ch.Group(), ch.Kind}) {
	case groupKind{"apps", "Deployment"}, groupKind{"apps", "StatefulSet"}, groupKind{"apps", "DaemonSet"}:
	default:
		return 0
	}
	i := slices.IndexFunc(diff, func(f fieldChange) bool {
		return f.pointer == "/spec/template" || strings.HasPrefix(f.pointer, "/spec/template/")
	})
	if i < 0 {
		return 0
	}
	r := v.restarts[ch.ObjectReference]
	if r == nil {
		r = &restart{source: fields[i].Origin.Source}
		v.restarts[ch.ObjectReference] = r
	}
	r.clusters = append(r.clusters, cluster)
	pods := v.podsOn(cluster, ch)
	r.pods += pods
	return pods
}

// podsOn returns how many pods a workload has on a cluster; for a DaemonSet the number of nodes.
func (v *preview) podsOn(cluster string, ch *ObjectChange) int64 {
	it, c := ch.pair.item, v.head.at
	if it.key.Kind == "DaemonSet" {
		if n := c.clusters[c.clusterN[cluster]].Status.NodeSummary; n != nil {
			return int64(n.ReadyNum)
		}
		return 0
	}
	if n := v.replicasOn(cluster, ch); n != nil {
		return *n
	}
	return 0
}

func (v *preview) reportRestarts() {
	for ref, r := range v.restarts {
		v.findings.add(finding{
			ID: Restart, Message: fmt.Sprintf("%s: pod template changes: %s replaced", ref, plural(r.pods, "pod is", "pods are")),
			Source: r.source, Object: &ref, Clusters: r.clusters, Repository: v.head.change(r.clusters[0], ref.Key()).Source,
		})
	}
}

// plural writes a number with the word that fits it.
func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}
