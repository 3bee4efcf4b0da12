package simfleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/conversion"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	structuraldefaulting "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	crvalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kube-openapi/pkg/spec3"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// definition is a custom kind, compiled: the handlers of its served versions.
// It depends on the content of the CustomResourceDefinition only, so clusters
// share it.
type definition struct {
	served []*served
	byGVR  map[schema.GroupVersionResource]*served
	// openapi describes each served version, for kubectl.
	openapi map[string]*spec3.OpenAPI
}

// compiling is what the versions of one definition have in common while it is
// being compiled.
type compiling struct {
	catalog       *catalog
	crd           *apiextensionsv1.CustomResourceDefinition
	group         schema.GroupKind
	storage       string
	schemas       map[string]*structuralschema.Structural
	converter     managedfields.TypeConverter
	safe, unsafe  runtime.ObjectConvertor
	replicasPaths managedfields.ResourcePathMappings
}

// define returns the compiled form of a definition, from the cache if another
// cluster has the same.
func (c *catalog) define(crd *apiextensionsv1.CustomResourceDefinition) (*definition, error) {
	content, err := json.Marshal(crd.Spec)
	if err != nil {
		return nil, fmt.Errorf("read definition %q: %w", crd.Name, err)
	}
	sum := sha256.Sum256(content)
	key := crd.Name + "@" + hex.EncodeToString(sum[:])
	c.definitionsMu.Lock()
	defer c.definitionsMu.Unlock()
	if d := c.definitions[key]; d != nil {
		return d, nil
	}
	d, err := c.compile(crd.DeepCopy())
	if err != nil {
		return nil, fmt.Errorf("compile definition %q: %w", crd.Name, err)
	}
	c.definitions[key] = d
	return d, nil
}

// compile follows getOrCreateServingInfoFor of the API server's handler for
// custom resources (k8s.io/apiextensions-apiserver/pkg/apiserver), with the same
// building blocks. Conversion webhooks are not simulated: versions differ in
// name only.
func (c *catalog) compile(crd *apiextensionsv1.CustomResourceDefinition) (*definition, error) {
	crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
	crd.Status.AcceptedNames = crd.Spec.Names
	k := &compiling{
		catalog: c, crd: crd, group: schema.GroupKind{Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind},
		schemas: map[string]*structuralschema.Structural{}, replicasPaths: managedfields.ResourcePathMappings{},
	}
	d := &definition{byGVR: map[schema.GroupVersionResource]*served{}, openapi: map[string]*spec3.OpenAPI{}}
	for _, v := range crd.Spec.Versions {
		if v.Storage {
			k.storage = v.Name
		}
		if err := k.addSchema(v); err != nil {
			return nil, err
		}
		k.addReplicasPath(v)
	}
	if err := k.addModels(d); err != nil {
		return nil, err
	}
	factory, err := conversion.NewCRConverterFactory(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("build converter: %w", err)
	}
	if k.safe, k.unsafe, err = factory.NewConverter(crd); err != nil {
		return nil, fmt.Errorf("build converter: %w", err)
	}
	for _, v := range crd.Spec.Versions {
		if !v.Served {
			continue
		}
		sv, err := k.serve(v)
		if err != nil {
			return nil, fmt.Errorf("version %q: %w", v.Name, err)
		}
		d.served = append(d.served, sv)
		d.byGVR[sv.gvr()] = sv
	}
	if len(d.served) == 0 {
		return nil, fmt.Errorf("no version is served")
	}
	return d, nil
}

func (k *compiling) addSchema(v apiextensionsv1.CustomResourceDefinitionVersion) error {
	if v.Schema == nil {
		return nil
	}
	internal := &apiextensions.CustomResourceValidation{}
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v.Schema, internal, nil); err != nil {
		return fmt.Errorf("convert schema of %q: %w", v.Name, err)
	}
	s, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		return fmt.Errorf("read schema of %q: %w", v.Name, err)
	}
	s = s.DeepCopy()
	if err := structuraldefaulting.PruneDefaults(s); err != nil {
		return fmt.Errorf("read defaults of %q: %w", v.Name, err)
	}
	k.schemas[v.Name] = s
	return nil
}

func (k *compiling) addReplicasPath(v apiextensionsv1.CustomResourceDefinitionVersion) {
	gv := schema.GroupVersion{Group: k.crd.Spec.Group, Version: v.Name}.String()
	k.replicasPaths[gv] = nil
	if v.Subresources == nil || v.Subresources.Scale == nil {
		return
	}
	path := fieldpath.Path{}
	for _, part := range strings.Split(strings.TrimPrefix(v.Subresources.Scale.SpecReplicasPath, "."), ".") {
		path = append(path, fieldpath.PathElement{FieldName: &part})
	}
	k.replicasPaths[gv] = path
}

