package apply

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestALateEventDoesNotReviveWhatWasRemoved states that an event from before a removal, which comes after
// its answer, says nothing about what is there, and that one of the next object of that name does.
func TestALateEventDoesNotReviveWhatWasRemoved(t *testing.T) {
	t.Parallel()
	kind := schema.GroupKind{Kind: "ConfigMap"}
	s := newState(func(schema.GroupKind) bool { return false }, func() {})
	s.know("set", "armada-system/shop")
	object := func(uid, version string) *observed {
		return &observed{
			key:        v1alpha1.ObjectKey{Kind: "ConfigMap", Namespace: "shop", Name: "settings"},
			apiVersion: "v1", uid: types.UID(uid), resourceVersion: version,
			labels:      map[string]string{v1alpha1.LabelPartOf: "set"},
			annotations: map[string]string{v1alpha1.AnnotationDigest: "v1:1"},
			owned:       []byte(`{"f:metadata":{"f:annotations":{"f:armada-sync.io/digest":{}}}}`),
		}
	}
	holds := func() bool { return s.all().Get(object("", "").key) != nil }

	s.see(object("first", "10"))
	if !holds() {
		t.Fatal("an object of ours is not held")
	}
	s.begin(object("", "").key)
	s.end(object("", "").key, wrote{removed: true})
	s.see(object("first", "11"))
	if holds() {
		t.Error("a status that was written before the removal revived the object")
	}
	s.missed(kind, object("", "").name())
	s.see(object("second", "20"))
	if !holds() {
		t.Error("the next object of that name is not held")
	}
}
