package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fluxcd/pkg/ssa"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// absentVersion, sent as the resource version of an apply, makes it a create: no object ever has it,
// so the API server answers 201 when there is none and 409 when there is one (seen on 1.36).
const absentVersion = "1"

// errForeign tells that an object is there and is not ours.
var errForeign = errors.New("exists and is not ours")

// apply creates or configures one object.
func (r *run) apply(j job) {
	r.m.state.begin(j.Key())
	o, changed, err := r.send(j)
	next := r.m.state.end(j.Key(), wrote{object: o})
	r.m.followWrite(j.Key(), o, next)
	switch {
	case err != nil:
		r.failed(j, err)
	case changed:
		r.finish(j, OutcomeApplied, ClassNone, "")
	default:
		r.finish(j, OutcomeUnchanged, ClassNone, "")
	}
}

// send does the requests of one operation. It returns the object as it is afterwards, also beside an
// error when part of the work was done, and whether anything changed.
func (r *run) send(j job) (*observed, bool, error) {
	res, err := r.address(j)
	if err != nil {
		return nil, false, err
	}
	if err := withinBounds(j, res); err != nil {
		return nil, false, err
	}
	if err := r.actAs(j.Identity); err != nil {
		return nil, false, err
	}
	s := sending{run: r, job: j, res: res, kind: kindID{GroupKind: gkOf(j.Operation), apiVersion: j.APIVersion}}
	before, _ := r.m.state.held(j.Key())
	var o *observed
	if j.Action == v1alpha1.ActionCreate {
		o, err = s.create()
	} else {
		o, err = s.configure(before)
	}
	if err != nil && r.mayRecreate(j, err) {
		o, err = s.recreate(before.UID)
	}
	if err != nil {
		return o, false, err
	}
	return o, o.resourceVersion != before.ResourceVersion, nil
}

// address finds the resource of an operation. A kind that is not served may have come since the last
// discovery.
func (r *run) address(j job) (resource, error) {
	res, err := r.m.mapper.lookup(gkOf(j.Operation), versionOf(j.APIVersion))
	if !errors.Is(err, errNotServed) {
		return res, err
	}
	if err := r.m.mapper.refresh(r.requests); err != nil {
		return resource{}, err
	}
	return r.m.mapper.lookup(gkOf(j.Operation), versionOf(j.APIVersion))
}

// sending is one operation under way.
type sending struct {
	*run
	job
	res  resource
	kind kindID
}

// create sends the object on condition that there is none. One that is there is ours after all, is
// adopted, or is a conflict.
func (s sending) create() (*observed, error) {
	for attempt := 1; ; attempt++ {
		o, err := s.patch(absentVersion)
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			if err != nil {
				return nil, err
			}
			return s.onCreateOnly(o)
		}
		live, getErr := s.get()
		switch {
		case apierrors.IsNotFound(getErr) && attempt < maxAttempts:
			continue
		case getErr != nil:
			return nil, getErr
		}
		return s.existing(live)
	}
}

// existing decides about an object that a create found in its place.
func (s sending) existing(live *unstructured.Unstructured) (*observed, error) {
	o := fromObject(s.kind, live, nil)
	if o.terminating {
		return nil, fmt.Errorf("%w for the old object of that name to be gone", errGate)
	}
	if s.isOurs(o) {
		if o.bare {
			if err := s.reown(); err != nil {
				return nil, err
			}
		}
		return s.patch("")
	}
	if o.controlled {
		owner := metav1.GetControllerOf(live)
		return nil, fmt.Errorf("%w: %s %q controls it", errForeign, owner.Kind, owner.Name)
	}
	if o.isSelf() && s.m.parents.otherHubs(s.m.opts.HubID) {
		// Two hubs that both overwrite would take it from each other for ever.
		return nil, fmt.Errorf("%w: it belongs to another hub on this cluster (%s)", errForeign, whose(live))
	}
	if !s.Adopt {
		return nil, fmt.Errorf("%w (%s); conflictResolution: Overwrite in %s would take it over", errForeign, whose(live), policiesOf(s.Operation))
	}
	if err := s.takeOver(live); err != nil {
		return nil, err
	}
	return s.patch("")
}

// isOurs tells whether an object that was not known to be ours is: it has all three marks, or has lost
// its label while no other hub is here to whom it might belong, or all entries of field managers while it
// has the label.
func (s sending) isOurs(o *observed) bool {
	id := o.setID()
	switch {
	case !o.isSelf() && (!o.isStripped() || id == ""):
		return false
	case id == "":
		return !s.m.parents.otherHubs(s.m.opts.HubID)
	}
	s.m.state.mu.Lock()
	defer s.m.state.mu.Unlock()
	return s.m.state.sets[id] != ""
}

// policiesOf says whose permission to take something over counts. A namespace goes wherever something in it goes.
func policiesOf(op *plan.Operation) string {
	if op.Kind == "Namespace" && op.Group() == "" {
		return "its policy, or that of something in it,"
	}
	return "its policy"
}

