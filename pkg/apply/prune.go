package apply

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// errProtected tells that an object must not be removed.
var errProtected = errors.New("stays")

// holdsData tells whether objects of a kind take other objects or data with them, so that they go only
// with armada-sync.io/prune: confirm on the live object, and are never recreated.
func holdsData(gk schema.GroupKind) bool {
	switch gk {
	case schema.GroupKind{Kind: "Namespace"}, schema.GroupKind{Kind: "PersistentVolumeClaim"},
		schema.GroupKind{Kind: "PersistentVolume"}, crdKind:
		return true
	}
	return false
}

// prune removes one object. The plan has decided that it goes; what is checked here is that it is still
// the object that the plan saw, that it is ours, and what the live object itself says.
func (r *run) prune(j job) {
	held, ok := r.m.state.held(j.Key())
	if !ok {
		r.finish(j, OutcomePruned, ClassNone, "")
		return
	}
	if j.Release {
		r.release(j)
		return
	}
	if why := r.inUse(j); why != "" {
		r.finish(j, OutcomeSkipped, ClassWait, why)
		return
	}
	err := r.actAs(j.Identity)
	if err == nil {
		err = r.mayRemove(j, held)
	}
	if err == nil {
		err = r.remove(j, held, metav1.DeletePropagationBackground)
	}
	switch {
	case err == nil:
		r.finish(j, OutcomePruned, ClassNone, "")
	case errors.Is(err, errProtected):
		r.finish(j, OutcomeSkipped, ClassStalled, err.Error())
	default:
		r.failed(j, err)
	}
}

