package placement

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Extracted are the facts of an object that placement asks for.
type Extracted struct {
	// Replicas is what a division divides; nil: the object has none and goes whole to every cluster.
	Replicas *int64
	// Requests is what one replica, or one pod of an object without replicas, asks for.
	Requests corev1.ResourceList
	// Stateful objects are pinned by nature: StatefulSets, whatever mounts a PersistentVolumeClaim,
	// and those annotated armada-sync.io/failover: never.
	Stateful bool
	// PinnedOnceStarted objects are pinned where they have started: Jobs and Pods.
	PinnedOnceStarted bool
	// Indivisible objects go whole to one cluster under Divided: Pods and Indexed Jobs.
	Indivisible bool
	// ReplicasField is the path of the field that carries the share, such as spec.replicas or, for a
	// Job, spec.parallelism; nil where there is none.
	ReplicasField []string
}

// failoverAnnotation pins an object when its value is "never".
const failoverAnnotation = "armada-sync.io/failover"

// Extract reads the facts of an object: Deployment, StatefulSet, ReplicaSet, ReplicationController,
// Job, CronJob, DaemonSet, Pod, and any other kind with an integer spec.replicas. An error names a
// field that has another type than its kind's; the facts are then those that could be read.
func Extract(content map[string]any) (Extracted, error) {
	var e Extracted
	e.Stateful = text(content, "metadata", "annotations", failoverAnnotation) == "never"
	template, err := e.readKind(content)
	if err != nil {
		return e, err
	}
	if template == nil {
		return e, nil
	}
	if err := checkQuantities(template); err != nil {
		return e, fmt.Errorf("read the pod of %s %q: %w", text(content, "kind"), text(content, "metadata", "name"), err)
	}
	var spec corev1.PodSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, &spec); err != nil {
		return e, fmt.Errorf("read the pod of %s %q: %w", text(content, "kind"), text(content, "metadata", "name"), err)
	}
	e.Requests = PodRequests(&spec)
	for i := range spec.Volumes {
		if spec.Volumes[i].PersistentVolumeClaim != nil {
			e.Stateful = true
		}
	}
	return e, nil
}

// readKind fills in what depends on the kind and returns the pod's spec, nil where there is none.
func (e *Extracted) readKind(content map[string]any) (map[string]any, error) {
	group, _, _ := splitAPIVersion(text(content, "apiVersion"))
	switch kind := text(content, "kind"); {
	case group == "apps" && (kind == "Deployment" || kind == "StatefulSet" || kind == "ReplicaSet"),
		group == "" && kind == "ReplicationController":
		e.Stateful = e.Stateful || kind == "StatefulSet"
		one := int64(1)
		e.Replicas, e.ReplicasField = &one, []string{"spec", "replicas"}
		n, found, err := integer(content, "spec", "replicas")
		if err != nil {
			return nil, err
		}
		if found {
			e.Replicas = &n
		}
		return object(content, "spec", "template", "spec"), nil
	case group == "apps" && kind == "DaemonSet":
		return object(content, "spec", "template", "spec"), nil
	case group == "batch" && kind == "CronJob":
		return object(content, "spec", "jobTemplate", "spec", "template", "spec"), nil
	case group == "batch" && kind == "Job":
		return object(content, "spec", "template", "spec"), e.readJob(content)
	case group == "" && kind == "Pod":
		one := int64(1)
		e.Replicas, e.Indivisible, e.PinnedOnceStarted = &one, true, true
		return object(content, "spec"), nil
	}
	// What another kind has as spec.replicas that is no whole number is not ours to judge.
	n, found, err := integer(content, "spec", "replicas")
	if divisible := found && err == nil; !divisible {
		return nil, nil
	}
	e.Replicas, e.ReplicasField = &n, []string{"spec", "replicas"}
	template := object(content, "spec", "template", "spec")
	if _, pods := template["containers"].([]any); !pods {
		return nil, nil
	}
	return template, nil
}

// readJob reads min(parallelism or 1, completions where set).
func (e *Extracted) readJob(content map[string]any) error {
	parallelism, found, err := integer(content, "spec", "parallelism")
	if err != nil {
		return err
	}
	if !found {
		parallelism = 1
	}
	completions, bounded, err := integer(content, "spec", "completions")
	if err != nil {
		return err
	}
	if bounded {
		parallelism = min(parallelism, completions)
	}
	e.Replicas, e.ReplicasField = &parallelism, []string{"spec", "parallelism"}
	e.Indivisible = text(content, "spec", "completionMode") == "Indexed"
	e.PinnedOnceStarted = true
	return nil
}

// splitAPIVersion returns the group and the version.
func splitAPIVersion(apiVersion string) (group, version string, hasGroup bool) {
	for i := range len(apiVersion) {
		if apiVersion[i] == '/' {
			return apiVersion[:i], apiVersion[i+1:], true
		}
	}
	return "", apiVersion, false
}

func value(content map[string]any, path ...string) any {
	var at any = content
	for _, key := range path {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[key]
	}
	return at
}

func object(content map[string]any, path ...string) map[string]any {
	m, _ := value(content, path...).(map[string]any)
	return m
}

func text(content map[string]any, path ...string) string {
	s, _ := value(content, path...).(string)
	return s
}

// checkQuantities refuses the quantities of a pod's spec that would take hours to read.
func checkQuantities(value any) error {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			var err error
			switch key {
			case "requests", "limits", "overhead", "sizeLimit", "divisor":
				err = checkEach(v[key])
			default:
				err = checkQuantities(v[key])
			}
			if err != nil {
				return err
			}
		}
	case []any:
		for _, item := range v {
			if err := checkQuantities(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkEach checks a quantity, or each of a map of them.
func checkEach(value any) error {
	switch v := value.(type) {
	case string:
		return v1alpha1.CheckQuantity(v)
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := checkEach(v[key]); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return nil
}

// integer reads a whole number that is not negative; found is false where the field is absent or null.
func integer(content map[string]any, path ...string) (n int64, found bool, err error) {
	switch v := value(content, path...).(type) {
	case nil:
		return 0, false, nil
	case int64:
		n = v
	case int:
		n = int64(v)
	case int32:
		n = int64(v)
	case float64:
		if v != math.Trunc(v) || math.Abs(v) >= math.MaxInt64 {
			return 0, false, fmt.Errorf("%s is %v, want a whole number", dotted(path), v)
		}
		n = int64(v)
	case json.Number:
		if n, err = v.Int64(); err != nil {
			return 0, false, fmt.Errorf("%s is %q, want a whole number", dotted(path), v)
		}
	default:
		return 0, false, fmt.Errorf("%s is %v, want a whole number", dotted(path), v)
	}
	if n < 0 {
		return 0, false, fmt.Errorf("%s is %d, want 0 or more", dotted(path), n)
	}
	return n, true, nil
}

func dotted(path []string) string {
	s := ""
	for i, p := range path {
		if i > 0 {
			s += "."
		}
		s += p
	}
	return s
}
