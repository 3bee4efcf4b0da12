// Command armada-sync carries what is in Git to many Kubernetes clusters, and shows beforehand what a
// change will do to each of them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: what it is given, where it writes, and the exit code. The first
// SIGINT or SIGTERM asks it to finish what is in flight; a second one ends it at once.
func run(args []string, stdout, stderr *os.File) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := newRoot(streams{out: stdout, err: stderr, terminal: isTerminal(stdout)})
	root.SetArgs(args)
	return exitCode(execute(ctx, root), stderr)
}
