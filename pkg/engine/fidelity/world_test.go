package fidelity

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

// sourceNamespace is the namespace of every source.
const sourceNamespace = "armada-system"

// pace is how a fleet is waited for.
type pace struct {
	// look is the time between two looks, limit how long the fleet may take to do what a commit asks for.
	look, limit time.Duration
	// linger is how long it must stay at rest, so that what is written too late or twice is seen.
	linger time.Duration
}

// simulatedPace is for a fleet whose time costs nothing.
var simulatedPace = pace{look: 5 * time.Second, limit: 20 * time.Minute}

// members are the API servers of a fleet.
type members interface {
	config(cluster string) *rest.Config
	// list returns the objects of a kind, none where the kind is not served.
	list(cluster string, gvk schema.GroupVersionKind) []*unstructured.Unstructured
	// forget lets requests begin anew.
	forget()
	// requests are those of the controller since then, oldest first.
	requests(cluster string) []simfleet.Request
	close()
}

// world is a fleet and a controller that keeps it. On simulated members it lives in a synctest bubble.
type world struct {
	t        *testing.T
	clusters []string
	declared declared
	fleet    members
	pace     pace
	builder  *build.Builder
	engine   *engine.Engine
	log      *logtest.Buffer
	stop     context.CancelFunc
	ended    chan error

	mu sync.Mutex
	// trees are what Git holds, by name of the source.
	trees map[string]*source.Tree
	// state is what the controller keeps.
	state engine.State
}

// random returns the source of chance for one purpose.
func random(seed uint64, purpose string) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, c := range []byte(purpose) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// contents are files by name of the source.
type contents map[string]fstest.MapFS

// declared is what the controller is configured with.
type declared struct {
	clusters []v1alpha1.Cluster
	config   v1alpha1.ConfigSpec
	sources  []string
}

// standard is a fleet of five clusters and one source.
func standard() declared {
	d := declared{sources: []string{"repo"}}
	for i, name := range []string{"c1", "c2", "c3", "c4", "c5"} {
		c := v1alpha1.Cluster{}
		c.Name, c.Labels = name, map[string]string{"tier": []string{"gold", "silver"}[i%2]}
		c.Spec.Region, c.Spec.Provider = []string{"east", "west", "south"}[i/2%3], "sim"
		d.clusters = append(d.clusters, c)
	}
	return d
}

func newWorld(t *testing.T, seed uint64, d declared) *world {
	t.Helper()
	options := simfleet.Options{Seed: seed, ReadyAfter: 2 * time.Second, TraceLimit: 100_000}
	for i, c := range d.clusters {
		options.Clusters = append(options.Clusters, simfleet.ClusterSpec{
			Name: c.Name, Nodes: []simfleet.NodeSpec{{Count: 1 + i%3, CPU: "4", Memory: "8Gi", Zone: "z", Region: c.Spec.Region}},
		})
	}
	fleet, err := simfleet.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return startWorld(t, d, simulated{t, fleet}, simulatedPace)
}

// startWorld starts a controller for members that are there.
func startWorld(t *testing.T, d declared, fleet members, p pace) *world {
	t.Helper()
	w := &world{t: t, declared: d, fleet: fleet, pace: p, builder: build.New(), log: &logtest.Buffer{}, ended: make(chan error, 1), trees: map[string]*source.Tree{}}
	for _, c := range d.clusters {
		w.clusters = append(w.clusters, c.Name)
	}
	w.push(contents{})
	w.engine = engine.New(engine.Options{
		Configuration: w.configuration(), Store: memory{w},
		Open:    func(s v1alpha1.GitSource) (source.Source, error) { return git{w, s.Name}, nil },
		Builder: builderFunc(w.build),
		Connect: func(c v1alpha1.Cluster) (*rest.Config, error) { return w.fleet.config(c.Name), nil },
		// A key of its own: a preview has none and must not need one.
		SecretKey: []byte("a key that is only for tests....")[:32],
		Log:       slog.New(slog.NewTextHandler(w.log, nil)), Registry: prometheus.NewRegistry(),
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	w.stop = cancel
	go func() { w.ended <- w.engine.Run(ctx) }()
	return w
}

// simulated are simulated members.
type simulated struct {
	t     *testing.T
	fleet *simfleet.Fleet
}

func (s simulated) config(cluster string) *rest.Config { return s.fleet.Cluster(cluster).RESTConfig() }

func (s simulated) list(cluster string, gvk schema.GroupVersionKind) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, o := range s.fleet.Cluster(cluster).List(gvk, "") {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, &unstructured.Unstructured{Object: content})
	}
	return all
}

func (s simulated) forget() {
	for _, c := range s.fleet.Clusters() {
		c.ResetTrace()
	}
}

func (s simulated) requests(cluster string) []simfleet.Request {
	return s.fleet.Cluster(cluster).Requests()
}

func (s simulated) close() { s.fleet.Close() }

func (w *world) close() {
	w.stop()
	if err := <-w.ended; err != nil {
		w.t.Errorf("the controller ended with: %v", err)
	}
	w.fleet.close()
}

