package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/plan/page"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// fieldChange is one field in which two manifests differ.
type fieldChange struct {
	// path is for people: spec.template.spec.containers[name=api].image.
	path string
	// pointer is the JSON pointer in the new manifest, or of the nearest parent that is left there.
	pointer string
	// old and new are nil where the field is absent. A field that is present with the value null has
	// explicitNull.
	old, new any
}

// explicitNull stands for null where it is written, to tell it from a field that is not there.
type explicitNull struct{}

// MarshalJSON writes null.
func (explicitNull) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// diffFields returns the fields in which two manifests differ, in the order of their paths. None:
// they are equal. A subtree that appears or vanishes is one change.
func diffFields(old, new map[string]any) []fieldChange {
	d := &differ{}
	d.maps("", "", old, new)
	return d.changes
}

type differ struct{ changes []fieldChange }

func (d *differ) add(path, pointer string, old, new any) {
	d.changes = append(d.changes, fieldChange{path, pointer, old, new})
}

func (d *differ) maps(path, pointer string, old, new map[string]any) {
	names := map[string]bool{}
	for name := range old {
		names[name] = true
	}
	for name := range new {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, had := old[name]
		after, has := new[name]
		at := joinPath(path, name)
		below := pointer + "/" + render.EscapeToken(name)
		switch {
		case !had:
			d.add(at, below, nil, present(after))
		case !has:
			d.add(at, below, present(before), nil)
		default:
			d.values(at, below, before, after)
		}
	}
}

func present(v any) any {
	if v == nil {
		return explicitNull{}
	}
	return v
}

func (d *differ) values(path, pointer string, old, new any) {
	switch before := old.(type) {
	case map[string]any:
		if after, ok := new.(map[string]any); ok {
			d.maps(path, pointer, before, after)
			return
		}
	case []any:
		if after, ok := new.([]any); ok {
			d.lists(path, pointer, before, after)
			return
		}
	}
	if !equalScalars(old, new) {
		d.add(path, pointer, present(old), present(new))
	}
}

// equalScalars compares two values of which at most one is a map or list. A whole number is the same
// however the decoder read it.
func equalScalars(a, b any) bool {
	x, xInt := wholeNumber(a)
	y, yInt := wholeNumber(b)
	if xInt && yInt {
		return x == y
	}
	return reflect.DeepEqual(a, b)
}

func wholeNumber(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	case float64:
		if n == float64(int64(n)) && n > -1<<53 && n < 1<<53 {
			return int64(n), true
		}
	}
	return 0, false
}

// lists compares lists item by item: by the field that names the items where they have one, as a whole
// where they are scalars, else by index.
func (d *differ) lists(path, pointer string, old, new []any) {
	if key := itemKey(old, new); key != "" {
		d.keyed(path, pointer, key, old, new)
		return
	}
	if allScalars(old) && allScalars(new) {
		if !equalLists(old, new) {
			d.add(path, pointer, old, new)
		}
		return
	}
	for i := range max(len(old), len(new)) {
		at := path + "[" + strconv.Itoa(i) + "]"
		below := pointer + "/" + strconv.Itoa(i)
		switch {
		case i >= len(old):
			d.add(at, below, nil, present(new[i]))
		case i >= len(new):
			d.add(at, pointer, present(old[i]), nil)
		default:
			d.values(at, below, old[i], new[i])
		}
	}
}

// keyed compares lists whose items have names. Items that only change places are a change too, since
// the order of containers, variables and arguments can matter.
func (d *differ) keyed(path, pointer, key string, old, new []any) {
	before, after := keyedItems(key, old), keyedItems(key, new)
	var stayedOld, stayedNew []any
	for _, v := range old {
		name := v.(map[string]any)[key]
		at := path + "[" + key + "=" + formatKey(name) + "]"
		i, stays := after[scalarText(name)]
		if !stays {
			d.add(at, pointer, v, nil)
			continue
		}
		stayedOld = append(stayedOld, name)
		d.values(at, pointer+"/"+strconv.Itoa(i), v, new[i])
	}
	for i, v := range new {
		name := v.(map[string]any)[key]
		if _, had := before[scalarText(name)]; had {
			stayedNew = append(stayedNew, name)
			continue
		}
		d.add(path+"["+key+"="+formatKey(name)+"]", pointer+"/"+strconv.Itoa(i), nil, v)
	}
	if !equalLists(stayedOld, stayedNew) {
		d.add(path+"[order]", pointer, stayedOld, stayedNew)
	}
}

// itemKeys are fields that name the items of lists, in the order in which they are tried.
var itemKeys = []string{"name", "mountPath", "containerPort", "port", "key", "ip", "host", "path", "type", "topologyKey", "uid", "id"}

// itemKey returns a field whose value is a scalar, different for each item, in both lists; "" where
// there is none.
func itemKey(old, new []any) string {
	if len(old)+len(new) == 0 {
		return ""
	}
	for _, key := range itemKeys {
		if distinguishes(key, old) && distinguishes(key, new) {
			return key
		}
	}
	return ""
}

func distinguishes(key string, items []any) bool {
	seen := map[string]bool{}
	for _, v := range items {
		item, ok := v.(map[string]any)
		if !ok {
			return false
		}
		value, has := item[key]
		if !has || !isScalar(value) || value == nil || seen[scalarText(value)] {
			return false
		}
		seen[scalarText(value)] = true
	}
	return true
}

// keyedItems maps the names of items to their places.
func keyedItems(key string, items []any) map[string]int {
	m := make(map[string]int, len(items))
	for i, v := range items {
		m[scalarText(v.(map[string]any)[key])] = i
	}
	return m
}

func isScalar(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

func allScalars(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool { return !isScalar(v) })
}

func equalLists(a, b []any) bool { return slices.EqualFunc(a, b, equalScalars) }

// scalarText tells scalars of different types apart.
func scalarText(v any) string {
	if n, ok := wholeNumber(v); ok {
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%T %v", v, v)
}

// formatKey writes a value inside brackets; one that could be mistaken for something else is quoted.
func formatKey(v any) string {
	s, ok := v.(string)
	if !ok {
		return fmt.Sprint(v)
	}
	if s == "" || strings.ContainsAny(s, "[]\"'= ") || page.Scrub(s) != s {
		return quote(s)
	}
	return s
}

// joinPath appends a field name to a path; names that hold dots or the like stand in brackets.
func joinPath(path, name string) string {
	if name == "" || strings.ContainsAny(name, ".[]\"'/ ") || page.Scrub(name) != name {
		return path + "[" + quote(name) + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// quote writes a string as JSON does.
func quote(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return string(raw)
}
