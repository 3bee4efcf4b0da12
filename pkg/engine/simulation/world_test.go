package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/logtest"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/render/build"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// sourceID is the only source of a world.
const sourceID = "armada-system/repo"

// world is what a run is played in. Only the goroutine of the run changes it; what the engine and its
// requests read of it is behind mu.
type world struct {
	t      *testing.T
	layout layout
	fleet  *simfleet.Fleet
	faults planted
	log    *logtest.Buffer
	ran    []*process
	tally  tally

	mu      sync.Mutex
	now     commit
	commits map[string]commit
	tree    *source.Tree
	gitDown bool
	// skew is how far the controller's clock is from the world's.
	skew   time.Duration
	state  engine.State
	lying  map[string]bool
	down   map[string]bool
	labels map[string]string
	cordon map[string]bool
	latest *engine.Cycle
	// plans are the last ones that were computed, the newest last: what is carried out is one of them.
	plans []*plan.Plan
	watch *witness
	// broken are the promises that were broken, in order.
	broken []string
}

// process is one life of the controller.
type process struct {
	engine *engine.Engine
	stop   context.CancelFunc
	ended  chan error
	// dead cuts it off from everything: what a killed process had in mind is never done.
	dead atomic.Bool
}

func newWorld(t *testing.T, seed uint64, faults planted) *world {
	t.Helper()
	w := &world{
		t: t, layout: newLayout(seed), faults: faults, log: &logtest.Buffer{},
		commits: map[string]commit{}, lying: map[string]bool{}, down: map[string]bool{},
		labels: map[string]string{}, cordon: map[string]bool{}, watch: newWitness(),
	}
	options := simfleet.Options{Seed: seed, ReadyAfter: 2 * time.Second, TraceLimit: -1}
	for i, name := range w.layout.clusters {
		options.Clusters = append(options.Clusters, simfleet.ClusterSpec{
			Name: name, Nodes: []simfleet.NodeSpec{{Count: 2, CPU: "4", Memory: "8Gi", Zone: "z", Region: region(i)}},
		})
		w.labels[name] = []string{"gold", "silver"}[i%2]
	}
	var err error
	if w.fleet, err = simfleet.New(options); err != nil {
		t.Fatal(err)
	}
	w.push(commit{apps: slices.Clone(w.layout.apps)})
	w.start()
	return w
}

// region puts two clusters each into a region.
func region(i int) string { return []string{"east", "west", "south"}[i/2%3] }

func (w *world) close() {
	for _, p := range w.ran {
		p.stop()
	}
	for _, p := range w.ran {
		<-p.ended
	}
	w.fleet.Close()
}

// push makes a commit.
func (w *world) push(c commit) {
	tree, err := source.FromFS(c.files(), source.Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now, w.tree = c, tree
	w.commits[tree.Revision().String()] = c
}

// time is what the controller's clock says.
func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

// violate notes a broken promise.
func (w *world) violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

func (w *world) violations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.broken)
}

// configuration is what the controller is configured with: every time is short, so that runs are.
func (w *world) configuration() engine.Configuration {
	cfg := engine.Configuration{Name: "simulation"}
	h, f := &cfg.Config.Health, &cfg.Config.Failover
	h.FailureThreshold, h.RecoveryThreshold = seconds(6), seconds(6)
	h.ProbeInterval, h.ProbeTimeout = seconds(2), seconds(2)
	toleration, drain, grace := int64(15), int64(5), int64(60)
	f.ImplicitTolerationSeconds, f.DrainSeconds, f.GracePeriodSeconds = &toleration, &drain, &grace
	f.VetoReadyFor, f.VetoHistory, f.VetoWindow = seconds(20), seconds(600), seconds(60)
	f.EvictionsPerSecond = "5"
	cfg.Config.Apply.RequestTimeout, cfg.Config.Apply.WaitTimeout = seconds(5), seconds(10)
	cfg.Config.SetDefaults()
	src := v1alpha1.GitSource{}
	src.Name, src.Namespace = "repo", "armada-system"
	src.Spec.Interval = seconds(3)
	src.Spec.SetDefaults()
	everything := int32(100)
	src.Spec.MaxPrunePercent = &everything
	cfg.Sources = []v1alpha1.GitSource{src}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, name := range w.layout.clusters {
		c := v1alpha1.Cluster{}
		c.Name, c.Labels = name, map[string]string{"tier": w.labels[name]}
		c.Spec.Region, c.Spec.Provider = region(i), "sim"
		if w.cordon[name] {
			c.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}}
		}
		cfg.Clusters = append(cfg.Clusters, c)
	}
	return cfg
}

func seconds(n int) *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(n) * time.Second}
}

