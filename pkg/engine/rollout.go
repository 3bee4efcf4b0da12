package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// historyLength is how many applied revisions of a source are remembered.
const historyLength = 10

// remembered is what the state says of a source; a zero value where it says nothing.
func (e *Engine) remembered(id string) v1alpha1.GitSource {
	i := slices.IndexFunc(e.state.Sources, func(s v1alpha1.GitSource) bool { return SourceID(s) == id })
	if i < 0 {
		return v1alpha1.GitSource{}
	}
	return e.state.Sources[i]
}

// recall gives a poller what the last run knew of its source.
func (p *poller) recall(s v1alpha1.GitSource) {
	p.state.value.applied, p.state.value.last = s.Status.AppliedRevision, s.Status.Revision
	p.state.value.wanted = earlierRevisions(s.Status.Rollout)
}

// earlierRevisions are those that clusters are kept at besides the latest, as recorded.
func earlierRevisions(r *v1alpha1.RolloutStatus) []string {
	if r == nil || r.Phase == v1alpha1.RolloutComplete {
		return nil
	}
	var all []string
	if r.From != "" {
		all = append(all, r.From)
	}
	for _, b := range r.Behind {
		all = append(all, b.Revision)
	}
	return all
}

// rememberSources is what the next run has to know of the sources.
func (e *Engine) rememberSources(p *plan.Plan, now time.Time) []v1alpha1.GitSource {
	rollouts := plan.NextRollouts(p)
	all := make([]v1alpha1.GitSource, 0, len(e.pollers))
	for _, poller := range e.pollers {
		st := poller.state.get()
		before := e.remembered(poller.id)
		s := v1alpha1.GitSource{Spec: memorable(poller.given)}
		s.APIVersion, s.Kind = v1alpha1.APIVersion, v1alpha1.KindGitSource
		s.Namespace, s.Name, _ = strings.Cut(poller.id, "/")
		s.Status = v1alpha1.GitSourceStatus{AppliedRevision: st.applied, History: appliedHistory(before.Status.History, st.applied, now)}
		if s.Status.Revision = p.Revisions[poller.id]; s.Status.Revision == "" {
			s.Status.Revision = st.last
		}
		if poller.leaving {
			// It is remembered until nothing of it is left, whatever happens to the process.
			s.Status = before.Status
		} else if r, known := rollouts[poller.id]; known {
			s.Status.Rollout = &r
		} else if _, planned := p.Revisions[poller.id]; !planned {
			// Without a tree nothing was decided: what stood still stands.
			s.Status.Rollout = before.Status.Rollout
		}
		all = append(all, s)
	}
	return all
}

// leftBehind returns the sources that the last run knew and that are not configured any more.
func (e *Engine) leftBehind() []v1alpha1.GitSource {
	var all []v1alpha1.GitSource
	for _, s := range e.state.Sources {
		id := SourceID(s)
		configured := slices.ContainsFunc(e.current.Sources, func(c v1alpha1.GitSource) bool { return SourceID(c) == id })
		if !configured && !slices.Contains(e.current.Unusable, id) {
			all = append(all, s)
		}
	}
	return all
}

// memorable is the part of a spec that a later run, or a preview, has to know: all but where credentials are.
func memorable(s v1alpha1.GitSourceSpec) v1alpha1.GitSourceSpec {
	s.URL, s.SecretRef, s.CredentialsFile, s.Decryption = address(s.URL), nil, "", nil
	return s
}

// logRollouts says each step of a rollout once.
func (e *Engine) logRollouts(ctx context.Context, before, after []v1alpha1.GitSource) {
	said := map[string]v1alpha1.RolloutStatus{}
	for _, s := range before {
		if s.Status.Rollout != nil {
			said[SourceID(s)] = *s.Status.Rollout
		}
	}
	for _, s := range after {
		r := s.Status.Rollout
		if r == nil {
			continue
		}
		if was := said[SourceID(s)]; was.Revision != r.Revision || was.Phase != r.Phase || was.Step != r.Step {
			e.log.InfoContext(ctx, "rollout", "source", SourceID(s), "revision", r.Revision, "phase", string(r.Phase), "what", r.Message)
		}
	}
}

// appliedHistory is the history with the revision that is applied now in front.
func appliedHistory(before []v1alpha1.AppliedRevision, applied string, now time.Time) []v1alpha1.AppliedRevision {
	if applied == "" || len(before) > 0 && before[0].Revision == applied {
		return before
	}
	next := []v1alpha1.AppliedRevision{{Revision: applied, Time: kept(now)}}
	for _, r := range before {
		if r.Revision != applied && len(next) < historyLength {
			next = append(next, r)
		}
	}
	return next
}

