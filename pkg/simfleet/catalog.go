package simfleet

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsapply "k8s.io/apiextensions-apiserver/pkg/client/applyconfiguration"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/client-go/applyconfigurations"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

const (
	// maxBody is the API server's limit for a request body, in bytes.
	maxBody = 3 * 1024 * 1024
	// minWatch is the shortest life of a watch that names no timeout.
	minWatch = 30 * time.Minute
)

// catalog is what all clusters of a fleet share and nobody changes: the scheme,
// the schemas for merging, and the REST handlers of every kind. They are the API
// server's own (k8s.io/apiserver/pkg/endpoints/handlers); a request's context
// says which cluster it is for. Custom kinds are compiled once per content.
type catalog struct {
	scheme    *runtime.Scheme
	codecs    serializer.CodecFactory
	converter managedfields.TypeConverter
	served    []*served
	byGVR     map[schema.GroupVersionResource]*served

	definitionsMu sync.Mutex
	definitions   map[string]*definition
}

// served is one kind as one version, with a handler per verb and subresource.
type served struct {
	gvk        schema.GroupVersionKind
	plural     string
	singular   string
	short      []string
	categories []string
	registry   *registry
	// handlers are keyed by the verb of the request, with "/subresource" where
	// there is one.
	handlers map[string]endpoint
	// managers and updates are the field managers and, for subresources, the
	// strategies of the endpoints, for what the cluster does by itself.
	managers map[string]*managedfields.FieldManager
	updates  map[string]rest.RESTUpdateStrategy
	// subresources lists, in the order of discovery, what handlers has.
	subresources []subresource
	// crd names the definition of a custom kind.
	crd string
}

// subresource is one row of discovery below a kind.
type subresource struct {
	name  string
	gvk   schema.GroupVersionKind
	verbs []string
}

func (s *served) gvr() schema.GroupVersionResource {
	return s.gvk.GroupVersion().WithResource(s.plural)
}

// mainVerbs are the verbs of every kind, in the order of discovery.
func mainVerbs() []string {
	return []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}

func newCatalog() (*catalog, error) {
	scheme := runtime.NewScheme()
	if err := clientscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register built-in kinds: %w", err)
	}
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register custom resource definitions: %w", err)
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	registerDefaults(scheme)
	if err := registerFieldLabels(scheme); err != nil {
		return nil, err
	}
	scale, err := newScaleConverter()
	if err != nil {
		return nil, err
	}
	c := &catalog{
		scheme: scheme,
		codecs: serializer.NewCodecFactory(scheme),
		converter: groupConverters{
			builtin:     applyconfigurations.NewTypeConverter(scheme),
			definitions: apiextensionsapply.NewTypeConverter(scheme),
			scale:       scale,
		},
		byGVR:       map[schema.GroupVersionResource]*served{},
		definitions: map[string]*definition{},
	}
	for _, k := range builtinKinds() {
		sv, err := c.serve(k)
		if err != nil {
			return nil, fmt.Errorf("serve %s: %w", k.gvk, err)
		}
		c.served = append(c.served, sv)
		c.byGVR[sv.gvr()] = sv
	}
	return c, nil
}

// serve builds the registry and the handlers of a built-in kind.
func (c *catalog) serve(k *kind) (*served, error) {
	base := builtinStrategy{ObjectTyper: c.scheme, NameGenerator: names.SimpleNameGenerator, kind: k, rules: builtinRules(k.gvk.Kind)}
	listKind := k.gvk.GroupVersion().WithKind(k.gvk.Kind + "List")
	reg := &registry{
		resource: k.resource(), singular: k.singular, strategy: base,
		newFunc:        func() runtime.Object { return c.newObject(k.gvk) },
		listFunc:       func() runtime.Object { return c.newObject(listKind) },
		attrs:          attrsOf(k),
		table:          tableFor(k),
		returnsDeleted: k.returnsDeleted,
	}
	switch k.gvk.Kind {
	case "Namespace":
		reg.delete, reg.keepDuringUpdate = deleteNamespace, namespaceHasContent
	case "CustomResourceDefinition":
		reg.delete = deleteDefinition
	}
	scope, err := c.scope(k, "", reg)
	if err != nil {
		return nil, err
	}
	sv := &served{
		gvk: k.gvk, plural: k.plural, singular: k.singular, short: k.short, categories: k.categories,
		registry: reg, handlers: map[string]endpoint{},
		managers: map[string]*managedfields.FieldManager{"": scope.FieldManager}, updates: map[string]rest.RESTUpdateStrategy{},
	}
	sv.addMain(scope, patchTypes(true))
	if k.status {
		if err := c.serveUpdate(sv, k, "status", statusStrategy{base}); err != nil {
			return nil, err
		}
	}
	if k.gvk.Kind == "Namespace" {
		if err := c.serveUpdate(sv, k, "finalize", finalizeStrategy{base}); err != nil {
			return nil, err
		}
	}
	if k.scale {
		if err := c.serveScale(sv, k); err != nil {
			return nil, err
		}
	}
	return sv, nil
}

