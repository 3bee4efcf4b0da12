package render

import (
	"bytes"
	"encoding/json"
	"testing"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// FuzzCanonicalJSON compares with encoding/json, which sorts keys too.
func FuzzCanonicalJSON(f *testing.F) {
	f.Add([]byte(`{"b":[1,2.5,1e30,-0,null,true,"<\u2028é\u0000\"\\"],"a":{}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var tree map[string]any
		if utiljson.Unmarshal(raw, &tree) != nil || tree == nil {
			return
		}
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(tree); err != nil {
			t.Fatal(err)
		}
		if got := canonicalJSON(tree); string(got)+"\n" != want.String() {
			t.Fatalf("got %s, want %s", got, want.String())
		}
	})
}
