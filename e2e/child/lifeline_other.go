//go:build !linux

package child

import "syscall"

// lifeline has no parent-death signal here: the child stays in this process's group, so that a Ctrl-C on the
// terminal reaches it too.
func lifeline() *syscall.SysProcAttr { return nil }
