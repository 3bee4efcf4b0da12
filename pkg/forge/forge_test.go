package forge_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/armada-sync/armada-sync/pkg/forge"
)

func part(n, of int, text string) string {
	return fmt.Sprintf("<!-- armada-sync:preview v1 repo=acme/fleet pr=482 part=%d/%d -->\n%s\n", n, of, text)
}

// texts renders parts whatever the limit.
func texts(bodies ...string) forge.Render {
	return func(int) ([]string, error) {
		var parts []string
		for i, b := range bodies {
			parts = append(parts, part(i+1, len(bodies), b))
		}
		return parts, nil
	}
}

var verdict = forge.Verdict{Name: "armada-sync/preview", Title: "7 of 12 clusters change", Summary: "…", ID: "sha256:1"}

func eachKind(t *testing.T, test func(t *testing.T, s *server)) {
	t.Helper()
	for _, kind := range forge.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test(t, newServer(t, kind))
		})
	}
}

// TestKeepsOneCommentUpToDate posts, posts the same, grows, shrinks; comments of others stay as they are.
func TestKeepsOneCommentUpToDate(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, s *server) {
		s.perPage = 2
		imposter := part(1, 1, "somebody else wrote the marker")
		s.notes = []note{{1, "9", "hello"}, {2, "9", imposter}, {3, s.me(), "we said something else"}, {4, "9", "> " + imposter}, {5, "9", "x"}}
		steps := []struct {
			reason string
			render forge.Render
			want   forge.Done
		}{
			{"the first time", texts("one"), forge.Done{Created: 1, Check: "?"}},
			{"the same again writes nothing", texts("one"), forge.Done{Unchanged: 1, Check: "unchanged"}},
			{"it changes and grows", texts("two", "more", "even more"), forge.Done{Edited: 1, Created: 2, Check: "unchanged"}},
			{"it shrinks", texts("three"), forge.Done{Edited: 1, Removed: 2, Check: "unchanged"}},
		}
		for _, step := range steps {
			got, err := s.post(t, s.target(), step.render, verdict)
			if err != nil {
				t.Fatalf("%s: %v", step.reason, err)
			}
			if step.want.Check == "?" {
				step.want.Check = map[bool]string{true: "check run", false: "status"}[s.kind == forge.GitHub]
			}
			if got != step.want {
				t.Errorf("%s: %+v, want %+v", step.reason, got, step.want)
			}
		}
		var bodies []string
		for _, n := range s.notes {
			bodies = append(bodies, n.body)
		}
		want := []string{"hello", imposter, "we said something else", "> " + imposter, "x", part(1, 1, "three")}
		if diff := cmp.Diff(want, bodies); diff != "" {
			t.Errorf("comments (-want +got):\n%s", diff)
		}
	})
}

// TestShortensWhatIsTooLong renders again when the forge takes less than was thought.
func TestShortensWhatIsTooLong(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, s *server) {
		s.limit = 20_000
		var limits []int
		_, err := s.post(t, s.target(), func(limit int) ([]string, error) {
			limits = append(limits, limit)
			if limit == 0 {
				limit = 65_000
			}
			return texts(strings.Repeat("x", limit-200))(0)
		}, verdict)
		if err != nil {
			t.Fatal(err)
		}
		if want := []int{0, 60_000, 30_000, 15_000}; !cmp.Equal(limits, want) {
			t.Errorf("limits %v, want %v", limits, want)
		}
	})
}

// TestWaitsWhenAsked sends again after what the forge says, and never a comment twice.
func TestWaitsWhenAsked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		header map[string]string
		body   string
		want   time.Duration
	}{
		"429 with seconds":             {429, map[string]string{"Retry-After": "7"}, `{"message":"slow down"}`, 7 * time.Second},
		"a secondary limit":            {403, nil, `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}`, time.Minute},
		"a secondary limit with words": {403, map[string]string{"Retry-After": "11"}, `{"message":"You have exceeded a secondary rate limit."}`, 11 * time.Second},
		"the hour's limit":             {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000030"}, `{"message":"API rate limit exceeded"}`, 30 * time.Second},
		"a year":                       {429, map[string]string{"Retry-After": "31536000"}, "", 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, forge.GitHub)
			troubled := 0
			s.trouble = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/comments") || troubled > 0 {
					return false
				}
				troubled++
				for k, v := range c.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
				return true
			}
			if _, err := s.post(t, s.target(), texts("one"), verdict); err != nil {
				t.Fatal(err)
			}
			if len(s.waited) != 1 || s.waited[0] != c.want || len(s.notes) != 1 {
				t.Errorf("waited %v, want %s once; %d comments", s.waited, c.want, len(s.notes))
			}
		})
	}
}

