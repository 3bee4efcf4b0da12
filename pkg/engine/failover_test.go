package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
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

// On a hub the time of a taint is in the status of its Cluster: it is read from there as long as the taint is the
// same one and says none itself.
func TestRecordedTaintsTellTimes(t *testing.T) {
	early, late := metav1.NewTime(time.Unix(100, 0)), metav1.NewTime(time.Unix(200, 0))
	taint := func(key, value string, at *metav1.Time) corev1.Taint {
		return corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffectNoExecute, TimeAdded: at}
	}
	health := taint(v1alpha1.TaintUnreachable, "", &late)
	cases := map[string]struct {
		reason                string
		given, recorded, want []corev1.Taint
	}{
		"no time":       {"the recorded one counts", []corev1.Taint{taint("k", "", nil)}, []corev1.Taint{taint("k", "", &early)}, []corev1.Taint{taint("k", "", &early)}},
		"its own time":  {"what people say counts", []corev1.Taint{taint("k", "", &late)}, []corev1.Taint{taint("k", "", &early)}, []corev1.Taint{taint("k", "", &late)}},
		"another value": {"it is another taint", []corev1.Taint{taint("k", "b", nil)}, []corev1.Taint{taint("k", "a", &early)}, []corev1.Taint{taint("k", "b", nil)}},
		"gone":          {"what people took away does not come back", nil, []corev1.Taint{taint("k", "", &early)}, nil},
		"health":        {"those of the health are only recorded", nil, []corev1.Taint{health}, []corev1.Taint{health}},
		"health by hand": {"nobody gives a cluster those", []corev1.Taint{taint(v1alpha1.TaintUnreachable, "", &early)},
			[]corev1.Taint{health}, []corev1.Taint{health}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, engine.WithRecordedTaints(c.given, c.recorded), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", c.reason, diff)
			}
			for _, r := range c.recorded {
				worth := r.Key == v1alpha1.TaintUnreachable || name == "no time"
				if engine.WorthRecording(r, c.given) != worth {
					t.Errorf("%s: it is worth recording: %t, want %t", c.reason, !worth, worth)
				}
			}
		})
	}
}
