package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/control"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

// Where a running controller takes orders about what it follows.
const (
	rollbackPath = "/v1/rollback"
	resumePath   = "/v1/resume"
)

// followRequest asks for a source to be pinned or followed.
type followRequest struct {
	Source string `json:"source"`
	To     string `json:"to,omitempty"`
}

// serveRollback takes orders for a running engine.
func serveRollback(server *control.Server, e *engine.Engine) {
	control.Handle(server, "POST "+rollbackPath, func(ctx context.Context, r followRequest) (engine.Followed, error) {
		return e.Rollback(ctx, r.Source, r.To)
	})
	control.Handle(server, "POST "+resumePath, func(ctx context.Context, r followRequest) (engine.Followed, error) {
		return e.Resume(ctx, r.Source)
	})
}

// rollbackFlags are the flags of rollback.
type rollbackFlags struct {
	followFlags
	to string
}

func newRollback(s streams) *cobra.Command {
	flags := &rollbackFlags{}
	cmd := &cobra.Command{
		Use:   "rollback SOURCE",
		Short: "Take an earlier commit of a source to all clusters, and stay there",
		Long: `Pin a source to an earlier commit: the one that was applied before the present one, or the one that
--to names. It goes to all clusters at once, whatever spec.rollout says, and the source is not followed
any more until 'armada-sync resume SOURCE'. What keeps objects from being removed, such as the limit of
removals at once, holds here too.

A controller on its own is found by its state folder (--state, or --config); else the hub of a kubeconfig
is told (--kubeconfig, --hub-context). Without any of them it is the controller that runs here on the
default configuration, and where none does, the hub of the current context.

SOURCE is namespace/name, or the name alone. A commit is named by its id or the beginning of one, by a
branch or a tag; on a hub by its full id, or the beginning of one that was applied before.`,
		Example: `  armada-sync rollback shop
  armada-sync rollback shop --to 4f2a91c
  armada-sync rollback armada-system/shop --to v1.4.2 --config fleet.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRollback(cmd.Context(), s, flags, args[0])
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&flags.to, "to", "", "commit to go to (default: the one that was applied before the present one)")
	must(cmd.RegisterFlagCompletionFunc("to", flags.completeRevision))
	return cmd
}

func runRollback(ctx context.Context, s streams, flags *rollbackFlags, name string) error {
	at, err := flags.open(ctx, s)
	if err != nil {
		return err
	}
	defer at.close()
	done, err := at.rollback(ctx, name, flags.to)
	if err != nil {
		return err
	}
	if done.Before == done.After {
		fmt.Fprintf(s.out, "%s stays at %s, where it is\n", done.Source, done.After)
	} else {
		fmt.Fprintf(s.out, "%s goes to %s on all clusters at once", done.Source, done.After)
		if done.Before != "" {
			fmt.Fprintf(s.out, "; it was at %s", done.Before)
		}
		fmt.Fprintln(s.out)
	}
	fmt.Fprintf(s.out, "It is not followed any more until 'armada-sync resume %s'.\n", name)
	return nil
}

// followFlags say whose sources a command is about.
type followFlags struct {
	control controlFlags
	hub     contextFlags
}

func (f *followFlags) register(cmd *cobra.Command) {
	f.control.register(cmd)
	f.hub.addHub(cmd, "hub-context")
	for _, own := range []string{"state", "config"} {
		for _, hub := range []string{"kubeconfig", "hub-context"} {
			cmd.MarkFlagsMutuallyExclusive(own, hub)
		}
	}
	cmd.ValidArgsFunction = f.completeSource
}

// follower is a controller that can be told what to follow.
type follower interface {
	rollback(ctx context.Context, source, to string) (engine.Followed, error)
	resume(ctx context.Context, source string) (engine.Followed, error)
	// list returns the sources.
	list(ctx context.Context) ([]followedSource, error)
	close()
}

// open connects to the controller that the flags name.
func (f *followFlags) open(ctx context.Context, s streams) (follower, error) {
	if f.hub.kubeconfig == "" && f.hub.hub == "" {
		client, err := f.control.dial(ctx, s)
		if err == nil {
			return localFollower{client}, nil
		}
		if f.control.given() || ctx.Err() != nil {
			return nil, err
		}
	}
	hub, err := reachContext(f.hub.kubeconfig, f.hub.hub)
	if err != nil {
		return nil, fmt.Errorf("%w; for a controller on its own give --state or --config", err)
	}
	return newHubFollower(hub)
}

// localFollower is a controller on its own.
type localFollower struct{ client *control.Client }

func (l localFollower) rollback(ctx context.Context, source, to string) (done engine.Followed, err error) {
	err = l.client.Post(ctx, rollbackPath, followRequest{source, to}, &done)
	return done, err
}

func (l localFollower) resume(ctx context.Context, source string) (done engine.Followed, err error) {
	err = l.client.Post(ctx, resumePath, followRequest{Source: source}, &done)
	return done, err
}

func (l localFollower) close() { l.client.Close() }

// printNote prints a remark on what was done.
func printNote(w io.Writer, note string) {
	if note != "" {
		fmt.Fprintf(w, "Note: %s.\n", note)
	}
}
