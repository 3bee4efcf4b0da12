package fleet

import (
	"fmt"
	"os"
	"strings"
)

// identify reads /proc. The start time is in clock ticks since boot (field 22
// of proc_pid_stat(5)); a zombie counts as gone.
func identify(pid int) (identity, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return identity{}, err
	}
	// The command name, in parentheses, may hold anything; the state (field 3) follows it.
	fields := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])
	if len(fields) < 20 {
		return identity{}, fmt.Errorf("cannot read /proc/%d/stat", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return identity{}, fmt.Errorf("process %d has ended", pid)
	}
	executable, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return identity{}, err
	}
	return identity{PID: pid, Executable: strings.TrimSuffix(executable, " (deleted)"), Started: fields[19]}, nil
}
