package simfleet

import (
	"context"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	genericvalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// builtinStrategy is the create, update and delete strategy of a built-in kind:
// the generic part of what k8s.io/kubernetes/pkg/registry writes out for each.
type builtinStrategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	kind  *kind
	rules kindRules
}

// kindRules is what one kind adds to the generic strategy. Each may be nil.
type kindRules struct {
	// name checks metadata.name; a DNS subdomain is the default.
	name genericvalidation.ValidateNameFunc
	// prepareCreate fills what the server sets at creation.
	prepareCreate func(*Cluster, runtime.Object)
	// prepareUpdate carries over what an update may not or need not say.
	prepareUpdate  func(obj, old runtime.Object)
	validate       func(runtime.Object) field.ErrorList
	validateUpdate func(obj, old runtime.Object) field.ErrorList
}

func (s builtinStrategy) NamespaceScoped() bool                         { return s.kind.namespaced }
func (s builtinStrategy) AllowCreateOnUpdate(context.Context) bool      { return s.kind.createOnUpdate }
func (s builtinStrategy) AllowUnconditionalUpdate(context.Context) bool { return !s.kind.needsRevision }
func (s builtinStrategy) Canonicalize(runtime.Object)                   {}

func (s builtinStrategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

func (s builtinStrategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// DefaultGarbageCollectionPolicy says what becomes of an object's dependents
// when a deletion does not say it.
func (s builtinStrategy) DefaultGarbageCollectionPolicy(context.Context) rest.GarbageCollectionPolicy {
	if s.kind.orphans {
		return rest.OrphanDependents
	}
	return rest.DeleteDependents
}

// PrepareForCreate clears the status and sets the first generation.
func (s builtinStrategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	if s.kind.status && !s.kind.keepsStatus {
		if f := structField(obj, "Status"); f.IsValid() {
			f.SetZero()
		}
	}
	if m, err := meta.Accessor(obj); err == nil {
		m.SetGeneration(0)
		if s.kind.generation != generationNone {
			m.SetGeneration(1)
		}
	}
	if s.rules.prepareCreate != nil {
		s.rules.prepareCreate(clusterFrom(ctx), obj)
	}
}

// PrepareForUpdate keeps the status and counts the generation.
func (s builtinStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	if s.kind.status {
		if f := structField(obj, "Status"); f.IsValid() {
			f.Set(structField(old, "Status"))
		}
	}
	if s.rules.prepareUpdate != nil {
		s.rules.prepareUpdate(obj, old)
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return
	}
	oldMeta, err := meta.Accessor(old)
	if err != nil {
		return
	}
	if s.intentChanged(obj, old) {
		m.SetGeneration(oldMeta.GetGeneration() + 1)
	}
}

// intentChanged says whether an update changes what the generation counts.
func (s builtinStrategy) intentChanged(obj, old runtime.Object) bool {
	switch s.kind.generation {
	case generationSpec:
		return !sameField(obj, old, "Spec")
	case generationSpecAndAnnotations:
		return !sameField(obj, old, "Spec") || !sameField(obj, old, "Annotations")
	case generationContent:
		a, b := reflect.ValueOf(obj).Elem(), reflect.ValueOf(old).Elem()
		for i := range a.NumField() {
			switch a.Type().Field(i).Name {
			case "TypeMeta", "ObjectMeta", "Status":
			default:
				if !equality.Semantic.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
					return true
				}
			}
		}
		return false
	default:
		return false
	}
}

// Validate implements rest.RESTCreateStrategy.
func (s builtinStrategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	m, err := meta.Accessor(obj)
	if err != nil {
		return field.ErrorList{field.InternalError(field.NewPath("metadata"), err)}
	}
	name := s.rules.name
	if name == nil {
		name = genericvalidation.NameIsDNSSubdomain
	}
	errs := genericvalidation.ValidateObjectMetaAccessor(m, s.kind.namespaced, name, field.NewPath("metadata"))
	if s.rules.validate != nil {
		errs = append(errs, s.rules.validate(obj)...)
	}
	return errs
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (s builtinStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	errs := validateMetaUpdate(obj, old)
	if s.rules.validate != nil {
		errs = append(errs, s.rules.validate(obj)...)
	}
	if s.rules.validateUpdate != nil {
		errs = append(errs, s.rules.validateUpdate(obj, old)...)
	}
	return errs
}

func validateMetaUpdate(obj, old runtime.Object) field.ErrorList {
	m, err := meta.Accessor(obj)
	if err != nil {
		return field.ErrorList{field.InternalError(field.NewPath("metadata"), err)}
	}
	oldMeta, err := meta.Accessor(old)
	if err != nil {
		return field.ErrorList{field.InternalError(field.NewPath("metadata"), err)}
	}
	return genericvalidation.ValidateObjectMetaAccessorUpdate(m, oldMeta, field.NewPath("metadata"))
}

// statusStrategy is the strategy of the /status subresource of a built-in kind:
// everything but status and metadata stays as it is.
type statusStrategy struct{ builtinStrategy }

func (s statusStrategy) AllowCreateOnUpdate(context.Context) bool { return false }

func (s statusStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	a, b := reflect.ValueOf(obj).Elem(), reflect.ValueOf(old).Elem()
	for i := range a.NumField() {
		switch a.Type().Field(i).Name {
		case "TypeMeta", "ObjectMeta", "Status":
		default:
			a.Field(i).Set(b.Field(i))
		}
	}
	if s.kind.generation == generationSpecAndAnnotations {
		structField(obj, "Labels").Set(structField(old, "Labels"))
	}
}

func (s statusStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validateMetaUpdate(obj, old)
}

// finalizeStrategy is the strategy of namespaces/finalize, where the namespace
// controller takes its finalizer out of spec.
type finalizeStrategy struct{ builtinStrategy }

func (finalizeStrategy) AllowCreateOnUpdate(context.Context) bool { return false }

func (finalizeStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	if ns, ok := obj.(*corev1.Namespace); ok {
		ns.Status = old.(*corev1.Namespace).Status
	}
}

func (finalizeStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validateMetaUpdate(obj, old)
}

// resetFields names the fields that an endpoint of a kind ignores, so that
// nobody comes to own them through it.
func (k *kind) resetFields(subresource string) map[fieldpath.APIVersion]*fieldpath.Set {
	var set *fieldpath.Set
	switch {
	case subresource == "status":
		set = fieldpath.NewSet(fieldpath.MakePathOrDie("spec"))
		if k.generation == generationSpecAndAnnotations {
			set.Insert(fieldpath.MakePathOrDie("metadata", "labels"))
		}
	case subresource == "" && k.status && !k.keepsStatus:
		set = fieldpath.NewSet(fieldpath.MakePathOrDie("status"))
	default:
		return nil
	}
	return map[fieldpath.APIVersion]*fieldpath.Set{fieldpath.APIVersion(k.gvk.GroupVersion().String()): set}
}

// structField returns a field of a typed object, or the zero Value.
func structField(obj runtime.Object, name string) reflect.Value {
	v := reflect.ValueOf(obj)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.Elem().FieldByName(name)
}

func sameField(a, b runtime.Object, name string) bool {
	x, y := structField(a, name), structField(b, name)
	return !x.IsValid() || equality.Semantic.DeepEqual(x.Interface(), y.Interface())
}

// structValue returns the struct behind a typed object, or the zero Value.
func structValue(obj runtime.Object) reflect.Value {
	v := reflect.ValueOf(obj)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.Elem()
}
