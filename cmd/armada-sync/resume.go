package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newResume(s streams) *cobra.Command {
	flags := &followFlags{}
	cmd := &cobra.Command{
		Use:   "resume SOURCE",
		Short: "Follow a source again after a rollback",
		Long: `Take the pin of 'armada-sync rollback' off a source: the repository is followed again, and its latest
commit goes to the clusters, step by step where the source has a spec.rollout.

The flags are those of rollback.`,
		Example: `  armada-sync resume shop
  armada-sync resume armada-system/shop --hub-context hub`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runResume(cmd.Context(), s, flags, args[0]) },
	}
	flags.register(cmd)
	return cmd
}

func runResume(ctx context.Context, s streams, flags *followFlags, name string) error {
	at, err := flags.open(ctx, s)
	if err != nil {
		return err
	}
	defer at.close()
	done, err := at.resume(ctx, name)
	if err != nil {
		return err
	}
	if done.Changed {
		fmt.Fprintf(s.out, "%s is followed again; it was pinned to %s\n", done.Source, done.Before)
	} else {
		fmt.Fprintf(s.out, "%s: nothing changes\n", done.Source)
	}
	printNote(s.out, done.Note)
	return nil
}
