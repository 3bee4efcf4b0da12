package simfleet

import (
	"context"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	storeerr "k8s.io/apiserver/pkg/storage/errors"
	"k8s.io/apiserver/pkg/util/dryrun"
)

// Delete implements rest.GracefulDeleter: preconditions, finalizers and the
// propagation policy, which becomes a finalizer that the garbage collector
// takes away. No kind is deleted with a grace period, since no kubelet is there
// to end one.
func (r *registry) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions) (runtime.Object, bool, error) {
	if opts == nil {
		opts = metav1.NewDeleteOptions(0)
	}
	if r.delete != nil {
		return r.delete(ctx, r, name, validate, opts)
	}
	return r.deleteGeneric(ctx, name, validate, opts)
}

func (r *registry) deleteGeneric(ctx context.Context, name string, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions) (runtime.Object, bool, error) {
	for {
		out, gone, err := r.deleteOnce(ctx, name, validate, opts)
		if storage.IsConflict(err) && ctx.Err() == nil {
			continue
		}
		return out, gone, storeerr.InterpretDeleteError(err, r.resource, name)
	}
}

// deleteOnce returns a conflict of package storage when another write came in
// between.
func (r *registry) deleteOnce(ctx context.Context, name string, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions) (runtime.Object, bool, error) {
	c := clusterFrom(ctx)
	key := r.key(ctx, name)
	stored := c.store.get(r.resource, key)
	if stored == nil {
		return nil, false, apierrors.NewNotFound(r.resource, name)
	}
	obj := r.out(stored).DeepCopyObject()
	if _, _, err := rest.BeforeDelete(r.strategy, ctx, obj, opts); err != nil {
		return nil, false, err
	}
	if validate != nil {
		if err := validate(ctx, obj); err != nil {
			return nil, false, err
		}
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, false, err
	}
	m.SetFinalizers(finalizersForDeletion(ctx, r.strategy, m, opts))
	dry := dryrun.IsDryRun(opts.DryRun)
	if len(m.GetFinalizers()) > 0 {
		markDeleting(m, c.now())
		if dry {
			return obj, false, nil
		}
		out, err := r.put(c, key, revisionOf(stored), obj)
		return out, false, err
	}
	last := obj
	if !dry {
		if last, err = c.store.remove(r.resource, key, revisionOf(stored)); err != nil {
			return nil, false, err
		}
	}
	return r.deletedAnswer(last), true, nil
}

func (r *registry) deletedAnswer(obj runtime.Object) runtime.Object {
	if r.returnsDeleted {
		return obj
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil
	}
	return &metav1.Status{Status: metav1.StatusSuccess, Details: &metav1.StatusDetails{
		Name: m.GetName(), Group: r.resource.Group, Kind: r.resource.Resource, UID: m.GetUID(),
	}}
}

func markDeleting(m metav1.Object, now time.Time) {
	if m.GetDeletionTimestamp() == nil && m.GetGeneration() > 0 {
		m.SetGeneration(m.GetGeneration() + 1)
	}
	if at := m.GetDeletionTimestamp(); at == nil || at.After(now) {
		t := metav1.NewTime(now)
		m.SetDeletionTimestamp(&t)
	}
	zero := int64(0)
	m.SetDeletionGracePeriodSeconds(&zero)
}

// finalizersForDeletion returns an object's finalizers with those of the garbage
// collector as the options, the finalizers themselves, or else the kind ask.
func finalizersForDeletion(ctx context.Context, s strategy, m metav1.Object, opts *metav1.DeleteOptions) []string {
	orphan, foreground := false, false
	switch {
	//nolint:staticcheck // The field is deprecated; old clients still send it.
	case opts.OrphanDependents != nil:
		orphan = *opts.OrphanDependents //nolint:staticcheck // As above.
	case opts.PropagationPolicy != nil:
		orphan = *opts.PropagationPolicy == metav1.DeletePropagationOrphan
		foreground = *opts.PropagationPolicy == metav1.DeletePropagationForeground
	case slices.Contains(m.GetFinalizers(), metav1.FinalizerOrphanDependents):
		orphan = true
	case slices.Contains(m.GetFinalizers(), metav1.FinalizerDeleteDependents):
		foreground = true
	default:
		orphan = s.DefaultGarbageCollectionPolicy(ctx) == rest.OrphanDependents
	}
	var out []string
	for _, f := range m.GetFinalizers() {
		if f != metav1.FinalizerOrphanDependents && f != metav1.FinalizerDeleteDependents {
			out = append(out, f)
		}
	}
	if orphan {
		out = append(out, metav1.FinalizerOrphanDependents)
	}
	if foreground {
		out = append(out, metav1.FinalizerDeleteDependents)
	}
	return out
}

// DeleteCollection implements rest.CollectionDeleter. Like the API server's it
// is not atomic.
func (r *registry) DeleteCollection(ctx context.Context, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions, listOpts *internalversion.ListOptions) (runtime.Object, error) {
	list, err := r.List(ctx, listOpts)
	if err != nil {
		return nil, err
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		m, err := meta.Accessor(item)
		if err != nil {
			return nil, err
		}
		if _, _, err := r.Delete(ctx, m.GetName(), validate, opts.DeepCopy()); err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return list, nil
}
