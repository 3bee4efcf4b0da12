package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

// explainFlags are the flags of explain.
type explainFlags struct {
	inputs
	// control, where given, is the controller that is asked instead of reading anything.
	control   controlFlags
	namespace string
	cluster   string
	output    string
	print     printFlags
}

func newExplain(s streams) *cobra.Command {
	flags := &explainFlags{}
	cmd := &cobra.Command{
		Use:     "explain KIND/NAME (--fleet FILE | --state DIR | --config FILE)",
		Aliases: []string{"why"},
		Short:   "Say why a workload is where it is, and what would have to change",
		Long: `Compute the plan for a repository and a fleet file and say of one object why it goes where it goes:
which file, commit and policy decide, whether the previous decision stands, how many clusters each
filter left, how each remaining one scored, and how its replicas were divided, step by step. With
--cluster it says why that cluster is not chosen and what would have to change for it to be; every
change that is named was tried. During a failover it says what is wrong with which cluster since when, what
has taken over and is healthy, what waits until when, and what holds evictions back.

--state or --config ask the controller that runs on its own, on the commits and the fleet of its last plan;
nothing else has to be at hand then. It also says what API servers refuse and why, and which copies have failed.

KIND is spelled as for kubectl: deployment, deploy, deployments.apps. KIND may be left out.`,
		Example: `  armada-sync explain deployment/web -n shop --fleet clusters.yaml
  armada-sync explain deployment/web -n shop --config armada.yaml
  armada-sync why deploy/web --fleet clusters.yaml --cluster us-1
  armada-sync why web --fleet clusters.yaml --assume-down eu-1 -o json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExplain(cmd.Context(), s, cmd.InOrStdin(), flags, args)
		},
	}
	flags.register(cmd)
	flags.assume.register(cmd)
	flags.control.register(cmd)
	f := cmd.Flags()
	f.StringVar(&flags.ref, "ref", "", "commit, branch or tag to read (default: as it stands; HEAD of a bare repository)")
	f.StringVarP(&flags.namespace, "namespace", "n", "", "namespace of the object (default: any)")
	f.StringVar(&flags.cluster, "cluster", "", "say of this cluster why it is chosen or not, and what would have to change")
	f.StringVarP(&flags.output, "output", "o", "text", strings.Join(explanationFormatNames(), ", "))
	flags.print.register(cmd)
	flags.orRunning(cmd)
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(explanationFormatNames(), cobra.ShellCompDirectiveNoFileComp)))
	cmd.ValidArgsFunction = completeWorkload(flags.viewSoon, &flags.namespace)
	must(cmd.RegisterFlagCompletionFunc("cluster", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return flags.viewSoon(cmd.Context()).clusterNames(), cobra.ShellCompDirectiveNoFileComp
	}))
	return cmd
}

// orRunning lets a running controller stand in for a fleet file and everything that is read with one.
func (f *explainFlags) orRunning(cmd *cobra.Command) {
	delete(cmd.Flags().Lookup("fleet").Annotations, cobra.BashCompOneRequiredFlag)
	cmd.MarkFlagsOneRequired("fleet", "state", "config")
	for _, own := range []string{"state", "config"} {
		for _, read := range []string{"fleet", "repo", "path", "ref", "now", "assume-down", "assume-label", "assume-version", "add-cluster"} {
			cmd.MarkFlagsMutuallyExclusive(own, read)
		}
	}
}

func runExplain(ctx context.Context, s streams, stdin io.Reader, flags *explainFlags, args []string) error {
	if !slices.Contains(explanationFormatNames(), flags.output) {
		return fmt.Errorf("--output %q: want %s", flags.output, strings.Join(explanationFormatNames(), ", "))
	}
	options, err := flags.print.options(s)
	if err != nil {
		return err
	}
	question, err := flags.question(args)
	if err != nil {
		return err
	}
	request := explainRequest{Question: question, Format: flags.output, Options: options}
	if flags.control.given() {
		return explainRunning(ctx, s, flags, request)
	}
	trees, snap, err := flags.read(ctx, stdin, s.err)
	if err != nil {
		return err
	}
	out, err := printExplanation(trees, snap, nil, request)
	if err != nil {
		return err
	}
	_, err = s.out.Write(out)
	return err
}

// question reads KIND/NAME, KIND NAME or NAME.
func (f *explainFlags) question(args []string) (plan.Question, error) {
	q := plan.Question{Namespace: f.namespace, Cluster: f.cluster}
	kind, name, slash := strings.Cut(args[0], "/")
	switch {
	case slash && len(args) == 1 && kind != "" && name != "":
		q.Kind, q.Name = kind, name
	case !slash && len(args) == 2:
		q.Kind, q.Name = args[0], args[1]
	case !slash && len(args) == 1:
		q.Name = args[0]
	default:
		return q, fmt.Errorf("%q: want KIND/NAME", strings.Join(args, " "))
	}
	assume, err := f.assume.read()
	if err != nil {
		return q, err
	}
	q.Assumptions = assume.Describe()
	return q, nil
}

func explanationFormatNames() []string {
	var names []string
	for _, f := range plan.ExplanationFormats() {
		names = append(names, f.Name)
	}
	return names
}
