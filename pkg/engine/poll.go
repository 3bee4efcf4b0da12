package engine

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// Builder turns the content of a revision into a tree of objects and policies. Problems are part of
// the tree; an error means that the content could not be read at all.
type Builder interface {
	Build(ctx context.Context, spec v1alpha1.GitSource, tree *source.Tree) (render.Tree, error)
}

// poller follows one source. Its last good tree stays in use until the next good one.
type poller struct {
	lifecycle
	id   string
	spec v1alpha1.GitSource
	// given is the spec as it is configured, without the orders over it.
	given v1alpha1.GitSourceSpec
	// credentials is the version of what the repository is reached with.
	credentials string
	// leaving tells that the source is deleted and its objects go too: nothing is read any more.
	leaving bool
	// told tells that the log says so.
	told bool
	open Opener
	// source is nil until it could be opened. It belongs to the goroutine of run; opened is the same for
	// others.
	source  source.Source
	opened  locked[source.Source]
	builder Builder
	metrics *Metrics
	// changed tells the engine to plan again.
	changed func()

	state locked[sourceState]
}

// sourceState is what is known of a source.
type sourceState struct {
	// tried tells that a first attempt is over, well or not.
	tried bool
	// tree is the last good one, nil before the first.
	tree     *render.Tree
	revision source.Revision
	// outdated tells that tree was read before the source changed, so that it must be read anew though
	// the revision may be the same.
	outdated bool
	// seenAt is when the revision was first seen; zero once it has been applied everywhere.
	seenAt time.Time
	// applied is the last revision that was applied everywhere, last the one that was planned last, in this
	// run or the one before.
	applied, last string
	// earlier are trees of revisions that clusters are still at, by revision; wanted are those that are
	// needed, and missing is why some of them cannot be read.
	earlier map[string]*render.Tree
	wanted  []string
	missing map[string]string
	// problem is the last failure; empty after a success.
	problem string
	class   string
}

// revisionDeleted is the revision of a source that was deleted and takes its objects along.
const revisionDeleted = "deleted"

// run polls until the context ends. A failure is tried again after a growing, jittered delay of at most
// a minute or the interval, if that is longer, and never before the server asked us to come back.
func (p *poller) run(ctx context.Context) {
	if p.leaving {
		return
	}
	interval := p.spec.Spec.Interval.Duration
	failures := 0
	for {
		wait := interval
		if err := p.poll(ctx); err != nil && ctx.Err() == nil {
			failures++
			p.fail(err)
			wait = backoff(failures, min(time.Second, interval), max(time.Minute, interval))
			wait = max(wait, source.Classify(err).After)
		} else {
			failures = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// poll asks for the revision and, if it is new, reads it.
func (p *poller) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.spec.Spec.Timeout.Duration)
	defer cancel()
	if p.source == nil {
		opened, err := p.open(p.spec)
		if err != nil {
			return err
		}
		p.source = opened
		p.opened.update(func(s *source.Source) bool { *s = opened; return true })
	}
	p.fetchEarlier(ctx)
	if p.spec.Spec.Suspend && p.spec.Spec.PinnedRevision == "" {
		// What was read before stays as it is; the next event is the end of the suspension.
		if err := p.resumed(ctx); err != nil {
			return err
		}
		p.announce(func(s *sourceState) {})
		return nil
	}
	revision, err := p.source.Resolve(ctx)
	if err != nil {
		return err
	}
	if before := p.state.get(); before.tree != nil && !before.outdated && before.revision.Same(revision) {
		p.succeed(func(s *sourceState) {})
		return nil
	}
	content, err := p.source.Fetch(ctx, revision)
	if err != nil {
		return err
	}
	tree, err := p.builder.Build(ctx, p.spec, content)
	if err != nil {
		return err
	}
	p.succeed(func(s *sourceState) {
		s.replaced()
		s.tree, s.revision, s.seenAt, s.outdated = &tree, revision, time.Now(), false
	})
	return nil
}

func (p *poller) succeed(change func(*sourceState)) {
	p.metrics.sourceSuccess.WithLabelValues(p.id).SetToCurrentTime()
	p.announce(change)
}

// announce changes what is known of the source and has a plan made if that is news.
func (p *poller) announce(change func(*sourceState)) {
	news := p.state.update(func(s *sourceState) bool {
		news := !s.tried || s.problem != ""
		before, tree := s.revision, s.tree
		s.tried, s.problem, s.class = true, "", ""
		change(s)
		return news || tree != s.tree || !before.Same(s.revision)
	})
	if news {
		p.changed()
	}
}

func (p *poller) fail(err error) {
	p.metrics.sourceFailures.WithLabelValues(p.id).Inc()
	news := p.state.update(func(s *sourceState) bool {
		news := !s.tried || s.problem != err.Error()
		s.tried, s.problem, s.class = true, err.Error(), string(source.Classify(err).Class)
		return news
	})
	if news {
		p.changed()
	}
}

// planned returns the source for a plan; ok is false while there is no good tree.
func (p *poller) planned() (s plan.Source, ok bool) {
	state := p.state.get()
	if p.leaving {
		return plan.Source{
			Tree: render.Tree{Source: p.id, Revision: revisionDeleted}, Spec: p.spec.Spec, AllowPrune: revisionDeleted, Leaving: true,
		}, true
	}
	if state.tree == nil {
		return plan.Source{}, false
	}
	return plan.Source{
		Tree: *state.tree, Spec: p.spec.Spec,
		AllowPrune: p.spec.Annotations[v1alpha1.AnnotationAllowPrune],
		Stale:      state.problem != "",
		Earlier:    state.earlierTrees(),
	}, true
}

// backoff doubles from the least to the greatest delay and takes a random half of it away, so that
// many waiting for one server do not come back together.
func backoff(failures int, least, greatest time.Duration) time.Duration {
	d := greatest
	if failures < 30 {
		d = min(greatest, least<<(failures-1))
	}
	return d/2 + rand.N(d/2+1)
}
