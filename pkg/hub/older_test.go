package hub_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// A hub whose definitions are of an older release: what they do not know is left out, condition and event say
// so, and everything goes on.
func TestDefinitionsOfAnOlderRelease(t *testing.T) {
	inWorld(t, func(w *world) {
		name := "placements.armada-sync.io"
		crd, err := w.on("CustomResourceDefinition", "").Get(w.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
		for _, field := range [][]string{{"spec", "properties", "inputs"}, {"status", "properties", "summary"}} {
			unstructured.RemoveNestedField(versions[0].(map[string]any), append([]string{"schema", "openAPIV3Schema", "properties"}, field...)...)
		}
		if err := unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.on("CustomResourceDefinition", "").Update(w.t.Context(), crd, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		r := w.placed()
		w.push(shop(10))
		w.eventually(time.Minute, w.hasShares(map[string]int32{"a": 5, "b": 5}))
		w.eventually(time.Minute, func() string {
			if p := w.web(); len(p.Spec.Clusters) != 2 || condition(p.Status.Conditions, "Ready", "True") != "" {
				return fmt.Sprintf("the Placement is %+v", p)
			}
			s := read[v1alpha1.GitSource](w, "GitSource", "armada-system", "shop")
			events, err := w.on("Event", "armada-system").List(w.t.Context(), metav1.ListOptions{})
			ready := meta.FindStatusCondition(s.Status.Conditions, "Ready")
			if err != nil || ready == nil {
				return fmt.Sprintf("%v, %+v", err, s.Status)
			}
			told := fmt.Sprint(events.Items)
			for _, word := range []string{"placements.armada-sync.io lacks spec.inputs", "armada-sync init"} {
				if !strings.Contains(ready.Message, word) || !strings.Contains(told, word) {
					return fmt.Sprintf("%q is not in the condition %q or not in the events", word, ready.Message)
				}
			}
			return ""
		})
		w.halt(r)
	})
}
