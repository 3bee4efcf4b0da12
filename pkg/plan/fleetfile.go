package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// UnknownCluster is the finding that a fleet file speaks of a cluster that it does not declare.
const UnknownCluster = "unknown-cluster"

// fleetLimits are wider than those for files of a repository: a fleet file is written by a controller
// and may describe a thousand clusters with a thousand objects each.
func fleetLimits() v1alpha1.Limits {
	limits := v1alpha1.DefaultLimits()
	limits.MaxBytes, limits.MaxDocuments, limits.MaxProblems = 1<<30, 1_000_000, 1000
	return limits
}

// ReadFleet reads a fleet file: a YAML or JSON stream of Cluster, Snapshot, Config, Placement, GitSource,
// Inventory and ClusterFacts documents. The documents in any order give the same snapshot. With a
// blocker among the problems the snapshot is not to be used. The file's name is only for positions.
//
// Now is the time at which the snapshot was taken, else the Unix epoch. A cluster without an
// Inventory holds nothing that is known; one whose Ready condition is Unknown cannot be reached.
func ReadFleet(file string, data []byte) (Snapshot, []v1alpha1.Problem) {
	r := &fleetReader{places: map[string]v1alpha1.Position{}, held: map[string]Inventory{}}
	docs, problems := fleetLimits().DecodeStream(file, data)
	r.problems = problems
	r.snap.Facts = map[string]v1alpha1.ClusterFactsSpec{}
	r.snap.AppliedRevisions = map[string]string{}
	for _, d := range docs {
		value, problems := d.Typed()
		r.problems = append(r.problems, problems...)
		if value != nil {
			r.add(d, value)
		}
	}
	if _, ok := r.places[v1alpha1.KindConfig]; !ok {
		r.snap.Config.SetDefaults()
	}
	r.finish()
	slices.SortStableFunc(r.problems, v1alpha1.Problem.Compare)
	return r.snap, r.problems
}

// fleetReader is the state of reading one fleet file.
type fleetReader struct {
	snap     Snapshot
	problems []v1alpha1.Problem
	// places are where what may be there once was declared, by what it is.
	places map[string]v1alpha1.Position
	// held are the inventories by cluster.
	held map[string]Inventory
	// mentions are clusters that a document speaks of.
	mentions []mention
}

// mention is a cluster that a document speaks of.
type mention struct {
	cluster  string
	document v1alpha1.Document
}

// add takes one document.
func (r *fleetReader) add(d v1alpha1.Document, value any) {
	switch v := value.(type) {
	case *v1alpha1.Cluster:
		if r.once(d, "Cluster "+v.Name) {
			r.snap.Clusters = append(r.snap.Clusters, *v)
		}
	case *v1alpha1.Snapshot:
		if !r.once(d, "Snapshot") {
			return
		}
		if v.TakenAt != nil {
			r.snap.TakenAt = v.TakenAt.UTC()
		}
		for source, revision := range v.Revisions {
			r.snap.AppliedRevisions[source] = revision
		}
	case *v1alpha1.Config:
		if r.once(d, v1alpha1.KindConfig) {
			r.snap.Config = v.Spec
			r.problems = append(r.problems, RuleProblems(d, v.Spec.Plan)...)
		}
	case *v1alpha1.Placement:
		if r.once(d, "Placement of "+v.Spec.Workload.String()+" "+v.Spec.Workload.Group()) {
			r.snap.Placements = append(r.snap.Placements, *v)
			r.mentionTargets(d, v)
		}
	case *v1alpha1.Inventory:
		if r.once(d, "Inventory of "+v.Spec.Cluster) {
			r.held[v.Spec.Cluster] = heldObjects(v.Spec.Objects)
			r.mentions = append(r.mentions, mention{v.Spec.Cluster, d})
		}
	case *v1alpha1.ClusterFacts:
		if r.once(d, "ClusterFacts of "+v.Spec.Cluster) {
			r.snap.Facts[v.Spec.Cluster] = v.Spec
			r.mentions = append(r.mentions, mention{v.Spec.Cluster, d})
		}
	case *v1alpha1.GitSource:
		if r.once(d, "GitSource "+sourceID(v)) {
			r.snap.Sources = append(r.snap.Sources, *v)
			r.takeStatus(v)
		}
	default:
		r.report(d, v1alpha1.SeverityBlocker, v1alpha1.FindingInvalidConfiguration,
			"a %s has no place in a fleet file", d.Kind)
	}
}

