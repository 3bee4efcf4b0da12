package engine_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// history is a folder of which every state that was looked at can be had again, as from a repository. It
// outlives the controllers of a world.
type history struct {
	mu    sync.Mutex
	trees map[string]*source.Tree
}

// at is a history as one source sees it.
type at struct {
	*history
	dir, pinned string
}

func (a at) Resolve(context.Context) (source.Revision, error) {
	if a.pinned != "" {
		return source.ParseRevision(a.pinned)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	files := fstest.MapFS{}
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return source.Revision{}, err
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(a.dir, e.Name()))
		if err != nil {
			return source.Revision{}, err
		}
		files[e.Name()] = &fstest.MapFile{Data: data}
	}
	tree, err := source.FromFS(files, source.Limits{})
	if err != nil {
		return source.Revision{}, err
	}
	a.trees[tree.Revision().Hash] = tree
	return tree.Revision(), nil
}

func (a at) Fetch(_ context.Context, rev source.Revision) (*source.Tree, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.trees[rev.Hash]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %s", source.ErrRefNotFound, rev)
}

func (a at) ResolveRef(_ context.Context, ref string) (source.Revision, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for hash, t := range a.trees {
		if strings.HasPrefix(hash, ref) {
			return t.Revision(), nil
		}
	}
	return source.Revision{}, fmt.Errorf("%w: %q", source.ErrRefNotFound, ref)
}

func (a at) MergeBase(context.Context, string, string) (source.Revision, error) {
	return source.Revision{}, source.ErrNoMergeBase
}

// rollsOut gives the world's source a history and a rollout: cluster a for a minute, then b for another,
// then the rest.
func (w *world) rollsOut() *history {
	h := &history{trees: map[string]*source.Tree{}}
	w.guard = &h.mu
	w.open = func(s v1alpha1.GitSource) (source.Source, error) {
		return at{history: h, dir: s.Spec.URL, pinned: s.Spec.PinnedRevision}, nil
	}
	half := int32(50)
	minute := &metav1.Duration{Duration: time.Minute}
	w.adjust = func(c *engine.Configuration) {
		c.Sources[0].Spec.Rollout = &v1alpha1.Rollout{Steps: []v1alpha1.RolloutStep{
			{ClusterSelector: &v1alpha1.ClusterAffinity{ClusterNames: []string{"a"}}, Soak: minute}, {Percent: &half, Soak: minute},
		}}
	}
	return h
}

// colored is the shop in a color that all clusters share.
func colored(color string) map[string]string {
	files := shop()
	delete(files, "override.yaml")
	files["settings.yaml"] = strings.ReplaceAll(settings, "blue", color)
	return files
}

// colors are the colors of the three clusters.
func (w *world) colors() string {
	return strings.Join([]string{w.data("a", "settings", "color"), w.data("b", "settings", "color"), w.data("c", "settings", "color")}, " ")
}

func (w *world) hasColors(want string) func() string {
	return func() string {
		if got := w.colors(); got != want {
			return fmt.Sprintf("the colors are %q, want %q", got, want)
		}
		return ""
	}
}

// repaint changes the color on one cluster by hand.
func (w *world) repaint(cluster, color string) {
	w.t.Helper()
	err := w.fleet.Cluster(cluster).EditAs("kubectl-edit", configMapKind, "shop", "settings", func(o map[string]any) {
		o["data"] = map[string]any{"color": color}
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// stays checks again and again that something is so.
func (w *world) stays(d time.Duration, condition func() string) {
	w.t.Helper()
	for range d / time.Second {
		w.pass(time.Second)
		if wrong := condition(); wrong != "" {
			w.t.Fatalf("it did not stay so: %s\nlog:\n%s", wrong, w.log)
		}
	}
}

// rolledOut has the first state of the shop everywhere.
func (w *world) rolledOut() *history {
	w.t.Helper()
	h := w.rollsOut()
	w.push(colored("blue"))
	w.start()
	w.eventually(10*time.Minute, w.hasColors("blue blue blue"))
	w.eventually(time.Minute, w.logged("msg=applied"))
	w.pass(5 * time.Second)
	return h
}

func TestACommitSpreadsStepByStepAndSurvivesARestart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.rolledOut()
		w.push(colored("green"))
		w.eventually(time.Minute, w.hasColors("green blue blue"))
		w.stays(30*time.Second, w.hasColors("green blue blue"))
		w.halt()
		w.resetTrace()
		w.start()
		w.stays(20*time.Second, w.hasColors("green blue blue"))
		if n := w.writes(); n != 0 {
			t.Errorf("%d requests wrote something after the restart", n)
		}
		w.eventually(time.Minute, w.hasColors("green green blue"))
		w.stays(50*time.Second, w.hasColors("green green blue"))
		w.eventually(time.Minute, w.hasColors("green green green"))
	})
}

