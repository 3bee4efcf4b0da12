//go:build e2e

package push

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/e2e/child"
	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/e2e/gitrepo"
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
	process *child.Controller
	// seen is the mark of the lines that AwaitReady and AwaitApplied have looked at.
	seen int
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
	c := &Controller{tb: tb, dir: dir, binary: fleet.CommandT(tb, "../..", "./cmd/armada-sync"), config: filepath.Join(dir, "run.yaml"), patient: opts.Patient}
	if opts.PollInterval == 0 {
		opts.PollInterval = 200 * time.Millisecond
	}
	concurrency := ""
	if opts.Concurrency > 0 {
		concurrency = fmt.Sprintf(", apply: {concurrency: %d}", opts.Concurrency)
	}
	gitrepo.Git(tb, dir, "init", "-q", "-b", "main", "repo")
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
	gitrepo.Git(c.tb, c.dir, "-C", "repo", "add", ".")
	gitrepo.Git(c.tb, c.dir, "-C", "repo", "commit", "-q", "--allow-empty", "-m", "a commit")
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
	c.process = child.Run(c.tb, child.Options{Binary: c.binary}, "--config", c.config, "--state", filepath.Join(c.dir, "state"))
	c.seen, c.applied = 0, false
}

// AwaitReady waits until /readyz says that the first plan is made and carried out as far as can be.
func (c *Controller) AwaitReady() {
	c.tb.Helper()
	deadline := time.After(appliedWithin)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !c.isReady() {
		select {
		case <-tick.C:
		case <-c.process.Exited():
			c.tb.Fatalf("the controller has ended: %v\n%s", c.process.Err(), c.tail())
		case <-deadline:
			c.tb.Fatalf("not ready within %s; the controller says:\n%s", appliedWithin, c.tail())
		}
	}
	said := c.process.Since(c.seen)
	c.seen += len(said)
	c.applied = slices.ContainsFunc(said, applied)
}

func (c *Controller) isReady() bool {
	code, _, err := c.process.Get(c.tb.Context(), "/readyz")
	return err == nil && code == http.StatusOK
}

// applied tells whether a line says that a commit is applied everywhere.
func applied(line string) bool { return strings.Contains(line, "msg=applied") }

// AwaitApplied waits until the controller says that the latest commit is applied everywhere. A problem
// that it reports meanwhile fails the test.
func (c *Controller) AwaitApplied() {
	c.tb.Helper()
	if c.applied {
		c.applied = false
		return
	}
	line, seen := c.process.Await(c.tb, c.seen, appliedWithin, "end of the push", func(line string) bool {
		return applied(line) || !c.patient && strings.Contains(line, "msg=problem")
	})
	c.seen = seen
	if !applied(line) {
		c.tb.Fatalf("the controller says: %s\nits last lines:\n%s", line, c.tail())
	}
}

func (c *Controller) tail() string {
	said := c.process.Since(0)
	return strings.Join(said[max(0, len(said)-20):], "\n")
}

// Stop ends the controller as Kubernetes does.
func (c *Controller) Stop() {
	c.tb.Helper()
	if code := c.process.End(c.tb, syscall.SIGTERM); code != 0 {
		c.tb.Fatalf("the controller ended with %d:\n%s", code, c.tail())
	}
}

// Kill ends the controller in the middle of whatever it does.
func (c *Controller) Kill() {
	c.tb.Helper()
	c.process.End(c.tb, syscall.SIGKILL)
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
	samples, err := c.process.Metrics(c.tb.Context())
	if err != nil {
		c.tb.Fatal(err)
	}
	value, there := samples[name]
	if !there {
		c.tb.Fatalf("there is no metric %q", name)
	}
	return value
}

// Process tells what the controller used so far.
func (c *Controller) Process() Usage { return UsageOf(c.process.PID()) }

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