// addModels builds the schemas for merging, and kubectl's description on the way.
func (k *compiling) addModels(d *definition) error {
	var specs []*spec3.OpenAPI
	for _, v := range k.crd.Spec.Versions {
		s, err := builder.BuildOpenAPIV3(k.crd, v.Name, builder.Options{})
		if err != nil {
			return fmt.Errorf("describe version %q: %w", v.Name, err)
		}
		if v.Served {
			d.openapi[v.Name] = s
		}
		specs = append(specs, s)
	}
	merged, err := builder.MergeSpecsV3(specs...)
	if err != nil {
		return fmt.Errorf("merge descriptions: %w", err)
	}
	k.converter, err = managedfields.NewTypeConverter(merged.Components.Schemas, k.crd.Spec.PreserveUnknownFields)
	if err != nil {
		return fmt.Errorf("build schemas for merging: %w", err)
	}
	return nil
}

func (k *compiling) serve(v apiextensionsv1.CustomResourceDefinitionVersion) (*served, error) {
	gvk := schema.GroupVersionKind{Group: k.crd.Spec.Group, Version: v.Name, Kind: k.crd.Spec.Names.Kind}
	names := k.crd.Spec.Names
	strategy, err := k.strategy(v, gvk)
	if err != nil {
		return nil, err
	}
	table, err := tableconvertor.New(columns(v))
	if err != nil {
		return nil, fmt.Errorf("build columns: %w", err)
	}
	reg := k.registry(gvk, strategy, table)
	scope, err := k.scope(gvk, reg, "", strategy.resetFields())
	if err != nil {
		return nil, err
	}
	sv := &served{
		gvk: gvk, plural: names.Plural, singular: names.Singular, short: names.ShortNames, categories: names.Categories,
		registry: reg, handlers: map[string]endpoint{}, crd: k.crd.Name,
		managers: map[string]*managedfields.FieldManager{"": scope.FieldManager}, updates: map[string]rest.RESTUpdateStrategy{},
	}
	sv.addMain(scope, patchTypes(false))
	if strategy.hasStatus {
		status := customStatusStrategy{strategy}
		statusScope, err := k.scope(gvk, reg, "status", status.resetFields())
		if err != nil {
			return nil, err
		}
		sv.addSub("status", gvk, &updateRegistry{registry: reg, update: status}, statusScope, patchTypes(false))
		sv.managers["status"], sv.updates["status"] = statusScope.FieldManager, status
	}
	if v.Subresources != nil && v.Subresources.Scale != nil {
		if err := k.serveScale(sv, v.Subresources.Scale, scope); err != nil {
			return nil, err
		}
	}
	return sv, nil
}

func (k *compiling) registry(gvk schema.GroupVersionKind, strategy customStrategy, table rest.TableConvertor) *registry {
	names := k.crd.Spec.Names
	reg := &registry{
		resource: schema.GroupResource{Group: gvk.Group, Resource: names.Plural}, singular: names.Singular, strategy: strategy,
		newFunc: func() runtime.Object {
			u := &unstructured.Unstructured{Object: map[string]any{}}
			u.SetGroupVersionKind(gvk)
			return u
		},
		listFunc: func() runtime.Object {
			l := &unstructured.UnstructuredList{}
			l.SetGroupVersionKind(gvk.GroupVersion().WithKind(names.ListKind))
			return l
		},
		attrs: func(obj runtime.Object) (labels.Set, fields.Set, error) {
			m, err := meta.Accessor(obj)
			if err != nil {
				return nil, nil, err
			}
			set := fields.Set{"metadata.name": m.GetName()}
			if strategy.namespaced {
				set["metadata.namespace"] = m.GetNamespace()
			}
			return m.GetLabels(), set, nil
		},
		table: table,
	}
	if len(k.crd.Spec.Versions) > 1 {
		reg.stored = setAPIVersion(schema.GroupVersion{Group: gvk.Group, Version: k.storage})
		reg.shown = setAPIVersion(gvk.GroupVersion())
	}
	return reg
}

func setAPIVersion(gv schema.GroupVersion) func(runtime.Object) {
	return func(obj runtime.Object) {
		if u, ok := obj.(*unstructured.Unstructured); ok {
			u.SetAPIVersion(gv.String())
		}
	}
}

