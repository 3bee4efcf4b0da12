package plan

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// decode reads JSON as unstructured objects do: whole numbers are int64.
func decode(t testing.TB, raw []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := utiljson.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDiffFields(t *testing.T) {
	for _, c := range []struct {
		reason   string
		old, new string
		want     []string
	}{
		{
			reason: "equal",
			old:    `{a: {b: [1, {c: d}]}}`, new: `{a: {b: [1, {c: d}]}}`,
		},
		{
			reason: "a value in an item that has a name",
			old:    `{spec: {containers: [{name: api, image: "a:1"}, {name: log, image: l}]}}`,
			new:    `{spec: {containers: [{name: api, image: "a:2"}, {name: log, image: l}]}}`,
			want:   []string{`spec.containers[name=api].image /spec/containers/0/image "a:1" -> "a:2"`},
		},
		{
			reason: "items come and go",
			old:    `{env: [{name: A, value: "1"}, {name: B, value: "2"}]}`,
			new:    `{env: [{name: C, value: "3"}, {name: A, value: "1"}]}`,
			want: []string{
				`env[name=B] /env {"name":"B","value":"2"} -> `,
				`env[name=C] /env/0  -> {"name":"C","value":"3"}`,
			},
		},
		{
			reason: "a change of order alone is a change",
			old:    `{env: [{name: A}, {name: B}]}`, new: `{env: [{name: B}, {name: A}]}`,
			want: []string{`env[order] /env ["A","B"] -> ["B","A"]`},
		},
		{
			reason: "mounts of one volume are told apart by their path",
			old:    `{volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /b}]}`,
			new:    `{volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /b, readOnly: true}]}`,
			want:   []string{`volumeMounts[mountPath=/b].readOnly /volumeMounts/1/readOnly  -> true`},
		},
		{
			reason: "lists of scalars change as a whole",
			old:    `{args: [a, b]}`, new: `{args: [a, c]}`,
			want: []string{`args /args ["a","b"] -> ["a","c"]`},
		},
		{
			reason: "items without a name go by index",
			old:    `{rules: [{verbs: [get]}, {verbs: [list]}]}`, new: `{rules: [{verbs: [get]}, {verbs: [watch]}, {verbs: [x]}]}`,
			want: []string{`rules[1].verbs /rules/1/verbs ["list"] -> ["watch"]`, `rules[2] /rules/2  -> {"verbs":["x"]}`},
		},
		{
			reason: "names with dots and slashes stand in brackets, pointers are escaped",
			old:    `{metadata: {annotations: {"a.b/c": x}}}`, new: `{metadata: {annotations: {"a.b/c": z}}}`,
			want: []string{`metadata.annotations["a.b/c"] /metadata/annotations/a.b~1c "x" -> "z"`},
		},
		{
			reason: "a subtree that appears is one change",
			old:    `{spec: {}}`, new: `{spec: {a: {b: c}}}`,
			want: []string{`spec.a /spec/a  -> {"b":"c"}`},
		},
		{
			reason: "null is not the same as absent, and a type may change",
			old:    `{a: null, b: "1"}`, new: `{b: 1}`,
			want: []string{`a /a null -> `, `b /b "1" -> 1`},
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			var got []string
			for _, f := range diffFields(parse(t, c.old), parse(t, c.new)) {
				got = append(got, f.path+" "+f.pointer+" "+text(t, f.old)+" -> "+text(t, f.new))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func text(t testing.TB, v any) string {
	t.Helper()
	if v == nil {
		return ""
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// FuzzDiffFields: a diff is empty exactly when the objects are equal, says the same of two objects in
// both directions, and names each path once.
func FuzzDiffFields(f *testing.F) {
	f.Add(`{"a":[{"name":"x","v":1},{"name":"y"}]}`, `{"a":[{"name":"y"},{"name":"x","v":2}]}`)
	f.Add(`{"a":{"b":null},"c":[1,2]}`, `{"a":{},"c":[2,1],"d.e/f":{}}`)
	f.Add(`{"p":[{"port":1},{"port":1.0}]}`, `{"p":[{"port":"1"}]}`)
	f.Add(`{"":{"]":[[{}]]}}`, `{"":{"]":[[[]]]}}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		var old, new map[string]any
		if utiljson.Unmarshal([]byte(a), &old) != nil || utiljson.Unmarshal([]byte(b), &new) != nil || old == nil || new == nil {
			return
		}
		forth, back := diffFields(old, new), diffFields(new, old)
		if equal := reflect.DeepEqual(old, new); equal && len(forth) > 0 {
			t.Fatalf("equal objects differ in %v", forth)
		}
		if len(forth) == 0 && !sameJSON(t, old, new) {
			t.Fatalf("%s and %s differ, and nothing is said of it", a, b)
		}
		if (len(forth) == 0) != (len(back) == 0) {
			t.Fatalf("forth %v, back %v", forth, back)
		}
		seen := map[string]bool{}
		for _, c := range forth {
			if seen[c.path] {
				t.Fatalf("path %q twice", c.path)
			}
			seen[c.path] = true
		}
	})
}

// sameJSON compares without regard to how a number was read.
func sameJSON(t *testing.T, a, b any) bool {
	t.Helper()
	var x, y any
	for v, into := range map[*any]*any{&a: &x, &b: &y} {
		raw, err := json.Marshal(*v)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return reflect.DeepEqual(x, y)
}
