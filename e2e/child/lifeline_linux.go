package child

import "syscall"

// lifeline makes a child end with this process. A Ctrl-C on the terminal reaches only this process, which
// then ends the children in order.
func lifeline() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
