package apply

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply/health"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// observed is what one look at a live object tells, from whatever it came: an event of a watch, an
// item of a list or the answer to a write. Everything else of the object is dropped on receipt.
type observed struct {
	key             v1alpha1.ObjectKey
	apiVersion      string
	uid             types.UID
	resourceVersion string
	// generation is 0 for kinds that have none.
	generation  int64
	labels      map[string]string
	annotations map[string]string
	// controlled tells that a controller owns the object, so that whatever it carries was copied.
	controlled  bool
	terminating bool
	// owned is the fieldsV1 document of our Apply entry; nil where we have none.
	owned []byte
	// bare tells that nobody owns any field: someone has taken all entries away, as some tools for
	// backups do.
	bare bool
	// managers are others who own fields, without those that write the status alone.
	managers []plan.Manager
	// judged tells that health was judged; metadata alone does not say.
	judged  bool
	verdict health.Verdict
	// object is the whole object where the look had it. It is not kept.
	object *unstructured.Unstructured
	// state are values of the status that are to be kept, by label.
	state map[string]string
}

// name is the object's key within its kind.
func (o *observed) name() types.NamespacedName {
	return types.NamespacedName{Namespace: o.key.Namespace, Name: o.key.Name}
}

// setID is the id of the ApplySet that the object says it is part of.
func (o *observed) setID() string { return o.labels[v1alpha1.LabelPartOf] }

// isSelf tells whether our Apply entry with the digest is there and no controller owns the object.
func (o *observed) isSelf() bool { return !o.controlled && ownsDigest(o.owned) }

// isStripped tells whether the object has our digest and nobody's entries, not even ours, and no owner from
// whom it might be copied. It is no proof that it may be deleted, but nobody else's either.
func (o *observed) isStripped() bool {
	return !o.controlled && o.bare && o.annotations[v1alpha1.AnnotationDigest] != ""
}

// lostMetadata lists, as JSON pointers, what is missing of the metadata by which we know our objects.
func (o *observed) lostMetadata() []string {
	var lost []string
	if !bytes.Contains(o.owned, []byte(`"f:applyset.kubernetes.io/part-of":{}`)) {
		lost = append(lost, "/metadata/labels/applyset.kubernetes.io~1part-of")
	}
	if !ownsDigest(o.owned) {
		lost = append(lost, "/metadata/annotations/armada-sync.io~1digest")
	}
	if !bytes.Contains(o.owned, []byte(`"f:armada-sync.io/source":{}`)) {
		lost = append(lost, "/metadata/annotations/armada-sync.io~1source")
	}
	return lost
}

// replicas reads the recorded share; nil where there is none.
func (o *observed) replicas() *int64 {
	n, err := strconv.ParseInt(o.annotations[v1alpha1.AnnotationReplicas], 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// pausedUntil reads the pause that someone put on the live object; zero where there is none,
// plan.UnreadablePause where it cannot be read.
func (o *observed) pausedUntil() time.Time {
	text := o.annotations[v1alpha1.AnnotationPausedUntil]
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return plan.UnreadablePause()
	}
	return t
}

// fromMetadata reads an object of a metadata-only watch.
func fromMetadata(kind kindID, m *metav1.PartialObjectMetadata) *observed {
	o := &observed{
		key: kind.key(m.Namespace, m.Name), apiVersion: kind.apiVersion, uid: m.UID, resourceVersion: m.ResourceVersion, generation: m.Generation,
		labels: m.Labels, annotations: m.Annotations, terminating: m.DeletionTimestamp != nil,
		controlled: metav1.GetControllerOfNoCopy(m) != nil, bare: len(m.ManagedFields) == 0,
	}
	for i := range m.ManagedFields {
		e := &m.ManagedFields[i]
		if e.FieldsV1 == nil {
			continue
		}
		if isOurApply(e.Manager, string(e.Operation), e.Subresource) {
			o.owned = e.FieldsV1.GetRawBytes()
		} else if isOther(e.Manager, e.Subresource) {
			o.managers = append(o.managers, plan.Manager{Name: e.Manager, Time: timeOf(e.Time), Fields: string(e.FieldsV1.GetRawBytes())})
		}
	}
	return o
}

// fromObject reads a whole object and judges its health by rule; a nil rule judges nothing.
func fromObject(kind kindID, u *unstructured.Unstructured, rule health.Rule) *observed {
	o := &observed{
		key: kind.key(u.GetNamespace(), u.GetName()), apiVersion: kind.apiVersion, uid: u.GetUID(), resourceVersion: u.GetResourceVersion(),
		generation: u.GetGeneration(), labels: u.GetLabels(), annotations: u.GetAnnotations(),
		terminating: u.GetDeletionTimestamp() != nil, controlled: metav1.GetControllerOf(u) != nil, bare: len(u.GetManagedFields()) == 0, object: u,
	}
	o.owned, o.managers = fieldsOf(u)
	if rule != nil {
		o.judged, o.verdict = true, rule(u)
	}
	return o
}

// ownFieldsOf reads our Apply entry.
func ownFieldsOf(u *unstructured.Unstructured) []byte {
	owned, _ := fieldsOf(u)
	return owned
}

// fieldsOf reads our Apply entry and those of others.
func fieldsOf(u *unstructured.Unstructured) (owned []byte, managers []plan.Manager) {
	metadata, _ := u.Object["metadata"].(map[string]any)
	entries, _ := metadata["managedFields"].([]any)
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		manager, _ := entry["manager"].(string)
		operation, _ := entry["operation"].(string)
		subresource, _ := entry["subresource"].(string)
		ours := isOurApply(manager, operation, subresource)
		if !ours && !isOther(manager, subresource) {
			continue
		}
		fields, err := marshalPlain(entry["fieldsV1"])
		if err != nil {
			continue
		}
		if ours {
			owned = fields
			continue
		}
		at, _ := entry["time"].(string)
		m := plan.Manager{Name: manager, Fields: string(fields)}
		if t, err := time.Parse(time.RFC3339, at); err == nil {
			m.Time = t
		}
		managers = append(managers, m)
	}
	return owned, managers
}

