package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// gitLab is GitLab: https://docs.gitlab.com/api/notes/ and https://docs.gitlab.com/api/commits/
type gitLab struct {
	c      *client
	target Target
}

// errJobToken says what GitLab only hints at.
var errJobToken = errors.New("the token of a job may not write notes: set GITLAB_TOKEN to a project access token with the scope api")

func (g *gitLab) call(ctx context.Context, method, path string, body, into any) error {
	g.authorize()
	_, err := g.c.call(ctx, method, path, body, into)
	return g.explain(err)
}

func (g *gitLab) authorize() {
	name := "PRIVATE-TOKEN"
	if g.target.JobToken {
		name = "JOB-TOKEN"
	}
	g.c.header.Set(name, g.target.Token)
}

func (g *gitLab) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case g.target.JobToken && hasStatus(err, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound):
		return fmt.Errorf("%w (%w)", errJobToken, err)
	case hasStatus(err, http.StatusBadRequest, http.StatusRequestEntityTooLarge) && strings.Contains(err.Error(), "too long"):
		return fmt.Errorf("%w: %w", errTooLong, err)
	}
	return err
}

func (g *gitLab) project() string { return "/projects/" + url.PathEscape(g.target.Project) }

func (g *gitLab) notes() string { return g.project() + "/merge_requests/" + g.target.Change + "/notes" }

func (g *gitLab) account(ctx context.Context) (string, error) {
	var user struct {
		ID int64 `json:"id"`
	}
	err := g.call(ctx, http.MethodGet, "/user", nil, &user)
	return strconv.FormatInt(user.ID, 10), err
}

func (g *gitLab) comments(ctx context.Context) (all []comment, err error) {
	type note struct {
		ID     int64  `json:"id"`
		Body   string `json:"body"`
		System bool   `json:"system"`
		Author struct {
			ID int64 `json:"id"`
		} `json:"author"`
	}
	g.authorize()
	err = pages(ctx, g.c, g.notes()+"?order_by=created_at&sort=asc&per_page=100", func(page []note) {
		for _, n := range page {
			if !n.System {
				all = append(all, comment{strconv.FormatInt(n.ID, 10), strconv.FormatInt(n.Author.ID, 10), n.Body})
			}
		}
	})
	return all, g.explain(err)
}

func (g *gitLab) create(ctx context.Context, body string) error {
	return g.call(ctx, http.MethodPost, g.notes(), map[string]string{"body": body}, nil)
}

func (g *gitLab) edit(ctx context.Context, id, body string) error {
	return g.call(ctx, http.MethodPut, g.notes()+"/"+id, map[string]string{"body": body}, nil)
}

func (g *gitLab) remove(ctx context.Context, id string) error {
	return gone(g.call(ctx, http.MethodDelete, g.notes()+"/"+id, nil, nil))
}

// judge sets a commit status; annotations are for the comment. GitLab refuses a status that is set already.
func (g *gitLab) judge(ctx context.Context, v Verdict) (string, error) {
	status := map[string]string{"name": v.Name, "state": conclusion(v, "success", "failed"), "description": shortened(v.Title)}
	if g.target.Page != "" {
		status["target_url"] = g.target.Page
	}
	err := g.call(ctx, http.MethodPost, g.project()+"/statuses/"+g.target.Commit, status, nil)
	if hasStatus(err, http.StatusBadRequest) && strings.Contains(err.Error(), "Cannot transition status") {
		return "unchanged", nil
	}
	return "status", err
}
