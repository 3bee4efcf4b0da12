//go:build e2e

package hub_test

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/armada-sync/armada-sync/e2e/fleet"
)

// user is who the controller is, on the hub and to members, so that audit logs tell its requests apart.
const user = "armada-sync"

// world is a hub, two members and a repository behind https.
type world struct {
	dir, binary string
	fleet       *fleet.Fleet
	hub         *hub
	members     []*fleet.Cluster
	work        string
	// password is what the Git server asks for.
	password atomic.Value
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), binary: fleet.CommandT(t, "../..", "./cmd/armada-sync")}
	w.fleet = fleet.StartT(t, fleet.Options{
		Names: []string{"eu-1", "us-1"}, Hub: "hub",
		Users: []fleet.User{{Name: user, Groups: []string{"system:masters"}}}, Progress: t.Output(),
	})
	w.members = []*fleet.Cluster{w.fleet.Cluster("eu-1"), w.fleet.Cluster("us-1")}
	w.hub = newHub(t, w.fleet.Cluster("hub"))
	w.password.Store("first")
	url, ca := w.serve(t)
	w.object(t, "{apiVersion: v1, kind: Namespace, metadata: {name: armada-system}}")
	w.object(t, "{apiVersion: v1, kind: Namespace, metadata: {name: team}}")
	w.credentials(t, ca)
	for _, m := range w.members {
		kubeconfig, err := os.ReadFile(m.UserKubeconfig(user))
		if err != nil {
			t.Fatal(err)
		}
		w.object(t, fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: armada-system}\nstringData: {kubeconfig: %q}", m.Name, kubeconfig))
		w.object(t, fmt.Sprintf("{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: %s}, spec: {region: %s, secretRef: {name: %s}}}", m.Name, m.Name, m.Name))
	}
	w.object(t, fmt.Sprintf(`{apiVersion: armada-sync.io/v1alpha1, kind: GitSource, metadata: {name: shop, namespace: team},
  spec: {url: %q, interval: 500ms, secretRef: {name: git}}}`, url+"/shop.git"))
	return w
}

func (w *world) object(t *testing.T, document string) {
	t.Helper()
	if _, err := w.hub.apply(t.Context(), document); err != nil {
		t.Fatalf("apply: %v\n%s", err, document)
	}
}

// credentials writes the Secret with the present password.
func (w *world) credentials(t *testing.T, ca []byte) {
	t.Helper()
	w.object(t, fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: git, namespace: team}\nstringData: {username: me, password: %q, ca.crt: %q}", w.password.Load(), ca))
}