// Drift and failover pass by: what the commit has not reached is kept as it was.
func TestDriftAndFailoverPassARolloutBy(t *testing.T) {
	inWorld(t, func(w *world) {
		w.rolledOut()
		files := colored("green")
		files["web.yaml"] = strings.ReplaceAll(files["web.yaml"], "replicas: 9", "replicas: 12")
		w.push(files)
		w.eventually(time.Minute, w.hasShares("web", map[string]int32{"a": 4, "b": 3, "c": 3}))
		w.halt()
		w.start()
		w.pass(10 * time.Second)
		w.repaint("c", "pink")
		w.eventually(10*time.Second, w.hasColors("green blue blue"))
		w.fleet.Cluster("b").Partition()
		defer w.fleet.Cluster("b").Heal()
		w.eventually(2*time.Minute, func() string {
			if got := w.shares("web"); got["c"] < 4 {
				return fmt.Sprintf("the share of b did not move: %v", got)
			}
			return ""
		})
	})
}

func TestAnUnhealthyStepStopsTheRollout(t *testing.T) {
	inWorld(t, func(w *world) {
		w.rolledOut()
		files := colored("green")
		files["web.yaml"] = strings.ReplaceAll(web, "labels: {app: web}}\n", "labels: {app: web}, annotations: {"+simfleet.BehaviourAnnotation+": crash}}\n")
		w.push(files)
		w.eventually(15*time.Minute, w.logged("rollout-stopped"))
		w.stays(5*time.Minute, w.hasColors("green blue blue"))
		// A fix begins at the first step.
		files["web.yaml"] = web
		files["settings.yaml"] = strings.ReplaceAll(settings, "blue", "white")
		w.push(files)
		w.eventually(time.Minute, w.hasColors("white blue blue"))
		w.eventually(5*time.Minute, w.hasColors("white white white"))
	})
}

// Where the old revision cannot be had any more, what is held of it stays, and the log says so.
func TestARevisionThatIsGoneIsKeptAsItStands(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.rolledOut()
		w.push(colored("green"))
		w.eventually(time.Minute, w.hasColors("green blue blue"))
		w.halt()
		clear(h.trees)
		w.start()
		w.eventually(time.Minute, w.logged("source-earlier-revision"))
		w.stays(20*time.Second, w.hasColors("green blue blue"))
		w.eventually(5*time.Minute, w.hasColors("green green green"))
		w.eventually(time.Minute, w.logged("msg=solved source=armada-system/repo at=dir"))
	})
}

// A suspended source is kept as it is, also after a restart.
func TestASuspendedSourceIsKept(t *testing.T) {
	inWorld(t, func(w *world) {
		w.rolledOut()
		before := w.adjust
		w.adjust = func(c *engine.Configuration) { before(c); c.Sources[0].Spec.Suspend = true }
		w.halt()
		w.push(colored("green"))
		w.start()
		w.stays(30*time.Second, w.hasColors("blue blue blue"))
		w.repaint("b", "pink")
		w.eventually(10*time.Second, w.hasColors("blue blue blue"))
	})
}

// A source that is taken out of the configuration while nothing runs follows its deletion policy with the
// next start, and is done with what a cluster owes that cannot be reached when that is back.
func TestASourceThatIsTakenOutBetweenTwoRunsIsRemembered(t *testing.T) {
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
				w.adjust = func(cfg *engine.Configuration) { cfg.Sources[0].Spec.DeletionPolicy = c.policy }
				w.everywhere()
				w.pass(5 * time.Second)
				w.halt()
				w.fleet.Cluster("b").Partition()
				w.adjust = func(cfg *engine.Configuration) { cfg.Sources = nil }
				w.start()
				w.pass(time.Minute)
				w.halt()
				w.fleet.Cluster("b").Heal()
				w.start()
				w.pass(time.Minute)
				w.eventually(time.Minute, w.hasShares("web", c.want))
			})
		})
	}
}

