//go:build e2e

package push

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
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
const appliedWithin = 10 * time.Minute

// Options say what a controller does beside its defaults.
type Options struct {
	// Concurrency is how many writes may be in flight. Default: the controller's own.
	Concurrency int
	// PollInterval is how often the repository is looked at. Default 200ms.
	PollInterval time.Duration
	// Patient lets problems pass: a thousand clusters that are connected to at once on a busy machine
	// are not all ready at the first try.
	Patient bool
}

// Controller is a repository and the controller that follows it.
type Controller struct {
	tb      testing.TB
	dir     string
	binary  string
	config  string
	cluster *fleet.Cluster

	patient bool
	process *exec.Cmd
	exited  chan struct{}
	// address is where the controller serves its metrics, once AwaitReady has returned.
	address string
	lines   chan string
	last    []string
	// applied tells that AwaitReady came upon what AwaitApplied waits for.
	applied bool
}

// New builds the command and makes an empty repository. Nothing runs yet. The cluster is known to the
// controller by its name.
func New(tb testing.TB, cluster *fleet.Cluster, opts Options) *Controller {
	tb.Helper()
	c := NewFor(tb, map[string]string{cluster.Name: cluster.UserKubeconfig(user)}, opts)
	c.cluster = cluster
	return c
}

// NewFor is New for any clusters, by name with their kubeconfig files. Requests are not told then.
func NewFor(tb testing.TB, kubeconfigs map[string]string, opts Options) *Controller {
	tb.Helper()
	dir := tb.TempDir()
	c := &Controller{tb: tb, dir: dir, binary: filepath.Join(dir, "armada-sync"), config: filepath.Join(dir, "run.yaml"), patient: opts.Patient}
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
	config := fmt.Appendf(nil, `apiVersion: armada-sync.io/v1alpha1
kind: Config
metadata: {name: push}
spec: {metrics: {bindAddress: "127.0.0.1:0"}%s}
---
apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: push}
spec: {url: "file://%s/repo", interval: %s}
`, concurrency, dir, opts.PollInterval)
	for _, name := range slices.Sorted(maps.Keys(kubeconfigs)) {
		config = fmt.Appendf(config, "---\napiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: %s}\nspec: {kubeconfigFile: %q}\n", name, kubeconfigs[name])
	}
	c.write(c.config, config)
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
	c.process, c.exited, c.address, c.applied = cmd, exited, "", false
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
	deadline := time.After(appliedWithin)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c.address != "" && c.isReady() {
			return
		}
		select {
		case line := <-c.lines:
			c.last = append(c.last, line)
			c.applied = c.applied || strings.Contains(line, "msg=applied")
			if _, rest, found := strings.Cut(line, "address="); found && c.address == "" {
				c.address = strings.TrimSpace(rest)
			}
		case <-tick.C:
		case <-deadline:
			c.tb.Fatalf("not ready within %s; the controller says:\n%s", appliedWithin, c.tail())
		}
	}
}

func (c *Controller) isReady() bool {
	req, err := http.NewRequestWithContext(c.tb.Context(), http.MethodGet, "http://"+c.address+"/readyz", nil)
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
	if c.applied {
		c.applied = false
		return
	}
	deadline := time.After(appliedWithin)
	for {
		select {
		case line, running := <-c.lines:
			c.last = append(c.last, line)
			if strings.Contains(line, "msg=applied") {
				return
			}
			if !running || !c.patient && strings.Contains(line, "msg=problem") {
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

// Metric returns the value of a metric without labels.
func (c *Controller) Metric(name string) float64 {
	c.tb.Helper()
	req, err := http.NewRequestWithContext(c.tb.Context(), http.MethodGet, "http://"+c.address+"/metrics", nil)
	if err != nil {
		c.tb.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.tb.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v float64
		if _, err := fmt.Sscanf(lines.Text(), name+" %g", &v); err == nil {
			return v
		}
	}
	c.tb.Fatalf("there is no metric %q", name)
	return 0
}

// Process tells what the controller used so far.
func (c *Controller) Process() Usage { return UsageOf(c.process.Process.Pid) }

// Usage is what a process used so far.
type Usage struct {
	// CPU is processor time, of user and system.
	CPU time.Duration
	// RSS is the resident memory in bytes, Peak the most that it was.
	RSS, Peak int64
}

// clockTick is the unit of processor times in /proc, the same on all Linux systems.
const clockTick = 10 * time.Millisecond

// UsageOf reads what a process used; zero where the system does not tell.
func UsageOf(pid int) Usage {
	var u Usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u
	}
	// The name of the program, in parentheses, may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, f := range fields[11:13] {
		if n, err := strconv.ParseInt(f, 10, 64); err == nil {
			u.CPU += time.Duration(n) * clockTick
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u
	}
	for line := range strings.Lines(string(status)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			u.RSS = kb << 10
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			u.Peak = kb << 10
		}
	}
	return u
}
