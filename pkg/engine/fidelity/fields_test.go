package fidelity

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
)

// leaves are the values of an object by path.
type leaves map[string]string

// ownLeaves are what Git sets of a live object: the fields that are ours, by the API server's word, without
// what the executor adds.
func ownLeaves(live *unstructured.Unstructured) leaves {
	all := leaves{}
	for _, entry := range live.GetManagedFields() {
		if entry.Manager != apply.FieldManager || entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		var tree map[string]any
		if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &tree) == nil {
			all.add("", owned(live.Object, tree))
		}
	}
	for path := range all {
		for _, name := range []string{v1alpha1.AnnotationDigest, v1alpha1.AnnotationSource, v1alpha1.AnnotationReplicas, v1alpha1.LabelPartOf} {
			if strings.HasPrefix(path, "metadata.") && strings.HasSuffix(path, `[`+strconv.Quote(name)+`]`) {
				delete(all, path)
			}
		}
	}
	return all
}

// owned is the part of a value that a fieldsV1 tree names.
func owned(value any, tree map[string]any) any {
	if len(tree) == 0 {
		return value
	}
	switch v := value.(type) {
	case map[string]any:
		part := map[string]any{}
		for step, below := range tree {
			name, isField := strings.CutPrefix(step, "f:")
			if child, there := v[name]; isField && there {
				part[name] = owned(child, below.(map[string]any))
			}
		}
		return part
	case []any:
		part := []any{}
		for _, child := range v {
			for step, below := range tree {
				if names(step, child) {
					part = append(part, owned(child, below.(map[string]any)))
				}
			}
		}
		return part
	}
	return value
}

// names tells that a step of a fieldsV1 tree is that of an item of a list.
func names(step string, child any) bool {
	if text, isKey := strings.CutPrefix(step, "k:"); isKey {
		var key map[string]any
		item, isMap := child.(map[string]any)
		if json.Unmarshal([]byte(text), &key) != nil || !isMap {
			return false
		}
		for name, want := range key {
			if fmt.Sprint(item[name]) != fmt.Sprint(want) {
				return false
			}
		}
		return true
	}
	text, isValue := strings.CutPrefix(step, "v:")
	raw, err := json.Marshal(child)
	return isValue && err == nil && string(raw) == text
}

// add takes the leaves of a value; items of lists go by their names, and lists of scalars are one leaf.
func (l leaves) add(path string, value any) {
	switch v := value.(type) {
	case nil:
	case map[string]any:
		for name, child := range v {
			l.add(below(path, name), child)
		}
	case []any:
		if key := keyOf(v); key != "" {
			for _, child := range v {
				item := child.(map[string]any)
				l.add(fmt.Sprintf("%s[%s=%v]", path, key, item[key]), item)
			}
			return
		}
		if slices.ContainsFunc(v, isMap) {
			for i, child := range v {
				l.add(fmt.Sprintf("%s[%d]", path, i), child)
			}
			return
		}
		l.set(path, v)
	default:
		l.set(path, v)
	}
}

func (l leaves) set(path string, value any) {
	// The API server adds it to each item of a list that is ours as a whole.
	if strings.HasPrefix(path, "subjects[") && strings.HasSuffix(path, ".apiGroup") {
		return
	}
	// It writes quantities in its own way.
	if text, isText := value.(string); isText && strings.Contains(path, "resources.") {
		if q, err := resource.ParseQuantity(text); err == nil {
			value = q.String()
		}
	}
	raw, err := json.Marshal(value)
	if err != nil {
		raw = []byte(err.Error())
	}
	// A list whose last item goes is empty or absent: reports name the item.
	if string(raw) == "[]" || string(raw) == "{}" {
		return
	}
	// The API server folds one into the other.
	if rest, ok := strings.CutPrefix(path, "stringData."); ok {
		path = "data." + rest
	}
	l[path] = string(raw)
}

func isMap(v any) bool { _, ok := v.(map[string]any); return ok }

// keyOf is the field by which reports name the items of a list; "" where not all have one.
func keyOf(list []any) string {
	for _, key := range []string{"name", "mountPath", "containerPort", "port"} {
		if len(list) > 0 && !slices.ContainsFunc(list, func(v any) bool { m, ok := v.(map[string]any); return !ok || m[key] == nil }) {
			return key
		}
	}
	return ""
}

// below is the path of a field as reports write it.
func below(path, name string) string {
	switch {
	case strings.ContainsAny(name, `.[]"'/ `):
		return path + "[" + strconv.Quote(name) + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

// value is one field on both sides; "" where it is absent.
type value struct{ old, new string }

// differences are the fields that differ.
func differences(before, after leaves) map[string]value {
	all := leaves{}
	maps.Copy(all, before)
	maps.Copy(all, after)
	changed := map[string]value{}
	for path := range all {
		if before[path] != after[path] {
			changed[path] = value{before[path], after[path]}
		}
	}
	return changed
}
