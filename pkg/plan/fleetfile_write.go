package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// WriteFleet writes a snapshot as a fleet file, from which ReadFleet gives the same snapshot: the same
// bytes for the same snapshot, in a fixed order. Left out is what has no place in a fleet file: versions,
// identities and owned fields of held objects, and the digests of Secrets. How clusters are reached stays;
// see Committable.
func WriteFleet(s Snapshot) ([]byte, error) { return new(FleetWriter).Write(s) }

// FleetWriter writes one fleet file after another, each as WriteFleet would. It remembers the text of decisions, of
// which there are many and few change from one file to the next. The zero value remembers none.
type FleetWriter struct {
	decisions map[v1alpha1.ObjectReference]writtenDecision
}

// writtenDecision is a decision with its document.
type writtenDecision struct {
	placement v1alpha1.Placement
	document  []byte
}

// Write writes a snapshot. The snapshot must not be changed afterwards.
func (f *FleetWriter) Write(s Snapshot) ([]byte, error) {
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
	decisions := make(map[v1alpha1.ObjectReference]writtenDecision, len(s.Placements))
	for _, p := range slices.SortedFunc(slices.Values(s.Placements), comparePlacements) {
		d, known := f.decisions[p.Spec.Workload]
		if !known || !reflect.DeepEqual(d.placement, p) {
			d = writtenDecision{p, w.encode(v1alpha1.KindPlacement, p)}
		}
		w.add(d.document)
		decisions[p.Spec.Workload] = d
	}
	for _, g := range slices.SortedFunc(slices.Values(s.Sources), compareSources) {
		w.document(v1alpha1.KindGitSource, g)
	}
	if w.err != nil {
		return nil, fmt.Errorf("write fleet file: %w", w.err)
	}
	f.decisions = decisions
	return []byte(w.out.String()), nil
}

// fleetWriter writes documents until something fails.
type fleetWriter struct {
	out strings.Builder
	err error
}

// document writes a document as block YAML.
func (w *fleetWriter) document(kind string, value any) { w.add(w.encode(kind, value)) }

func (w *fleetWriter) encode(kind string, value any) []byte {
	content, err := documentContent(kind, value)
	if err != nil {
		w.fail(err)
		return nil
	}
	data, err := yaml.Marshal(content)
	w.fail(err)
	return data
}

// add writes a document after those that are there.
func (w *fleetWriter) add(document []byte) {
	if w.out.Len() > 0 {
		w.out.WriteString("---\n")
	}
	w.out.Write(document)
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
