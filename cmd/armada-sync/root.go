package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// streams are where a command writes: data to out, everything else to err.
type streams struct {
	out, err io.Writer
	// terminal tells that a person reads out.
	terminal bool
}

// Exit codes, a contract. Where several apply: 1, 5, 4, 3, 2, 0.
const (
	exitDone        = 0
	exitError       = 1
	exitChanges     = 2
	exitFindings    = 3
	exitUnreachable = 4
	exitTimeout     = 5
)

// codedError ends the command with a code of its own. Without an err nothing is printed: the output
// has said it already.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }

// withCode returns an error that ends the command silently with a code, and nil for code 0.
func withCode(code int) error {
	if code == exitDone {
		return nil
	}
	return &codedError{code: code}
}

// exitCode prints an error and returns the exit code that it asks for.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitDone
	}
	var coded *codedError
	if errors.As(err, &coded) {
		if coded.err != nil {
			fmt.Fprintf(stderr, "armada-sync: %v\n", coded.err)
		}
		return coded.code
	}
	fmt.Fprintf(stderr, "armada-sync: %v\n", err)
	return exitError
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "armada-sync",
		Short: "Carry what is in Git to many Kubernetes clusters",
		Long: `armada-sync carries workloads and policies from Git to many Kubernetes clusters: it places
workloads, divides replicas, gives each cluster its own manifests, and moves what a lost cluster
held. plan and preview show what it would do, with a reason for every line, without touching
anything.

Exit codes: 0 done; 1 error; 2 changes (with --exit-code); 3 findings at or above the bar (with
--exit-code or --fail-on); 4 some clusters could not be reached; 5 timed out.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())
	})
	root.AddCommand(
		newDemo(s),
		newPlan(s),
		newRender(s),
		newPreview(s),
		newExplain(s),
		newBlame(s),
		newValidate(s),
		newDrift(s),
		newFleet(s),
		newRun(s),
		newInit(s),
		newJoin(s),
		newUnjoin(s),
		newRotate(s),
		newRollback(s),
		newResume(s),
		newCordon(s),
		newUncordon(s),
		newDrain(s),
		newTaint(s),
		newRebalance(s),
		newFailover(s),
	)
	explainArguments(root)
	return root
}

// explainArguments lets every command say, to arguments that it cannot use, how it is called, and the groups of
// commands which of theirs may be meant.
func explainArguments(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.SuggestionsMinimumDistance = 2
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err == nil || !cmd.HasSubCommands() {
				return withUsage(cmd, err)
			}
			if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
				err = fmt.Errorf("%w; did you mean %q?", err, cmd.CommandPath()+" "+meant[0])
			}
			return fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())
		}
	}
	for _, child := range cmd.Commands() {
		explainArguments(child)
	}
}

// execute runs the command that the arguments ask for. What Cobra says about flags that are missing or do not go
// together has no type of its own; it is no more than that, so it is said how the command is called.
func execute(ctx context.Context, root *cobra.Command) error {
	cmd, err := root.ExecuteContextC(ctx)
	for _, start := range []string{"required flag(s) ", "if any flags in the group ", "at least one of the flags in the group "} {
		if err != nil && strings.HasPrefix(err.Error(), start) {
			return withUsage(cmd, err)
		}
	}
	return err
}

// withUsage adds to an error how the command is called; no error stays none.
func withUsage(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\nUsage: %s\nSee '%s --help'", err, cmd.UseLine(), cmd.CommandPath())
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
