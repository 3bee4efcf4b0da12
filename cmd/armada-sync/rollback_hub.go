package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

// hubFollower is the controller in a hub: it is told by GitSource.spec.pinnedRevision.
type hubFollower struct {
	sources dynamic.NamespaceableResourceInterface
	context string
}

func newHubFollower(hub reach) (hubFollower, error) {
	client, err := dynamic.NewForConfig(hub.config)
	if err != nil {
		return hubFollower{}, fmt.Errorf("hub of context %q: %w", hub.context, err)
	}
	return hubFollower{client.Resource(schema.GroupVersionResource{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: "gitsources"}), hub.context}, nil
}

func (h hubFollower) close() {}

// all returns the sources.
func (h hubFollower) all(ctx context.Context) ([]v1alpha1.GitSource, error) {
	list, err := h.sources.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("hub of context %q: list GitSources: %w", h.context, err)
	}
	all := make([]v1alpha1.GitSource, len(list.Items))
	for i := range list.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &all[i]); err != nil {
			return nil, fmt.Errorf("hub of context %q: GitSource %q: %w", h.context, list.Items[i].GetName(), err)
		}
	}
	return all, nil
}

func (h hubFollower) list(ctx context.Context) ([]followedSource, error) {
	all, err := h.all(ctx)
	known := make([]followedSource, 0, len(all))
	for _, s := range all {
		known = append(known, followedSource{engine.SourceID(s), s.Status.History})
	}
	return known, err
}

// find returns a source by its id or its name.
func (h hubFollower) find(ctx context.Context, name string) (v1alpha1.GitSource, error) {
	all, err := h.all(ctx)
	if err != nil {
		return v1alpha1.GitSource{}, err
	}
	byID := map[string]v1alpha1.GitSource{}
	ids := make([]string, 0, len(all))
	for _, s := range all {
		id := engine.SourceID(s)
		ids, byID[id] = append(ids, id), s
	}
	id, err := engine.FindSource(ids, name)
	return byID[id], err
}

// fullID is what a hub takes for a commit that was not applied before.
var fullID = regexp.MustCompile(`^([^@\s]+@)?(sha1:|sha256:)?([0-9a-f]{40}|[0-9a-f]{64})$`)

func (h hubFollower) rollback(ctx context.Context, name, to string) (engine.Followed, error) {
	s, err := h.find(ctx, name)
	if err != nil {
		return engine.Followed{}, err
	}
	id := engine.SourceID(s)
	if to == "" && s.Spec.PinnedRevision != "" {
		return engine.Followed{}, fmt.Errorf("source %q is pinned to %s already: name a commit with --to, or follow it again with 'armada-sync resume %s'",
			name, s.Spec.PinnedRevision, name)
	}
	revision, err := engine.PreviousRevision(s.Status, s.Status.Revision, to)
	switch {
	case err != nil:
		return engine.Followed{}, fmt.Errorf("source %q: %w", name, err)
	case revision == "" && fullID.MatchString(to):
		revision = to
	case revision == "":
		known := ""
		for _, r := range s.Status.History {
			known += "\n  " + r.Revision
		}
		return engine.Followed{}, fmt.Errorf("source %q: no commit %q was applied before: name one by its full id, or one of these:%s", name, to, known)
	}
	done := engine.Followed{Source: id, Before: s.Status.Revision, After: revision, Changed: true}
	return done, h.pin(ctx, s, revision)
}

func (h hubFollower) resume(ctx context.Context, name string) (engine.Followed, error) {
	s, err := h.find(ctx, name)
	if err != nil {
		return engine.Followed{}, err
	}
	done := engine.Followed{Source: engine.SourceID(s), Before: s.Spec.PinnedRevision, Changed: s.Spec.PinnedRevision != ""}
	switch {
	case s.Spec.Suspend:
		done.Note = "its spec.suspend still keeps it from being followed"
	case !done.Changed:
		done.Note = "it was not pinned"
	case s.Spec.Rollout != nil:
		done.Note = "the next commit spreads step by step, see spec.rollout"
	}
	if !done.Changed {
		return done, nil
	}
	return done, h.pin(ctx, s, nil)
}

// pin sets or takes away the commit that a source stays at.
func (h hubFollower) pin(ctx context.Context, s v1alpha1.GitSource, revision any) error {
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"pinnedRevision": revision}})
	if err != nil {
		return err
	}
	_, err = h.sources.Namespace(s.Namespace).Patch(ctx, s.Name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: "armada-sync-cli"})
	if err != nil {
		return fmt.Errorf("hub of context %q: GitSource %q: %w", h.context, engine.SourceID(s), err)
	}
	return nil
}