// isOther tells that an entry is of someone who may own fields of ours: the hand-over manager is us, and
// the status is nobody's but its controllers'.
func isOther(manager, subresource string) bool {
	return subresource != "status" && manager != HandOverManager && manager != FieldManager
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

func isOurApply(manager, operation, subresource string) bool {
	return manager == FieldManager && operation == string(metav1.ManagedFieldsOperationApply) && subresource == ""
}

// writtenObject is the part that is read of the answer to a write or a metadata GET.
type writtenObject struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Namespace         string                  `json:"namespace"`
		Name              string                  `json:"name"`
		UID               types.UID               `json:"uid"`
		ResourceVersion   string                  `json:"resourceVersion"`
		Generation        int64                   `json:"generation"`
		DeletionTimestamp *string                 `json:"deletionTimestamp"`
		Labels            map[string]string       `json:"labels"`
		Annotations       map[string]string       `json:"annotations"`
		OwnerReferences   []metav1.OwnerReference `json:"ownerReferences"`
		ManagedFields     []struct {
			Manager     string          `json:"manager"`
			Operation   string          `json:"operation"`
			Subresource string          `json:"subresource"`
			Time        *metav1.Time    `json:"time"`
			FieldsV1    json.RawMessage `json:"fieldsV1"`
		} `json:"managedFields"`
	} `json:"metadata"`
}

// fromAnswer reads the answer to a write or a metadata GET. A Status (the answer to a delete that is
// done) gives nil.
func fromAnswer(kind kindID, body []byte) (*observed, error) {
	var w writtenObject
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, fmt.Errorf("read the answer of the API server: %w", err)
	}
	if w.Kind == "Status" {
		return nil, nil
	}
	m := &w.Metadata
	o := &observed{
		key: kind.key(m.Namespace, m.Name), apiVersion: kind.apiVersion, uid: m.UID, resourceVersion: m.ResourceVersion, generation: m.Generation,
		labels: m.Labels, annotations: m.Annotations, terminating: m.DeletionTimestamp != nil,
	}
	for i := range m.OwnerReferences {
		if c := m.OwnerReferences[i].Controller; c != nil && *c {
			o.controlled = true
		}
	}
	for _, e := range m.ManagedFields {
		if isOurApply(e.Manager, e.Operation, e.Subresource) {
			o.owned = e.FieldsV1
		} else if isOther(e.Manager, e.Subresource) {
			o.managers = append(o.managers, plan.Manager{Name: e.Manager, Time: timeOf(e.Time), Fields: string(e.FieldsV1)})
		}
	}
	return o, nil
}

// sameFields compares two fieldsV1 documents whatever the order of their members.
func sameFields(a, b string) bool {
	if a == b {
		return true
	}
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	p, err1 := json.Marshal(x)
	q, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && bytes.Equal(p, q)
}

// marshalPlain encodes as the API server does: without escapes for HTML.
func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
