package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/armada-sync/armada-sync/e2e/gitrepo"
)

// hosted is a repository, its bare copy that servers serve, and a push.
type hosted struct {
	*gitRepo
	bare string
}

func newHosted(tb testing.TB) *hosted {
	tb.Helper()
	r := newGitRepo(tb)
	h := &hosted{gitRepo: r, bare: filepath.Join(tb.TempDir(), "shop.git")}
	r.git("init", "-q", "--bare", "-b", "main", h.bare)
	r.git("remote", "add", "origin", h.bare)
	return h
}

func (h *hosted) push(args ...string) {
	h.tb.Helper()
	h.git(append([]string{"push", "-q", "--all", "--force", "origin"}, args...)...)
	h.git("push", "-q", "--tags", "--force", "origin")
}

func (h *hosted) root() string { return filepath.Dir(h.bare) }

func newRemote(tb testing.TB, o Options) *Remote {
	tb.Helper()
	o.AllowLoopback = true
	r, err := NewRemote(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

func pull(tb testing.TB, s Source) *Tree {
	tb.Helper()
	rev, err := s.Resolve(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tree, err := s.Fetch(tb.Context(), rev)
	if err != nil {
		tb.Fatal(err)
	}
	return tree
}

// each runs a test over https and ssh, with a clone on disk and one in memory.
func each(t *testing.T, h *hosted, ref Ref, f func(t *testing.T, s Source)) {
	web := newGitHTTP(t, h.root())
	web.setIntercept(basicAuth("ada", "correct horse"))
	signer, identity := gitrepo.NewKey(t)
	shell := newGitSSH(t, signer.PublicKey())
	for _, cached := range []bool{true, false} {
		dir := func(t *testing.T) string {
			if cached {
				return filepath.Join(t.TempDir(), "cache")
			}
			return ""
		}
		t.Run(fmt.Sprintf("https,disk=%v", cached), func(t *testing.T) {
			f(t, newRemote(t, Options{URL: web.URL + "/shop.git", Ref: ref, CacheDir: dir(t),
				Credentials: Credentials{Username: "ada", Password: "correct horse", CA: web.ca()}}))
		})
		t.Run(fmt.Sprintf("ssh,disk=%v", cached), func(t *testing.T) {
			f(t, newRemote(t, Options{URL: "ssh://git@" + shell.addr + h.bare, Ref: ref, CacheDir: dir(t),
				Credentials: Credentials{Identity: identity, KnownHosts: shell.knownHosts(shell.host)}}))
		})
	}
	t.Run("file", func(t *testing.T) {
		s, err := Open("file://"+h.bare, Options{Ref: ref, AllowFile: true})
		if err != nil {
			t.Fatal(err)
		}
		f(t, s)
	})
}

func TestAPushIsFollowed(t *testing.T) {
	h := newHosted(t)
	first := h.commit("first", "a.yaml", "1\n", "keep/b.yaml", "b\n")
	h.push()
	n := 0
	each(t, h, Ref{Branch: "main"}, func(t *testing.T, s Source) {
		// Each transport sees the same story again, from a branch put back.
		h.git("reset", "-q", "--hard", first)
		h.push()
		tree := pull(t, s)
		if got, want := tree.Revision(), (Revision{Ref: "main", Hash: first}); got != want {
			t.Errorf("revision %+v, want %+v", got, want)
		}
		if diff := cmp.Diff(map[string]string{"a.yaml": "1\n", "keep/b.yaml": "b\n"}, contents(t, tree)); diff != "" {
			t.Error(diff)
		}

		n++
		second := h.commit(fmt.Sprint("second ", n), "a.yaml", "2\n")
		third := h.commit("third", "c.yaml", "c\n")
		h.push()
		grown := pull(t, s)
		if got, want := grown.Revision(), (Revision{Ref: "main", Hash: third}); got != want {
			t.Errorf("after two more commits: revision %+v, want %+v", got, want)
		}
		if diff := cmp.Diff(map[string]string{"a.yaml": "2\n", "c.yaml": "c\n", "keep/b.yaml": "b\n"}, contents(t, grown)); diff != "" {
			t.Error(diff)
		}
		if got := contents(t, tree)["a.yaml"]; got != "1\n" {
			t.Errorf("the first tree changed: a.yaml is %q", got)
		}

		h.git("reset", "-q", "--hard", second)
		forced := h.commit("instead of third", "d.yaml", "d\n")
		h.push()
		if got, want := pull(t, s).Revision(), (Revision{Ref: "main", Hash: forced, Rewritten: true}); got != want {
			t.Errorf("after a force push: revision %+v, want %+v", got, want)
		}

		h.git("reset", "-q", "--hard", first)
		h.push()
		back := pull(t, s)
		if got, want := back.Revision(), (Revision{Ref: "main", Hash: first, Rewritten: true}); got != want {
			t.Errorf("after going back: revision %+v, want %+v", got, want)
		}
		if diff := cmp.Diff(map[string]string{"a.yaml": "1\n", "keep/b.yaml": "b\n"}, contents(t, back)); diff != "" {
			t.Error(diff)
		}
	})
}

// A first fetch is shallow. What it lacks comes back when history does.
func TestForcePushToBeforeTheShallowCommit(t *testing.T) {
	h := newHosted(t)
	old := h.commit("old", "old.yaml", "from the beginning\n", "dir/x.yaml", "x\n")
	h.git("tag", "start")
	h.git("rm", "-q", "-r", ".")
	h.commit("new", "new.yaml", "n\n")
	for i := range 5 {
		h.commit(fmt.Sprint("more ", i), "new.yaml", fmt.Sprint(i))
	}
	tip := h.git("rev-parse", "HEAD")
	h.push()
	each(t, h, Ref{Branch: "main"}, func(t *testing.T, s Source) {
		h.git("reset", "-q", "--hard", tip)
		h.push()
		pull(t, s)
		// A revert brings an old file back with the blob that it had then.
		h.git("checkout", "-q", "start", "--", "old.yaml", "dir")
		revert := h.commit("revert " + t.Name())
		h.push()
		tree := pull(t, s)
		if got, want := tree.Revision(), (Revision{Ref: "main", Hash: revert}); got != want {
			t.Errorf("revert: revision %+v, want %+v", got, want)
		}
		if got := contents(t, tree)["old.yaml"]; got != "from the beginning\n" {
			t.Errorf("revert: old.yaml is %q", got)
		}
		h.git("reset", "-q", "--hard", old)
		amended := h.commit("another future "+t.Name(), "z.yaml", "z")
		h.push()
		tree = pull(t, s)
		if got, want := tree.Revision(), (Revision{Ref: "main", Hash: amended, Rewritten: true}); got != want {
			t.Errorf("force push: revision %+v, want %+v", got, want)
		}
		if diff := cmp.Diff(map[string]string{"old.yaml": "from the beginning\n", "dir/x.yaml": "x\n", "z.yaml": "z"}, contents(t, tree)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRefs(t *testing.T) {
	h := newHosted(t)
	c1 := h.commit("one", "a", "1")
	h.git("tag", "v1.0.0")
	h.git("tag", "-a", "v1.2.0", "-m", "annotated")
	c2 := h.commit("two", "a", "2")
	h.git("tag", "-a", "v1.10.0", "-m", "annotated")
	h.git("tag", "v2.0.0-rc.1")
	h.git("tag", "not-a-version")
	h.git("branch", "release/1", c1)
	c3 := h.commit("three", "a", "3")
	h.push()
	h.git("push", "-q", "origin", c2+":refs/pull/7/head")
	for _, tc := range []struct {
		reason   string
		ref      Ref
		revision string
	}{
		{"nothing means the default branch", Ref{}, "main@sha1:" + c3},
		{"a branch with a slash", Ref{Branch: "release/1"}, "release/1@sha1:" + c1},
		{"a light tag", Ref{Tag: "v1.0.0"}, "v1.0.0@sha1:" + c1},
		{"an annotated tag is the commit behind it", Ref{Tag: "v1.2.0"}, "v1.2.0@sha1:" + c1},
		{"ten is more than two", Ref{SemVer: "1.x"}, "v1.10.0@sha1:" + c2},
		{"a release candidate only when asked for", Ref{SemVer: ">=1.0.0"}, "v1.10.0@sha1:" + c2},
		{"and then it is", Ref{SemVer: ">=1.0.0-0"}, "v2.0.0-rc.1@sha1:" + c2},
		{"a full name", Ref{Name: "refs/pull/7/head"}, "refs/pull/7/head@sha1:" + c2},
		{"a commit that no ref points at", Ref{Commit: c2}, "sha1:" + c2},
		{"a commit on a branch", Ref{Commit: c1, Branch: "main"}, "main@sha1:" + c1},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			each(t, h, tc.ref, func(t *testing.T, s Source) {
				if got := pull(t, s).Revision().String(); got != tc.revision {
					t.Errorf("got %s, want %s", got, tc.revision)
				}
			})
		})
	}
	each(t, h, Ref{Commit: strings.Repeat("ab", 20)}, func(t *testing.T, s Source) {
		rev, err := s.Resolve(t.Context())
		if err == nil {
			_, err = s.Fetch(t.Context(), rev)
		}
		if !errors.Is(err, ErrRefNotFound) {
			t.Errorf("a commit that does not exist: %v, want ErrRefNotFound", err)
		}
	})
	for _, ref := range []Ref{{Branch: "nope"}, {Tag: "nope"}, {SemVer: ">9"}, {Name: "refs/heads/nope"}} {
		each(t, h, ref, func(t *testing.T, s Source) {
			_, err := s.Resolve(t.Context())
			if !errors.Is(err, ErrRefNotFound) || Classify(err).Class != Stalled {
				t.Errorf("%s: %v, want ErrRefNotFound, stalled", ref, err)
			}
		})
	}
}

func TestABranchThatVanishedIsAnErrorOfItsOwn(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	h.git("branch", "gone")
	h.push()
	each(t, h, Ref{Branch: "gone"}, func(t *testing.T, s Source) {
		h.git("push", "-q", "--force", "origin", "main:gone")
		pull(t, s)
		h.git("push", "-q", "origin", ":gone")
		if _, err := s.Resolve(t.Context()); !errors.Is(err, ErrRefNotFound) {
			t.Errorf("got %v, want ErrRefNotFound", err)
		}
	})
}

func TestAMovedTagIsARewrite(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	n := 0
	each(t, h, Ref{SemVer: "1.x"}, func(t *testing.T, s Source) {
		h.git("tag", "-f", "v1.0.0")
		h.push()
		pull(t, s)
		n++
		second := h.commit("two", "a", fmt.Sprint(n))
		h.git("tag", "-f", "v1.0.0")
		h.push()
		if got, want := pull(t, s).Revision(), (Revision{Ref: "v1.0.0", Hash: second, Rewritten: true}); got != want {
			t.Errorf("moved: %+v, want %+v", got, want)
		}
		h.git("tag", "v1.1.0")
		h.push()
		if got, want := pull(t, s).Revision(), (Revision{Ref: "v1.1.0", Hash: second}); got != want {
			t.Errorf("a new version: %+v, want %+v", got, want)
		}
		h.git("push", "-q", "origin", ":v1.1.0")
		h.git("tag", "-d", "v1.1.0")
	})
}

func TestRevisionThatMovedBeforeFetch(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	h.push()
	web := newGitHTTP(t, h.root())
	s := newRemote(t, Options{URL: web.URL + "/shop.git", Credentials: Credentials{CA: web.ca()}})
	rev, err := s.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.git("commit", "-q", "--amend", "-m", "other")
	h.push()
	_, err = s.Fetch(t.Context(), rev)
	if !errors.Is(err, ErrMoved) || Classify(err).Class != Retry {
		t.Errorf("got %v, want ErrMoved, to be retried", err)
	}
}

func TestCloneOnDiskOutlivesTheProcess(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	h.push()
	web := newGitHTTP(t, h.root())
	o := Options{URL: web.URL + "/shop.git", Credentials: Credentials{CA: web.ca()}, CacheDir: filepath.Join(t.TempDir(), "cache")}
	rev := pull(t, newRemote(t, o)).Revision()
	web.seen()
	tree, err := newRemote(t, o).Fetch(t.Context(), rev)
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, tree)["a"]; got != "1" {
		t.Errorf("a is %q", got)
	}
	if got := web.seen(); len(got) > 0 {
		t.Errorf("what is there already was asked for again: %q", got)
	}

	h.commit("two", "a", "2")
	h.git("commit", "-q", "--amend", "-m", "rewritten")
	h.push()
	if got := pull(t, newRemote(t, o)).Revision(); got.Rewritten {
		t.Errorf("a new commit after a restart: %+v", got)
	}
	h.git("commit", "-q", "--amend", "-m", "again")
	h.push()
	if got := pull(t, newRemote(t, o)).Revision(); !got.Rewritten {
		t.Errorf("a force push while nobody looked: %+v", got)
	}

	for _, damage := range []struct {
		reason string
		do     func(t *testing.T, dir string)
	}{
		{"packs are gone", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "objects/pack/*")) }},
		{"a pack is cut short", func(t *testing.T, dir string) {
			for _, f := range glob(t, filepath.Join(dir, "objects/pack/*.pack")) {
				if err := os.Chmod(f, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(f, 30); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"the state file is garbage", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(damage.reason, func(t *testing.T) {
			// Clones that were replaced may linger; they have no state file.
			for _, file := range glob(t, filepath.Join(o.CacheDir, clonePrefix+"*", stateFile)) {
				damage.do(t, filepath.Dir(file))
			}
			if got := contents(t, pull(t, newRemote(t, o)))["a"]; got != "2" {
				t.Errorf("a is %q", got)
			}
		})
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return files
}

func remove(t *testing.T, pattern string) {
	t.Helper()
	for _, f := range glob(t, pattern) {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManyPacksMakeAFreshClone(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	h.push()
	web := newGitHTTP(t, h.root())
	cache := filepath.Join(t.TempDir(), "cache")
	r := newRemote(t, Options{URL: web.URL + "/shop.git", Credentials: Credentials{CA: web.ca()}, CacheDir: cache})
	first := pull(t, r)
	r.clone.packs = maxPacks
	before := r.clone.dir
	h.commit("two", "a", "2")
	h.push()
	tree := pull(t, r)
	if tree.Revision().Rewritten {
		t.Error("a new commit counts as rewritten")
	}
	if r.clone.dir == before || r.clone.packs != 1 {
		t.Errorf("the clone was not made anew: %d packs", r.clone.packs)
	}
	if got := contents(t, first)["a"]; got != "1" {
		t.Errorf("the first tree can no longer be read: a is %q", got)
	}
}

func TestRemoteMergeBase(t *testing.T) {
	h := newHosted(t)
	h.commit("root", "a", "0")
	base := h.commit("base", "a", "1")
	h.git("branch", "feature")
	h.commit("main moves on", "a", "2")
	h.git("switch", "-q", "feature")
	h.commit("feature", "f", "1")
	h.push()
	each(t, h, Ref{Branch: "main"}, func(t *testing.T, s Source) {
		pull(t, s)
		r := s.(Repository)
		got, err := r.MergeBase(t.Context(), "main", "feature")
		if err != nil {
			t.Fatal(err)
		}
		if got.Hash != base {
			t.Errorf("got %s, want %s", got, base)
		}
		tree, err := r.Fetch(t.Context(), got)
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, tree)["a"]; got != "1" {
			t.Errorf("a is %q", got)
		}
	})
}

func TestCredentialsOverHTTPS(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	h.push()
	web := newGitHTTP(t, h.root())
	bearer := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "Bearer tok-en" {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	plain := func(c Credentials) Options {
		c.CA = web.ca()
		return Options{URL: web.URL + "/shop.git", Credentials: c}
	}
	inURL := strings.Replace(web.URL, "https://", "https://ada:s3cret@", 1) + "/shop.git"
	for _, tc := range []struct {
		reason string
		server func(http.ResponseWriter, *http.Request) bool
		o      Options
		want   error
	}{
		{"basic", basicAuth("ada", "s3cret"), plain(Credentials{Username: "ada", Password: "s3cret"}), nil},
		{"bearer", bearer, plain(Credentials{BearerToken: "tok-en"}), nil},
		{"user information of the URL", basicAuth("ada", "s3cret"), Options{URL: inURL, Credentials: Credentials{CA: web.ca()}}, nil},
		{"a wrong password", basicAuth("ada", "s3cret"), plain(Credentials{Username: "ada", Password: "wr0ng"}), ErrAuth},
		{"none", bearer, plain(Credentials{}), ErrAuth},
		{"forbidden", func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(403); return true }, plain(Credentials{}), ErrAuth},
		{"no such repository", nil, Options{URL: web.URL + "/nope.git", Credentials: Credentials{CA: web.ca()}}, ErrRepositoryNotFound},
		{"an unknown certificate", nil, Options{URL: web.URL + "/shop.git"}, ErrCertificate},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			web.setIntercept(tc.server)
			r := newRemote(t, tc.o)
			_, err := r.Resolve(t.Context())
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if tc.want != nil {
				if v := Classify(err); v.Class != Stalled {
					t.Errorf("%v is %s, want stalled", err, v.Class)
				}
				return
			}
			pull(t, r)
		})
	}
}

func TestSSHHostKeysAndIdentities(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	h.push()
	signer, identity := gitrepo.NewKey(t)
	server := newGitSSH(t, signer.PublicKey())
	other, otherIdentity := gitrepo.NewKey(t)
	known := server.knownHosts(server.host)
	for _, tc := range []struct {
		reason string
		c      Credentials
		path   string
		want   error
		text   string
	}{
		{"known host, right key", Credentials{Identity: identity, KnownHosts: known}, h.bare, nil, ""},
		{"a path that a shell would take apart", Credentials{Identity: identity, KnownHosts: known}, h.bare + "/it's; exit 1", ErrRepositoryNotFound, ""},
		{"unknown host", Credentials{Identity: identity, KnownHosts: []byte("# empty\n")}, h.bare, ErrHostKey, "is not in known_hosts"},
		{"another host's key", Credentials{Identity: identity, KnownHosts: server.knownHosts(other.PublicKey())}, h.bare, ErrHostKey, "has another key"},
		{"wrong identity", Credentials{Identity: otherIdentity, KnownHosts: known}, h.bare, ErrAuth, "takes none"},
		{"no such repository", Credentials{Identity: identity, KnownHosts: known}, "/nope.git", ErrRepositoryNotFound, ""},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			r := newRemote(t, Options{URL: "ssh://git@" + server.addr + tc.path, Credentials: tc.c})
			_, err := r.Resolve(t.Context())
			if !errors.Is(err, tc.want) || tc.want != nil && (!strings.Contains(err.Error(), tc.text) || Classify(err).Class != Stalled) {
				t.Errorf("got %v, want %v with %q", err, tc.want, tc.text)
			}
		})
	}
	for _, tc := range []struct {
		reason string
		c      Credentials
		want   error
	}{
		{"no known_hosts at all", Credentials{Identity: identity}, ErrHostKey},
		{"no identity", Credentials{KnownHosts: known}, ErrAuth},
		{"garbage for a key", Credentials{Identity: []byte("garbage"), KnownHosts: known}, ErrInvalid},
	} {
		if _, err := NewRemote(Options{URL: "ssh://git@" + server.addr + h.bare, Credentials: tc.c, AllowLoopback: true}); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.reason, err, tc.want)
		}
	}
}

func TestRedirects(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	h.push()
	home, away := newGitHTTP(t, h.root()), newGitHTTP(t, h.root())
	pool := append(home.ca(), away.ca()...)
	target := ""
	home.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, target+r.URL.RequestURI(), http.StatusFound)
		return true
	})
	open := func(t *testing.T) *Remote {
		return newRemote(t, Options{URL: home.URL + "/shop.git", Credentials: Credentials{Username: "ada", Password: "s3cret", CA: pool}})
	}
	t.Run("another host gets no credentials", func(t *testing.T) {
		target = away.URL
		pull(t, open(t))
		if got := home.seen(); !slices.ContainsFunc(got, func(s string) bool { return strings.HasSuffix(s, "+credentials") }) {
			t.Errorf("the first host got none: %q", got)
		}
		got := away.seen()
		if len(got) < 2 {
			t.Errorf("the second host was hardly asked: %q", got)
		}
		for _, line := range got {
			if strings.HasSuffix(line, "+credentials") {
				t.Errorf("credentials went to the second host: %s", line)
			}
		}
	})
	for _, to := range []string{strings.Replace(away.URL, "https:", "http:", 1), "ftp://example.com", "file:///etc"} {
		t.Run("to "+strings.Split(to, ":")[0]+" is refused", func(t *testing.T) {
			target = to
			away.seen()
			_, err := open(t).Resolve(t.Context())
			if err == nil {
				t.Fatal("followed")
			}
			if got := away.seen(); len(got) > 0 {
				t.Errorf("the second host was asked: %q", got)
			}
		})
	}
	t.Run("to a metadata service is refused", func(t *testing.T) {
		target = "https://169.254.169.254"
		if _, err := open(t).Resolve(t.Context()); !errors.Is(err, ErrAddress) || Classify(err).Class != Stalled {
			t.Errorf("got %v, want ErrAddress", err)
		}
	})
}

