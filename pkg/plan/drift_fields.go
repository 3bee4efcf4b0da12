package plan

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/armada-sync/armada-sync/pkg/render"
)

// parseFields reads a fieldsV1 document; one that does not parse is an empty set.
func parseFields(fieldsV1 string) *fieldpath.Set {
	var set fieldpath.Set
	if len(fieldsV1) == 0 || set.FromJSON(strings.NewReader(fieldsV1)) != nil {
		return &fieldpath.Set{}
	}
	return &set
}

// ownedPointers returns, as sorted JSON pointers into a manifest, the fields that a manager owns on the
// live object. ours is the set of our own Apply entry: below a field that has members of ours the
// manager's claim to the whole says nothing about them. What tells items of lists apart is left out,
// since an item cannot be sent without it.
func ownedPointers(theirs, ours *fieldpath.Set, manifest map[string]any) []string {
	w := fieldWalk{owned: true}
	w.manifest(theirs, ours, manifest)
	slices.Sort(w.found)
	return w.found
}

// lostPointers returns, as sorted JSON pointers into a manifest, the fields of it that our set lacks: the
// complement of what covers looks for.
func lostPointers(ours *fieldpath.Set, manifest map[string]any) []string {
	w := fieldWalk{}
	w.manifest(ours, nil, manifest)
	slices.Sort(w.found)
	return w.found
}

// fieldWalk collects the fields of a manifest that a set has, or that it lacks.
type fieldWalk struct {
	// owned collects what the set has, else what it lacks.
	owned bool
	found []string
}

func (w *fieldWalk) take(pointer string, has bool) {
	if has == w.owned {
		w.found = append(w.found, pointer)
	}
}

func (w *fieldWalk) manifest(set, other *fieldpath.Set, manifest map[string]any) {
	for name, v := range manifest {
		switch name {
		case "apiVersion", "kind", "status":
		case "metadata":
			metadata, _ := v.(map[string]any)
			at := fieldpath.FieldNameElement("metadata")
			for name, v := range metadata {
				if name != "name" && name != "namespace" {
					w.element(below(set, at), below(other, at), fieldpath.FieldNameElement(name), "/metadata/"+render.EscapeToken(name), v)
				}
			}
		default:
			w.element(set, other, fieldpath.FieldNameElement(name), "/"+render.EscapeToken(name), v)
		}
	}
}

// below returns the part of a set under an element; empty where there is none.
func below(set *fieldpath.Set, at fieldpath.PathElement) *fieldpath.Set {
	if set == nil {
		return &fieldpath.Set{}
	}
	if child, found := set.Children.Get(at); found {
		return child
	}
	return &fieldpath.Set{}
}

func (w *fieldWalk) element(set, other *fieldpath.Set, at fieldpath.PathElement, pointer string, v any) {
	if isEmptyLeaf(v) {
		return
	}
	under, otherUnder := below(set, at), below(other, at)
	if under.Empty() {
		has := set.Members.Has(at)
		if has && !isScalar(v) && !otherUnder.Empty() {
			// The manager has the field and nothing in it, while we have members of it: it is shared.
			has = false
		}
		if members, isMap := v.(map[string]any); isMap && !has && !w.owned {
			// All that is in it is lost; each field is named, since each may be someone else's.
			for name, child := range members {
				w.element(under, otherUnder, fieldpath.FieldNameElement(name), pointer+"/"+render.EscapeToken(name), child)
			}
			return
		}
		w.take(pointer, has)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			w.element(under, otherUnder, fieldpath.FieldNameElement(name), pointer+"/"+render.EscapeToken(name), child)
		}
	case []any:
		w.list(under, otherUnder, pointer, v)
	default:
		w.take(pointer, false)
	}
}