// start starts a controller on what the one before it left behind.
func (w *world) start() {
	p := &process{ended: make(chan error, 1)}
	builder := build.New()
	p.engine = engine.New(engine.Options{
		Configuration: w.configuration(), Store: stateOf{w, p}, Now: w.time, Planner: w.remember(w.faults.planner()),
		Open: func(v1alpha1.GitSource) (source.Source, error) { return repository{w}, nil },
		Builder: builderFunc(func(ctx context.Context, s v1alpha1.GitSource, content *source.Tree) (render.Tree, error) {
			tree, err := builder.Build(ctx, content, build.Options{
				Source: engine.SourceID(s), Revision: content.Revision().String(), Path: s.Spec.Path, DefaultNamespace: s.Spec.TargetNamespace,
			})
			return w.faults.tree(tree), err
		}),
		Connect: func(c v1alpha1.Cluster) (*rest.Config, error) {
			cfg := w.fleet.Cluster(c.Name).RESTConfig()
			cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return &wire{w: w, p: p, cluster: c.Name, next: next} })
			return cfg, nil
		},
		SecretKey: []byte("a key that is only for tests....")[:32],
		Log:       slog.New(slog.NewTextHandler(w.log, nil)), Registry: prometheus.NewRegistry(),
		Observe: func(c engine.Cycle) { w.observe(p, c) },
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	p.stop = cancel
	w.ran = append(w.ran, p)
	go func() { p.ended <- p.engine.Run(ctx) }()
}

// running is the controller that lives.
func (w *world) running() *process { return w.ran[len(w.ran)-1] }

// restart ends the controller in order and starts another.
func (w *world) restart() {
	p := w.running()
	p.stop()
	if err := <-p.ended; err != nil {
		w.violate("the controller ended with: %v", err)
	}
	p.ended <- nil
	w.start()
}

// kill ends the controller as SIGKILL does: nothing that it had begun goes on.
func (w *world) kill() {
	p := w.running()
	p.dead.Store(true)
	p.stop()
	w.start()
}

// reconfigure tells the controller what the clusters are like now.
func (w *world) reconfigure() { w.running().engine.Reconfigure(w.configuration()) }

// stateOf keeps the state of a controller in memory, as a folder would. A dead one keeps nothing.
type stateOf struct {
	w *world
	p *process
}

func (s stateOf) Load(context.Context) (engine.State, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.state, nil
}

func (s stateOf) Save(_ context.Context, state engine.State) (engine.Kept, error) {
	if s.p.dead.Load() {
		return engine.Kept{}, errDead
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.state = state
	return engine.Kept{}, nil
}

var (
	errDead   = errors.New("the process is dead")
	errNoGit  = errors.New("the Git server does not answer")
	errHungUp = errors.New("connection reset by peer")
)

// repository is the Git server.
type repository struct{ w *world }

func (r repository) Resolve(context.Context) (source.Revision, error) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.w.gitDown {
		return source.Revision{}, errNoGit
	}
	return r.w.tree.Revision(), nil
}

func (r repository) Fetch(_ context.Context, revision source.Revision) (*source.Tree, error) {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.w.gitDown || r.w.tree.Revision() != revision {
		return nil, errNoGit
	}
	return r.w.tree, nil
}

type builderFunc func(context.Context, v1alpha1.GitSource, *source.Tree) (render.Tree, error)

func (f builderFunc) Build(ctx context.Context, s v1alpha1.GitSource, content *source.Tree) (render.Tree, error) {
	return f(ctx, s, content)
}

// wire is what lies between one controller and one cluster.
type wire struct {
	w       *world
	p       *process
	cluster string
	next    http.RoundTripper
}

// RoundTrip looks at every request before it leaves.
func (x *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if x.p.dead.Load() {
		return nil, errHungUp
	}
	if r.Method == http.MethodDelete && r.URL.Query().Get("dryRun") == "" {
		x.w.deleting(x.cluster, r.URL.Path)
	}
	answer, err := x.next.RoundTrip(r)
	if err != nil || r.Method != http.MethodGet || r.URL.Query().Get("watch") != "" {
		return answer, err
	}
	x.w.mu.Lock()
	lying := x.w.lying[x.cluster]
	x.w.mu.Unlock()
	if !lying || answer.StatusCode != http.StatusOK {
		return answer, nil
	}
	return emptied(answer)
}

// emptied is an answer in which every list is empty: that of an API server that has lost its memory.
func emptied(answer *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if err := answer.Body.Close(); err != nil {
		return nil, err
	}
	var content map[string]any
	if json.Unmarshal(body, &content) == nil && content["items"] != nil {
		content["items"] = []any{}
		if body, err = json.Marshal(content); err != nil {
			return nil, err
		}
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer.Header.Del("Content-Length")
	return answer, nil
}
