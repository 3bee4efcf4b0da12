package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// previewFlags are the flags of preview.
type previewFlags struct {
	inputs
	base, head string
	// from is a stored report; nothing is computed then.
	from string
	// result is a report to compare the fleet with.
	result   string
	exitCode bool
	// severities are of the form id=severity.
	severities []string
	// rules is a file of further rules.
	rules  string
	failOn string
	output outputFlags
}

func newPreview(s streams) *cobra.Command {
	flags := &previewFlags{}
	cmd := &cobra.Command{
		Use:   "preview --base REF --fleet FILE",
		Short: "Show what a change does to every cluster",
		Long: `Compare two plans: one for the merge base of --base and the head, one for the head. Printed are the
workloads that join or leave a cluster or change their share, the changes of objects with the clusters
that each concerns, where each changed field comes from, and everything a reviewer should know.

Changes are success. With --exit-code changes end with 2, and findings at or above the bar with 3; the
bar is blocker unless --fail-on says otherwise, which alone makes findings count, too.

With --result a report that an earlier preview wrote with -o json is compared with the fleet as it is
now: what is done, what is pending and why, and what became different; with --exit-code the latter two
end with 2.`,
		Example: `  armada-sync preview --base origin/main --fleet clusters.yaml
  armada-sync preview --base origin/main --fleet clusters.yaml -o html=preview.html -o sarif=preview.sarif
  armada-sync preview --base origin/main --fleet clusters.yaml -o markdown=comment.md --repo-url https://github.com/acme/fleet --pr 482
  armada-sync preview --base origin/main --fleet clusters.yaml --comment github
  armada-sync preview --from report.json --comment github --pr 482
  armada-sync preview --result report.json --fleet hub --exit-code
  armada-sync preview --repo shop.git --base main --head feature --fleet clusters.yaml -o text -o json=report.json`,
		Args: cobra.NoArgs,
		PreRun: func(cmd *cobra.Command, _ []string) {
			if flags.from != "" {
				for _, name := range []string{"base", "fleet"} {
					must(cmd.Flags().SetAnnotation(name, cobra.BashCompOneRequiredFlag, []string{"false"}))
				}
			}
			if flags.result != "" {
				must(cmd.Flags().SetAnnotation("base", cobra.BashCompOneRequiredFlag, []string{"false"}))
			}
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.result != "" {
				return runResult(cmd.Context(), s, cmd.InOrStdin(), flags)
			}
			return runPreview(cmd.Context(), s, cmd.InOrStdin(), flags)
		},
	}
	flags.register(cmd)
	flags.assume.register(cmd)
	f := cmd.Flags()
	f.StringVar(&flags.base, "base", "", "commit, branch or tag that the change is against, taken at its merge base with the head (required without --result)")
	f.StringVar(&flags.result, "result", "", "say what became of a report: the JSON file that an earlier preview wrote")
	f.StringVar(&flags.head, "head", "", "commit, branch or tag with the change (default: as it stands; HEAD of a bare repository)")
	f.StringVar(&flags.from, "from", "", "print or post the report of this file, which -o json wrote, and compute nothing: for a job that has a token but must not read the change")
	f.BoolVar(&flags.exitCode, "exit-code", false, "end with 2 on changes and 3 on findings at or above the bar")
	f.StringVar(&flags.failOn, "fail-on", "", "end with 3 on findings of this severity or worse: blocker, caution or info")
	f.StringArrayVar(&flags.severities, "severity", nil, "change the severity of a finding, as ID=blocker|caution|info|off; beats spec.plan.severity of the fleet file's Config; may be given several times")
	f.StringVar(&flags.rules, "rules", "", "file with further rules of one's own, as a list or a Config: CEL over the report (docs/preview.md); beside spec.plan.rules of the fleet file's Config")
	flags.output.register(cmd)
	must(cmd.MarkFlagRequired("base"))
	must(cmd.MarkFlagFilename("from", "json"))
	must(cmd.MarkFlagFilename("rules", "yaml", "yml", "json"))
	must(cmd.MarkFlagFilename("result", "json"))
	cmd.MarkFlagsMutuallyExclusive("base", "result")
	cmd.MarkFlagsMutuallyExclusive("head", "result")
	cmd.MarkFlagsMutuallyExclusive("from", "result")
	cmd.MarkFlagsMutuallyExclusive("rules", "result")
	cmd.MarkFlagsMutuallyExclusive("rules", "from")
	cmd.MarkFlagsMutuallyExclusive("from", "base")
	cmd.MarkFlagsMutuallyExclusive("from", "head")
	cmd.MarkFlagsMutuallyExclusive("from", "fleet")
	must(cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"blocker", "caution", "info"}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func runPreview(ctx context.Context, s streams, stdin io.Reader, flags *previewFlags) error {
	began := time.Now()
	post, err := flags.output.poster()
	if err != nil {
		return err
	}
	options, err := flags.output.options(s, flags.path)
	if err != nil {
		return err
	}
	printers, err := flags.output.printers(s)
	if err != nil {
		return err
	}
	bar, err := flags.bar()
	if err != nil {
		return err
	}
	report, broken, err := flags.read(ctx, stdin, s.err)
	if err != nil {
		return err
	}
	if options.Exit = exitWords(flags, report, bar); broken {
		options.Exit = fmt.Sprintf("exit %d", exitError)
	}
	if flags.exitCode || flags.failOn != "" || post != nil {
		options.Bar = bar
	}
	for _, print := range printers {
		if err := print(report, options); err != nil {
			return err
		}
	}
	if post != nil {
		if err := post.post(ctx, report, options, broken, s.err); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.err, "%s, rendered in %.2fs\n", snapshotAge(report, began), time.Since(began).Seconds())
	if broken {
		return &codedError{code: exitError, err: fmt.Errorf("the head does not load whole: what its failed units hold stays as it is, and the report says nothing about it")}
	}
	return withCode(flags.code(report, bar))
}

// read takes the report from a file, or computes it.
func (f *previewFlags) read(ctx context.Context, stdin io.Reader, stderr io.Writer) (plan.Report, bool, error) {
	if f.from != "" {
		r, err := readReport(f.from)
		return r, false, err
	}
	return f.report(ctx, stdin, stderr)
}

// report computes both plans and compares them. broken tells that a unit of the head failed, where "no
// changes" would be a lie.
func (f *previewFlags) report(ctx context.Context, stdin io.Reader, stderr io.Writer) (plan.Report, bool, error) {
	snap, err := f.readFleet(ctx, stdin, stderr)
	if err != nil {
		return plan.Report{}, false, err
	}
	if err := readRules(f.rules, &snap, stderr); err != nil {
		return plan.Report{}, false, err
	}
	if err := f.judge(&snap); err != nil {
		return plan.Report{}, false, err
	}
	repos, err := f.open(snap)
	if err != nil {
		return plan.Report{}, false, err
	}
	var baseTrees, headTrees plan.Trees
	var options plan.PreviewOptions
	for _, r := range repos {
		base, head, err := f.sides(ctx, r)
		if err != nil {
			return plan.Report{}, false, err
		}
		// The base is what is everywhere; the head spreads from there.
		base.Spec.Rollout, head.Earlier = nil, []render.Tree{base.Tree}
		baseTrees, headTrees = append(baseTrees, base.Source), append(headTrees, head.Source)
		if options.BaseCommit == "" || !base.revision.Same(head.revision) {
			options.BaseCommit, options.HeadCommit = commitName(base.revision), commitName(head.revision)
		}
	}
	if options.BaseCommit == options.HeadCommit {
		fmt.Fprintf(stderr, "caution: base and head are the same, %s: there is nothing to compare\n", options.HeadCommit)
	}
	// One planner for both sides: what they have in common is worked out once.
	planner := plan.NewPlanner(plan.Options{})
	base := planner.Compute(baseTrees, snap)
	head := planner.Compute(headTrees, plan.NextSnapshot(base, snap))
	if incomplete(baseTrees) {
		fmt.Fprintln(stderr, "caution: the base does not load whole: what it could not read counts as it is held")
	}
	return plan.Preview(base, head, options), incomplete(headTrees), nil
}

// judge changes the severities of findings as --severity says.
func (f *previewFlags) judge(snap *plan.Snapshot) error {
	if len(f.severities) == 0 {
		return nil
	}
	severity := maps.Clone(snap.Config.Plan.Severity)
	if severity == nil {
		severity = map[string]string{}
	}
	for _, text := range f.severities {
		id, level, _ := strings.Cut(text, "=")
		if !slices.ContainsFunc(plan.FindingKinds(), func(k plan.FindingKind) bool { return k.ID == id }) &&
			!slices.ContainsFunc(snap.Config.Plan.Rules, func(r v1alpha1.PlanRule) bool { return r.ID == id }) {
			return fmt.Errorf("--severity %q: no finding has the id %q; docs/findings lists them", text, id)
		}
		if !slices.Contains([]string{"blocker", "caution", "info", "off"}, level) {
			return fmt.Errorf("--severity %q: want %s=blocker, caution, info or off", text, id)
		}
		severity[id] = level
	}
	snap.Config.Plan.Severity = severity
	return nil
}

func incomplete(trees plan.Trees) bool {
	return slices.ContainsFunc(trees, func(s plan.Source) bool { return !s.Complete() })
}

// side is one repository at one revision.
type side struct {
	plan.Source
	revision source.Revision
}

// commitName is the hash of a commit, and the whole revision of a folder as it stands.
func commitName(r source.Revision) string {
	if r.IsCommit() {
		return r.Hash
	}
	return r.String()
}

// sides reads one repository at the merge base and at the head.
func (f *previewFlags) sides(ctx context.Context, r repository) (base, head side, err error) {
	if base.revision, err = r.MergeBase(ctx, f.base, f.head); err != nil {
		return base, head, fmt.Errorf("source %q: merge base of %q and the head: %w", r.name, f.base, err)
	}
	if head.revision, err = r.resolve(ctx, f.head); err != nil {
		return base, head, err
	}
	if base.Source, err = f.readTree(ctx, r, base.revision); err != nil {
		return base, head, err
	}
	head.Source, err = f.readTree(ctx, r, head.revision)
	return base, head, err
}

// bar returns the severity from which on findings count.
func (f *previewFlags) bar() (v1alpha1.Severity, error) {
	switch s := v1alpha1.Severity(f.failOn); s {
	case "":
		return v1alpha1.SeverityBlocker, nil
	case v1alpha1.SeverityBlocker, v1alpha1.SeverityCaution, v1alpha1.SeverityInfo:
		return s, nil
	}
	return "", fmt.Errorf("--fail-on %q: want blocker, caution or info", f.failOn)
}

// code is the exit code of a report.
func (f *previewFlags) code(r plan.Report, bar v1alpha1.Severity) int {
	if f.exitCode || f.failOn != "" {
		if slices.ContainsFunc(r.Findings, func(x v1alpha1.Finding) bool { return x.Severity.Rank() >= bar.Rank() }) {
			return exitFindings
		}
	}
	if f.exitCode && r.Changes() {
		return exitChanges
	}
	return exitDone
}

// snapshotAge says how old the fleet's facts are; it goes to stderr since it depends on the clock.
func snapshotAge(r plan.Report, now time.Time) string {
	if r.Snapshot.TakenAt == nil {
		return "the fleet file does not say when it was taken"
	}
	return fmt.Sprintf("fleet as of %s (%s ago)", r.Snapshot.TakenAt.UTC().Format(time.RFC3339), now.Sub(*r.Snapshot.TakenAt).Round(time.Minute))
}