// once reports the second of two documents about one thing.
func (r *fleetReader) once(d v1alpha1.Document, what string) bool {
	first, ok := r.places[what]
	if !ok {
		r.places[what] = d.Position
		return true
	}
	r.report(d, v1alpha1.SeverityBlocker, v1alpha1.FindingInvalidConfiguration,
		"the %s is already declared at %s", strings.TrimSpace(what), first)
	return false
}

func (r *fleetReader) report(d v1alpha1.Document, severity v1alpha1.Severity, id, format string, args ...any) {
	r.problems = append(r.problems, v1alpha1.Problem{
		Position: d.Position, ID: id, Severity: severity, Message: fmt.Sprintf(format, args...),
	})
}

// mentionTargets notes the clusters of a placement.
func (r *fleetReader) mentionTargets(d v1alpha1.Document, p *v1alpha1.Placement) {
	for _, target := range p.Spec.Clusters {
		r.mentions = append(r.mentions, mention{target.Name, d})
	}
	for _, name := range p.Spec.Evicting {
		r.mentions = append(r.mentions, mention{name, d})
	}
}

// heldObjects returns the objects of a document; of those that are named twice the last one.
func heldObjects(objects []v1alpha1.InventoryObject) Inventory {
	held := make(map[v1alpha1.ObjectKey]*Held, len(objects))
	for i := range objects {
		o := &objects[i]
		h := &Held{
			ObjectReference: o.ObjectReference, Source: o.Source, Digest: o.Digest, Health: o.Health,
			Replicas: o.Replicas, Terminating: o.Terminating,
		}
		h.SetDetail(func(d *HeldDetails) {
			d.Prune, d.Drift, d.Unschedulable, d.State = o.Prune, o.Drift, o.Unschedulable, o.State
			if o.PausedUntil != nil {
				d.PausedUntil = o.PausedUntil.UTC()
			}
		})
		held[o.Key()] = h
	}
	return InventoryOf(held)
}

// finish sorts what was read and derives the rest of the snapshot from it.
func (r *fleetReader) finish() {
	s := &r.snap
	s.Now = s.TakenAt
	if s.Now.IsZero() {
		s.Now = time.Unix(0, 0).UTC()
	}
	slices.SortFunc(s.Clusters, compareClusters)
	slices.SortFunc(s.Placements, comparePlacements)
	slices.SortFunc(s.Sources, compareSources)
	s.Members = make(map[string]Member, len(s.Clusters))
	for i := range s.Clusters {
		s.Members[s.Clusters[i].Name] = Member{Reachable: isReachable(&s.Clusters[i])}
	}
	unknown := map[string]bool{}
	for _, m := range r.mentions {
		if _, ok := r.places["Cluster "+m.cluster]; !ok && !unknown[m.cluster] {
			unknown[m.cluster] = true
			r.report(m.document, v1alpha1.SeverityCaution, UnknownCluster,
				"the cluster %q is not declared in this file", m.cluster)
		}
	}
	for cluster, objects := range r.held {
		member := s.Members[cluster]
		member.Known, member.Objects = true, objects
		s.Members[cluster] = member
	}
	s.FleetDigest = s.Digest()
}

// isReachable tells that a cluster answers as far as its Ready condition says; without one it does.
func isReachable(c *v1alpha1.Cluster) bool {
	for _, condition := range c.Status.Conditions {
		if condition.Type == v1alpha1.ConditionReady {
			return condition.Status != metav1.ConditionUnknown
		}
	}
	return true
}

func compareClusters(a, b v1alpha1.Cluster) int { return strings.Compare(a.Name, b.Name) }

func compareSources(a, b v1alpha1.GitSource) int { return strings.Compare(sourceID(&a), sourceID(&b)) }

// sourceID is the id of a source: namespace/name.
func sourceID(s *v1alpha1.GitSource) string { return cmp.Or(s.Namespace, ownNamespace) + "/" + s.Name }

// takeStatus takes how far the revisions of a source have spread.
func (r *fleetReader) takeStatus(s *v1alpha1.GitSource) {
	id := sourceID(s)
	if s.Status.Rollout != nil {
		if r.snap.Rollouts == nil {
			r.snap.Rollouts = map[string]v1alpha1.RolloutStatus{}
		}
		r.snap.Rollouts[id] = *s.Status.Rollout
	}
	if len(s.Status.History) > 0 && r.snap.AppliedRevisions[id] == "" {
		r.snap.AppliedRevisions[id] = s.Status.History[0].Revision
	}
}

