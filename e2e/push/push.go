//go:build e2e

package push

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/e2e/fleet"
)

// user is who the controller is on the cluster.
const user = "armada-sync"

// Users are the users that a fleet needs for a controller of this package.
func Users() []fleet.User { return []fleet.User{{Name: user, Groups: []string{"system:masters"}}} }

// appliedWithin bounds the time from a push until it is applied.
const appliedWithin = 3 * time.Minute

// Options say what a controller does beside its defaults.
type Options struct {
	// Concurrency is how many writes may be in flight. Default: the controller's own.
	Concurrency int
	// PollInterval is how often the repository is looked at. Default 200ms.
	PollInterval time.Duration
}

// Controller is a repository and the controller that follows it.
type Controller struct {
	tb      testing.TB
	dir     string
	binary  string
	config  string
	cluster *fleet.Cluster

	process *exec.Cmd
	exited  chan struct{}
	lines   chan string
	last    []string
}

// New builds the command and makes an empty repository. Nothing runs yet. The cluster is known to the
// controller as "east".
func New(tb testing.TB, cluster *fleet.Cluster, opts Options) *Controller {
	tb.Helper()
	dir := tb.TempDir()
	c := &Controller{tb: tb, dir: dir, binary: filepath.Join(dir, "armada-sync"), config: filepath.Join(dir, "run.yaml"), cluster: cluster}
	if out, err := exec.CommandContext(tb.Context(), "go", "build", "-o", c.binary, "github.com/armada-sync/armada-sync/cmd/armada-sync").CombinedOutput(); err != nil {
		tb.Fatalf("build the command: %v\n%s", err, out)
	}
	if opts.PollInterval == 0 {
		opts.PollInterval = 200 * time.Millisecond
	}
	concurrency := ""
	if opts.Concurrency > 0 {
		concurrency = fmt.Sprintf(", apply: {concurrency: %d}", opts.Concurrency)
	}
	c.git("init", "-q", "-b", "main", "repo")
	c.write(c.config, fmt.Appendf(nil, `apiVersion: armada-sync.io/v1alpha1
kind: Config
metadata: {name: push}
spec: {metrics: {bindAddress: "127.0.0.1:0"}%s}
---
apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: push}
spec: {url: "file://%s/repo", interval: %s}
---
apiVersion: armada-sync.io/v1alpha1
kind: Cluster
metadata: {name: east}
spec: {kubeconfigFile: %q}
`, concurrency, dir, opts.PollInterval, cluster.UserKubeconfig(user)))
	return c
}

// EverythingEverywhere is a policy that places objects of the kinds ("apps/v1 Deployment") on every
// cluster.
func EverythingEverywhere(kinds ...string) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: armada-sync.io/v1alpha1\nkind: ClusterPropagationPolicy\nmetadata: {name: all}\nspec:\n  resourceSelectors:\n")
	for _, k := range kinds {
		apiVersion, kind, _ := strings.Cut(k, " ")
		fmt.Fprintf(&b, "  - {apiVersion: %s, kind: %s}\n", apiVersion, kind)
	}
	return []byte(b.String())
}

// Stream encodes objects as one file of YAML documents.
func Stream(tb testing.TB, objects []*unstructured.Unstructured) []byte {
	tb.Helper()
	var all []byte
	for _, o := range objects {
		data, err := json.Marshal(o.Object)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(append(all, data...), "\n---\n"...)
	}
	return all
}

// Push commits files over those that the repository has.
func (c *Controller) Push(files map[string][]byte) {
	c.tb.Helper()
	for name, data := range files {
		c.write(filepath.Join(c.dir, "repo", name), data)
	}
	c.git("-C", "repo", "add", ".")
	c.git("-C", "repo", "commit", "-q", "--allow-empty", "-m", "a commit")
}