// endpoint makes the handler of one request. The API server's handlers wrap their
// admission plug-in each time they run, in place, so each runs once only.
type endpoint func() http.HandlerFunc

// addMain adds the handlers of the kind itself.
func (sv *served) addMain(scope *handlers.RequestScope, patches []string) {
	reg, admit := sv.registry, namespaceLifecycle{}
	list := func() http.HandlerFunc { return handlers.ListResource(reg, reg, scope, false, minWatch) }
	sv.handlers["get"] = func() http.HandlerFunc { return handlers.GetResource(reg, scope) }
	sv.handlers["list"] = list
	sv.handlers["watch"] = list
	sv.handlers["create"] = func() http.HandlerFunc { return handlers.CreateResource(reg, scope, admit) }
	sv.handlers["update"] = func() http.HandlerFunc { return handlers.UpdateResource(reg, scope, admit) }
	sv.handlers["patch"] = func() http.HandlerFunc { return handlers.PatchResource(reg, scope, admit, patches) }
	sv.handlers["delete"] = func() http.HandlerFunc { return handlers.DeleteResource(reg, true, scope, admit) }
	sv.handlers["deletecollection"] = func() http.HandlerFunc { return handlers.DeleteCollection(reg, true, scope, admit) }
}

// addSub adds the handlers of a subresource that is read and updated.
func (sv *served) addSub(name string, gvk schema.GroupVersionKind, patcher rest.Patcher, scope *handlers.RequestScope, patches []string) {
	admit := namespaceLifecycle{}
	sv.handlers["get/"+name] = func() http.HandlerFunc { return handlers.GetResource(patcher, scope) }
	sv.handlers["update/"+name] = func() http.HandlerFunc { return handlers.UpdateResource(patcher, scope, admit) }
	sv.handlers["patch/"+name] = func() http.HandlerFunc { return handlers.PatchResource(patcher, scope, admit, patches) }
	sv.subresources = append(sv.subresources, subresource{name: name, gvk: gvk, verbs: []string{"get", "patch", "update"}})
}

// serveUpdate adds a subresource that updates a part of the same object.
func (c *catalog) serveUpdate(sv *served, k *kind, name string, s rest.RESTUpdateStrategy) error {
	sub := &updateRegistry{registry: sv.registry, update: s}
	scope, err := c.scope(k, name, sv.registry)
	if err != nil {
		return err
	}
	sv.addSub(name, k.gvk, sub, scope, patchTypes(true))
	sv.managers[name], sv.updates[name] = scope.FieldManager, s
	return nil
}

func (c *catalog) scope(k *kind, subresource string, reg *registry) (*handlers.RequestScope, error) {
	fm, err := managedfields.NewDefaultFieldManager(c.converter, c.scheme, c.scheme, c.scheme, k.gvk, k.gvk.GroupVersion(),
		subresource, fieldpath.NewExcludeFilterSetMap(k.resetFields(subresource)))
	if err != nil {
		return nil, fmt.Errorf("build field manager: %w", err)
	}
	return &handlers.RequestScope{
		Namer:            handlers.ContextBasedNaming{Namer: meta.NewAccessor(), ClusterScoped: !k.namespaced},
		Serializer:       c.codecs,
		ParameterCodec:   runtime.NewParameterCodec(c.scheme),
		Creater:          c.scheme,
		Convertor:        c.scheme,
		Defaulter:        c.scheme,
		Typer:            c.scheme,
		UnsafeConvertor:  runtime.UnsafeObjectConvertor(c.scheme),
		TableConvertor:   reg.table,
		FieldManager:     fm,
		Resource:         k.gvr(),
		Kind:             k.gvk,
		Subresource:      subresource,
		MetaGroupVersion: metav1.SchemeGroupVersion,
		HubGroupVersion:  k.gvk.GroupVersion(),

		Authorizer:               allowAll{},
		EquivalentResourceMapper: runtime.NewEquivalentResourceRegistry(),
		MaxRequestBodyBytes:      maxBody,
	}, nil
}

