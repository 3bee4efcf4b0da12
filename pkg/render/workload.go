package render

import (
	"fmt"
	"iter"
	"slices"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// PodSpecPath returns where a kind keeps its pod specification; nil for kinds that have none.
func PodSpecPath(apiVersion, kind string) []string {
	switch group := (v1alpha1.ObjectReference{APIVersion: apiVersion}).Group(); {
	case group == "" && kind == "Pod":
		return []string{"spec"}
	case group == "apps" && slices.Contains([]string{"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"}, kind),
		group == "batch" && kind == "Job",
		group == "" && kind == "ReplicationController":
		return []string{"spec", "template", "spec"}
	case group == "batch" && kind == "CronJob":
		return []string{"spec", "jobTemplate", "spec", "template", "spec"}
	}
	return nil
}

// containerLists are the lists of a pod specification that hold containers.
func containerLists() []string {
	return []string{"initContainers", "containers", "ephemeralContainers"}
}

// container is one container of a workload with the pointer to it.
type container struct {
	pointer   string
	container map[string]any
}

// containers yields every container of the object for changes in place, init and ephemeral ones
// included.
func (w *work) containers() iter.Seq[container] {
	return func(yield func(container) bool) {
		path := PodSpecPath(w.apiVersion, w.kind)
		if path == nil {
			return
		}
		found, _ := lookup(w.mutable(), path)
		spec, _ := found.(map[string]any)
		for _, list := range containerLists() {
			items, _ := spec[list].([]any)
			for i, item := range items {
				m, ok := item.(map[string]any)
				if ok && !yield(container{joinIndex(join(encodePointer(path), list), i), m}) {
					return
				}
			}
		}
	}
}

// commandStep changes the command or the arguments of one container.
type commandStep struct {
	// field is "command" or "args".
	field     string
	container string
	operator  v1alpha1.OverriderOperator
	value     []string
}

func compileCommand(field string, o v1alpha1.CommandArgsOverrider) (step, error) {
	if o.ContainerName == "" {
		return nil, fmt.Errorf("containerName is missing")
	}
	if err := checkOperator(o.Operator); err != nil {
		return nil, err
	}
	return commandStep{field: field, container: o.ContainerName, operator: o.Operator, value: o.Value}, nil
}

// apply appends the items, removes every item that equals one of them, or replaces the whole list.
// What is not there to be removed or replaced stays away, and without items nothing changes, as in Karmada.
func (s commandStep) apply(w *work) error {
	found := false
	for c := range w.containers() {
		if c.container["name"] != s.container {
			continue
		}
		found = true
		raw, present := c.container[s.field]
		current, ok := raw.([]any)
		if raw != nil && !ok {
			return fmt.Errorf("%s of container %q is not a list", s.field, s.container)
		}
		if !present && s.operator != v1alpha1.OperatorAdd {
			w.idle("container %q has no %s", s.container, s.field)
			continue
		}
		changed := s.change(current)
		if len(s.value) == 0 || jsonEqual(any(changed), any(current)) {
			w.idle("%s of container %q stays", s.field, s.container)
			continue
		}
		w.wrote(join(c.pointer, s.field))
		c.container[s.field] = changed
	}
	if !found {
		w.idle("there is no container %q", s.container)
	}
	return nil
}

func (s commandStep) change(current []any) []any {
	changed := []any{}
	if s.operator == v1alpha1.OperatorAdd {
		changed = append(changed, current...)
	}
	if s.operator == v1alpha1.OperatorRemove {
		for _, item := range current {
			if text, ok := item.(string); !ok || !slices.Contains(s.value, text) {
				changed = append(changed, item)
			}
		}
		return changed
	}
	for _, item := range s.value {
		changed = append(changed, item)
	}
	return changed
}

// metadataStep changes labels or annotations.
type metadataStep struct {
	// field is "labels" or "annotations".
	field    string
	operator v1alpha1.OverriderOperator
	value    map[string]string
	// keys of value, sorted.
	keys []string
}

func compileMetadata(field string, o v1alpha1.LabelAnnotationOverrider) (step, error) {
	if err := checkOperator(o.Operator); err != nil {
		return nil, err
	}
	return metadataStep{field: field, operator: o.Operator, value: o.Value, keys: sortedKeys(o.Value)}, nil
}

// apply adds or overwrites entries, replaces the values of those that are there, or removes them by
// key. What is not there to be removed or replaced stays away, as in Karmada.
func (s metadataStep) apply(w *work) error {
	metadata, ok := w.mutable()["metadata"].(map[string]any)
	if !ok {
		return fmt.Errorf("metadata is not a map")
	}
	current, ok := metadata[s.field].(map[string]any)
	if metadata[s.field] != nil && !ok {
		return fmt.Errorf("metadata.%s is not a map", s.field)
	}
	for _, key := range s.keys {
		old, present := current[key]
		if !present && s.operator != v1alpha1.OperatorAdd {
			w.idle("there is no %s %q", s.field[:len(s.field)-1], key)
			continue
		}
		w.wrote("/metadata/" + s.field + "/" + EscapeToken(key))
		switch {
		case s.operator == v1alpha1.OperatorRemove:
			delete(current, key)
		case old == s.value[key]:
			w.idle("%s %q has that value already", s.field[:len(s.field)-1], key)
		default:
			if current == nil {
				current = map[string]any{}
				metadata[s.field] = current
			}
			current[key] = s.value[key]
		}
	}
	return nil
}
