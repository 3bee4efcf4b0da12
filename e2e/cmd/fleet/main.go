// Command fleet runs real Kubernetes clusters on this machine until it is told
// to end them: `fleet up`, `fleet down`, and `fleet build`, which only builds
// what they are made of. `task fleet:up` and `task fleet:down` call it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/e2e/fleet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		stop()
		os.Exit(1)
	}
}

// command builds the command tree. Data goes to stdout, progress to stderr.
func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "fleet",
		Short:         "Run real Kubernetes clusters on this machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(upCommand(), downCommand(), buildCommand())
	return root
}

func upCommand() *cobra.Command {
	var members, nodes int
	var hub bool
	var dir string
	up := &cobra.Command{
		Use:   "up",
		Short: "Start a fleet and leave it running; its kubeconfig files are <dir>/<name>.kubeconfig",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts := fleet.Options{
				WithControllers: true,
				WithNodes:       nodes,
				Dir:             dir,
				Progress:        cmd.ErrOrStderr(),
			}
			for i := range members {
				opts.Names = append(opts.Names, "member-"+strconv.Itoa(i+1))
			}
			if hub {
				opts.Hub = "hub"
			}
			state, err := fleet.Up(cmd.Context(), opts)
			if err != nil {
				return err
			}
			printState(cmd.OutOrStdout(), state)
			return nil
		},
	}
	up.Flags().IntVar(&members, "members", 3, "number of member clusters: member-1, member-2, …")
	up.Flags().BoolVar(&hub, "hub", false, `start one more cluster, "hub", without nodes`)
	up.Flags().IntVar(&nodes, "nodes", 2, "fake nodes per member; with 0, pods stay Pending")
	dirFlag(up, &dir)
	return up
}

// printState lists the clusters with a command to try on each.
func printState(w io.Writer, state fleet.State) {
	here, err := os.Getwd()
	for _, c := range state.Clusters {
		path := c.Kubeconfig
		if relative, relErr := filepath.Rel(here, path); err == nil && relErr == nil && filepath.IsLocal(relative) {
			path = relative
		}
		fmt.Fprintf(w, "%s\t%s\tkubectl --kubeconfig %s get all -A\n", c.Name, c.URL, path)
	}
}

func downCommand() *cobra.Command {
	var dir string
	down := &cobra.Command{
		Use:   "down",
		Short: "End the fleet that up started and remove its data",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fleet.Down(cmd.Context(), dir, cmd.ErrOrStderr())
		},
	}
	dirFlag(down, &dir)
	return down
}

func buildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "build",
		Short: "Build etcd, Kubernetes and kwok, unless they are in the cache, and print their paths",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			binaries, err := fleet.Build(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), binaries.Kube)
			fmt.Fprintln(cmd.OutOrStdout(), binaries.Kwok)
			return nil
		},
	}
}

func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", ".fleet", "folder of the fleet: state, data, logs, kubeconfig files")
}
