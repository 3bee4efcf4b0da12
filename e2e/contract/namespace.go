package contract

import (
	"fmt"
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func namespaceStatements() []statement {
	return []statement{
		{name: "an absent one refuses content", check: namespaceAbsent},
		{name: "has a label with its name", check: namespaceLabel},
		{name: "in deletion refuses content", check: namespaceTerminating},
		{name: "of another name than the request is refused", check: namespaceOther},
		{name: "the default one cannot be deleted", check: namespaceDefault},
		{name: "takes its content along", controllers: true, check: namespaceContent},
		{name: "gets a service account and the root certificate", controllers: true, check: namespaceFurniture},
		{name: "endpoint slices carry the labels of their Service", controllers: true, check: namespaceSlices},
	}
}

func namespaceAbsent(t *testing.T, e *env) {
	name := e.ns + "-absent"
	in := e.dynamic.Resource(configMaps).Namespace(name)
	for what, try := range map[string]func() error{
		"create": func() error { _, err := in.Create(e.ctx, object(t, config), metav1.CreateOptions{}); return err },
		"apply": func() error {
			_, err := in.Apply(e.ctx, "c", object(t, config), metav1.ApplyOptions{FieldManager: manager})
			return err
		},
	} {
		st := wantCode(t, try(), http.StatusNotFound)
		if st.Message != fmt.Sprintf("namespaces %q not found", name) || st.Details == nil || st.Details.Kind != "namespaces" {
			t.Errorf("%s: %+v", what, st)
		}
	}
	// Reading is fine.
	if list, err := in.List(e.ctx, metav1.ListOptions{}); err != nil || len(list.Items) != 0 {
		t.Errorf("list: %v", err)
	}
}

func namespaceLabel(t *testing.T, e *env) {
	ns, err := e.dynamic.Resource(namespaces).Get(e.ctx, e.ns, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, ns, e.ns, "metadata", "labels", corev1.LabelMetadataName)
	want(t, ns, "Active", "status", "phase")
	want(t, ns, nil, "metadata", "generation")
}

func namespaceTerminating(t *testing.T, e *env) {
	other := e.env(t)
	// A finalizer on some content keeps it from going.
	other.apply(t, configMaps, manager, guarded)
	if err := e.dynamic.Resource(namespaces).Delete(e.ctx, other.ns, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	ns, err := e.dynamic.Resource(namespaces).Get(e.ctx, other.ns, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, ns, "Terminating", "status", "phase")
	if ns.GetDeletionTimestamp() == nil {
		t.Error("no deletionTimestamp")
	}
	_, err = other.in(configMaps).Apply(e.ctx, "d", object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: d}}`), metav1.ApplyOptions{FieldManager: manager})
	st := wantCode(t, err, http.StatusForbidden)
	if !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Errorf("no cause NamespaceTerminating in %+v", st.Details)
	}
	// What is there can still be changed.
	if _, err := other.patch(t, configMaps, "c", "application/merge-patch+json", `{"data":{"x":"y"}}`); err != nil {
		t.Errorf("change: %v", err)
	}
	other.release(t, configMaps, "c")
}

func namespaceOther(t *testing.T, e *env) {
	obj := object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: elsewhere}}`)
	_, err := e.in(configMaps).Create(e.ctx, obj, metav1.CreateOptions{})
	wantCode(t, err, http.StatusBadRequest)
}

func namespaceDefault(t *testing.T, e *env) {
	wantCode(t, e.dynamic.Resource(namespaces).Delete(e.ctx, "default", metav1.DeleteOptions{}), http.StatusForbidden)
}

func namespaceContent(t *testing.T, e *env) {
	other := e.env(t)
	other.apply(t, configMaps, manager, config)
	other.apply(t, deployments, manager, web)
	if err := e.dynamic.Resource(namespaces).Delete(e.ctx, other.ns, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	e.eventually(t, "the namespace is gone", func() bool {
		_, err := e.dynamic.Resource(namespaces).Get(e.ctx, other.ns, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	if !other.absent(configMaps, "c") || !other.absent(deployments, "web") {
		t.Error("content is left")
	}
}

func namespaceFurniture(t *testing.T, e *env) {
	e.eventually(t, "the service account and the certificate are there", func() bool {
		return !e.absent(serviceAccs, "default") && !e.absent(configMaps, "kube-root-ca.crt")
	})
}

func namespaceSlices(t *testing.T, e *env) {
	e.apply(t, services, manager, `{apiVersion: v1, kind: Service, metadata: {name: s, labels: {contract: copied}}, spec: {selector: {a: b}, ports: [{port: 80}]}}`)
	e.eventually(t, "there is an endpoint slice", func() bool {
		list, err := e.in(endpointSlices).List(e.ctx, metav1.ListOptions{LabelSelector: "contract=copied"})
		if err != nil || len(list.Items) != 1 {
			return false
		}
		owner := metav1.GetControllerOf(&list.Items[0])
		return owner != nil && owner.Kind == "Service" && owner.Name == "s"
	})
}
