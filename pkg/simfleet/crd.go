package simfleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/util/dryrun"
)

// establishAfter is how long a new definition takes until its kind is served. A
// real server takes tens of milliseconds.
const establishAfter = 50 * time.Millisecond

// definitionResource is where custom resource definitions are stored.
var definitionResource = schema.GroupResource{Group: apiextensionsv1.GroupName, Resource: "customresourcedefinitions"}

func definitionRules() kindRules {
	return kindRules{
		prepareCreate: func(_ *Cluster, o runtime.Object) {
			crd := o.(*apiextensionsv1.CustomResourceDefinition)
			noteStoredVersion(crd)
		},
		prepareUpdate: func(o, _ runtime.Object) { noteStoredVersion(o.(*apiextensionsv1.CustomResourceDefinition)) },
		validate: func(o runtime.Object) field.ErrorList {
			crd, err := internalDefinition(o)
			if err != nil {
				return field.ErrorList{field.InternalError(nil, err)}
			}
			return crdvalidation.ValidateCustomResourceDefinition(backgroundContext(), crd)
		},
		validateUpdate: func(o, old runtime.Object) field.ErrorList {
			crd, err := internalDefinition(o)
			if err != nil {
				return field.ErrorList{field.InternalError(nil, err)}
			}
			was, err := internalDefinition(old)
			if err != nil {
				return field.ErrorList{field.InternalError(nil, err)}
			}
			return crdvalidation.ValidateCustomResourceDefinitionUpdate(backgroundContext(), crd, was)
		},
	}
}

// backgroundContext is for validation that takes a context and does no I/O.
func backgroundContext() context.Context {
	return context.Background() //nolint:forbidigo // The strategies of the handlers hand none down here.
}

func internalDefinition(o runtime.Object) (*apiextensions.CustomResourceDefinition, error) {
	out := &apiextensions.CustomResourceDefinition{}
	crd, ok := o.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return nil, fmt.Errorf("%T is no CustomResourceDefinition", o)
	}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd.DeepCopy(), out, nil); err != nil {
		return nil, fmt.Errorf("convert definition %q: %w", crd.Name, err)
	}
	return out, nil
}

func noteStoredVersion(crd *apiextensionsv1.CustomResourceDefinition) {
	for _, v := range crd.Spec.Versions {
		if v.Storage && !slices.Contains(crd.Status.StoredVersions, v.Name) {
			crd.Status.StoredVersions = append(crd.Status.StoredVersions, v.Name)
		}
	}
}

// deleteDefinition marks a definition for deletion; it goes with its instances.
func deleteDefinition(ctx context.Context, r *registry, name string, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions) (runtime.Object, bool, error) {
	c := clusterFrom(ctx)
	for {
		stored := c.store.get(r.resource, name)
		crd, ok := stored.(*apiextensionsv1.CustomResourceDefinition)
		if !ok || !crd.DeletionTimestamp.IsZero() {
			return r.deleteGeneric(ctx, name, validate, opts)
		}
		next := crd.DeepCopy()
		if _, _, err := rest.BeforeDelete(r.strategy, ctx, next, opts); err != nil {
			return nil, false, err
		}
		if validate != nil {
			if err := validate(ctx, next); err != nil {
				return nil, false, err
			}
		}
		now := metav1.NewTime(c.now())
		next.DeletionTimestamp = &now
		if !slices.Contains(next.Finalizers, apiextensionsv1.CustomResourceCleanupFinalizer) {
			next.Finalizers = append(next.Finalizers, apiextensionsv1.CustomResourceCleanupFinalizer)
		}
		setDefinitionCondition(next, apiextensionsv1.Terminating, "InstanceDeletionPending", "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon", now)
		if dryrun.IsDryRun(opts.DryRun) {
			return next, false, nil
		}
		out, err := r.put(c, name, revisionOf(stored), next)
		if storage.IsConflict(err) && ctx.Err() == nil {
			continue
		}
		return out, false, err
	}
}

