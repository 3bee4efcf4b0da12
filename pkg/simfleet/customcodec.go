package simfleet

import (
	"fmt"

	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	structuraldefaulting "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	schemaobjectmeta "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	structuralpruning "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/crdserverscheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/versioning"
)

// customCodec reads and writes custom resources as the API server does: unknown
// fields are pruned or reported, metadata is checked, defaults are filled in.
type customCodec struct {
	scheme    *runtime.Scheme
	convertor runtime.ObjectConvertor
	defaulter customDefaulter
	coercer   coercer
	types     []runtime.SerializerInfo
}

func newCustomCodec(k *compiling) *customCodec {
	creater, typer := unstructuredCreater{}, unstructuredTyper{k.catalog.scheme}
	serializer := func(o json.SerializerOptions) *json.Serializer {
		return json.NewSerializerWithOptions(json.DefaultMetaFactory, creater, typer, o)
	}
	return &customCodec{
		scheme: k.catalog.scheme, convertor: k.safe,
		defaulter: customDefaulter{scheme: k.catalog.scheme, schemas: k.schemas, group: k.group},
		coercer:   coercer{schemas: k.schemas, group: k.group, preserve: k.crd.Spec.PreserveUnknownFields},
		types: []runtime.SerializerInfo{
			{
				MediaType: "application/json", MediaTypeType: "application", MediaTypeSubType: "json", EncodesAsText: true,
				Serializer:       serializer(json.SerializerOptions{}),
				PrettySerializer: serializer(json.SerializerOptions{Pretty: true}),
				StrictSerializer: serializer(json.SerializerOptions{Strict: true}),
				StreamSerializer: &runtime.StreamSerializerInfo{EncodesAsText: true, Serializer: serializer(json.SerializerOptions{}), Framer: json.Framer},
			},
			{
				MediaType: "application/yaml", MediaTypeType: "application", MediaTypeSubType: "yaml", EncodesAsText: true,
				Serializer:       serializer(json.SerializerOptions{Yaml: true}),
				StrictSerializer: serializer(json.SerializerOptions{Yaml: true, Strict: true}),
			},
		},
	}
}

// SupportedMediaTypes implements runtime.NegotiatedSerializer.
func (c *customCodec) SupportedMediaTypes() []runtime.SerializerInfo { return c.types }

// EncoderForVersion implements runtime.NegotiatedSerializer.
func (c *customCodec) EncoderForVersion(encoder runtime.Encoder, gv runtime.GroupVersioner) runtime.Encoder {
	return versioning.NewCodec(encoder, nil, customConvertor{c.convertor}, c.scheme, c.scheme, c.scheme, gv, nil, "simfleetCustomCodec")
}

// DecoderToVersion implements runtime.NegotiatedSerializer.
func (c *customCodec) DecoderToVersion(decoder runtime.Decoder, gv runtime.GroupVersioner) runtime.Decoder {
	coercing := coercingDecoder{delegate: decoder, coercer: c.coercer}
	if s, ok := decoder.(*json.Serializer); ok {
		coercing.coercer.report = s.IsStrict()
	}
	return versioning.NewCodec(nil, coercing, runtime.UnsafeObjectConvertor(c.scheme), c.scheme, c.scheme, c.defaulter, nil, gv, "simfleetCustomCodec")
}

// customConvertor converts custom resources and leaves what carries them, the event of a watch, as it is.
type customConvertor struct{ runtime.ObjectConvertor }

// ConvertToVersion implements runtime.ObjectConvertor.
func (c customConvertor) ConvertToVersion(in runtime.Object, gv runtime.GroupVersioner) (runtime.Object, error) {
	if _, ok := in.(*metav1.WatchEvent); ok {
		return in, nil
	}
	return c.ObjectConvertor.ConvertToVersion(in, gv)
}

// unstructuredCreater makes custom resources.
type unstructuredCreater struct{}

// New implements runtime.ObjectCreater.
func (unstructuredCreater) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	return u, nil
}