func (c *Controller) git(args ...string) {
	c.tb.Helper()
	cmd := exec.CommandContext(c.tb.Context(), "git", args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_AUTHOR_NAME=Push", "GIT_AUTHOR_EMAIL=push@example.com",
		"GIT_COMMITTER_NAME=Push", "GIT_COMMITTER_EMAIL=push@example.com")
	if out, err := cmd.CombinedOutput(); err != nil {
		c.tb.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (c *Controller) write(file string, data []byte) {
	c.tb.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		c.tb.Fatal(err)
	}
}

// Start starts the controller on the state that the one before it left.
func (c *Controller) Start() {
	c.tb.Helper()
	cmd := exec.Command(c.binary, "run", "--config", c.config, "--state", filepath.Join(c.dir, "state"))
	cmd.SysProcAttr = lifeline()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		c.tb.Fatal(err)
	}
	started, exited := make(chan error, 1), make(chan struct{})
	c.lines = make(chan string, 10_000)
	go run(cmd, stderr, started, exited, c.lines)
	if err := <-started; err != nil {
		c.tb.Fatal(err)
	}
	c.process, c.exited = cmd, exited
	c.tb.Cleanup(func() { _ = cmd.Process.Kill(); <-exited })
}

// run holds the thread that made the child: when it ends, Linux sends the parent-death signal.
func run(cmd *exec.Cmd, stderr io.Reader, started chan<- error, exited chan<- struct{}, lines chan<- string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err != nil {
		return
	}
	s := bufio.NewScanner(stderr)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		lines <- s.Text()
	}
	close(lines)
	_ = cmd.Wait() // ProcessState has the exit code.
	close(exited)
}

// AwaitReady waits until /readyz says that the first plan is made and carried out as far as can be.
func (c *Controller) AwaitReady() {
	c.tb.Helper()
	address := ""
	deadline := time.After(appliedWithin)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if address != "" && c.isReady(address) {
			return
		}
		select {
		case line := <-c.lines:
			c.last = append(c.last, line)
			if _, rest, found := strings.Cut(line, "address="); found && address == "" {
				address = strings.TrimSpace(rest)
			}
		case <-tick.C:
		case <-deadline:
			c.tb.Fatalf("not ready within %s; the controller says:\n%s", appliedWithin, c.tail())
		}
	}
}

func (c *Controller) isReady(address string) bool {
	req, err := http.NewRequestWithContext(c.tb.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		c.tb.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// AwaitApplied waits until the controller says that the latest commit is applied everywhere. A problem
// that it reports meanwhile fails the test.
func (c *Controller) AwaitApplied() {
	c.tb.Helper()
	deadline := time.After(appliedWithin)
	for {
		select {
		case line, running := <-c.lines:
			c.last = append(c.last, line)
			if strings.Contains(line, "msg=applied") {
				return
			}
			if !running || strings.Contains(line, "msg=problem") {
				c.tb.Fatalf("the controller says: %s\nbefore that:\n%s", line, c.tail())
			}
		case <-deadline:
			c.tb.Fatalf("the push was not applied within %s; the controller says:\n%s", appliedWithin, c.tail())
		}
	}
}

func (c *Controller) tail() string {
	return strings.Join(c.last[max(0, len(c.last)-20):], "\n")
}

// Stop ends the controller as Kubernetes does.
func (c *Controller) Stop() {
	c.tb.Helper()
	c.end(syscall.SIGTERM)
	if code := c.process.ProcessState.ExitCode(); code != 0 {
		c.tb.Fatalf("the controller ended with %d:\n%s", code, c.tail())
	}
}

// Kill ends the controller in the middle of whatever it does.
func (c *Controller) Kill() {
	c.tb.Helper()
	c.end(syscall.SIGKILL)
}

func (c *Controller) end(s syscall.Signal) {
	c.tb.Helper()
	if err := c.process.Process.Signal(s); err != nil {
		c.tb.Fatal(err)
	}
	for line := range c.lines {
		c.last = append(c.last, line)
	}
	<-c.exited
}

// Requests are what the controller asked of the API server so far, by its audit log.
func (c *Controller) Requests() []fleet.AuditEvent {
	c.tb.Helper()
	all, err := c.cluster.AuditEvents()
	if err != nil {
		c.tb.Fatal(err)
	}
	var ours []fleet.AuditEvent
	for _, e := range all {
		if e.User == user {
			ours = append(ours, e)
		}
	}
	return ours
}

// Writes counts the requests that may have changed something.
func Writes(events []fleet.AuditEvent) (n int) {
	for _, e := range events {
		if e.Writes() {
			n++
		}
	}
	return n
}

// RSS is the resident memory of the controller in bytes, and its peak; 0 where the system does not tell.
func (c *Controller) RSS() (now, peak int64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.process.Process.Pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(data)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			now = kb << 10
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			peak = kb << 10
		}
	}
	return now, peak
}