// spread puts into a snapshot how far the revisions of the sources have spread.
func (e *Engine) spread(snap *plan.Snapshot) {
	snap.Rollouts, snap.AppliedRevisions = map[string]v1alpha1.RolloutStatus{}, map[string]string{}
	for _, s := range e.state.Sources {
		id := SourceID(s)
		if s.Status.Rollout != nil {
			snap.Rollouts[id] = *s.Status.Rollout
		}
		if len(s.Status.History) > 0 {
			snap.AppliedRevisions[id] = s.Status.History[0].Revision
		}
	}
	snap.Sources = Declared(e.state.Sources, e.current.Sources)
}

// retain tells the pollers which earlier trees are still needed.
func (e *Engine) retain(p *plan.Plan) {
	for _, poller := range e.pollers {
		poller.retain(p.EarlierRevisions(poller.id), p.Revisions[poller.id])
	}
}

// retain keeps the trees of some revisions and of the one that was planned; those of others go.
func (p *poller) retain(wanted []string, planned string) {
	p.state.update(func(s *sourceState) bool {
		s.wanted = wanted
		s.earlier = maps.Clone(s.earlier)
		maps.DeleteFunc(s.earlier, func(revision string, _ *render.Tree) bool {
			return revision != planned && !slices.Contains(wanted, revision)
		})
		s.missing = maps.Clone(s.missing)
		maps.DeleteFunc(s.missing, func(revision string, _ string) bool { return !slices.Contains(wanted, revision) })
		return true
	})
}

// replaced keeps the tree that another one takes the place of, since clusters may still be at it.
func (s *sourceState) replaced() {
	if s.tree == nil || s.outdated {
		return
	}
	s.earlier = maps.Clone(s.earlier)
	if s.earlier == nil {
		s.earlier = map[string]*render.Tree{}
	}
	s.earlier[s.tree.Revision] = s.tree
}

// fetchEarlier reads the revisions that clusters are kept at and that this process has not read. One that
// cannot be had any more, since it was a folder as it stood or history was rewritten, is a problem of its own:
// what is held of it stays as it is.
func (p *poller) fetchEarlier(ctx context.Context) {
	st := p.state.get()
	for _, revision := range st.wanted {
		if st.earlier[revision] != nil || st.tree != nil && !st.outdated && st.tree.Revision == revision {
			continue
		}
		tree, err := p.read(ctx, revision)
		p.state.update(func(s *sourceState) bool {
			s.missing = maps.Clone(s.missing)
			if err != nil {
				if s.missing == nil {
					s.missing = map[string]string{}
				}
				s.missing[revision] = err.Error()
				return true
			}
			delete(s.missing, revision)
			s.earlier = maps.Clone(s.earlier)
			if s.earlier == nil {
				s.earlier = map[string]*render.Tree{}
			}
			s.earlier[revision] = tree
			return true
		})
		p.changed()
	}
}

// read fetches and builds a revision by its name.
func (p *poller) read(ctx context.Context, name string) (*render.Tree, error) {
	revision, err := source.ParseRevision(name)
	if err != nil {
		return nil, err
	}
	content, err := p.source.Fetch(ctx, revision)
	if err != nil {
		return nil, err
	}
	tree, err := p.builder.Build(ctx, p.spec, content)
	if err != nil {
		return nil, err
	}
	tree.Revision = name
	return &tree, nil
}

// earlierTrees are those that are there, by revision.
func (s *sourceState) earlierTrees() []render.Tree {
	var trees []render.Tree
	for _, revision := range slices.Sorted(maps.Keys(s.earlier)) {
		trees = append(trees, *s.earlier[revision])
	}
	return trees
}

// missingProblems are the earlier revisions that cannot be read.
func (p *poller) missingProblems() []Problem {
	st := p.state.get()
	var problems []Problem
	for _, revision := range slices.Sorted(maps.Keys(st.missing)) {
		problems = append(problems, Problem{
			Source: p.id, At: revision, ID: "source-earlier-revision",
			Reason: fmt.Sprintf("clusters that the rollout has not reached are kept at %s, which cannot be read: what they hold stays, and is not put back where it is changed: %s",
				revision, st.missing[revision]),
		})
	}
	return problems
}

// resumed reads the last revision of a suspended source, so that what is applied is kept as it is.
func (p *poller) resumed(ctx context.Context) error {
	st := p.state.get()
	if st.tree != nil && !st.outdated || st.last == "" {
		return nil
	}
	tree, err := p.read(ctx, st.last)
	if err != nil {
		return fmt.Errorf("the source is suspended at %s: %w", st.last, err)
	}
	revision, err := source.ParseRevision(st.last)
	if err != nil {
		return err
	}
	p.succeed(func(s *sourceState) { s.tree, s.revision, s.outdated = tree, revision, false })
	return nil
}