func (w *world) configuration() engine.Configuration {
	cfg := engine.Configuration{Name: "fidelity", Clusters: w.declared.clusters}
	cfg.Config = w.declared.config
	drain := int64(5)
	cfg.Config.Failover.DrainSeconds = &drain
	cfg.Config.SetDefaults()
	for _, name := range w.declared.sources {
		src := v1alpha1.GitSource{}
		src.Name, src.Namespace = name, sourceNamespace
		src.Spec.Interval = &metav1.Duration{Duration: 3 * time.Second}
		most := int32(60)
		src.Spec.MaxPrunePercent = &most
		src.Spec.SetDefaults()
		cfg.Sources = append(cfg.Sources, src)
	}
	return cfg
}

// push makes a commit in each source.
func (w *world) push(next contents) {
	trees := w.read(next)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trees = trees
}

func (w *world) read(files contents) map[string]*source.Tree {
	trees := map[string]*source.Tree{}
	for _, name := range w.declared.sources {
		content := files[name]
		if content == nil {
			content = fstest.MapFS{}
		}
		tree, err := source.FromFS(content, source.Limits{})
		if err != nil {
			w.t.Fatal(err)
		}
		trees[name] = tree
	}
	return trees
}

func (w *world) current() map[string]*source.Tree {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trees
}

// rest waits until the controller has done what the commits ask for; it returns why it has not.
func (w *world) rest() string {
	deadline := time.Now().Add(w.pace.limit)
	var since time.Time
	for {
		<-time.After(w.pace.look)
		c, ok := w.engine.Latest()
		if ok && c.Settled && w.planned(c.Plan.Revisions) {
			if since.IsZero() {
				since = time.Now()
			}
			if time.Since(since) >= w.pace.linger {
				return ""
			}
			continue
		}
		since = time.Time{}
		if time.Now().After(deadline) {
			return "not at rest in time: " + unfinished(c)
		}
	}
}

// planned tells that a plan is of what Git holds now.
func (w *world) planned(revisions map[string]string) bool {
	for name, tree := range w.current() {
		if revisions[sourceNamespace+"/"+name] != tree.Revision().String() {
			return false
		}
	}
	return true
}

func unfinished(c engine.Cycle) string {
	var b bytes.Buffer
	if c.Plan == nil {
		return "there was no plan"
	}
	for _, cc := range c.Plan.Clusters {
		for _, o := range cc.Objects {
			if o.Action != v1alpha1.ActionUnchanged {
				b.WriteString(cc.Name + ": " + string(o.Action) + " " + o.String() + " " + string(o.Gate) + " " + o.Reason + "; ")
			}
		}
	}
	for _, p := range c.Problems {
		b.WriteString(p.Cluster + " " + p.ID + " " + p.Reason + "; ")
	}
	return b.String()
}

// fleetFile is the snapshot as it comes out of `fleet snapshot` and is read from a file.
func (w *world) fleetFile() plan.Snapshot {
	cycle, _ := w.engine.Latest()
	data, err := plan.WriteFleet(plan.Committable(cycle.Snapshot))
	if err != nil {
		w.t.Fatal(err)
	}
	snap, problems := plan.ReadFleet("fleet.yaml", data)
	for _, p := range problems {
		w.t.Errorf("the fleet file does not read back: %v", p)
	}
	return snap
}

// preview is what the command computes of what is applied and the next commit. The kinds of both are added
// to all.
func (w *world) preview(next contents, all kinds) plan.Report {
	snap := w.fleetFile()
	var before, after plan.Trees
	base, head := w.current(), w.read(next)
	for _, declared := range snap.Sources {
		old, now := w.source(declared, base[declared.Name]), w.source(declared, head[declared.Name])
		old.Spec.Rollout, now.Earlier = nil, []render.Tree{old.Tree}
		before, after = append(before, old), append(after, now)
	}
	planner := plan.NewPlanner(plan.Options{})
	p := planner.Compute(before, snap)
	q := planner.Compute(after, plan.NextSnapshot(p, snap))
	all.add(p)
	all.add(q)
	return plan.Preview(p, q, plan.PreviewOptions{})
}

func (w *world) source(declared v1alpha1.GitSource, content *source.Tree) plan.Source {
	declared.Spec.SetDefaults()
	tree, err := w.build(w.t.Context(), declared, content)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan.Source{Tree: tree, Spec: declared.Spec}
}

func (w *world) build(ctx context.Context, s v1alpha1.GitSource, content *source.Tree) (render.Tree, error) {
	return w.builder.Build(ctx, content, build.Options{
		Source: engine.SourceID(s), Revision: content.Revision().String(), Path: s.Spec.Path, DefaultNamespace: s.Spec.TargetNamespace,
	})
}

type builderFunc func(context.Context, v1alpha1.GitSource, *source.Tree) (render.Tree, error)

func (f builderFunc) Build(ctx context.Context, s v1alpha1.GitSource, content *source.Tree) (render.Tree, error) {
	return f(ctx, s, content)
}

// memory keeps the state of the controller.
type memory struct{ w *world }

func (m memory) Load(context.Context) (engine.State, error) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	return m.w.state, nil
}

func (m memory) Save(_ context.Context, state engine.State) (engine.Kept, error) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.w.state = state
	return engine.Kept{}, nil
}

// git is the Git server.
type git struct {
	w    *world
	name string
}

func (g git) Resolve(context.Context) (source.Revision, error) {
	return g.w.current()[g.name].Revision(), nil
}

func (g git) Fetch(context.Context, source.Revision) (*source.Tree, error) {
	return g.w.current()[g.name], nil
}
