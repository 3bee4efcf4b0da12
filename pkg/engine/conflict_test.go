package engine_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	theirs = `
apiVersion: v1
kind: ConfigMap
metadata: {name: theirs, namespace: shop}
data: {color: ours}
`
	takeOver = `
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: theirs, namespace: shop}
spec:
  conflictResolution: Overwrite
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap, name: theirs}]
`
)

// An object of someone else is reported as long as Git asks for it, and a commit that resolves the
// conflict is carried out at once, not when the back-off of the last attempt is over.
func TestAConflictEndsWithItsCause(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		client, err := kubernetes.NewForConfig(w.fleet.Cluster("c").RESTConfig())
		if err != nil {
			t.Fatal(err)
		}
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}, Data: map[string]string{"color": "theirs"}}
		if _, err := client.CoreV1().ConfigMaps("shop").Create(w.t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		solved := func() string {
			for line := range strings.Lines(w.log.String()) {
				if strings.Contains(line, "msg=solved") && strings.Contains(line, "ConfigMap shop/theirs") {
					return ""
				}
			}
			return "the conflict is not solved"
		}
		files := shop()
		files["theirs.yaml"] = theirs
		w.push(files)
		w.eventually(10*time.Second, w.logged("exists and is not ours"))
		w.push(shop())
		w.eventually(10*time.Second, solved)

		w.push(files)
		w.pass(time.Minute)
		files["takeover.yaml"] = takeOver
		w.push(files)
		w.eventually(3*time.Second, func() string {
			if got := w.data("c", "theirs", "color"); got != "ours" {
				return "the object is " + got
			}
			return ""
		})
	})
}