func TestARollbackGoesEverywhereAtOnceAndStaysUntilItIsResumed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.rolledOut()
		w.push(colored("green"))
		w.eventually(10*time.Minute, w.hasColors("green green green"))
		w.pass(10 * time.Second)
		w.push(colored("black"))
		w.eventually(time.Minute, w.hasColors("black green green"))
		w.resetTrace()
		if done, err := w.controller.engine.Rollback(w.t.Context(), "repo", ""); err != nil || done.Before == done.After {
			t.Fatalf("Rollback of a commit that has not arrived = %+v, %v", done, err)
		}
		w.eventually(10*time.Second, w.hasColors("green green green"))
		for _, cluster := range []string{"b", "c"} {
			for _, r := range w.fleet.Cluster(cluster).Requests() {
				if r.Write() {
					t.Errorf("the commit went on to %s when it was rolled back: %s %s", cluster, r.Verb, r.Path)
				}
			}
		}
		if _, err := w.controller.engine.Resume(w.t.Context(), "repo"); err != nil {
			t.Fatal(err)
		}
		w.push(colored("green"))
		w.eventually(time.Minute, w.hasColors("green green green"))
		w.pass(10 * time.Second)
		done, err := w.controller.engine.Rollback(w.t.Context(), "repo", "")
		if err != nil || !done.Changed || done.Before == done.After {
			t.Fatalf("Rollback = %+v, %v", done, err)
		}
		w.eventually(10*time.Second, w.hasColors("blue blue blue"))
		w.push(colored("white"))
		w.stays(30*time.Second, w.hasColors("blue blue blue"))
		w.halt()
		w.start()
		w.stays(30*time.Second, w.hasColors("blue blue blue"))
		if _, err := w.controller.engine.Rollback(w.t.Context(), "repo", ""); err == nil || !strings.Contains(err.Error(), "is pinned to") {
			t.Errorf("a second rollback without a commit: %v", err)
		}
		if done, err := w.controller.engine.Resume(w.t.Context(), "repo"); err != nil || !done.Changed {
			t.Fatalf("Resume = %+v, %v", done, err)
		}
		w.eventually(time.Minute, w.hasColors("white blue blue"))
		w.eventually(10*time.Minute, w.hasColors("white white white"))
		hash := strings.TrimPrefix(done.After, "dir@sha256:")
		if done, err := w.controller.engine.Rollback(w.t.Context(), "repo", hash[:8]); err != nil || !strings.HasSuffix(done.After, hash) {
			t.Errorf("by a short id: %+v, %v", done, err)
		}
		for _, c := range []struct{ source, to, want string }{
			{"shop", "", "there is no such source; there are armada-system/repo"},
			{"repo", "0000", "the repository has no commit"},
		} {
			if _, err := w.controller.engine.Rollback(w.t.Context(), c.source, c.to); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("rollback %s --to %q: %v, want %q", c.source, c.to, err, c.want)
			}
		}
	})
}

// What a source leaves behind is like any other object: neither kubectl nor another tool finds anything of ours.
func TestAnOrphanHasNothingOfOursLeft(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		w.pass(5 * time.Second)
		w.fleet.Cluster("c").Partition()
		w.pass(15 * time.Second)
		w.reconfigured(func(cfg *engine.Configuration) { cfg.Sources = nil })
		w.eventually(time.Minute, w.released("a"))
		w.eventually(time.Minute, w.released("b"))
		// A cluster that is away owes it until it is back, whatever becomes of the controller.
		w.halt()
		w.adjust = func(cfg *engine.Configuration) { cfg.Sources = nil }
		w.start()
		w.pass(5 * time.Second)
		w.fleet.Cluster("c").Heal()
		w.eventually(time.Minute, w.released("c"))
		if got := w.shares("web"); got["a"] != 3 || got["b"] != 3 || got["c"] == 0 {
			t.Errorf("the shares changed to %v", got)
		}
		w.resetTrace()
		w.pass(time.Minute)
		if n := w.writes(); n != 0 {
			t.Errorf("%d requests wrote something after everything was let go of", n)
		}
	})
}

// released says what of ours is left on a cluster.
func (w *world) released(cluster string) func() string {
	return func() string {
		for _, o := range []metav1.Object{get[*appsv1.Deployment](w, cluster, deploymentKind, "web"), get[*corev1.ConfigMap](w, cluster, configMapKind, "settings")} {
			if o.GetLabels()[v1alpha1.LabelPartOf] != "" {
				return fmt.Sprintf("%s on %s has our label", o.GetName(), cluster)
			}
			for key := range o.GetAnnotations() {
				if strings.HasPrefix(key, v1alpha1.Group) {
					return fmt.Sprintf("%s on %s has our annotation %s", o.GetName(), cluster, key)
				}
			}
			for _, m := range o.GetManagedFields() {
				if strings.HasPrefix(m.Manager, "armada-sync") {
					return fmt.Sprintf("%s on %s has fields of %s", o.GetName(), cluster, m.Manager)
				}
			}
		}
		if sets := w.fleet.Cluster(cluster).List(schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, "armada-system"); len(sets) > 0 {
			return fmt.Sprintf("%d ApplySets are left on %s", len(sets), cluster)
		}
		return ""
	}
}
