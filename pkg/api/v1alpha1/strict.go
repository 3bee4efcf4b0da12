package v1alpha1

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fieldTables remembers the fields of struct types by their JSON names while one file is read.
type fieldTables struct{ tables sync.Map }

// of returns the fields of a struct type: index paths for reflect.Value.FieldByIndex, by JSON name.
func (f *fieldTables) of(t reflect.Type) map[string][]int {
	if table, ok := f.tables.Load(t); ok {
		if fields, ok := table.(map[string][]int); ok {
			return fields
		}
	}
	fields := map[string][]int{}
	collectFields(t, nil, fields)
	f.tables.Store(t, fields)
	return fields
}

// collectFields adds the fields of a struct type, those of inlined structs included.
func collectFields(t reflect.Type, index []int, fields map[string][]int) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		at := append(slices.Clone(index), i)
		switch {
		case name == "-" || !field.IsExported():
		case name == "" && field.Anonymous && field.Type.Kind() == reflect.Struct:
			collectFields(field.Type, at, fields)
		case name != "":
			fields[name] = at
		}
	}
}

// strictDecoder fills a Go value from the content of a document and reports every field that is
// unknown or has the wrong type, where encoding/json would stop at the first.
type strictDecoder struct {
	tables *fieldTables
	path   []segment
	report func(field, message string)
	// mayIgnore are fields of the top level that are accepted though the type does not have them.
	mayIgnore []string
}

func (d *strictDecoder) field() string {
	var path []byte
	for _, s := range d.path {
		path = s.appendTo(path)
	}
	return string(path)
}

func (d *strictDecoder) problem(format string, args ...any) {
	d.report(d.field(), fmt.Sprintf(format, args...))
}

func (d *strictDecoder) push(s segment) { d.path = append(d.path, s) }
func (d *strictDecoder) pop()           { d.path = d.path[:len(d.path)-1] }

// decode sets target to value. Null leaves it as it is, as in JSON.
func (d *strictDecoder) decode(value any, target reflect.Value) {
	if value == nil {
		// A JSON value may be null on purpose, as in the replace operation of a patch.
		if _, ok := target.Interface().(*apiextensionsv1.JSON); ok {
			target.Set(reflect.ValueOf(&apiextensionsv1.JSON{Raw: []byte("null")}))
		}
		return
	}
	if target.Kind() == reflect.Pointer {
		fresh := reflect.New(target.Type().Elem())
		d.decode(value, fresh.Elem())
		target.Set(fresh)
		return
	}
	if u, ok := target.Addr().Interface().(json.Unmarshaler); ok {
		d.unmarshal(value, u)
		return
	}
	switch target.Kind() {
	case reflect.Struct:
		d.structure(value, target)
	case reflect.Map:
		d.mapping(value, target)
	case reflect.Slice:
		d.list(value, target)
	default:
		d.scalar(value, target)
	}
}

func (d *strictDecoder) structure(value any, target reflect.Value) {
	content, ok := value.(map[string]any)
	if !ok {
		d.problem("expected a map, got %s", describeValue(value))
		return
	}
	fields := d.tables.of(target.Type())
	for _, key := range slices.Sorted(maps.Keys(content)) {
		d.push(segment{key: key})
		if index, ok := fields[key]; ok {
			d.decode(content[key], target.FieldByIndex(index))
		} else if len(d.path) > 1 || !slices.Contains(d.mayIgnore, key) {
			d.problem("unknown field%s", d.hint(key, fields, target.Type()))
		}
		d.pop()
	}
}

func (d *strictDecoder) mapping(value any, target reflect.Value) {
	content, ok := value.(map[string]any)
	if !ok {
		d.problem("expected a map, got %s", describeValue(value))
		return
	}
	result := reflect.MakeMapWithSize(target.Type(), len(content))
	for _, key := range slices.Sorted(maps.Keys(content)) {
		d.push(segment{key: key})
		item := reflect.New(target.Type().Elem()).Elem()
		d.decode(content[key], item)
		result.SetMapIndex(reflect.ValueOf(key).Convert(target.Type().Key()), item)
		d.pop()
	}
	target.Set(result)
}

func (d *strictDecoder) list(value any, target reflect.Value) {
	items, ok := value.([]any)
	if !ok {
		d.problem("expected a list, got %s", describeValue(value))
		return
	}
	result := reflect.MakeSlice(target.Type(), len(items), len(items))
	for i, item := range items {
		d.push(segment{index: i, isIndex: true})
		d.decode(item, result.Index(i))
		d.pop()
	}
	target.Set(result)
}

