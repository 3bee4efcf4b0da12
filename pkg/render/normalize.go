package render

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// annotationLastApplied is where kubectl keeps a copy of what it applied, Secret values included.
const annotationLastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Masked stands in output for a value of a Secret.
const Masked = "***"

// serverMetadata are the fields of metadata that the API server owns.
func serverMetadata() []string {
	return []string{
		"uid", "resourceVersion", "generation", "managedFields", "creationTimestamp", "deletionTimestamp",
		"deletionGracePeriodSeconds", "selfLink",
	}
}

// ownAnnotations are annotations that armada-sync or kubectl write by themselves; a manifest that
// carries them was exported from a cluster.
func ownAnnotations() []string {
	return []string{
		v1alpha1.AnnotationDigest, v1alpha1.AnnotationSource, v1alpha1.AnnotationReplicas, v1alpha1.AnnotationHub,
		annotationLastApplied,
	}
}

// Normalize returns the object in the one form in which it is sent, compared and digested: without
// status, without what the server or armada-sync write into metadata, without nulls in maps, and
// with the stringData of a Secret folded into its data. Empty maps, lists and strings stay, since
// many of them mean something (emptyDir: {}). The argument is not changed; it is returned itself
// where it is in that form already.
//
// The error says that a Secret's data or stringData does not hold strings.
func Normalize(u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if isNormal(u) {
		return u, nil
	}
	n := u.DeepCopy()
	delete(n.Object, "status")
	if metadata, ok := n.Object["metadata"].(map[string]any); ok {
		for _, field := range serverMetadata() {
			delete(metadata, field)
		}
		dropKeys(metadata, "annotations", ownAnnotations()...)
		dropKeys(metadata, "labels", v1alpha1.LabelPartOf)
	}
	dropNulls(n.Object)
	if IsSecret(n) {
		if err := foldStringData(n.Object); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// isNormal tells that Normalize has nothing to do.
func isNormal(u *unstructured.Unstructured) bool {
	if _, ok := u.Object["status"]; ok {
		return false
	}
	if _, ok := u.Object["stringData"]; ok && IsSecret(u) {
		return false
	}
	metadata, _ := u.Object["metadata"].(map[string]any)
	for _, field := range serverMetadata() {
		if _, ok := metadata[field]; ok {
			return false
		}
	}
	annotations, _ := metadata["annotations"].(map[string]any)
	for _, key := range ownAnnotations() {
		if _, ok := annotations[key]; ok {
			return false
		}
	}
	labels, _ := metadata["labels"].(map[string]any)
	_, member := labels[v1alpha1.LabelPartOf]
	return !member && !hasNulls(u.Object)
}

// dropKeys removes keys from a map of metadata, and the map with its last key.
func dropKeys(metadata map[string]any, field string, keys ...string) {
	m, ok := metadata[field].(map[string]any)
	if !ok {
		return
	}
	before := len(m)
	for _, key := range keys {
		delete(m, key)
	}
	if before > 0 && len(m) == 0 {
		delete(metadata, field)
	}
}

func dropNulls(value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			if child == nil {
				delete(v, key)
				continue
			}
			dropNulls(child)
		}
	case []any:
		for _, item := range v {
			dropNulls(item)
		}
	}
}

func hasNulls(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		for _, child := range v {
			if child == nil || hasNulls(child) {
				return true
			}
		}
	case []any:
		for _, item := range v {
			if hasNulls(item) {
				return true
			}
		}
	}
	return false
}

// foldStringData does what the API server does on a write: stringData wins over data. Left to the
// server, the data would never be ours, and edits of it would go unseen.
func foldStringData(object map[string]any) error {
	raw, ok := object["stringData"]
	if !ok {
		return nil
	}
	clear, ok := raw.(map[string]any)
	if !ok {
		return fmt.Errorf("stringData of the Secret is not a map")
	}
	data, ok := object["data"].(map[string]any)
	if object["data"] != nil && !ok {
		return fmt.Errorf("data of the Secret is not a map")
	}
	if data == nil {
		data = make(map[string]any, len(clear))
	}
	for key, value := range clear {
		s, ok := value.(string)
		if !ok {
			return fmt.Errorf("stringData of the Secret has a value under %q that is not a string", key)
		}
		data[key] = base64.StdEncoding.EncodeToString([]byte(s))
	}
	delete(object, "stringData")
	if len(data) > 0 {
		object["data"] = data
	}
	return nil
}

