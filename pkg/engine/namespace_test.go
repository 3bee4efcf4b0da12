package engine_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// While a namespace takes long to go, since a finalizer keeps something in it, one object asks for all that are to be there,
// and all of them are back soon after its end.
func TestANamespaceThatTakesLongToGoIsFilledAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		c := w.fleet.Cluster("c")
		hold := func(finalizers []any) {
			if err := c.EditAs("someone", configMapKind, "shop", "settings", func(o map[string]any) {
				o["metadata"].(map[string]any)["finalizers"] = finalizers
			}); err != nil {
				w.t.Fatal(err)
			}
		}
		hold([]any{"example.com/wait"})
		client, err := kubernetes.NewForConfig(c.RESTConfig())
		if err != nil {
			w.t.Fatal(err)
		}
		if err := client.CoreV1().Namespaces().Delete(w.t.Context(), "shop", metav1.DeleteOptions{}); err != nil {
			w.t.Fatal(err)
		}
		w.pass(10 * time.Minute)
		w.resetTrace()
		w.pass(time.Minute)
		if n := w.writes(); n > 20 {
			w.t.Errorf("%d writes in a minute while the namespace goes away", n)
		}
		hold(nil)
		w.eventually(8*time.Second, func() string {
			if _, err := client.AppsV1().Deployments("shop").Get(w.t.Context(), "web", metav1.GetOptions{}); err != nil || w.data("c", "settings", "color") != "blue" {
				return fmt.Sprintf("not all is back: %v", err)
			}
			return ""
		})
	})
}
