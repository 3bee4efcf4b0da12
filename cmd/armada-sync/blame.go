package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// blameFlags are the flags of blame.
type blameFlags struct {
	inputs
	namespace string
	cluster   string
	output    string
}

func blameFormatNames() []string { return []string{"text", "json"} }

func newBlame(s streams) *cobra.Command {
	flags := &blameFlags{}
	cmd := &cobra.Command{
		Use:   "blame KIND/NAME [PATH] --cluster NAME --fleet FILE",
		Short: "Say which line of which file wrote a field",
		Long: `Say of a field of an object, as it is rendered for a cluster, what wrote it: the file and line, the
kustomization or chart, the override policy and rule, the division of replicas, or a variable.

PATH is spelled as in a preview, spec.template.spec.containers[name=api].image, or as a JSON pointer.
Keys with dots stand in brackets: 'metadata.annotations["example.com/a"]'. Without PATH every field is
listed that something else than the object's own document wrote. Values of Secrets are masked.`,
		Example: `  armada-sync blame deployment/web spec.replicas --cluster eu-1 --fleet clusters.yaml
  armada-sync blame deploy/web 'spec.template.spec.containers[name=api].image' --cluster eu-1 --fleet clusters.yaml
  armada-sync blame deploy/web --cluster eu-1 --fleet clusters.yaml -o json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBlame(cmd.Context(), s, cmd.InOrStdin(), flags, args)
		},
	}
	flags.register(cmd)
	f := cmd.Flags()
	f.StringVar(&flags.ref, "ref", "", "commit, branch or tag to read (default: as it stands; HEAD of a bare repository)")
	f.StringVarP(&flags.namespace, "namespace", "n", "", "namespace of the object (default: any)")
	f.StringVar(&flags.cluster, "cluster", "", "cluster that the object is rendered for (required)")
	f.StringVarP(&flags.output, "output", "o", "text", strings.Join(blameFormatNames(), ", "))
	must(cmd.MarkFlagRequired("cluster"))
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(blameFormatNames(), cobra.ShellCompDirectiveNoFileComp)))
	completeClusters(cmd, &flags.inputs)
	return cmd
}

func runBlame(ctx context.Context, s streams, stdin io.Reader, flags *blameFlags, args []string) error {
	if !slices.Contains(blameFormatNames(), flags.output) {
		return fmt.Errorf("--output %q: want %s", flags.output, strings.Join(blameFormatNames(), ", "))
	}
	object := explainFlags{namespace: flags.namespace, cluster: flags.cluster}
	question, err := object.question(args[:1])
	if err != nil {
		return err
	}
	path := ""
	if len(args) == 2 {
		path = args[1]
	}
	trees, snap, err := flags.read(ctx, stdin, s.err)
	if err != nil {
		return err
	}
	b, err := plan.BlameFields(trees, snap, question, path)
	if err != nil {
		return err
	}
	lines := newFieldLines(flags.contents)
	for i := range b.Fields {
		if f := &b.Fields[i]; f.Declared != "" {
			f.Origin.Source, _ = lines.of(f.Repository, f.Origin.Source, f.Declared)
		}
	}
	var out bytes.Buffer
	if flags.output == "json" {
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(b); err != nil {
			return fmt.Errorf("print the answer: %w", err)
		}
	} else {
		blameText(&out, b)
	}
	_, err = s.out.Write(out.Bytes())
	return err
}

// blameText prints a field a line: its value, and what wrote it.
func blameText(w io.Writer, b *plan.Blame) {
	fmt.Fprintf(w, "%s on %s, declared at %s%s\n", b.Object, page.Scrub(b.Cluster), page.Scrub(b.Declared), page.Scrub(builtBy(b)))
	if len(b.Fields) == 0 {
		fmt.Fprintln(w, "  every field is as the document has it")
	}
	for _, f := range b.Fields {
		value := page.Scrub(string(f.Value))
		if r := []rune(value); len(r) > maxBlamedValue {
			value = string(r[:maxBlamedValue]) + "…"
		}
		if f.Removed {
			value = "(removed)"
		}
		fmt.Fprintf(w, "  %s: %s\n      %s\n", page.Scrub(f.Path), value, page.Scrub(wroteIt(b, f)))
		if f.Note != "" {
			fmt.Fprintf(w, "      %s\n", page.Scrub(f.Note))
		}
	}
}

// maxBlamedValue bounds how much of a value a line shows, in characters.
const maxBlamedValue = 72

func builtBy(b *plan.Blame) string {
	switch b.Origin {
	case render.OriginKustomization:
		return ", built by the kustomization in " + b.Unit
	case render.OriginChart:
		return ", built by the chart in " + b.Unit
	case render.OriginFile, render.OriginOverride, render.OriginDivision, render.OriginVariable:
	}
	return ""
}

// wroteIt says in words what an origin is.
func wroteIt(b *plan.Blame, f plan.BlamedField) string {
	o, at := f.Origin, f.Origin.Source
	if f.Repository != b.Source {
		at = f.Repository + " " + at
	}
	switch o.Kind {
	case render.OriginOverride:
		return fmt.Sprintf("%s  override %s rule %d", at, o.Name, o.Rule)
	case render.OriginDivision:
		return fmt.Sprintf("%s  share of this cluster by policy %s", at, o.Name)
	case render.OriginVariable:
		return at + "  variable of the cluster"
	case render.OriginKustomization:
		return at + "  kustomization in " + b.Unit
	case render.OriginChart:
		return at + "  chart in " + b.Unit
	case render.OriginFile:
	}
	return at
}
