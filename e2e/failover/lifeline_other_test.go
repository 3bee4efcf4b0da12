//go:build e2e && !linux

package failover_test

import "syscall"

// lifeline is Linux's alone: elsewhere a child ends with the test unless the test is killed.
func lifeline() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
