package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/logtest"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/render/build"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// world is a fleet of simulated clusters, a folder that stands for a repository, and controllers that
// come and go. It lives in a synctest bubble: time passes as fast as the work allows.
type world struct {
	t     *testing.T
	fleet *simfleet.Fleet
	dir   string
	state string
	log   *logtest.Buffer
	// guard is held while files are pushed; nil: whoever reads may see half of them.
	guard sync.Locker
	// open is how sources are opened, adjust changes the configuration; nil: as they are.
	open   engine.Opener
	adjust func(*engine.Configuration)

	controller *controller
}

type controller struct {
	engine *engine.Engine
	stop   context.CancelFunc
	ended  chan error
	latest chan engine.Cycle
}

// inWorld runs a test with clusters a, b and c, in regions of their own unless told otherwise.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	repo, state := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		fleet, err := simfleet.New(simfleet.Options{
			Clusters:   []simfleet.ClusterSpec{{Name: "a"}, {Name: "b"}, {Name: "c"}},
			ReadyAfter: 500 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, fleet: fleet, dir: repo, state: state, log: &logtest.Buffer{}}
		defer func() {
			w.halt()
			fleet.Close()
			synctest.Wait()
		}()
		test(w)
	})
}

func (w *world) configuration() engine.Configuration {
	cfg := engine.Configuration{Name: "test"}
	cfg.Config.SetDefaults()
	cfg.Config.Health.FailureThreshold = &metav1.Duration{Duration: 10 * time.Second}
	cfg.Config.Health.RecoveryThreshold = &metav1.Duration{Duration: 10 * time.Second}
	toleration, drain := int64(20), int64(5)
	cfg.Config.Failover.ImplicitTolerationSeconds = &toleration
	cfg.Config.Failover.DrainSeconds = &drain
	src := v1alpha1.GitSource{}
	src.Name, src.Namespace = "repo", "armada-system"
	src.Spec.URL = w.dir
	src.Spec.Interval = &metav1.Duration{Duration: time.Second}
	src.Spec.SetDefaults()
	cfg.Sources = []v1alpha1.GitSource{src}
	for _, name := range []string{"a", "b", "c"} {
		c := v1alpha1.Cluster{}
		c.Name = name
		c.Spec.Region = "region-" + name
		cfg.Clusters = append(cfg.Clusters, c)
	}
	if w.adjust != nil {
		w.adjust(&cfg)
	}
	return cfg
}

// start starts a controller on the world's state folder.
func (w *world) start() {
	w.t.Helper()
	store, err := engine.NewFolderStore(w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &controller{ended: make(chan error, 1), latest: make(chan engine.Cycle, 1)}
	c.engine = engine.New(engine.Options{
		Configuration: w.configuration(),
		Store:         store,
		Open:          w.opener(),
		Builder:       builder{build.New()},
		Connect:       func(c v1alpha1.Cluster) (*rest.Config, error) { return w.fleet.Cluster(c.Name).RESTConfig(), nil },
		SecretKey:     []byte("a key that is only for tests....")[:32],
		Log:           slog.New(slog.NewTextHandler(w.log, nil)),
		Registry:      prometheus.NewRegistry(),
		Observe: func(cycle engine.Cycle) {
			select {
			case <-c.latest:
			default:
			}
			c.latest <- cycle
		},
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	c.stop = cancel
	go func() { c.ended <- c.engine.Run(ctx) }()
	w.controller = c
}

func (w *world) opener() engine.Opener {
	if w.open != nil {
		return w.open
	}
	return func(s v1alpha1.GitSource) (source.Source, error) {
		return source.OpenLocal(s.Spec.URL, source.LocalOptions{})
	}
}

// halt stops the controller, as SIGTERM does.
func (w *world) halt() {
	w.t.Helper()
	if w.controller == nil {
		return
	}
	w.controller.stop()
	if err := <-w.controller.ended; err != nil {
		w.t.Errorf("the controller ended with: %v", err)
	}
	w.controller = nil
}

type builder struct{ *build.Builder }

func (b builder) Build(ctx context.Context, s v1alpha1.GitSource, content *source.Tree) (render.Tree, error) {
	return b.Builder.Build(ctx, content, build.Options{
		Source: engine.SourceID(s), Revision: content.Revision().String(), Path: s.Spec.Path, DefaultNamespace: s.Spec.TargetNamespace,
	})
}

// push replaces the repository's files.
func (w *world) push(files map[string]string) {
	w.t.Helper()
	if w.guard != nil {
		w.guard.Lock()
		defer w.guard.Unlock()
	}
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		if _, kept := files[e.Name()]; !kept {
			if err := os.Remove(filepath.Join(w.dir, e.Name())); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// eventually looks four times a second until the condition returns "", for at most a while.
func (w *world) eventually(within time.Duration, condition func() string) {
	w.t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	missing := condition()
	for missing != "" {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %s: %s\nlog:\n%s", within, missing, w.log)
		}
		<-tick.C
		missing = condition()
	}
}

// pass lets time pass.
func (w *world) pass(d time.Duration) { <-time.After(d) }

var (
	deploymentKind  = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	statefulSetKind = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"}
	configMapKind   = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
)

// shares are the replicas of a Deployment in the namespace shop, by cluster.
func (w *world) shares(name string) map[string]int32 {
	shares := map[string]int32{}
	for _, cluster := range []string{"a", "b", "c"} {
		if d := get[*appsv1.Deployment](w, cluster, deploymentKind, name); d != nil {
			shares[cluster] = *d.Spec.Replicas
		}
	}
	return shares
}

func (w *world) hasShares(name string, want map[string]int32) func() string {
	return func() string {
		if got := w.shares(name); !maps.Equal(got, want) {
			return fmt.Sprintf("shares of %s are %v, want %v", name, got, want)
		}
		return ""
	}
}

// data is the value of one key of a ConfigMap in the namespace shop.
func (w *world) data(cluster, name, key string) string {
	if m := get[*corev1.ConfigMap](w, cluster, configMapKind, name); m != nil {
		return m.Data[key]
	}
	return ""
}

func get[T runtime.Object](w *world, cluster string, kind schema.GroupVersionKind, name string) (none T) {
	if o, ok := w.fleet.Cluster(cluster).Get(kind, "shop", name).(T); ok {
		return o
	}
	return none
}

// writes counts the requests that may change something, on all clusters since the last resetTrace.
func (w *world) writes() (n int) {
	for _, cluster := range []string{"a", "b", "c"} {
		for _, r := range w.fleet.Cluster(cluster).Requests() {
			if r.Write() {
				n++
			}
		}
	}
	return n
}

func (w *world) resetTrace() {
	for _, cluster := range []string{"a", "b", "c"} {
		w.fleet.Cluster(cluster).ResetTrace()
	}
}

func (w *world) logged(part string) func() string {
	return func() string {
		if strings.Contains(w.log.String(), part) {
			return ""
		}
		return fmt.Sprintf("the log does not say %q", part)
	}
}
