package schema

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// walk goes through a manifest beside its schema.
//
// Nearly every manifest is as it should be, so that it is looked through once in no order and without
// words; only where that finds a fault are the fields gone through in their order.
type walk struct {
	probe bool
	// tolerant takes fields that are not known for those of a newer release.
	tolerant bool
	found    bool
	faults   []Fault
}

// maxFaults bounds what is said about one manifest.
const maxFaults = 20

func (w *walk) fault(path *path, format string, args ...any) {
	w.found = true
	if w.probe || len(w.faults) == maxFaults {
		return
	}
	message := fmt.Sprintf(format, args...)
	if name := path.String(); name != "" {
		message = name + ": " + message
	}
	w.faults = append(w.faults, Fault{Pointer: path.pointer(), Message: message})
}

// open notes a fault that other owners of fields could mend.
func (w *walk) open(path *path, format string, args ...any) {
	before := len(w.faults)
	w.fault(path, format, args...)
	if len(w.faults) > before {
		w.faults[before].Open = true
	}
}

// unknown notes a field that does not exist.
func (w *walk) unknown(path *path, fields map[string]*typeSchema) {
	if w.tolerant {
		return
	}
	w.found = true
	if !w.probe {
		w.fault(path, "this field does not exist%s", guess(path.key, fields))
	}
}

// value checks one value.
func (w *walk) value(value any, t *typeSchema, path *path) {
	if value == nil {
		// null is taken as absent.
		return
	}
	t = t.resolved()
	if t.name == quantityType {
		w.quantity(value, path)
		return
	}
	if t.IntOrString {
		if !fits(value, "integer") && !fits(value, "string") {
			w.fault(path, "expected a whole number or a text, got %s", describe(value))
		}
		return
	}
	if len(t.OneOf) > 0 && t.Type == "" {
		w.oneOf(value, t, path)
		return
	}
	switch t.Type {
	case "object":
		m, ok := value.(map[string]any)
		if !ok {
			w.fault(path, "expected a map, got %s", describe(value))
			return
		}
		w.object(m, t, path)
	case "array":
		list, ok := value.([]any)
		if !ok {
			w.fault(path, "expected a list, got %s", describe(value))
			return
		}
		for i, item := range list {
			if t.Items != nil {
				at := itemOf(path, i, item)
				w.value(item, t.Items, &at)
			}
		}
	default:
		w.scalar(value, t, path)
	}
}

const quantityType = "apimachinery.pkg.api.resource.Quantity"

func (w *walk) oneOf(value any, t *typeSchema, path *path) {
	names := make([]string, 0, len(t.OneOf))
	for _, o := range t.OneOf {
		if o.Type == "" || fits(value, o.Type) {
			return
		}
		names = append(names, words[o.Type])
	}
	w.fault(path, "expected %s, got %s", strings.Join(names, " or "), describe(value))
}

func (w *walk) scalar(value any, t *typeSchema, path *path) {
	if t.Type == "" {
		return
	}
	if !fits(value, t.Type) {
		hint := ""
		if t.Type == "string" {
			hint = "; put it into quotes"
			switch value.(type) {
			case map[string]any, []any:
				hint = ""
			}
		}
		w.fault(path, "expected %s, got %s%s", words[t.Type], describe(value), hint)
		return
	}
	switch t.Format {
	case "int32":
		if n := number(value); n > math.MaxInt32 || n < math.MinInt32 {
			w.fault(path, "the number does not fit 32 bits")
		}
	case "byte":
		text, _ := value.(string)
		if _, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\n", "", "\r", "").Replace(text)); err != nil {
			w.fault(path, "expected base64%s", clearTextGoesTo(path))
		}
	}
}

// clearTextGoesTo says which field takes as it is what a Secret's data and a ConfigMap's binaryData take as base64.
func clearTextGoesTo(at *path) string {
	switch at.steps()[0].key {
	case "data":
		return "; clear text goes into stringData"
	case "binaryData":
		return "; clear text goes into data"
	}
	return ""
}

func (w *walk) quantity(value any, path *path) {
	switch v := value.(type) {
	case int64, float64:
	case string:
		if _, err := resource.ParseQuantity(v); err != nil {
			w.fault(path, "%q is no quantity, such as 500m or 2Gi", v)
		}
	default:
		w.fault(path, "expected a quantity, such as 500m or 2Gi, got %s", describe(value))
	}
}

