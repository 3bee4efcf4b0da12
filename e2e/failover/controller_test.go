//go:build e2e

package failover_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/armada-sync/armada-sync/e2e/child"
)

// controller is `armada-sync run` and the folder that it works in.
type controller struct {
	*child.Controller
	binary, dir string
}

// start starts the controller on fleet.yaml in its folder and waits until it says where it serves.
func (c *controller) start(t *testing.T) {
	t.Helper()
	c.Controller = child.Run(t, child.Options{Binary: c.binary, Env: c.env(), Name: "run"}, "--config", c.path("fleet.yaml"), "--state", c.path("state"))
	c.AwaitLine(t, 0, patience, "serving /metrics")
}

func (c *controller) path(name string) string { return filepath.Join(c.dir, name) }

func (c *controller) env() []string {
	return []string{"HOME=" + c.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
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
