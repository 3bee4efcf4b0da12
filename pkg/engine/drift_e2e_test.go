//go:build e2e

package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render/build"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// TestDriftOnAPIServer measures on a real API server how fast a hand edit is put back, over every kind of
// edit in turn, and that fields are left to a manager without ever being reset.
func TestDriftOnAPIServer(t *testing.T) {
	f := fleet.StartT(t, fleet.Options{Names: []string{"drift"}})
	m := startReal(t, f.Cluster("drift").RESTConfig(), map[string]string{
		"policy.yaml": everythingOnC, "web.yaml": webOnC, "settings.yaml": settings,
	})
	m.eventually(time.Minute, "everything is there", func() bool { return m.image() == "example.com/web:1" && m.color() == "blue" })
	t.Run("repaired within a second", func(t *testing.T) {
		const edits = 120
		var took []time.Duration
		for i := range edits {
			var back func() bool
			if i%2 == 0 {
				m.patch("kubectl-edit", configMaps, "settings", fmt.Sprintf(`{"data":{"color":"pink-%d"}}`, i))
				back = func() bool { return m.color() == "blue" }
			} else {
				m.patch("kubectl-edit", deployments, "web", fmt.Sprintf(`{"spec":{"replicas":%d}}`, 10+i))
				back = func() bool { return m.replicas() == 3 }
			}
			start := time.Now()
			m.eventually(30*time.Second, "the edit is put back", back)
			took = append(took, time.Since(start))
			// Slower than a fight, as people are.
			<-time.After(100 * time.Millisecond)
		}
		slices.Sort(took)
		p50, p99 := took[edits/2], took[edits*99/100]
		t.Logf("%d edits put back: p50 %v, p99 %v, max %v", edits, p50, p99, took[edits-1])
		if p99 > time.Second {
			t.Errorf("the 99th percentile is %v, more than a second", p99)
		}
	})
	t.Run("left to a manager", func(t *testing.T) {
		cfg := m.cfg
		cfg.Sources = slices.Clone(cfg.Sources)
		cfg.Sources[0].Spec.IgnoreDrift = []v1alpha1.IgnoreRule{{Managers: []string{"scaler", "tuner"}}}
		m.engine.Reconfigure(cfg)
		// An update takes a field over; an apply of the same value makes an owner beside us, who has it alone then
		// and needs no force.
		m.patch("scaler", deployments, "web", `{"spec":{"replicas":7}}`)
		m.apply("tuner", `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop"},
			"spec":{"template":{"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"100m"}}}]}}}}`)
		m.eventually(time.Minute, "both are ignored and let go of", func() bool {
			cycle, ok := m.engine.Latest()
			if !ok || slices.ContainsFunc(cycle.Plan.Changes("c"), func(ch plan.ObjectChange) bool { return ch.Action != v1alpha1.ActionUnchanged }) {
				return false
			}
			all := cycle.Drift("c")
			return len(all) == 1 && all[0].Handling == v1alpha1.DriftIgnored && len(all[0].Fields) == 2
		})
		if m.replicas() != 7 || m.cpu() != "100m" {
			t.Errorf("%d replicas with %s of CPU", m.replicas(), m.cpu())
		}
		m.apply("tuner", `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop"},
			"spec":{"template":{"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"250m"}}}]}}}}`)
		m.patch("kubectl-edit", deployments, "web", `{"metadata":{"labels":{"x":"y"}}}`)
		<-time.After(2 * time.Second)
		if m.replicas() != 7 || m.cpu() != "250m" || m.image() != "example.com/web:1" {
			t.Errorf("%d replicas of %s with %s of CPU", m.replicas(), m.image(), m.cpu())
		}
		m.engine.Reconfigure(m.cfg)
		m.eventually(time.Minute, "without the rule Git counts", func() bool { return m.replicas() == 3 && m.cpu() == "100m" })
	})
}

var (
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
)

// real is an engine on one API server.
type real struct {
	*testing.T
	engine *engine.Engine
	cfg    engine.Configuration
	client dynamic.Interface
}

func startReal(t *testing.T, member *rest.Config, files map[string]string) *real {
	t.Helper()
	repo := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(repo, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, dir: repo}
	m := &real{T: t, cfg: w.configuration()}
	m.cfg.Clusters = slices.DeleteFunc(m.cfg.Clusters, func(c v1alpha1.Cluster) bool { return c.Name != "c" })
	// The test edits far more often than a fight takes.
	limit := int32(1000)
	m.cfg.Config.Apply.DriftFightLimit = &limit
	store, err := engine.NewFolderStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if m.client, err = dynamic.NewForConfig(member); err != nil {
		t.Fatal(err)
	}
	m.engine = engine.New(engine.Options{
		Configuration: m.cfg, Store: store,
		Open: func(s v1alpha1.GitSource) (source.Source, error) {
			return source.OpenLocal(s.Spec.URL, source.LocalOptions{})
		},
		Builder:  builder{build.New()},
		Connect:  func(v1alpha1.Cluster) (*rest.Config, error) { return member, nil },
		Log:      slog.New(slog.DiscardHandler),
		Registry: prometheus.NewRegistry(),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.engine.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return m
}

func (m *real) eventually(within time.Duration, what string, done func() bool) {
	m.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); !done(); <-tick.C {
		if time.Now().After(deadline) {
			m.Fatalf("not within %v: %s", within, what)
		}
	}
}

func (m *real) patch(manager string, r schema.GroupVersionResource, name, patch string) {
	m.Helper()
	if _, err := m.client.Resource(r).Namespace("shop").Patch(m.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: manager}); err != nil {
		m.Fatal(err)
	}
}

func (m *real) apply(manager, manifest string) {
	m.Helper()
	if _, err := m.client.Resource(deployments).Namespace("shop").Patch(m.Context(), "web", types.ApplyPatchType, []byte(manifest), metav1.PatchOptions{FieldManager: manager}); err != nil {
		m.Fatal(err)
	}
}

func (m *real) get(r schema.GroupVersionResource, name string) map[string]any {
	u, err := m.client.Resource(r).Namespace("shop").Get(m.Context(), name, metav1.GetOptions{})
	if err != nil {
		return map[string]any{}
	}
	return u.Object
}

func (m *real) color() string {
	s, _, _ := unstructured.NestedString(m.get(configMaps, "settings"), "data", "color")
	return s
}

func (m *real) replicas() int64 {
	n, _, _ := unstructured.NestedInt64(m.get(deployments, "web"), "spec", "replicas")
	return n
}

func (m *real) container() map[string]any {
	list, _, _ := unstructured.NestedSlice(m.get(deployments, "web"), "spec", "template", "spec", "containers")
	if len(list) == 0 {
		return nil
	}
	c, _ := list[0].(map[string]any)
	return c
}

func (m *real) image() string {
	s, _, _ := unstructured.NestedString(m.container(), "image")
	return s
}

func (m *real) cpu() string {
	s, _, _ := unstructured.NestedString(m.container(), "resources", "requests", "cpu")
	return s
}
