package schema

import (
	_ "embed" // the documents of the releases
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

//go:embed builtin/v1.36.json
var release136 []byte

//go:embed builtin/v1.37.json
var release137 []byte

// release is what one minor version of Kubernetes serves, read when it is first asked for.
type release struct {
	version Version
	load    func() *documents
}

// releases lists the embedded releases, the newest first.
func releases() []release {
	return []release{
		{Version{1, 37}, sync.OnceValue(func() *documents { return parse(release137) })},
		{Version{1, 36}, sync.OnceValue(func() *documents { return parse(release136) })},
	}
}

// Embedded lists the versions of Kubernetes whose own kinds are known field by field, the newest first.
func Embedded() []Version {
	var all []Version
	for _, r := range releases() {
		all = append(all, r.version)
	}
	return all
}

// documents are the types of a release by name.
type documents struct {
	types map[string]*typeSchema
	kinds map[groupVersionKind]*typeSchema
	// groups are those that Kubernetes itself serves.
	groups map[string]bool
}

type groupVersionKind struct{ Group, Version, Kind string }

func (k groupVersionKind) apiVersion() string {
	if k.Group == "" {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

func kindOf(object map[string]any) groupVersionKind {
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	group, version, found := strings.Cut(apiVersion, "/")
	if !found {
		group, version = "", apiVersion
	}
	return groupVersionKind{group, version, kind}
}

// typeSchema is the part of an OpenAPI schema that Kubernetes uses for its own types.
type typeSchema struct {
	Ref    string       `json:"$ref"`
	AllOf  []typeSchema `json:"allOf"`
	Type   string       `json:"type"`
	Format string       `json:"format"`
	OneOf  []typeSchema `json:"oneOf"`

	Properties           map[string]*typeSchema `json:"properties"`
	Required             []string               `json:"required"`
	Items                *typeSchema            `json:"items"`
	AdditionalProperties *typeSchema            `json:"additionalProperties"`
	Kinds                []groupVersionKind     `json:"x-kubernetes-group-version-kind"`
	PreserveUnknown      bool                   `json:"x-kubernetes-preserve-unknown-fields"`
	IntOrString          bool                   `json:"x-kubernetes-int-or-string"`

	// name is that of the type, without the prefix that all have.
	name string
	// needs are the fields that an API server refuses to do without.
	needs []string
	// to is the type that the schema refers to.
	to *typeSchema
}

const refPrefix = "#/components/schemas/"

// parse reads an embedded document. It was written by tools/schemas, so that an error is a mistake of
// this program.
func parse(data []byte) *documents {
	var types map[string]*typeSchema
	if err := json.Unmarshal(data, &types); err != nil {
		panic(fmt.Sprintf("the embedded schemas cannot be read: %v", err))
	}
	return index(types)
}

// index finds the kinds among types.
func index(types map[string]*typeSchema) *documents {
	d := &documents{types: types, kinds: map[groupVersionKind]*typeSchema{}, groups: map[string]bool{}}
	for name, t := range d.types {
		t.name = strings.TrimPrefix(strings.TrimPrefix(name, "io.k8s."), "api.")
		d.link(t)
		for _, k := range t.Kinds {
			// Options and events of the protocol claim every group; they are no objects.
			if t.Properties["metadata"] != nil {
				d.kinds[k], d.groups[k.Group] = t, true
			}
		}
	}
	for _, t := range d.types {
		t.needs = required(t)
	}
	return d
}

// link makes references pointers.
func (d *documents) link(t *typeSchema) {
	if t == nil {
		return
	}
	ref := t.Ref
	if len(t.AllOf) == 1 {
		ref = t.AllOf[0].Ref
	}
	if ref != "" {
		t.to = d.types[strings.TrimPrefix(ref, refPrefix)]
	}
	for _, p := range t.Properties {
		d.link(p)
	}
	d.link(t.Items)
	d.link(t.AdditionalProperties)
}

// resolved returns the type itself.
func (t *typeSchema) resolved() *typeSchema {
	for t.to != nil {
		t = t.to
	}
	return t
}

// Served are the kinds that one API server describes itself.
type Served struct{ documents *documents }

// ParseServed reads OpenAPI v3 documents by group and version, as an API server gives them at
// /openapi/v3: {"apps/v1": {"components": {"schemas": …}}}.
func ParseServed(raw []byte) (*Served, error) {
	var all map[string]struct {
		Components struct {
			Schemas map[string]*typeSchema `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("the schemas are no OpenAPI documents by group and version: %w", err)
	}
	types := map[string]*typeSchema{}
	for _, document := range all {
		for name, t := range document.Components.Schemas {
			if t != nil {
				types[name] = t
			}
		}
	}
	return &Served{index(types)}, nil
}

// has tells whether the server describes a kind.
func (s *Served) has(kind groupVersionKind) bool { return s != nil && s.documents.kinds[kind] != nil }
