package simfleet

import (
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// server is the loopback port of a cluster, for kubectl and other processes.
type server struct {
	token string
	cert  tls.Certificate
	pem   []byte

	mu   sync.Mutex
	addr string
	http *http.Server
	// conns are the open connections, so that they can be broken.
	conns map[net.Conn]struct{}
}

// Serve opens a port on the loopback interface, once, and returns the URL of the
// cluster. Requests there need the token of the kubeconfig.
func (c *Cluster) Serve() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		cert, pem, err := newCertificate(c.name)
		if err != nil {
			return "", err
		}
		s := &server{token: rand.Text(), cert: cert, pem: pem, addr: "127.0.0.1:0", conns: map[net.Conn]struct{}{}}
		if err := s.start(c); err != nil {
			return "", err
		}
		c.server = s
	}
	return "https://" + c.server.address(), nil
}

// Kubeconfig returns a kubeconfig with the cluster's name as the only context. It
// opens the port if it is not yet open.
func (c *Cluster) Kubeconfig() ([]byte, error) {
	url, err := c.Serve()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	token, pem := c.server.token, c.server.pem
	c.mu.Unlock()
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters[c.name] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: pem}
	cfg.AuthInfos[c.name] = &clientcmdapi.AuthInfo{Token: token}
	cfg.Contexts[c.name] = &clientcmdapi.Context{Cluster: c.name, AuthInfo: c.name, Namespace: "default"}
	cfg.CurrentContext = c.name
	out, err := clientcmd.Write(*cfg)
	if err != nil {
		return nil, fmt.Errorf("write kubeconfig of %q: %w", c.name, err)
	}
	return out, nil
}

// WriteKubeconfig writes Kubeconfig to a file that only its owner can read.
func (c *Cluster) WriteKubeconfig(path string) error {
	content, err := c.Kubeconfig()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig of %q: %w", c.name, err)
	}
	return nil
}

// start listens, at the old address if there was one.
func (s *server) start(c *Cluster) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	ln, err := net.Listen("tcp", s.addr) //nolint:noctx // Listening on loopback does not wait.
	if err != nil {
		return fmt.Errorf("open a port for cluster %q: %w", c.name, err)
	}
	s.addr = ln.Addr().String()
	s.http = &http.Server{
		Handler:           s.handler(c),
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnState:         s.track,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{s.cert}, MinVersion: tls.VersionTLS12},
	}
	go func(h *http.Server) {
		if err := h.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
			_ = ln.Close()
		}
	}(s.http)
	return nil
}

func (s *server) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

func (s *server) track(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns[conn] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, conn)
	default:
		// A busy and an idle connection are both open.
	}
}

// handler checks the token and puts the cluster's network in between.
func (s *server) handler(c *Cluster) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if c.link.pass(req.Context(), c.name) != nil {
			panic(http.ErrAbortHandler)
		}
		want := "Bearer " + s.token
		if subtle.ConstantTimeCompare([]byte(req.Header.Get("Authorization")), []byte(want)) != 1 {
			w.Header().Set("Content-Type", contentJSON)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`)
			return
		}
		c.ServeHTTP(&linkWriter{ResponseWriter: w, cluster: c, req: req}, req)
	})
}

// cut breaks the open connections.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// stop closes the port and the connections; start opens it again.
func (s *server) stop() {
	s.mu.Lock()
	h := s.http
	s.http = nil
	s.mu.Unlock()
	if h != nil {
		_ = h.Close()
	}
}

func (s *server) close() { s.stop() }

// linkWriter holds back what is written while the cluster is cut off.
type linkWriter struct {
	http.ResponseWriter
	cluster *Cluster
	req     *http.Request
}

func (w *linkWriter) Write(p []byte) (int, error) {
	if w.cluster.link.pass(w.req.Context(), w.cluster.name) != nil {
		return len(p), nil //nolint:nilerr // Nobody will read it; a failure would only be logged.
	}
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (w *linkWriter) Flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}
