package main

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/report"
)

// outputFlags say in which formats a report is printed, and for whom.
type outputFlags struct {
	outputs  []string
	print    printFlags
	style    string
	maxBytes int
	repoURLs []string
	pr       string
	links    []string
	comment  commentFlags
}

func (o *outputFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&o.outputs, "output", "o", []string{"text"}, strings.Join(reportFormatNames(), ", ")+", each optionally with =FILE; may be given several times, with at most one for stdout")
	o.print.register(cmd)
	f.StringVar(&o.style, "style", string(report.StyleGitHub), "flavour of markdown: "+strings.Join(styleNames(), ", ")+"; plain has no HTML, for Bitbucket and the like")
	f.IntVar(&o.maxBytes, "max-bytes", 0, fmt.Sprintf("most bytes of one part of markdown, at least %d (default: 65536 for github, 1000000 for gitlab, 32768 for plain)", report.MinBytes))
	f.StringArrayVar(&o.repoURLs, "repo-url", nil, "web address of the repository, to which source lines link, or of a line with {commit}, {path} and {line} in it; NAME=URL for one of several sources")
	f.StringVar(&o.pr, "pr", "", "number of the pull request, for --comment and the hidden marker of markdown (default with --comment: what the pipeline says)")
	o.comment.register(cmd)
	f.StringArrayVar(&o.links, "link", nil, "link at the end of markdown and HTML as LABEL=URL, such as where the HTML is; may be given several times")
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(reportFormatNames(), cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("style", cobra.FixedCompletions(styleNames(), cobra.ShellCompDirectiveNoFileComp)))
}

func reportFormatNames() []string {
	var names []string
	for _, f := range report.Formats() {
		names = append(names, f.Name)
	}
	return names
}

func styleNames() []string {
	var names []string
	for _, s := range report.Styles() {
		names = append(names, string(s))
	}
	return names
}

// options are what the flags say of every format. folder is the part of the repository that is read.
func (o *outputFlags) options(s streams, folder string) (report.Options, error) {
	print, err := o.print.options(s)
	if err != nil {
		return report.Options{}, err
	}
	opts := report.Options{
		Width: print.Width, Color: print.Color, Style: report.Style(o.style), MaxBytes: o.maxBytes,
		PullRequest: o.pr, Repositories: map[string]report.Repository{},
	}
	if !slices.Contains(report.Styles(), opts.Style) {
		return opts, fmt.Errorf("--style %q: want %s", o.style, strings.Join(styleNames(), ", "))
	}
	if o.maxBytes != 0 && o.maxBytes < report.MinBytes {
		return opts, fmt.Errorf("--max-bytes %d: want at least %d", o.maxBytes, report.MinBytes)
	}
	for _, arg := range o.repoURLs {
		name, address, named := strings.Cut(arg, "=")
		if !named || strings.Contains(name, "://") {
			name, address = "", arg
		}
		u, err := webAddress(address)
		if err != nil {
			return opts, fmt.Errorf("--repo-url %q: %w", printable(arg), err)
		}
		opts.Repositories[name] = report.Repository{URL: u.String(), Folder: filepath.ToSlash(filepath.Clean(folder))}
		if opts.Project == "" && !strings.Contains(address, "{") {
			opts.Project = strings.Trim(u.Path, "/")
		}
	}
	if len(opts.Repositories) == 0 {
		opts.Repositories[""] = report.Repository{Folder: filepath.ToSlash(filepath.Clean(folder))}
	}
	for _, arg := range o.links {
		label, address, found := strings.Cut(arg, "=")
		u, err := webAddress(address)
		if !found || label == "" || err != nil {
			return opts, fmt.Errorf("--link %q: want LABEL=URL with an http or https address", printable(arg))
		}
		opts.Links = append(opts.Links, report.Link{Label: label, URL: u.String()})
	}
	return opts, nil
}

// webAddress reads an http or https address. What a URL may carry as a secret has no place in a report.
func webAddress(text string) (*url.URL, error) {
	u, err := url.Parse(strings.NewReplacer("{", "%7B", "}", "%7D").Replace(text))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("want an http or https address")
	}
	if u.User != nil {
		return nil, fmt.Errorf("the address has a user or password, which would be printed: leave it out")
	}
	return u, nil
}

// printers returns one function for each --output.
func (o *outputFlags) printers(s streams) ([]func(plan.Report, report.Options) error, error) {
	var all []func(plan.Report, report.Options) error
	toStdout := 0
	for _, output := range o.outputs {
		name, file, toFile := strings.Cut(output, "=")
		i := slices.IndexFunc(report.Formats(), func(f report.Format) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("--output %q: want one of %s, each optionally with =FILE", output, strings.Join(reportFormatNames(), ", "))
		}
		if toFile && file == "" {
			return nil, fmt.Errorf("--output %q: the file has no name", output)
		}
		if !toFile {
			if toStdout++; toStdout > 1 {
				return nil, fmt.Errorf("two outputs for stdout: give all but one a file, as in -o json=report.json")
			}
		}
		printer := report.Formats()[i].Print
		all = append(all, func(r plan.Report, opts report.Options) error {
			opts.Color = opts.Color && (!toFile || o.print.color == "always")
			parts, err := printer(r, opts)
			if err != nil {
				return fmt.Errorf("print %s: %w", name, err)
			}
			if toFile {
				return writeParts(file, parts)
			}
			_, err = s.out.Write(bytes.Join(parts, nil))
			return err
		})
	}
	return all, nil
}

// writeParts writes the first part to the file and further ones beside it: report.md, report.2.md and so
// on. Parts that an earlier run left there are removed, since nobody could tell that they are not part of
// this report.
func writeParts(file string, parts [][]byte) error {
	for i, part := range parts {
		if err := os.WriteFile(partName(file, i+1), part, 0o644); err != nil { //nolint:gosec // A report is meant to be read by others and holds no secret.
			return fmt.Errorf("write the report: %w", err)
		}
	}
	for n := max(len(parts)+1, 2); ; n++ {
		stale := partName(file, n)
		if !isPart(stale) {
			break
		}
		if err := os.Remove(stale); err != nil {
			return fmt.Errorf("remove a part of an earlier report: %w", err)
		}
	}
	return nil
}

// isPart tells whether a file is a part of a report; what cannot be read is none of ours.
func isPart(file string) bool {
	text, err := os.ReadFile(file)
	return err == nil && report.HasMarker(text)
}

func partName(file string, n int) string {
	if n == 1 {
		return file
	}
	ext := filepath.Ext(file)
	return fmt.Sprintf("%s.%d%s", strings.TrimSuffix(file, ext), n, ext)
}

// exitWords says what the exit code is, and what it would be if changes and findings counted.
func exitWords(f *previewFlags, r plan.Report, bar v1alpha1.Severity) string {
	if code := f.code(r, bar); f.exitCode || code != exitDone {
		return fmt.Sprintf("exit %d", code)
	}
	asked := *f
	asked.exitCode = true
	if code := asked.code(r, bar); code != exitDone {
		return fmt.Sprintf("exit 0; --exit-code would be %d", code)
	}
	return "exit 0"
}
