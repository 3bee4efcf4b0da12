package simfleet

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// Faults disturb a cluster's answers. Shares are between 0 and 1 of the requests
// they apply to; which ones is decided by a hash of the seed, the cluster, the
// request and how often it was tried, so that a run repeats and a retry can
// succeed. At most one fault hits a request, in the order of the fields.
type Faults struct {
	// Latency delays every answer; Jitter adds up to that much more.
	Latency, Jitter time.Duration
	// TooManyRequests is the share answered 429 with Retry-After.
	TooManyRequests float64
	// RetryAfter is what Retry-After says, rounded up to seconds. Default: 1 s.
	RetryAfter time.Duration
	// InternalErrors is the share answered 500, Unavailable 503.
	InternalErrors, Unavailable float64
	// Conflicts is the share of updates and patches answered 409, as if somebody
	// had been faster.
	Conflicts float64
	// LostReplies is the share of requests that are carried out although the
	// connection breaks before the answer. Watches are never hit.
	LostReplies float64
	// CutWatches is the share of watches whose connection breaks after
	// CutWatchesAfter (default: 1 s).
	CutWatches      float64
	CutWatchesAfter time.Duration
	// StaleLists is how many revisions old lists and watches are that allow any
	// version (resourceVersion=0), as those of a lagging API server.
	StaleLists uint64
	// Verbs and Resources, if given, are the only ones that are hit ("deployments",
	// without group). Latency and StaleLists always apply.
	Verbs, Resources []string
}

// SetFaults replaces the faults of a cluster. The zero value ends them.
func (c *Cluster) SetFaults(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = f
	c.tries = map[uint64]uint64{}
}

// Partition cuts the network: requests hang, watches fall silent, and nobody
// notices before a timeout. What is under way continues after Heal.
func (c *Cluster) Partition() { c.link.cut() }

// Heal ends a partition.
func (c *Cluster) Heal() { c.link.heal() }

// Stop stops the cluster: connections break, new ones are refused, and its
// controllers stand still. The objects stay.
func (c *Cluster) Stop() {
	c.tasks.pause()
	c.link.close()
	c.mu.Lock()
	srv := c.server
	c.mu.Unlock()
	if srv != nil {
		srv.stop()
	}
}

// Start starts a stopped cluster again, at the same address. An error means that
// its port is taken.
func (c *Cluster) Start() error {
	c.mu.Lock()
	srv := c.server
	c.mu.Unlock()
	if srv != nil {
		if err := srv.start(c); err != nil {
			return err
		}
	}
	c.link.reopen()
	c.tasks.resume()
	return nil
}

// CutConnections breaks every connection once, as a restarted load balancer
// does.
func (c *Cluster) CutConnections() {
	c.link.reset()
	c.mu.Lock()
	srv := c.server
	c.mu.Unlock()
	if srv != nil {
		srv.cut()
	}
}

func (c *Cluster) staleRevision(gr schema.GroupResource) uint64 {
	c.mu.Lock()
	n := c.faults.StaleLists
	c.mu.Unlock()
	if n == 0 {
		return 0
	}
	return c.store.before(gr, n)
}

// before returns the revision n before now, or the oldest that the window holds.
func (s *store) before(gr schema.GroupResource, n uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := max(s.table(gr).compacted, firstRevision)
	if s.revision <= n {
		return oldest
	}
	return max(oldest, s.revision-n)
}

// disturb applies the faults and says whether it has answered the request.
func (c *Cluster) disturb(w http.ResponseWriter, req *http.Request, info *request.RequestInfo, cancel context.CancelFunc) bool {
	c.mu.Lock()
	f := c.faults
	c.mu.Unlock()
	dice := c.dice(req, info, f)
	if !c.wait(req.Context(), f.Latency+time.Duration(dice(0)*float64(f.Jitter))) {
		return true
	}
	if !f.applies(info) {
		return false
	}
	gr := schema.GroupResource{Group: info.APIGroup, Resource: info.Resource}
	update := info.Verb == "update" || info.Verb == "patch"
	watching := info.Verb == "watch"
	switch {
	case dice(1) < f.TooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(f.RetryAfter.Seconds())))))
		http.Error(w, "Too many requests, please try again later.", http.StatusTooManyRequests)
	case dice(2) < f.InternalErrors:
		c.fail(w, req, apierrors.NewInternalError(errors.New("simulated fault")))
	case dice(3) < f.Unavailable:
		c.fail(w, req, apierrors.NewServiceUnavailable("simulated fault"))
	case update && dice(4) < f.Conflicts:
		c.fail(w, req, apierrors.NewConflict(gr, info.Name, errors.New(optimisticLockMessage)))
	case !watching && dice(5) < f.LostReplies:
		c.loseReply(req, info)
	case watching && dice(6) < f.CutWatches:
		c.cutLater(w, req, info, f.CutWatchesAfter, cancel)
	default:
		return false
	}
	return true
}

