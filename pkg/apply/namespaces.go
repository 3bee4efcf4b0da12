package apply

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

var namespaceResource = resource{
	GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, kind: "Namespace", listable: true,
}

// namespaceFor makes sure that a namespace is there which the API server says is missing. Who needs it
// creates it: a tenant's source gets no namespace that its account may not create.
func (r *run) namespaceFor(name, identity string) error {
	for i := range r.plan.Operations {
		op := &r.plan.Operations[i]
		if op.Kind == "Namespace" && op.Group() == "" && op.Name == name && op.Action != v1alpha1.ActionPrune {
			return fmt.Errorf("%w for namespace %q, which Git declares, to be there", errGate, name)
		}
	}
	return r.m.ensureNamespace(r.requests, r, name, identity)
}

// ensureNamespace creates a namespace that Git does not declare: without our label, since it is not
// ours to prune. Whoever needs it at the same time waits for the one that creates it.
func (m *Member) ensureNamespace(ctx context.Context, r *run, name, identity string) error {
	_, err, _ := r.namespaces.Do(name+" "+identity, func() (any, error) { return nil, m.createNamespace(ctx, r, name, identity) })
	return err
}

func (m *Member) createNamespace(ctx context.Context, r *run, name, identity string) error {
	if _, done := r.created.Load(name); done {
		return nil
	}
	body, err := marshalPlain(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}})
	if err != nil {
		return err
	}
	_, err = r.write(ctx, call{
		verb: "create", method: http.MethodPost, path: namespaceResource.collection(""), accept: acceptMetadata,
		query: url.Values{"fieldManager": {FieldManager}}, contentType: acceptJSON, body: body, identity: identity,
	})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %q: %w", name, err)
	}
	r.created.Store(name, true)
	return nil
}

// missingNamespace returns the namespace that a request failed for lack of.
func missingNamespace(err error) string {
	status, ok := statusOf(err)
	if !ok || status.Code != http.StatusNotFound || status.Details == nil || status.Details.Kind != "namespaces" {
		return ""
	}
	return status.Details.Name
}

// kindMissing tells whether a request failed since its path is not served, in contrast to an object
// that is not there.
func kindMissing(err error) bool {
	status, ok := statusOf(err)
	if !ok || status.Code != http.StatusNotFound {
		return false
	}
	return status.Details == nil || status.Details.Name == "" || strings.Contains(status.Message, "could not find the requested resource")
}
