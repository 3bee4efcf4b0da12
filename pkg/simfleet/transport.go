package simfleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// link is the network in front of a cluster. It can be cut (packets vanish) or
// closed (connections are refused).
type link struct {
	mu sync.Mutex
	// open is closed while packets flow, so that waiting for it is a receive.
	open chan struct{}
	// down is closed when connections end; a new one replaces it at the start.
	down    chan struct{}
	stopped bool
}

func newLink() *link {
	open := make(chan struct{})
	close(open)
	return &link{open: open, down: make(chan struct{})}
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		l.open = make(chan struct{})
	default:
	}
}

func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
	default:
		close(l.open)
	}
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.stopped = true
		close(l.down)
	}
}

func (l *link) reopen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		l.stopped = false
		l.down = make(chan struct{})
	}
}

// reset ends what is connected; new connections work.
func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		close(l.down)
		l.down = make(chan struct{})
	}
}

func (l *link) state() (open, down chan struct{}, stopped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.down, l.stopped
}

// errRefused is what a connection to a stopped cluster gets.
func errRefused(host string) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: simAddr(host), Err: syscall.ECONNREFUSED}
}

func errReset(host string) error {
	return &net.OpError{Op: "read", Net: "tcp", Addr: simAddr(host), Err: syscall.ECONNRESET}
}

type simAddr string

func (simAddr) Network() string  { return "tcp" }
func (a simAddr) String() string { return string(a) }

// pass waits until packets flow.
func (l *link) pass(ctx context.Context, host string) error {
	for {
		open, down, stopped := l.state()
		if stopped {
			return errRefused(host)
		}
		select {
		case <-open:
			return nil
		default:
		}
		select {
		case <-open:
		case <-down:
			return errReset(host)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// memoryTransport carries requests to a cluster without a connection: the
// handler runs in a goroutine and writes into the response's body.
type memoryTransport struct{ cluster *Cluster }

// RoundTrip implements http.RoundTripper.
func (t *memoryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := t.cluster
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("read the request body: %w", err)
		}
	}
	if err := c.link.pass(req.Context(), c.name); err != nil {
		return nil, err
	}
	_, down, _ := c.link.state()
	// The handler's context ends with the answer's body, not with the request's
	// function, as on a real connection.
	ctx, cancel := context.WithCancel(req.Context())
	in := req.Clone(ctx)
	in.Body = io.NopCloser(bytes.NewReader(body))
	in.ContentLength = int64(len(body))
	in.RequestURI = req.URL.RequestURI()
	in.Host = req.URL.Host
	w := &memoryResponse{
		link: c.link, host: c.name, ctx: ctx, cancel: cancel, header: http.Header{},
		headers: make(chan struct{}), more: make(chan struct{}, 1), down: down,
	}
	go func() {
		defer w.finish()
		c.ServeHTTP(w, in)
	}()
	select {
	case <-w.headers:
	case <-down:
		cancel()
		return nil, errReset(c.name)
	case <-req.Context().Done():
		cancel()
		return nil, req.Context().Err()
	}
	return w.response(req), nil
}

// memoryResponse is an answer under way: the handler writes, the client reads.
type memoryResponse struct {
	link   *link
	host   string
	ctx    context.Context
	cancel context.CancelFunc
	down   chan struct{}

	header  http.Header
	headers chan struct{}
	once    sync.Once
	status  int
	sent    http.Header

	mu     sync.Mutex
	buf    bytes.Buffer
	done   bool
	failed bool
	more   chan struct{}
}

func (w *memoryResponse) Header() http.Header { return w.header }

func (w *memoryResponse) WriteHeader(code int) {
	w.once.Do(func() {
		// On a link that is cut even the headers do not arrive.
		if w.link.pass(w.ctx, w.host) != nil {
			return
		}
		w.status, w.sent = code, w.header.Clone()
		close(w.headers)
	})
}

// Write never fails, since a handler that cannot write logs it; its context has
// ended when nobody reads any more.
func (w *memoryResponse) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.link.pass(w.ctx, w.host) != nil {
		return len(p), nil //nolint:nilerr // See above.
	}
	w.mu.Lock()
	w.buf.Write(p)
	w.mu.Unlock()
	w.wake()
	return len(p), nil
}

// Flush implements http.Flusher.
func (w *memoryResponse) Flush() { w.WriteHeader(http.StatusOK) }

// abort makes the client see a connection that broke.
func (w *memoryResponse) abort() {
	w.mu.Lock()
	w.failed = true
	w.mu.Unlock()
	w.wake()
}

func (w *memoryResponse) finish() {
	// A handler that gives up on purpose panics with http.ErrAbortHandler, as on a
	// real server.
	if r := recover(); r != nil {
		err, ok := r.(error)
		if !ok || !errors.Is(err, http.ErrAbortHandler) {
			panic(r)
		}
		w.abort()
	}
	w.WriteHeader(http.StatusOK)
	w.mu.Lock()
	w.done = true
	w.mu.Unlock()
	w.wake()
}

func (w *memoryResponse) wake() {
	select {
	case w.more <- struct{}{}:
	default:
	}
}

func (w *memoryResponse) response(req *http.Request) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: w, ContentLength: -1, Request: req,
	}
}

// Read implements io.Reader for the client's side of the body.
func (w *memoryResponse) Read(p []byte) (int, error) {
	for {
		w.mu.Lock()
		n, _ := w.buf.Read(p)
		done, failed := w.done, w.failed
		w.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case failed:
			return 0, io.ErrUnexpectedEOF
		case done:
			return 0, io.EOF
		}
		select {
		case <-w.more:
		case <-w.down:
			return 0, errReset(w.host)
		case <-w.ctx.Done():
			return 0, w.ctx.Err()
		}
	}
}

// Close implements io.Closer; it ends the handler's context.
func (w *memoryResponse) Close() error {
	w.cancel()
	return nil
}
