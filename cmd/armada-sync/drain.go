package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// drainFlags are the flags of drain.
type drainFlags struct {
	operateFlags
	movesFlags
	dryRun   bool
	maxMoves int
	wait     bool
	timeout  time.Duration
}

// movesFlags say from what a dry run is computed, and how it is printed.
type movesFlags struct {
	repos  []string
	ref    string
	fleet  string
	now    string
	output string
	print  printFlags
}

func (p *movesFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&p.repos, "repo", []string{"."}, "with --fleet: folder, Git work tree, bare repository or URL to read; NAME=DIR names the source, and may be given several times")
	f.StringVar(&p.ref, "ref", "", "with --fleet: commit, branch or tag to read (default: as it stands)")
	f.StringVar(&p.fleet, "fleet", "", "with --dry-run: a fleet file, or hub for the fleet of a hub as it is now (default: the running controller)")
	f.StringVar(&p.now, "now", "", "with --fleet: time that tolerations count from, RFC 3339")
	f.StringVarP(&p.output, "output", "o", "text", "of a dry run: "+strings.Join(movesFormatNames(), ", "))
	p.print.register(cmd)
	must(cmd.MarkFlagFilename("fleet", "yaml", "yml", "json"))
	must(cmd.MarkFlagDirname("repo"))
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(movesFormatNames(), cobra.ShellCompDirectiveNoFileComp)))
}

func movesFormatNames() []string {
	var names []string
	for _, f := range plan.MovesFormats() {
		names = append(names, f.Name)
	}
	return names
}

// inputs are what a plan is computed from.
func (p *movesFlags) inputs(hub contextFlags) *inputs {
	in := &inputs{repos: p.repos, ref: p.ref, fleet: p.fleet, now: p.now}
	in.hub.contextFlags, in.hub.membersToo, in.hub.membersWait = hub, true, 30*time.Second
	in.hub.namespace = "armada-system"
	return in
}

// write prints what would move.
func (p *movesFlags) write(s streams, m plan.Moves) error {
	options, err := p.print.options(s)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(plan.MovesFormats(), func(f plan.MovesFormat) bool { return f.Name == p.output })
	if i < 0 {
		return fmt.Errorf("--output %q: want %s", p.output, strings.Join(movesFormatNames(), ", "))
	}
	out, err := plan.MovesFormats()[i].Print(m, options)
	if err != nil {
		return fmt.Errorf("print the moves: %w", err)
	}
	_, err = s.out.Write(out)
	return err
}

func newDrain(s streams) *cobra.Command {
	flags := &drainFlags{}
	cmd := &cobra.Command{
		Use:   "drain CLUSTER",
		Short: "Move everything off a cluster that may move",
		Long: `Cordon a cluster and move away what is on it: new copies first, the old ones when the new ones are healthy
and connections have drained. Workloads leave one after another, as failover.evictionsPerSecond of the Config
says, and with --max-moves at most so many are on the move at a time.

--dry-run changes nothing and shows where everything would go, from the plan of the running controller, or
with --fleet and --repo from a fleet and repositories, as plan does.

drain waits until all that can leave has left, and prints what happens. Workloads that are pinned stay: each is
named with what to do, and the exit code is 1. --wait=false returns at once; --timeout ends the waiting with exit
code 5, and the drain goes on. uncordon ends a drain.`,
		Example: `  armada-sync drain eu-1 --dry-run
  armada-sync drain eu-1 --max-moves 5
  armada-sync drain eu-1 --dry-run --fleet hub --repo shop=./shop -o json
  armada-sync drain eu-1 --config armada.yaml --wait=false`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runDrain(cmd.Context(), s, flags, args[0]) },
	}
	flags.operateFlags.register(cmd)
	flags.movesFlags.register(cmd)
	f := cmd.Flags()
	f.BoolVar(&flags.dryRun, "dry-run", false, "change nothing; show where everything would go")
	f.IntVar(&flags.maxMoves, "max-moves", 0, "how many workloads may be on the move at a time (default: no limit)")
	f.BoolVar(&flags.wait, "wait", true, "wait until all that can leave has left")
	f.DurationVar(&flags.timeout, "timeout", 0, "how long to wait (default: for as long as it takes)")
	return cmd
}

