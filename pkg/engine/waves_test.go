package engine_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/engine"
)

const afterwards = `
apiVersion: v1
kind: ConfigMap
metadata: {name: afterwards, namespace: shop, annotations: {armada-sync.io/wave: "1"}}
data: {a: "1", color: blue}
`

// hanging is web with one replica for each cluster, none of which becomes ready.
func hanging() string {
	return strings.NewReplacer("namespace: shop}", "namespace: shop, annotations: {simfleet.armada-sync.io/behaviour: hang}}", "replicas: 9", "replicas: 3").Replace(web)
}

// waves is the shop with something in a later wave.
func waves(changed map[string]string) map[string]string {
	files := shop()
	files["afterwards.yaml"] = afterwards
	maps.Copy(files, changed)
	return files
}

func (w *world) hasAfterwards() string {
	if w.data("a", "afterwards", "a") == "" {
		return "wave 1 is not there"
	}
	return ""
}

// What cannot be applied keeps the later waves of its source back for as long as it cannot, not only until it is
// tried again, and is reported at once.
func TestAFailureKeepsLaterWavesBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.push(waves(map[string]string{"web.yaml": strings.ReplaceAll(web, "app: web", "app: other")}))
		w.eventually(10*time.Second, w.logged("id=apply-stalled"))
		w.eventually(10*time.Second, w.logged("waits in wave 1 for Deployment shop/web"))
		for range 10 {
			w.pass(30 * time.Second)
			if got := w.data("a", "afterwards", "a"); got != "" {
				t.Fatalf("wave 1 went out with wave 0 refused:\n%s", w.log)
			}
		}
		w.push(waves(nil))
		w.eventually(10*time.Second, w.hasAfterwards)
	})
}

// Who pushes a fix for what a wave waits for need not wait for the end of that waiting.
func TestACommitEndsAWait(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(waves(map[string]string{"web.yaml": hanging()}))
		w.start()
		w.eventually(10*time.Second, w.hasShares("web", map[string]int32{"a": 1, "b": 1, "c": 1}))
		w.pass(5 * time.Second)
		w.push(waves(map[string]string{"settings.yaml": strings.ReplaceAll(settings, "blue", "green")}))
		w.eventually(5*time.Second, w.isColor("a", "green"))
		w.eventually(10*time.Second, w.hasAfterwards)
	})
}

// However long a wave has waited, it starts as soon as the one before it is well.
func TestALongWaitEndsAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.edit("somebody", deploymentKind, "web", setField("hang", "metadata", "annotations", "simfleet.armada-sync.io/behaviour"))
		w.push(waves(map[string]string{"web.yaml": strings.ReplaceAll(web, "web:1", "web:2")}))
		for i := range 10 {
			w.pass(55*time.Second + time.Duration(i)*time.Second)
			if got := w.data("c", "afterwards", "a"); got != "" {
				t.Fatalf("wave 1 went out with wave 0 not well:\n%s", w.log)
			}
		}
		w.edit("somebody", deploymentKind, "web", func(o map[string]any) {
			unstructured.RemoveNestedField(o, "metadata", "annotations", "simfleet.armada-sync.io/behaviour")
		})
		w.eventually(5*time.Second, func() string {
			if w.data("c", "afterwards", "a") == "" {
				return "wave 1 is not there"
			}
			return ""
		})
	})
}

// A source does not wait for the waves of another.
func TestWavesAreOfOneSource(t *testing.T) {
	inWorld(t, func(w *world) {
		other := t.TempDir()
		if err := os.WriteFile(filepath.Join(other, "web.yaml"), []byte(strings.ReplaceAll(hanging(), "name: web,", "name: other,")), 0o600); err != nil {
			t.Fatal(err)
		}
		w.adjust = func(cfg *engine.Configuration) {
			src := *cfg.Sources[0].DeepCopy()
			src.Name, src.Spec.URL = "other", other
			cfg.Sources[0].Spec.PoliciesFor = []string{"other"}
			cfg.Sources = append(cfg.Sources, src)
		}
		w.push(waves(nil))
		w.start()
		w.eventually(10*time.Second, w.hasShares("other", map[string]int32{"a": 1, "b": 1, "c": 1}))
		w.eventually(10*time.Second, w.hasAfterwards)
	})
}

// What someone else changed is put back although something before it is not well.
func TestDriftWaitsForNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		files := waves(nil)
		files["depends.yaml"] = strings.NewReplacer("name: afterwards", "name: dependent", `armada-sync.io/wave: "1"`, "config.kubernetes.io/depends-on: apps/namespaces/shop/Deployment/web").Replace(afterwards)
		w.push(files)
		w.start()
		w.eventually(10*time.Second, w.hasAfterwards)
		w.eventually(10*time.Second, func() string { return map[bool]string{true: "no dependent"}[w.data("c", "dependent", "a") == ""] })
		files["web.yaml"] = hanging()
		w.push(files)
		w.pass(10 * time.Second)
		for _, name := range []string{"afterwards", "dependent"} {
			w.edit("stubborn", configMapKind, name, func(o map[string]any) { o["data"] = map[string]any{"a": "2", "color": "blue"} })
			w.eventually(time.Second, func() string {
				if got := w.data("c", name, "a"); got != "1" {
					return name + " says " + got
				}
				return ""
			})
		}
	})
}
