package engine_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

// reconfigured changes a fresh copy of the world's configuration and hands it to the controller.
func (w *world) reconfigured(change func(*engine.Configuration)) {
	w.t.Helper()
	cfg := w.configuration()
	change(&cfg)
	w.controller.engine.Reconfigure(cfg)
}

func TestAClusterComesAndGoesWhileTheEngineRuns(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.reconfigured(func(c *engine.Configuration) { c.Clusters = c.Clusters[:2] })
		w.eventually(time.Minute, func() string {
			if got := w.shares("web"); got["a"]+got["b"] != 9 {
				return fmt.Sprintf("the share of c did not move: %v", got)
			}
			return ""
		})
		w.pass(10 * time.Second)
		w.resetTrace()
		w.pass(time.Minute)
		if n := len(w.fleet.Cluster("c").Requests()); n != 0 {
			t.Errorf("a cluster that is no longer configured got %d requests", n)
		}
		if got := w.shares("web")["c"]; got != 3 {
			t.Errorf("what the cluster held changed to %d replicas", got)
		}
		w.reconfigured(func(*engine.Configuration) {})
		w.eventually(time.Minute, w.settled)
		if got := w.shares("web"); got["a"]+got["b"] != 9 {
			t.Errorf("a cluster that is back took what runs elsewhere: %v", got)
		}
	})
}

// New labels or credentials are no reason to write.
func TestWhatChangesBesideTheWorkWritesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.eventually(2*time.Minute, w.settled)
		w.resetTrace()
		w.reconfigured(func(c *engine.Configuration) {
			c.Clusters[0].Labels = map[string]string{"tier": "gold"}
			c.ClusterCredentials = map[string]string{"b": "2"}
			c.SourceCredentials = map[string]string{"armada-system/repo": "2"}
			c.Config.Health.ProbeInterval = &metav1.Duration{Duration: time.Second}
		})
		w.pass(time.Minute)
		if n := w.writes(); n != 0 {
			t.Errorf("%d requests wrote something", n)
		}
		lists := 0
		for _, r := range w.fleet.Cluster("b").Requests() {
			if r.Verb == "list" {
				lists++
			}
		}
		if lists == 0 {
			t.Error("the cluster with new credentials was not connected anew")
		}
		w.push(map[string]string{})
		w.push(shop())
		w.eventually(time.Minute, w.isColor("a", "blue"))
	})
}

func TestAChangedSourceIsReadAnew(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.reconfigured(func(c *engine.Configuration) { c.Sources[0].Spec.URL = w.dir + "/nowhere" })
		w.eventually(time.Minute, w.logged("source-"))
		if n := w.shares("web"); n["a"] != 3 {
			t.Errorf("a source that cannot be read any more changed the shares to %v", n)
		}
		w.reconfigured(func(*engine.Configuration) {})
		w.eventually(time.Minute, w.logged("level=INFO msg=solved source=armada-system/repo"))
	})
}

func TestARemovedSourceFollowsItsDeletionPolicy(t *testing.T) {
	for _, c := range []struct {
		reason string
		policy v1alpha1.DeletionPolicy
		want   map[string]int32
	}{
		{"Orphan leaves everything", v1alpha1.DeletionOrphan, map[string]int32{"a": 3, "b": 3, "c": 3}},
		{"Prune takes everything along", v1alpha1.DeletionPrune, map[string]int32{}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.everywhere()
				w.reconfigured(func(cfg *engine.Configuration) { cfg.Sources[0].Spec.DeletionPolicy = c.policy })
				w.pass(10 * time.Second)
				w.reconfigured(func(cfg *engine.Configuration) { cfg.Sources = nil })
				w.pass(10 * time.Second)
				w.eventually(time.Minute, w.hasShares("web", c.want))
				w.resetTrace()
				w.pass(time.Minute)
				if n := w.writes(); n != 0 {
					t.Errorf("%d requests wrote something after the source had left", n)
				}
			})
		})
	}
}

// An object that is known and cannot be used is not gone: nothing of it changes hands or goes.
func TestAnUnusableSourceKeepsWhatItHas(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.reconfigured(func(cfg *engine.Configuration) { cfg.Sources[0].Spec.DeletionPolicy = v1alpha1.DeletionPrune })
		w.pass(10 * time.Second)
		w.reconfigured(func(cfg *engine.Configuration) {
			cfg.Sources, cfg.Unusable = nil, []string{"armada-system/repo"}
		})
		w.pass(time.Minute)
		if got := w.shares("web"); got["a"] != 3 || got["b"] != 3 || got["c"] != 3 {
			t.Errorf("the shares changed to %v", got)
		}
	})
}