func (d *strictDecoder) scalar(value any, target reflect.Value) {
	switch target.Kind() {
	case reflect.String:
		if text, ok := value.(string); ok {
			target.SetString(text)
			return
		}
		switch value.(type) {
		case bool, int64, float64:
			d.problem("expected text, got %s; put it in quotes", describeValue(value))
		default:
			d.problem("expected text, got %s", describeValue(value))
		}
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			target.SetBool(b)
			return
		}
		d.problem("expected true or false, got %s", describeValue(value))
	case reflect.Int, reflect.Int32, reflect.Int64:
		i, ok := value.(int64)
		switch {
		case !ok:
			d.problem("expected a whole number, got %s", describeValue(value))
		case target.OverflowInt(i):
			d.problem("the number %d is out of range", i)
		default:
			target.SetInt(i)
		}
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		i, ok := value.(int64)
		switch {
		case !ok:
			d.problem("expected a whole number, got %s", describeValue(value))
		case i < 0 || target.OverflowUint(uint64(i)):
			d.problem("the number %d is out of range", i)
		default:
			target.SetUint(uint64(i))
		}
	default:
		d.problem("the type %s cannot be read", target.Type())
	}
}

// unmarshal hands a value to a type that reads JSON itself, and says what was expected where it
// refuses.
func (d *strictDecoder) unmarshal(value any, target json.Unmarshaler) {
	expected := ""
	switch target.(type) {
	case *metav1.Duration:
		expected = `a duration such as "30s" or "5m"`
	case *metav1.Time, *metav1.MicroTime:
		expected = `a time such as "2026-01-31T12:00:00Z"`
	case *resource.Quantity:
		expected = `a quantity such as "500m" or "2Gi"`
		if _, ok := value.(bool); ok {
			d.problem("expected %s, got %s", expected, describeValue(value))
			return
		}
		if text, ok := value.(string); ok {
			if err := CheckQuantity(text); err != nil {
				d.problem("expected %s, got %v", expected, err)
				return
			}
		}
	case *apiextensionsv1.JSON:
		expected = "a value"
	}
	data, err := json.Marshal(value)
	if err == nil {
		err = target.UnmarshalJSON(data)
	}
	// Times come in the local zone; what is printed must not depend on where.
	switch v := target.(type) {
	case *metav1.Time:
		v.Time = v.UTC()
	case *metav1.MicroTime:
		v.Time = v.UTC()
	}
	switch {
	case err != nil && expected != "":
		d.problem("expected %s, got %s", expected, describeValue(value))
	case err != nil:
		d.problem("%v", err)
	}
}

// describeValue names a value for a message.
func describeValue(value any) string {
	switch v := value.(type) {
	case nil:
		return "nothing"
	case string:
		return fmt.Sprintf("the text %q", shorten(v))
	case bool:
		return fmt.Sprintf("the boolean %t", v)
	case int64:
		return fmt.Sprintf("the number %d", v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "a number that JSON cannot carry"
		}
		return fmt.Sprintf("the number %g", v)
	case []any:
		return "a list"
	}
	return "a map"
}

// hint names the field that an unknown one was probably meant to be: one of nearly the same spelling,
// one that it begins with, or one of the same name one level below.
func (d *strictDecoder) hint(key string, fields map[string][]int, t reflect.Type) string {
	best, distance := "", 3
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		n := editDistance(strings.ToLower(key), strings.ToLower(name), distance)
		if n < distance && n*3 <= max(len(name), 3) {
			best, distance = name, n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if best == "" && len(name) > 3 && strings.HasPrefix(key, name) {
			best = name
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		child := t.FieldByIndex(fields[name]).Type
		if child.Kind() == reflect.Pointer {
			child = child.Elem()
		}
		if child.Kind() != reflect.Struct || name == "metadata" {
			continue
		}
		if _, ok := d.tables.of(child)[key]; ok {
			return fmt.Sprintf("; did you mean %q inside %q?", key, name)
		}
	}
	return ""
}

// editDistance returns how many letters must be inserted, dropped or replaced to turn a into b, or
// limit where it is at least that.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	current := make([]int, len(b)+1)
	for i := range len(a) {
		current[0] = i + 1
		least := current[0]
		for j := range len(b) {
			change := previous[j]
			if a[i] != b[j] {
				change++
			}
			current[j+1] = min(change, previous[j+1]+1, current[j]+1)
			least = min(least, current[j+1])
		}
		if least >= limit {
			return limit
		}
		previous, current = current, previous
	}
	return min(previous[len(b)], limit)
}
