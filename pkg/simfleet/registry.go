package simfleet

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/endpoints/handlers/fieldmanager"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	storeerr "k8s.io/apiserver/pkg/storage/errors"
	"k8s.io/apiserver/pkg/util/dryrun"
)

// continueRoot is what the keys in continue tokens start with; the codec wants one.
const continueRoot = "/"

// maxNameAttempts is how often a create with generateName tries another name.
const maxNameAttempts = 8

// strategy is what a kind adds to the generic rules of create, update and delete.
type strategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
	rest.RESTDeleteStrategy
	rest.GarbageCollectionDeleteStrategy
}

// registry is the storage of one kind behind the API server's own REST
// handlers. It is shared by all clusters of a fleet: which cluster's store it
// works on stands in the context. Its rules follow
// k8s.io/apiserver/pkg/registry/generic/registry.Store.
type registry struct {
	resource schema.GroupResource
	singular string
	strategy strategy
	newFunc  func() runtime.Object
	listFunc func() runtime.Object
	attrs    storage.AttrFunc
	table    rest.TableConvertor
	// returnsDeleted says that DELETE answers with the object, not a Status.
	returnsDeleted bool
	// keepDuringUpdate says that an object without finalizers must stay although
	// its deletion was asked for (a namespace that has content).
	keepDuringUpdate func(runtime.Object) bool
	// stored and shown turn an object from the version of this endpoint into the
	// stored one and back; nil for kinds with one version.
	stored func(runtime.Object)
	shown  func(runtime.Object)
	// delete replaces the generic deletion where a kind has its own.
	delete func(context.Context, *registry, string, rest.ValidateObjectFunc, *metav1.DeleteOptions) (runtime.Object, bool, error)
}

func (r *registry) New() runtime.Object              { return r.newFunc() }
func (r *registry) NewList() runtime.Object          { return r.listFunc() }
func (r *registry) Destroy()                         {}
func (r *registry) NamespaceScoped() bool            { return r.strategy.NamespaceScoped() }
func (r *registry) GetSingularName() string          { return r.singular }
func (r *registry) DeleteReturnsDeletedObject() bool { return r.returnsDeleted }

// ConvertToTable answers what kubectl get prints.
func (r *registry) ConvertToTable(ctx context.Context, obj runtime.Object, opts runtime.Object) (*metav1.Table, error) {
	return r.table.ConvertToTable(ctx, obj, opts)
}

// out returns a stored object as this endpoint shows it, safe to label with its
// kind.
func (r *registry) out(obj runtime.Object) runtime.Object {
	obj = shallowCopy(obj)
	if r.shown != nil {
		r.shown(obj)
	}
	return obj
}

// put stores an object that came in through this endpoint.
func (r *registry) put(c *Cluster, key string, expect uint64, obj runtime.Object) (runtime.Object, error) {
	if r.stored != nil {
		r.stored(obj)
	}
	stored, err := c.store.put(r.resource, key, expect, obj)
	if err != nil {
		return nil, err
	}
	return r.out(stored), nil
}

func (r *registry) key(ctx context.Context, name string) string {
	if !r.NamespaceScoped() {
		return name
	}
	return storeKey(request.NamespaceValue(ctx), name)
}

func (r *registry) prefix(ctx context.Context) string {
	if ns := request.NamespaceValue(ctx); ns != "" && r.NamespaceScoped() {
		return ns + "/"
	}
	return ""
}

// Get implements rest.Getter.
func (r *registry) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	obj := clusterFrom(ctx).store.get(r.resource, r.key(ctx, name))
	if obj == nil {
		return nil, apierrors.NewNotFound(r.resource, name)
	}
	return r.out(obj), nil
}

func (r *registry) predicate(opts *internalversion.ListOptions) storage.SelectionPredicate {
	p := storage.SelectionPredicate{Label: labels.Everything(), Field: fields.Everything(), GetAttrs: r.attrs}
	if opts == nil {
		return p
	}
	if opts.LabelSelector != nil {
		p.Label = opts.LabelSelector
	}
	if opts.FieldSelector != nil {
		p.Field = opts.FieldSelector
	}
	p.Limit, p.Continue, p.AllowWatchBookmarks = opts.Limit, opts.Continue, opts.AllowWatchBookmarks
	return p
}

