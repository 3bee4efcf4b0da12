package hub

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/deploy/crds"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// budget is what the hub's API server may see of us, in writes within any second.
const budget = 50

// books are a store and a writer on a simulated hub, without an engine: what is decided is made up.
type books struct {
	t      *testing.T
	hub    *simfleet.Cluster
	client *client
	writer *writer
	store  *store
	// clusters and workloads are how many there are, placed is what is decided.
	clusters, workloads int
	placed              []v1alpha1.Placement
	// turn counts how often clusters told something new.
	turn int
	rows [][]string

	mu sync.Mutex
	// sent are the writes of a phase.
	sent []sent
}

// sent is one write: when, and the path that it went to.
type sent struct {
	at   time.Time
	path string
}

// note notes writes as they are sent.
func (b *books) note(next http.RoundTripper) http.RoundTripper {
	return passing(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet {
			b.mu.Lock()
			b.sent = append(b.sent, sent{time.Now(), r.URL.Path})
			b.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

type passing func(*http.Request) (*http.Response, error)

func (p passing) RoundTrip(r *http.Request) (*http.Response, error) { return p(r) }

// TestTheBudgetOfWrites keeps decisions and statuses of a fleet, and counts what the hub sees. With
// ARMADA_SYNC_BENCH=hub (task bench:hub) the fleet is as large as the controller is made for, and the
// table is what docs/performance.md shows.
func TestTheBudgetOfWrites(t *testing.T) {
	clusters, workloads := 60, 500
	if os.Getenv("ARMADA_SYNC_BENCH") == "hub" {
		clusters, workloads = 1000, 10_000
	}
	synctest.Test(t, func(t *testing.T) {
		b := openBooks(t, clusters, workloads)
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		go b.writer.run(ctx)
		go b.store.run(ctx)
		go func() {
			if err := b.store.watch(ctx, func(engine.RecordChange) {}); err != nil {
				t.Error(err)
			}
		}()
		go b.report(ctx)

		b.placed = nil
		for i := range workloads {
			b.placed = append(b.placed, decided(i, 5, true))
		}
		b.phase(fmt.Sprintf("a first push of %d workloads", workloads))
		for i := range b.placed {
			if i%10 == 0 {
				b.placed[i] = moved(b.placed[i])
			}
		}
		b.phase(fmt.Sprintf("a lost cluster moves %d of them", workloads/10))
		b.placed[0] = decided(0, 3, true)
		b.phase("one is decided anew")
		b.placed = b.placed[:workloads/2]
		b.phase(fmt.Sprintf("%d leave", workloads/2))
		b.print()
	})
}

func openBooks(t *testing.T, clusters, workloads int) *books {
	t.Helper()
	fleet, err := simfleet.New(simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "hub"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fleet.Close)
	b := &books{t: t, hub: fleet.Cluster("hub"), clusters: clusters, workloads: workloads}
	names, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg := b.hub.RESTConfig()
	cfg.Wrap(b.note)
	if b.client, err = newClient(cfg); err != nil {
		t.Fatal(err)
	}
	core := b.client.core.RESTClient()
	for _, name := range names {
		data, err := crds.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b.send(core, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"+strings.TrimSuffix(name, ".yaml")+"."+v1alpha1.Group, data)
	}
	<-time.After(time.Second) // Definitions are served a little later.
	for _, ns := range []string{"armada-system", "team"} {
		b.send(core, "/api/v1/namespaces/"+ns, fmt.Appendf(nil, "{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", ns))
	}
	for i := range clusters {
		name := clusterName(i)
		b.send(core, "/apis/armada-sync.io/v1alpha1/clusters/"+name,
			fmt.Appendf(nil, "{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: %s}, spec: {region: eu}}", name))
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	b.writer = newWriter(b.client, log, 10*time.Second)
	b.store = newStore(b.client, b.writer, log, "armada-system", func() []v1alpha1.Cluster { return nil })
	if _, err := b.store.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *books) send(c rest.Interface, path string, document []byte) {
	b.t.Helper()
	data, err := yaml.YAMLToJSON(document)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := c.Patch(types.ApplyPatchType).AbsPath(path).Param("fieldManager", "person").Body(data).Do(b.t.Context()).Error(); err != nil {
		b.t.Fatal(err)
	}
}

func clusterName(i int) string { return fmt.Sprintf("production-eu-west-1-%04d", i) }

// moved goes from its first cluster to others.
func moved(p v1alpha1.Placement) v1alpha1.Placement {
	from := p.Spec.Clusters[0].Name
	p.Spec.Clusters = slices.Clone(p.Spec.Clusters[1:])
	p.Spec.Inputs = "moved"
	p.Status.Debts = []v1alpha1.ClusterTime{{Cluster: from, Time: metav1.NewTime(time.Unix(1700000000, 0))}}
	return p
}

// report has every cluster tell another capacity every ten seconds and every workload another condition
// every minute, which is more than the budget allows: decisions have to come first nevertheless.
func (b *books) report(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		b.turn++
		for i := range b.clusters {
			status := v1alpha1.ClusterStatus{KubernetesVersion: "v1.36.0", Summary: &v1alpha1.ClusterSummary{Capacity: fmt.Sprintf("cpu %d/1000", b.turn)}}
			if err := b.writer.want(clusterRef(clusterName(i)), status); err != nil {
				b.t.Error(err)
			}
		}
		for _, name := range b.store.names() {
			err := b.store.report(name, func(v1alpha1.PlacementStatus) v1alpha1.PlacementStatus {
				return v1alpha1.PlacementStatus{Summary: &v1alpha1.PlacementSummary{Workload: "Deployment shop/" + name.Name, Clusters: fmt.Sprint(b.turn / 6)}}
			})
			if err != nil {
				b.t.Error(err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// phase saves what is decided as the engine does, waits until the Placements say it, and counts.
func (b *books) phase(what string) {
	b.t.Helper()
	b.mu.Lock()
	b.sent = nil
	b.mu.Unlock()
	began := time.Now()
	for {
		kept, err := b.store.Save(b.t.Context(), engine.State{Placements: b.placed})
		if err != nil {
			b.t.Fatal(err)
		}
		if len(kept.Waiting) == 0 {
			break
		}
		<-time.After(max(time.Until(kept.Again), 10*time.Millisecond))
	}
	acts := time.Since(began)
	for !b.written() {
		if time.Since(began) > 20*time.Minute {
			b.t.Fatalf("%s: not written within twenty minutes", what)
		}
		<-time.After(100 * time.Millisecond)
	}
	all := time.Since(began)
	worst, pages, decisions, statuses := b.count()
	if worst > budget {
		b.t.Errorf("%s: %d writes within one second, more than %d", what, worst, budget)
	}
	if acts > 10*time.Second {
		b.t.Errorf("%s: something waits for %s until its decision is kept", what, acts)
	}
	b.rows = append(b.rows, []string{what, acts.Round(10 * time.Millisecond).String(), all.Round(100 * time.Millisecond).String(),
		fmt.Sprint(pages), fmt.Sprint(decisions), fmt.Sprint(statuses), fmt.Sprint(worst)})
}

// written tells that every Placement says what was decided, and none is left over.
func (b *books) written() bool {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	return len(b.store.ledger.open) == 0 && len(b.store.gone) == 0 && len(b.store.kept) == len(b.placed)
}

// count returns the most writes within one second, and how many there were for what.
func (b *books) count() (worst, pages, decisions, statuses int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.SortFunc(b.sent, func(x, y sent) int { return x.at.Compare(y.at) })
	first := 0
	for i, w := range b.sent {
		switch {
		case strings.Contains(w.path, "/secrets"):
			pages++
		case strings.HasSuffix(w.path, "/status"):
			statuses++
		default:
			decisions++
		}
		for w.at.Sub(b.sent[first].at) >= time.Second {
			first++
		}
		worst = max(worst, i-first+1)
	}
	return worst, pages, decisions, statuses
}

// print shows the table.
func (b *books) print() {
	var text strings.Builder
	fmt.Fprintf(&text, "%d clusters, %d workloads; every cluster tells something new every 10s, every workload every minute\n", b.clusters, b.workloads)
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "phase\tmay act after\tall in Placements after\tjournal writes\tdecision writes\tstatus writes\tmost writes in a second")
	for _, row := range b.rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	if err := table.Flush(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("%s%s", text.String(), b.memory())
}

// memory says what the store and the writer hold, by letting go of them.
func (b *books) memory() string {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	b.store.mu.Lock()
	b.writer.mu.Lock()
	with := heap()
	b.writer.entries = map[reference]*entry{}
	b.store.kept, b.store.reports, b.placed = map[types.NamespacedName]record{}, nil, nil
	without := heap()
	b.store.reports = map[types.NamespacedName]v1alpha1.PlacementStatus{}
	b.writer.mu.Unlock()
	b.store.mu.Unlock()
	return fmt.Sprintf("what the store and the writer remember: %d KiB", (with-without)>>10)
}
