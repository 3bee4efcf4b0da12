package apply

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

// letGoOfFields sends an object without fields that were ours, whose live values stay: the API server
// resets a field that its last owner drops, so that where nobody else owns it, the hand-over manager does
// first. Where rules leave the fields to whoever writes them it gives them up again.
func (s sending) letGoOfFields() (*observed, error) {
	// before is what the hand-over manager had before the first attempt: the next finds what that one gave it.
	var before []metav1.ManagedFieldsEntry
	for attempt := 1; ; attempt++ {
		live, err := s.get()
		if apierrors.IsNotFound(err) {
			return s.patch("")
		}
		if err != nil {
			return nil, err
		}
		if attempt == 1 {
			before = entriesOf(live, HandOverManager)
		}
		// What others own beside us stays by itself as long as they do: hence the version.
		version := live.GetResourceVersion()
		if values := s.handedOver(live); values != nil {
			o, err := s.applyAs(HandOverManager, values, version, false)
			if s.outrun(err, attempt) {
				continue
			}
			if err != nil {
				return nil, err
			}
			version = o.resourceVersion
		}
		o, err := s.patch(version)
		if s.outrun(err, attempt) {
			continue
		}
		if err != nil || !s.Unowned {
			return o, err
		}
		return s.giveUp(o, before)
	}
}

// handedOver are the live values of what the hand-over manager has to own: those of the fields that we let
// go and that nobody owns beside us, and those that it owns already and would lose with an apply without
// them. Nil where there is nothing to add.
func (s sending) handedOver(live *unstructured.Unstructured) map[string]any {
	values := map[string]any{}
	owned, others := fieldsOf(live)
	own := ownTree(owned)
	for _, pointer := range s.HandOver {
		path := splitPointer(pointer)
		if !ownedByAny(others, s.Manifest.Object, path) {
			copyField(values, live.Object, s.Manifest.Object, path, own)
		}
	}
	if len(values) == 0 {
		return nil
	}
	for _, entry := range entriesOf(live, HandOverManager) {
		if tree := ownTree(entry.FieldsV1.GetRawBytes()); tree != nil {
			values = keepFields(values, live.Object, tree)
		}
	}
	return values
}

// ownedByAny tells whether one of the managers owns the whole field at a path through guide.
func ownedByAny(managers []plan.Manager, guide map[string]any, path []string) bool {
	for _, m := range managers {
		if node, ok := nodeAt(ownTree([]byte(m.Fields)), guide, path); ok && len(node) == 0 {
			return true
		}
	}
	return false
}

// nodeAt finds the node of a fieldsV1 tree at a path that leads through guide, a manifest.
func nodeAt(tree map[string]any, guide any, path []string) (map[string]any, bool) {
	for _, step := range path {
		below, found := plan.FieldAt(guide, []string{step})
		if !found {
			return nil, false
		}
		var next map[string]any
		if _, isList := guide.([]any); !isList {
			next, found = tree["f:"+step].(map[string]any)
		} else if item, isMap := below.(map[string]any); isMap {
			var key map[string]any
			key, next = itemKey(item, tree)
			found = key != nil
		} else {
			next, found = tree["v:"+jsonString(below)].(map[string]any)
		}
		if !found {
			return nil, false
		}
		tree, guide = next, below
	}
	return tree, true
}

// keepFields adds to values the live values of the fields of a fieldsV1 tree.
func keepFields(values, live, tree map[string]any) map[string]any {
	for name, node := range tree {
		field, isField := strings.CutPrefix(name, "f:")
		value, there := live[field]
		if !isField || !there {
			continue
		}
		below, _ := node.(map[string]any)
		switch v := value.(type) {
		case map[string]any:
			if len(below) > 0 {
				into, _ := values[field].(map[string]any)
				if into == nil {
					into = map[string]any{}
				}
				value = keepFields(into, v, below)
			}
		case []any:
			if len(below) > 0 {
				into, _ := values[field].([]any)
				value = keepItems(into, v, below)
			}
		}
		values[field] = value
	}
	return values
}

