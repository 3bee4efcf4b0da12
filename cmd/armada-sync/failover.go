package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

func newFailover(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:        "failover",
		SuggestFor: []string{"status", "pause"},
		Short:      "See what failover does, stop it for a while, let it go on",
		Args:       cobra.NoArgs,
		RunE:       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFailoverStatus(s), newFailoverPause(s), newFailoverResume(s))
	return cmd
}

// pauseFlags are the flags of failover pause.
type pauseFlags struct {
	operateFlags
	duration time.Duration
	reason   string
}

// longestPause keeps a pause from being forgotten.
const longestPause = 7 * 24 * time.Hour

func newFailoverPause(s streams) *cobra.Command {
	flags := &pauseFlags{}
	cmd := &cobra.Command{
		Use:   "pause --for DURATION --reason TEXT",
		Short: "Evict nothing for a while",
		Long: `Stop all evictions for a while: nothing leaves a cluster because it is lost, tainted or drained, or because
the workload is unhealthy there, and nothing fails back or is divided anew. What Git says is applied all the same.
When the pause ends, tolerations start anew. At most seven days at a time.`,
		Example: `  armada-sync failover pause --for 2h --reason "the uplink of eu is replaced"
  armada-sync failover pause --for 30m --reason "hub is moved" --config armada.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPause(cmd.Context(), s, flags) },
	}
	flags.register(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.Flags().DurationVar(&flags.duration, "for", 0, "how long, such as 90m (required)")
	cmd.Flags().StringVar(&flags.reason, "reason", "", "why, for those who wonder (required)")
	must(cmd.MarkFlagRequired("for"))
	must(cmd.MarkFlagRequired("reason"))
	return cmd
}

func runPause(ctx context.Context, s streams, flags *pauseFlags) error {
	switch {
	case flags.duration <= 0 || flags.duration > longestPause:
		return fmt.Errorf("--for %s: want more than nothing and at most %s", flags.duration, longestPause)
	case flags.reason == "":
		return errors.New("--reason: say why, for those who wonder")
	}
	op, err := flags.open(ctx, s)
	if err != nil {
		return err
	}
	defer op.close()
	until := metav1.NewTime(time.Now().Add(flags.duration).UTC().Truncate(time.Second))
	if err := op.pause(ctx, &v1alpha1.PauseOrder{Until: until, Reason: flags.reason}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "failover paused until %s\n", until.UTC().Format(time.RFC3339))
	return err
}

func newFailoverResume(s streams) *cobra.Command {
	flags := &operateFlags{}
	cmd := &cobra.Command{
		Use:     "resume",
		Short:   "End a pause: evictions go on, and tolerations start anew",
		Example: "  armada-sync failover resume\n  armada-sync failover resume --config armada.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			op, err := flags.open(cmd.Context(), s)
			if err != nil {
				return err
			}
			defer op.close()
			before, unknown := op.view(cmd.Context())
			if err := op.pause(cmd.Context(), nil); err != nil {
				return err
			}
			said := "failover resumed"
			if _, alone := op.(*standalone); alone && unknown == nil && !strings.HasPrefix(before.Stopped, "failover is paused") {
				said = "failover was not paused"
			}
			_, err = fmt.Fprintln(s.out, said)
			return err
		},
	}
	flags.register(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	return cmd
}

func newFailoverStatus(s streams) *cobra.Command {
	flags := &operateFlags{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether evictions are stopped, and what waits for what",
		Long: `Say whether evictions are stopped and why, which clusters are not ready or tainted, and of each workload what is
to happen that has not happened yet: timers that run, old copies that wait to go, what stays for now and why.`,
		Example: "  armada-sync failover status\n  armada-sync failover status --config armada.yaml",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runFailoverStatus(cmd.Context(), s, flags) },
	}
	flags.register(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	return cmd
}

func runFailoverStatus(ctx context.Context, s streams, flags *operateFlags) error {
	op, err := flags.open(ctx, s)
	if err != nil {
		return err
	}
	defer op.close()
	v, err := op.view(ctx)
	if err != nil {
		return err
	}
	line := "evictions go on"
	if v.Stopped != "" {
		line = "evictions are stopped: " + v.Stopped
	}
	if _, err := fmt.Fprintln(s.out, line); err != nil {
		return err
	}
	for _, c := range v.Clusters {
		if err := printUnwell(s, c); err != nil {
			return err
		}
	}
	for i := range v.Placements {
		for _, w := range v.Placements[i].Status.Waiting {
			// Why evictions are stopped is said once, above.
			message := strings.TrimSuffix(w.Message, ": "+v.Stopped)
			if _, err := fmt.Fprintf(s.out, "%s on %s: %s\n", v.Placements[i].Spec.Workload, w.Cluster, message); err != nil {
				return err
			}
		}
	}
	return nil
}

// printUnwell prints a cluster that is not ready or tainted.
func printUnwell(s streams, c v1alpha1.Cluster) error {
	state := "ready"
	for _, condition := range c.Status.Conditions {
		if condition.Type == v1alpha1.ConditionReady && condition.Status != metav1.ConditionTrue {
			state = fmt.Sprintf("not ready since %s (%s)", condition.LastTransitionTime.UTC().Format(time.RFC3339), condition.Reason)
		}
	}
	if state == "ready" && len(c.Spec.Taints) == 0 {
		return nil
	}
	line := "cluster " + c.Name + ": " + state
	for _, t := range c.Spec.Taints {
		line += ", " + taintText(t)
	}
	_, err := fmt.Fprintln(s.out, line)
	return err
}