// TestAnAnswerThatIsLost looks again instead of creating a second comment.
func TestAnAnswerThatIsLost(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, s *server) {
		lost := false
		s.trouble = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost || lost || !strings.HasSuffix(r.URL.Path, "s") || strings.Contains(r.URL.Path, "status") {
				return false
			}
			lost = true
			s.notes = append(s.notes, note{50, s.me(), part(1, 1, "one")})
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		got, err := s.post(t, s.target(), texts("one"), verdict)
		if err != nil || len(s.notes) != 1 || got.Unchanged != 1 {
			t.Errorf("%+v, %v, comments %v", got, err, s.notes)
		}
	})
}

// TestFallsBackToAStatus posts a status where the token may not make check runs.
func TestFallsBackToAStatus(t *testing.T) {
	t.Parallel()
	s := newServer(t, forge.GitHub)
	s.noChecks = true
	failed := verdict
	failed.Failed, failed.Title = true, strings.Repeat("ü", 200)
	for _, want := range []string{"status", "unchanged"} {
		got, err := s.post(t, s.target(), texts("one"), failed)
		if err != nil || got.Check != want {
			t.Errorf("%+v, %v, want the check %q", got, err, want)
		}
	}
	if got := s.statuses[0]; got["state"] != "failure" || len([]rune(got["description"].(string))) > 140 || got["target_url"] != "https://ci.example.com/1" {
		t.Errorf("status %v", got)
	}
}

// TestAnnotates sends annotations in portions, once.
func TestAnnotates(t *testing.T) {
	t.Parallel()
	s := newServer(t, forge.GitHub)
	v := verdict
	for i := range 120 {
		v.Annotations = append(v.Annotations, forge.Annotation{Path: "policies/a.yaml", Line: i, Level: "warning", Title: "t", Message: "m"})
	}
	for range 2 {
		if _, err := s.post(t, s.target(), texts("one"), v); err != nil {
			t.Fatal(err)
		}
	}
	if s.annotations != 120 || len(s.runs) != 1 || s.runs[0]["conclusion"] != "success" || s.runs[0]["head_sha"] != commit {
		t.Errorf("%d annotations in %d runs: %v", s.annotations, len(s.runs), s.runs)
	}
}

// TestTheTokenStaysHere follows no redirect to another host, and says nothing of the token in errors.
func TestTheTokenStaysHere(t *testing.T) {
	t.Parallel()
	var leaked []string
	other := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked = append(leaked, fmt.Sprint(r.Header))
	}))
	t.Cleanup(other.Close)
	eachKind(t, func(t *testing.T, s *server) {
		for name, trouble := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
			"a redirect": func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, other.URL+"/steal", http.StatusTemporaryRedirect)
				return true
			},
			"a next page elsewhere": func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Link", "<"+other.URL+`/steal>; rel="next"`)
				return false
			},
			"an answer with the token": func(w http.ResponseWriter, r *http.Request) bool {
				answer(w, http.StatusForbidden, map[string]any{"message": "no: " + token})
				return true
			},
		} {
			s.trouble = trouble
			_, err := s.post(t, s.target(), texts("one"), verdict)
			if err == nil || strings.Contains(err.Error(), token) {
				t.Errorf("%s: error %v", name, err)
			}
		}
	})
	t.Cleanup(func() {
		if len(leaked) > 0 {
			t.Errorf("another host was asked: %v", leaked)
		}
	})
}

