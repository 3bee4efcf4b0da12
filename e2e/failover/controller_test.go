//go:build e2e

package failover_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// controller is `armada-sync run` as a child process, and the folder that it works in.
type controller struct {
	binary, dir string
	address     string

	mu    sync.Mutex
	lines []string
}

// start starts the controller on fleet.yaml in its folder and waits until it says where it serves. It ends
// with log, the test that outlives the steps and shows its stderr.
func (c *controller) start(log *testing.T) {
	log.Helper()
	cmd := exec.Command(c.binary, "run", "--config", c.path("fleet.yaml"), "--state", c.path("state"))
	cmd.Env, cmd.SysProcAttr = c.env(), lifeline()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		log.Fatal(err)
	}
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		// Linux sends the parent-death signal when the thread that made the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.read(log, stderr)
		_ = cmd.Wait() // It is killed at the end.
		close(exited)
	}()
	if err := <-started; err != nil {
		log.Fatalf("start the controller: %v", err)
	}
	log.Cleanup(func() { _ = cmd.Process.Kill(); <-exited })
	_, rest, _ := strings.Cut(c.awaitLine(log, 0, "serving /metrics"), "address=")
	c.address, _, _ = strings.Cut(rest, " ")
}

func (c *controller) path(name string) string { return filepath.Join(c.dir, name) }

func (c *controller) env() []string {
	return []string{"HOME=" + c.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
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

// mark is the number of lines so far.
func (c *controller) mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lines)
}

// awaitLine waits for a line on stderr after the mark that contains every part.
func (c *controller) awaitLine(t *testing.T, mark int, parts ...string) (line string) {
	t.Helper()
	eventually(t, patience, fmt.Sprintf("a line on stderr with %q", parts), func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, line = range c.lines[mark:] {
			all := true
			for _, p := range parts {
				all = all && strings.Contains(line, p)
			}
			if all {
				return nil
			}
		}
		return fmt.Errorf("the lines since then:\n%s", strings.Join(c.lines[mark:], "\n"))
	})
	return line
}

// metric returns a sample of /metrics, by its name and labels as they are spelled there.
func (c *controller) metric(ctx context.Context, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.address+"/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(all)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+" "); found {
			return value, nil
		}
	}
	return "", fmt.Errorf("there is no metric %s", name)
}

// cli runs a command beside the controller and shows what it prints.
func (c *controller) cli(t *testing.T, wantCode int, args ...string) string {
	t.Helper()
	out, code := c.ask(t, args...)
	t.Logf("$ armada-sync %s\n%s[exit code %d]", strings.ReplaceAll(strings.Join(args, " "), c.dir+"/", ""), out, code)
	if code != wantCode {
		t.Errorf("armada-sync %s: exit code %d, want %d", args[0], code, wantCode)
	}
	return out
}

// ask runs a command beside the controller and returns what it prints, stdout first.
func (c *controller) ask(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Env = c.env()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("armada-sync %s: %v", strings.Join(args, " "), err)
	}
	return stdout.String() + stderr.String(), cmd.ProcessState.ExitCode()
}

// eventually waits until the condition holds; at the deadline the test fails with its last error.
func eventually(t *testing.T, timeout time.Duration, what string, condition func() error) {
	t.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("no %s within %s: %v", what, timeout, err)
		case <-tick.C:
		}
	}
}
