package hub

import (
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

// recordedSources are the GitSources with what their statuses say of applied revisions and rollouts. The
// reporter writes those soon after a step of a rollout began: a leader that takes over in between begins the
// step again, given that what came before it is still healthy.
func (w *watcher) recordedSources() []v1alpha1.GitSource {
	var all []v1alpha1.GitSource
	for _, s := range list[v1alpha1.GitSource](w.sources) {
		r := v1alpha1.GitSource{Spec: s.Spec, Status: v1alpha1.GitSourceStatus{
			Revision: s.Status.Revision, AppliedRevision: s.Status.AppliedRevision, History: s.Status.History, Rollout: s.Status.Rollout,
		}}
		r.APIVersion, r.Kind, r.Name, r.Namespace = v1alpha1.APIVersion, v1alpha1.KindGitSource, s.Name, s.Namespace
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b v1alpha1.GitSource) int { return strings.Compare(engine.SourceID(a), engine.SourceID(b)) })
	return all
}