// TestSaysWhatIsMissing tells before anything is sent.
func TestSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	good := forge.Target{Kind: forge.GitHub, API: "https://api.example.com", Project: "a/b", Change: "1", Token: token}
	for name, c := range map[string]struct {
		change func(*forge.Target)
		want   string
	}{
		"no https":        {func(t *forge.Target) { t.API = "http://api.example.com" }, "https://"},
		"a password":      {func(t *forge.Target) { t.API = "https://u:CANARY@api.example.com" }, "without a user"},
		"no token":        {func(t *forge.Target) { t.Token = "" }, "set GITHUB_TOKEN"},
		"no token either": {func(t *forge.Target) { t.Kind, t.Token = forge.GitLab, "" }, "GITLAB_TOKEN or CI_JOB_TOKEN"},
		"no project":      {func(t *forge.Target) { t.Project = "" }, "--project"},
		"no number":       {func(t *forge.Target) { t.Change = "main" }, "--pr"},
		"a short commit":  {func(t *forge.Target) { t.Commit = "7be41d8" }, "full hash"},
	} {
		target := good
		c.change(&target)
		if _, err := forge.New(target, forge.Options{}); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// TestEnvironment reads what pipelines say of themselves.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	pull := `{"pull_request":{"number":482,"head":{"sha":"` + commit + `"}}}`
	fork := `{"workflow_run":{"head_sha":"` + commit + `","head_branch":"fix","head_repository":{"owner":{"login":"mallory"}},"pull_requests":[]}}`
	github := map[string]string{"GITHUB_TOKEN": token, "GITHUB_REPOSITORY": "acme/fleet", "GITHUB_EVENT_PATH": "event", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_RUN_ID": "1"}
	page := "https://github.com/acme/fleet/actions/runs/1"
	for name, c := range map[string]struct {
		kind  forge.Kind
		env   map[string]string
		event string
		want  forge.Target
	}{
		"a pull request":          {forge.GitHub, github, pull, forge.Target{API: "https://api.github.com", Project: "acme/fleet", Change: "482", Commit: commit, Token: token, Page: page}},
		"after the run of a fork": {forge.GitHub, github, fork, forge.Target{API: "https://api.github.com", Project: "acme/fleet", Head: "mallory:fix", Commit: commit, Token: token, Page: page}},
		"gitlab": {
			forge.GitLab,
			map[string]string{"CI_JOB_TOKEN": token, "CI_API_V4_URL": "https://git.example.com/api/v4", "CI_PROJECT_ID": "9", "CI_MERGE_REQUEST_IID": "3", "CI_COMMIT_SHA": commit, "CI_JOB_URL": "https://git.example.com/j/1"},
			"",
			forge.Target{API: "https://git.example.com/api/v4", Project: "9", Change: "3", Commit: commit, Token: token, JobToken: true, Page: "https://git.example.com/j/1"},
		},
		"gitea": {
			forge.Gitea,
			map[string]string{"GITEA_TOKEN": token, "GITHUB_API_URL": "https://git.example.com/api/v1", "GITHUB_REPOSITORY": "acme/fleet", "GITHUB_REF": "refs/pull/5/head"},
			"",
			forge.Target{API: "https://git.example.com/api/v1", Project: "acme/fleet", Change: "5", Token: token},
		},
	} {
		c.want.Kind = c.kind
		got, err := forge.FromEnvironment(forge.Target{Kind: c.kind}, func(name string) string { return c.env[name] }, func(string) ([]byte, error) {
			if c.event == "" {
				return nil, os.ErrNotExist
			}
			return []byte(c.event), nil
		})
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, c.want)
		}
	}
}

// TestFindsThePullRequestOfAFork asks GitHub by the branch, and takes it only at the commit of the run.
func TestFindsThePullRequestOfAFork(t *testing.T) {
	t.Parallel()
	s := newServer(t, forge.GitHub)
	target := s.target()
	target.Change, target.Head = "", "mallory:fix"
	if got, err := s.post(t, target, texts("one"), verdict); err != nil || got.Created != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	target.NoCheck = true
	if got, err := s.post(t, target, texts("one"), verdict); err != nil || got.Unchanged != 1 || got.Check != "" {
		t.Errorf("without a check: %+v, %v", got, err)
	}
	target.Commit = strings.Repeat("0", 40)
	if _, err := s.post(t, target, texts("two"), verdict); err == nil || !strings.Contains(err.Error(), "moved on") {
		t.Errorf("error %v", err)
	}
}

// TestARefusal is told with what the forge said, and a job's token with what to do.
func TestARefusal(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, s *server) {
		target := s.target()
		target.Token, target.JobToken = "wrong", s.kind == forge.GitLab
		_, err := s.post(t, target, texts("one"), verdict)
		want := "Bad credentials"
		if target.JobToken {
			want = "set GITLAB_TOKEN"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		_, err = s.post(t, s.target(), func(int) ([]string, error) { return nil, errors.New("cannot print") }, verdict)
		if err == nil || !strings.Contains(err.Error(), "cannot print") {
			t.Errorf("error %v", err)
		}
	})
}