func TestLoopbackIsRefusedUnlessAllowed(t *testing.T) {
	web := newGitHTTP(t, t.TempDir())
	r, err := NewRemote(Options{URL: web.URL + "/shop.git"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(t.Context()); !errors.Is(err, ErrAddress) {
		t.Errorf("https: got %v, want ErrAddress", err)
	}
	if got := web.seen(); len(got) > 0 {
		t.Errorf("the server was asked: %q", got)
	}
	_, identity := gitrepo.NewKey(t)
	signer, _ := gitrepo.NewKey(t)
	shell := newGitSSH(t, signer.PublicKey())
	s, err := NewRemote(Options{URL: "ssh://" + shell.addr + "/x.git", Credentials: Credentials{Identity: identity, KnownHosts: shell.knownHosts(signer.PublicKey())}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(t.Context()); !errors.Is(err, ErrAddress) {
		t.Errorf("ssh: got %v, want ErrAddress", err)
	}
}

func TestRateLimits(t *testing.T) {
	web := newGitHTTP(t, t.TempDir())
	for _, tc := range []struct {
		reason string
		status int
		header string
		value  string
		want   Verdict
	}{
		{"429 with seconds", 429, "Retry-After", "7", Verdict{Wait, 7 * time.Second}},
		{"429 without", 429, "X-None", "", Verdict{Wait, 0}},
		{"503 with seconds", 503, "Retry-After", "120", Verdict{Wait, 2 * time.Minute}},
		{"503 without is a fault", 503, "X-None", "", Verdict{Retry, 0}},
		{"403 with Retry-After, as GitHub does it", 403, "Retry-After", "60", Verdict{Wait, time.Minute}},
		{"403 with no requests remaining", 403, "X-RateLimit-Remaining", "0", Verdict{Wait, 0}},
		{"nobody makes us wait a year", 429, "Retry-After", "31536000", Verdict{Wait, time.Hour}},
		{"500", 500, "X-None", "", Verdict{Retry, 0}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			web.setIntercept(func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set(tc.header, tc.value)
				w.WriteHeader(tc.status)
				return true
			})
			_, err := newRemote(t, Options{URL: web.URL + "/shop.git", Credentials: Credentials{CA: web.ca()}}).Resolve(t.Context())
			if got := Classify(err); got != tc.want {
				t.Errorf("%v is %+v, want %+v", err, got, tc.want)
			}
		})
	}
}

func TestServersThatDoNotEnd(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	h.push()
	web := newGitHTTP(t, h.root())
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	o := Options{URL: web.URL + "/shop.git", Credentials: Credentials{CA: web.ca()}, IdleTimeout: 200 * time.Millisecond, ResolveTimeout: 2 * time.Second, FetchTimeout: 2 * time.Second}
	refs := "001e# service=git-upload-pack\n0000"
	for _, tc := range []struct {
		reason string
		limits Limits
		serve  func(w http.ResponseWriter, r *http.Request)
		want   error
	}{
		{"no answer", Limits{}, func(w http.ResponseWriter, r *http.Request) { hang(r, release) }, nil},
		{"an answer that stops in the middle", Limits{}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(refs + "00"))
			w.(http.Flusher).Flush()
			hang(r, release)
		}, nil},
		{"a byte now and then", Limits{}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(refs + "fff0"))
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-r.Context().Done():
					return
				case <-tick.C:
					_, _ = w.Write([]byte("x"))
					w.(http.Flusher).Flush()
				}
			}
		}, context.DeadlineExceeded},
		{"refs without end", Limits{MaxAdvertisedBytes: 1 << 20}, func(w http.ResponseWriter, r *http.Request) {
			first := strings.Repeat("a", 40) + " refs/heads/a\x00side-band-64k\n"
			_, _ = fmt.Fprintf(w, "%s%04x%s", refs, len(first)+4, first)
			line := fmt.Sprintf("%s refs/heads/%s\n", strings.Repeat("a", 40), strings.Repeat("b", 200))
			for r.Context().Err() == nil {
				if _, err := fmt.Fprintf(w, "%04x%s", len(line)+4, line); err != nil {
					return
				}
			}
		}, ErrTooLarge},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			web.setIntercept(func(w http.ResponseWriter, r *http.Request) bool { tc.serve(w, r); return true })
			o := o
			o.Limits = tc.limits
			start := time.Now()
			_, err := newRemote(t, o).Resolve(t.Context())
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func hang(r *http.Request, release <-chan struct{}) {
	select {
	case <-r.Context().Done():
	case <-release:
	}
}