func comparePlacements(a, b v1alpha1.Placement) int {
	return cmp.Or(
		a.Spec.Workload.Compare(b.Spec.Workload),
		strings.Compare(a.Namespace, b.Namespace),
		strings.Compare(a.Name, b.Name),
	)
}

// WriteFleet writes a snapshot as a fleet file, from which ReadFleet gives the same snapshot: the same
// bytes for the same snapshot, in a fixed order. Left out is what has no place in a fleet file: versions,
// identities and owned fields of held objects, and the digests of Secrets. How clusters are reached stays;
// see Committable.
func WriteFleet(s Snapshot) ([]byte, error) {
	w := &fleetWriter{}
	header := v1alpha1.Snapshot{FormatVersion: v1alpha1.FormatVersion, Revisions: s.AppliedRevisions}
	if !s.TakenAt.IsZero() {
		header.TakenAt = &metav1.Time{Time: s.TakenAt}
	}
	w.document(v1alpha1.KindSnapshot, header)
	w.config(s.Config)
	for _, c := range slices.SortedFunc(slices.Values(s.Clusters), compareClusters) {
		w.document(v1alpha1.KindCluster, c)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Facts)) {
		facts := v1alpha1.ClusterFacts{Spec: s.Facts[name]}
		facts.Spec.Cluster = name
		w.document(v1alpha1.KindClusterFacts, facts)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Members)) {
		if s.Members[name].Known {
			w.inventory(name, s.Members[name].Objects)
		}
	}
	for _, p := range slices.SortedFunc(slices.Values(s.Placements), comparePlacements) {
		w.document(v1alpha1.KindPlacement, p)
	}
	for _, g := range slices.SortedFunc(slices.Values(s.Sources), compareSources) {
		w.document(v1alpha1.KindGitSource, g)
	}
	if w.err != nil {
		return nil, fmt.Errorf("write fleet file: %w", w.err)
	}
	return []byte(w.out.String()), nil
}

// fleetWriter writes documents until something fails.
type fleetWriter struct {
	out strings.Builder
	err error
}

// document writes a document as block YAML.
func (w *fleetWriter) document(kind string, value any) {
	content, err := documentContent(kind, value)
	if err == nil {
		var data []byte
		if data, err = yaml.Marshal(content); err == nil {
			w.separate()
			w.out.Write(data)
		}
	}
	w.fail(err)
}

func (w *fleetWriter) separate() {
	if w.out.Len() > 0 {
		w.out.WriteString("---\n")
	}
}

