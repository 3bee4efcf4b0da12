package plan

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// traits are what the plan needs to know about an object's content, worked out once per content.
type traits struct {
	// needs are objects of the same namespace that it refers to and that propagateDeps sends along.
	needs []v1alpha1.ObjectKey
	// optional are those of them without which it starts as well.
	optional map[v1alpha1.ObjectKey]bool
	// scales is the workload that an autoscaler targets.
	scales *v1alpha1.ObjectKey
	// dependsOn are from its depends-on annotation.
	dependsOn []v1alpha1.ObjectReference
	// badDependsOn is an item of that annotation that cannot be read.
	badDependsOn string
	wave         int
	badWave      string
	neverMoves   bool
	defines      *groupKind
	// facts are what placement reads of it; unreadable says what could not be read.
	facts      placement.Extracted
	unreadable error
}

func readTraits(o render.Object) *traits {
	annotations := o.GetAnnotations()
	t := &traits{
		scales:     scaleTarget(o.Unstructured),
		neverMoves: annotations[v1alpha1.AnnotationFailover] == "never",
	}
	t.needs, t.optional = needs(o.Unstructured)
	t.dependsOn, t.badDependsOn = parseDependsOn(annotations[v1alpha1.AnnotationDependsOn])
	t.wave, t.badWave = parseWave(annotations[v1alpha1.AnnotationWave])
	t.facts, t.unreadable = placement.Extract(o.Object)
	if isCRD(o.Reference()) {
		gk := definedKind(o.Unstructured)
		t.defines = &gk
	}
	return t
}

// podSpec returns the pod of a workload, nil for other kinds.
func podSpec(o *unstructured.Unstructured) map[string]any {
	path := render.PodSpecPath(o.GetAPIVersion(), o.GetKind())
	if o.GetAPIVersion() == "v1" && o.GetKind() == "PodTemplate" {
		path = []string{"template", "spec"}
	}
	if path == nil {
		return nil
	}
	return mapAt(o.Object, path...)
}

// references collects the names that a manifest refers to, each once.
type references struct {
	namespace string
	// seen has every name; optional those that are optional wherever they stand.
	seen, optional map[v1alpha1.ObjectKey]bool
	keys           []v1alpha1.ObjectKey
}

func (r *references) add(kind, name string) { r.note(kind, name, false) }

// from adds the name in a field of a reference that may say that it is optional.
func (r *references) from(kind string, reference map[string]any, field string) {
	r.note(kind, stringAt(reference, field), reference["optional"] == true)
}

func (r *references) note(kind, name string, optional bool) {
	k := v1alpha1.ObjectKey{Kind: kind, Namespace: r.namespace, Name: name}
	if name == "" {
		return
	}
	if !r.seen[k] {
		r.seen[k], r.optional[k] = true, true
		r.keys = append(r.keys, k)
	}
	if !optional {
		delete(r.optional, k)
	}
}

// needs returns what a workload or Ingress cannot do without in its namespace: ConfigMaps, Secrets,
// ServiceAccounts and PVCs of its pods, and the TLS Secrets of an Ingress. The PVCs that a StatefulSet
// makes from its templates are its own. The second result has those that are optional.
func needs(o *unstructured.Unstructured) (all []v1alpha1.ObjectKey, optional map[v1alpha1.ObjectKey]bool) {
	r := &references{namespace: o.GetNamespace(), seen: map[v1alpha1.ObjectKey]bool{}, optional: map[v1alpha1.ObjectKey]bool{}}
	if gvk := o.GroupVersionKind(); gvk.Kind == "Ingress" && gvk.Group == "networking.k8s.io" {
		for _, tls := range mapsAt(o.Object, "spec", "tls") {
			r.add("Secret", stringAt(tls, "secretName"))
		}
		return r.keys, r.optional
	}
	spec := podSpec(o)
	if spec == nil {
		return nil, nil
	}
	if name := stringAt(spec, "serviceAccountName"); name != "default" {
		r.add("ServiceAccount", name)
	}
	for _, s := range mapsAt(spec, "imagePullSecrets") {
		r.add("Secret", stringAt(s, "name"))
	}
	for _, v := range mapsAt(spec, "volumes") {
		r.addVolume(v)
	}
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, container := range mapsAt(spec, list) {
			r.addContainer(container)
		}
	}
	return r.keys, r.optional
}

func (r *references) addContainer(container map[string]any) {
	for _, from := range mapsAt(container, "envFrom") {
		r.from("ConfigMap", mapAt(from, "configMapRef"), "name")
		r.from("Secret", mapAt(from, "secretRef"), "name")
	}
	for _, env := range mapsAt(container, "env") {
		r.from("ConfigMap", mapAt(env, "valueFrom", "configMapKeyRef"), "name")
		r.from("Secret", mapAt(env, "valueFrom", "secretKeyRef"), "name")
	}
}

