package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
	"github.com/armada-sync/armada-sync/pkg/plan/report"
	"github.com/armada-sync/armada-sync/pkg/schema"
)

// validateFlags are the flags of validate.
type validateFlags struct {
	dir     string
	path    string
	version string
	output  string
}

func newValidate(s streams) *cobra.Command {
	flags := &validateFlags{}
	cmd := &cobra.Command{
		Use:   "validate [DIR]",
		Short: "Check manifests and policies without a fleet",
		Long: `Check a folder or Git work tree as it stands, without a fleet and without a network: syntax, fields
that do not exist, types, what is missing, references between documents, policies and overrides that
contradict themselves or have no effect, kustomizations and charts that cannot be built, and APIs that
Kubernetes does not serve any more.

Kinds of Kubernetes are compared with its OpenAPI documents, custom kinds with the
CustomResourceDefinitions of the folder. --kubernetes-version says which version the manifests are for;
without it, what no version known here takes is a fault. Overrides are tried on clusters made up for the
purpose, one for each set of clusters that a rule names.

Exit codes: 0 nothing worse than a caution; 1 the folder cannot be read; 3 there is a blocker.`,
		Example: `  armada-sync validate
  armada-sync validate deploy --kubernetes-version 1.36
  armada-sync validate . -o sarif > armada-sync.sarif`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.dir = "."
			if len(args) == 1 {
				flags.dir = args[0]
			}
			return runValidate(cmd.Context(), s, flags)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.path, "path", "", "folder inside DIR that is read (default: all of it)")
	f.StringVar(&flags.version, "kubernetes-version", "", "version of Kubernetes that the manifests are for, such as 1.36")
	f.StringVarP(&flags.output, "output", "o", "text", strings.Join(validationFormatNames(), ", "))
	must(cmd.MarkFlagDirname("path"))
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(validationFormatNames(), cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("kubernetes-version", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, v := range schema.Embedded() {
			names = append(names, v.String())
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}))
	return cmd
}

// validated is what validate found, and its JSON.
type validated struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Revision is that of the files, in the form dir@sha256:….
	Revision string `json:"revision"`
	// KubernetesVersion is the one that was asked for; empty: none.
	KubernetesVersion string            `json:"kubernetesVersion,omitempty"`
	Summary           validationSummary `json:"summary"`
	// Findings by place; their sources are relative to the folder.
	Findings []v1alpha1.Finding `json:"findings"`

	dir string
}

// validationSummary counts.
type validationSummary struct {
	Objects  int `json:"objects"`
	Policies int `json:"policies"`
	Blockers int `json:"blockers"`
	Cautions int `json:"cautions"`
	Infos    int `json:"infos"`
}

// validationFormat is a format of validate.
type validationFormat struct {
	name  string
	print func(validated) ([]byte, error)
}

func validationFormats() []validationFormat {
	return []validationFormat{{"text", validationText}, {"json", validationJSON}, {"sarif", validationSARIF}}
}

func validationFormatNames() []string {
	var names []string
	for _, f := range validationFormats() {
		names = append(names, f.name)
	}
	return names
}

func runValidate(ctx context.Context, s streams, flags *validateFlags) error {
	format := slices.IndexFunc(validationFormats(), func(f validationFormat) bool { return f.name == flags.output })
	if format < 0 {
		return fmt.Errorf("--output %q: want %s", flags.output, strings.Join(validationFormatNames(), ", "))
	}
	options := plan.ValidateOptions{}
	if flags.version != "" {
		var err error
		if options.Version, err = schema.ParseVersion(flags.version); err != nil {
			return fmt.Errorf("--kubernetes-version: %w", err)
		}
	}
	v, err := validate(ctx, flags, options)
	if err != nil {
		return err
	}
	out, err := validationFormats()[format].print(v)
	if err != nil {
		return err
	}
	if _, err := s.out.Write(out); err != nil {
		return err
	}
	if v.Summary.Blockers > 0 {
		return withCode(exitFindings)
	}
	return nil
}