func runDrain(ctx context.Context, s streams, flags *drainFlags, cluster string) error {
	switch {
	case flags.maxMoves < 0:
		return fmt.Errorf("--max-moves %d: want a positive number", flags.maxMoves)
	case flags.timeout < 0:
		return fmt.Errorf("--timeout %s: want a positive duration", flags.timeout)
	case flags.fleet != "" && !flags.dryRun:
		return fmt.Errorf("--fleet is for --dry-run: a drain is done by the controller, on the fleet as it is")
	case flags.fleet != "":
		m, err := flags.inputs(flags.hub).previewOf(ctx, s, func(trees plan.Trees, snap plan.Snapshot) (plan.Moves, error) {
			return previewDrain(trees, snap, cluster)
		})
		if err != nil {
			return err
		}
		return flags.write(s, m)
	}
	op, err := flags.open(ctx, s)
	if err != nil {
		return err
	}
	defer op.close()
	if flags.dryRun {
		own, ok := op.(*standalone)
		if !ok {
			return fmt.Errorf("a controller in a hub gives no plans: say --fleet hub, and with --repo where the repositories are")
		}
		m, err := own.previewDrain(ctx, cluster)
		if err != nil {
			return err
		}
		return flags.write(s, m)
	}
	value := ""
	if flags.maxMoves > 0 {
		value = strconv.Itoa(flags.maxMoves)
	}
	err = op.taint(ctx, taintChange{Cluster: cluster, Overwrite: true, Set: []corev1.Taint{
		cordonTaint(), {Key: v1alpha1.TaintDrain, Value: value, Effect: corev1.TaintEffectNoExecute},
	}})
	if err != nil {
		return err
	}
	if !flags.wait {
		_, err := fmt.Fprintf(s.out, "cluster %s cordoned, draining\n", cluster)
		return err
	}
	fmt.Fprintf(s.err, "cluster %s cordoned, draining\n", cluster)
	if flags.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, flags.timeout)
		defer cancel()
	}
	return awaitDrain(ctx, s, op, cluster)
}

const (
	// drainInterval is how often it is looked how a drain stands.
	drainInterval = time.Second
	// lateWords is how much older than its clusters what a hub says of workloads may be.
	lateWords = 30 * time.Second
)

// awaitDrain prints how a drain goes on until all that can leave has left.
func awaitDrain(ctx context.Context, s streams, op operator, cluster string) error {
	tick := time.NewTicker(drainInterval)
	defer tick.Stop()
	var told string
	var since time.Time
	var d drainState
	for {
		view, err := op.view(ctx)
		if err == nil {
			if d = drainStateOf(view, cluster); d.begun && since.IsZero() {
				since = time.Now()
			}
			if line := d.line(); line != told {
				fmt.Fprintln(s.err, line)
				told = line
			}
			if d.over() && (!view.Late || time.Since(since) > lateWords || len(d.stays) == 0) {
				return d.report(s, cluster)
			}
		}
		select {
		case <-ctx.Done():
			if err != nil && !errors.Is(err, ctx.Err()) {
				return err
			}
			return &codedError{code: exitTimeout, err: fmt.Errorf("cluster %s is not drained yet: %s; the drain goes on, uncordon ends it", cluster, d.line())}
		case <-tick.C:
		}
	}
}

// drainState is how far a drain has come.
type drainState struct {
	// begun tells that the controller knows of it.
	begun bool
	// waiting have to leave yet, moving are on their way.
	waiting, moving int
	// stays are the workloads that do not leave, with what is told of them; tolerating do not have to.
	stays      []string
	tolerating int
	stopped    string
}

func drainStateOf(v fleetView, cluster string) drainState {
	d := drainState{stopped: v.Stopped}
	for _, c := range v.Clusters {
		if c.Name == cluster {
			d.begun = slices.ContainsFunc(c.Spec.Taints, taintSelector{Key: v1alpha1.TaintDrain}.matches)
		}
	}
	for i := range v.Placements {
		d.add(&v.Placements[i], cluster)
	}
	return d
}

// add takes one decision into account.
func (d *drainState) add(p *v1alpha1.Placement, cluster string) {
	words := ""
	for _, w := range p.Status.Waiting {
		if w.Cluster == cluster {
			words = w.Message
		}
	}
	on := slices.ContainsFunc(p.Spec.Clusters, func(t v1alpha1.TargetCluster) bool { return t.Name == cluster })
	leaves := slices.ContainsFunc(p.Status.Moves, func(m v1alpha1.MoveStatus) bool { return m.From == cluster }) ||
		strings.HasPrefix(words, "the old copy stays")
	switch {
	case on && strings.HasPrefix(words, "has to leave"), on && !d.begun:
		d.waiting++
	case on && (strings.HasPrefix(words, "pinned") || strings.HasPrefix(words, "cannot leave")):
		d.stays = append(d.stays, p.Spec.Workload.String()+": "+words)
	case on:
		d.tolerating++
	case leaves && strings.Contains(words, "(move:together)"):
		d.stays = append(d.stays, p.Spec.Workload.String()+": "+words)
	case leaves:
		d.moving++
	}
}

// over tells that nothing more is to be expected.
func (d drainState) over() bool { return d.begun && d.waiting+d.moving == 0 }

func (d drainState) line() string {
	if !d.begun {
		return "waiting for the controller"
	}
	line := fmt.Sprintf("%d to leave, %d on the move, %d to stay", d.waiting, d.moving, len(d.stays)+d.tolerating)
	if d.stopped != "" {
		line += "; nothing leaves for now: " + d.stopped
	}
	return line
}

// report says how the drain ended.
func (d drainState) report(s streams, cluster string) error {
	if len(d.stays) == 0 {
		_, err := fmt.Fprintf(s.out, "cluster %s drained\n", cluster)
		return err
	}
	slices.Sort(d.stays)
	for _, line := range d.stays {
		fmt.Fprintf(s.err, "stays: %s\n", line)
	}
	return fmt.Errorf("cluster %s is drained but for what stays (%d); what to do about each: armada-sync drain %s --dry-run", cluster, len(d.stays), cluster)
}
