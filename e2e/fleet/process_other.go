//go:build !linux

package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// identify asks ps(1).
func identify(pid int) (identity, error) {
	cmd := exec.Command("ps", "-o", "state=,lstart=,comm=", "-p", strconv.Itoa(pid))
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.Output()
	if err != nil {
		return identity{}, fmt.Errorf("process %d: %w", pid, err)
	}
	// The start is five words, such as "Mon Nov 23 05:26:00 2026".
	fields := strings.Fields(string(out))
	if len(fields) < 7 || strings.HasPrefix(fields[0], "Z") {
		return identity{}, fmt.Errorf("process %d has ended", pid)
	}
	return identity{PID: pid, Executable: strings.Join(fields[6:], " "), Started: strings.Join(fields[1:6], " ")}, nil
}