// object checks a map: a struct, or a map of values.
func (w *walk) object(m map[string]any, t *typeSchema, at *path) {
	if w.probe {
		for key, value := range m {
			w.field(key, value, t, at)
		}
	} else {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			w.field(key, m[key], t, at)
		}
	}
	for _, key := range t.needs {
		if m[key] == nil && (w.probe || !meant(key, m, t)) {
			w.open(at, "%s is missing", key)
		}
	}
}

func (w *walk) field(key string, value any, t *typeSchema, parent *path) {
	at := path{parent: parent, key: key}
	field, known := t.Properties[key]
	switch {
	case parent == nil && key == "status":
	case known:
		w.value(value, field, &at)
	case t.AdditionalProperties != nil:
		w.value(value, t.AdditionalProperties, &at)
	case t.Properties != nil && !t.PreserveUnknown:
		w.unknown(&at, t.Properties)
	}
}

// words are the types as people say them.
var words = map[string]string{
	"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
	"object": "a map", "array": "a list",
}

func fits(value any, kind string) bool {
	switch v := value.(type) {
	case string:
		return kind == "string"
	case bool:
		return kind == "boolean"
	case int64:
		return kind == "integer" || kind == "number"
	case float64:
		return kind == "number" || kind == "integer" && v == math.Trunc(v)
	case map[string]any:
		return kind == "object"
	case []any:
		return kind == "array"
	}
	return true
}

func number(value any) float64 {
	switch v := value.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}

func describe(value any) string {
	switch v := value.(type) {
	case string:
		return "a text"
	case bool:
		return "true or false"
	case int64:
		return "a number"
	case float64:
		if v == math.Trunc(v) {
			return "a number"
		}
		return "a fraction"
	case map[string]any:
		return "a map"
	case []any:
		return "a list"
	}
	return "null"
}

// guess names the field that was meant, where there is one that is nearly the same.
func guess(key string, fields map[string]*typeSchema) string {
	best, least := "", 3
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if strings.EqualFold(name, key) {
			return fmt.Sprintf("; did you mean %q?", name)
		}
		if d := distance(key, name); d < least && d < len(key)/2 {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// meant tells that a missing field is there under a wrong name, which is one mistake and not two.
func meant(key string, m map[string]any, t *typeSchema) bool {
	for name := range m {
		if t.Properties[name] == nil && (strings.EqualFold(name, key) || distance(name, key) < 3 && len(key) > 4) {
			return true
		}
	}
	return false
}

// distance is the number of letters to add, drop or change (Levenshtein), or more than 2.
func distance(a, b string) int {
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 || len(a) > 64 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// path leads to a field; nil is the manifest itself.
type path struct {
	parent *path
	key    string
	// index counts for items of lists, where name is that of the item, for people.
	index int
	list  bool
	name  string
}

func (p *path) field(key string) *path { return &path{parent: p, key: key} }

func itemOf(p *path, i int, item any) path {
	m, _ := item.(map[string]any)
	name, _ := m["name"].(string)
	return path{parent: p, index: i, list: true, name: name}
}

// steps are the path from the manifest on.
func (p *path) steps() []*path {
	var all []*path
	for ; p != nil; p = p.parent {
		all = append(all, p)
	}
	slices.Reverse(all)
	return all
}

// String writes spec.template.spec.containers[name=web].image.
func (p *path) String() string {
	var b strings.Builder
	for _, s := range p.steps() {
		switch {
		case s.list && s.name != "":
			fmt.Fprintf(&b, "[name=%s]", s.name)
		case s.list:
			fmt.Fprintf(&b, "[%d]", s.index)
		case strings.ContainsAny(s.key, "./[] ") || s.key == "":
			fmt.Fprintf(&b, "[%q]", s.key)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.key)
		}
	}
	return b.String()
}

func (p *path) pointer() string {
	var b strings.Builder
	for _, s := range p.steps() {
		b.WriteByte('/')
		if s.list {
			b.WriteString(strconv.Itoa(s.index))
		} else {
			b.WriteString(escaper.Replace(s.key))
		}
	}
	return b.String()
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1")