func (w *fleetWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// config writes the configuration where it is not the default one, since decisions depend on it.
func (w *fleetWriter) config(spec v1alpha1.ConfigSpec) {
	var standard v1alpha1.ConfigSpec
	if reflect.DeepEqual(spec, standard) {
		return
	}
	standard.SetDefaults()
	if !reflect.DeepEqual(spec, standard) {
		w.document(v1alpha1.KindConfig, v1alpha1.Config{Spec: spec})
	}
}

// inventory writes what a member holds, one object a line, since there can be very many.
func (w *fleetWriter) inventory(cluster string, objects Inventory) {
	w.document(v1alpha1.KindInventory, v1alpha1.Inventory{Spec: v1alpha1.InventorySpec{Cluster: cluster}})
	if objects.Len() == 0 {
		return
	}
	w.out.WriteString("  objects:\n")
	for _, o := range inventoryObjects(objects) {
		line, err := json.Marshal(o)
		w.fail(err)
		w.out.WriteString("  - ")
		w.out.Write(line)
		w.out.WriteByte('\n')
	}
}

// inventoryObjects returns what a fleet file says about held objects, in order.
func inventoryObjects(objects Inventory) []v1alpha1.InventoryObject {
	list := make([]v1alpha1.InventoryObject, 0, objects.Len())
	for h := range objects.All() {
		d := h.Detail()
		o := v1alpha1.InventoryObject{
			ObjectReference: h.ObjectReference, Digest: h.Digest, Source: h.Source, Health: h.Health,
			Replicas: h.Replicas, Prune: d.Prune, Drift: d.Drift, Terminating: h.Terminating,
			Unschedulable: d.Unschedulable, State: d.State,
		}
		if h.Group() == "" && h.Kind == "Secret" {
			o.Digest = ""
		}
		if !d.PausedUntil.IsZero() {
			o.PausedUntil = &metav1.Time{Time: d.PausedUntil}
		}
		list = append(list, o)
	}
	return list
}

// documentContent returns a document's JSON value without empty parts that say nothing.
func documentContent(kind string, value any) (map[string]any, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var content map[string]any
	if err := json.Unmarshal(data, &content); err != nil {
		return nil, err
	}
	content["apiVersion"], content["kind"] = v1alpha1.APIVersion, kind
	for _, part := range []string{"metadata", "status", "spec"} {
		if m, ok := content[part].(map[string]any); ok && len(m) == 0 {
			delete(content, part)
		}
	}
	switch v := value.(type) {
	case v1alpha1.ClusterFacts:
		keepEmpty(content, "spec", "storageClasses", v.Spec.StorageClasses)
		keepEmpty(content, "spec", "ingressClasses", v.Spec.IngressClasses)
		keepEmpty(content, "spec", "priorityClasses", v.Spec.PriorityClasses)
	case v1alpha1.Cluster:
		keepEmpty(content, "status", "apiEnablements", v.Status.APIEnablements)
	}
	return content, nil
}

// keepEmpty writes a list that is known to be empty, which omitempty would leave out as if it were
// not known.
func keepEmpty[T any](content map[string]any, part, field string, list []T) {
	if list == nil || len(list) > 0 {
		return
	}
	m, ok := content[part].(map[string]any)
	if !ok {
		m = map[string]any{}
		content[part] = m
	}
	m[field] = []any{}
}

// Digest identifies what decisions depend on: clusters without how they are reached, what members
// hold, facts, decisions with their timers, and the configuration. It has the form sha256:<hex>, and
// does not depend on the order of anything, nor on when the snapshot was taken.
func (s Snapshot) Digest() string {
	sum := sha256.New()
	encoder := json.NewEncoder(sum)
	put := func(kind string, value any) {
		// A hash takes every write, and all that can fail to encode is JSON that was never valid.
		if err := encoder.Encode([]any{kind, value}); err != nil {
			fmt.Fprintf(sum, "%s: %v\n", kind, err)
		}
	}
	content := func(kind string, value any) {
		c, err := documentContent(kind, value)
		put(kind, c)
		if err != nil {
			put(kind, err.Error())
		}
	}
	for _, c := range slices.SortedFunc(slices.Values(s.Clusters), compareClusters) {
		content(v1alpha1.KindCluster, decisiveCluster(&c))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Facts)) {
		put("cluster", name)
		content(v1alpha1.KindClusterFacts, v1alpha1.ClusterFacts{Spec: s.Facts[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Members)) {
		put("member", []any{name, s.Members[name].Known, s.Members[name].Reachable})
		for _, o := range inventoryObjects(s.Members[name].Objects) {
			put("held", o)
		}
	}
	for _, p := range slices.SortedFunc(slices.Values(s.Placements), comparePlacements) {
		p.ObjectMeta = metav1.ObjectMeta{}
		p.Status.Conditions, p.Status.Worst, p.Status.Waiting, p.Status.ObservedGeneration = nil, nil, nil, 0
		content(v1alpha1.KindPlacement, p)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Rollouts)) {
		put("rollout", []any{name, s.Rollouts[name]})
	}
	content(v1alpha1.KindConfig, v1alpha1.Config{Spec: s.Config})
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// decisiveCluster leaves out of a cluster how it is reached, and what changes without a meaning:
// messages and times of conditions, counts of nodes.
func decisiveCluster(c *v1alpha1.Cluster) v1alpha1.Cluster {
	d := v1alpha1.Cluster{
		Spec: v1alpha1.ClusterSpec{
			Provider: c.Spec.Provider, Region: c.Spec.Region, Zones: c.Spec.Zones, Taints: c.Spec.Taints,
			ResourceModels: c.Spec.ResourceModels,
		},
		Status: v1alpha1.ClusterStatus{
			KubernetesVersion: c.Status.KubernetesVersion, APIEnablements: c.Status.APIEnablements,
			ResourceSummary: c.Status.ResourceSummary, ExternalScores: c.Status.ExternalScores,
		},
	}
	d.Name, d.Labels, d.Annotations, d.DeletionTimestamp = c.Name, c.Labels, c.Annotations, c.DeletionTimestamp
	for _, condition := range c.Status.Conditions {
		if condition.Type == v1alpha1.ConditionReady {
			d.Status.Conditions = []metav1.Condition{{Type: condition.Type, Status: condition.Status}}
		}
	}
	return d
}
