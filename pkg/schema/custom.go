package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	crvalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Custom are the kinds that CustomResourceDefinitions define. It is not changed once made and may be
// used from several goroutines.
type Custom struct {
	kinds map[groupVersionKind]func() *definition
}

// definition is one served version of a custom kind.
type definition struct {
	// fault says why the definition cannot be used; nothing is then said about its objects.
	fault string
	// open tells that the definition has no schema.
	open      bool
	schema    *structural.Structural
	validator crvalidation.SchemaValidator
	rules     func() *cel.Validator
}

// Define reads the definitions among some manifests. Each is compiled when it is first needed.
func Define(manifests []map[string]any) *Custom {
	c := &Custom{kinds: map[groupVersionKind]func() *definition{}}
	for _, m := range manifests {
		if !IsDefinition(m) {
			continue
		}
		for kind, version := range versionsOf(m) {
			c.kinds[kind] = sync.OnceValue(func() *definition { return compile(version) })
		}
	}
	if len(c.kinds) == 0 {
		return nil
	}
	return c
}

// IsDefinition tells that a manifest is a CustomResourceDefinition.
func IsDefinition(manifest map[string]any) bool {
	kind := kindOf(manifest)
	return kind == groupVersionKind{"apiextensions.k8s.io", "v1", "CustomResourceDefinition"}
}

// versionsOf lists the served versions of a definition.
func versionsOf(manifest map[string]any) map[groupVersionKind]map[string]any {
	spec, _ := manifest["spec"].(map[string]any)
	names, _ := spec["names"].(map[string]any)
	group, _ := spec["group"].(string)
	kind, _ := names["kind"].(string)
	list, _ := spec["versions"].([]any)
	found := map[groupVersionKind]map[string]any{}
	for _, item := range list {
		version, _ := item.(map[string]any)
		name, _ := version["name"].(string)
		if served, _ := version["served"].(bool); served && name != "" && kind != "" && group != "" {
			found[groupVersionKind{group, name, kind}] = version
		}
	}
	return found
}

// of returns the definition of a kind.
func (c *Custom) of(kind groupVersionKind) (*definition, bool) {
	if c == nil || c.kinds[kind] == nil {
		return nil, false
	}
	d := c.kinds[kind]()
	return d, d.fault == ""
}

// Unserved names the versions of a custom kind that are defined where the one asked for is not; empty
// where the definition has it, or where there is none.
func (c *Custom) Unserved(manifest map[string]any) []string {
	if c == nil {
		return nil
	}
	kind := kindOf(manifest)
	if c.kinds[kind] != nil {
		return nil
	}
	var versions []string
	for k := range c.kinds {
		if k.Group == kind.Group && k.Kind == kind.Kind {
			versions = append(versions, k.apiVersion())
		}
	}
	slices.Sort(versions)
	return versions
}

// Faults says why schemas of a definition cannot be used, a message for each version.
func (c *Custom) Faults(manifest map[string]any) []Fault {
	if c == nil || !IsDefinition(manifest) {
		return nil
	}
	versions := versionsOf(manifest)
	kinds := slices.SortedFunc(maps.Keys(versions), func(a, b groupVersionKind) int { return strings.Compare(a.Version, b.Version) })
	var faults []Fault
	for _, kind := range kinds {
		if d := compile(versions[kind]); d.fault != "" {
			faults = append(faults, Fault{Pointer: "/spec/versions", Message: fmt.Sprintf("spec.versions[name=%s]: %s", kind.Version, d.fault)})
		}
	}
	return faults
}

// compile prepares the schema of a version as the API server does.
func compile(version map[string]any) *definition {
	var v apiextensionsv1.CustomResourceDefinitionVersion
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(version, &v); err != nil {
		return &definition{fault: "the schema cannot be read: " + err.Error()}
	}
	if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
		return &definition{open: true}
	}
	internal := &apiextensions.CustomResourceValidation{}
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v.Schema, internal, nil); err != nil {
		return &definition{fault: "the schema cannot be read: " + err.Error()}
	}
	s, err := structural.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		return &definition{fault: "the schema cannot be used: " + err.Error()}
	}
	if errs := structural.ValidateStructural(nil, s); len(errs) > 0 {
		return &definition{fault: "the schema is not structural: " + errs[0].Error()}
	}
	s = s.DeepCopy()
	if err := defaulting.PruneDefaults(s); err != nil {
		return &definition{fault: "the defaults of the schema cannot be used: " + err.Error()}
	}
	validator, _, err := crvalidation.NewSchemaValidator(internal.OpenAPIV3Schema)
	if err != nil {
		return &definition{fault: "the schema cannot be used: " + err.Error()}
	}
	return &definition{
		schema: s, validator: validator,
		rules: sync.OnceValue(func() *cel.Validator { return cel.NewValidator(s, true, celconfig.PerCallLimit) }),
	}
}