// inUse says why an object that pods read must stay: a workload of its source and namespace should have
// been changed by this plan and was not, so that it may refer to it still.
func (r *run) inUse(j job) string {
	switch gkOf(j.Operation) {
	case schema.GroupKind{Kind: "ConfigMap"}, schema.GroupKind{Kind: "Secret"}, schema.GroupKind{Kind: "ServiceAccount"}:
	default:
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.plan.Operations {
		op := &r.plan.Operations[i]
		if op.Source != j.Source || op.Namespace != j.Namespace || (op.Group() != "apps" && op.Group() != "batch") {
			continue
		}
		if op.Action != v1alpha1.ActionCreate && op.Action != v1alpha1.ActionConfigure || op.Gate.NeedsReplan() {
			continue
		}
		if result := r.results[i]; result.Outcome == OutcomeFailed || result.Outcome == OutcomeSkipped {
			return fmt.Sprintf("stays until %s is applied, which may refer to it", op.ObjectReference)
		}
	}
	return ""
}

// mayRemove checks what the live object says about its removal.
func (r *run) mayRemove(j job, held plan.Held) error {
	switch {
	case !r.m.known():
		return fmt.Errorf("%w for the inventory of the cluster to be complete", errGate)
	case held.Terminating:
		return fmt.Errorf("%w for its removal to end", errGate)
	case !ownsDigest([]byte(held.OwnedFields)):
		return fmt.Errorf("%w: somebody took away what shows that it is ours (the annotation %s, or who owns it); remove it by hand",
			errProtected, v1alpha1.AnnotationDigest)
	case held.Detail().Prune == "disabled":
		return fmt.Errorf("%w: its annotation %s says disabled", errProtected, v1alpha1.AnnotationPrune)
	case holdsData(gkOf(j.Operation)) && held.Detail().Prune != "confirm":
		return fmt.Errorf("%w: a %s goes only with the annotation %s: confirm on the live object", errProtected, j.Kind, v1alpha1.AnnotationPrune)
	}
	if j.Kind == "Namespace" && j.Group() == "" {
		return r.onlyOurs(j.Name, j.Identity)
	}
	return nil
}

// remove deletes an object on condition that it is the one that is known. Where its version is not the
// latest, what has changed is looked at first.
func (r *run) remove(j job, held plan.Held, propagation metav1.DeletionPropagation) error {
	res, err := r.m.mapper.lookup(gkOf(j.Operation), "")
	if err != nil {
		return err
	}
	if err := withinBounds(j, res); err != nil {
		return err
	}
	kind := kindID{GroupKind: gkOf(j.Operation), apiVersion: res.GroupVersion().String()}
	r.m.state.begin(j.Key())
	var after wrote
	defer func() {
		next := r.m.state.end(j.Key(), after)
		r.m.followWrite(j.Key(), after.object, next)
	}()
	version := held.ResourceVersion
	for attempt := 1; ; attempt++ {
		o, err := r.delete(j, res, kind, held.UID, version, propagation)
		switch {
		case apierrors.IsNotFound(err):
			after.removed = true
			return nil
		case r.outrun(err, attempt):
			if version, err = r.stillOurs(j, res, kind, held); err != nil {
				return err
			}
			if version == "" {
				after.removed = true
				return nil
			}
			continue
		case err != nil:
			return err
		}
		after.object, after.removed = o, o == nil
		return nil
	}
}

func (r *run) delete(j job, res resource, kind kindID, uid, version string, propagation metav1.DeletionPropagation) (*observed, error) {
	body, err := deleteOptions(uid, version, propagation)
	if err != nil {
		return nil, err
	}
	stands := func() error { return r.m.mayDelete(j.Key()) }
	if j.Action != v1alpha1.ActionPrune {
		// It is made anew right after, which no plan is asked about.
		stands = nil
	}
	ans, err := r.write(r.requests, call{
		verb: "delete", method: http.MethodDelete, path: res.path(j.Namespace, j.Name), accept: acceptMetadata,
		contentType: acceptJSON, body: body, identity: j.Identity, stands: stands,
	})
	if err != nil {
		return nil, err
	}
	o, err := fromAnswer(kind, ans.body)
	if err != nil || o == nil || !o.terminating {
		// Some kinds answer with the object as it was; without a deletion time it is gone.
		return nil, err
	}
	return o, nil
}

// stillOurs looks at an object whose deletion was refused since it is not as known. It returns the
// version to delete, or "" when the object that was to go is gone.
func (r *run) stillOurs(j job, res resource, kind kindID, held plan.Held) (string, error) {
	ans, err := r.m.client.do(r.requests, call{
		verb: "get", method: http.MethodGet, path: res.path(j.Namespace, j.Name), accept: acceptMetadata,
	})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	o, err := fromAnswer(kind, ans.body)
	switch {
	case err != nil || o == nil:
		return "", err
	case string(o.uid) != held.UID:
		return "", nil
	case !o.isSelf():
		return "", fmt.Errorf("%w: it is not ours any more", errProtected)
	case o.annotations[v1alpha1.AnnotationPrune] != held.Detail().Prune:
		return "", fmt.Errorf("%w: its annotation %s has changed", errProtected, v1alpha1.AnnotationPrune)
	}
	return o.resourceVersion, nil
}

// deleteOptions encodes the body of a DELETE.
func deleteOptions(uid, version string, propagation metav1.DeletionPropagation) ([]byte, error) {
	return marshalPlain(map[string]any{
		"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": string(propagation),
		"preconditions": map[string]string{"uid": uid, "resourceVersion": version},
	})
}

// onlyOurs checks that a namespace holds nothing of anyone else before it is removed with all that is
// in it. What Kubernetes itself puts into every namespace does not count, nor does what belongs to
// another object. Someone who acts as an account is not told names that the account might not see.
func (r *run) onlyOurs(namespace, identity string) error {
	if failing := r.m.mapper.failures(); len(failing) > 0 {
		return fmt.Errorf("%w: nobody can tell what namespace %q holds while %s", errGate, namespace, failing[0])
	}
	for _, res := range r.m.mapper.all() {
		if !res.namespaced || transient(res) {
			continue
		}
		ans, err := r.m.client.do(r.requests, call{
			verb: "list", method: http.MethodGet, path: res.collection(namespace), accept: acceptMetadataList,
			query: url.Values{"limit": {strconv.Itoa(foreignSample)}, "labelSelector": {"!" + v1alpha1.LabelPartOf}},
		})
		if err != nil {
			return fmt.Errorf("look for foreign %s in namespace %q: %w", res.Resource, namespace, err)
		}
		name, err := firstForeign(res, ans.body)
		if err != nil {
			return err
		}
		if name != "" && identity != "" {
			return fmt.Errorf("%w: it holds a %s which is not ours", errProtected, res.kind)
		}
		if name != "" {
			return fmt.Errorf("%w: it holds %s %q, which is not ours", errProtected, res.kind, name)
		}
	}
	return nil
}

// mayRecreate tells whether an object may be removed and created again to get past an immutable field.
func (r *run) mayRecreate(j job, err error) bool {
	return immutableField(gkOf(j.Operation), err) != "" && !holdsData(gkOf(j.Operation)) &&
		j.Manifest.GetAnnotations()[v1alpha1.AnnotationRecreate] == "allowed"
}

// recreate removes the object and creates it again. The pods of a StatefulSet stay and are taken over.
func (s sending) recreate(uid string) (*observed, error) {
	err := s.removeOld(uid)
	for attempt := 1; s.outrun(err, attempt); attempt++ {
		err = s.removeOld(uid)
	}
	if err != nil {
		return nil, fmt.Errorf("recreate: %w", err)
	}
	pause := firstPause
	for {
		created, err := s.create()
		if !errors.Is(err, errGate) {
			return created, err
		}
		// The old one has finalizers, or its dependents are being orphaned.
		if sleep(s.stop, pause) != nil || !s.beforeDeadline() {
			return nil, err
		}
		pause = min(2*pause, maxRecreatePause)
	}
}

// removeOld removes the object that is to be made anew, where it is still the one with the uid and ours.
func (s sending) removeOld(uid string) error {
	live, err := s.get()
	if err != nil {
		return err
	}
	o := fromObject(s.kind, live, nil)
	if uid != "" && string(o.uid) != uid || !s.isOurs(o) {
		return errForeign
	}
	propagation := metav1.DeletePropagationBackground
	if s.kind.Kind == "StatefulSet" {
		propagation = metav1.DeletePropagationOrphan
	}
	_, err = s.delete(s.job, s.res, s.kind, string(o.uid), o.resourceVersion, propagation)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
