package forge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/armada-sync/armada-sync/pkg/forge"
)

const (
	token  = "CANARY-token-0123456789"
	commit = "7be41d8000000000000000000000000000000000"
)

// note is a comment on the server.
type note struct {
	id           int64
	author, body string
}

// server speaks the part of one forge's API that is used, in the shapes that the forge's documentation
// records: GitHub's REST v3 of 2022-11-28, GitLab's v4, Gitea's v1.
type server struct {
	kind forge.Kind
	*httptest.Server

	mu       sync.Mutex
	notes    []note
	next     int64
	requests []string
	// statuses and runs are what was posted, the newest first.
	statuses, runs []map[string]any
	annotations    int
	// limit is the most bytes of a body; perPage bounds pages; noChecks refuses check runs.
	limit, perPage int
	noChecks       bool
	// trouble may answer a request first; it returns whether it did.
	trouble func(w http.ResponseWriter, r *http.Request) bool
	waited  []time.Duration
}

func newServer(t *testing.T, kind forge.Kind) *server {
	t.Helper()
	s := &server{kind: kind, next: 100, limit: 65536, perPage: 100}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *server) root() string {
	return s.URL + map[forge.Kind]string{forge.GitHub: "/api/v3", forge.GitLab: "/api/v4", forge.Gitea: "/api/v1"}[s.kind]
}

func (s *server) target() forge.Target {
	return forge.Target{Kind: s.kind, API: s.root(), Project: "acme/fleet", Change: "482", Commit: commit, Token: token, Page: "https://ci.example.com/1"}
}

// post posts to the server as the command does.
func (s *server) post(t *testing.T, target forge.Target, render forge.Render, v forge.Verdict) (forge.Done, error) {
	t.Helper()
	f, err := forge.New(target, forge.Options{
		Transport: s.Client().Transport,
		Wait: func(_ context.Context, d time.Duration) error {
			s.waited = append(s.waited, d)
			return nil
		},
		Now: func() time.Time { return time.Unix(1_800_000_000, 0) },
	})
	if err != nil {
		return forge.Done{}, err
	}
	return f.Post(t.Context(), render, v)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, strings.TrimPrefix(s.root(), s.URL))
	s.requests = append(s.requests, r.Method+" "+path)
	if s.trouble != nil && s.trouble(w, r) {
		return
	}
	if !s.authorized(r) {
		answer(w, http.StatusUnauthorized, map[string]any{"message": "Bad credentials"})
		return
	}
	var body map[string]any
	if raw, _ := io.ReadAll(r.Body); len(raw) > 0 {
		if err := json.Unmarshal(raw, &body); err != nil {
			answer(w, http.StatusBadRequest, map[string]any{"message": err.Error()})
			return
		}
	}
	switch {
	case r.URL.Path == "/api/graphql" && r.Method == http.MethodPost:
		answer(w, http.StatusOK, map[string]any{"data": map[string]any{"viewer": map[string]any{"login": "armada-bot"}}})
	case path == "/user" && s.kind != forge.GitHub:
		answer(w, http.StatusOK, map[string]any{"id": 7, "login": "armada-bot", "username": "armada-bot"})
	case strings.HasSuffix(path, "/pulls"):
		answer(w, http.StatusOK, []any{map[string]any{"number": 482, "head": map[string]any{"sha": commit}}})
	case strings.Contains(path, "/statuses"):
		s.status(w, r, body)
	case strings.Contains(path, "/check-runs"):
		s.check(w, r, body)
	case strings.Contains(path, "/comments") || strings.Contains(path, "/notes"):
		s.comment(w, r, path, body)
	default:
		answer(w, http.StatusNotFound, map[string]any{"message": "Not Found"})
	}
}