func (r *references) addVolume(v map[string]any) {
	r.from("ConfigMap", mapAt(v, "configMap"), "name")
	r.from("Secret", mapAt(v, "secret"), "secretName")
	r.add("PersistentVolumeClaim", stringAt(v, "persistentVolumeClaim", "claimName"))
	for _, s := range mapsAt(v, "projected", "sources") {
		r.from("ConfigMap", mapAt(s, "configMap"), "name")
		r.from("Secret", mapAt(s, "secret"), "name")
	}
	// Volume plug-ins that read credentials name their Secret in one of two ways.
	for _, plugin := range []string{"cephfs", "rbd", "scaleIO", "iscsi", "storageos", "flexVolume", "csi"} {
		r.add("Secret", stringAt(v, plugin, "secretRef", "name"))
		r.add("Secret", stringAt(v, plugin, "nodePublishSecretRef", "name"))
	}
	r.add("Secret", stringAt(v, "azureFile", "secretName"))
}

// scaleTarget returns what a HorizontalPodAutoscaler scales, nil for other kinds.
func scaleTarget(o *unstructured.Unstructured) *v1alpha1.ObjectKey {
	gvk := o.GroupVersionKind()
	if gvk.Kind != "HorizontalPodAutoscaler" || gvk.Group != "autoscaling" {
		return nil
	}
	ref := v1alpha1.ObjectReference{
		APIVersion: stringAt(o.Object, "spec", "scaleTargetRef", "apiVersion"),
		Kind:       stringAt(o.Object, "spec", "scaleTargetRef", "kind"),
		Name:       stringAt(o.Object, "spec", "scaleTargetRef", "name"),
		Namespace:  o.GetNamespace(),
	}
	k := ref.Key()
	return &k
}

// parseDependsOn reads a list of "group/namespaces/namespace/kind/name" or "group/kind/name",
// separated by commas, as cli-utils writes it. The second result is an item that is neither.
func parseDependsOn(annotation string) (refs []v1alpha1.ObjectReference, bad string) {
	if strings.TrimSpace(annotation) == "" {
		return nil, ""
	}
	for _, text := range strings.Split(annotation, ",") {
		text = strings.TrimSpace(text)
		parts := strings.Split(text, "/")
		ref := v1alpha1.ObjectReference{}
		switch {
		case len(parts) == 5 && parts[1] == "namespaces":
			ref.Namespace, ref.Kind, ref.Name = parts[2], parts[3], parts[4]
		case len(parts) == 3:
			ref.Kind, ref.Name = parts[1], parts[2]
		}
		if ref.Kind == "" || ref.Name == "" {
			bad = text
			continue
		}
		if parts[0] != "" {
			ref.APIVersion = parts[0] + "/"
		}
		refs = append(refs, ref)
	}
	return refs, bad
}

// parseWave reads a whole number of at most four digits.
func parseWave(annotation string) (wave int, bad string) {
	text := strings.TrimSpace(annotation)
	digits := strings.TrimPrefix(text, "-")
	if text == "" {
		return 0, ""
	}
	if digits == "" || len(digits) > 4 {
		return 0, text
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, text
		}
		wave = wave*10 + int(d-'0')
	}
	if digits != text {
		wave = -wave
	}
	return wave, ""
}

// mapAt returns the map at a path of field names, nil where there is none.
func mapAt(m map[string]any, path ...string) map[string]any {
	for _, field := range path {
		next, ok := m[field].(map[string]any)
		if !ok {
			return nil
		}
		m = next
	}
	return m
}

// mapsAt returns the maps of the list at a path of field names.
func mapsAt(m map[string]any, path ...string) []map[string]any {
	parent := mapAt(m, path[:len(path)-1]...)
	list, ok := parent[path[len(path)-1]].([]any)
	if !ok {
		return nil
	}
	maps := make([]map[string]any, 0, len(list))
	for _, v := range list {
		if item, ok := v.(map[string]any); ok {
			maps = append(maps, item)
		}
	}
	return maps
}

// stringAt returns the string at a path of field names, "" where there is none.
func stringAt(m map[string]any, path ...string) string {
	s, _ := mapAt(m, path[:len(path)-1]...)[path[len(path)-1]].(string)
	return s
}

// integerAt returns the whole number at a path of field names.
func integerAt(m map[string]any, path ...string) (int64, bool) {
	return wholeNumber(mapAt(m, path[:len(path)-1]...)[path[len(path)-1]])
}
