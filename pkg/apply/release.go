package apply

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// release lets go of one object whose source is deleted and leaves it behind: our label and annotations and our
// field managers are taken off, and nothing else of it changes, so that whoever comes next, such as kubectl,
// finds it like any other.
func (r *run) release(j job) {
	err := r.actAs(j.Identity)
	if err == nil {
		err = r.letGo(j)
	}
	if err != nil {
		r.failed(j, err)
		return
	}
	r.finish(j, OutcomePruned, ClassNone, "")
}

// letGo sends what release says, on condition that the object is as it was seen.
func (r *run) letGo(j job) error {
	res, err := r.m.mapper.lookup(gkOf(j.Operation), "")
	if err != nil {
		return err
	}
	kind := kindID{GroupKind: gkOf(j.Operation), apiVersion: res.GroupVersion().String()}
	r.m.state.begin(j.Key())
	var after wrote
	defer func() {
		next := r.m.state.end(j.Key(), after)
		r.m.followWrite(j.Key(), after.object, next)
	}()
	for attempt := 1; ; attempt++ {
		live, err := r.metadata(j, res)
		if apierrors.IsNotFound(err) {
			after.removed = true
			return nil
		}
		if err != nil {
			return err
		}
		if string(live.UID) != j.ExpectedUID || !fromMetadata(kind, live).isSelf() {
			after.removed = true
			return nil
		}
		body, err := released(live)
		if err != nil {
			return err
		}
		_, err = r.write(r.requests, call{
			verb: "patch", method: http.MethodPatch, path: res.path(j.Namespace, j.Name), query: url.Values{"fieldManager": {FieldManager}},
			accept: acceptMetadata, contentType: string(types.MergePatchType), body: body, identity: j.Identity,
		})
		if r.outrun(err, attempt) {
			continue
		}
		if err == nil || apierrors.IsNotFound(err) {
			after.removed = true
			return nil
		}
		return err
	}
}

// metadata reads the metadata of an object.
func (r *run) metadata(j job, res resource) (*metav1.PartialObjectMetadata, error) {
	ans, err := r.m.client.do(r.requests, call{
		verb: "get", method: http.MethodGet, path: res.path(j.Namespace, j.Name), accept: acceptMetadata, identity: j.Identity,
	})
	if err != nil {
		return nil, err
	}
	var live metav1.PartialObjectMetadata
	if err := json.Unmarshal(ans.body, &live); err != nil {
		return nil, fmt.Errorf("read %s: %w", j.ObjectReference, err)
	}
	return &live, nil
}

// released is the merge patch that takes off what is ours.
func released(live *metav1.PartialObjectMetadata) ([]byte, error) {
	rest := slices.DeleteFunc(slices.Clone(live.ManagedFields), func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == FieldManager || m.Manager == HandOverManager
	})
	if len(rest) == 0 {
		// An empty list is taken for none; one empty entry clears it.
		rest = []metav1.ManagedFieldsEntry{{}}
	}
	return marshalPlain(map[string]any{"metadata": map[string]any{
		"uid": live.UID, "resourceVersion": live.ResourceVersion, "managedFields": rest,
		"labels": map[string]any{v1alpha1.LabelPartOf: nil},
		"annotations": map[string]any{
			v1alpha1.AnnotationDigest: nil, v1alpha1.AnnotationSource: nil, v1alpha1.AnnotationReplicas: nil,
		},
	}})
}
