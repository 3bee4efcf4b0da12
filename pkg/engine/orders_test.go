package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

func TestOrdersAreReadBackAsTheyWereKept(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	added := metav1.NewTime(at)
	web := v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	for _, c := range []struct {
		reason string
		orders engine.Orders
	}{
		{"none", engine.Orders{}},
		{"all of them", engine.Orders{
			Pins:          map[string]engine.Pin{"armada-system/shop": {Revision: strings.Repeat("a", 40), Since: at}},
			Taints:        map[string][]corev1.Taint{"eu-1": {{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule, TimeAdded: &added}}},
			Rebalance:     map[v1alpha1.ObjectKey]engine.Rebalance{web.Key(): {Workload: web, At: at}},
			FailoverPause: &engine.Pause{Until: at, Reason: "the provider works on it"},
		}},
		{"withdrawn", engine.Orders{}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			dir := t.TempDir()
			store := folderStore(t, dir)
			if _, err := store.Save(t.Context(), engine.State{Orders: engine.Orders{FailoverPause: &engine.Pause{Until: at}}}); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Save(t.Context(), engine.State{Orders: c.orders}); err != nil {
				t.Fatal(err)
			}
			got, err := folderStore(t, dir).Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.orders, got.Orders); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

func folderStore(t *testing.T, dir string) *engine.FolderStore {
	t.Helper()
	store, err := engine.NewFolderStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// To run on half of what was asked could move what somebody pinned.
func TestOrdersThatCannotBeReadEndTheStart(t *testing.T) {
	for _, c := range []struct{ reason, file, want string }{
		{"an unknown field", "apiVersion: armada-sync.io/v1alpha1\nkind: Orders\nspec: {pinned: []}\n", `pinned`},
		{"a wrong value", "apiVersion: armada-sync.io/v1alpha1\nkind: Orders\nspec: {pins: [{source: shop, revision: main}]}\n", "not a full commit id"},
		{"another kind", "apiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: a}\n", "want one document of kind Orders"},
		{"two documents", strings.Repeat("---\napiVersion: armada-sync.io/v1alpha1\nkind: Orders\n", 2), "want one document of kind Orders"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			dir := t.TempDir()
			store := folderStore(t, dir)
			if err := os.WriteFile(filepath.Join(dir, engine.OrdersFile), []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Load(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAnOrderChangesThePlanAndSurvivesARestart(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		now := time.Now()
		taint := corev1.Taint{Key: "maintenance", Effect: corev1.TaintEffectNoExecute}
		pause := &engine.Pause{Until: now.Add(time.Hour), Reason: "a drill"}
		w.ordered(func(o *engine.Orders) error {
			o.Taints = map[string][]corev1.Taint{"b": {taint}}
			return nil
		})
		w.eventually(time.Minute, w.gone("web", "b"))
		w.ordered(func(o *engine.Orders) error { o.FailoverPause = pause; return nil })
		w.eventually(time.Minute, w.logged("failover is paused until"))
		w.halt()
		w.start()
		w.pass(time.Minute)
		if got := w.shares("web"); got["b"] != 0 {
			t.Errorf("after a restart the taint is forgotten: %v", got)
		}
		got, err := w.controller.engine.Orders(w.t.Context())
		if err != nil || len(got.Taints["b"]) != 1 || got.FailoverPause == nil || got.FailoverPause.Reason != "a drill" {
			t.Errorf("the orders are %+v, %v", got, err)
		}
		w.ordered(func(o *engine.Orders) error { *o = engine.Orders{}; return nil })
		w.eventually(time.Minute, func() string {
			if c, news := w.cycle(); !news || len(c.Snapshot.Clusters[1].Spec.Taints) > 0 || c.Snapshot.Config.Failover.PausedUntil != nil {
				return "the orders are still in force"
			}
			return ""
		})
	})
}

func TestAnOrderThatIsRefusedChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		refusal := errors.New("there is no such cluster")
		err := w.controller.engine.Change(w.t.Context(), func(o *engine.Orders) error {
			o.FailoverPause = &engine.Pause{Until: time.Now().Add(time.Hour)}
			return refusal
		})
		if !errors.Is(err, refusal) {
			t.Errorf("got %v", err)
		}
		if got, err := w.controller.engine.Orders(w.t.Context()); err != nil || got.FailoverPause != nil {
			t.Errorf("the orders are %+v, %v", got, err)
		}
		e := w.controller.engine
		w.halt()
		if err := e.Change(w.t.Context(), func(*engine.Orders) error { return nil }); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// A rebalance is asked for once, and is done with once the workload was divided anew.
func TestARebalanceIsFulfilledOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		web := v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
		w.ordered(func(o *engine.Orders) error {
			o.Rebalance = map[v1alpha1.ObjectKey]engine.Rebalance{web.Key(): {Workload: web, At: time.Now()}}
			return nil
		})
		w.eventually(time.Minute, func() string {
			if got, err := w.controller.engine.Orders(w.t.Context()); err != nil || len(got.Rebalance) > 0 {
				return "the rebalance is still asked for"
			}
			return ""
		})
	})
}

// ordered changes the orders of the running controller.
func (w *world) ordered(change func(*engine.Orders) error) {
	w.t.Helper()
	if err := w.controller.engine.Change(w.t.Context(), change); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) gone(name, cluster string) func() string {
	return func() string {
		if _, held := w.shares(name)[cluster]; held {
			return name + " is still on " + cluster
		}
		return ""
	}
}

// cycle is the controller's latest turn, if there was one since the last look.
func (w *world) cycle() (c engine.Cycle, news bool) {
	select {
	case c = <-w.controller.latest:
		return c, true
	default:
		return c, false
	}
}