func patchTypes(strategic bool) []string {
	out := []string{string(types.JSONPatchType), string(types.MergePatchType)}
	if strategic {
		out = append(out, string(types.StrategicMergePatchType))
	}
	return append(out, string(types.ApplyYAMLPatchType))
}

func (c *catalog) newObject(gvk schema.GroupVersionKind) runtime.Object {
	obj, err := c.scheme.New(gvk)
	if err != nil {
		// Every kind of the catalog is in the scheme; newCatalog has tried them.
		panic(err)
	}
	return obj
}

// updateRegistry is a registry whose updates follow another strategy.
type updateRegistry struct {
	*registry
	update rest.RESTUpdateStrategy
}

func (r *updateRegistry) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, _ bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.registry.update(ctx, r.update, name, info, createValidation, updateValidation, false, opts)
}

// attrsOf returns how a kind's labels and selectable fields are read.
func attrsOf(k *kind) storage.AttrFunc {
	return func(obj runtime.Object) (labels.Set, fields.Set, error) {
		m, err := meta.Accessor(obj)
		if err != nil {
			return nil, nil, err
		}
		set := fields.Set{"metadata.name": m.GetName()}
		if k.namespaced {
			set["metadata.namespace"] = m.GetNamespace()
		}
		addSelectableFields(obj, set)
		return m.GetLabels(), set, nil
	}
}

func addSelectableFields(obj runtime.Object, set fields.Set) {
	switch o := obj.(type) {
	case *corev1.Pod:
		set["spec.nodeName"] = o.Spec.NodeName
		set["spec.restartPolicy"] = string(o.Spec.RestartPolicy)
		set["spec.serviceAccountName"] = o.Spec.ServiceAccountName
		set["status.phase"] = string(o.Status.Phase)
	case *corev1.Secret:
		set["type"] = string(o.Type)
	case *corev1.Namespace:
		set["status.phase"] = string(o.Status.Phase)
		set["name"] = o.Name
	case *corev1.Node:
		set["spec.unschedulable"] = fmt.Sprint(o.Spec.Unschedulable)
	case *corev1.Event:
		set["involvedObject.kind"] = o.InvolvedObject.Kind
		set["involvedObject.namespace"] = o.InvolvedObject.Namespace
		set["involvedObject.name"] = o.InvolvedObject.Name
		set["involvedObject.uid"] = string(o.InvolvedObject.UID)
		set["reason"] = o.Reason
		set["type"] = o.Type
	}
}

// registerFieldLabels allows the field selectors that addSelectableFields fills.
func registerFieldLabels(scheme *runtime.Scheme) error {
	for obj, gvk := range map[runtime.Object]schema.GroupVersionKind{
		&corev1.Pod{}:       corev1.SchemeGroupVersion.WithKind("Pod"),
		&corev1.Secret{}:    corev1.SchemeGroupVersion.WithKind("Secret"),
		&corev1.Namespace{}: corev1.SchemeGroupVersion.WithKind("Namespace"),
		&corev1.Node{}:      corev1.SchemeGroupVersion.WithKind("Node"),
		&corev1.Event{}:     corev1.SchemeGroupVersion.WithKind("Event"),
	} {
		known := fields.Set{"metadata.name": "", "metadata.namespace": ""}
		addSelectableFields(obj, known)
		err := scheme.AddFieldLabelConversionFunc(gvk, func(label, value string) (string, string, error) {
			if _, ok := known[label]; !ok {
				return "", "", fmt.Errorf("field label not supported: %s", label)
			}
			return label, value, nil
		})
		if err != nil {
			return fmt.Errorf("register field labels of %s: %w", gvk.Kind, err)
		}
	}
	return nil
}

// shallowCopy copies the top of an object, so that its kind can be set without a
// race. What lies below is shared and must not be changed.
func shallowCopy(obj runtime.Object) runtime.Object {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		top := make(map[string]any, len(u.Object))
		for k, v := range u.Object {
			top[k] = v
		}
		return &unstructured.Unstructured{Object: top}
	}
	v := reflect.New(reflect.TypeOf(obj).Elem())
	v.Elem().Set(reflect.ValueOf(obj).Elem())
	return v.Interface().(runtime.Object)
}

// allowAll is the authorizer of a cluster whose only user may do everything.
type allowAll struct{}

func (allowAll) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionAllow, "", nil
}
