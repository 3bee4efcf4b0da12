//go:build e2e

package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/armada-sync/armada-sync/e2e/fleet"
)

// TestBenchPush is TestBenchApply from the outside: the controller runs as a process, 1,000 objects come
// with one push, and the API server's audit log tells how fast they were written. Then a restart, after
// which that log must not have grown.
func TestBenchPush(t *testing.T) {
	f := fleet.StartT(t, fleet.Options{Names: []string{"east"}, Users: []fleet.User{{Name: "armada-sync", Groups: []string{"system:masters"}}}})
	cluster := f.Cluster("east")
	cfg := cluster.RESTConfig()
	cfg.QPS = -1
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := newPusher(t, cluster)
	p.push("warm")
	p.start()
	p.awaitApplied()
	measure(t, client, "warm-direct", func(ns string) time.Duration { return direct(t, cfg, ns) })

	var ratios []float64
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "round\tdirect objects/s\tpushed objects/s\tratio\tpush to applied\t")
	n := float64(len(objects("x")))
	for round := 1; round <= rounds; round++ {
		name := fmt.Sprint("round-", round)
		d := measure(t, client, name+"-direct", func(ns string) time.Duration { return direct(t, cfg, ns) })
		began := time.Now()
		p.push(name)
		p.awaitApplied()
		total := time.Since(began)
		o := p.writing(name)
		ratios = append(ratios, d.Seconds()/o.Seconds())
		fmt.Fprintf(table, "%d\t%.0f\t%.0f\t%.2f\t%.1fs\t\n", round, n/d.Seconds(), n/o.Seconds(), d.Seconds()/o.Seconds(), total.Seconds())
	}
	slices.Sort(ratios)
	fmt.Fprintf(table, "median\t\t\t%.2f\t\t\n", ratios[len(ratios)/2])
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}

	p.stop()
	before := p.writes()
	p.start()
	p.awaitApplied()
	p.stop()
	if after := p.writes(); after != before {
		t.Errorf("a restart with %.0f objects in sync wrote %d times", n*(rounds+1), after-before)
	} else {
		fmt.Printf("after a restart with %.0f objects in sync: 0 writes\n", n*(rounds+1))
	}
}

// pusher is a repository and a controller that follows it.
type pusher struct {
	t       *testing.T
	dir     string
	binary  string
	config  string
	cluster *fleet.Cluster

	process *exec.Cmd
	lines   chan string
}

func newPusher(t *testing.T, cluster *fleet.Cluster) *pusher {
	t.Helper()
	dir := t.TempDir()
	p := &pusher{t: t, dir: dir, binary: filepath.Join(dir, "armada-sync"), config: filepath.Join(dir, "run.yaml"), cluster: cluster}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.binary, "../../cmd/armada-sync").CombinedOutput(); err != nil {
		t.Fatalf("build the command: %v\n%s", err, out)
	}
	kubeconfig := cluster.UserKubeconfig("armada-sync")
	p.git("init", "-q", "-b", "main", "repo")
	config := fmt.Sprintf(`apiVersion: armada-sync.io/v1alpha1
kind: Config
metadata: {name: bench}
spec: {metrics: {bindAddress: "127.0.0.1:0"}, apply: {concurrency: %d}}
---
apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: bench}
spec: {url: "file://%s/repo", interval: 200ms}
---
apiVersion: armada-sync.io/v1alpha1
kind: Cluster
metadata: {name: east}
spec: {kubeconfigFile: %q}
`, inFlight, dir, kubeconfig)
	p.write(p.config, []byte(config))
	p.write(filepath.Join(dir, "repo", "policy.yaml"), []byte(`apiVersion: armada-sync.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: all}
spec:
  resourceSelectors:
    - {apiVersion: v1, kind: ConfigMap}
    - {apiVersion: v1, kind: Service}
    - {apiVersion: apps/v1, kind: Deployment}
`))
	return p
}

func (p *pusher) git(args ...string) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "git", args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_AUTHOR_NAME=Bench", "GIT_AUTHOR_EMAIL=bench@example.com",
		"GIT_COMMITTER_NAME=Bench", "GIT_COMMITTER_EMAIL=bench@example.com")
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (p *pusher) write(file string, data []byte) {
	p.t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// push adds the objects in a namespace of their own.
func (p *pusher) push(namespace string) {
	p.t.Helper()
	var all []byte
	for _, o := range objects(namespace) {
		data, err := json.Marshal(o.Object)
		if err != nil {
			p.t.Fatal(err)
		}
		all = append(append(all, data...), "\n---\n"...)
	}
	p.write(filepath.Join(p.dir, "repo", namespace+".yaml"), all)
	p.git("-C", "repo", "add", ".")
	p.git("-C", "repo", "commit", "-q", "-m", namespace)
}

func (p *pusher) start() {
	p.t.Helper()
	p.process = exec.Command(p.binary, "run", "--config", p.config, "--state", filepath.Join(p.dir, "state"))
	stderr, err := p.process.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	process := p.process
	p.t.Cleanup(func() { _ = process.Process.Kill() })
	p.lines = make(chan string, 1000)
	go forward(stderr, p.lines)
}

func forward(r io.Reader, lines chan<- string) {
	defer close(lines)
	s := bufio.NewScanner(r)
	for s.Scan() {
		lines <- s.Text()
	}
}

// awaitApplied waits until the controller says that the latest commit is applied everywhere.
func (p *pusher) awaitApplied() {
	p.t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		select {
		case line, running := <-p.lines:
			if strings.Contains(line, "msg=applied") {
				return
			}
			if !running || strings.Contains(line, "msg=problem") {
				p.t.Fatalf("the controller says: %s", line)
			}
		case <-deadline:
			p.t.Fatal("the push was not applied within two minutes")
		}
	}
}

func (p *pusher) stop() {
	p.t.Helper()
	if err := p.process.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	for range p.lines {
		// The pipe must be read to its end before Wait.
	}
	if err := p.process.Wait(); err != nil {
		p.t.Fatalf("the controller ended with %v", err)
	}
}

// writes counts what the controller wrote so far, by the API server's audit log.
func (p *pusher) writes() int {
	n := 0
	for _, e := range p.events() {
		if e.User == "armada-sync" && e.Writes() {
			n++
		}
	}
	return n
}

// writing is the time from the first to the last write of objects in a namespace.
func (p *pusher) writing(namespace string) time.Duration {
	p.t.Helper()
	var first, last time.Time
	for _, e := range p.events() {
		if e.User != "armada-sync" || !e.Writes() || e.Namespace != namespace {
			continue
		}
		if first.IsZero() || e.Received.Before(first) {
			first = e.Received
		}
		if e.Received.After(last) {
			last = e.Received
		}
	}
	if first.IsZero() {
		p.t.Fatalf("the audit log has no write in namespace %q", namespace)
	}
	return last.Sub(first)
}

func (p *pusher) events() []fleet.AuditEvent {
	p.t.Helper()
	events, err := p.cluster.AuditEvents()
	if err != nil {
		p.t.Fatal(err)
	}
	return events
}
