package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// taintFlags are the flags of taint.
type taintFlags struct {
	operateFlags
	overwrite bool
}

func newTaint(s streams) *cobra.Command {
	flags := &taintFlags{}
	cmd := &cobra.Command{
		Use:   "taint CLUSTER KEY[=VALUE]:EFFECT... | KEY[:EFFECT]-...",
		Short: "Taint a cluster, or take taints away",
		Long: `Put taints on a cluster, or take them away with a trailing minus, in kubectl's spelling.

NoSchedule keeps what is new from the cluster; NoExecute also moves away what does not tolerate it, as
failover does: new copies first, old ones when the new ones are healthy and connections have drained.
Policies tolerate taints in placement.clusterTolerations. To empty a cluster use drain.

On a hub the Cluster object is changed. A controller on its own keeps what it was asked over restarts.`,
		Example: `  armada-sync taint eu-1 maintenance=network:NoExecute
  armada-sync taint eu-1 maintenance:NoExecute-
  armada-sync taint eu-1 dedicated=ml:NoSchedule --config armada.yaml`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := parseTaints(args[0], args[1:])
			if err != nil {
				return err
			}
			change.Overwrite = flags.overwrite
			participle := "tainted"
			if len(change.Set) == 0 {
				participle = "untainted"
			}
			return runTaint(cmd.Context(), s, &flags.operateFlags, change, participle)
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&flags.overwrite, "overwrite", false, "replace the value of a taint that is there")
	return cmd
}

func newCordon(s streams) *cobra.Command {
	flags := &operateFlags{}
	cmd := &cobra.Command{
		Use:   "cordon CLUSTER",
		Short: "Keep new workloads from a cluster; what is there stays",
		Long: `Put the taint ` + v1alpha1.TaintCordoned + `:NoSchedule on a cluster: nothing new is placed there, what is
there stays and takes no more replicas where these follow capacity. A cordoned cluster does not count
when it is judged whether so many clusters were lost at once that evictions must stop.`,
		Example: `  armada-sync cordon eu-1
  armada-sync cordon eu-1 --config armada.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change := taintChange{Cluster: args[0], Set: []corev1.Taint{cordonTaint()}}
			return runTaint(cmd.Context(), s, flags, change, "cordoned")
		},
	}
	flags.register(cmd)
	return cmd
}

func newUncordon(s streams) *cobra.Command {
	flags := &operateFlags{}
	cmd := &cobra.Command{
		Use:   "uncordon CLUSTER",
		Short: "Let workloads onto a cluster again, and end a drain",
		Long: `Take away what cordon and drain put on a cluster. Nothing moves back by itself but what is duplicated,
divided by fixed weights, or fails back by its policy; "armada-sync rebalance --all" divides the rest anew.`,
		Example: `  armada-sync uncordon eu-1
  armada-sync uncordon eu-1 && armada-sync rebalance --all --dry-run`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change := taintChange{Cluster: args[0], Lenient: true, Remove: []taintSelector{{Key: v1alpha1.TaintCordoned}, {Key: v1alpha1.TaintDrain}}}
			return runTaint(cmd.Context(), s, flags, change, "uncordoned")
		},
	}
	flags.register(cmd)
	return cmd
}

func cordonTaint() corev1.Taint {
	return corev1.Taint{Key: v1alpha1.TaintCordoned, Effect: corev1.TaintEffectNoSchedule}
}

func runTaint(ctx context.Context, s streams, flags *operateFlags, change taintChange, participle string) error {
	op, err := flags.open(ctx, s)
	if err != nil {
		return err
	}
	defer op.close()
	if err := op.taint(ctx, change); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "cluster %s %s\n", change.Cluster, participle)
	return err
}

// parseTaints reads taints in kubectl's spelling: KEY=VALUE:EFFECT and KEY:EFFECT put one there, KEY:EFFECT-,
// KEY=VALUE:EFFECT- and KEY- take away.
func parseTaints(cluster string, args []string) (taintChange, error) {
	c := taintChange{Cluster: cluster}
	for _, arg := range args {
		text, removed := strings.CutSuffix(arg, "-")
		name, effect, hasEffect := strings.Cut(text, ":")
		key, value, _ := strings.Cut(name, "=")
		if problems := validation.IsQualifiedName(key); len(problems) > 0 {
			return c, fmt.Errorf("taint %q: key %q: %s", arg, key, strings.Join(problems, "; "))
		}
		if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
			return c, fmt.Errorf("taint %q: value %q: %s", arg, value, strings.Join(problems, "; "))
		}
		effects := []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}
		if (hasEffect || !removed) && !slices.Contains(effects, corev1.TaintEffect(effect)) {
			return c, fmt.Errorf("taint %q: effect %q: want NoSchedule or NoExecute, as in key=value:NoExecute; a trailing minus takes a taint away", arg, effect)
		}
		if key == v1alpha1.TaintNotReady || key == v1alpha1.TaintUnreachable {
			return c, fmt.Errorf("taint %q: the controller sets %s by the health of the cluster", arg, key)
		}
		if removed {
			c.Remove = append(c.Remove, taintSelector{Key: key, Effect: corev1.TaintEffect(effect)})
			continue
		}
		c.Set = append(c.Set, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
	}
	return c, nil
}
