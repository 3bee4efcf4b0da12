package forge

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// gitea is Gitea and Forgejo: https://docs.gitea.com/api/
type gitea struct {
	c      *client
	target Target
}

func (g *gitea) call(ctx context.Context, method, path string, body, into any) error {
	g.authorize()
	_, err := g.c.call(ctx, method, path, body, into)
	if hasStatus(err, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge) && strings.Contains(err.Error(), "too long") {
		return fmt.Errorf("%w: %w", errTooLong, err)
	}
	return err
}

func (g *gitea) authorize() { g.c.header.Set("Authorization", "token "+g.target.Token) }

func (g *gitea) repository() string { return "/repos/" + escaped(g.target.Project) }

func (g *gitea) account(ctx context.Context) (string, error) {
	var user struct {
		Login string `json:"login"`
	}
	if err := g.call(ctx, http.MethodGet, "/user", nil, &user); err != nil {
		return "", err
	}
	return user.Login, nil
}

func (g *gitea) comments(ctx context.Context) (all []comment, err error) {
	g.authorize()
	err = pages(ctx, g.c, g.repository()+"/issues/"+g.target.Change+"/comments?limit=50", func(page []issueComment) {
		for _, c := range page {
			all = append(all, comment{strconv.FormatInt(c.ID, 10), c.User.Login, c.Body})
		}
	})
	return all, err
}

func (g *gitea) create(ctx context.Context, body string) error {
	return g.call(ctx, http.MethodPost, g.repository()+"/issues/"+g.target.Change+"/comments", map[string]string{"body": body}, nil)
}

func (g *gitea) edit(ctx context.Context, id, body string) error {
	return g.call(ctx, http.MethodPatch, g.repository()+"/issues/comments/"+id, map[string]string{"body": body}, nil)
}

func (g *gitea) remove(ctx context.Context, id string) error {
	return gone(g.call(ctx, http.MethodDelete, g.repository()+"/issues/comments/"+id, nil, nil))
}

// judge sets a commit status. Gitea lists the newest first.
func (g *gitea) judge(ctx context.Context, v Verdict) (string, error) {
	return postStatus(ctx, g.call, g.repository(), "/commits/"+g.target.Commit+"/statuses?sort=recentupdate", g.target, v)
}
