package plan

import (
	"slices"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// covers tells whether every leaf of a manifest is in a fieldsV1 document, the API server's record
// of the fields that our Apply owns. A leaf that is missing there was changed by someone else since.
//
// The items of associative lists are named by their keys in the document, so no schema is needed; a
// key may hold a field that the manifest leaves to its default, such as protocol: TCP. Null and empty
// leaves are don't-care: servers drop them. What the document holds beyond the manifest is of no
// interest. A document that does not parse covers nothing.
func covers(ownedFields string, manifest map[string]any) bool {
	var set fieldpath.Set
	if err := set.FromJSON(strings.NewReader(ownedFields)); err != nil {
		return false
	}
	for name, v := range manifest {
		switch name {
		case "apiVersion", "kind":
			continue
		case "metadata":
			if !coversMetadata(&set, v) {
				return false
			}
			continue
		}
		if !coversElement(&set, fieldpath.FieldNameElement(name), v) {
			return false
		}
	}
	return true
}

// coversMetadata leaves out what identifies the object, which nobody owns.
func coversMetadata(set *fieldpath.Set, v any) bool {
	metadata, ok := v.(map[string]any)
	if !ok {
		return true
	}
	below := set.WithPrefix(fieldpath.FieldNameElement("metadata"))
	for name, v := range metadata {
		if name == "name" || name == "namespace" {
			continue
		}
		if !coversElement(below, fieldpath.FieldNameElement(name), v) {
			return false
		}
	}
	return true
}

// coversElement tells whether a value that lies at one element below the set is owned.
func coversElement(set *fieldpath.Set, at fieldpath.PathElement, v any) bool {
	if isEmptyLeaf(v) {
		return true
	}
	below, deeper := set.Children.Get(at)
	if !deeper || below.Empty() {
		// A leaf of the set: the field as a whole is owned, whatever is in it.
		return set.Members.Has(at)
	}
	return coversValue(below, v)
}

func coversValue(set *fieldpath.Set, v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			if !coversElement(set, fieldpath.FieldNameElement(name), child) {
				return false
			}
		}
		return true
	case []any:
		return coversList(set, v)
	}
	// The set knows fields below something that the manifest says is a scalar.
	return false
}

// coversList matches the items of a list with the elements by which the set names them: by the
// values of key fields for lists of maps, by the value itself for sets of scalars.
func coversList(set *fieldpath.Set, list []any) bool {
	keyed := keyedElements(set)
	for _, v := range list {
		if isEmptyLeaf(v) {
			continue
		}
		item, isMap := v.(map[string]any)
		if !isMap {
			scalar := value.NewValueInterface(v)
			if !set.Members.Has(fieldpath.PathElement{Value: &scalar}) {
				return false
			}
			continue
		}
		at, found := elementOf(keyed, item)
		if !found || !coversElement(set, at, item) {
			return false
		}
	}
	return true
}

// keyedElements returns the elements of a set that name list items by key, in their order.
func keyedElements(set *fieldpath.Set) []fieldpath.PathElement {
	var elements []fieldpath.PathElement
	for pe := range set.Children.All() {
		if pe.Key != nil {
			elements = append(elements, pe)
		}
	}
	set.Members.Iterate(func(pe fieldpath.PathElement) {
		if pe.Key != nil {
			elements = append(elements, pe)
		}
	})
	slices.SortFunc(elements, fieldpath.PathElement.Compare)
	return slices.CompactFunc(elements, fieldpath.PathElement.Equals)
}

// elementOf returns the element that names an item. Items that give every key field are looked up;
// one that leaves a key field to its default takes the first element that agrees on the others.
func elementOf(elements []fieldpath.PathElement, item map[string]any) (fieldpath.PathElement, bool) {
	if len(elements) == 0 {
		return fieldpath.PathElement{}, false
	}
	if exact, complete := keyOf(*elements[0].Key, item); complete {
		i, found := slices.BinarySearchFunc(elements, exact, fieldpath.PathElement.Compare)
		if !found {
			return fieldpath.PathElement{}, false
		}
		return elements[i], true
	}
	for _, pe := range elements {
		if agrees(*pe.Key, item) {
			return pe, true
		}
	}
	return fieldpath.PathElement{}, false
}

// keyOf returns the element of an item under the key fields of a sibling, if it gives them all.
func keyOf(like value.FieldList, item map[string]any) (fieldpath.PathElement, bool) {
	key := make(value.FieldList, 0, len(like))
	for _, field := range like {
		v, ok := item[field.Name]
		if !ok {
			return fieldpath.PathElement{}, false
		}
		key = append(key, value.Field{Name: field.Name, Value: value.NewValueInterface(v)})
	}
	return fieldpath.PathElement{Key: &key}, true
}

func agrees(key value.FieldList, item map[string]any) bool {
	for _, field := range key {
		v, ok := item[field.Name]
		if ok && !value.Equals(value.NewValueInterface(v), field.Value) {
			return false
		}
	}
	return true
}

// isEmptyLeaf tells whether a value says nothing that a server would keep.
func isEmptyLeaf(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		for _, child := range v {
			if !isEmptyLeaf(child) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	}
	return false
}
