package simfleet

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// groupConverters picks the schemas for merging: those of the built-in kinds, or
// those of custom resource definitions, which come from another module.
type groupConverters struct {
	builtin     managedfields.TypeConverter
	definitions managedfields.TypeConverter
}

func (g groupConverters) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	if obj.GetObjectKind().GroupVersionKind().Group == apiextensionsv1.GroupName {
		return g.definitions.ObjectToTyped(obj, opts...)
	}
	return g.builtin.ObjectToTyped(obj, opts...)
}

func (g groupConverters) TypedToObject(value *typed.TypedValue) (runtime.Object, error) {
	return g.builtin.TypedToObject(value)
}