func (w *fieldWalk) list(set, other *fieldpath.Set, pointer string, list []any) {
	keyed := keyedElements(set)
	for i, v := range list {
		if isEmptyLeaf(v) {
			continue
		}
		at := pointer + "/" + strconv.Itoa(i)
		item, isMap := v.(map[string]any)
		if !isMap {
			scalar := value.NewValueInterface(v)
			w.take(at, set.Members.Has(fieldpath.PathElement{Value: &scalar}))
			continue
		}
		pe, found := elementOf(keyed, item)
		if !found {
			w.take(at, false)
			continue
		}
		under, otherUnder := below(set, pe), below(other, pe)
		for name, child := range item {
			if w.owned && isKey(pe, name) {
				continue
			}
			w.element(under, otherUnder, fieldpath.FieldNameElement(name), at+"/"+render.EscapeToken(name), child)
		}
	}
}

// isKey tells that a field tells the items of a list apart.
func isKey(pe fieldpath.PathElement, name string) bool {
	return pe.Key != nil && slices.ContainsFunc(*pe.Key, func(f value.Field) bool { return f.Name == name })
}

// ownsAt tells whether a set has the field of a manifest at a path of names and indices, or a part of it.
func ownsAt(set *fieldpath.Set, manifest any, path []string) bool {
	for i, step := range path {
		var at fieldpath.PathElement
		switch m := manifest.(type) {
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 || n >= len(m) {
				return false
			}
			item, isMap := m[n].(map[string]any)
			if !isMap {
				scalar := value.NewValueInterface(m[n])
				return i == len(path)-1 && set.Members.Has(fieldpath.PathElement{Value: &scalar})
			}
			pe, found := elementOf(keyedElements(set), item)
			if !found {
				return false
			}
			at, manifest = pe, item
		case map[string]any:
			at, manifest = fieldpath.FieldNameElement(step), m[step]
		default:
			at, manifest = fieldpath.FieldNameElement(step), nil
		}
		if i == len(path)-1 {
			return set.Members.Has(at) || !below(set, at).Empty()
		}
		set = below(set, at)
	}
	return false
}

// FieldAt returns a field of a manifest at a path of names and indices, and whether it is there. The empty
// path is the manifest itself.
func FieldAt(v any, path []string) (any, bool) {
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

// withoutField removes a field at a path of names and indices from a tree that may be changed, and
// returns the tree.
func withoutField(v any, path []string) any {
	switch c := v.(type) {
	case map[string]any:
		child, has := c[path[0]]
		switch {
		case !has:
		case len(path) == 1:
			delete(c, path[0])
		default:
			c[path[0]] = withoutField(child, path[1:])
		}
		return c
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(c) {
			return c
		}
		if len(path) == 1 {
			return slices.Delete(c, i, i+1)
		}
		c[i] = withoutField(c[i], path[1:])
		return c
	}
	return v
}

// fromTheEnd orders pointers so that what is removed does not change the place of what is removed later.
func fromTheEnd(a, b lentField) int {
	for i := range min(len(a.path), len(b.path)) {
		x, err1 := strconv.Atoi(a.path[i])
		y, err2 := strconv.Atoi(b.path[i])
		if err1 == nil && err2 == nil && x != y {
			return y - x
		}
		if c := strings.Compare(a.path[i], b.path[i]); c != 0 {
			return c
		}
	}
	return len(b.path) - len(a.path)
}

// asSent returns a manifest as the executor sends it: the stringData of a Secret is part of its data,
// since whoever sends stringData does not own data.
func asSent(manifest *unstructured.Unstructured) *unstructured.Unstructured {
	plain, ok := manifest.Object["stringData"].(map[string]any)
	if !ok || !render.IsSecret(manifest) {
		return manifest
	}
	out := maps.Clone(manifest.Object)
	delete(out, "stringData")
	data, _ := manifest.Object["data"].(map[string]any)
	merged := maps.Clone(data)
	if merged == nil {
		merged = map[string]any{}
	}
	for k, v := range plain {
		merged[k] = base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(v)))
	}
	out["data"] = merged
	return &unstructured.Unstructured{Object: out}
}