func TestPacksThatAreNotWhole(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", strings.Repeat("text that does not compress to nothing 0123456789", 500))
	h.push()
	web := newGitHTTP(t, h.root())
	for _, cached := range []bool{true, false} {
		for _, cut := range []int{1, 20, 100, 180} {
			t.Run(fmt.Sprintf("cut after %d bytes,disk=%v", cut, cached), func(t *testing.T) {
				web.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodPost {
						web.setIntercept(nil)
						web.backend.ServeHTTP(&cutWriter{w, cut}, r)
						return true
					}
					return false
				})
				o := Options{URL: web.URL + "/shop.git", Credentials: Credentials{CA: web.ca()}}
				if cached {
					o.CacheDir = filepath.Join(t.TempDir(), "cache")
				}
				r := newRemote(t, o)
				rev, err := r.Resolve(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err = r.Fetch(t.Context(), rev); err == nil {
					t.Fatal("half a pack was taken for a whole one")
				}
				if v := Classify(err); v.Class != Retry {
					t.Errorf("%v is %s, want retry", err, v.Class)
				}
				if _, err := r.Fetch(t.Context(), rev); err != nil {
					t.Errorf("the next attempt: %v", err)
				}
			})
		}
	}
}

// cutWriter lets so many bytes of a body through.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	n := min(w.left, len(p))
	w.left -= n
	if _, err := w.ResponseWriter.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