// List implements rest.Lister: selectors, pages that are consistent with their
// first one, and lists at an older revision as far as the window reaches.
func (r *registry) List(ctx context.Context, opts *internalversion.ListOptions) (runtime.Object, error) {
	c := clusterFrom(ctx)
	p := r.predicate(opts)
	prefix := r.prefix(ctx)
	at, from, err := listPosition(c, r.resource, opts)
	if err != nil {
		return nil, err
	}
	objects, revision, err := c.store.list(r.resource, prefix, at)
	if err != nil {
		return nil, listError(err, p.Continue != "")
	}
	out := make([]runtime.Object, 0, len(objects))
	next, remaining := "", int64(0)
	for i, obj := range objects {
		key := r.objectKey(obj)
		if key < from {
			continue
		}
		if ok, err := p.Matches(obj); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		if p.Limit > 0 && int64(len(out)) == p.Limit {
			next, remaining = r.objectKey(objects[i-1]), int64(len(objects)-i)
			break
		}
		out = append(out, r.out(obj))
	}
	return r.makeList(out, revision, next, remaining, p)
}

func (r *registry) objectKey(obj runtime.Object) string {
	m, err := meta.Accessor(obj)
	if err != nil {
		return ""
	}
	return storeKey(m.GetNamespace(), m.GetName())
}

// listPosition says at which revision a list is read (0: now) and from which key.
func listPosition(c *Cluster, gr schema.GroupResource, opts *internalversion.ListOptions) (at uint64, from string, err error) {
	if opts == nil {
		return 0, "", nil
	}
	if opts.Continue != "" {
		key, revision, err := storage.DecodeContinue(opts.Continue, continueRoot)
		if err != nil {
			return 0, "", apierrors.NewBadRequest(fmt.Sprintf("invalid continue token: %v", err))
		}
		from = trimPrefix(key, continueRoot)
		if revision <= 0 {
			return 0, from, nil
		}
		return uint64(revision), from, nil
	}
	if opts.ResourceVersion == "" || opts.ResourceVersion == "0" {
		if opts.ResourceVersion == "0" {
			return c.staleRevision(gr), "", nil
		}
		return 0, "", nil
	}
	revision, err := strconv.ParseUint(opts.ResourceVersion, 10, 64)
	if err != nil {
		return 0, "", apierrors.NewBadRequest(fmt.Sprintf("invalid resource version %q: %v", opts.ResourceVersion, err))
	}
	if current := c.store.currentRevision(); revision > current {
		return 0, "", storage.NewTooLargeResourceVersionError(revision, current, 1)
	}
	if opts.ResourceVersionMatch == metav1.ResourceVersionMatchExact {
		return revision, "", nil
	}
	return 0, "", nil
}

func listError(err error, continued bool) error {
	var compacted compactedError
	if !errors.As(err, &compacted) {
		return err
	}
	if continued {
		return apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.")
	}
	return apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
}

func (r *registry) makeList(items []runtime.Object, revision uint64, last string, remaining int64, p storage.SelectionPredicate) (runtime.Object, error) {
	list := r.listFunc()
	if err := meta.SetList(list, items); err != nil {
		return nil, fmt.Errorf("set items of %s: %w", r.resource, err)
	}
	m, err := meta.ListAccessor(list)
	if err != nil {
		return nil, fmt.Errorf("read list of %s: %w", r.resource, err)
	}
	m.SetResourceVersion(strconv.FormatUint(revision, 10))
	if last == "" {
		return list, nil
	}
	token, err := storage.EncodeContinue(continueRoot+last+"\x00", continueRoot, int64(revision))
	if err != nil {
		return nil, fmt.Errorf("encode continue token: %w", err)
	}
	m.SetContinue(token)
	if p.Empty() {
		m.SetRemainingItemCount(&remaining)
	}
	return list, nil
}

func trimPrefix(key, prefix string) string {
	if hasPrefix(key, prefix) {
		return key[len(prefix):]
	}
	return key
}

