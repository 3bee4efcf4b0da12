package plan

import (
	"testing"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
	"sigs.k8s.io/yaml"
)

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		reason   string
		manifest string
		owned    string
		want     bool
	}{
		{
			reason:   "every leaf is ours",
			manifest: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: b, labels: {x: "1"}}, data: {k: v}}`,
			owned:    `{"f:metadata":{"f:labels":{"f:x":{}}},"f:data":{"f:k":{}}}`,
			want:     true,
		},
		{
			reason:   "a leaf that someone else took over",
			manifest: `{data: {k: v, l: w}}`,
			owned:    `{"f:data":{"f:k":{}}}`,
		},
		{
			reason:   "what we own beyond the manifest is of no interest",
			manifest: `{data: {k: v}}`,
			owned:    `{"f:metadata":{"f:annotations":{"f:armada-sync.io/digest":{}}},"f:data":{"f:k":{},"f:l":{}}}`,
			want:     true,
		},
		{
			reason:   "items are named by their key",
			manifest: `{spec: {containers: [{name: a, image: x}, {name: b, image: y}]}}`,
			owned: `{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},"f:image":{}},
				"k:{\"name\":\"b\"}":{".":{},"f:name":{},"f:image":{}}}}}`,
			want: true,
		},
		{
			reason:   "an item that is not ours any more",
			manifest: `{spec: {containers: [{name: a, image: x}, {name: b, image: y}]}}`,
			owned:    `{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},"f:image":{}}}}}`,
		},
		{
			reason:   "a field of an item that is not ours any more",
			manifest: `{spec: {containers: [{name: a, image: x}]}}`,
			owned:    `{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}}}}}`,
		},
		{
			reason:   "a key may hold a default that the manifest leaves out",
			manifest: `{spec: {ports: [{port: 80, targetPort: 8080}, {port: 443}]}}`,
			owned: `{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:targetPort":{}},
				"k:{\"port\":443,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}}`,
			want: true,
		},
		{
			reason:   "a port of another protocol is another item",
			manifest: `{spec: {ports: [{port: 53, protocol: UDP}]}}`,
			owned:    `{"f:spec":{"f:ports":{"k:{\"port\":53,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}}`,
		},
		{
			reason:   "sets of scalars are named by their values",
			manifest: `{metadata: {finalizers: [a, b]}}`,
			owned:    `{"f:metadata":{"f:finalizers":{".":{},"v:\"a\"":{},"v:\"b\"":{}}}}`,
			want:     true,
		},
		{
			reason:   "a value that left the set",
			manifest: `{metadata: {finalizers: [a, b]}}`,
			owned:    `{"f:metadata":{"f:finalizers":{".":{},"v:\"a\"":{}}}}`,
		},
		{
			reason:   "atomic lists and maps are owned as a whole",
			manifest: `{spec: {args: [a, b], selector: {matchLabels: {a: b}}}}`,
			owned:    `{"f:spec":{"f:args":{},"f:selector":{}}}`,
			want:     true,
		},
		{
			reason:   "null and empty leaves are don't-care",
			manifest: `{metadata: {creationTimestamp: null}, spec: {a: null, b: {}, c: [], d: {e: null}}, data: {k: v}}`,
			owned:    `{"f:data":{"f:k":{}}}`,
			want:     true,
		},
		{
			reason:   "an empty string is a value",
			manifest: `{data: {k: ""}}`,
			owned:    `{"f:data":{}}`,
			want:     true,
		},
		{
			reason:   "an empty string that someone else wrote over",
			manifest: `{data: {k: "", l: x}}`,
			owned:    `{"f:data":{"f:l":{}}}`,
		},
		{
			reason:   "a document that does not parse covers nothing",
			manifest: `{data: {k: v}}`,
			owned:    `{"f:data"`,
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			if got := covers(c.owned, parse(t, c.manifest)); got != c.want {
				t.Errorf("covers(%s, %s) = %v, want %v", c.owned, c.manifest, got, c.want)
			}
		})
	}
}

func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, raw)
}

// FuzzCovers: no document makes it fail, and the fields of a manifest without lists cover it.
func FuzzCovers(f *testing.F) {
	f.Add(`{"data":{"a":"b","c":{}},"spec":{"x":null}}`, `{"f:data":{"f:a":{}}}`)
	f.Add(`{"spec":{"ports":[{"port":80},[],null,"x"]}}`, `{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{},"v:1":{},"i:0":{}}}}`)
	f.Fuzz(func(t *testing.T, manifest, owned string) {
		var m map[string]any
		if utiljson.Unmarshal([]byte(manifest), &m) != nil || m == nil {
			return
		}
		covers(owned, m)
		if hasList(m) {
			return
		}
		raw, err := fieldpath.SetFromValue(value.NewValueInterface(m)).ToJSON()
		if err != nil {
			t.Fatal(err)
		}
		if !covers(string(raw), m) {
			t.Fatalf("%s does not cover %s", raw, manifest)
		}
	})
}

func hasList(v any) bool {
	switch v := v.(type) {
	case []any:
		return true
	case map[string]any:
		for _, child := range v {
			if hasList(child) {
				return true
			}
		}
	}
	return false
}
