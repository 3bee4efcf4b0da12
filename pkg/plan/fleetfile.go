package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
