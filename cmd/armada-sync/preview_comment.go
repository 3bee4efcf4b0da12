package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/forge"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/report"
)

// commentFlags say where a preview is posted.
type commentFlags struct {
	forge   string
	apiURL  string
	project string
	commit  string
	noCheck bool
}

func (c *commentFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.forge, "comment", "", "post the preview as a comment and a check, and keep both up to date: github, gitlab or gitea; the token comes from GITHUB_TOKEN, GITLAB_TOKEN (or CI_JOB_TOKEN) or GITEA_TOKEN")
	f.StringVar(&c.apiURL, "api-url", "", "https address of the forge's API (default: what the pipeline says, as in GITHUB_API_URL or CI_API_V4_URL)")
	f.StringVar(&c.project, "project", "", "project of the pull request, OWNER/NAME (default: what the pipeline says)")
	f.StringVar(&c.commit, "check-commit", "", "full hash of the commit that gets the check (default: the head that the pipeline names)")
	f.BoolVar(&c.noCheck, "no-check", false, "post the comment alone")
	must(cmd.RegisterFlagCompletionFunc("comment", cobra.FixedCompletions(forgeNames(), cobra.ShellCompDirectiveNoFileComp)))
}

func forgeNames() []string {
	var names []string
	for _, k := range forge.Kinds() {
		names = append(names, string(k))
	}
	return names
}

// target is where to post, from the flags and from what the pipeline says of itself.
func (c *commentFlags) target(pullRequest string) (forge.Target, error) {
	t := forge.Target{Kind: forge.Kind(c.forge), API: c.apiURL, Project: c.project, Change: pullRequest, Commit: c.commit, NoCheck: c.noCheck}
	if !slices.Contains(forge.Kinds(), t.Kind) {
		return t, fmt.Errorf("--comment %q: want %s", c.forge, strings.Join(forgeNames(), ", "))
	}
	return forge.FromEnvironment(t, os.Getenv, os.ReadFile)
}

// poster posts reports to one change.
type poster struct {
	*forge.Forge
	target forge.Target
}

// poster prepares posting before anything is computed, so that a mistake is told at once; nil without --comment.
func (o *outputFlags) poster() (*poster, error) {
	if o.comment.forge == "" {
		return nil, nil //nolint:nilnil // Nothing is to be posted.
	}
	target, err := o.comment.target(o.pr)
	if err != nil {
		return nil, err
	}
	f, err := forge.New(target, forge.Options{})
	if err != nil {
		return nil, fmt.Errorf("--comment %s: %w", o.comment.forge, err)
	}
	o.pr = cmp.Or(o.pr, target.Change)
	if len(o.repoURLs) == 0 {
		o.repoURLs = pipelineRepository(target.Kind)
	}
	return &poster{f, target}, nil
}

// pipelineRepository is where the pipeline says that the repository is on the web.
func pipelineRepository(k forge.Kind) []string {
	if address := os.Getenv("CI_PROJECT_URL"); k == forge.GitLab && address != "" {
		return []string{address}
	}
	if server, name := os.Getenv("GITHUB_SERVER_URL"), os.Getenv("GITHUB_REPOSITORY"); k != forge.GitLab && server != "" && name != "" {
		return []string{server + "/" + name}
	}
	return nil
}

