package render

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"

	"github.com/armada-sync/armada-sync/pkg/schema"
)

// With returns the set for objects of custom kinds that are defined: their lists merge by the keys of their
// schemas. Digest identifies the definitions by content.
func (o *Overrides) With(custom *schema.Custom, digest string) *Overrides {
	if custom == nil {
		return o
	}
	defined := *o
	defined.custom, defined.definitions = custom, digest
	return &defined
}

// combinedKey stands, while a patch is merged, for several keys of an item; the library knows lists of one
// key alone. No field of an object has such a name.
const combinedKey = "\x00keys"

// mergeCustom merges by a structural schema: maps by their fields, lists of x-kubernetes-list-type map by
// their x-kubernetes-list-map-keys, sets of scalars as sets, and everything else as a whole. The
// directives $patch, $retainKeys and $deleteFromPrimitiveList work as for built-in kinds.
func mergeCustom(object, patch map[string]any, s *structural.Structural) (map[string]any, error) {
	object, patch = runtime.DeepCopyJSON(object), runtime.DeepCopyJSON(patch)
	combine(object, s)
	combine(patch, s)
	merged, err := strategicMerge(object, patch, structuralMeta{s, true})
	if err != nil {
		return nil, err
	}
	separate(merged)
	return merged, nil
}

// structuralMeta tells the library how the fields of a custom kind merge. A nil schema is one that is not
// known, in which lists are replaced.
type structuralMeta struct {
	schema *structural.Structural
	root   bool
}

// Name names the type for the library's messages.
func (m structuralMeta) Name() string { return "custom kind" }

// LookupPatchMetadataForStruct returns the schema of a field that is a map.
func (m structuralMeta) LookupPatchMetadataForStruct(key string) (strategicpatch.LookupPatchMeta, strategicpatch.PatchMeta, error) {
	var meta strategicpatch.PatchMeta
	if m.root && key == "metadata" {
		builtin, err := strategicpatch.NewPatchMetaFromStruct(metav1.ObjectMeta{})
		return builtin, meta, err
	}
	field := fieldSchema(m.schema, key)
	if field != nil && field.XMapType != nil && *field.XMapType == "atomic" {
		meta.SetPatchStrategies([]string{"replace"})
	}
	return structuralMeta{schema: field}, meta, nil
}

// LookupPatchMetadataForSlice returns the schema of the items of a list, and how it merges.
func (m structuralMeta) LookupPatchMetadataForSlice(key string) (strategicpatch.LookupPatchMeta, strategicpatch.PatchMeta, error) {
	var meta strategicpatch.PatchMeta
	field := fieldSchema(m.schema, key)
	if field == nil {
		return structuralMeta{}, meta, nil
	}
	switch keys := listKeys(field); {
	case len(keys) == 1:
		meta.SetPatchStrategies([]string{"merge"})
		meta.SetPatchMergeKey(keys[0])
	case len(keys) > 1:
		meta.SetPatchStrategies([]string{"merge"})
		meta.SetPatchMergeKey(combinedKey)
	case field.XListType != nil && *field.XListType == "set" && field.Items != nil && field.Items.Type != "object" && field.Items.Type != "array":
		meta.SetPatchStrategies([]string{"merge"})
	}
	return structuralMeta{schema: field.Items}, meta, nil
}

// fieldSchema returns the schema of a field, nil where it is not known.
func fieldSchema(s *structural.Structural, key string) *structural.Structural {
	if s == nil {
		return nil
	}
	if field, ok := s.Properties[key]; ok {
		return &field
	}
	if s.AdditionalProperties != nil {
		return s.AdditionalProperties.Structural
	}
	return nil
}

// listKeys are the keys of a list of type map.
func listKeys(s *structural.Structural) []string {
	if s.XListType == nil || *s.XListType != "map" {
		return nil
	}
	return s.XListMapKeys
}

// combine gives the items of lists with several keys one that stands for all of them.
func combine(value any, s *structural.Structural) {
	if s == nil {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			combine(child, fieldSchema(s, key))
		}
	case []any:
		keys := listKeys(s)
		for _, item := range v {
			combine(item, s.Items)
			if m, ok := item.(map[string]any); ok && len(keys) > 1 {
				m[combinedKey] = combined(m, keys, s.Items)
			}
		}
	}
}

// combined spells the keys of an item; a key that is absent has the default of its schema.
func combined(item map[string]any, keys []string, s *structural.Structural) string {
	parts := make([]string, 0, len(keys))
	for _, key := range slices.Sorted(slices.Values(keys)) {
		value, ok := item[key]
		if field := fieldSchema(s, key); !ok && field != nil {
			value = field.Default.Object
		}
		parts = append(parts, fmt.Sprintf("%s=%q", key, fmt.Sprint(value)))
	}
	return strings.Join(parts, ",")
}

// separate takes the combined keys out again.
func separate(value any) {
	switch v := value.(type) {
	case map[string]any:
		delete(v, combinedKey)
		for _, child := range v {
			separate(child)
		}
	case []any:
		for _, item := range v {
			separate(item)
		}
	}
}
