package simfleet

import (
	"context"
	"fmt"
	"math"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	schemaobjectmeta "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	crvalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/equality"
	genericvalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// customStrategy is the strategy of a custom kind, after the one in
// k8s.io/apiextensions-apiserver/pkg/registry/customresource.
type customStrategy struct {
	runtime.ObjectTyper
	kind            schema.GroupVersionKind
	namespaced      bool
	hasStatus       bool
	structural      *structuralschema.Structural
	cel             *cel.Validator
	validator       crvalidation.SchemaValidator
	statusValidator crvalidation.SchemaValidator
}

func (customStrategy) GenerateName(base string) string {
	return names.SimpleNameGenerator.GenerateName(base)
}
func (s customStrategy) NamespaceScoped() bool                       { return s.namespaced }
func (customStrategy) AllowCreateOnUpdate(context.Context) bool      { return false }
func (customStrategy) AllowUnconditionalUpdate(context.Context) bool { return false }
func (customStrategy) Canonicalize(runtime.Object)                   {}

func (customStrategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

func (customStrategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

func (customStrategy) DefaultGarbageCollectionPolicy(context.Context) rest.GarbageCollectionPolicy {
	return rest.DeleteDependents
}

func (s customStrategy) resetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	if !s.hasStatus {
		return nil
	}
	return map[fieldpath.APIVersion]*fieldpath.Set{
		fieldpath.APIVersion(s.kind.GroupVersion().String()): fieldpath.NewSet(fieldpath.MakePathOrDie("status")),
	}
}

// PrepareForCreate drops a status that a subresource is there for.
func (s customStrategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return
	}
	if s.hasStatus {
		delete(u.Object, "status")
	}
	u.SetGeneration(1)
}

// PrepareForUpdate keeps the status and counts every change outside metadata.
func (s customStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	next, ok := obj.(*unstructured.Unstructured)
	was, okOld := old.(*unstructured.Unstructured)
	if !ok || !okOld {
		return
	}
	if s.hasStatus {
		delete(next.Object, "status")
		if status, ok := was.Object["status"]; ok {
			next.Object["status"] = status
		}
	}
	if !equality.Semantic.DeepEqual(withoutMetadata(next), withoutMetadata(was)) {
		next.SetGeneration(was.GetGeneration() + 1)
	}
}

func withoutMetadata(u *unstructured.Unstructured) map[string]any {
	out := map[string]any{}
	for k, v := range u.Object {
		if k != "metadata" {
			out[k] = v
		}
	}
	return out
}

// Validate implements rest.RESTCreateStrategy.
func (s customStrategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return field.ErrorList{field.InternalError(nil, fmt.Errorf("%T is no custom resource", obj))}
	}
	errs := genericvalidation.ValidateObjectMetaAccessor(u, s.namespaced, genericvalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	errs = append(errs, crvalidation.ValidateCustomResource(nil, u.Object, s.validator)...)
	errs = append(errs, schemaobjectmeta.Validate(ctx, nil, u.Object, s.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, u.Object)...)
	return append(errs, s.rules(ctx, errs, u, nil)...)
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (s customStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	u, ok := obj.(*unstructured.Unstructured)
	was, okOld := old.(*unstructured.Unstructured)
	if !ok || !okOld {
		return field.ErrorList{field.InternalError(nil, fmt.Errorf("%T is no custom resource", obj))}
	}
	errs := genericvalidation.ValidateObjectMetaAccessorUpdate(u, was, field.NewPath("metadata"))
	errs = append(errs, crvalidation.ValidateCustomResourceUpdate(nil, u.Object, was.Object, s.validator)...)
	errs = append(errs, schemaobjectmeta.Validate(ctx, nil, u.Object, s.structural, false)...)
	if len(listtype.ValidateListSetsAndMaps(nil, s.structural, was.Object)) == 0 {
		errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, u.Object)...)
	}
	return append(errs, s.rules(ctx, errs, u, was)...)
}

