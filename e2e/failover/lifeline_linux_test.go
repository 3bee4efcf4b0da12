//go:build e2e

package failover_test

import "syscall"

// lifeline makes a child end with the test, also when the test is killed.
func lifeline() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
