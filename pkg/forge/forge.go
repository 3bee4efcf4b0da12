// Package forge posts what a preview says to where a change is discussed: one comment on a pull request of
// GitHub or Gitea or on a merge request of GitLab, kept up to date, and a check or a commit status. It knows
// nothing of reports: the parts of the comment and the verdict come from its caller.
//
// A comment is ours when it has the hidden marker of its first line and our own account as its author, so
// that nobody can make us edit or remove what somebody else wrote. The token goes over https to the host of
// the API alone, and into no error and no log.
package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Kind is a sort of forge.
type Kind string

// The kinds of forges.
const (
	GitHub Kind = "github"
	GitLab Kind = "gitlab"
	Gitea  Kind = "gitea"
)

// Kinds lists the kinds.
func Kinds() []Kind { return []Kind{GitHub, GitLab, Gitea} }

// Target says where to post; see FromEnvironment.
type Target struct {
	Kind Kind
	// API is the root of the REST API: https://api.github.com, https://gitlab.com/api/v4,
	// https://gitea.example.com/api/v1.
	API string
	// Project is owner/name; for GitLab also the number.
	Project string
	// Change is the number of the pull request, on GitLab the merge request's number in its project.
	Change string
	// Head is owner:branch, by which GitHub finds the pull request where Change is empty; it must be at Commit.
	Head string
	// Commit is the full hash of the head, which gets the check unless NoCheck says otherwise; empty: no check.
	Commit  string
	NoCheck bool
	// Token may read and write comments and statuses. JobToken says of a GitLab one that it is a job's.
	Token    string
	JobToken bool
	// Page is where the run can be looked at; empty: nowhere.
	Page string
}

// Verdict is what the check says.
type Verdict struct {
	// Name of the check, Title in one line, Summary in Markdown.
	Name, Title, Summary string
	Failed               bool
	Annotations          []Annotation
	// ID is equal for equal reports, so that posting again adds nothing.
	ID string
}

// Annotation is a remark on a line.
type Annotation struct {
	Path string
	Line int
	// Level is failure, warning or notice.
	Level, Title, Message string
}

// Render writes the comment in parts of at most so many bytes, each with its marker as its first line; 0: of
// what the forge takes by default.
type Render func(maxBytes int) ([]string, error)

// Options say how to reach a forge. The zero value is for use; the fields are for tests.
type Options struct {
	// Transport carries the requests. Default: http.DefaultTransport.
	Transport http.RoundTripper
	// Wait waits between attempts. Default: with a timer.
	Wait func(context.Context, time.Duration) error
	// Now tells the time, for limits that end at one. Default: time.Now.
	Now func() time.Time
}

// Done says what was posted.
type Done struct {
	Created, Edited, Removed, Unchanged int
	// Check says how the verdict was posted: "check run", "status", "unchanged" or "".
	Check string
}

// String is what was posted in words.
func (d Done) String() string {
	text := fmt.Sprintf("comments: %d created, %d updated, %d removed, %d unchanged", d.Created, d.Edited, d.Removed, d.Unchanged)
	if d.Check != "" {
		text += "; check: " + d.Check
	}
	return text
}

// host is what one kind of forge can do.
type host interface {
	// account is the name by which the forge knows whom the token belongs to.
	account(ctx context.Context) (string, error)
	// comments are all of the change, oldest first.
	comments(ctx context.Context) ([]comment, error)
	create(ctx context.Context, body string) error
	edit(ctx context.Context, id, body string) error
	remove(ctx context.Context, id string) error
	// judge posts the verdict and says how.
	judge(ctx context.Context, v Verdict) (string, error)
}

type comment struct{ id, author, body string }

// Forge is one change on one forge.
type Forge struct {
	host   host
	target Target
}

