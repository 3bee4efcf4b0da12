package immutable

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Change is one field in which two manifests of an object differ.
type Change struct {
	// Pointer is the JSON pointer of the field, or of the list that it left.
	Pointer string
	// Old and New are nil where the field is not there.
	Old, New any
}

// Field is one that a change would have to write and that cannot be written.
type Field struct {
	// Pointer is the JSON pointer of what changes.
	Pointer string
	// Name is the path of the field that cannot be changed, for people.
	Name string
	// Unless tells that the change is none where the cluster chose the same value itself.
	Unless bool
}

// Changed returns the fields of an object that a change would write and that cannot be changed, in the order of
// the changes, each once. old and new are the manifests.
func Changed(gk schema.GroupKind, old, new map[string]any, changes []Change) []Field {
	var found []Field
	fields := kinds(gk).fields
	for _, ch := range changes {
		path := strings.Split(strings.TrimPrefix(ch.Pointer, "/"), "/")
		for _, f := range fields {
			got, refused := f.refuses(path, ch, old, new)
			if refused && !slices.ContainsFunc(found, func(o Field) bool { return o.Name == got.Name }) {
				found = append(found, got)
			}
		}
	}
	return found
}

// refuses tells whether a change writes the field.
func (f field) refuses(path []string, ch Change, old, new map[string]any) (Field, bool) {
	if f.free != nil && f.free(old, new) {
		return Field{}, false
	}
	before, after := ch.Old, ch.New
	switch {
	case covers(f.path, path):
	case len(path) < len(f.path) && covers(path, f.path[:len(path)]):
		// Something around it comes or goes.
		before, after = below(ch.Old, f.path[len(path):]), below(ch.New, f.path[len(path):])
		path = f.path
	default:
		return Field{}, false
	}
	rest := path[len(f.path):]
	for _, e := range f.except {
		if covers(e, rest) {
			return Field{}, false
		}
	}
	if value, known := usual(path); known && equality.Semantic.DeepEqual(orElse(before, value), orElse(after, value)) {
		return Field{}, false
	}
	if before == nil && after == nil || f.kept && (after == nil || after == "") {
		return Field{}, false
	}
	named := f.path
	if len(f.path) == 1 && f.path[0] == "spec" && len(rest) > 0 {
		named = path[:2]
	}
	return Field{Pointer: ch.Pointer, Name: strings.Join(named, "."), Unless: f.chosen && before == nil}, true
}

func orElse(value, usual any) any {
	if value == nil {
		return usual
	}
	return value
}

// covers tells whether a path is the one of a pattern or below it.
func covers(pattern, path []string) bool {
	if len(pattern) > len(path) {
		return false
	}
	for i, name := range pattern {
		if name != "*" && name != path[i] {
			return false
		}
	}
	return true
}

// below returns the value at a path inside of another, nil where there is none.
func below(value any, path []string) any {
	for _, name := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			if name != "0" || len(v) == 0 {
				return nil
			}
			value = v[0]
		default:
			return nil
		}
	}
	return value
}

func valueAt(object map[string]any, path ...string) any { return below(object, path) }

// Refusals lists the words in which the API server refuses to change a field of a kind.
func Refusals(gk schema.GroupKind) []Refusal {
	// The common words come last: those of a kind may begin like them and say more.
	return append(slices.Clone(kinds(gk).refusals), Refusal{"", "field is immutable", ""})
}
