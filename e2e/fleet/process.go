package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/armada-sync/armada-sync/e2e/child"
)

// program says how one part of a cluster is run.
type program struct {
	name string // the file name of its log, without ".log"
	bin  string
	args []string
	dir  string // work folder, home and log folder
	// locks are the files whose locks the process shall hold as long as it runs.
	locks []*os.File
	// detached programs survive this process, in a session of their own.
	detached bool
}

func (p program) logPath() string { return filepath.Join(p.dir, p.name+".log") }

// start runs the program. Its output is appended to its log.
func (p program) start() (*child.Process, error) {
	log, err := os.OpenFile(p.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // The child has its own copy.
	cmd := exec.Command(p.bin, p.args...)
	cmd.Dir = p.dir
	cmd.Stdout, cmd.Stderr = log, log
	// The user's environment stays out: etcd takes flags from ETCD_*, kwok and
	// client-go read configuration from the home folder and KUBECONFIG.
	cmd.Env = []string{"HOME=" + p.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}
	cmd.ExtraFiles = p.locks
	if p.detached {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	return child.Start(cmd)
}

// identity tells a process from a later one with the same number.
type identity struct {
	PID int `json:"pid"`
	// Executable is the path of the program file.
	Executable string `json:"executable"`
	// Started is the start time in the form that the system gives it.
	Started string `json:"started"`
}

// alive says whether exactly this process still runs.
func (i identity) alive() bool {
	now, err := identify(i.PID)
	return err == nil && now == i
}

// kill ends the process if it is still the same one, and waits until it is
// gone or ctx ends.
func (i identity) kill(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for sent := false; i.alive(); sent = true {
		if !sent {
			if err := syscall.Kill(i.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end process %d: %w", i.PID, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of process %d: %w", i.PID, context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

// logTail returns the last lines of a log, for an error message.
func logTail(path string, lines int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(bytes.TrimSpace(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