// whose says who wrote a foreign object, for messages.
func whose(u *unstructured.Unstructured) string {
	if set := u.GetLabels()[v1alpha1.LabelPartOf]; set != "" {
		return "it is part of ApplySet " + set
	}
	if ownsDigest(ownFieldsOf(u)) {
		return "it may be another hub's: it lost its label " + v1alpha1.LabelPartOf
	}
	for _, e := range u.GetManagedFields() {
		if e.Subresource == "" {
			return "written by " + strconv.Quote(e.Manager)
		}
	}
	return "written by someone unknown"
}

// takeOver makes the fields that kubectl owns on a foreign object ours, so that those which Git does
// not have go away with the next apply, and drops kubectl's copy of the manifest.
func (s sending) takeOver(live *unstructured.Unstructured) error {
	managers := []ssa.FieldManager{
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
		{Name: beforeFirstApply, OperationType: metav1.ManagedFieldsOperationUpdate},
	}
	patches, err := ssa.PatchReplaceFieldsManagers(live, managers, FieldManager)
	if err != nil {
		return fmt.Errorf("take over the fields of kubectl: %w", err)
	}
	patches = append(patches, ssa.PatchRemoveAnnotations(live, []string{"kubectl.kubernetes.io/last-applied-configuration"})...)
	if len(patches) == 0 {
		return nil
	}
	test := []any{map[string]any{"op": "test", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()}}
	for _, p := range patches {
		test = append(test, p)
	}
	body, err := json.Marshal(test)
	if err != nil {
		return err
	}
	_, err = s.write(s.requests, call{
		verb: "patch", method: http.MethodPatch, path: s.res.path(s.Namespace, s.Name), accept: acceptMetadata,
		contentType: contentJSONPatch, body: body, identity: s.Identity,
		query: url.Values{"fieldManager": {FieldManager}},
	})
	return err
}

// configure sends the object, after what stands in the way of that is put right: who owns its fields where
// nobody knows any more, and another owner for the fields that are let go.
func (s sending) configure(before plan.Held) (*observed, error) {
	if lostOwners(before) {
		if err := s.reown(); err != nil {
			return nil, err
		}
	}
	if len(s.HandOver) > 0 {
		return s.letGoOfFields()
	}
	return s.patch("")
}

// patch applies the manifest as our manager.
func (s sending) patch(resourceVersion string) (*observed, error) {
	body, err := s.body(resourceVersion)
	if err != nil {
		return nil, err
	}
	return s.applyBody(FieldManager, body, true)
}

// applyAs applies some fields of the object as another manager.
func (s sending) applyAs(manager string, fields map[string]any, resourceVersion string, force bool) (*observed, error) {
	metadata := cloneMap(fields["metadata"])
	metadata["name"] = s.Name
	if s.res.namespaced {
		metadata["namespace"] = s.Namespace
	}
	if resourceVersion != "" {
		metadata["resourceVersion"] = resourceVersion
	}
	fields["apiVersion"], fields["kind"] = s.APIVersion, s.Kind
	fields["metadata"] = metadata
	body, err := marshalPlain(fields)
	if err != nil {
		return nil, err
	}
	return s.applyBody(manager, body, force)
}

// applyBody sends one server-side apply. A namespace that is missing and that Git does not declare is
// created; a kind that became available a moment ago is waited for.
func (s sending) applyBody(manager string, body []byte, force bool) (*observed, error) {
	c := call{
		verb: "apply", method: http.MethodPatch, path: s.res.path(s.Namespace, s.Name),
		query:  url.Values{"fieldManager": {manager}, "force": {strconv.FormatBool(force)}},
		accept: acceptMetadata, contentType: contentApply, body: body, identity: s.Identity,
	}
	pause := firstPause
	for attempt := 1; ; attempt++ {
		ans, err := s.write(s.requests, c)
		if err == nil {
			return fromAnswer(s.kind, ans.body)
		}
		if namespace := missingNamespace(err); namespace != "" && attempt < maxAttempts {
			if err := s.namespaceFor(namespace, s.Identity); err != nil {
				return nil, err
			}
			continue
		}
		if !kindMissing(err) || !s.kindIsComing(s.job) || time.Now().After(s.deadline) {
			return nil, err
		}
		// The API server serves a new kind shortly after it says so, unless its definition has gone meanwhile.
		if err := s.pauseFor(pause); err != nil {
			return nil, err
		}
		pause = min(2*pause, time.Second)
	}
}

// pauseFor waits for d. The error tells that the caller or a change on the member put an end to waiting.
func (s sending) pauseFor(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.stop.Done():
		return errStopped
	case <-s.interrupted:
		return fmt.Errorf("%w for the API server to serve %s", errGate, s.kind.GroupKind)
	}
}

// get reads the whole live object.
func (s sending) get() (*unstructured.Unstructured, error) {
	ans, err := s.m.client.do(s.requests, call{
		verb: "get", method: http.MethodGet, path: s.res.path(s.Namespace, s.Name), accept: acceptJSON,
	})
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(ans.body, &u.Object); err != nil {
		return nil, fmt.Errorf("read the answer of the API server: %w", err)
	}
	return u, nil
}

// followWrite does what has to be done after a write.
func (m *Member) followWrite(key v1alpha1.ObjectKey, o *observed, next look) {
	switch {
	case next == lookNone:
	case o != nil:
		light := *o
		light.object = nil
		m.took(&light, next)
	default:
		m.checks.add(check{kind: gkOfKey(key), name: nameOf(key), compare: next == lookCompare})
	}
}
