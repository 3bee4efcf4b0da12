package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// planFlags are the flags of plan.
type planFlags struct {
	inputs
	cluster string
	output  string
	print   printFlags
}

func newPlan(s streams) *cobra.Command {
	flags := &planFlags{}
	cmd := &cobra.Command{
		Use:   "plan --fleet FILE",
		Short: "Show what would be where, and what would change on each cluster",
		Long: `Compute the plan for a repository and a fleet file, and print it: where each workload goes and why,
what happens to each object on each cluster, and everything a reader should know. It is the plan that
the controller would carry out; nothing is touched.

The exit code is 1 when a document or a workload has an error; the plan for the rest is printed all
the same.`,
		Example: `  armada-sync plan --fleet clusters.yaml
  armada-sync plan --repo shop=./shop --repo infra=./infra --fleet clusters.yaml -o json
  armada-sync plan --repo https://git.example.com/shop.git --ref main --fleet clusters.yaml --cluster eu-1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPlan(cmd.Context(), s, cmd.InOrStdin(), flags)
		},
	}
	flags.register(cmd)
	flags.assume.register(cmd)
	f := cmd.Flags()
	f.StringVar(&flags.ref, "ref", "", "commit, branch or tag to read (default: as it stands; HEAD of a bare repository)")
	f.StringVar(&flags.cluster, "cluster", "", "only this cluster")
	f.StringVarP(&flags.output, "output", "o", "text", strings.Join(planFormatNames(), ", "))
	flags.print.register(cmd)
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(planFormatNames(), cobra.ShellCompDirectiveNoFileComp)))
	completeClusters(cmd, &flags.inputs)
	return cmd
}

func runPlan(ctx context.Context, s streams, stdin io.Reader, flags *planFlags) error {
	format := slices.IndexFunc(plan.PlanFormats(), func(f plan.PlanFormat) bool { return f.Name == flags.output })
	if format < 0 {
		return fmt.Errorf("--output %q: want %s", flags.output, strings.Join(planFormatNames(), ", "))
	}
	options, err := flags.print.options(s)
	if err != nil {
		return err
	}
	p, err := flags.compute(ctx, stdin, s.err)
	if err != nil {
		return err
	}
	if err := checkCluster(p, flags.cluster); err != nil {
		return err
	}
	options.Cluster = flags.cluster
	out, err := plan.PlanFormats()[format].Print(p, options)
	if err != nil {
		return fmt.Errorf("print the plan: %w", err)
	}
	if _, err := s.out.Write(out); err != nil {
		return err
	}
	if planErrors(p) {
		return withCode(exitError)
	}
	return nil
}

func planFormatNames() []string {
	var names []string
	for _, f := range plan.PlanFormats() {
		names = append(names, f.Name)
	}
	return names
}

// compute reads everything and computes the plan.
func (in *inputs) compute(ctx context.Context, stdin io.Reader, stderr io.Writer) (*plan.Plan, error) {
	trees, snap, err := in.read(ctx, stdin, stderr)
	if err != nil {
		return nil, err
	}
	p := plan.Compute(trees, snap)
	newFieldLines(in.contents).refine(p.Findings)
	return p, nil
}

// read reads the fleet and, at the ref, every repository.
func (in *inputs) read(ctx context.Context, stdin io.Reader, stderr io.Writer) (plan.Trees, plan.Snapshot, error) {
	snap, err := in.readFleet(ctx, stdin, stderr)
	if err != nil {
		return nil, snap, err
	}
	repos, err := in.open(snap)
	if err != nil {
		return nil, snap, err
	}
	trees, err := in.readTrees(ctx, repos, in.ref)
	return trees, snap, err
}

// planErrors tells that a document or a workload has an error.
func planErrors(p *plan.Plan) bool {
	return slices.ContainsFunc(p.Placements, func(e plan.PlacementEntry) bool { return e.Error != "" }) ||
		slices.ContainsFunc(p.Findings, func(f v1alpha1.Finding) bool { return f.Severity == v1alpha1.SeverityBlocker })
}

// checkCluster reports a cluster that the fleet does not have.
func checkCluster(p *plan.Plan, name string) error {
	if name == "" {
		return nil
	}
	if slices.ContainsFunc(p.Clusters, func(c plan.ClusterChanges) bool { return c.Name == name }) {
		return nil
	}
	return fmt.Errorf("--cluster %q: the fleet has no such cluster", name)
}

// printFindings prints the findings that are at least as severe, one line each.
func printFindings(w io.Writer, p *plan.Plan, least v1alpha1.Severity) {
	for _, f := range p.Findings {
		if f.Severity.Rank() >= least.Rank() {
			fmt.Fprintln(w, plan.FindingLine(f))
		}
	}
}

// completeClusters completes --cluster from the fleet file that is already on the command line.
func completeClusters(cmd *cobra.Command, in *inputs) {
	must(cmd.RegisterFlagCompletionFunc("cluster", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		data, err := os.ReadFile(in.fleet)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		snap, _ := plan.ReadFleet(in.fleet, data)
		names := make([]string, 0, len(snap.Clusters))
		for _, c := range snap.Clusters {
			names = append(names, c.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}))
}
