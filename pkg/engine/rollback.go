package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// Followed says what became of an order to pin a source, or to follow it again.
type Followed struct {
	// Source is its id.
	Source string `json:"source"`
	// Before and After are the revisions; After is empty where the next look at the repository tells it.
	Before string `json:"before"`
	After  string `json:"after"`
	// Changed tells that the order changed anything.
	Changed bool `json:"changed"`
	// Note is what people have to know beyond that.
	Note string `json:"note,omitempty"`
}

// Rollback pins a source to a commit, on all clusters at once: to the one that to names, a commit id or the
// beginning of one, a branch, a tag, or, where it is empty, the one that was applied before the present one.
// The source is known by its id or its name alone. The commit must be there.
func (e *Engine) Rollback(ctx context.Context, name, to string) (Followed, error) {
	poller, known, err := e.find(ctx, name)
	if err != nil {
		return Followed{}, err
	}
	present := poller.state.get()
	done := Followed{Source: poller.id, Before: present.revision.String(), Changed: true}
	if to == "" && poller.spec.Spec.PinnedRevision != "" {
		return Followed{}, fmt.Errorf("source %q is pinned to %s already: name a commit with --to, or follow it again with 'armada-sync resume %s'",
			name, poller.spec.Spec.PinnedRevision, name)
	}
	revision, err := PreviousRevision(known.Status, done.Before, to)
	if err == nil && revision == "" {
		revision, err = poller.resolveRef(ctx, to)
	}
	if err != nil {
		return Followed{}, fmt.Errorf("source %q: %w", name, err)
	}
	if err := poller.has(ctx, revision); err != nil {
		return Followed{}, fmt.Errorf("source %q: %w", name, err)
	}
	done.After = revision
	err = e.Change(ctx, func(o *Orders) error {
		if o.Pins == nil {
			o.Pins = map[string]Pin{}
		}
		o.Pins[poller.id] = Pin{Revision: revision, Since: time.Now()}
		return nil
	})
	return done, err
}

// Resume lets a source be followed again that Rollback pinned.
func (e *Engine) Resume(ctx context.Context, name string) (Followed, error) {
	poller, known, err := e.find(ctx, name)
	if err != nil {
		return Followed{}, err
	}
	done := Followed{Source: poller.id}
	err = e.Change(ctx, func(o *Orders) error {
		pin, pinned := o.Pins[poller.id]
		done.Before, done.Changed = pin.Revision, pinned
		delete(o.Pins, poller.id)
		if len(o.Pins) == 0 {
			o.Pins = nil
		}
		return nil
	})
	switch {
	case poller.given.PinnedRevision != "":
		done.Note = "its configuration pins it to " + poller.given.PinnedRevision
	case poller.given.Suspend:
		done.Note = "its configuration suspends it (spec.suspend)"
	case !done.Changed:
		done.Note = "it was not pinned"
	case known.Spec.Rollout != nil:
		done.Note = "the next commit spreads step by step, see spec.rollout"
	}
	return done, err
}

// find returns a source by its id or its name, and what is remembered of it.
func (e *Engine) find(ctx context.Context, name string) (*poller, v1alpha1.GitSource, error) {
	var found *poller
	var known v1alpha1.GitSource
	// The pollers and the state belong to the loop.
	err := e.Change(ctx, func(*Orders) error {
		ids := make([]string, 0, len(e.pollers))
		for _, p := range e.pollers {
			if !p.leaving {
				ids = append(ids, p.id)
			}
		}
		id, err := FindSource(ids, name)
		if err != nil {
			return err
		}
		for _, p := range e.pollers {
			if p.id == id {
				found, known = p, e.remembered(id)
			}
		}
		return nil
	})
	return found, known, err
}

// FindSource returns the id that a name means: the id itself, or the name of exactly one source. The error
// names the sources that there are.
func FindSource(ids []string, name string) (string, error) {
	var found []string
	for _, id := range ids {
		if id == name {
			return id, nil
		}
		if strings.HasSuffix(id, "/"+name) {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("source %q: several have that name: %s", name, strings.Join(found, ", "))
	case len(ids) == 0:
		return "", fmt.Errorf("source %q: there are no sources", name)
	}
	all := slices.Clone(ids)
	slices.Sort(all)
	return "", fmt.Errorf("source %q: there is no such source; there are %s", name, strings.Join(all, ", "))
}

// shortestID is the fewest digits by which a commit may be named.
const shortestID = 4

// PreviousRevision returns the revision of a source's history that to names by its commit id or the beginning
// of one; with an empty to, the one that was applied before the present one. It is "" where the history does
// not know to.
func PreviousRevision(s v1alpha1.GitSourceStatus, present, to string) (string, error) {
	id := hashOf(to)
	var found []string
	for _, r := range s.History {
		switch hash := hashOf(r.Revision); {
		case to == "" && hash == hashOf(present):
		case to == "":
			return r.Revision, nil
		case len(id) >= shortestID && strings.HasPrefix(hash, id):
			found = append(found, r.Revision)
		}
	}
	switch {
	case to == "" && present == "":
		return "", errors.New("nothing was applied yet: name a commit with --to")
	case to == "":
		return "", fmt.Errorf("nothing is known to have been applied before %s: name a commit with --to", present)
	case len(found) > 1:
		return "", fmt.Errorf("%q means several commits: %s", to, strings.Join(found, ", "))
	case len(found) == 1:
		return found[0], nil
	}
	return "", nil
}

// hashOf is the id in a revision, or what stands there instead of a revision.
func hashOf(revision string) string {
	if i := strings.LastIndexAny(revision, ":@"); i >= 0 {
		return revision[i+1:]
	}
	return revision
}

// resolveRef asks the repository which commit is meant.
func (p *poller) resolveRef(ctx context.Context, ref string) (string, error) {
	if revision, err := source.ParseRevision(ref); err == nil {
		return revision.String(), nil
	}
	opened := p.opened.get()
	if opened == nil {
		return "", errors.New("the repository has not been read yet: try again in a moment")
	}
	repository, can := opened.(source.Repository)
	if !can {
		return "", fmt.Errorf("%q: name a full commit id", ref)
	}
	ctx, cancel := context.WithTimeout(ctx, p.spec.Spec.Timeout.Duration)
	defer cancel()
	revision, err := repository.ResolveRef(ctx, ref)
	if err != nil {
		return "", fmt.Errorf("the repository has no commit %q: %w", ref, err)
	}
	return revision.String(), nil
}

// has fetches a commit, to see that it is there.
func (p *poller) has(ctx context.Context, name string) error {
	if st := p.state.get(); st.revision.String() == name || st.earlier[name] != nil {
		return nil
	}
	revision, err := source.ParseRevision(name)
	if err != nil {
		return err
	}
	opened := p.opened.get()
	if opened == nil {
		return errors.New("the repository has not been read yet: try again in a moment")
	}
	ctx, cancel := context.WithTimeout(ctx, p.spec.Spec.Timeout.Duration)
	defer cancel()
	if _, err := opened.Fetch(ctx, revision); err != nil {
		return fmt.Errorf("the commit %s cannot be had from the repository: %w", name, err)
	}
	return nil
}