// Watch implements rest.Watcher.
func (r *registry) Watch(ctx context.Context, opts *internalversion.ListOptions) (watch.Interface, error) {
	c := clusterFrom(ctx)
	w := &watcher{
		store: c.store, gr: r.resource, prefix: r.prefix(ctx), predicate: r.predicate(opts), empty: r.newFunc, out: r.out,
		events: make(chan watch.Event), stop: make(chan struct{}),
	}
	asked := ""
	withState := false
	if opts != nil {
		asked = opts.ResourceVersion
		withState = opts.SendInitialEvents != nil && *opts.SendInitialEvents
		// Without a position, and with no word on initial events, a watch starts
		// with the state as it is: the legacy "get state and start".
		if opts.SendInitialEvents == nil && (asked == "" || asked == "0") {
			withState = true
		}
		w.endMarker = opts.SendInitialEvents != nil && *opts.SendInitialEvents && opts.AllowWatchBookmarks
	}
	switch {
	case withState || asked == "" || asked == "0":
		objects, revision, err := c.store.list(r.resource, w.prefix, 0)
		if err != nil {
			return nil, err
		}
		w.at = revision
		for _, obj := range objects {
			if withState && w.matches(obj) {
				w.initial = append(w.initial, obj)
			}
		}
	default:
		at, err := strconv.ParseUint(asked, 10, 64)
		if err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid resource version %q: %v", asked, err))
		}
		if _, _, _, err := c.store.since(r.resource, at, 1); err != nil {
			return failedWatch(apierrors.NewResourceExpired(err.Error())), nil
		}
		w.at = at
	}
	go w.run(ctx)
	return w, nil
}

// Create implements rest.Creater.
func (r *registry) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, opts *metav1.CreateOptions) (runtime.Object, error) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	if m.GetGenerateName() == "" || m.GetName() != "" {
		return r.create(ctx, obj, validate, opts)
	}
	var out runtime.Object
	for range maxNameAttempts {
		out, err = r.create(ctx, obj.DeepCopyObject(), validate, opts)
		if !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	return out, err
}

func (r *registry) create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, opts *metav1.CreateOptions) (runtime.Object, error) {
	c := clusterFrom(ctx)
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	if m.GetResourceVersion() != "" {
		return nil, storage.ErrResourceVersionSetOnCreate
	}
	rest.FillObjectMetaSystemFields(m)
	if m.GetGenerateName() != "" && m.GetName() == "" {
		m.SetName(r.strategy.GenerateName(m.GetGenerateName()))
	}
	if err := r.beforeCreate(ctx, obj, validate); err != nil {
		return nil, err
	}
	name, key := m.GetName(), r.key(ctx, m.GetName())
	if dryrun.IsDryRun(opts.DryRun) {
		if c.store.get(r.resource, key) == nil {
			m.SetResourceVersion("")
			return obj, nil
		}
		err = storage.NewKeyExistsError(key, 0)
	} else {
		m.SetResourceVersion("")
		var out runtime.Object
		if out, err = r.put(c, key, 0, obj); err == nil {
			return out, nil
		}
	}
	err = rest.CheckGeneratedNameError(ctx, r.strategy, storeerr.InterpretCreateError(err, r.resource, name), obj)
	return nil, sayBeingDeleted(err, c.store.get(r.resource, key))
}

func sayBeingDeleted(err error, existing runtime.Object) error {
	var status *apierrors.StatusError
	if existing == nil || !errors.As(err, &status) {
		return err
	}
	if m, merr := meta.Accessor(existing); merr == nil && m.GetDeletionTimestamp() != nil {
		status.ErrStatus.Message = "object is being deleted: " + status.ErrStatus.Message
	}
	return status
}

func (r *registry) beforeCreate(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc) error {
	if err := rest.BeforeCreate(r.strategy, ctx, obj); err != nil {
		return err
	}
	if validate == nil {
		return nil
	}
	return validate(ctx, obj.DeepCopyObject())
}

// Update implements rest.Updater; the handlers of PUT and PATCH end here, and
// so does server-side apply, which may create.
func (r *registry) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceCreate bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.update(ctx, r.strategy, name, info, createValidation, updateValidation, forceCreate, opts)
}

// update tries until no other write came in between, as the API server does.
func (r *registry) update(ctx context.Context, s rest.RESTUpdateStrategy, name string, info rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceCreate bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	c := clusterFrom(ctx)
	key := r.key(ctx, name)
	for {
		existing := c.store.get(r.resource, key)
		if existing == nil {
			if !forceCreate && !s.AllowCreateOnUpdate(ctx) {
				return nil, false, apierrors.NewNotFound(r.resource, name)
			}
			out, err := r.createOnUpdate(ctx, key, name, info, createValidation, opts)
			if storage.IsExist(err) && ctx.Err() == nil {
				continue
			}
			return out, err == nil, err
		}
		out, err := r.updateExisting(ctx, s, existing, key, name, info, updateValidation, opts)
		if (storage.IsConflict(err) || storage.IsNotFound(err)) && ctx.Err() == nil {
			continue
		}
		return out, false, err
	}
}

