package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// pointed is a reference with the field that makes it.
type pointed struct {
	v1alpha1.ObjectKey
	pointer string
}

// references reports what objects refer to and no document declares: a caution, since it may be on the
// clusters already, or come from another repository.
func (v *validating) references() {
	made := v.producedSecrets()
	for _, it := range v.c.items {
		for _, r := range pointedOf(it.Unstructured) {
			if v.c.byKey[r.ObjectKey] != nil || alwaysThere(r.ObjectKey) || v.mayBeUnread(it.source, r.Name) ||
				r.Kind == "Secret" && made[r.ObjectKey] {
				continue
			}
			v.missing(it, r, "which no document declares")
		}
	}
	v.namespaces()
}

func (v *validating) missing(it *item, r pointed, why string) {
	ref := it.ref
	name := r.Name
	if r.Namespace != "" {
		name = r.Namespace + "/" + name
	}
	v.c.findings.add(finding{
		ID: MissingReference, Message: fmt.Sprintf("%s refers to %s %s, %s", ref, r.Kind, name, why),
		Source: it.Origin.Source, Field: r.pointer, Object: &ref, Repository: it.source.Source,
	})
}

// namespaces reports, once each, namespaces that are used and not declared where others are.
func (v *validating) namespaces() {
	declared, reported := 0, map[string]bool{}
	for _, it := range v.c.items {
		if isNamespace(it.ref) {
			declared++
		}
	}
	if declared == 0 {
		return
	}
	for _, it := range v.c.items {
		key := v1alpha1.ObjectKey{Kind: "Namespace", Name: it.ref.Namespace}
		if key.Name == "" || reported[key.Name] || v.c.byKey[key] != nil || alwaysThere(key) || v.mayBeUnread(it.source, key.Name) {
			continue
		}
		reported[key.Name] = true
		v.missing(it, pointed{key, "/metadata/namespace"}, "which no document declares though others are declared")
	}
}

func (v *validating) mayBeUnread(s *Source, name string) bool {
	return !s.Complete() && (v.options.Mentions == nil || v.options.Mentions(s.Source, name))
}

// alwaysThere tells what every cluster has.
func alwaysThere(k v1alpha1.ObjectKey) bool {
	switch k.Kind {
	case "ServiceAccount":
		return k.Name == "default"
	case "ConfigMap":
		return k.Name == "kube-root-ca.crt"
	case "Namespace":
		return k.Name == "default" || strings.HasPrefix(k.Name, "kube-")
	case "ClusterRole":
		return slices.Contains([]string{"cluster-admin", "admin", "edit", "view"}, k.Name) || strings.HasPrefix(k.Name, "system:")
	}
	return strings.HasPrefix(k.Namespace, "kube-")
}

// producedSecrets are the Secrets that controllers make of other documents: certificates, sealed and
// external Secrets.
func (v *validating) producedSecrets() map[v1alpha1.ObjectKey]bool {
	made := map[v1alpha1.ObjectKey]bool{}
	for _, it := range v.c.items {
		if builtInGroups[it.ref.Group()] {
			continue
		}
		add := func(name string) {
			if name != "" {
				made[v1alpha1.ObjectKey{Kind: "Secret", Namespace: it.ref.Namespace, Name: name}] = true
			}
		}
		if strings.HasSuffix(it.ref.Kind, "Secret") || strings.HasSuffix(it.ref.Kind, "SecretStore") {
			add(it.ref.Name)
		}
		add(stringAt(it.Object.Object, "spec", "secretName"))
		add(stringAt(it.Object.Object, "spec", "target", "name"))
	}
	return made
}

// pointing collects references of one object.
type pointing struct {
	namespace string
	found     []pointed
}

func (p *pointing) add(kind, group, name, pointer string) {
	p.in(p.namespace, kind, group, name, pointer)
}

func (p *pointing) in(namespace, kind, group, name, pointer string) {
	k := v1alpha1.ObjectKey{Group: group, Kind: kind, Namespace: namespace, Name: name}
	if name == "" || strings.Contains(name, "$") || slices.ContainsFunc(p.found, func(o pointed) bool { return o.ObjectKey == k }) {
		return
	}
	p.found = append(p.found, pointed{k, pointer})
}

// pointedOf lists what an object cannot do without, except for what it calls optional.
func pointedOf(o *unstructured.Unstructured) []pointed {
	p := &pointing{namespace: o.GetNamespace()}
	if path := render.PodSpecPath(o.GetAPIVersion(), o.GetKind()); path != nil {
		p.pod(mapAt(o.Object, path...), "/"+strings.Join(path, "/"))
	}
	gvk := o.GroupVersionKind()
	switch gvk.Group + "/" + gvk.Kind {
	case "networking.k8s.io/Ingress":
		p.ingress(o)
	case "apps/StatefulSet":
		p.add("Service", "", stringAt(o.Object, "spec", "serviceName"), "/spec/serviceName")
	case "autoscaling/HorizontalPodAutoscaler":
		if k := scaleTarget(o); k != nil && builtInGroups[k.Group] {
			p.add(k.Kind, k.Group, k.Name, "/spec/scaleTargetRef/name")
		}
	case "rbac.authorization.k8s.io/RoleBinding", "rbac.authorization.k8s.io/ClusterRoleBinding":
		p.binding(o)
	}
	return p.found
}

