package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/dynamic"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/deploy/crds"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/hub"
	"github.com/armada-sync/armada-sync/pkg/logtest"
	"github.com/armada-sync/armada-sync/pkg/register"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/render/build"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// TestMain takes away the pause that client-go makes after an error. It counts from the last error in the
// process, which inside a synctest bubble may lie in the future: the pause would be years long.
func TestMain(m *testing.M) {
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1]
	klog.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// world is a hub with its objects, two members and a repository, all simulated, on a clock that stands still
// while nobody waits.
type world struct {
	t     *testing.T
	fleet *simfleet.Fleet
	dir   string
	log   *logtest.Buffer
	hub   dynamic.Interface
	// renew stands for a member that gives out tokens, which the simulated ones do not.
	renew hub.Renew
	// running are the replicas that were not halted.
	running []*replica
}

// replica is one controller.
type replica struct {
	*hub.Controller
	stop   context.CancelFunc
	ended  chan error
	over   chan struct{}
	cycles chan engine.Cycle
	// away cuts the replica off from the hub.
	away atomic.Bool
}

func inWorld(t *testing.T, test func(*world)) {
	t.Helper()
	inWorldWith(t, nil, test)
}

// inWorldWith has more clusters, which the hub does not know.
func inWorldWith(t *testing.T, more []simfleet.ClusterSpec, test func(*world)) {
	t.Helper()
	repo := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		nodes := []simfleet.NodeSpec{{Count: 2}}
		fleet, err := simfleet.New(simfleet.Options{
			Clusters:   append([]simfleet.ClusterSpec{{Name: "hub"}, {Name: "a", Nodes: nodes}, {Name: "b", Nodes: nodes}}, more...),
			ReadyAfter: 500 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, fleet: fleet, dir: repo, log: &logtest.Buffer{}}
		defer func() {
			for _, r := range w.running {
				r.stop()
				<-r.over
			}
			fleet.Close()
			synctest.Wait()
		}()
		if w.hub, err = dynamic.NewForConfig(fleet.Cluster("hub").RESTConfig()); err != nil {
			t.Fatal(err)
		}
		w.install()
		test(w)
	})
}

