package contract

import (
	"bytes"
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// owned returns the field set of a manager with an operation, empty if it has
// none. The subresource is that of the entry.
func owned(t *testing.T, obj metav1.Object, who string, op metav1.ManagedFieldsOperationType, subresource string) *fieldpath.Set {
	t.Helper()
	set := fieldpath.NewSet()
	for _, entry := range obj.GetManagedFields() {
		if entry.Manager != who || entry.Operation != op || entry.Subresource != subresource {
			continue
		}
		if err := set.FromJSON(bytes.NewReader(entry.FieldsV1.GetRawBytes())); err != nil {
			t.Fatalf("read fieldsV1: %v", err)
		}
	}
	return set
}

// applied returns the field set that a manager applied.
func applied(t *testing.T, obj metav1.Object, who string) *fieldpath.Set {
	t.Helper()
	return owned(t, obj, who, metav1.ManagedFieldsOperationApply, "")
}

func field(parts ...any) fieldpath.Path { return fieldpath.MakePathOrDie(parts...) }

func mustOwn(t *testing.T, set *fieldpath.Set, path fieldpath.Path) {
	t.Helper()
	if !set.Has(path) {
		t.Errorf("%s is not owned; owned:\n%s", path, set)
	}
}

func mustNotOwn(t *testing.T, set *fieldpath.Set, path fieldpath.Path) {
	t.Helper()
	if set.Has(path) {
		t.Errorf("%s is owned", path)
	}
}

// want compares a field of an object; nil means that it must be absent.
func want(t *testing.T, obj *unstructured.Unstructured, value any, path ...string) {
	t.Helper()
	got, found, err := unstructured.NestedFieldNoCopy(obj.Object, path...)
	if err != nil {
		t.Fatalf("read %v: %v", path, err)
	}
	switch {
	case value == nil && found:
		t.Errorf("%v = %v, want it absent", path, got)
	case value != nil && got != value:
		t.Errorf("%v = %v (%T), want %v", path, got, got, value)
	}
}

// status returns the Status behind an error, which must be one of the API's.
func status(t *testing.T, err error) metav1.Status {
	t.Helper()
	var api apierrors.APIStatus
	if !errors.As(err, &api) {
		t.Fatalf("got %v (%T), want an API error", err, err)
	}
	return api.Status()
}

// wantCode checks the HTTP status of an error.
func wantCode(t *testing.T, err error, code int32) metav1.Status {
	t.Helper()
	if err == nil {
		t.Fatalf("the request succeeded, want %d", code)
	}
	st := status(t, err)
	if st.Code != code {
		t.Fatalf("got %d %s: %s, want %d", st.Code, st.Reason, st.Message, code)
	}
	return st
}

// hasCause says whether a Status names a field with a cause.
func hasCause(st metav1.Status, kind metav1.CauseType, field string) bool {
	if st.Details == nil {
		return false
	}
	for _, c := range st.Details.Causes {
		if c.Type == kind && c.Field == field {
			return true
		}
	}
	return false
}

func wantCause(t *testing.T, st metav1.Status, kind metav1.CauseType, field string) {
	t.Helper()
	if !hasCause(st, kind, field) {
		t.Errorf("no cause %s at %q in %+v", kind, field, st.Details)
	}
}