func (p *pointing) binding(o *unstructured.Unstructured) {
	const group = "rbac.authorization.k8s.io"
	switch kind := stringAt(o.Object, "roleRef", "kind"); kind {
	case "Role":
		p.add(kind, group, stringAt(o.Object, "roleRef", "name"), "/roleRef/name")
	case "ClusterRole":
		p.in("", kind, group, stringAt(o.Object, "roleRef", "name"), "/roleRef/name")
	}
	for i, s := range mapsAt(o.Object, "subjects") {
		if stringAt(s, "kind") == "ServiceAccount" {
			p.in(stringAt(s, "namespace"), "ServiceAccount", "", stringAt(s, "name"), "/subjects/"+strconv.Itoa(i)+"/name")
		}
	}
}

func (p *pointing) ingress(o *unstructured.Unstructured) {
	p.add("Service", "", stringAt(o.Object, "spec", "defaultBackend", "service", "name"), "/spec/defaultBackend/service/name")
	for i, rule := range mapsAt(o.Object, "spec", "rules") {
		for j, path := range mapsAt(rule, "http", "paths") {
			p.add("Service", "", stringAt(path, "backend", "service", "name"), fmt.Sprintf("/spec/rules/%d/http/paths/%d/backend/service/name", i, j))
		}
	}
	for key := range o.GetAnnotations() {
		if strings.HasPrefix(key, "cert-manager.io/") || key == "kubernetes.io/tls-acme" {
			// Its Secrets are made for it.
			return
		}
	}
	for i, tls := range mapsAt(o.Object, "spec", "tls") {
		p.add("Secret", "", stringAt(tls, "secretName"), fmt.Sprintf("/spec/tls/%d/secretName", i))
	}
}

func (p *pointing) pod(spec map[string]any, at string) {
	p.add("ServiceAccount", "", stringAt(spec, "serviceAccountName"), at+"/serviceAccountName")
	for i, s := range mapsAt(spec, "imagePullSecrets") {
		p.add("Secret", "", stringAt(s, "name"), fmt.Sprintf("%s/imagePullSecrets/%d/name", at, i))
	}
	for i, volume := range mapsAt(spec, "volumes") {
		p.volume(volume, fmt.Sprintf("%s/volumes/%d", at, i))
	}
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for i, container := range mapsAt(spec, list) {
			p.container(container, fmt.Sprintf("%s/%s/%d", at, list, i))
		}
	}
}

func (p *pointing) container(container map[string]any, at string) {
	for i, from := range mapsAt(container, "envFrom") {
		p.unlessOptional("ConfigMap", mapAt(from, "configMapRef"), "name", fmt.Sprintf("%s/envFrom/%d/configMapRef", at, i))
		p.unlessOptional("Secret", mapAt(from, "secretRef"), "name", fmt.Sprintf("%s/envFrom/%d/secretRef", at, i))
	}
	for i, env := range mapsAt(container, "env") {
		from := fmt.Sprintf("%s/env/%d/valueFrom", at, i)
		p.unlessOptional("ConfigMap", mapAt(env, "valueFrom", "configMapKeyRef"), "name", from+"/configMapKeyRef")
		p.unlessOptional("Secret", mapAt(env, "valueFrom", "secretKeyRef"), "name", from+"/secretKeyRef")
	}
}

func (p *pointing) volume(volume map[string]any, at string) {
	p.unlessOptional("ConfigMap", mapAt(volume, "configMap"), "name", at+"/configMap")
	p.unlessOptional("Secret", mapAt(volume, "secret"), "secretName", at+"/secret")
	p.unlessOptional("PersistentVolumeClaim", mapAt(volume, "persistentVolumeClaim"), "claimName", at+"/persistentVolumeClaim")
	for i, s := range mapsAt(volume, "projected", "sources") {
		from := fmt.Sprintf("%s/projected/sources/%d", at, i)
		p.unlessOptional("ConfigMap", mapAt(s, "configMap"), "name", from+"/configMap")
		p.unlessOptional("Secret", mapAt(s, "secret"), "name", from+"/secret")
	}
}

func (p *pointing) unlessOptional(kind string, reference map[string]any, field, at string) {
	if optional, _ := reference["optional"].(bool); !optional && reference != nil {
		p.add(kind, "", stringAt(reference, field), at+"/"+field)
	}
}
