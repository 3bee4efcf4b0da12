package apply

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
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
	for _, pointer := range slices.Concat(s.HandOver, s.OnCreateOnly) {
		object = without(object, splitPointer(pointer))
	}
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

// digest is what the annotation says: the plan's, and for a Secret our own.
func (s sending) digest() string {
	if s.Digest == "" && s.kind.Group == "" && s.kind.Kind == "Secret" {
		return SecretDigest(s.m.opts.SecretKey, s.Manifest)
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

// copyField copies the field at a JSON pointer of from into the same place of into, with the maps
// around it. On the way through a list it takes along the fields by which own, our fieldsV1 tree, tells
// the items apart. A field that is not there, or an item that has no key, is left out.
func copyField(into, from map[string]any, pointer string, own map[string]any) {
	path := splitPointer(pointer)
	value, ok := valueAt(from, path)
	if !ok {
		return
	}
	if len(path) == 1 {
		into[path[0]] = value
		return
	}
	switch child := from[path[0]].(type) {
	case map[string]any:
		next, _ := into[path[0]].(map[string]any)
		if next == nil {
			next = map[string]any{}
		}
		node, _ := own["f:"+path[0]].(map[string]any)
		copyField(next, child, joinPointer(path[1:]), node)
		if len(next) > 0 {
			into[path[0]] = next
		}
	case []any:
		copyItem(into, child, path, own)
	}
}

// copyItem is copyField through the list at path[0].
func copyItem(into map[string]any, list []any, path []string, own map[string]any) {
	i, err := strconv.Atoi(path[1])
	if err != nil || i < 0 || i >= len(list) || len(path) < 3 {
		return
	}
	item, _ := list[i].(map[string]any)
	node, _ := own["f:"+path[0]].(map[string]any)
	key, child := itemKey(item, node)
	if key == nil {
		return
	}
	items, _ := into[path[0]].([]any)
	var next map[string]any
	if found, ok := itemWith(key, items).(map[string]any); ok {
		next = found
	} else {
		next = maps.Clone(key)
		items = append(items, next)
	}
	copyField(next, item, joinPointer(path[2:]), child)
	into[path[0]] = items
}

func valueAt(v any, path []string) (any, bool) {
	for _, step := range path {
		switch c := v.(type) {
		case map[string]any:
			next, ok := c[step]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(c) {
				return nil, false
			}
			v = c[i]
		default:
			return nil, false
		}
	}
	return v, true
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

func joinPointer(path []string) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteString("/" + escapePointer(p))
	}
	return b.String()
}
