package simfleet

import (
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// groupConverters picks the schemas for merging: those of the built-in kinds,
// those of custom resource definitions, which come from another module, or that
// of a Scale, which client-go has none for.
type groupConverters struct {
	builtin     managedfields.TypeConverter
	definitions managedfields.TypeConverter
	scale       managedfields.TypeConverter
}

func (g groupConverters) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	switch gvk := obj.GetObjectKind().GroupVersionKind(); {
	case gvk.Group == apiextensionsv1.GroupName:
		return g.definitions.ObjectToTyped(obj, opts...)
	case gvk == scaleKind():
		return g.scale.ObjectToTyped(obj, opts...)
	default:
		return g.builtin.ObjectToTyped(obj, opts...)
	}
}

func (g groupConverters) TypedToObject(value *typed.TypedValue) (runtime.Object, error) {
	return g.builtin.TypedToObject(value)
}

func scaleKind() schema.GroupVersionKind { return autoscalingv1.SchemeGroupVersion.WithKind("Scale") }

// newScaleConverter builds the schema of a Scale.
func newScaleConverter() (managedfields.TypeConverter, error) {
	object := func(properties map[string]spec.Schema) spec.Schema {
		return spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: properties}}
	}
	scalar := func(kind string) spec.Schema {
		return spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{kind}}}
	}
	metadata := object(nil)
	metadata.Extensions = spec.Extensions{"x-kubernetes-preserve-unknown-fields": true}
	scale := object(map[string]spec.Schema{
		"apiVersion": scalar("string"), "kind": scalar("string"), "metadata": metadata,
		"spec":   object(map[string]spec.Schema{"replicas": scalar("integer")}),
		"status": object(map[string]spec.Schema{"replicas": scalar("integer"), "selector": scalar("string")}),
	})
	gvk := scaleKind()
	scale.Extensions = spec.Extensions{"x-kubernetes-group-version-kind": []any{
		map[string]any{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind},
	}}
	converter, err := managedfields.NewTypeConverter(map[string]*spec.Schema{"io.k8s.api.autoscaling.v1.Scale": &scale}, false)
	if err != nil {
		return nil, fmt.Errorf("build the schema of Scale: %w", err)
	}
	return converter, nil
}