// rules evaluates the CEL rules of the schema; they need a well-formed object.
func (s customStrategy) rules(ctx context.Context, found field.ErrorList, u, was *unstructured.Unstructured) field.ErrorList {
	if s.cel == nil || len(found) > 0 {
		return nil
	}
	var old any
	if was != nil {
		old = was.Object
	}
	errs, _ := s.cel.Validate(ctx, nil, s.structural, u.Object, old, celconfig.RuntimeCELCostBudget)
	return errs
}

// customStatusStrategy is the strategy of a custom kind's /status.
type customStatusStrategy struct{ customStrategy }

func (s customStatusStrategy) resetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return map[fieldpath.APIVersion]*fieldpath.Set{
		fieldpath.APIVersion(s.kind.GroupVersion().String()): fieldpath.NewSet(fieldpath.MakePathOrDie("metadata"), fieldpath.MakePathOrDie("spec")),
	}
}

// PrepareForUpdate takes nothing over but status and managed fields.
func (s customStatusStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	next, ok := obj.(*unstructured.Unstructured)
	was, okOld := old.(*unstructured.Unstructured)
	if !ok || !okOld {
		return
	}
	status, has := next.Object["status"]
	managers := next.GetManagedFields()
	*next = *was.DeepCopy()
	next.SetManagedFields(managers)
	delete(next.Object, "status")
	if has {
		next.Object["status"] = status
	}
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (s customStatusStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	u, ok := obj.(*unstructured.Unstructured)
	was, okOld := old.(*unstructured.Unstructured)
	if !ok || !okOld {
		return field.ErrorList{field.InternalError(nil, fmt.Errorf("%T is no custom resource", obj))}
	}
	errs := genericvalidation.ValidateObjectMetaAccessorUpdate(u, was, field.NewPath("metadata"))
	if status, has := u.Object["status"]; has && s.statusValidator != nil {
		errs = append(errs, crvalidation.ValidateCustomResourceUpdate(field.NewPath("status"), status, was.Object["status"], s.statusValidator)...)
	}
	return append(errs, s.rules(ctx, errs, u, was)...)
}

// customScaleReader makes the Scale of a custom resource.
func customScaleReader(spec *apiextensionsv1.CustomResourceSubresourceScale) func(runtime.Object) (*autoscalingv1.Scale, error) {
	return func(obj runtime.Object) (*autoscalingv1.Scale, error) {
		u, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return nil, fmt.Errorf("%T has no scale", obj)
		}
		replicas, _, err := unstructured.NestedInt64(u.Object, jsonPath(spec.SpecReplicasPath)...)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", spec.SpecReplicasPath, err)
		}
		status, _, err := unstructured.NestedInt64(u.Object, jsonPath(spec.StatusReplicasPath)...)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", spec.StatusReplicasPath, err)
		}
		scale := &autoscalingv1.Scale{
			Spec:   autoscalingv1.ScaleSpec{Replicas: toInt32(replicas)},
			Status: autoscalingv1.ScaleStatus{Replicas: toInt32(status)},
		}
		if spec.LabelSelectorPath != nil {
			if scale.Status.Selector, _, err = unstructured.NestedString(u.Object, jsonPath(*spec.LabelSelectorPath)...); err != nil {
				return nil, fmt.Errorf("read %s: %w", *spec.LabelSelectorPath, err)
			}
		}
		return scale, nil
	}
}

func customScaleWriter(spec *apiextensionsv1.CustomResourceSubresourceScale) func(runtime.Object, int32) error {
	return func(obj runtime.Object, replicas int32) error {
		u, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("%T has no scale", obj)
		}
		return unstructured.SetNestedField(u.Object, int64(replicas), jsonPath(spec.SpecReplicasPath)...)
	}
}

func jsonPath(path string) []string { return strings.Split(strings.TrimPrefix(path, "."), ".") }

func toInt32(n int64) int32 {
	return int32(min(max(n, math.MinInt32), math.MaxInt32))
}
