package simfleet

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/util/dryrun"
)

// namespaceResource is where namespaces are stored.
var namespaceResource = schema.GroupResource{Resource: "namespaces"}

func namespaceRules() kindRules {
	return kindRules{
		name: validation.ValidateNamespaceName,
		prepareCreate: func(_ *Cluster, o runtime.Object) {
			ns := o.(*corev1.Namespace)
			ns.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
			defaultNamespace(ns)
			for _, f := range ns.Spec.Finalizers {
				if f == corev1.FinalizerKubernetes {
					return
				}
			}
			ns.Spec.Finalizers = append(ns.Spec.Finalizers, corev1.FinalizerKubernetes)
		},
		prepareUpdate: func(o, old runtime.Object) {
			o.(*corev1.Namespace).Spec.Finalizers = old.(*corev1.Namespace).Spec.Finalizers
		},
	}
}

func namespaceHasContent(o runtime.Object) bool {
	ns, ok := o.(*corev1.Namespace)
	return ok && len(ns.Spec.Finalizers) > 0
}

// deleteNamespace starts the termination of a namespace. The object goes when
// the namespace controller has emptied it.
func deleteNamespace(ctx context.Context, r *registry, name string, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions) (runtime.Object, bool, error) {
	c := clusterFrom(ctx)
	for {
		stored := c.store.get(r.resource, name)
		if stored == nil {
			return nil, false, apierrors.NewNotFound(r.resource, name)
		}
		ns := stored.DeepCopyObject().(*corev1.Namespace)
		if err := checkNamespacePreconditions(ns, opts.Preconditions); err != nil {
			return nil, false, err
		}
		if !ns.DeletionTimestamp.IsZero() {
			if len(ns.Spec.Finalizers) > 0 {
				return ns, false, nil
			}
			return r.deleteGeneric(ctx, name, validate, opts)
		}
		if validate != nil {
			if err := validate(ctx, ns); err != nil {
				return nil, false, err
			}
		}
		now := metav1.NewTime(c.now())
		ns.DeletionTimestamp = &now
		ns.Status.Phase = corev1.NamespaceTerminating
		ns.Finalizers = finalizersForDeletion(ctx, r.strategy, ns, opts)
		if dryrun.IsDryRun(opts.DryRun) {
			return ns, false, nil
		}
		out, err := c.store.put(r.resource, name, revisionOf(stored), ns)
		if storage.IsConflict(err) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		return shallowCopy(out), false, nil
	}
}

func checkNamespacePreconditions(ns *corev1.Namespace, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	if p.UID != nil && *p.UID != ns.UID {
		return apierrors.NewConflict(namespaceResource, ns.Name, fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", *p.UID, ns.UID)) //nolint:staticcheck // The API server's words.
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != ns.ResourceVersion {
		return apierrors.NewConflict(namespaceResource, ns.Name, fmt.Errorf("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", *p.ResourceVersion, ns.ResourceVersion)) //nolint:staticcheck // The API server's words.
	}
	return nil
}

// namespaceLifecycle is the admission plug-in of that name: nothing is created
// in a namespace that is absent or terminating, and some cannot be deleted.
type namespaceLifecycle struct{}

var _ admission.MutationInterface = namespaceLifecycle{}

func (namespaceLifecycle) Handles(op admission.Operation) bool {
	return op == admission.Create || op == admission.Delete
}

// Admit implements admission.MutationInterface.
func (namespaceLifecycle) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetResource().GroupResource() == namespaceResource {
		if a.GetOperation() == admission.Delete && isImmortal(a.GetName()) {
			return apierrors.NewForbidden(namespaceResource, a.GetName(), errors.New("this namespace may not be deleted"))
		}
		return nil
	}
	if a.GetOperation() != admission.Create || a.GetNamespace() == "" {
		return nil
	}
	obj := clusterFrom(ctx).store.get(namespaceResource, a.GetNamespace())
	if obj == nil {
		return apierrors.NewNotFound(namespaceResource, a.GetNamespace())
	}
	if ns := obj.(*corev1.Namespace); ns.Status.Phase != corev1.NamespaceTerminating {
		return nil
	}
	err := admission.NewForbidden(a, fmt.Errorf("unable to create new content in namespace %s because it is being terminated", a.GetNamespace()))
	var status *apierrors.StatusError
	if errors.As(err, &status) {
		status.ErrStatus.Details.Causes = append(status.ErrStatus.Details.Causes, metav1.StatusCause{
			Type: corev1.NamespaceTerminatingCause, Message: fmt.Sprintf("namespace %s is being terminated", a.GetNamespace()), Field: "metadata.namespace",
		})
	}
	return err
}

func isImmortal(name string) bool {
	return name == metav1.NamespaceDefault || name == metav1.NamespaceSystem || name == metav1.NamespacePublic
}

// emptyNamespace is one round of the namespace controller: it deletes what is
// left in a terminating namespace and lets go of it when nothing is.
func (c *Cluster) emptyNamespace(name string) {
	obj := c.store.get(namespaceResource, name)
	ns, ok := obj.(*corev1.Namespace)
	if !ok || ns.DeletionTimestamp.IsZero() {
		return
	}
	left := 0
	for _, reg := range c.namespacedRegistries() {
		objects, _, err := c.store.list(reg.resource, name+"/", 0)
		if err != nil {
			continue
		}
		for _, o := range objects {
			m, err := meta.Accessor(o)
			if err != nil {
				continue
			}
			if m.GetDeletionTimestamp() == nil {
				background := metav1.DeletePropagationBackground
				_, _, _ = reg.Delete(c.internalContext(name), m.GetName(), nil, &metav1.DeleteOptions{PropagationPolicy: &background})
			}
			if c.store.get(reg.resource, storeKey(name, m.GetName())) != nil {
				left++
			}
		}
	}
	c.finishNamespace(ns, left)
}

func (c *Cluster) finishNamespace(ns *corev1.Namespace, left int) {
	next := ns.DeepCopy()
	if left > 0 {
		setNamespaceCondition(next, corev1.NamespaceFinalizersRemaining, "SomeFinalizersRemain", fmt.Sprintf("Some content in the namespace has finalizers remaining: %d objects", left), c.now().UTC())
		_, _ = c.store.put(namespaceResource, ns.Name, revisionOf(ns), next)
		return
	}
	next.Spec.Finalizers = nil
	if len(next.Finalizers) > 0 {
		_, _ = c.store.put(namespaceResource, ns.Name, revisionOf(ns), next)
		return
	}
	_, _ = c.store.remove(namespaceResource, ns.Name, revisionOf(ns))
}