func (w *world) install() {
	w.t.Helper()
	names, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		data, err := crds.Files.ReadFile(name)
		if err != nil {
			w.t.Fatal(err)
		}
		w.apply(string(data))
	}
	<-time.After(time.Second) // Definitions are served a little later.
	w.apply("{apiVersion: v1, kind: Namespace, metadata: {name: armada-system}}")
	for _, name := range []string{"a", "b"} {
		w.apply(fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: armada-system}, stringData: {kubeconfig: good}}", name))
		w.apply(fmt.Sprintf("{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: %s}, spec: {region: region-%s, secretRef: {name: %s}}}", name, name, name))
	}
	w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: git, namespace: armada-system}, stringData: {username: me, password: good}}`)
	w.apply(`{apiVersion: armada-sync.io/v1alpha1, kind: GitSource, metadata: {name: shop, namespace: armada-system},
  spec: {url: "https://git.example.com/shop.git", interval: 1s, secretRef: {name: git}}}`)
}

func gvr(kind string) schema.GroupVersionResource {
	switch kind {
	case "Secret":
		return schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	case "Event":
		return schema.GroupVersionResource{Version: "v1", Resource: "events"}
	case "Namespace":
		return schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	case "Lease":
		return schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	case "CustomResourceDefinition":
		return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	}
	switch kind {
	case "ClusterProfile":
		return schema.GroupVersionResource{Group: "multicluster.x-k8s.io", Version: "v1alpha1", Resource: "clusterprofiles"}
	case "CAPICluster":
		return schema.GroupVersionResource{Group: "cluster.x-k8s.io", Version: "v1beta1", Resource: "clusters"}
	}
	return v1alpha1.GroupVersion().WithResource(map[string]string{
		"Cluster": "clusters", "GitSource": "gitsources", "Placement": "placements", "Config": "configs",
	}[kind])
}

// apply applies a document to the hub.
func (w *world) apply(document string) {
	w.t.Helper()
	var o unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
		w.t.Fatal(err)
	}
	data, err := json.Marshal(o.Object)
	if err != nil {
		w.t.Fatal(err)
	}
	force := true
	kind := o.GetKind()
	if kind == "Cluster" && o.GroupVersionKind().Group != v1alpha1.Group {
		kind = "CAPICluster"
	}
	_, err = w.on(kind, o.GetNamespace()).Patch(w.t.Context(), o.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: "person", Force: &force})
	if err != nil {
		w.t.Fatalf("apply %s %s: %v", o.GetKind(), o.GetName(), err)
	}
}

func (w *world) on(kind, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return w.hub.Resource(gvr(kind))
	}
	return w.hub.Resource(gvr(kind)).Namespace(namespace)
}

// read returns an object of ours as the hub has it.
func read[T any](w *world, kind, namespace, name string) T {
	w.t.Helper()
	var value T
	o, err := w.on(kind, namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return value
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &value); err != nil {
		w.t.Fatal(err)
	}
	return value
}

// errCutOff is what a replica gets that is cut off from the hub.
var errCutOff = errors.New("the network is gone")

// start starts a replica.
func (w *world) start(identity string) *replica {
	w.t.Helper()
	r := &replica{ended: make(chan error, 1), over: make(chan struct{}), cycles: make(chan engine.Cycle, 1)}
	cfg := w.fleet.Cluster("hub").RESTConfig()
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(q *http.Request) (*http.Response, error) {
			if r.away.Load() {
				return nil, errCutOff
			}
			return next.RoundTrip(q)
		})
	})
	builder := build.New()
	var err error
	r.Controller, err = hub.New(hub.Options{
		RESTConfig: cfg, Namespace: "armada-system", Identity: identity,
		Open: func(_ v1alpha1.GitSource, c source.Credentials) (source.Source, error) {
			if c.Password != "good" {
				return nil, fmt.Errorf("%w: the password is not the right one", source.ErrAuth)
			}
			return source.OpenLocal(w.dir, source.LocalOptions{})
		},
		Connect: func(c v1alpha1.Cluster, kubeconfig []byte) (*rest.Config, error) {
			if string(kubeconfig) == "expired" {
				return expired(), nil
			}
			if name, ok := strings.CutPrefix(string(kubeconfig), "good for "); ok {
				return w.connect(name, identity)
			}
			if !strings.HasPrefix(string(kubeconfig), "good") {
				return nil, errors.New("the kubeconfig is not the right one")
			}
			return w.connect(c.Name, identity)
		},
		ConnectProfile: func(_ v1alpha1.Cluster, a hub.Access) (*rest.Config, error) {
			return w.connect(strings.TrimPrefix(a.Cluster.Server, "https://"), identity)
		},
		Renew: func(ctx context.Context, hub coreclient.SecretsGetter, s *corev1.Secret, now time.Time) (register.Token, error) {
			return w.renew(ctx, hub, s, now)
		},
		Builder: builderFunc(func(ctx context.Context, s v1alpha1.GitSource, content *source.Tree) (render.Tree, error) {
			return builder.Build(ctx, content, build.Options{
				Source: engine.SourceID(s), Revision: content.Revision().String(), Path: s.Spec.Path, DefaultNamespace: s.Spec.TargetNamespace,
			})
		}),
		Log: slog.New(slog.NewTextHandler(w.log, nil)).With("replica", identity), Registry: prometheus.NewRegistry(),
		Observe: func(c engine.Cycle) {
			select {
			case <-r.cycles:
			default:
			}
			r.cycles <- c
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	r.stop = cancel
	w.running = append(w.running, r)
	go func() {
		defer close(r.over)
		r.ended <- r.Run(ctx)
	}()
	return r
}

// connect reaches one of the simulated clusters as a replica.
func (w *world) connect(name, identity string) (*rest.Config, error) {
	c := w.fleet.Cluster(name)
	if c == nil {
		return nil, fmt.Errorf("there is no cluster %q", name)
	}
	cfg := c.RESTConfig()
	cfg.UserAgent = identity
	return cfg, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type builderFunc func(context.Context, v1alpha1.GitSource, *source.Tree) (render.Tree, error)

func (f builderFunc) Build(ctx context.Context, s v1alpha1.GitSource, content *source.Tree) (render.Tree, error) {
	return f(ctx, s, content)
}

// halt ends a replica as SIGTERM does.
func (w *world) halt(r *replica) {
	w.t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		w.t.Errorf("the replica ended with: %v\n%s", err, w.log)
	}
}

// push replaces the repository's files.
func (w *world) push(files map[string]string) {
	w.t.Helper()
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

func shop(replicas int) map[string]string {
	return map[string]string{
		"shop.yaml": fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "example.com/web:1"}]}
`, replicas),
		"policy.yaml": `
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: web, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
  placement: {replicaScheduling: {replicaSchedulingType: Divided}}
`,
	}
}

// hasShares tells whether the members hold the Deployment with these replicas.
func (w *world) hasShares(want map[string]int32) func() string {
	return func() string {
		got := map[string]int32{}
		for _, cluster := range []string{"a", "b"} {
			kind := schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
			if d, ok := w.fleet.Cluster(cluster).Get(kind, "shop", "web").(*appsv1.Deployment); ok {
				got[cluster] = *d.Spec.Replicas
			}
		}
		if !maps.Equal(got, want) {
			return fmt.Sprintf("the shares are %v, want %v", got, want)
		}
		return ""
	}
}

// eventually looks four times a second until the condition returns "", and returns how long that took.
func (w *world) eventually(within time.Duration, condition func() string) time.Duration {
	w.t.Helper()
	began := time.Now()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	missing := condition()
	for missing != "" {
		if time.Since(began) > within {
			w.t.Fatalf("not within %s: %s\nlog:\n%s", within, missing, w.log)
		}
		<-tick.C
		missing = condition()
	}
	return time.Since(began)
}

// pass lets time pass.
func (w *world) pass(d time.Duration) { <-time.After(d) }

// writes counts what changed something on clusters since the last reset, leases apart.
func (w *world) writes(clusters ...string) (paths []string) {
	for _, cluster := range clusters {
		for _, r := range w.fleet.Cluster(cluster).Requests() {
			if r.Write() && r.Resource != "leases" {
				paths = append(paths, r.Verb+" "+r.Path)
			}
		}
	}
	return paths
}

func (w *world) reset() {
	for _, cluster := range []string{"hub", "a", "b"} {
		w.fleet.Cluster(cluster).ResetTrace()
	}
}