// check checks a custom resource as the API server does with a create: unknown fields, defaults, the
// schema, keys of lists, and the rules in CEL within their cost limit.
func (d *definition) check(manifest map[string]any, _ groupVersionKind) []Fault {
	w := &walk{}
	w.metadata(manifest)
	if d.open {
		return w.faults
	}
	object := runtime.DeepCopyJSON(manifest)
	delete(object, "status")
	unknown := pruning.PruneWithOptions(object, d.schema, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, name := range unknown {
		w.add(name, "this field does not exist")
	}
	defaulting.Default(object, d.schema)
	defaulting.PruneNonNullableNullsWithoutDefaults(object, d.schema)
	errs := crvalidation.ValidateCustomResource(nil, object, d.validator)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, d.schema, object)...)
	if len(errs) == 0 {
		if rules := d.rules(); rules != nil {
			found, _ := rules.Validate(unbounded{}, nil, d.schema, object, nil, celconfig.RuntimeCELCostBudget)
			errs = append(errs, found...)
		}
	}
	for _, e := range errs {
		w.add(e.Field, reason(e))
	}
	return w.faults
}

// reason is an error of a field without its value.
func reason(e *field.Error) string {
	if e.Type == field.ErrorTypeRequired {
		return "the field is missing"
	}
	if e.Type == field.ErrorTypeDuplicate {
		return "two items have the same key"
	}
	if detail := strings.TrimPrefix(e.Detail, strings.TrimPrefix(e.Field, ".")+" in body "); detail != "" {
		return detail
	}
	return strings.ToLower(e.Type.String())
}

// add notes a fault about a field as the API server writes it: spec.items[0].name.
func (w *walk) add(name, message string) {
	name = strings.TrimPrefix(name, ".")
	if len(w.faults) == maxFaults {
		return
	}
	if name != "" && name != "<nil>" {
		message = name + ": " + message
	}
	w.faults = append(w.faults, Fault{Pointer: pointerOf(name), Message: message})
}

// pointerOf turns spec.items[0].name and labels[a.b/c] into a JSON pointer.
func pointerOf(name string) string {
	var b strings.Builder
	for name != "" && name != "<nil>" {
		var token string
		switch name[0] {
		case '.':
			name = name[1:]
			continue
		case '[':
			end := strings.IndexByte(name, ']')
			if end < 0 {
				end = len(name) - 1
			}
			token, name = strings.Trim(name[1:end], `"`), name[end+1:]
		default:
			end := strings.IndexAny(name, ".[")
			if end < 0 {
				end = len(name)
			}
			token, name = name[:end], name[end:]
		}
		b.WriteString("/" + escaper.Replace(token))
	}
	return b.String()
}

// unbounded stands for a context where nothing can be cancelled: rules are evaluated here and now, and
// their cost is bounded.
type unbounded struct{}

func (unbounded) Deadline() (time.Time, bool) { return time.Time{}, false }
func (unbounded) Done() <-chan struct{}       { return nil }
func (unbounded) Err() error                  { return nil }
func (unbounded) Value(any) any               { return nil }

// Defines tells whether a kind is defined, well or not.
func (c *Custom) Defines(apiVersion, kind string) bool {
	return c != nil && c.kinds[kindOf(map[string]any{"apiVersion": apiVersion, "kind": kind})] != nil
}

// Structural returns the schema of a custom kind, nil where it is not known.
func (c *Custom) Structural(apiVersion, kind string) *structural.Structural {
	if c == nil {
		return nil
	}
	k := kindOf(map[string]any{"apiVersion": apiVersion, "kind": kind})
	d, ok := c.of(k)
	if !ok {
		return nil
	}
	return d.schema
}