// post posts a report and says on stderr what was done. broken tells that the head does not load whole.
func (p *poster) post(ctx context.Context, r plan.Report, o report.Options, broken bool, stderr io.Writer) error {
	o.Style, o.Project = report.StyleGitHub, cmp.Or(o.Project, p.target.Project)
	if p.target.Kind == forge.GitLab {
		o.Style = report.StyleGitLab
	}
	asked := o.MaxBytes
	o.Bar = cmp.Or(o.Bar, v1alpha1.SeverityBlocker)
	v, err := verdict(r, o, broken)
	if err != nil {
		return err
	}
	done, err := p.Post(ctx, func(limit int) ([]string, error) {
		o.MaxBytes = asked
		if limit > 0 && (asked == 0 || limit < asked) {
			o.MaxBytes = limit
		}
		parts, err := report.Markdown(r, o)
		if err != nil {
			return nil, fmt.Errorf("print markdown: %w", err)
		}
		texts := make([]string, len(parts))
		for i, part := range parts {
			texts[i] = string(part)
		}
		return texts, nil
	}, v)
	if err != nil {
		return fmt.Errorf("--comment %s: %w", p.target.Kind, err)
	}
	fmt.Fprintf(stderr, "%s: %s\n", p.target.Kind, done)
	return nil
}

// verdict is what the check says of a report.
func verdict(r plan.Report, o report.Options, broken bool) (forge.Verdict, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return forge.Verdict{}, fmt.Errorf("encode the report: %w", err)
	}
	v := forge.Verdict{
		Name: report.CheckName, Title: report.Sentence(r), Failed: broken || r.Worst() >= o.Bar.Rank(),
		Summary: "The comment on the pull request says it all.", ID: fmt.Sprintf("sha256:%x", sha256.Sum256(append(raw, o.Bar...))),
	}
	if broken {
		v.Title = "The head does not load whole. " + v.Title
		v.ID += "-broken"
	}
	for _, f := range r.Findings {
		file, line, known := findingPlace(f.Source)
		if !known {
			continue
		}
		folder := o.Repositories[f.Repository].Folder
		if _, named := o.Repositories[f.Repository]; !named {
			folder = o.Repositories[""].Folder
		}
		v.Annotations = append(v.Annotations, forge.Annotation{
			Path: path.Join(folder, file), Line: line, Level: annotationLevel(f.Severity), Title: f.ID,
			Message: strings.TrimSpace(f.Message + "\n" + report.FindingPage(f.ID)),
		})
	}
	return v, nil
}

// findingPlace takes file:line or file:line:column apart.
func findingPlace(source string) (file string, line int, known bool) {
	parts := strings.Split(source, ":")
	for i := 1; i < len(parts); i++ {
		if n, err := strconv.Atoi(parts[i]); err == nil && n > 0 {
			return strings.Join(parts[:i], ":"), n, parts[0] != ""
		}
	}
	return "", 0, false
}

func annotationLevel(s v1alpha1.Severity) string {
	switch s {
	case v1alpha1.SeverityBlocker:
		return "failure"
	case v1alpha1.SeverityCaution:
		return "warning"
	case v1alpha1.SeverityInfo:
	}
	return "notice"
}

// maxReport is the most bytes of a stored report.
const maxReport = 64 << 20

// readReport reads a report that -o json wrote. It may come from a pull request of somebody unknown: what it
// says is printed as any text of a repository is, and decides nothing of where it is posted.
func readReport(file string) (r plan.Report, err error) {
	f, err := os.Open(file) //nolint:gosec // The user names the file.
	if err != nil {
		return r, fmt.Errorf("read the report: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxReport+1))
	switch {
	case err != nil:
		return r, fmt.Errorf("read the report: %w", err)
	case len(data) > maxReport:
		return r, fmt.Errorf("the report %q is larger than %d MiB", file, maxReport>>20)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("the report %q is not one that `preview -o json` wrote: %w", file, err)
	}
	if r.Kind != "PreviewReport" || r.APIVersion != v1alpha1.APIVersion {
		return r, fmt.Errorf("the report %q is a %q of %q, want a PreviewReport of %s: write it with `preview -o json=FILE`", file, r.Kind, r.APIVersion, v1alpha1.APIVersion)
	}
	for _, g := range r.Groups {
		if len(g.Objects) == 0 || len(g.Clusters) == 0 {
			return r, fmt.Errorf("the report %q is damaged: group %q has no object or no cluster", file, g.ID)
		}
	}
	return r, nil
}
