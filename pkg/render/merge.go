package render

import (
	"errors"
	"fmt"
	"reflect"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// builtinScheme knows the built-in types in their stable versions, for the sake of their patch keys.
func builtinScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	var errs []error
	for _, add := range []func(*runtime.Scheme) error{
		admissionregistrationv1.AddToScheme, appsv1.AddToScheme, autoscalingv1.AddToScheme, autoscalingv2.AddToScheme,
		batchv1.AddToScheme, certificatesv1.AddToScheme, coordinationv1.AddToScheme, corev1.AddToScheme,
		discoveryv1.AddToScheme, flowcontrolv1.AddToScheme, networkingv1.AddToScheme, nodev1.AddToScheme,
		policyv1.AddToScheme, rbacv1.AddToScheme, resourcev1.AddToScheme, schedulingv1.AddToScheme,
		storagev1.AddToScheme, apiextensionsv1.AddToScheme,
	} {
		errs = append(errs, add(scheme))
	}
	return scheme, errors.Join(errs...)
}

// mergeStep is one strategic merge patch.
type mergeStep struct {
	patch map[string]any
	raw   []byte
}

func compileMerge(raw []byte) (step, error) {
	s := mergeStep{raw: raw}
	if err := utiljson.Unmarshal(raw, &s.patch); err != nil || s.patch == nil {
		return nil, fmt.Errorf("a strategic merge patch must be a map")
	}
	return s, nil
}

// apply merges by the patch keys of a built-in type, and by the list keys of a custom one that is defined.
// For other types it is a JSON merge patch (RFC 7386), in which a list replaces a list, and a note says so.
func (s mergeStep) apply(w *work) error {
	meta, err := w.rules.patchMeta(w.apiVersion, w.kind)
	if err != nil {
		return err
	}
	if custom := w.custom.Structural(w.apiVersion, w.kind); meta == nil && custom != nil {
		merged, err := mergeCustom(w.object, s.patch, custom)
		if err != nil {
			return fmt.Errorf("the patch cannot be merged%s", w.detail(err))
		}
		w.merged(merged)
		return nil
	}
	if meta == nil {
		w.note(v1alpha1.FindingJSONMergeUsed, "the patch keys of %s %s are not known: lists were replaced, not merged (JSON merge patch)", w.apiVersion, w.kind)
		merged, err := jsonpatch.MergePatch(canonicalJSON(w.object), s.raw)
		if err != nil {
			return fmt.Errorf("the patch cannot be merged%s", w.detail(err))
		}
		object, err := decodeObject(merged)
		if err != nil {
			return err
		}
		w.merged(object)
		return nil
	}
	merged, err := strategicMerge(w.object, s.patch, meta)
	if err != nil {
		return fmt.Errorf("the patch cannot be merged%s", w.detail(err))
	}
	w.merged(merged)
	return nil
}

// merged makes the result of a merge the object and notes which fields the patch changed.
func (w *work) merged(object map[string]any) {
	t := &tracer{
		after: map[string]writer{},
		by: func(pointer string) writer {
			w.wrote(pointer)
			return writer{}
		},
	}
	t.walk(w.object, object, "", "")
	if !t.changed {
		w.idle("the patch changes nothing")
	}
	w.become(object)
}

// strategicMerge guards the library, which panics on patches whose types contradict the schema.
func strategicMerge(object, patch map[string]any, meta strategicpatch.LookupPatchMeta) (merged map[string]any, err error) {
	defer func() {
		if r := recover(); r != nil {
			merged, err = nil, fmt.Errorf("its types do not fit the schema")
		}
	}()
	// The library works on both of its arguments in place.
	result, err := strategicpatch.StrategicMergeMapPatchUsingLookupPatchMeta(
		runtime.DeepCopyJSON(object), runtime.DeepCopyJSON(patch), meta)
	if err != nil {
		return nil, err
	}
	return result, nil
}

// patchMeta returns the patch keys of a built-in type; nil for other types.
func (r *Renderer) patchMeta(apiVersion, kind string) (strategicpatch.LookupPatchMeta, error) {
	scheme, err := r.scheme()
	if err != nil {
		return nil, fmt.Errorf("the built-in types are not available: %w", err)
	}
	t, ok := scheme.AllKnownTypes()[schema.FromAPIVersionAndKind(apiVersion, kind)]
	if !ok {
		return nil, nil
	}
	return strategicpatch.NewPatchMetaFromStruct(reflect.New(t).Interface())
}
