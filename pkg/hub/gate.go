package hub

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/register"
)

// errLeaving tells that a write was refused because the cluster leaves the fleet.
var errLeaving = errors.New("the cluster leaves the fleet")

// gate lets writes to one cluster through until the cluster leaves, and knows when the last one was
// answered: whoever removes what we applied waits for that, since nothing is put back from then on.
type gate struct {
	mu       sync.Mutex
	shut     bool
	inFlight int
}

// gates are those of every connection that was made, by cluster.
type gates struct {
	mu  sync.Mutex
	all map[string][]*gate
}

func newGates() *gates { return &gates{all: map[string][]*gate{}} }

// wrap is for the rest.Config of one connection to a cluster.
func (g *gates) wrap(cluster string) func(http.RoundTripper) http.RoundTripper {
	one := &gate{}
	g.mu.Lock()
	// Gates that were shut with nothing in flight are done with.
	open := g.all[cluster][:0:0]
	for _, before := range g.all[cluster] {
		if !before.idle() {
			open = append(open, before)
		}
	}
	g.all[cluster] = append(open, one)
	g.mu.Unlock()
	return func(next http.RoundTripper) http.RoundTripper { return &gated{gate: one, next: next} }
}

// shut shuts every gate of a cluster and tells whether nothing is in flight any more.
func (g *gates) shut(cluster string) (quiet bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	quiet = true
	for _, one := range g.all[cluster] {
		one.mu.Lock()
		one.shut = true
		quiet = quiet && one.inFlight == 0
		one.mu.Unlock()
	}
	return quiet
}

func (g *gate) idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut && g.inFlight == 0
}

// enter tells whether a write may begin.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	g.inFlight++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
}

type gated struct {
	gate *gate
	next http.RoundTripper
}

// RoundTrip passes reads on, and writes while the gate is open.
func (t *gated) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return t.next.RoundTrip(r)
	}
	if !t.gate.enter() {
		return nil, errLeaving
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		t.gate.leave()
		return nil, err
	}
	resp.Body = &counted{ReadCloser: resp.Body, leave: sync.OnceFunc(t.gate.leave)}
	return resp, nil
}

// counted is a body that ends a write.
type counted struct {
	io.ReadCloser
	leave func()
}

// Close closes the body.
func (b *counted) Close() error {
	defer b.leave()
	return b.ReadCloser.Close()
}

// isLeaving tells that somebody is taking a cluster out of the fleet.
func isLeaving(c *v1alpha1.Cluster) bool { return c.Annotations[register.AnnotationLeaving] != "" }

// letGo says of clusters that leave when the last write was answered: `unjoin --prune` waits for it. It
// tells whether there is one that was not said of yet.
func (r *reporter) letGo(ctx context.Context) (pending bool, err error) {
	for _, c := range list[v1alpha1.Cluster](r.watcher.clusters) {
		if !isLeaving(c) {
			continue
		}
		v := verdict{ready: metav1.ConditionFalse, reason: register.ReasonLeft, message: "the cluster leaves the fleet: nothing is written to it any more"}
		if !r.gates.shut(c.Name) {
			pending = true
			continue
		}
		ref := clusterRef(c.Name)
		status := ourPart(c.Status)
		status.ObservedGeneration, status.Conditions = c.Generation, r.next(ref, v, c.Generation)
		if err := r.writer.want(ref, status); err != nil {
			return pending, err
		}
		// A person waits for this one.
		if err := r.writer.writeNow(ctx, ref); err != nil {
			return true, err
		}
	}
	return pending, nil
}
