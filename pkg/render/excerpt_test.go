package render

import (
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestExcerptsPatchLikeWholeObjects compares the fast way with the plain one: the patch library on the
// whole object.
func TestExcerptsPatchLikeWholeObjects(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var draw func(depth int) any
		draw = func(depth int) any {
			kinds := []string{"number", "text", "null", "map", "list"}
			if depth == 0 {
				kinds = kinds[:3]
			}
			switch rapid.SampledFrom(kinds).Draw(rt, "kind") {
			case "number":
				return rapid.Int64Range(0, 3).Draw(rt, "number")
			case "text":
				return rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "text")
			case "null":
				return nil
			case "list":
				list := []any{}
				for range rapid.IntRange(0, 3).Draw(rt, "items") {
					list = append(list, draw(depth-1))
				}
				return list
			}
			m := map[string]any{}
			for _, key := range []string{"a", "b", "0"} {
				if rapid.Bool().Draw(rt, "has "+key) {
					m[key] = draw(depth - 1)
				}
			}
			return m
		}
		object := map[string]any{"a": draw(4), "b": draw(3)}
		token := rapid.SampledFrom([]string{"a", "b", "0", "1", "-", "c"})
		pointer := func(label string) string {
			return encodePointer(append([]string{rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, label)},
				rapid.SliceOfN(token, 0, 3).Draw(rt, label)...))
		}
		var operations []*patchOperation
		var patch jsonpatch.Patch
		for range rapid.IntRange(1, 5).Draw(rt, "operations") {
			spec := v1alpha1.JSONPatchOperation{
				Op: rapid.SampledFrom([]v1alpha1.OverriderOperator{
					v1alpha1.OperatorAdd, v1alpha1.OperatorRemove, v1alpha1.OperatorReplace,
					v1alpha1.OperatorCopy, v1alpha1.OperatorMove, v1alpha1.OperatorTest,
				}).Draw(rt, "op"),
				Path: pointer("path"),
			}
			switch spec.Op {
			case v1alpha1.OperatorCopy, v1alpha1.OperatorMove:
				spec.From = pointer("from")
			case v1alpha1.OperatorRemove:
			default:
				spec.Value = &apiextensionsv1.JSON{Raw: canonicalJSON(draw(2))}
			}
			o, err := compileOperation(spec)
			if err != nil {
				rt.Fatal(err)
			}
			operations = append(operations, &o)
			patch = append(patch, o.compiled)
		}
		before := runtime.DeepCopyJSON(object)
		want, wantError := applyPatch(object, patch)
		got, gotError := applyToExcerpt(object, operations)
		if (wantError == nil) != (gotError == nil) {
			rt.Fatalf("errors %v and %v", wantError, gotError)
		}
		if diff := cmp.Diff(want, got); wantError == nil && diff != "" {
			rt.Fatalf("the excerpt gives something else (-whole +excerpt):\n%s", diff)
		}
		if diff := cmp.Diff(before, object); diff != "" {
			rt.Fatalf("the object was changed:\n%s", diff)
		}
	})
}
