package simfleet

import (
	"net/http"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/endpoints/request"
)

// Request is one request that a cluster got, like a line of an audit log.
type Request struct {
	// Time is when it arrived, Took how long the answer took; zero while it is
	// being answered, as a watch is.
	Time time.Time
	Took time.Duration
	// Verb is the API verb: get, list, watch, create, update, patch, delete,
	// deletecollection; for paths outside the API the HTTP method in lower case.
	Verb string
	// Group, Resource, Subresource, Namespace and Name as in the path.
	Group, Resource, Subresource, Namespace, Name string
	// Path is the path and the query.
	Path string
	// ContentType tells the kinds of patch apart.
	ContentType string
	UserAgent   string
	// As is the user that the request was made as, by impersonation; empty: the administrator.
	As string
	// DryRun says that nothing was to be written.
	DryRun bool
	// Code is the HTTP status; zero while the request is being answered.
	Code int
}

// Write says whether the request changes something, if it succeeds.
func (r Request) Write() bool {
	switch r.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return !r.DryRun
	default:
		return false
	}
}

// trace counts the requests of a cluster and remembers the latest.
type trace struct {
	mu     sync.Mutex
	limit  int
	counts map[counterKey]int
	latest []*Request
	open   map[*Request]struct{}
}

type counterKey struct{ verb, resource string }

func newTrace(limit int) *trace {
	return &trace{limit: limit, counts: map[counterKey]int{}, open: map[*Request]struct{}{}}
}

func (t *trace) begin(now time.Time, req *http.Request, info *request.RequestInfo) *Request {
	r := &Request{
		Time: now, Verb: info.Verb, Group: info.APIGroup, Resource: info.Resource, Subresource: info.Subresource,
		Namespace: info.Namespace, Name: info.Name, Path: req.URL.RequestURI(),
		ContentType: req.Header.Get("Content-Type"), UserAgent: req.UserAgent(), As: req.Header.Get("Impersonate-User"), DryRun: req.URL.Query().Get("dryRun") != "",
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[counterKey{r.Verb, resourceName(r)}]++
	t.open[r] = struct{}{}
	if t.limit < 0 {
		return r
	}
	if len(t.latest) >= t.limit {
		t.latest = append(make([]*Request, 0, t.limit), t.latest[len(t.latest)-t.limit*3/4:]...)
	}
	t.latest = append(t.latest, r)
	return r
}

func (t *trace) end(r *Request, code int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Code, r.Took = code, now.Sub(r.Time)
	delete(t.open, r)
}

func resourceName(r *Request) string {
	name := r.Resource
	if name == "" {
		return r.Path
	}
	if r.Group != "" {
		name += "." + r.Group
	}
	if r.Subresource != "" {
		name += "/" + r.Subresource
	}
	return name
}

// Requests returns the latest requests, oldest first, as far as TraceLimit goes.
func (c *Cluster) Requests() []Request {
	c.trace.mu.Lock()
	defer c.trace.mu.Unlock()
	out := make([]Request, 0, len(c.trace.latest))
	for _, r := range c.trace.latest {
		out = append(out, *r)
	}
	return out
}

// Count returns how many requests with that verb the cluster got for a resource,
// "deployments.apps" or "pods/status"; "" stands for any verb or any resource.
func (c *Cluster) Count(verb, resource string) int {
	c.trace.mu.Lock()
	defer c.trace.mu.Unlock()
	n := 0
	for key, count := range c.trace.counts {
		if (verb == "" || verb == key.verb) && (resource == "" || resource == key.resource) {
			n += count
		}
	}
	return n
}

// Open returns how many requests are being answered: watches at rest.
func (c *Cluster) Open() int {
	c.trace.mu.Lock()
	defer c.trace.mu.Unlock()
	return len(c.trace.open)
}

// ResetTrace forgets counters and requests.
func (c *Cluster) ResetTrace() {
	c.trace.mu.Lock()
	defer c.trace.mu.Unlock()
	c.trace.counts = map[counterKey]int{}
	c.trace.latest = nil
}