// keepItems is keepFields for the items of a list.
func keepItems(items, live []any, tree map[string]any) []any {
	for name, node := range tree {
		if text, isValue := strings.CutPrefix(name, "v:"); isValue {
			var v any
			if json.Unmarshal([]byte(text), &v) == nil && !containsScalar(items, v) && containsScalar(live, v) {
				items = append(items, v)
			}
			continue
		}
		text, isKey := strings.CutPrefix(name, "k:")
		var key map[string]any
		if !isKey || json.Unmarshal([]byte(text), &key) != nil {
			continue
		}
		from, _ := itemWith(key, live).(map[string]any)
		if from == nil {
			continue
		}
		into, found := itemWith(key, items).(map[string]any)
		if !found {
			into = key
			items = append(items, into)
		}
		below, _ := node.(map[string]any)
		keepFields(into, from, below)
	}
	return items
}

func containsScalar(list []any, v any) bool {
	for _, x := range list {
		if sameNumberOrText(x, v) {
			return true
		}
	}
	return false
}

// onCreateOnly sets, as the hand-over manager, fields that are someone else's from now on.
func (s sending) onCreateOnly(o *observed) (*observed, error) {
	if len(s.OnCreateOnly) == 0 {
		return o, nil
	}
	values := map[string]any{}
	for _, pointer := range s.OnCreateOnly {
		if path := splitPointer(pointer); !throughList(s.Manifest.Object, path) {
			copyField(values, s.Manifest.Object, s.Manifest.Object, path, nil)
		}
	}
	if len(values) == 0 {
		return o, nil
	}
	after, err := s.applyAs(HandOverManager, values, "", false)
	if apierrors.IsConflict(err) {
		// Someone set the field already; then it is theirs.
		return o, nil
	}
	if err != nil {
		return o, err
	}
	if !s.Unowned {
		return after, nil
	}
	return s.giveUp(after, nil)
}

// giveUp takes the entry of the hand-over manager back to what it was before, without touching a value, so
// that nobody owns what it was given since: whoever wants the field can apply it without a conflict.
func (s sending) giveUp(o *observed, before []metav1.ManagedFieldsEntry) (*observed, error) {
	var kept fieldpath.Set
	for _, entry := range before {
		if set, err := setOf(entry); err == nil {
			kept = *kept.Union(set)
		}
	}
	after, err := s.changeOwners(func(entries []metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, error) {
		var out []metav1.ManagedFieldsEntry
		for _, entry := range entries {
			if entry.Manager == HandOverManager {
				set, err := setOf(entry)
				if err != nil {
					return nil, err
				}
				if set = set.Intersection(&kept); set.Empty() {
					continue
				}
				if err := putSet(&entry, set); err != nil {
					return nil, err
				}
			}
			out = append(out, entry)
		}
		return out, nil
	})
	if err != nil || after == nil {
		return o, err
	}
	return after, nil
}

// changeOwners rewrites who owns which field of the object, and nothing else of it. It returns the object
// afterwards; nil when it is gone.
func (s sending) changeOwners(change func([]metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, error)) (*observed, error) {
	for attempt := 1; ; attempt++ {
		live, err := s.metadata(s.job, s.res)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		entries, err := change(live.ManagedFields)
		if err != nil {
			return nil, err
		}
		body, err := marshalPlain(map[string]any{"metadata": map[string]any{
			"uid": live.UID, "resourceVersion": live.ResourceVersion, "managedFields": entries,
		}})
		if err != nil {
			return nil, err
		}
		ans, err := s.write(s.requests, call{
			verb: "patch", method: http.MethodPatch, path: s.res.path(s.Namespace, s.Name), query: url.Values{"fieldManager": {HandOverManager}},
			accept: acceptMetadata, contentType: string(types.MergePatchType), body: body, identity: s.Identity,
		})
		if s.outrun(err, attempt) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return fromAnswer(s.kind, ans.body)
	}
}

// entriesOf are the entries of one manager, subresources apart.
func entriesOf(u *unstructured.Unstructured, manager string) []metav1.ManagedFieldsEntry {
	var out []metav1.ManagedFieldsEntry
	for _, entry := range u.GetManagedFields() {
		if entry.Manager == manager && entry.Subresource == "" && entry.FieldsV1 != nil {
			out = append(out, entry)
		}
	}
	return out
}
