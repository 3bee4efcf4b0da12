package source

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/armada-sync/armada-sync/e2e/gitrepo"
)

// gitHTTP serves the bare repositories below a folder with git http-backend,
// over TLS on the loopback interface.
type gitHTTP struct {
	*httptest.Server
	certificate []byte
	backend     http.Handler

	mu       sync.Mutex
	requests []string // method, path and query, whether credentials came along
	// intercept may answer a request itself.
	intercept func(w http.ResponseWriter, r *http.Request) bool
}

func newGitHTTP(tb testing.TB, root string) *gitHTTP {
	tb.Helper()
	s := &gitHTTP{backend: gitrepo.Handler(tb, root)}
	s.Server, s.certificate = gitrepo.ServeHTTPS(tb, http.HandlerFunc(s.serve))
	return s
}

func (s *gitHTTP) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	line := r.Method + " " + r.URL.Path
	if r.Header.Get("Authorization") != "" {
		line += " +credentials"
	}
	s.requests = append(s.requests, line)
	intercept := s.intercept
	s.mu.Unlock()
	if intercept == nil || !intercept(w, r) {
		s.backend.ServeHTTP(w, r)
	}
}

func (s *gitHTTP) setIntercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// seen gives the requests since the last call.
func (s *gitHTTP) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

// ca is the server's certificate in PEM.
func (s *gitHTTP) ca() []byte { return s.certificate }

// basicAuth asks for a user and password.
func basicAuth(user, password string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		u, p, _ := r.BasicAuth()
		if u == user && p == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", "Basic")
		http.Error(w, "you sent "+u+":"+p+" and "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return true
	}
}

// gitSSH is an SSH server that runs git-upload-pack for one key.
type gitSSH struct {
	addr string
	host ssh.PublicKey
}

func newGitSSH(tb testing.TB, allowed ssh.PublicKey) *gitSSH {
	tb.Helper()
	address, host := gitrepo.ServeSSH(tb, allowed)
	return &gitSSH{address, host}
}

func (s *gitSSH) knownHosts(key ssh.PublicKey) []byte { return []byte(gitrepo.KnownHosts(s.addr, key)) }
