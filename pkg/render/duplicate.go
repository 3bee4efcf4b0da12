package render

import (
	"fmt"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// mergeKey names a list whose items the API server tells apart by keys, with the defaults of keys
// that may be absent. Two items with equal keys make a server-side apply fail (HTTP 500).
type mergeKey struct {
	path     []string
	keys     []string
	defaults map[string]string
}

// podKeys are the keyed lists of a pod specification, podContainerKeys those of its containers; both
// are the x-kubernetes-list-map-keys of the OpenAPI document of Kubernetes.
func podKeys() []mergeKey {
	return []mergeKey{
		{path: []string{"volumes"}, keys: []string{"name"}},
		{path: []string{"initContainers"}, keys: []string{"name"}},
		{path: []string{"containers"}, keys: []string{"name"}},
		{path: []string{"ephemeralContainers"}, keys: []string{"name"}},
		{path: []string{"imagePullSecrets"}, keys: []string{"name"}},
		{path: []string{"hostAliases"}, keys: []string{"ip"}},
		{path: []string{"topologySpreadConstraints"}, keys: []string{"topologyKey", "whenUnsatisfiable"}},
		{path: []string{"resourceClaims"}, keys: []string{"name"}},
		{path: []string{"schedulingGates"}, keys: []string{"name"}},
	}
}

func podContainerKeys() []mergeKey {
	return []mergeKey{
		{path: []string{"env"}, keys: []string{"name"}},
		{path: []string{"ports"}, keys: []string{"containerPort", "protocol"}, defaults: map[string]string{"protocol": "TCP"}},
		{path: []string{"volumeMounts"}, keys: []string{"mountPath"}},
		{path: []string{"volumeDevices"}, keys: []string{"devicePath"}},
		{path: []string{"resources", "claims"}, keys: []string{"name"}},
	}
}

// otherKeys are the keyed lists of kinds that have no pod specification.
func otherKeys(apiVersion, kind string) []mergeKey {
	name := []string{"name"}
	switch group := (v1alpha1.ObjectReference{APIVersion: apiVersion}).Group(); group + "/" + kind {
	case "/Service":
		return []mergeKey{
			{path: []string{"spec", "ports"}, keys: []string{"port", "protocol"}, defaults: map[string]string{"protocol": "TCP"}},
		}
	case "/ServiceAccount":
		return []mergeKey{{path: []string{"secrets"}, keys: name}}
	case "admissionregistration.k8s.io/MutatingWebhookConfiguration", "admissionregistration.k8s.io/ValidatingWebhookConfiguration":
		return []mergeKey{{path: []string{"webhooks"}, keys: name}}
	case "admissionregistration.k8s.io/ValidatingAdmissionPolicy", "admissionregistration.k8s.io/MutatingAdmissionPolicy":
		return []mergeKey{{path: []string{"spec", "matchConditions"}, keys: name}, {path: []string{"spec", "variables"}, keys: name}}
	}
	return nil
}

// dropDuplicates keeps the last of the items that have equal keys, in place, and notes each that
// goes. Without a note it only looks. It returns whether there is one to go.
func dropDuplicates(object map[string]any, apiVersion, kind string, note func(message string)) bool {
	dropped := false
	path := PodSpecPath(apiVersion, kind)
	if path == nil {
		return dropIn(object, "", otherKeys(apiVersion, kind), note)
	}
	found, _ := lookup(object, path)
	spec, _ := found.(map[string]any)
	pointer := encodePointer(path)
	for _, list := range containerLists() {
		items, _ := spec[list].([]any)
		for i, item := range items {
			if m, ok := item.(map[string]any); ok && dropIn(m, joinIndex(join(pointer, list), i), podContainerKeys(), note) {
				dropped = true
			}
		}
	}
	return dropIn(spec, pointer, podKeys(), note) || dropped
}

func dropIn(m map[string]any, pointer string, keys []mergeKey, note func(message string)) bool {
	dropped := false
	for _, k := range keys {
		found, ok := lookup(m, k.path)
		items, isList := found.([]any)
		if !ok || !isList || len(items) < 2 {
			continue
		}
		kept := k.keepLast(items, pointer+encodePointer(k.path), note)
		if len(kept) == len(items) {
			continue
		}
		dropped = true
		if note == nil {
			return true
		}
		if parent, ok := lookup(m, k.path[:len(k.path)-1]); ok {
			parent.(map[string]any)[k.path[len(k.path)-1]] = kept
		}
	}
	return dropped
}

func (k mergeKey) keepLast(items []any, pointer string, note func(message string)) []any {
	last := make(map[string]int, len(items))
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = k.id(item)
		if ids[i] != "" {
			last[ids[i]] = i
		}
	}
	if len(last) == len(items) {
		return items
	}
	kept := make([]any, 0, len(items))
	for i, item := range items {
		if ids[i] == "" || last[ids[i]] == i {
			kept = append(kept, item)
			continue
		}
		if note != nil {
			note(fmt.Sprintf("%s has several items with %s; the last one counts", pointer, ids[i]))
		}
	}
	return kept
}

// id spells an item's keys; empty for an item that lacks one, which is the API server's to refuse.
func (k mergeKey) id(item any) string {
	m, ok := item.(map[string]any)
	if !ok {
		return ""
	}
	if len(k.keys) == 1 {
		value, _ := m[k.keys[0]].(string)
		if value == "" {
			return ""
		}
		return k.keys[0] + " " + value
	}
	parts := make([]string, 0, len(k.keys))
	for _, key := range k.keys {
		value, ok := m[key]
		if !ok || value == "" {
			if k.defaults[key] == "" {
				return ""
			}
			value = k.defaults[key]
		}
		parts = append(parts, fmt.Sprintf("%s %v", key, value))
	}
	return strings.Join(parts, ", ")
}

// checkIdentity makes sure that overrides left alone what tells objects apart: ownership, placement
// and the inventory go by it.
func checkIdentity(before, after map[string]any) error {
	for _, path := range [][]string{
		{"apiVersion"}, {"kind"}, {"metadata", "name"}, {"metadata", "namespace"}, {"metadata", "generateName"},
	} {
		old, _ := lookup(before, path)
		now, _ := lookup(after, path)
		if !jsonEqual(old, now) {
			return fmt.Errorf("%q cannot be overridden", encodePointer(path))
		}
	}
	for _, field := range []string{"labels", "annotations"} {
		found, ok := lookup(after, []string{"metadata", field})
		if !ok || found == nil {
			continue
		}
		m, isMap := found.(map[string]any)
		if !isMap {
			return fmt.Errorf("metadata.%s would not be a map", field)
		}
		for _, key := range sortedKeys(m) {
			if _, isString := m[key].(string); !isString && m[key] != nil {
				return fmt.Errorf("metadata.%s[%s] would not be a string", field, key)
			}
		}
	}
	return nil
}
