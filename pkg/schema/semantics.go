package schema

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
)

// semantics checks what types cannot say and every API server demands.
func (w *walk) semantics(object map[string]any, kind groupVersionKind) {
	w.metadata(object)
	if kind.Group == "apps" && !w.found {
		w.selector(object)
	}
}

// metadata checks names, labels and annotations by the rules that hold for all kinds.
func (w *walk) metadata(object map[string]any) {
	metadata, _ := object["metadata"].(map[string]any)
	at := &path{key: "metadata"}
	if name, ok := metadata["name"].(string); ok {
		// Many kinds demand more of a name; this is what all do, since it stands in the path of a request.
		for _, message := range content.IsPathSegmentName(name) {
			w.fault(at.field("name"), "a name %s", message)
		}
	}
	names, _ := metadata["labels"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(names)) {
		value, _ := names[key].(string)
		if message := slices.Concat(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)); len(message) > 0 {
			w.fault(at.field("labels").field(key), "%s", message[0])
		}
	}
	notes, _ := metadata["annotations"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(notes)) {
		if message := validation.IsQualifiedName(strings.ToLower(key)); len(message) > 0 {
			w.fault(at.field("annotations").field(key), "%s", message[0])
		}
	}
}

// selector checks that the pods of a workload are those that it looks for.
func (w *walk) selector(object map[string]any) {
	spec, _ := object["spec"].(map[string]any)
	raw, _ := spec["selector"].(map[string]any)
	template, _ := spec["template"].(map[string]any)
	if raw == nil || template == nil {
		return
	}
	at := (&path{key: "spec"}).field("selector")
	var written metav1.LabelSelector
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &written)
	var compiled labels.Selector
	if err == nil {
		compiled, err = metav1.LabelSelectorAsSelector(&written)
	}
	if err != nil {
		w.fault(at, "%v", err)
		return
	}
	if compiled.Empty() {
		w.fault(at, "an empty selector is not allowed")
		return
	}
	set := labels.Set{}
	metadata, _ := template["metadata"].(map[string]any)
	found, _ := metadata["labels"].(map[string]any)
	for key, value := range found {
		set[key], _ = value.(string)
	}
	if !compiled.Matches(set) {
		w.open(at, "the selector does not match the labels of the template")
	}
}