// serve serves a bare repository with git http-backend over TLS.
func (w *world) serve(t *testing.T) (url string, ca []byte) {
	t.Helper()
	root := filepath.Join(w.dir, "git")
	w.work = filepath.Join(w.dir, "work")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	git(t, w.dir, "init", "--quiet", "--bare", "--initial-branch=main", filepath.Join(root, "shop.git"))
	git(t, w.dir, "init", "--quiet", "--initial-branch=main", w.work)
	git(t, w.work, "remote", "add", "origin", filepath.Join(root, "shop.git"))
	backend := &cgi.Handler{
		Path:   filepath.Join(git(t, w.dir, "--exec-path"), "git-http-backend"),
		Env:    append(gitEnvironment(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1"),
		Logger: log.New(io.Discard, "", 0), Stderr: t.Output(),
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, p, _ := r.BasicAuth(); p != w.password.Load() {
			rw.Header().Set("WWW-Authenticate", "Basic")
			http.Error(rw, "no", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(rw, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir, cmd.Env = dir, gitEnvironment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func gitEnvironment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Shop Team", "GIT_AUTHOR_EMAIL=shop@example.com",
		"GIT_COMMITTER_NAME=Shop Team", "GIT_COMMITTER_EMAIL=shop@example.com",
	}
}

// push commits ConfigMaps of a color, a Deployment of a number of replicas, and their policies.
func (w *world) push(t *testing.T, color string, maps, replicas int) {
	t.Helper()
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
	for i := range maps {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings-%d, namespace: shop}\ndata: {color: %s}\n", i, color)
	}
	fmt.Fprintf(&b, `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "example.com/web:1"}]}}
---
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: maps, namespace: shop}
spec: {resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]}
---
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: web, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
  placement: {replicaScheduling: {replicaSchedulingType: Divided}}
`, replicas)
	if err := os.WriteFile(filepath.Join(w.work, "shop.yaml"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	git(t, w.work, "add", "--all")
	git(t, w.work, "commit", "--quiet", "--message", color)
	git(t, w.work, "push", "--quiet", "origin", "main")
}

// arrived tells whether every member has all ConfigMaps in this color and a share of the Deployment.
func (w *world) arrived(t *testing.T, color string, maps int) func() error {
	return func() error {
		for _, m := range w.members {
			d, err := dynamic.NewForConfig(m.RESTConfig())
			if err != nil {
				return err
			}
			list, err := d.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace("shop").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				return err
			}
			n := 0
			for _, o := range list.Items {
				if got, _, _ := unstructured.NestedString(o.Object, "data", "color"); got == color {
					n++
				}
			}
			if n != maps {
				return fmt.Errorf("%s has %d ConfigMaps that are %s, want %d", m.Name, n, color, maps)
			}
		}
		return nil
	}
}

// condition tells the status of a condition of an object on the hub.
func (w *world) condition(t *testing.T, kind, namespace, name, want string) func() error {
	return func() error {
		var r dynamic.ResourceInterface = w.hub.dynamic.Resource(resourceOf(kind))
		if namespace != "" {
			r = w.hub.dynamic.Resource(resourceOf(kind)).Namespace(namespace)
		}
		o, err := r.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
		if err != nil {
			return err
		}
		for _, c := range conditions {
			if m := c.(map[string]any); m["type"] == "Ready" && m["status"] == want {
				return nil
			}
		}
		return fmt.Errorf("%s %s is not Ready=%s: %v", kind, name, want, conditions)
	}
}

// writesOf are the writes of the controller on a cluster since a time, leases apart.
func writesOf(t *testing.T, c *fleet.Cluster, since time.Time) []fleet.AuditEvent {
	t.Helper()
	events, err := c.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	var found []fleet.AuditEvent
	for _, e := range events {
		if e.User == user && e.Writes() && e.Resource != "leases" && e.Received.After(since) {
			found = append(found, e)
		}
	}
	return found
}

// replica is `armada-sync run` as a child process.
type replica struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{}

	mu    sync.Mutex
	lines []string
}

// start starts a replica.
func (w *world) start(t, outlives *testing.T, name string) *replica {
	t.Helper()
	r := &replica{name: name, exited: make(chan struct{})}
	r.cmd = exec.Command(w.binary, "run", "--kubeconfig", w.hub.UserKubeconfig(user), "--identity", name,
		"--metrics-address", "127.0.0.1:0", "--allow-loopback")
	r.cmd.Env = []string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + w.dir}
	r.cmd.SysProcAttr = lifeline()
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() {
		// Linux sends the parent-death signal when the thread that made the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			r.mu.Lock()
			r.lines = append(r.lines, lines.Text())
			r.mu.Unlock()
			fmt.Fprintf(outlives.Output(), "    %s| %s\n", name, lines.Text())
		}
		_ = r.cmd.Wait() // The exit code is in ProcessState.
		close(r.exited)
	}()
	if err := <-started; err != nil {
		t.Fatalf("start a replica: %v", err)
	}
	outlives.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.exited
	})
	return r
}

// says tells whether a line has a part.
func (r *replica) says(part string) func() error {
	return func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, line := range r.lines {
			if strings.Contains(line, part) {
				return nil
			}
		}
		return fmt.Errorf("%s does not say %q", r.name, part)
	}
}

// end sends a signal and waits for the end.
func (r *replica) end(t *testing.T, signal syscall.Signal) int {
	t.Helper()
	if err := r.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.exited:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s lives 30s after %s", r.name, signal)
	}
	return r.cmd.ProcessState.ExitCode()
}

// errorsOf says what was found instead of what was wanted.
func errorsOf(found any) error { return fmt.Errorf("found %v", found) }

// quoted is a string for a YAML document.
func quoted(b []byte) string { return fmt.Sprintf("%q", b) }