func (f Faults) applies(info *request.RequestInfo) bool {
	return (len(f.Verbs) == 0 || slices.Contains(f.Verbs, info.Verb)) &&
		(len(f.Resources) == 0 || slices.Contains(f.Resources, info.Resource))
}

// dice returns a function from the number of a choice to a value in [0, 1).
func (c *Cluster) dice(req *http.Request, info *request.RequestInfo, f Faults) func(choice uint64) float64 {
	if f.quiet() {
		return func(uint64) float64 { return 1 }
	}
	h := fnv.New64a()
	for _, part := range []string{c.name, req.Method, req.URL.Path, info.Verb, req.URL.Query().Get("dryRun")} {
		_, _ = h.Write([]byte(part))
		_, _ = h.Write([]byte{0})
	}
	id := h.Sum64()
	c.mu.Lock()
	attempt := c.tries[id]
	c.tries[id]++
	c.mu.Unlock()
	seed := c.opts.Seed
	return func(choice uint64) float64 {
		h := fnv.New64a()
		for _, n := range []uint64{seed, id, attempt, choice} {
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], n)
			_, _ = h.Write(b[:])
		}
		// FNV mixes its last bytes poorly; this finalizer is that of SplitMix64.
		z := h.Sum64()
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
		z = (z ^ (z >> 27)) * 0x94d049bb133111eb
		return float64((z^(z>>31))>>11) / (1 << 53)
	}
}

func (f Faults) quiet() bool {
	return f.Jitter == 0 && f.TooManyRequests == 0 && f.InternalErrors == 0 && f.Unavailable == 0 &&
		f.Conflicts == 0 && f.LostReplies == 0 && f.CutWatches == 0
}

func (c *Cluster) fail(w http.ResponseWriter, req *http.Request, err error) {
	responsewriters.ErrorNegotiated(err, c.catalog.codecs, schema.GroupVersion{Version: "v1"}, w, req)
}

// wait sleeps for d on the fleet's clock; false when the request ended first.
func (c *Cluster) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	done := make(chan struct{})
	timer := c.opts.Clock.AfterFunc(d, func() { close(done) })
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// loseReply carries the request out and breaks the connection.
func (c *Cluster) loseReply(req *http.Request, info *request.RequestInfo) {
	void := &voidWriter{header: http.Header{}}
	if info.IsResourceRequest {
		c.serveResource(void, req, info)
	} else {
		c.serveNonResource(void, req)
	}
	panic(http.ErrAbortHandler)
}

func (c *Cluster) cutLater(w http.ResponseWriter, req *http.Request, info *request.RequestInfo, after time.Duration, cancel context.CancelFunc) {
	if after == 0 {
		after = time.Second
	}
	timer := c.opts.Clock.AfterFunc(after, cancel)
	defer timer.Stop()
	c.serveResource(w, req, info)
	panic(http.ErrAbortHandler)
}

// voidWriter is an answer that nobody gets.
type voidWriter struct{ header http.Header }

func (w *voidWriter) Header() http.Header         { return w.header }
func (w *voidWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *voidWriter) WriteHeader(int)             {}
func (w *voidWriter) Flush()                      {}

// String names the faults that are on, for logs.
func (f Faults) String() string {
	var parts []string
	add := func(name string, on bool) {
		if on {
			parts = append(parts, name)
		}
	}
	add("latency "+f.Latency.String(), f.Latency > 0)
	add("429", f.TooManyRequests > 0)
	add("500", f.InternalErrors > 0)
	add("503", f.Unavailable > 0)
	add("409", f.Conflicts > 0)
	add("lost replies", f.LostReplies > 0)
	add("cut watches", f.CutWatches > 0)
	add("stale lists", f.StaleLists > 0)
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
