package apply

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// serverMetadata are the members of metadata that the API server sets.
var serverMetadata = []string{
	"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields",
	"resourceVersion", "selfLink", "uid",
}

// body encodes what is sent: the manifest with our own metadata. The manifest is shared between
// clusters, so only the maps on the way to a change are copied.
func (s sending) body(resourceVersion string) ([]byte, error) {
	object := maps.Clone(s.Manifest.Object)
	delete(object, "status")
	if s.kind.Group == "" && s.kind.Kind == "Secret" {
		object = foldStringData(object)
	}
	object = s.withoutLent(object, resourceVersion == absentVersion)
	metadata := cloneMap(object["metadata"])
	for _, field := range serverMetadata {
		delete(metadata, field)
	}
	if resourceVersion != "" {
		metadata["resourceVersion"] = resourceVersion
	}
	labels := cloneMap(metadata["labels"])
	labels[v1alpha1.LabelPartOf] = SetID(s.m.parentName(s.Source))
	annotations := cloneMap(metadata["annotations"])
	annotations[v1alpha1.AnnotationDigest] = s.digest()
	annotations[v1alpha1.AnnotationSource] = s.m.sourceRef(s.Source)
	if s.Replicas != nil {
		annotations[v1alpha1.AnnotationReplicas] = strconv.FormatInt(*s.Replicas, 10)
	}
	metadata["labels"], metadata["annotations"] = labels, annotations
	object["metadata"] = metadata
	return marshalPlain(object)
}

// withoutLent returns the object without the fields that are not ours. What is in an item of a list goes
// with a create all the same: without it the item may be no valid one, and the next plan lets go of it.
func (s sending) withoutLent(object map[string]any, create bool) map[string]any {
	var paths [][]string
	for _, pointer := range slices.Concat(s.HandOver, s.OnCreateOnly) {
		if path := splitPointer(pointer); !create || !throughList(s.Manifest.Object, path) {
			paths = append(paths, path)
		}
	}
	// Of the items of a list the last goes first, so that the others keep their places.
	slices.SortFunc(paths, func(a, b []string) int {
		for i := range min(len(a), len(b)) {
			x, err1 := strconv.Atoi(a[i])
			y, err2 := strconv.Atoi(b[i])
			if c := strings.Compare(b[i], a[i]); c != 0 && (err1 != nil || err2 != nil) {
				return c
			} else if c != 0 {
				return y - x
			}
		}
		return len(b) - len(a)
	})
	for _, path := range slices.CompactFunc(paths, slices.Equal[[]string]) {
		object = without(object, path)
	}
	return object
}

// throughList tells that a path leads to an item of a list or into it.
func throughList(object map[string]any, path []string) bool {
	for i := range path {
		if v, found := plan.FieldAt(object, path[:i]); found {
			if _, isList := v.([]any); isList {
				return true
			}
		}
	}
	return false
}

// digest is what the annotation says: the plan's, and for a Secret our own.
func (s sending) digest() string {
	if s.Digest == "" && s.kind.Group == "" && s.kind.Kind == "Secret" {
		ours := s.withoutLent(foldStringData(s.Manifest.Object), false)
		return SecretDigest(s.m.opts.SecretKey, &unstructured.Unstructured{Object: ours})
	}
	return s.Digest
}

// cloneMap copies a map of a manifest, or makes one.
func cloneMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	if m == nil {
		return map[string]any{}
	}
	return maps.Clone(m)
}

// without returns the value without the field at a path. What is not on the path is shared.
func without(object map[string]any, path []string) map[string]any {
	if len(path) == 0 {
		return object
	}
	child, ok := object[path[0]]
	if !ok {
		return object
	}
	out := maps.Clone(object)
	if len(path) == 1 {
		delete(out, path[0])
		return out
	}
	switch c := child.(type) {
	case map[string]any:
		out[path[0]] = without(c, path[1:])
	case []any:
		out[path[0]] = withoutItem(c, path[1:])
	}
	return out
}

func withoutItem(list []any, path []string) []any {
	i, err := strconv.Atoi(path[0])
	if err != nil || i < 0 || i >= len(list) {
		return list
	}
	if len(path) == 1 {
		return slices.Delete(slices.Clone(list), i, i+1)
	}
	item, ok := list[i].(map[string]any)
	if !ok {
		return list
	}
	out := slices.Clone(list)
	out[i] = without(item, path[1:])
	return out
}

// copyField copies the field at a path from a live object into the same place of into, with the maps
// around it. The path leads through guide, the manifest: on the way through a list its items are found in
// the live one by the fields by which own, our fieldsV1 tree, tells them apart, and these are taken along.
// A field that is not there, or an item that has no key, is left out.
func copyField(into, live, guide map[string]any, path []string, own map[string]any) {
	value, ok := live[path[0]]
	if !ok {
		return
	}
	if len(path) == 1 {
		into[path[0]] = value
		return
	}
	node, _ := own["f:"+path[0]].(map[string]any)
	switch child := value.(type) {
	case map[string]any:
		next, _ := into[path[0]].(map[string]any)
		if next == nil {
			next = map[string]any{}
		}
		below, _ := guide[path[0]].(map[string]any)
		copyField(next, child, below, path[1:], node)
		if len(next) > 0 {
			into[path[0]] = next
		}
	case []any:
		below, _ := guide[path[0]].([]any)
		items, _ := into[path[0]].([]any)
		if items = copyItem(items, child, below, path[1:], node); len(items) > 0 {
			into[path[0]] = items
		}
	}
}

// copyItem is copyField at an item of a list, of which own tells the items apart. It returns the items.
func copyItem(items, live, guide []any, path []string, own map[string]any) []any {
	i, err := strconv.Atoi(path[0])
	if err != nil || i < 0 || i >= len(guide) {
		return items
	}
	wanted, isMap := guide[i].(map[string]any)
	if !isMap {
		// An item of a set is its own key.
		if len(path) == 1 && slices.ContainsFunc(live, func(l any) bool { return sameNumberOrText(guide[i], l) }) {
			items = append(items, guide[i])
		}
		return items
	}
	key, child := itemKey(wanted, own)
	if key == nil {
		return items
	}
	item, _ := itemWith(key, live).(map[string]any)
	if item == nil {
		return items
	}
	if len(path) == 1 {
		return append(items, item)
	}
	next, found := itemWith(key, items).(map[string]any)
	if !found {
		next = maps.Clone(key)
	}
	before := len(next)
	copyField(next, item, wanted, path[1:], child)
	if !found && len(next) > before {
		items = append(items, next)
	}
	return items
}

// ownTree decodes a fieldsV1 document; nil where it cannot be.
func ownTree(fieldsV1 []byte) map[string]any {
	var tree map[string]any
	if json.Unmarshal(fieldsV1, &tree) != nil {
		return nil
	}
	return tree
}

// splitPointer splits a JSON pointer into unescaped names.
func splitPointer(pointer string) []string {
	if pointer == "" {
		return nil
	}
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
	}
	return parts
}