// IsSecret tells whether the object is a core Secret, whose values and digest never leave in clear.
func IsSecret(u *unstructured.Unstructured) bool {
	return u.Object["kind"] == "Secret" && u.Object["apiVersion"] == "v1"
}

// Digest returns "v1:" and the hexadecimal SHA-256 of the object's canonical JSON: keys sorted, no
// space, no HTML escapes. The object must be normalised. The digest of a Secret is for comparisons
// inside the process; whoever prints or stores it prints or stores nothing instead, since short
// values can be guessed from it.
func Digest(u *unstructured.Unstructured) string { return digestOf(canonicalJSON(u.Object)) }

func digestOf(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return "v1:" + hex.EncodeToString(sum[:])
}

// shortestCopy is how many bytes a value of a Secret must have for a copy of it to be looked for:
// shorter ones are part of too many words.
const shortestCopy = 4

// HidesSecret returns a test that tells whether a text holds a value of one of some Secrets, as it is
// stored or as it is meant. An override may copy a value to where values are not masked.
func HidesSecret(secrets ...map[string]any) func(text string) bool {
	var values []string
	for _, secret := range secrets {
		for _, field := range []string{"data", "stringData"} {
			data, _ := secret[field].(map[string]any)
			for _, key := range sortedKeys(data) {
				stored, _ := data[key].(string)
				plain, err := base64.StdEncoding.DecodeString(stored)
				if err == nil && len(plain) >= shortestCopy {
					values = append(values, string(plain))
				}
				if len(stored) >= shortestCopy {
					values = append(values, stored)
				}
			}
		}
	}
	return func(text string) bool {
		return slices.ContainsFunc(values, func(v string) bool { return strings.Contains(text, v) })
	}
}

// HideCopies returns the metadata of a Secret in which labels and annotations that hold a value of it
// are replaced. What the Secret is called stays, even where a value says the same.
func HideCopies(metadata any, hides func(string) bool, replace func(string) string) any {
	fields, ok := metadata.(map[string]any)
	if !ok {
		return metadata
	}
	shown := maps.Clone(fields)
	for _, name := range []string{"labels", "annotations"} {
		texts, ok := fields[name].(map[string]any)
		if !ok {
			continue
		}
		hidden := make(map[string]any, len(texts))
		for _, key := range sortedKeys(texts) {
			hidden[key] = texts[key]
			if text, ok := texts[key].(string); ok && hides(text) {
				hidden[key] = replace(text)
			}
		}
		shown[name] = hidden
	}
	return shown
}

// MaskSecret returns a copy of a Secret for output: keys stay, values are replaced, also where a label
// or annotation holds one, and the annotation in which kubectl keeps a copy is left out. Other objects are returned as they are,
// but for that annotation where it holds a Secret.
func MaskSecret(u *unstructured.Unstructured) *unstructured.Unstructured {
	if !IsSecret(u) {
		return u
	}
	masked := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(u.Object)}
	if metadata, ok := masked.Object["metadata"]; ok {
		masked.Object["metadata"] = HideCopies(metadata, HidesSecret(u.Object), func(string) string { return Masked })
	}
	for _, field := range []string{"data", "stringData"} {
		switch values := masked.Object[field].(type) {
		case nil:
		case map[string]any:
			for key := range values {
				values[key] = Masked
			}
		default:
			masked.Object[field] = Masked
		}
	}
	if metadata, ok := masked.Object["metadata"].(map[string]any); ok {
		dropKeys(metadata, "annotations", annotationLastApplied)
	}
	return masked
}
