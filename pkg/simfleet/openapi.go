package simfleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// serveOpenAPI answers /openapi/v3. Custom kinds are described in full. Of the
// built-in ones it says only what kubectl asks before it sends a change: that
// the server validates fields itself. kubectl has their schemas compiled in.
func (c *Cluster) serveOpenAPI(w http.ResponseWriter, path string) {
	if path != "" {
		doc := c.describe(path)
		if doc == nil {
			notFound(w)
			return
		}
		writeJSON(w, contentJSON, doc)
		return
	}
	type entry struct {
		ServerRelativeURL string `json:"serverRelativeURL"`
	}
	paths := map[string]entry{}
	groups, versions := c.groupVersions()
	for _, g := range groups {
		for _, v := range versions[g] {
			p := groupPath(schema.GroupVersion{Group: g, Version: v})
			paths[p] = entry{"/openapi/v3/" + p + "?hash=" + c.digest(p)}
		}
	}
	writeJSON(w, contentJSON, map[string]any{"paths": paths})
}

func groupPath(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.String()
}

func (c *Cluster) digest(path string) string {
	body, err := json.Marshal(c.describe(path))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(body)
	return strings.ToUpper(hex.EncodeToString(sum[:16]))
}

// describe returns the description of a group and version, or nil.
func (c *Cluster) describe(path string) *spec3.OpenAPI {
	var doc *spec3.OpenAPI
	for _, sv := range c.allServed() {
		gv := sv.gvk.GroupVersion()
		if groupPath(gv) != path {
			continue
		}
		if sv.crd != "" {
			c.mu.Lock()
			d := c.custom[sv.crd]
			c.mu.Unlock()
			doc = mergeDescription(doc, d, sv.gvk.Version)
			continue
		}
		if doc == nil {
			doc = emptyDescription()
		}
		item := "/{name}"
		if sv.registry.NamespaceScoped() {
			item = "/namespaces/{namespace}/" + sv.plural + item
		} else {
			item = "/" + sv.plural + item
		}
		doc.Paths.Paths["/"+path+item] = &spec3.Path{PathProps: spec3.PathProps{Patch: patchOperation(sv.gvk)}}
	}
	return doc
}

func emptyDescription() *spec3.OpenAPI {
	return &spec3.OpenAPI{
		Version: "3.0.0", Info: &spec.Info{InfoProps: spec.InfoProps{Title: "Kubernetes", Version: "simfleet"}},
		Paths:      &spec3.Paths{Paths: map[string]*spec3.Path{}},
		Components: &spec3.Components{Schemas: map[string]*spec.Schema{}},
	}
}

func mergeDescription(doc *spec3.OpenAPI, d *definition, version string) *spec3.OpenAPI {
	if d == nil || d.openapi[version] == nil {
		return doc
	}
	if doc == nil {
		doc = emptyDescription()
	}
	for p, item := range d.openapi[version].Paths.Paths {
		doc.Paths.Paths[p] = item
	}
	for name, s := range d.openapi[version].Components.Schemas {
		doc.Components.Schemas[name] = s
	}
	return doc
}

func patchOperation(gvk schema.GroupVersionKind) *spec3.Operation {
	query := func(name string) *spec3.Parameter {
		return &spec3.Parameter{ParameterProps: spec3.ParameterProps{Name: name, In: "query", Schema: &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"string"}}}}}
	}
	op := &spec3.Operation{OperationProps: spec3.OperationProps{
		Parameters: []*spec3.Parameter{query("dryRun"), query("fieldManager"), query("fieldValidation"), query("force")},
	}}
	op.Extensions = spec.Extensions{"x-kubernetes-group-version-kind": map[string]any{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}}
	return op
}
