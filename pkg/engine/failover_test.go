package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/engine"
)

// tolerantPolicy divides web evenly and tolerates the maintenance of a cluster for a minute.
const tolerantPolicy = `
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: web, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
  placement:
    clusterTolerations: [{key: maintenance, operator: Exists, effect: NoExecute, tolerationSeconds: 60}]
    replicaScheduling: {replicaSchedulingType: Divided}
`

// A taint that people write into the configuration says seldom since when it is there. What tolerates it for
// a minute leaves after a minute, counted from when the controller first saw it, also over a restart.
func TestATaintWithoutATimeCountsFromWhenItWasSeen(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(map[string]string{"namespace.yaml": shopNamespace, "web.yaml": web, "policy.yaml": tolerantPolicy})
		w.start()
		w.eventually(time.Minute, w.hasShares("web", map[string]int32{"a": 3, "b": 3, "c": 3}))
		w.halt()
		w.adjust = func(c *engine.Configuration) {
			c.Clusters[0].Spec.Taints = []corev1.Taint{{Key: "maintenance", Effect: corev1.TaintEffectNoExecute}}
		}
		w.start()
		w.pass(40 * time.Second)
		if got := w.shares("web"); got["a"] != 3 {
			t.Fatalf("after 40 of 60 seconds the shares are %v", got)
		}
		w.halt()
		w.start()
		w.pass(15 * time.Second)
		if got := w.shares("web"); got["b"]+got["c"] != 6 {
			t.Fatalf("after 55 of 60 seconds, with a restart in between, the shares are %v", got)
		}
		w.eventually(30*time.Second, func() string {
			if got := w.shares("web"); got["b"]+got["c"] != 9 || got["a"] != 0 {
				return fmt.Sprintf("the share of a did not move: %v", got)
			}
			return ""
		})
		// The taint goes and comes: it is another one, which is tolerated for its own minute.
		w.halt()
		w.adjust = nil
		w.start()
		w.pass(30 * time.Second)
		if strings.Contains(stateOf(t, w), "maintenance") {
			t.Error("the state still knows a taint that is gone")
		}
	})
}

func stateOf(t *testing.T, w *world) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(w.state, engine.StateFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
