package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// endsWithin bounds the time that a controller takes to end after a signal.
	endsWithin = 30 * time.Second
	// answersWithin bounds a request to the controller's own server.
	answersWithin = 5 * time.Second
	// shownLines is how many of the last lines a failure shows.
	shownLines = 40
)

// Options say how a controller is run.
type Options struct {
	// Binary is the file of the command.
	Binary string
	// Env is the environment as in [exec.Cmd]. Default: that of the test.
	Env []string
	// Owner is the test that the controller lives as long as, at most. Default: the one that starts it.
	Owner testing.TB
	// Name stands before each of its lines in the log of the owner. Default: they are not shown there.
	Name string
}

// Controller is `armada-sync run` as a child process, with every line that it wrote to stderr: tests also look
// for what must be in none of them.
type Controller struct {
	*Process
	said lines
}

// Run starts `armada-sync run` with more arguments. It is killed when its owner ends.
func Run(tb testing.TB, opts Options, args ...string) *Controller {
	tb.Helper()
	if opts.Owner == nil {
		opts.Owner = tb
	}
	c := &Controller{said: lines{news: make(chan struct{})}}
	if opts.Name != "" {
		c.said.show, c.said.prefix = opts.Owner.Output(), "    "+opts.Name+"| "
	}
	cmd := exec.Command(opts.Binary, append([]string{"run"}, args...)...)
	cmd.Env, cmd.Stderr = opts.Env, &c.said
	var err error
	if c.Process, err = Start(cmd); err != nil {
		tb.Fatal(err)
	}
	opts.Owner.Cleanup(c.Kill)
	return c
}

// Mark is the number of lines so far: what comes later is news.
func (c *Controller) Mark() int { return len(c.Since(0)) }

// Since returns the lines after a mark.
func (c *Controller) Since(mark int) []string {
	said, _ := c.said.since(mark)
	return said
}

// Await waits for a line after the mark that match accepts, and returns it with the mark behind it. The test fails
// when the time is over or the controller ends without such a line.
func (c *Controller) Await(tb testing.TB, mark int, timeout time.Duration, what string, match func(line string) bool) (string, int) {
	tb.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for at := mark; ; {
		running := c.Running()
		said, news := c.said.since(at)
		for _, line := range said {
			at++
			if match(line) {
				return line, at
			}
		}
		why := ""
		select {
		case <-news:
		case <-c.Exited():
			if !running {
				why = fmt.Sprintf("before the controller ended with code %d", c.cmd.ProcessState.ExitCode())
			}
		case <-tb.Context().Done():
			why = "before the test ended"
		case <-deadline.C:
			why = "within " + timeout.String()
		}
		if why != "" {
			said = c.Since(mark)
			tb.Fatalf("no %s %s; the last of %d lines since then:\n%s", what, why, len(said), strings.Join(said[max(0, len(said)-shownLines):], "\n"))
		}
	}
}

// AwaitLine waits for a line after the mark that contains every part.
func (c *Controller) AwaitLine(tb testing.TB, mark int, timeout time.Duration, parts ...string) string {
	tb.Helper()
	line, _ := c.Await(tb, mark, timeout, fmt.Sprintf("line on stderr with %q", parts), func(line string) bool { return Contains(line, parts...) })
	return line
}

// Contains tells whether a line contains every part.
func Contains(line string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(line, p) {
			return false
		}
	}
	return true
}

// End sends the signal to a controller that must be running and waits for the end. One that a signal ended has
// code -1.
func (c *Controller) End(tb testing.TB, signal syscall.Signal) (code int) {
	tb.Helper()
	if err := c.cmd.Process.Signal(signal); err != nil {
		tb.Fatalf("send %s to the controller: %v", signal, err)
	}
	select {
	case <-c.Exited():
	case <-time.After(endsWithin):
		tb.Fatalf("the controller lives %s after %s", endsWithin, signal)
	}
	return c.cmd.ProcessState.ExitCode()
}

// Get asks the controller's own server, whose address is what it says of it.
func (c *Controller) Get(ctx context.Context, path string) (code int, body string, err error) {
	address := ""
	for _, line := range c.Since(0) {
		if strings.Contains(line, "serving /metrics") {
			_, rest, _ := strings.Cut(line, "address=")
			address, _, _ = strings.Cut(rest, " ")
			break
		}
	}
	if address == "" {
		return 0, "", errors.New("the controller does not say yet where it serves")
	}
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
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

// Metrics returns the samples of /metrics by name and labels, as they are spelled there.
func (c *Controller) Metrics(ctx context.Context) (map[string]float64, error) {
	code, body, err := c.Get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("/metrics answers %d", code)
	}
	samples := map[string]float64{}
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if samples[line[:i]], err = strconv.ParseFloat(line[i+1:], 64); err != nil {
			return nil, fmt.Errorf("/metrics: %q: %w", line, err)
		}
	}
	return samples, nil
}
