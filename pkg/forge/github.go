package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// gitHub is GitHub and GitHub Enterprise Server: https://docs.github.com/en/rest
type gitHub struct {
	c      *client
	target Target
}

const gitHubVersion = "2022-11-28"

func (g *gitHub) call(ctx context.Context, method, path string, body, into any) error {
	g.authorize()
	_, err := g.c.call(ctx, method, path, body, into)
	return gitHubError(err)
}

func (g *gitHub) authorize() {
	g.c.header.Set("Authorization", "Bearer "+g.target.Token)
	g.c.header.Set("Accept", "application/vnd.github+json")
	g.c.header.Set("X-GitHub-Api-Version", gitHubVersion)
}

// gitHubError finds out what an error means: "body is too long (maximum is 65536 characters)".
func gitHubError(err error) error {
	if hasStatus(err, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge) && strings.Contains(err.Error(), "too long") {
		return fmt.Errorf("%w: %w", errTooLong, err)
	}
	return err
}

func (g *gitHub) repository() string { return "/repos/" + escaped(g.target.Project) }

// escaped escapes each part of owner/name.
func escaped(project string) string {
	parts := strings.Split(project, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// account asks GraphQL, which also knows the tokens of workflows and of apps: REST tells no one who they are.
func (g *gitHub) account(ctx context.Context) (string, error) {
	g.authorize()
	var answer struct {
		Data struct {
			Viewer struct {
				Login string `json:"login"`
			} `json:"viewer"`
		} `json:"data"`
	}
	address := *g.c.root
	if base, found := strings.CutSuffix(address.Path, "/v3"); found {
		address.Path = base
	}
	address.Path += "/graphql"
	if err := g.call(ctx, http.MethodPost, address.String(), map[string]string{"query": "query { viewer { login } }"}, &answer); err != nil {
		return "", err
	}
	if answer.Data.Viewer.Login == "" {
		return "", fmt.Errorf("GitHub does not say")
	}
	return answer.Data.Viewer.Login, nil
}

// find finds the open pull request of a branch. One that is at another commit is left to the run of that.
func (g *gitHub) find(ctx context.Context) error {
	var pulls []struct {
		Number int `json:"number"`
		Head   struct {
			SHA string `json:"sha"`
		} `json:"head"`
	}
	query := url.Values{"head": {g.target.Head}, "state": {"open"}}
	if err := g.call(ctx, http.MethodGet, g.repository()+"/pulls?"+query.Encode(), nil, &pulls); err != nil {
		return err
	}
	for _, p := range pulls {
		if p.Head.SHA == g.target.Commit {
			g.target.Change = strconv.Itoa(p.Number)
			return nil
		}
	}
	return fmt.Errorf("no open one of %q is at commit %s: it has moved on, or was closed", g.target.Head, g.target.Commit)
}

// issueComment is the shape of a comment on GitHub and Gitea.
type issueComment struct {
	ID   int64  `json:"id"`
	Body string `json:"body"`
	User struct {
		Login string `json:"login"`
	} `json:"user"`
}

func (g *gitHub) comments(ctx context.Context) (all []comment, err error) {
	g.authorize()
	err = pages(ctx, g.c, g.repository()+"/issues/"+g.target.Change+"/comments?per_page=100", func(page []issueComment) {
		for _, c := range page {
			all = append(all, comment{strconv.FormatInt(c.ID, 10), c.User.Login, c.Body})
		}
	})
	return all, err
}

func (g *gitHub) create(ctx context.Context, body string) error {
	return g.call(ctx, http.MethodPost, g.repository()+"/issues/"+g.target.Change+"/comments", map[string]string{"body": body}, nil)
}

func (g *gitHub) edit(ctx context.Context, id, body string) error {
	return g.call(ctx, http.MethodPatch, g.repository()+"/issues/comments/"+id, map[string]string{"body": body}, nil)
}

func (g *gitHub) remove(ctx context.Context, id string) error {
	return gone(g.call(ctx, http.MethodDelete, g.repository()+"/issues/comments/"+id, nil, nil))
}

// gone takes it for done when somebody else removed a comment first.
func gone(err error) error {
	if hasStatus(err, http.StatusNotFound, http.StatusGone) {
		return nil
	}
	return err
}

// judge makes a check run, which takes the token of an app or a workflow, and a status where it may not.
func (g *gitHub) judge(ctx context.Context, v Verdict) (string, error) {
	how, err := g.checkRun(ctx, v)
	if hasStatus(err, http.StatusForbidden, http.StatusNotFound) {
		return postStatus(ctx, g.call, g.repository(), "/commits/"+g.target.Commit+"/statuses?per_page=100", g.target, v)
	}
	return how, err
}

// maxAnnotations is how many annotations one request may hold.
const maxAnnotations = 50

type gitHubAnnotation struct {
	Path    string `json:"path"`
	Start   int    `json:"start_line"`
	End     int    `json:"end_line"`
	Level   string `json:"annotation_level"`
	Title   string `json:"title"`
	Message string `json:"message"`
}

type gitHubOutput struct {
	Title       string             `json:"title"`
	Summary     string             `json:"summary"`
	Annotations []gitHubAnnotation `json:"annotations,omitempty"`
}

func (g *gitHub) checkRun(ctx context.Context, v Verdict) (string, error) {
	var had struct {
		Runs []struct {
			ExternalID string `json:"external_id"`
		} `json:"check_runs"`
	}
	query := url.Values{"check_name": {v.Name}, "filter": {"latest"}}
	if err := g.call(ctx, http.MethodGet, g.repository()+"/commits/"+g.target.Commit+"/check-runs?"+query.Encode(), nil, &had); err != nil {
		return "", err
	}
	if len(had.Runs) > 0 && had.Runs[0].ExternalID == v.ID {
		return "unchanged", nil
	}
	annotations := make([]gitHubAnnotation, 0, len(v.Annotations))
	for _, a := range v.Annotations {
		line := max(a.Line, 1)
		annotations = append(annotations, gitHubAnnotation{a.Path, line, line, a.Level, a.Title, a.Message})
	}
	output := gitHubOutput{Title: v.Title, Summary: v.Summary, Annotations: annotations[:min(len(annotations), maxAnnotations)]}
	run := map[string]any{
		"name": v.Name, "head_sha": g.target.Commit, "external_id": v.ID, "status": "completed",
		"conclusion": conclusion(v, "success", "failure"), "output": output,
	}
	if g.target.Page != "" {
		run["details_url"] = g.target.Page
	}
	var created struct {
		ID int64 `json:"id"`
	}
	if err := g.call(ctx, http.MethodPost, g.repository()+"/check-runs", run, &created); err != nil {
		return "", err
	}
	for at := maxAnnotations; at < len(annotations); at += maxAnnotations {
		output.Annotations = annotations[at:min(at+maxAnnotations, len(annotations))]
		path := g.repository() + "/check-runs/" + strconv.FormatInt(created.ID, 10)
		if err := g.call(ctx, http.MethodPatch, path, map[string]any{"output": output}, nil); err != nil {
			return "", err
		}
	}
	return "check run", nil
}

func conclusion(v Verdict, well, failed string) string {
	if v.Failed {
		return failed
	}
	return well
}

// commitStatus is the shape of a status on GitHub; Gitea names its state status when it answers.
type commitStatus struct {
	Context     string `json:"context"`
	State       string `json:"state"`
	Status      string `json:"status,omitempty"`
	Description string `json:"description"`
	TargetURL   string `json:"target_url,omitempty"`
}

// maxDescription is what GitHub takes.
const maxDescription = 140

type caller func(ctx context.Context, method, path string, body, into any) error

// postStatus posts a status, if the latest of that name does not say the same.
func postStatus(ctx context.Context, call caller, repository, list string, t Target, v Verdict) (string, error) {
	want := commitStatus{Context: v.Name, State: conclusion(v, "success", "failure"), Description: shortened(v.Title), TargetURL: t.Page}
	var had []commitStatus
	if err := call(ctx, http.MethodGet, repository+list, nil, &had); err != nil {
		return "", err
	}
	for _, s := range had {
		if s.Context != v.Name {
			continue
		}
		if s.State+s.Status == want.State && s.Description == want.Description {
			return "unchanged", nil
		}
		break
	}
	return "status", call(ctx, http.MethodPost, repository+"/statuses/"+t.Commit, want, nil)
}

func shortened(text string) string {
	if runes := []rune(text); len(runes) > maxDescription {
		return string(runes[:maxDescription-1]) + "…"
	}
	return text
}