// unstructuredTyper knows the kinds of custom resources and of request options.
type unstructuredTyper struct{ delegate runtime.ObjectTyper }

// ObjectKinds implements runtime.ObjectTyper.
func (t unstructuredTyper) ObjectKinds(obj runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	if _, ok := obj.(runtime.Unstructured); ok {
		return crdserverscheme.NewUnstructuredObjectTyper().ObjectKinds(obj)
	}
	return t.delegate.ObjectKinds(obj)
}

// Recognizes implements runtime.ObjectTyper.
func (t unstructuredTyper) Recognizes(gvk schema.GroupVersionKind) bool {
	return t.delegate.Recognizes(gvk)
}

// customDefaulter fills the defaults of a schema.
type customDefaulter struct {
	scheme  *runtime.Scheme
	schemas map[string]*structuralschema.Structural
	group   schema.GroupKind
}

// Default implements runtime.ObjectDefaulter.
func (d customDefaulter) Default(in runtime.Object) {
	u, ok := in.(runtime.Unstructured)
	if !ok || u.GetObjectKind().GroupVersionKind().GroupKind() != d.group {
		d.scheme.Default(in)
		return
	}
	structuraldefaulting.Default(u.UnstructuredContent(), d.schemas[u.GetObjectKind().GroupVersionKind().Version])
}

// coercingDecoder decodes and then brings a custom resource into its schema.
type coercingDecoder struct {
	delegate runtime.Decoder
	coercer  coercer
}

// Decode implements runtime.Decoder.
func (d coercingDecoder) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	obj, gvk, err := d.delegate.Decode(data, defaults, into)
	var strict []error
	if err != nil {
		found, ok := runtime.AsStrictDecodingError(err)
		if !ok || obj == nil {
			return nil, gvk, err
		}
		strict = found.Errors()
	}
	if u, ok := obj.(*unstructured.Unstructured); ok {
		unknown, err := d.coercer.apply(u)
		if err != nil {
			return nil, gvk, err
		}
		for _, path := range unknown {
			strict = append(strict, fmt.Errorf("unknown field %q", path))
		}
	}
	if d.coercer.report && len(strict) > 0 {
		return obj, gvk, runtime.NewStrictDecodingError(strict)
	}
	return obj, gvk, nil
}

// coercer does for custom resources what decoding into a struct does for others:
// it checks metadata and prunes what the schema does not know.
type coercer struct {
	schemas  map[string]*structuralschema.Structural
	group    schema.GroupKind
	preserve bool
	// report asks for the paths of unknown fields.
	report bool
}

func (c coercer) apply(u *unstructured.Unstructured) (unknown []string, err error) {
	kind, apiVersion := u.GetKind(), u.GetAPIVersion()
	m, found, paths, err := schemaobjectmeta.GetObjectMetaWithOptions(u.Object, schemaobjectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: c.report})
	if err != nil {
		return nil, err
	}
	unknown = append(unknown, paths...)
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, err
	}
	if gv.Group == c.group.Group && kind == c.group.Kind {
		s := c.schemas[gv.Version]
		if !c.preserve {
			opts := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: c.report}
			unknown = append(unknown, structuralpruning.PruneWithOptions(u.Object, s, true, opts)...)
			structuraldefaulting.PruneNonNullableNullsWithoutDefaults(u.Object, s)
		}
		ferr, paths := schemaobjectmeta.CoerceWithOptions(nil, u.Object, s, false, schemaobjectmeta.CoerceOptions{ReturnUnknownFieldPaths: c.report})
		if ferr != nil {
			return nil, ferr
		}
		unknown = append(unknown, paths...)
	}
	if kind != "" {
		u.SetKind(kind)
	}
	if apiVersion != "" {
		u.SetAPIVersion(apiVersion)
	}
	if found {
		if err := schemaobjectmeta.SetObjectMeta(u.Object, m); err != nil {
			return nil, err
		}
	}
	return unknown, nil
}