func (s *server) authorized(r *http.Request) bool {
	switch s.kind {
	case forge.GitLab:
		return r.Header.Get("PRIVATE-TOKEN") == token
	case forge.Gitea:
		return r.Header.Get("Authorization") == "token "+token
	case forge.GitHub:
	}
	return r.Header.Get("Authorization") == "Bearer "+token
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (s *server) comment(w http.ResponseWriter, r *http.Request, path string, body map[string]any) {
	text, _ := body["body"].(string)
	if len(text) > s.limit {
		if s.kind == forge.GitLab {
			answer(w, http.StatusBadRequest, map[string]any{"message": map[string]any{"note": []string{"is too long (maximum is 1000000 characters)"}}})
			return
		}
		answer(w, http.StatusUnprocessableEntity, map[string]any{
			"message": "Validation Failed",
			"errors":  []any{map[string]any{"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": "Body is too long (maximum is 65536 characters)"}},
		})
		return
	}
	last := path[strings.LastIndex(path, "/")+1:]
	id, err := strconv.ParseInt(last, 10, 64)
	switch {
	case err != nil && r.Method == http.MethodGet:
		s.list(w, r)
	case err != nil && r.Method == http.MethodPost:
		s.next++
		s.notes = append(s.notes, note{s.next, s.me(), text})
		answer(w, http.StatusCreated, s.shape(s.notes[len(s.notes)-1]))
	default:
		for i, n := range s.notes {
			if n.id != id {
				continue
			}
			if r.Method == http.MethodDelete {
				s.notes = append(s.notes[:i], s.notes[i+1:]...)
				w.WriteHeader(http.StatusNoContent)
				return
			}
			s.notes[i].body = text
			answer(w, http.StatusOK, s.shape(s.notes[i]))
			return
		}
		answer(w, http.StatusNotFound, map[string]any{"message": "Not Found"})
	}
}

func (s *server) me() string {
	if s.kind == forge.GitLab {
		return "7"
	}
	return "armada-bot"
}

func (s *server) shape(n note) map[string]any {
	if s.kind == forge.GitLab {
		id, _ := strconv.Atoi(n.author)
		return map[string]any{"id": n.id, "body": n.body, "system": false, "author": map[string]any{"id": id, "username": "u" + n.author}}
	}
	return map[string]any{"id": n.id, "body": n.body, "user": map[string]any{"login": n.author, "type": "Bot"}}
}

// list answers page by page, with the next one in a Link header.
func (s *server) list(w http.ResponseWriter, r *http.Request) {
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	page = max(page, 1)
	from, to := (page-1)*s.perPage, min(page*s.perPage, len(s.notes))
	items := []any{}
	for _, n := range s.notes[min(from, to):to] {
		items = append(items, s.shape(n))
	}
	if to < len(s.notes) {
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?page=%d>; rel="next", <%s%s?page=9>; rel="last"`, s.URL, r.URL.Path, page+1, s.URL, r.URL.Path))
	}
	answer(w, http.StatusOK, items)
}

func (s *server) status(w http.ResponseWriter, r *http.Request, body map[string]any) {
	if r.Method == http.MethodPost {
		if s.kind == forge.GitLab && len(s.statuses) > 0 && s.statuses[0]["state"] == body["state"] {
			answer(w, http.StatusBadRequest, map[string]any{"message": "Cannot transition status via :succeed from :success (Reason(s): Status cannot transition via \"succeed\")"})
			return
		}
		if s.kind == forge.Gitea {
			body["status"] = body["state"]
			delete(body, "state")
		}
		s.statuses = append([]map[string]any{body}, s.statuses...)
		answer(w, http.StatusCreated, body)
		return
	}
	answer(w, http.StatusOK, s.statuses)
}

func (s *server) check(w http.ResponseWriter, r *http.Request, body map[string]any) {
	if s.noChecks {
		answer(w, http.StatusForbidden, map[string]any{"message": "You must authenticate via a GitHub App.", "documentation_url": "https://docs.github.com/rest/checks/runs", "status": "403"})
		return
	}
	output, _ := body["output"].(map[string]any)
	annotations, _ := output["annotations"].([]any)
	if len(annotations) > 50 {
		answer(w, http.StatusUnprocessableEntity, map[string]any{"message": "Only 50 annotations"})
		return
	}
	s.annotations += len(annotations)
	switch r.Method {
	case http.MethodGet:
		answer(w, http.StatusOK, map[string]any{"total_count": len(s.runs), "check_runs": s.runs})
	case http.MethodPost:
		body["id"] = 4
		s.runs = append([]map[string]any{body}, s.runs...)
		answer(w, http.StatusCreated, body)
	default:
		answer(w, http.StatusOK, map[string]any{"id": 4})
	}
}