func setDefinitionCondition(crd *apiextensionsv1.CustomResourceDefinition, kind apiextensionsv1.CustomResourceDefinitionConditionType, reason, message string, now metav1.Time) {
	next := apiextensionsv1.CustomResourceDefinitionCondition{
		Type: kind, Status: apiextensionsv1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: now,
	}
	for i, old := range crd.Status.Conditions {
		if old.Type == kind {
			if old.Status == next.Status {
				next.LastTransitionTime = old.LastTransitionTime
			}
			crd.Status.Conditions[i] = next
			return
		}
	}
	crd.Status.Conditions = append(crd.Status.Conditions, next)
}

// watchDefinitions runs the controllers of custom resource definitions.
func (c *Cluster) watchDefinitions(gr schema.GroupResource, ch change) {
	if gr != definitionResource {
		if ch.after == nil {
			c.continueDefinitionCleanup(gr)
		}
		return
	}
	crd, ok := ch.after.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		c.mu.Lock()
		delete(c.custom, ch.key)
		c.mu.Unlock()
		return
	}
	before, _ := ch.before.(*apiextensionsv1.CustomResourceDefinition)
	switch {
	case !crd.DeletionTimestamp.IsZero():
		c.tasks.schedule("crd/"+crd.Name, 0, func() { c.cleanDefinition(crd.Name) })
	case before == nil:
		c.tasks.schedule("crd/"+crd.Name, establishAfter, func() { c.establish(crd.Name) })
	case before.Generation != crd.Generation:
		c.tasks.schedule("crd/"+crd.Name, 0, func() { c.establish(crd.Name) })
	}
}

// establish accepts the names of a definition and serves its kind.
func (c *Cluster) establish(name string) {
	crd, ok := c.store.get(definitionResource, name).(*apiextensionsv1.CustomResourceDefinition)
	if !ok || !crd.DeletionTimestamp.IsZero() {
		return
	}
	d, err := c.catalog.define(crd)
	now := metav1.NewTime(c.now())
	sv := c.catalog.byGVR[apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")]
	c.updateAs("kube-apiserver", sv, "status", "", name, func(o runtime.Object) {
		crd := o.(*apiextensionsv1.CustomResourceDefinition)
		if err != nil {
			setDefinitionCondition(crd, apiextensionsv1.NonStructuralSchema, "Unserved", err.Error(), now)
			return
		}
		crd.Status.AcceptedNames = crd.Spec.Names
		setDefinitionCondition(crd, apiextensionsv1.NamesAccepted, "NoConflicts", "no conflicts found", now)
		setDefinitionCondition(crd, apiextensionsv1.Established, "InitialNamesAccepted", "the initial names have been accepted", now)
	})
	if err != nil {
		return
	}
	c.mu.Lock()
	c.custom[name] = d
	c.mu.Unlock()
}

// cleanDefinition deletes the instances of a definition, then lets it go.
func (c *Cluster) cleanDefinition(name string) {
	c.mu.Lock()
	d := c.custom[name]
	c.mu.Unlock()
	left := 0
	if d != nil {
		reg := d.served[0].registry
		objects, _, err := c.store.list(reg.resource, "", 0)
		if err != nil {
			return
		}
		for _, o := range objects {
			m, err := meta.Accessor(o)
			if err != nil {
				continue
			}
			if m.GetDeletionTimestamp() == nil {
				_, _, _ = reg.Delete(c.internalContext(m.GetNamespace()), m.GetName(), nil, &metav1.DeleteOptions{})
			}
			if c.store.get(reg.resource, reg.objectKey(o)) != nil {
				left++
			}
		}
	}
	if left == 0 {
		c.dropFinalizer(place{definitionResource, name}, apiextensionsv1.CustomResourceCleanupFinalizer)
	}
}

// continueDefinitionCleanup looks again at a terminating definition when one of
// its instances has gone.
func (c *Cluster) continueDefinitionCleanup(gr schema.GroupResource) {
	name := gr.String()
	crd, ok := c.store.get(definitionResource, name).(*apiextensionsv1.CustomResourceDefinition)
	if ok && !crd.DeletionTimestamp.IsZero() {
		c.tasks.schedule("crd/"+name, 0, func() { c.cleanDefinition(name) })
	}
}