func (k *compiling) strategy(v apiextensionsv1.CustomResourceDefinitionVersion, gvk schema.GroupVersionKind) (customStrategy, error) {
	s := customStrategy{
		ObjectTyper: unstructuredTyper{k.catalog.scheme}, kind: gvk,
		namespaced: k.crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
		hasStatus:  v.Subresources != nil && v.Subresources.Status != nil,
		structural: k.schemas[v.Name],
		cel:        cel.NewValidator(k.schemas[v.Name], true, celconfig.PerCallLimit),
	}
	var props *apiextensions.JSONSchemaProps
	if v.Schema != nil {
		internal := &apiextensions.CustomResourceValidation{}
		if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v.Schema, internal, nil); err != nil {
			return s, fmt.Errorf("convert schema: %w", err)
		}
		props = internal.OpenAPIV3Schema
	}
	var err error
	if s.validator, _, err = crvalidation.NewSchemaValidator(props); err != nil {
		return s, fmt.Errorf("build validator: %w", err)
	}
	if props != nil && s.hasStatus {
		if status, ok := props.Properties["status"]; ok {
			if s.statusValidator, _, err = crvalidation.NewSchemaValidator(&status); err != nil {
				return s, fmt.Errorf("build validator of status: %w", err)
			}
		}
	}
	return s, nil
}

func (k *compiling) scope(gvk schema.GroupVersionKind, reg *registry, subresource string, reset map[fieldpath.APIVersion]*fieldpath.Set) (*handlers.RequestScope, error) {
	codec := newCustomCodec(k)
	fm, err := managedfields.NewDefaultCRDFieldManager(k.converter, k.safe, codec.defaulter, unstructuredCreater{}, gvk, gvk.GroupVersion(),
		subresource, fieldpath.NewExcludeFilterSetMap(reset))
	if err != nil {
		return nil, fmt.Errorf("build field manager: %w", err)
	}
	return &handlers.RequestScope{
		Namer:               handlers.ContextBasedNaming{Namer: meta.NewAccessor(), ClusterScoped: !reg.NamespaceScoped()},
		Serializer:          codec,
		StandardSerializers: codec.SupportedMediaTypes(),
		ParameterCodec:      runtime.NewParameterCodec(k.catalog.scheme),
		Creater:             unstructuredCreater{},
		Convertor:           k.safe,
		Defaulter:           codec.defaulter,
		Typer:               unstructuredTyper{k.catalog.scheme},
		UnsafeConvertor:     k.unsafe,
		TableConvertor:      reg.table,
		FieldManager:        fm,
		Resource:            gvk.GroupVersion().WithResource(reg.resource.Resource),
		Kind:                gvk,
		Subresource:         subresource,
		MetaGroupVersion:    metav1.SchemeGroupVersion,
		HubGroupVersion:     gvk.GroupVersion(),

		Authorizer:               allowAll{},
		EquivalentResourceMapper: runtime.NewEquivalentResourceRegistry(),
		MaxRequestBodyBytes:      maxBody,
	}, nil
}

func (k *compiling) serveScale(sv *served, spec *apiextensionsv1.CustomResourceSubresourceScale, main *handlers.RequestScope) error {
	c := k.catalog
	scope := *main
	scope.Subresource = "scale"
	scope.Kind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")
	scope.HubGroupVersion = autoscalingv1.SchemeGroupVersion
	scope.Serializer, scope.StandardSerializers = c.codecs, nil
	scope.Creater, scope.Convertor, scope.Defaulter, scope.Typer = c.scheme, c.scheme, c.scheme, c.scheme
	scope.UnsafeConvertor = runtime.UnsafeObjectConvertor(c.scheme)
	scope.TableConvertor = rest.NewDefaultTableConvertor(sv.registry.resource)
	var err error
	scope.FieldManager, err = managedfields.NewDefaultFieldManager(c.converter, c.scheme, c.scheme, c.scheme, scope.Kind, scope.HubGroupVersion, "scale", nil)
	if err != nil {
		return fmt.Errorf("build field manager of scale: %w", err)
	}
	reg := &scaleRegistry{
		registry: sv.registry, mappings: k.replicasPaths, version: sv.gvk.GroupVersion(),
		read: customScaleReader(spec), write: customScaleWriter(spec),
	}
	sv.addScale(reg, &scope, patchTypes(false))
	return nil
}

func columns(v apiextensionsv1.CustomResourceDefinitionVersion) []apiextensionsv1.CustomResourceColumnDefinition {
	if len(v.AdditionalPrinterColumns) > 0 {
		return v.AdditionalPrinterColumns
	}
	return []apiextensionsv1.CustomResourceColumnDefinition{{
		Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"],
	}}
}
