package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptForge speaks as much of GitHub's API as a comment and a status take, over https on loopback. A token
// called good-token is let in, and nobody may make check runs.
type scriptForge struct {
	mu       sync.Mutex
	comments []map[string]any
	statuses []map[string]any
	asked    int
}

type scriptForgeKey struct{}

// forgeCommand is what scripts have to post to:
//
//	forge start      starts a server, trusts it, and sets GITHUB_API_URL, GITHUB_TOKEN and GITHUB_REPOSITORY
//	forge dump FILE  writes what was posted so far
func forgeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: forge start | forge dump FILE")
	}
	if args[0] == "dump" {
		f, started := ts.Value(scriptForgeKey{}).(*scriptForge)
		if !started || len(args) != 2 {
			ts.Fatalf("usage: forge start, then forge dump FILE")
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(f.String()), 0o600))
		return
	}
	f := ts.Value(scriptForgeKey{}).(*scriptForge)
	server := httptest.NewTLSServer(f)
	ts.Defer(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), ca, 0o600))
	for name, value := range map[string]string{
		"SSL_CERT_FILE": ts.MkAbs("ca.pem"), "GITHUB_API_URL": server.URL, "GITHUB_TOKEN": "good-token", "GITHUB_REPOSITORY": "acme/fleet",
	} {
		ts.Setenv(name, value)
	}
}

func (f *scriptForge) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, c := range f.comments {
		fmt.Fprintf(&b, "comment %v by %v\n%s\n", c["id"], c["user"].(map[string]any)["login"], c["body"])
	}
	for _, s := range f.statuses {
		fmt.Fprintf(&b, "status %v of %v: %v\n", s["state"], s["context"], s["description"])
	}
	return b.String()
}

// ServeHTTP answers one request.
func (f *scriptForge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body) // A request may have no body.
	id, _ := strconv.Atoi(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
	switch {
	case r.Header.Get("Authorization") != "Bearer good-token":
		f.answer(w, http.StatusUnauthorized, map[string]any{"message": "Bad credentials for " + r.Header.Get("Authorization")})
	case r.URL.Path == "/graphql":
		f.answer(w, http.StatusOK, map[string]any{"data": map[string]any{"viewer": map[string]any{"login": "armada-bot"}}})
	case strings.Contains(r.URL.Path, "/check-runs"):
		f.answer(w, http.StatusForbidden, map[string]any{"message": "Resource not accessible by integration"})
	case strings.Contains(r.URL.Path, "/statuses") && r.Method == http.MethodPost:
		f.statuses = append([]map[string]any{body}, f.statuses...)
		f.answer(w, http.StatusCreated, body)
	case strings.Contains(r.URL.Path, "/statuses"):
		f.answer(w, http.StatusOK, f.statuses)
	case strings.HasSuffix(r.URL.Path, "/issues/482/comments") && r.Method == http.MethodGet:
		f.answer(w, http.StatusOK, f.comments)
	case strings.HasSuffix(r.URL.Path, "/issues/482/comments"):
		f.comments = append(f.comments, map[string]any{"id": len(f.comments) + 1, "body": body["body"], "user": map[string]any{"login": "armada-bot"}})
		f.answer(w, http.StatusCreated, f.comments[len(f.comments)-1])
	case r.Method == http.MethodPatch && id > 0 && id <= len(f.comments):
		f.comments[id-1]["body"] = body["body"]
		f.answer(w, http.StatusOK, f.comments[id-1])
	default:
		f.answer(w, http.StatusNotFound, map[string]any{"message": "Not Found"})
	}
}

func (f *scriptForge) answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // Whoever asked has gone.
}