func TestPackLimit(t *testing.T) {
	h := newHosted(t)
	noise := make([]byte, 200_000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	h.commit("one", "a", string(noise))
	h.push()
	each(t, h, Ref{}, func(t *testing.T, s Source) {
		r, remote := s.(*Remote)
		if !remote {
			return
		}
		r.options.Limits.MaxPackBytes = 100_000
		rev, err := s.Resolve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Fetch(t.Context(), rev)
		if !errors.Is(err, ErrTooLarge) || Classify(err).Class != Stalled {
			t.Errorf("got %v, want ErrTooLarge, stalled", err)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1", "d/b", "2")
	h.push()
	each(t, h, Ref{Branch: "main"}, func(t *testing.T, s Source) {
		tree := pull(t, s)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 5 {
					if rev, err := s.Resolve(t.Context()); err != nil {
						t.Error(err)
					} else if next, err := s.Fetch(t.Context(), rev); err != nil && !errors.Is(err, ErrMoved) {
						t.Error(err)
					} else if err == nil {
						if _, err := next.ReadFile("d/b"); err != nil {
							t.Error(err)
						}
					}
					if _, err := tree.ReadFile("a"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range 3 {
			h.commit(fmt.Sprint("more ", i), "a", fmt.Sprint(i, t.Name()))
			h.push()
		}
		wg.Wait()
	})
}

func TestEmptyRepository(t *testing.T) {
	h := newHosted(t)
	each(t, h, Ref{}, func(t *testing.T, s Source) {
		_, err := s.Resolve(t.Context())
		if !errors.Is(err, ErrRefNotFound) || Classify(err).Class != Stalled {
			t.Errorf("got %v, want ErrRefNotFound, stalled", err)
		}
	})
}

// A proxy that the administrator named may be on this machine; what it is asked
// for is still looked at.
func TestProxy(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	h.push()
	web := newGitHTTP(t, h.root())
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host)
		server, err := net.Dial("tcp", web.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		client, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = client.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
		go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}))
	t.Cleanup(proxy.Close)
	via := func(url string) Options {
		return Options{URL: url, Credentials: Credentials{CA: web.ca()},
			Proxy: func(*http.Request) (*neturl.URL, error) { return neturl.Parse(proxy.URL) }}
	}
	r, err := NewRemote(via("https://example.com/shop.git")) // a name of the server's certificate
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := contents(t, pull(t, r))["a"]; got != "1" {
		t.Errorf("a is %q", got)
	}
	if len(asked) == 0 || asked[0] != "CONNECT example.com:443" {
		t.Errorf("the proxy was asked for %q", asked)
	}
	asked = nil
	bad, err := NewRemote(via("https://169.254.169.254/latest"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Resolve(t.Context()); !errors.Is(err, ErrAddress) || len(asked) > 0 {
		t.Errorf("got %v after asking the proxy for %q, want ErrAddress and nothing", err, asked)
	}
}
