package simfleet

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"
)

// serve answers one request: count it, disturb it, route it.
func (c *Cluster) serve(w http.ResponseWriter, req *http.Request) {
	info, err := requestInfo(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	rec := c.trace.begin(c.now(), req, info)
	out := &statusWriter{ResponseWriter: w}
	defer func() { c.trace.end(rec, out.code(), c.now()) }()

	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	ctx = audit.WithAuditContext(ctx)
	ctx = request.WithRequestInfo(ctx, info)
	ctx = request.WithUser(ctx, userOf(req))
	ctx = request.WithReceivedTimestamp(ctx, c.now())
	ctx = context.WithValue(ctx, clusterKey{}, c)
	ctx = warning.WithWarningRecorder(ctx, &warningWriter{header: w.Header()})
	req = req.WithContext(ctx)

	if c.disturb(out, req, info, cancel) {
		return
	}
	if !c.permits(out, req, info) {
		return
	}
	if !info.IsResourceRequest {
		c.serveNonResource(out, req)
		return
	}
	c.serveResource(out, req, info)
}

func requestInfo(req *http.Request) (*request.RequestInfo, error) {
	factory := request.RequestInfoFactory{
		APIPrefixes:          sets.NewString("api", "apis"),
		GrouplessAPIPrefixes: sets.NewString("api"),
	}
	info, err := factory.NewRequestInfo(req)
	if err != nil {
		return nil, fmt.Errorf("read request %q: %w", req.URL.Path, err)
	}
	return info, nil
}

func (c *Cluster) serveResource(w http.ResponseWriter, req *http.Request, info *request.RequestInfo) {
	gvr := schema.GroupVersionResource{Group: info.APIGroup, Version: info.APIVersion, Resource: info.Resource}
	sv := c.find(gvr)
	if sv == nil || (info.Namespace != "" && !sv.registry.NamespaceScoped() && info.Resource != "namespaces") {
		notFound(w)
		return
	}
	verb := info.Verb
	if info.Subresource != "" {
		verb += "/" + info.Subresource
	}
	handler := sv.handlers[verb]
	switch {
	case handler == nil && info.Subresource != "" && !sv.hasSub(info.Subresource):
		notFound(w)
		return
	case handler == nil, needsNamespace(sv, info):
		err := errors.NewMethodNotSupported(gvr.GroupResource(), info.Verb)
		responsewriters.ErrorNegotiated(err, c.catalog.codecs, gvr.GroupVersion(), w, req)
		return
	}
	handler()(w, req)
}

func (sv *served) hasSub(name string) bool {
	for _, sub := range sv.subresources {
		if sub.name == name {
			return true
		}
	}
	return false
}

// needsNamespace says whether a request for all namespaces uses a verb that
// only works inside one.
func needsNamespace(sv *served, info *request.RequestInfo) bool {
	if !sv.registry.NamespaceScoped() || info.Namespace != "" {
		return false
	}
	return info.Verb != "list" && info.Verb != "watch"
}

// notFound answers as the API server does for a path that it does not know.
func notFound(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = fmt.Fprintln(w, "404 page not found")
}

func writeJSON(w http.ResponseWriter, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body)
}

// statusWriter remembers the status code.
type statusWriter struct {
	http.ResponseWriter
	mu     sync.Mutex
	status int
}

func (w *statusWriter) WriteHeader(code int) {
	w.mu.Lock()
	if w.status == 0 {
		w.status = code
	}
	w.mu.Unlock()
	w.ResponseWriter.WriteHeader(code)
}

// Flush implements http.Flusher, which watches need.
func (w *statusWriter) Flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (w *statusWriter) code() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// warningWriter turns warnings into response headers.
type warningWriter struct {
	mu     sync.Mutex
	header http.Header
	seen   map[string]bool
}

// AddWarning implements warning.Recorder.
func (w *warningWriter) AddWarning(agent, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[text] {
		return
	}
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	w.seen[text] = true
	if agent == "" {
		agent = "-"
	}
	if header, err := utilnet.NewWarningHeader(299, agent, text); err == nil {
		w.header.Add("Warning", header)
	}
}