// New prepares posting. Nothing is contacted. The error says what of the target is missing.
func New(t Target, o Options) (*Forge, error) {
	c, err := newClient(t, o)
	if err != nil {
		return nil, err
	}
	f := &Forge{target: t}
	switch t.Kind {
	case GitHub:
		f.host = &gitHub{c: c, target: t}
	case GitLab:
		f.host = &gitLab{c: c, target: t}
	case Gitea:
		f.host = &gitea{c: c, target: t}
	default:
		return nil, fmt.Errorf("forge %q: want github, gitlab or gitea", t.Kind)
	}
	return f, nil
}

// errTooLong tells that the forge takes no comment of that length.
var errTooLong = errors.New("the comment is too long")

const (
	// startingOver is how often posting begins again when it is not known whether a comment was created.
	startingOver = 3
	// leastBytes and firstBytes bound what a comment is shortened to when the forge says it is too long.
	leastBytes, firstBytes = 8192, 60_000
)

// Post brings the comments and the check of the change up to date. What is as it should be is not written.
func (f *Forge) Post(ctx context.Context, render Render, v Verdict) (Done, error) {
	if g, isGitHub := f.host.(*gitHub); isGitHub && f.target.Change == "" {
		if err := g.find(ctx); err != nil {
			return Done{}, fmt.Errorf("find the pull request: %w", err)
		}
	}
	done, err := f.postComments(ctx, render)
	if err != nil {
		return done, err
	}
	if f.target.Commit != "" && !f.target.NoCheck {
		if done.Check, err = f.host.judge(ctx, v); err != nil {
			return done, fmt.Errorf("post the check: %w", err)
		}
	}
	return done, nil
}

func (f *Forge) postComments(ctx context.Context, render Render) (Done, error) {
	limit, attempts := 0, 0
	for {
		parts, err := render(limit)
		if err != nil {
			return Done{}, err
		}
		done, err := f.sync(ctx, parts)
		switch {
		case err == nil:
			return done, nil
		case errors.Is(err, errTooLong) && (limit == 0 || limit > leastBytes):
			if limit = max(limit/2, leastBytes); limit == leastBytes && attempts == 0 {
				limit = firstBytes
			}
			attempts++
		case errors.Is(err, errUncertain) && attempts < startingOver:
			attempts++
		default:
			return done, fmt.Errorf("post the comment: %w", err)
		}
	}
}

// sync makes the comments of ours exactly the parts.
func (f *Forge) sync(ctx context.Context, parts []string) (done Done, err error) {
	if len(parts) == 0 {
		return done, errors.New("there is nothing to post")
	}
	ours, err := f.ours(ctx, identity(parts[0]))
	if err != nil {
		return done, err
	}
	for i, part := range parts {
		switch {
		case i >= len(ours):
			err = f.host.create(ctx, part)
			done.Created++
		case sameText(ours[i].body, part):
			done.Unchanged++
		default:
			err = f.host.edit(ctx, ours[i].id, part)
			done.Edited++
		}
		if err != nil {
			return done, err
		}
	}
	for _, left := range ours[min(len(parts), len(ours)):] {
		if err := f.host.remove(ctx, left.id); err != nil {
			return done, err
		}
		done.Removed++
	}
	return done, nil
}

// ours are the comments with our marker that we wrote, oldest first.
func (f *Forge) ours(ctx context.Context, marker string) ([]comment, error) {
	if marker == "" {
		return nil, errors.New("the comment has no marker")
	}
	account, err := f.host.account(ctx)
	if err != nil {
		return nil, fmt.Errorf("find out whose token it is: %w", err)
	}
	all, err := f.host.comments(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(c comment) bool { return c.author != account || identity(c.body) != marker }), nil
}

// identity is the marker of a part without which part it is; "" where there is none.
func identity(body string) string {
	first, _, _ := strings.Cut(strings.ReplaceAll(body, "\r\n", "\n"), "\n")
	marker, _, found := strings.Cut(first, " part=")
	if !found {
		return ""
	}
	return marker
}

// sameText compares bodies as forges keep them: line ends may change, and space at the end may go.
func sameText(a, b string) bool {
	clean := func(s string) string { return strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), " \n") }
	return clean(a) == clean(b)
}
