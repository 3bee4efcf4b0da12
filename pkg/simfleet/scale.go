package simfleet

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// scaleRegistry is the /scale subresource: a view of spec.replicas whose field
// managers are those of spec.replicas, as k8s.io/apimachinery's ScaleHandler
// translates them.
type scaleRegistry struct {
	*registry
	mappings managedfields.ResourcePathMappings
	// read makes the view of an object, write carries its replicas over.
	read  func(runtime.Object) (*autoscalingv1.Scale, error)
	write func(runtime.Object, int32) error
	// version is the group and version whose fields the mapping names.
	version schema.GroupVersion
}

func (c *catalog) serveScale(sv *served, k *kind) error {
	gv := k.gvk.GroupVersion()
	reg := &scaleRegistry{
		registry: sv.registry,
		mappings: managedfields.ResourcePathMappings{gv.String(): fieldpath.MakePathOrDie("spec", "replicas")},
		read:     readScale, write: writeScale,
		version: gv,
	}
	scope, err := c.scope(k, "", sv.registry)
	if err != nil {
		return err
	}
	s := *scope
	s.Subresource = "scale"
	s.Kind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")
	s.HubGroupVersion = autoscalingv1.SchemeGroupVersion
	s.TableConvertor = rest.NewDefaultTableConvertor(sv.registry.resource)
	s.FieldManager, err = managedfields.NewDefaultFieldManager(c.converter, c.scheme, c.scheme, c.scheme, s.Kind, s.HubGroupVersion, "scale", nil)
	if err != nil {
		return fmt.Errorf("build field manager of scale: %w", err)
	}
	sv.addScale(reg, &s, patchTypes(true))
	return nil
}

func (sv *served) addScale(reg *scaleRegistry, scope *handlers.RequestScope, patches []string) {
	sv.addSub("scale", autoscalingv1.SchemeGroupVersion.WithKind("Scale"), reg, scope, patches)
}

// New returns an empty Scale.
func (r *scaleRegistry) New() runtime.Object { return &autoscalingv1.Scale{} }

// Get implements rest.Getter.
func (r *scaleRegistry) Get(ctx context.Context, name string, opts *metav1.GetOptions) (runtime.Object, error) {
	obj, err := r.registry.Get(ctx, name, opts)
	if err != nil {
		return nil, err
	}
	return r.view(obj)
}

func (r *scaleRegistry) view(obj runtime.Object) (*autoscalingv1.Scale, error) {
	scale, err := r.read(obj)
	if err != nil {
		return nil, err
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	managers, err := managedfields.NewScaleHandler(m.GetManagedFields(), r.version, r.mappings).ToSubresource()
	if err != nil {
		return nil, fmt.Errorf("read field managers of %s: %w", m.GetName(), err)
	}
	scale.ObjectMeta = metav1.ObjectMeta{
		Name: m.GetName(), Namespace: m.GetNamespace(), UID: m.GetUID(), ResourceVersion: m.GetResourceVersion(),
		CreationTimestamp: m.GetCreationTimestamp(), ManagedFields: managers,
	}
	return scale, nil
}

// Update implements rest.Updater.
func (r *scaleRegistry) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, _ bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	var validateScale rest.ValidateObjectUpdateFunc
	if updateValidation != nil {
		validateScale = func(ctx context.Context, obj, old runtime.Object) error {
			a, err := r.view(obj)
			if err != nil {
				return err
			}
			b, err := r.view(old)
			if err != nil {
				return err
			}
			return updateValidation(ctx, a, b)
		}
	}
	obj, _, err := r.update(ctx, r.strategy, name, &scaleUpdate{r, info}, createValidation, validateScale, false, opts)
	if err != nil {
		return nil, false, err
	}
	view, err := r.view(obj)
	return view, false, err
}

// scaleUpdate turns an update of the view into one of the object.
type scaleUpdate struct {
	registry *scaleRegistry
	info     rest.UpdatedObjectInfo
}

func (u *scaleUpdate) Preconditions() *metav1.Preconditions { return u.info.Preconditions() }

func (u *scaleUpdate) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	r := u.registry
	obj := old.DeepCopyObject()
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	if m.GetUID() == "" {
		return nil, apierrors.NewNotFound(r.resource, "")
	}
	oldScale, err := r.view(old)
	if err != nil {
		return nil, err
	}
	// What the field manager makes of the view is put back into the object's.
	updated, err := u.info.UpdatedObject(ctx, oldScale)
	if err != nil {
		return nil, err
	}
	scale, ok := updated.(*autoscalingv1.Scale)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("expected input object type to be Scale, but %T", updated))
	}
	if scale.Spec.Replicas < 0 {
		return nil, apierrors.NewInvalid(autoscalingv1.SchemeGroupVersion.WithKind("Scale").GroupKind(), m.GetName(), field.ErrorList{
			field.Invalid(field.NewPath("spec", "replicas"), scale.Spec.Replicas, "must be greater than or equal to 0"),
		})
	}
	if scale.ResourceVersion != "" {
		m.SetResourceVersion(scale.ResourceVersion)
	}
	handler := managedfields.NewScaleHandler(m.GetManagedFields(), r.version, r.mappings)
	if err := r.write(obj, scale.Spec.Replicas); err != nil {
		return nil, err
	}
	entries, err := handler.ToParent(scale.ManagedFields)
	if err != nil {
		return nil, fmt.Errorf("write field managers of %s: %w", m.GetName(), err)
	}
	m.SetManagedFields(entries)
	return obj, nil
}

func readScale(obj runtime.Object) (*autoscalingv1.Scale, error) {
	var spec, status int32
	var selector string
	switch o := obj.(type) {
	case *appsv1.Deployment:
		spec, status, selector = ptr.Deref(o.Spec.Replicas, 1), o.Status.Replicas, metav1.FormatLabelSelector(o.Spec.Selector)
	case *appsv1.StatefulSet:
		spec, status, selector = ptr.Deref(o.Spec.Replicas, 1), o.Status.Replicas, metav1.FormatLabelSelector(o.Spec.Selector)
	case *appsv1.ReplicaSet:
		spec, status, selector = ptr.Deref(o.Spec.Replicas, 1), o.Status.Replicas, metav1.FormatLabelSelector(o.Spec.Selector)
	case *corev1.ReplicationController:
		spec, status, selector = ptr.Deref(o.Spec.Replicas, 1), o.Status.Replicas, metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: o.Spec.Selector})
	default:
		return nil, fmt.Errorf("%T has no scale", obj)
	}
	return &autoscalingv1.Scale{
		Spec:   autoscalingv1.ScaleSpec{Replicas: spec},
		Status: autoscalingv1.ScaleStatus{Replicas: status, Selector: selector},
	}, nil
}

func writeScale(obj runtime.Object, replicas int32) error {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		o.Spec.Replicas = &replicas
	case *appsv1.StatefulSet:
		o.Spec.Replicas = &replicas
	case *appsv1.ReplicaSet:
		o.Spec.Replicas = &replicas
	case *corev1.ReplicationController:
		o.Spec.Replicas = &replicas
	default:
		return fmt.Errorf("%T has no scale", obj)
	}
	return nil
}
