package render

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// writer is what wrote a field, with the policy as a number so that two of one name are told apart.
type writer struct {
	Origin
	// policy is the number of the override policy; divisionWriter and variableWriter where none wrote.
	policy int
}

const (
	divisionWriter = -1
	variableWriter = -2
)

// tracer compares an object before and after one rule. It gives each field that changed to the
// rule and carries the origins of the others along, also where they moved inside a list.
type tracer struct {
	// before and after are the writers of fields by JSON pointer. A pointer to a field that is no
	// longer there says who removed it.
	before, after map[string]writer
	// by returns the writer of a changed field; nil: fields only move, as when duplicates go.
	by func(pointer string) writer
	// overwritten receives each field that someone else had written.
	overwritten func(pointer string, previous, now writer)
	changed     bool
}

func (t *tracer) walk(before, after any, bp, ap string) {
	if jsonEqual(before, after) {
		t.carry(bp, ap)
		return
	}
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok {
			t.walkMaps(b, a, bp, ap)
			return
		}
	case []any:
		if a, ok := after.([]any); ok {
			t.walkLists(b, a, bp, ap)
			return
		}
	}
	t.overwrite(bp, ap)
}

func (t *tracer) walkMaps(before, after map[string]any, bp, ap string) {
	t.carryOne(bp, ap)
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if child, ok := after[key]; ok {
			t.walk(before[key], child, join(bp, key), join(ap, key))
		} else {
			t.overwrite(join(bp, key), join(ap, key))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[key]; !ok {
			t.add(join(bp, key), join(ap, key))
		}
	}
	// Who removed a field that is still absent stays known.
	for pointer, w := range t.before {
		if !within(pointer, bp) {
			continue
		}
		rest := pointer[len(bp)+1:]
		if strings.IndexByte(rest, '/') >= 0 {
			continue
		}
		key, _ := unescape(rest)
		_, was := before[key]
		_, is := after[key]
		if !was && !is {
			t.after[ap+"/"+rest] = w
		}
	}
}

func (t *tracer) walkLists(before, after []any, bp, ap string) {
	t.carryOne(bp, ap)
	counterpart, removed := align(before, after)
	for i, item := range after {
		p := joinIndex(ap, i)
		if j := counterpart[i]; j >= 0 {
			t.walk(before[j], item, joinIndex(bp, j), p)
		} else {
			t.changed = true
			if t.by != nil {
				t.after[p] = t.by(p)
			}
		}
	}
	for _, j := range removed {
		t.changed = true
		t.reportBelow(joinIndex(bp, j), ap)
	}
}

// add notes a field that was not there.
func (t *tracer) add(bp, ap string) {
	t.changed = true
	if t.by == nil {
		return
	}
	now := t.by(ap)
	if previous, ok := t.before[bp]; ok {
		t.report(ap, previous, now)
	}
	t.after[ap] = now
}

// overwrite notes a field that has another value or is gone.
func (t *tracer) overwrite(bp, ap string) {
	t.changed = true
	if t.by == nil {
		return
	}
	now := t.by(ap)
	if previous, ok := nearest(t.before, bp); ok {
		t.report(ap, previous, now)
	}
	t.reportBelow(bp, ap)
	t.after[ap] = now
}

func (t *tracer) reportBelow(bp, ap string) {
	if t.by == nil {
		return
	}
	for _, pointer := range slices.Sorted(maps.Keys(t.before)) {
		if within(pointer, bp) {
			t.report(ap, t.before[pointer], t.by(ap))
		}
	}
}

func (t *tracer) report(pointer string, previous, now writer) {
	if previous.policy != now.policy {
		t.overwritten(pointer, previous, now)
	}
}

// carry keeps the writers at and below a field that stayed as it was.
func (t *tracer) carry(bp, ap string) {
	for pointer, w := range t.before {
		if pointer == bp || within(pointer, bp) {
			t.after[ap+pointer[len(bp):]] = w
		}
	}
}

func (t *tracer) carryOne(bp, ap string) {
	if w, ok := t.before[bp]; ok {
		t.after[ap] = w
	}
}

// nearest returns the writer of the nearest field at or above a pointer.
func nearest(writers map[string]writer, pointer string) (writer, bool) {
	for p := pointer; ; {
		if w, ok := writers[p]; ok {
			return w, true
		}
		cut := strings.LastIndexByte(p, '/')
		if cut < 0 {
			return writer{}, false
		}
		p = p[:cut]
	}
}

// align finds for each item of after its counterpart in before (-1: it is new), and the items of
// before that have none. Items with a name go by name, others by their content and then by place.
func align(before, after []any) (counterpart, removed []int) {
	counterpart = make([]int, len(after))
	if len(before) == len(after) && sameNames(before, after) {
		for i := range after {
			counterpart[i] = i
		}
		return counterpart, nil
	}
	waiting := map[string][]int{}
	for j, item := range before {
		id := identity(item)
		waiting[id] = append(waiting[id], j)
	}
	free := make([]bool, len(before))
	for j := range free {
		free[j] = true
	}
	for i, item := range after {
		counterpart[i] = -1
		id := identity(item)
		if queue := waiting[id]; len(queue) > 0 {
			counterpart[i], waiting[id] = queue[0], queue[1:]
			free[queue[0]] = false
		}
	}
	for i := range after {
		if counterpart[i] < 0 && i < len(before) && free[i] && name(before[i]) == "" && name(after[i]) == "" {
			counterpart[i], free[i] = i, false
		}
	}
	for j := range before {
		if free[j] {
			removed = append(removed, j)
		}
	}
	return counterpart, removed
}

func sameNames(before, after []any) bool {
	for i := range before {
		if name(before[i]) != name(after[i]) {
			return false
		}
	}
	return true
}

func name(item any) string {
	m, _ := item.(map[string]any)
	s, _ := m["name"].(string)
	return s
}

func identity(item any) string {
	if n := name(item); n != "" {
		return "name " + n
	}
	return string(canonicalJSON(item))
}

// jsonEqual compares two JSON trees. Numbers are equal when they have the same type and value.
func jsonEqual(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		// Versions of one object share most of their parts.
		if sameMap(x, y) {
			return true
		}
		for key, value := range x {
			other, ok := y[key]
			if !ok || !jsonEqual(value, other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !jsonEqual(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return a == b
}

// sameMap tells that two maps are one.
func sameMap(a, b map[string]any) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// origins drops what only the computation needs.
func origins(writers map[string]writer) map[string]Origin {
	if len(writers) == 0 {
		return nil
	}
	fields := make(map[string]Origin, len(writers))
	for pointer, w := range writers {
		fields[pointer] = w.Origin
	}
	return fields
}

// location is where a rule or an operation stands.
type location struct {
	repository string
	position   v1alpha1.Position
}
