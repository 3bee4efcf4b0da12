package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// runResult says what became of a report that an earlier preview wrote.
func runResult(ctx context.Context, s streams, stdin io.Reader, f *previewFlags) error {
	printers, err := f.resultPrinters(s)
	if err != nil {
		return err
	}
	report, err := readReport(f.result)
	if err != nil {
		return err
	}
	snap, err := f.readFleet(ctx, stdin, s.err)
	if err != nil {
		return err
	}
	trees, err := f.announcedTrees(ctx, report, snap)
	if err != nil {
		return err
	}
	if incomplete(trees) {
		return fmt.Errorf("the head of %q does not load whole, so that nothing can be said of what became of it", f.result)
	}
	result := plan.CompareResult(report, plan.NewPlanner(plan.Options{}).Compute(trees, snap))
	for _, print := range printers {
		if err := print(result); err != nil {
			return err
		}
	}
	if f.exitCode && !result.AsAnnounced() {
		return withCode(exitChanges)
	}
	return nil
}

// announcedTrees reads every repository at the head of a report, with the base as what a rollout spreads from.
func (f *previewFlags) announcedTrees(ctx context.Context, report plan.Report, snap plan.Snapshot) (plan.Trees, error) {
	repos, err := f.open(snap)
	if err != nil {
		return nil, err
	}
	var trees plan.Trees
	for _, r := range repos {
		head, err := f.announced(ctx, r, report.Head.Revisions)
		if err != nil {
			return nil, err
		}
		if base, err := f.announced(ctx, r, report.Base.Revisions); err == nil {
			head.Earlier = []render.Tree{base.Tree}
		}
		trees = append(trees, head)
	}
	return trees, nil
}

// announced reads a repository at the revision that a report names for it. Of a folder as it stood, only the
// same content will do.
func (f *previewFlags) announced(ctx context.Context, r repository, revisions map[string]string) (plan.Source, error) {
	text, known := revisions[r.name]
	if !known {
		return plan.Source{}, fmt.Errorf("the report knows no source %q: name the repository as the report does, with --repo NAME=DIR", r.name)
	}
	_, hash, _ := strings.Cut(text, ":")
	if !strings.HasPrefix(text, "dir@") {
		rev, err := r.ResolveRef(ctx, hash)
		if err != nil {
			return plan.Source{}, fmt.Errorf("source %q: the report is about %s: %w", r.name, text, err)
		}
		return f.readTree(ctx, r, rev)
	}
	rev, err := r.Resolve(ctx)
	if err != nil {
		return plan.Source{}, fmt.Errorf("source %q: %w", r.name, err)
	}
	if rev.Hash != hash {
		return plan.Source{}, fmt.Errorf("source %q: the report is about a folder as it stood (%s), which has changed since: write the report about a commit", r.name, text)
	}
	return f.readTree(ctx, r, rev)
}

// resultPrinters returns one function for each --output.
func (f *previewFlags) resultPrinters(s streams) ([]func(plan.Result) error, error) {
	options, err := f.output.print.options(s)
	if err != nil {
		return nil, err
	}
	var all []func(plan.Result) error
	for _, output := range f.output.outputs {
		name, file, toFile := strings.Cut(output, "=")
		var format *plan.ResultFormat
		for _, x := range plan.ResultFormats() {
			if x.Name == name {
				format = &x
			}
		}
		if format == nil || toFile && file == "" {
			return nil, fmt.Errorf("--output %q: with --result want text or json, each optionally with =FILE", output)
		}
		all = append(all, func(r plan.Result) error {
			opts := options
			opts.Color = opts.Color && (!toFile || f.output.print.color == "always")
			raw, err := format.Print(r, opts)
			if err != nil {
				return fmt.Errorf("print the result: %w", err)
			}
			if toFile {
				return writeParts(file, [][]byte{raw})
			}
			_, err = s.out.Write(raw)
			return err
		})
	}
	return all, nil
}
