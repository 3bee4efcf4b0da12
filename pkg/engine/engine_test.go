package engine_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/armada-sync/armada-sync/pkg/engine"
)

const (
	shopNamespace = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
`
	web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 9
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "example.com/web:1"}]}
`
	settings = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {color: blue}
`
	policies = `
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: web, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
  placement: {replicaScheduling: {replicaSchedulingType: Divided}}
---
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: settings, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]
`
	override = `
apiVersion: armada-sync.io/v1alpha1
kind: OverridePolicy
metadata: {name: b, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]
  overrideRules:
    - targetCluster: {clusterNames: [b]}
      overriders: {plaintext: [{path: /data/color, operator: replace, value: red}]}
`
)

func shop() map[string]string {
	return map[string]string{
		"namespace.yaml": shopNamespace, "web.yaml": web, "settings.yaml": settings,
		"policies.yaml": policies, "override.yaml": override,
	}
}

func (w *world) isColor(cluster, want string) func() string {
	return func() string {
		if got := w.data(cluster, "settings", "color"); got != want {
			return fmt.Sprintf("the color on %s is %q, want %q", cluster, got, want)
		}
		return ""
	}
}

// everywhere starts a controller and waits for the shop on all three clusters.
func (w *world) everywhere() {
	w.t.Helper()
	w.push(shop())
	w.start()
	w.eventually(time.Minute, w.hasShares("web", map[string]int32{"a": 3, "b": 3, "c": 3}))
	w.eventually(time.Minute, w.isColor("a", "blue"))
	w.eventually(time.Minute, w.isColor("b", "red"))
}

func TestAPushReachesEveryCluster(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		files := shop()
		files["settings.yaml"] = strings.ReplaceAll(settings, "blue", "green")
		w.push(files)
		w.eventually(time.Minute, w.isColor("a", "green"))
		w.eventually(time.Minute, w.isColor("b", "red"))
	})
}

// A restart must find everything as it was: no write, and no share moved.
func TestARestartWritesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.pass(time.Minute)
		w.halt()
		w.resetTrace()
		w.start()
		w.eventually(time.Minute, w.settled)
		w.pass(time.Minute)
		if n := w.writes(); n != 0 {
			t.Errorf("%d requests wrote something after a restart", n)
		}
	})
}

// settled tells whether the controller's latest plan left nothing to do.
func (w *world) settled() string {
	select {
	case c := <-w.controller.latest:
		if c.Settled {
			return ""
		}
	default:
	}
	return "the plan is not settled"
}

// At rest the engine neither writes nor lists: one probe each two seconds is all.
func TestNothingHappensAtRest(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.eventually(2*time.Minute, w.settled)
		w.pass(time.Minute)
		w.resetTrace()
		w.pass(time.Minute)
		for _, cluster := range []string{"a", "b", "c"} {
			probes := 0
			for _, r := range w.fleet.Cluster(cluster).Requests() {
				if strings.HasPrefix(r.Path, "/readyz") {
					probes++
				} else if r.Verb != "watch" {
					t.Errorf("%s got %s %s at rest", cluster, r.Verb, r.Path)
				}
			}
			if probes == 0 || probes > 31 {
				t.Errorf("%s was probed %d times in a minute, want about 30", cluster, probes)
			}
		}
	})
}

func TestAHandEditIsPutBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		err := w.fleet.Cluster("c").EditAs("kubectl-edit", configMapKind, "shop", "settings", func(o map[string]any) {
			o["data"] = map[string]any{"color": "pink", "extra": "kept"}
		})
		if err != nil {
			t.Fatal(err)
		}
		w.eventually(2*time.Second, w.isColor("c", "blue"))
		if got := w.data("c", "settings", "extra"); got != "kept" {
			t.Errorf("a field that Git does not set became %q", got)
		}
	})
}

// The story of failover: nothing moves within the toleration, then the share moves, and the cluster
// that returns takes its share again.
func TestALostClustersShareMovesAndReturns(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.pass(6 * time.Minute)
		w.fleet.Cluster("b").Stop()
		w.pass(25 * time.Second)
		if got := w.shares("web"); got["a"]+got["c"] != 6 {
			t.Errorf("within threshold and toleration the shares changed to %v", got)
		}
		w.eventually(20*time.Second, func() string {
			if got := w.shares("web"); got["a"]+got["c"] != 9 {
				return fmt.Sprintf("the share of b did not move: %v", got)
			}
			return ""
		})
		w.eventually(time.Second, w.logged("cluster-not-ready"))
		if err := w.fleet.Cluster("b").Start(); err != nil {
			t.Fatal(err)
		}
		w.eventually(time.Minute, w.hasShares("web", map[string]int32{"a": 3, "b": 3, "c": 3}))
		w.eventually(time.Minute, w.logged("level=INFO msg=solved cluster=b id=cluster-not-ready"))
	})
}

// When the controller's own network fails, every cluster looks lost. Nothing may move.
func TestNothingMovesWhenAllClustersAreAway(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.pass(6 * time.Minute)
		before, color := w.shares("web"), w.data("a", "settings", "color")
		for _, cluster := range []string{"a", "b", "c"} {
			w.fleet.Cluster(cluster).Partition()
		}
		w.eventually(time.Minute, w.logged("failover-veto"))
		w.pass(2 * time.Hour)
		w.resetTrace()
		for _, cluster := range []string{"a", "b", "c"} {
			w.fleet.Cluster(cluster).Heal()
		}
		w.pass(time.Minute)
		if got := w.shares("web"); !maps.Equal(before, got) || w.data("a", "settings", "color") != color {
			t.Errorf("shares were %v and are %v", before, got)
		}
		if n := w.writes(); n != 0 {
			t.Errorf("%d requests wrote something after everything came back", n)
		}
	})
}

// Absence of evidence is no reason to delete: a commit that breaks prunes nothing, wherever it breaks,
// and the rest of it goes on.
func TestABrokenCommitPrunesNothing(t *testing.T) {
	breakages := map[string]struct {
		reason string
		change func(files map[string]string)
		logged string
	}{
		"yaml error": {"the file that held the Deployment does not parse",
			func(f map[string]string) { f["web.yaml"] = "kind: [unclosed" }, "web.yaml"},
		"unknown field": {"an invalid policy counts as absent, and its objects stay",
			func(f map[string]string) {
				f["policies.yaml"] = strings.ReplaceAll(policies, "placement:", "placment:")
			}, "policies.yaml"},
		"policy deleted": {"deleting a policy never deletes objects",
			func(f map[string]string) { delete(f, "policies.yaml") }, "unclaimed"},
		"failing override": {"an override that fails holds the object on that cluster",
			func(f map[string]string) {
				f["override.yaml"] = strings.ReplaceAll(override, "/data/color", "/data/no/such")
			}, "override-failed"},
		"everything gone": {"an empty tree is taken for a mistake",
			func(f map[string]string) { clear(f); f["README.md"] = "nothing here" }, "held"},
	}
	for name, c := range breakages {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.everywhere()
				files := shop()
				c.change(files)
				if len(files) > 1 {
					files["more.yaml"] = strings.ReplaceAll(settings, "name: settings", "name: more")
				}
				w.push(files)
				w.eventually(time.Minute, w.logged(c.logged))
				w.pass(time.Minute)
				if msg := w.hasShares("web", map[string]int32{"a": 3, "b": 3, "c": 3})(); msg != "" {
					t.Errorf("%s: %s", c.reason, msg)
				}
				if w.data("b", "settings", "color") != "red" {
					t.Errorf("%s: the ConfigMap on b is gone or changed", c.reason)
				}
				if name == "yaml error" || name == "failing override" {
					w.eventually(time.Minute, func() string {
						if w.data("a", "more", "color") != "blue" {
							return "the rest of the commit did not go on"
						}
						return ""
					})
				}
				w.push(shop())
				w.eventually(time.Minute, w.logged("msg=solved"))
			})
		})
	}
}

func TestWhatLeavesGitIsPruned(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		files := shop()
		delete(files, "settings.yaml")
		w.push(files)
		w.eventually(time.Minute, func() string {
			for _, cluster := range []string{"a", "b", "c"} {
				if w.data(cluster, "settings", "color") != "" {
					return "settings are still on " + cluster
				}
			}
			return ""
		})
		if msg := w.hasShares("web", map[string]int32{"a": 3, "b": 3, "c": 3})(); msg != "" {
			t.Error(msg)
		}
	})
}

// A state that was lost is rebuilt from what the members hold: shares that the policy would not give
// today stay where they are.
func TestALostStateMovesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.pass(time.Minute)
		w.halt()
		if err := os.Remove(filepath.Join(w.state, engine.StateFile)); err != nil {
			t.Fatal(err)
		}
		w.resetTrace()
		w.start()
		w.eventually(time.Minute, w.settled)
		w.pass(time.Minute)
		if n := w.writes(); n != 0 {
			t.Errorf("%d requests wrote something after the state was lost", n)
		}
	})
}

// A state file that does not read whole stops the controller: to plan on half of it could move
// workloads.
func TestABrokenStateIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, engine.StateFile), []byte("kind: [unclosed"), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := engine.NewFolderStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load(t.Context()); err == nil || !strings.Contains(err.Error(), engine.StateFile) {
		t.Errorf("loading a broken state gave %v, want an error that names the file", err)
	}
}

// One dead cluster costs the others nothing.
func TestADeadClusterDelaysNobody(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.fleet.Cluster("a").Partition()
		files := shop()
		files["settings.yaml"] = strings.ReplaceAll(settings, "blue", "green")
		w.push(files)
		w.eventually(5*time.Second, w.isColor("c", "green"))
		w.fleet.Cluster("a").Heal()
		w.eventually(2*time.Minute, w.isColor("a", "green"))
	})
}

// Another controller that insists is reported, not fought for ever.
func TestAFightIsReported(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		pink := func(o map[string]any) { o["data"] = map[string]any{"color": "pink"} }
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for range 60 {
			if err := w.fleet.Cluster("c").EditAs("stubborn", configMapKind, "shop", "settings", pink); err != nil {
				t.Fatal(err)
			}
			<-tick.C
		}
		w.eventually(time.Second, w.logged("another controller or a webhook wants it otherwise"))
		written := w.fleet.Cluster("c").Count("patch", "configmaps")
		if written > 12 {
			t.Errorf("the object was written %d times in a minute", written)
		}
	})
}

// A cluster that goes away is one problem: that its watches broke a moment before a probe failed is not another.
func TestAnOutageIsOneProblem(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.eventually(2*time.Minute, w.settled)
		w.fleet.Cluster("a").Stop()
		w.pass(15 * time.Second)
		if text := w.log.String(); strings.Contains(text, "id=watch") || !strings.Contains(text, "cluster=a id=cluster-not-ready") {
			t.Errorf("an outage is told as:\n%s", text)
		}
		if err := w.fleet.Cluster("a").Start(); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		if text := w.log.String(); strings.Contains(text, "id=watch") || !strings.Contains(text, "solved cluster=a id=cluster-not-ready") {
			t.Errorf("the end of an outage is told as:\n%s", text)
		}
	})
}
