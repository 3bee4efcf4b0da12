//go:build e2e

package story_test

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/e2e/await"
	"github.com/armada-sync/armada-sync/e2e/child"
	"github.com/armada-sync/armada-sync/e2e/gitrepo"
)

const (
	gitUser     = "shop-bot"
	gitPassword = "canary-of-a-password"
	wrongSecret = "canary-of-a-wrong-password"
)

// remotes is step 12: other ways to a repository, with a controller of their own.
func (s *story) remotes(t *testing.T) {
	s.stop(t)
	repo := &repository{gitrepo.New(t, s.dir, "remote")}
	repo.Write(t, "objects.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hello}\ndata: {from: one}\n")
	repo.Write(t, "policy.yaml", `apiVersion: armada-sync.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: hello}
spec: {resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]}
`)
	repo.Push(t, "One ConfigMap")

	server, ca := s.serveHTTPS(t)
	key, private := gitrepo.NewKey(t)
	address, host := gitrepo.ServeSSH(t, key.PublicKey())
	stranger, _ := gitrepo.NewKey(t)
	for name, credentials := range map[string]map[string]string{
		"https":    {"username": gitUser, "password": gitPassword, "ca.crt": string(ca)},
		"ssh":      {"identity": string(private), "known_hosts": gitrepo.KnownHosts(address, host)},
		"denied":   {"username": gitUser, "password": wrongSecret, "ca.crt": string(ca)},
		"no-ca":    {"username": gitUser, "password": gitPassword},
		"stranger": {"identity": string(private), "known_hosts": gitrepo.KnownHosts(address, stranger.PublicKey())},
	} {
		content, err := yaml.Marshal(credentials)
		if err != nil {
			t.Fatal(err)
		}
		s.writeFile(t, name+".credentials", string(content))
	}
	docs := []string{"apiVersion: armada-sync.io/v1alpha1\nkind: Config\nmetadata: {name: remotes}\nspec: {metrics: {bindAddress: \"127.0.0.1:0\"}, health: {probeInterval: 500ms}}\n", s.clusters()}
	for _, name := range []string{"https", "denied", "no-ca", "ssh", "stranger"} {
		place := server.URL + "/remote.git"
		if name == "ssh" || name == "stranger" {
			place = "ssh://git@" + address + repo.Bare
		}
		docs = append(docs, fmt.Sprintf("apiVersion: armada-sync.io/v1alpha1\nkind: GitSource\nmetadata: {name: %s}\nspec: {url: %q, interval: 500ms, targetNamespace: over-%s, credentialsFile: %s.credentials}\n", name, place, name, name))
	}
	s.writeFile(t, "remotes.yaml", strings.Join(docs, "---\n"))
	run := s.startController(t, "remotes.yaml", "state-remotes")

	s.awaitHello(t, "one")
	t.Log("the commit came over https with a password and a CA of its own, and over ssh with a key and a known host")
	repo.replace(t, "objects.yaml", "from: one", "from: two")
	repo.Push(t, "The next commit")
	s.awaitHello(t, "two")
	for name, reason := range map[string]string{
		"denied": "a wrong password", "no-ca": "a certificate that nobody vouches for", "stranger": "a host with another key",
	} {
		t.Logf("%s: %s", reason, run.AwaitLine(t, 0, soon, "problem", "armada-system/"+name))
		for _, m := range s.members {
			if namespaces := m.namespaces(t); slices.Contains(namespaces, "over-"+name) {
				t.Errorf("%s: something came over on %s", reason, m.Name)
			}
		}
	}
	_, metrics, err := run.Get(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	if code := run.End(t, 15); code != 0 {
		t.Errorf("the controller ends with code %d", code)
	}
	s.checkCanaries(t, append(s.before, run), metrics, string(private))
}

// serveHTTPS serves the repositories to one user. Whoever comes with other credentials is told what they were, as
// a careless proxy would do.
func (s *story) serveHTTPS(t *testing.T) (server *httptest.Server, ca []byte) {
	t.Helper()
	backend := gitrepo.Handler(t, s.dir)
	return gitrepo.ServeHTTPS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != gitUser || p != gitPassword {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "you sent "+u+":"+p+" and "+r.Header.Get("Authorization"), http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
}

// awaitHello waits for the ConfigMap of both sources on every member.
func (s *story) awaitHello(t *testing.T, want string) {
	t.Helper()
	await.That(t, soon, "ConfigMap hello from "+want, func() error {
		return on(s.members, func(m *member) error {
			for _, namespace := range []string{"over-https", "over-ssh"} {
				u, err := m.getIf(t.Context(), "ConfigMap", namespace, "hello")
				if err != nil {
					return err
				}
				if got := field(u, "data", "from"); got != want {
					return fmt.Errorf("%s on %s: it is from %v", namespace, m.Name, got)
				}
			}
			return nil
		})
	})
}

// checkCanaries looks for secrets in everything that the controllers wrote for people or for themselves.
func (s *story) checkCanaries(t *testing.T, controllers []*child.Controller, metrics, private string) {
	t.Helper()
	canaries := map[string]string{
		"the password": gitPassword, "the wrong password": wrongSecret,
		"basic authentication": base64.StdEncoding.EncodeToString([]byte(gitUser + ":" + gitPassword)),
		"the ssh key":          strings.Split(private, "\n")[2],
		"a Secret":             secretCanary, "a Secret in base64": base64.StdEncoding.EncodeToString([]byte(secretCanary)),
	}
	look := func(where, content string) {
		for what, canary := range canaries {
			if strings.Contains(content, canary) {
				t.Errorf("%s is in %s", what, where)
			}
		}
	}
	lines := 0
	for _, c := range controllers {
		lines += len(c.Since(0))
		look("stderr", strings.Join(c.Since(0), "\n"))
	}
	look("/metrics", metrics)
	files := 0
	for _, state := range []string{"state", "state-remotes"} {
		err := filepath.WalkDir(filepath.Join(s.dir, state), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			files++
			look(strings.TrimPrefix(path, s.dir), string(content))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("no password, key or Secret in %d lines of %d controllers, in the metrics and in %d files of the state folders", lines, len(controllers), files)
}
