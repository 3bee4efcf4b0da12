package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// rebalanceFlags are the flags of rebalance.
type rebalanceFlags struct {
	operateFlags
	movesFlags
	namespace string
	all       bool
	dryRun    bool
	maxMoves  int
}

func newRebalance(s streams) *cobra.Command {
	flags := &rebalanceFlags{}
	cmd := &cobra.Command{
		Use:   "rebalance KIND/NAME | --all",
		Short: "Divide workloads anew, as if they were placed for the first time",
		Long: `Divide the replicas of a workload, or of all, anew: a running workload is not moved by itself because other
clusters have more room by now. Those that a fresh decision would put elsewhere move as in a failover: new copies
first, one workload after another. With --max-moves at most so many workloads are asked for; the rest is for the
next call.

--dry-run changes nothing and shows what would move, from the plan of the running controller, or with --fleet and
--repo from a fleet and repositories. On a hub --max-moves needs them, too.

A policy with placement.rebalance does the same by itself when a workload is out of balance for long.`,
		Example: `  armada-sync rebalance --all --dry-run
  armada-sync rebalance deployment/web -n shop
  armada-sync rebalance --all --max-moves 10 --config armada.yaml
  armada-sync rebalance --all --dry-run --fleet hub --repo shop=./shop -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runRebalance(cmd.Context(), s, flags, args) },
	}
	flags.operateFlags.register(cmd)
	cmd.ValidArgsFunction = completeWorkload(flags.viewSoon, &flags.namespace)
	flags.movesFlags.register(cmd)
	f := cmd.Flags()
	f.StringVarP(&flags.namespace, "namespace", "n", "", "namespace of the workload (default: any)")
	f.BoolVar(&flags.all, "all", false, "every workload")
	f.BoolVar(&flags.dryRun, "dry-run", false, "change nothing; show what would move")
	f.IntVar(&flags.maxMoves, "max-moves", 0, "how many workloads may move (default: no limit)")
	return cmd
}

func runRebalance(ctx context.Context, s streams, flags *rebalanceFlags, args []string) error {
	switch {
	case flags.all == (len(args) == 1):
		return fmt.Errorf("say which workload, as KIND/NAME, or --all")
	case flags.maxMoves < 0:
		return fmt.Errorf("--max-moves %d: want a positive number", flags.maxMoves)
	}
	var op operator
	if flags.fleet == "" || !flags.dryRun {
		var err error
		if op, err = flags.open(ctx, s); err != nil {
			return err
		}
		defer op.close()
	}
	chosen, moves, err := flags.choose(ctx, s, op, args)
	if err != nil {
		return err
	}
	if flags.dryRun {
		return flags.write(s, moves)
	}
	if len(chosen) == 0 {
		_, err := fmt.Fprintln(s.out, "nothing is to be moved: every workload is where a fresh decision puts it")
		return err
	}
	if err := op.rebalance(ctx, chosen); err != nil {
		return err
	}
	for _, ref := range chosen {
		if _, err := fmt.Fprintf(s.out, "%s is divided anew\n", ref); err != nil {
			return err
		}
	}
	return nil
}

// choose returns the workloads to divide anew and, where a plan can be had, what would move.
func (f *rebalanceFlags) choose(ctx context.Context, s streams, op operator, args []string) ([]v1alpha1.ObjectReference, plan.Moves, error) {
	if own, ok := op.(*standalone); ok && f.fleet == "" {
		wanted, err := f.recorded(ctx, op, args)
		if err != nil {
			return nil, plan.Moves{}, err
		}
		m, err := own.previewRebalance(ctx, wanted)
		return f.first(&m), m, err
	}
	if f.fleet == "" {
		if f.dryRun || f.maxMoves > 0 {
			return nil, plan.Moves{}, fmt.Errorf("a controller in a hub gives no plans: say --fleet hub, and with --repo where the repositories are")
		}
		wanted, err := f.recorded(ctx, op, args)
		return wanted, plan.Moves{}, err
	}
	var chosen []v1alpha1.ObjectReference
	m, err := f.inputs(f.hub).previewOf(ctx, s, func(trees plan.Trees, snap plan.Snapshot) (plan.Moves, error) {
		wanted, err := f.among(plan.NextPlacements(plan.Compute(trees, snap), snap), args)
		if err != nil {
			return plan.Moves{}, err
		}
		m := plan.PreviewRebalance(trees, snap, among(wanted))
		chosen = f.first(&m)
		return m, nil
	})
	return chosen, m, err
}

// first keeps of the moves as many as are wanted.
func (f *rebalanceFlags) first(m *plan.Moves) []v1alpha1.ObjectReference {
	if f.maxMoves > 0 && len(m.Moves) > f.maxMoves {
		for _, left := range m.Moves[f.maxMoves:] {
			m.Stays = append(m.Stays, plan.Stay{Workload: left.Workload, Reason: "beyond --max-moves", Remedy: "ask again when the others have moved"})
		}
		m.Moves = m.Moves[:f.maxMoves]
	}
	list := make([]v1alpha1.ObjectReference, 0, len(m.Moves))
	for _, move := range m.Moves {
		list = append(list, move.Workload)
	}
	return list
}

// recorded are the workloads that are meant, of those that the controller has decided about.
func (f *rebalanceFlags) recorded(ctx context.Context, op operator, args []string) ([]v1alpha1.ObjectReference, error) {
	view, err := op.view(ctx)
	if err != nil {
		return nil, err
	}
	return f.among(view.Placements, args)
}

// among are the workloads that are meant, of some that are placed.
func (f *rebalanceFlags) among(placements []v1alpha1.Placement, args []string) ([]v1alpha1.ObjectReference, error) {
	var found []v1alpha1.ObjectReference
	for i := range placements {
		ref := placements[i].Spec.Workload
		if f.namespace != "" && ref.Namespace != f.namespace || len(args) == 1 && !named(args[0], ref) {
			continue
		}
		found = append(found, ref)
	}
	switch {
	case len(args) == 0:
		return found, nil
	case len(found) == 0:
		return nil, fmt.Errorf("%s: no such workload is placed", args[0])
	case len(found) > 1:
		names := make([]string, 0, len(found))
		for _, ref := range found {
			names = append(names, ref.String())
		}
		slices.Sort(names)
		return nil, fmt.Errorf("%s means %d workloads: %s; name the kind, as in %s/%s, or the namespace with -n", args[0], len(found), strings.Join(names, ", "),
			strings.ToLower(found[0].Kind), found[0].Name)
	}
	return found, nil
}

// named tells whether KIND/NAME or NAME names a workload; a kind may be spelled in any case, in the plural,
// shortened as for kubectl, and with its group.
func named(text string, ref v1alpha1.ObjectReference) bool {
	kind, name, slash := strings.Cut(text, "/")
	if !slash {
		kind, name = "", text
	}
	return name == ref.Name && (kind == "" || plan.SpellsKind(kind, ref))
}
