//go:build e2e

package story_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// buildCommand builds the command as a user would and returns its path.
func buildCommand(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "armada-sync")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", file, "../../cmd/armada-sync").CombinedOutput()
	if err != nil {
		t.Fatalf("build the command: %v\n%s", err, out)
	}
	return file
}

// controller is `armada-sync run` as a child process.
type controller struct {
	cmd     *exec.Cmd
	exited  chan struct{}
	address string

	mu    sync.Mutex
	lines []string
}

// startController starts a controller and waits until it says where it serves. Its stderr is shown in
// the log of log, which is to outlive it, and is kept for awaitLine.
func startController(t, log *testing.T, binary, config, state string) *controller {
	t.Helper()
	c := &controller{exited: make(chan struct{})}
	c.cmd = exec.Command(binary, "run", "--config", config, "--state", state)
	c.cmd.Env = []string{"HOME=" + filepath.Dir(config), "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
	c.cmd.SysProcAttr = lifeline()
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() {
		// Linux sends the parent-death signal when the thread that made the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.read(log, stderr)
		// The exit code is in ProcessState.
		_ = c.cmd.Wait()
		close(c.exited)
	}()
	if err := <-started; err != nil {
		t.Fatalf("start the controller: %v", err)
	}
	log.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.exited
	})
	line := c.awaitLine(t, 0, 20*time.Second, "serving /metrics")
	_, rest, _ := strings.Cut(line, "address=")
	c.address, _, _ = strings.Cut(rest, " ")
	return c
}

func (c *controller) read(log *testing.T, stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		c.mu.Lock()
		c.lines = append(c.lines, lines.Text())
		c.mu.Unlock()
		fmt.Fprintf(log.Output(), "    run| %s\n", lines.Text())
	}
}

// mark is the number of lines so far: what comes later is news.
func (c *controller) mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lines)
}

// since returns the lines after a mark.
func (c *controller) since(mark int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.lines[mark:]...)
}

// find returns the first line after the mark that contains every part.
func (c *controller) find(mark int, parts ...string) (string, bool) {
	for _, line := range c.since(mark) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return line, true
		}
	}
	return "", false
}

// awaitLine waits for a line after the mark that contains every part.
func (c *controller) awaitLine(t *testing.T, mark int, timeout time.Duration, parts ...string) string {
	t.Helper()
	var line string
	eventually(t, timeout, fmt.Sprintf("a line on stderr with %q", parts), func() error {
		found, ok := c.find(mark, parts...)
		line = found
		if ok {
			return nil
		}
		if code, ended := c.ended(); ended {
			t.Fatalf("the controller has ended with code %d:\n%s", code, strings.Join(c.since(mark), "\n"))
		}
		return fmt.Errorf("the lines since then:\n%s", strings.Join(c.since(mark), "\n"))
	})
	return line
}

func (c *controller) ended() (code int, ended bool) {
	select {
	case <-c.exited:
		return c.cmd.ProcessState.ExitCode(), true
	default:
		return 0, false
	}
}

// stop sends the signal and waits for the end. A process that a signal ended has code -1.
func (c *controller) stop(t *testing.T, signal syscall.Signal) (code int) {
	t.Helper()
	if err := c.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	select {
	case <-c.exited:
	case <-time.After(30 * time.Second):
		t.Fatalf("the controller lives 30s after %s", signal)
	}
	return c.cmd.ProcessState.ExitCode()
}

// get asks the controller's own server.
func (c *controller) get(ctx context.Context, path string) (code int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.address+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(content), err
}

// metrics returns the samples of /metrics by name and labels, as they are spelled there.
func (c *controller) metrics(ctx context.Context) (map[string]float64, error) {
	code, body, err := c.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("/metrics answers %d", code)
	}
	samples := map[string]float64{}
	for line := range strings.Lines(body) {
		name, value, ok := cutLast(strings.TrimSpace(line))
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if samples[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("/metrics: %q: %w", line, err)
		}
	}
	return samples, nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// awaitQuiet waits until the controller is ready and its last plan has nothing to write on the named
// clusters: the moment from which on a look at the clusters is worth it. It proves nothing by itself.
func (c *controller) awaitQuiet(t *testing.T, clusters ...string) {
	t.Helper()
	eventually(t, time.Minute, "a plan with nothing to do", func() error {
		if code, _, err := c.get(t.Context(), "/readyz"); err != nil || code != http.StatusOK {
			return fmt.Errorf("/readyz answers %d, %w", code, err)
		}
		samples, err := c.metrics(t.Context())
		if err != nil {
			return err
		}
		for _, cluster := range clusters {
			if samples[objectsMetric(cluster, "unchanged")] == 0 {
				return fmt.Errorf("nothing is in place on %s", cluster)
			}
			for _, state := range []string{"create", "configure", "prune"} {
				if n := samples[objectsMetric(cluster, state)]; n > 0 {
					return fmt.Errorf("%.0f objects to %s on %s", n, state, cluster)
				}
			}
		}
		return nil
	})
}

func objectsMetric(cluster, state string) string {
	return fmt.Sprintf(`armada_sync_objects{cluster=%q,state=%q}`, cluster, state)
}

// poll is how often a condition is looked at.
const poll = 50 * time.Millisecond

// eventually waits until the condition holds; at the deadline the test fails with its last error.
func eventually(t *testing.T, timeout time.Duration, what string, condition func() error) time.Duration {
	t.Helper()
	began := time.Now()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return time.Since(began)
		}
		select {
		case <-deadline.C:
			t.Fatalf("no %s within %s: %v", what, timeout, err)
		case <-t.Context().Done():
			t.Fatalf("no %s before the test ended: %v", what, err)
		case <-tick.C:
		}
	}
}