func (r *registry) createOnUpdate(ctx context.Context, key, name string, info rest.UpdatedObjectInfo, validate rest.ValidateObjectFunc, opts *metav1.UpdateOptions) (runtime.Object, error) {
	if p := info.Preconditions(); p != nil && p.UID != nil {
		err := storage.NewInvalidObjError(key, fmt.Sprintf("Precondition failed: UID in precondition: %v, UID in object meta: %v", *p.UID, ""))
		return nil, storeerr.InterpretUpdateError(err, r.resource, name)
	}
	obj, err := info.UpdatedObject(ctx, r.newFunc())
	if err != nil {
		return nil, err
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	rest.WipeObjectMetaSystemFields(m)
	rest.FillObjectMetaSystemFields(m)
	if err := r.beforeCreate(ctx, obj, validate); err != nil {
		return nil, err
	}
	m.SetResourceVersion("")
	if dryrun.IsDryRun(opts.DryRun) {
		return obj, nil
	}
	return r.put(clusterFrom(ctx), key, 0, obj)
}

// optimisticLockMessage is the API server's wording, which clients show.
const optimisticLockMessage = "the object has been modified; please apply your changes to the latest version and try again"

func (r *registry) updateExisting(ctx context.Context, s rest.RESTUpdateStrategy, stored runtime.Object, key, name string, info rest.UpdatedObjectInfo, validate rest.ValidateObjectUpdateFunc, opts *metav1.UpdateOptions) (runtime.Object, error) {
	revision := revisionOf(stored)
	existing := r.out(stored).DeepCopyObject()
	if p := info.Preconditions(); p != nil {
		if err := (&storage.Preconditions{UID: p.UID, ResourceVersion: p.ResourceVersion}).Check(key, existing); err != nil {
			return nil, storeerr.InterpretUpdateError(err, r.resource, name)
		}
	}
	obj, err := info.UpdatedObject(ctx, existing)
	if err != nil {
		return nil, err
	}
	if err := r.checkRevision(ctx, s, obj, revision, name); err != nil {
		return nil, err
	}
	if err := rest.BeforeUpdate(s, ctx, obj, existing); err != nil {
		return nil, err
	}
	if obj, err = fieldmanager.IgnoreManagedFieldsTimestampsTransformer(ctx, obj, existing); err != nil {
		return nil, err
	}
	if validate != nil {
		if err := validate(ctx, obj.DeepCopyObject(), existing.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	dry := dryrun.IsDryRun(opts.DryRun)
	if r.deleteDuringUpdate(obj, existing) {
		if !dry {
			if _, err := clusterFrom(ctx).store.remove(r.resource, key, revision); err != nil {
				return nil, err
			}
		}
		return obj, nil
	}
	if dry {
		return obj, nil
	}
	return r.put(clusterFrom(ctx), key, revision, obj)
}

func (r *registry) checkRevision(ctx context.Context, s rest.RESTUpdateStrategy, obj runtime.Object, current uint64, name string) error {
	asked := revisionOf(obj)
	switch {
	case asked == 0 && s.AllowUnconditionalUpdate(ctx):
		setRevision(obj, current)
		return nil
	case asked == 0:
		errs := field.ErrorList{field.Invalid(field.NewPath("metadata", "resourceVersion"), asked, "must be specified for an update")}
		return apierrors.NewInvalid(schema.GroupKind{Group: r.resource.Group, Kind: r.resource.Resource}, name, errs)
	case asked != current:
		return apierrors.NewConflict(r.resource, name, errors.New(optimisticLockMessage))
	default:
		return nil
	}
}

// deleteDuringUpdate says whether an update took the last finalizer from an
// object whose deletion was asked for.
func (r *registry) deleteDuringUpdate(obj, existing runtime.Object) bool {
	m, err := meta.Accessor(obj)
	if err != nil || len(m.GetFinalizers()) > 0 {
		return false
	}
	old, err := meta.Accessor(existing)
	if err != nil || old.GetDeletionTimestamp() == nil {
		return false
	}
	if r.keepDuringUpdate != nil && r.keepDuringUpdate(obj) {
		return false
	}
	grace := old.GetDeletionGracePeriodSeconds()
	return grace == nil || *grace == 0
}

// clusterFrom returns the cluster that a request is for.
func clusterFrom(ctx context.Context) *Cluster {
	c, _ := ctx.Value(clusterKey{}).(*Cluster)
	return c
}

type clusterKey struct{}