// validate reads the folder and checks what is in it.
func validate(ctx context.Context, flags *validateFlags, options plan.ValidateOptions) (validated, error) {
	in := inputs{repos: []string{unnamedSource + "=" + flags.dir}, path: filepath.ToSlash(flags.path)}
	repos, err := in.open(plan.Snapshot{})
	if err != nil {
		return validated{}, err
	}
	trees, err := in.readTrees(ctx, repos, "")
	if err != nil {
		return validated{}, err
	}
	unread := &unreadParts{content: in.contents[unnamedSource], units: trees[0].FailedUnits}
	options.Mentions = unread.mentions
	findings := plan.Validate(trees, options)
	newFieldLines(in.contents).refine(findings)
	v := validated{
		APIVersion: v1alpha1.APIVersion, Kind: "Validation", Revision: trees[0].Revision, KubernetesVersion: options.Version.String(),
		Findings: []v1alpha1.Finding{}, dir: flags.dir,
		Summary: validationSummary{
			Objects: len(trees[0].Objects), Policies: len(trees[0].PropagationPolicies) + len(trees[0].OverridePolicies),
		},
	}
	for _, f := range findings {
		// There is one source, and it has no name here.
		f.Repository = ""
		if f.ID == v1alpha1.FindingSecretNotDecrypted {
			// Who checks a folder need not have the keys.
			f.ID, f.Severity = plan.NotChecked, v1alpha1.SeverityInfo
		}
		v.Findings = append(v.Findings, f)
		switch f.Severity {
		case v1alpha1.SeverityBlocker:
			v.Summary.Blockers++
		case v1alpha1.SeverityCaution:
			v.Summary.Cautions++
		case v1alpha1.SeverityInfo:
			v.Summary.Infos++
		}
	}
	slices.SortStableFunc(v.Findings, func(a, b v1alpha1.Finding) int {
		fileA, lineA, _ := cutLine(a.Source)
		fileB, lineB, _ := cutLine(b.Source)
		if c := strings.Compare(fileA, fileB); c != 0 {
			return c
		}
		return lineA - lineB
	})
	return v, nil
}

// unreadParts are the files that could not be read, by the text that is in them.
type unreadParts struct {
	content fs.FS
	units   []string
	texts   [][]byte
	read    bool
}

// maxUnread bounds how much of them is looked at.
const maxUnread = 1 << 20

// mentions tells whether a word stands anywhere in the parts that could not be read.
func (u *unreadParts) mentions(_, word string) bool {
	if !u.read {
		u.read = true
		for _, unit := range u.units {
			_ = fs.WalkDir(u.content, unit, func(name string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json", ".tpl"}, path.Ext(name)) {
					return nil //nolint:nilerr // What cannot be read mentions nothing.
				}
				if data, err := fs.ReadFile(u.content, name); err == nil && len(data) <= maxUnread {
					u.texts = append(u.texts, unreadable(name, data, name == unit))
				}
				return nil
			})
		}
	}
	return slices.ContainsFunc(u.texts, func(text []byte) bool { return bytes.Contains(text, []byte(word)) })
}

// unreadable is the text of a file without the documents that can be read, of a plain file; those of a
// kustomization or chart that failed are all missing.
func unreadable(name string, data []byte, plain bool) []byte {
	if !plain {
		return data
	}
	documents, _ := v1alpha1.DecodeStream(name, data)
	lines := bytes.SplitAfter(data, []byte("\n"))
	var rest []byte
	for start := 0; start < len(lines); {
		end := start + 1
		for end < len(lines) && !bytes.HasPrefix(lines[end], []byte("---")) {
			end++
		}
		if !slices.ContainsFunc(documents, func(d v1alpha1.Document) bool { return d.Position.Line > start && d.Position.Line <= end }) {
			rest = append(rest, bytes.Join(lines[start:end], nil)...)
		}
		start = end
	}
	return rest
}

// validationText prints findings as compilers do, with paths as they are from where the command runs.
func validationText(v validated) ([]byte, error) {
	var b bytes.Buffer
	for _, f := range v.Findings {
		place := f.Source
		if place == "" {
			place = "."
		}
		fmt.Fprintf(&b, "%s: %s %s: %s\n", page.Scrub(filepath.Join(v.dir, filepath.FromSlash(place))), f.Severity, f.ID, page.Scrub(f.Message))
	}
	s := v.Summary
	fmt.Fprintf(&b, "%s and %s checked: ", number(s.Objects, "object", "objects"), number(s.Policies, "policy", "policies"))
	if len(v.Findings) == 0 {
		b.WriteString("nothing found.\n")
		return b.Bytes(), nil
	}
	fmt.Fprintf(&b, "%s, %s, %s.\n", number(s.Blockers, "blocker", "blockers"), number(s.Cautions, "caution", "cautions"), number(s.Infos, "remark", "remarks"))
	return b.Bytes(), nil
}

// number writes "1 object" and "2 objects".
func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func validationJSON(v validated) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("print the findings: %w", err)
	}
	return b.Bytes(), nil
}

// validationSARIF prints findings as preview does; locations are relative to where the command runs.
func validationSARIF(v validated) ([]byte, error) {
	folder := filepath.ToSlash(filepath.Clean(v.dir))
	if filepath.IsAbs(v.dir) || strings.HasPrefix(folder, "..") {
		folder = ""
	}
	parts, err := report.SARIF(plan.Report{Findings: v.Findings}, report.Options{
		Command: "validate", Repositories: map[string]report.Repository{"": {Folder: folder}},
	})
	if err != nil {
		return nil, fmt.Errorf("print the findings: %w", err)
	}
	return parts[0], nil
}
