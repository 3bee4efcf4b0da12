package immutable_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/plan/immutable"
)

// TestChanged says of single changes whether an API server refuses them.
func TestChanged(t *testing.T) {
	for _, c := range []struct {
		kind     string
		old, new string
		change   immutable.Change
		want     string
		reason   string
	}{
		{"apps/Deployment", "", "", immutable.Change{Pointer: "/spec/selector/matchLabels/app", Old: "a", New: "b"}, "spec.selector", "a selector stays"},
		{"apps/Deployment", "", "", immutable.Change{Pointer: "/spec/template/metadata/labels/app", Old: "a", New: "b"}, "", "a template may change"},
		{"apps/Deployment", "", "", immutable.Change{Pointer: "/spec", New: map[string]any{"selector": map[string]any{}}}, "spec.selector", "what is around it appears"},
		{"apps/StatefulSet", "", "", immutable.Change{Pointer: "/spec/serviceName", Old: "a", New: "b"}, "spec.serviceName", ""},
		{"apps/StatefulSet", "", "", immutable.Change{Pointer: "/spec/podManagementPolicy", New: "OrderedReady"}, "", "the default, written out"},
		{"apps/StatefulSet", "", "", immutable.Change{Pointer: "/spec/podManagementPolicy", New: "Parallel"}, "spec.podManagementPolicy", ""},
		{"apps/StatefulSet", "", "", immutable.Change{Pointer: "/spec/volumeClaimTemplates/0/spec/resources/requests/storage", Old: "1Gi", New: "2Gi"}, "spec.volumeClaimTemplates", "not even to grow"},
		{"apps/StatefulSet", "", "", immutable.Change{Pointer: "/spec/replicas", Old: int64(1), New: int64(2)}, "", ""},
		{"/Service", "", "", immutable.Change{Pointer: "/spec/clusterIP", New: "None"}, "spec.clusterIP unless chosen", "it has an address by now"},
		{"/Service", "", "", immutable.Change{Pointer: "/spec/clusterIP", Old: "None"}, "", "left out, it is kept"},
		{"/Service", "{spec: {type: ExternalName}}", "", immutable.Change{Pointer: "/spec/clusterIP", New: "None"}, "", "a name has no address yet"},
		{"/Service", "", "", immutable.Change{Pointer: "/spec/ports/0/port", Old: int64(80), New: int64(81)}, "", ""},
		{"/PersistentVolumeClaim", "", "", immutable.Change{Pointer: "/spec/accessModes", Old: []any{"a"}, New: []any{"b"}}, "spec.accessModes", ""},
		{"/PersistentVolumeClaim", "", "", immutable.Change{Pointer: "/spec/resources/requests/storage", Old: "1Gi", New: "2Gi"}, "", "growing is another matter"},
		{"/PersistentVolumeClaim", "", "", immutable.Change{Pointer: "/spec/storageClassName", New: "fast"}, "spec.storageClassName unless chosen", "the default class may be just that"},
		{"/PersistentVolumeClaim", "", "", immutable.Change{Pointer: "/spec/storageClassName", Old: "slow", New: "fast"}, "spec.storageClassName", ""},
		{"/ConfigMap", "{immutable: true}", "", immutable.Change{Pointer: "/data/a", Old: "1", New: "2"}, "data", ""},
		{"/ConfigMap", "{}", "{immutable: true}", immutable.Change{Pointer: "/immutable", New: true}, "", "it may become so"},
		{"/Secret", "", "", immutable.Change{Pointer: "/type", New: "Opaque"}, "", "the default, written out"},
		{"/Secret", "", "", immutable.Change{Pointer: "/type", Old: "Opaque", New: "kubernetes.io/tls"}, "type", ""},
		{"rbac.authorization.k8s.io/RoleBinding", "", "", immutable.Change{Pointer: "/roleRef/name", Old: "view", New: "edit"}, "roleRef", ""},
		{"rbac.authorization.k8s.io/RoleBinding", "", "", immutable.Change{Pointer: "/subjects/0/name", Old: "view", New: "edit"}, "", ""},
		{"batch/Job", "", "", immutable.Change{Pointer: "/spec/template/spec/containers/0/image", Old: "a", New: "b"}, "spec.template", ""},
		{"batch/Job", "{spec: {suspend: true}}", "", immutable.Change{Pointer: "/spec/template/metadata/labels/a", New: "b"}, "", "left to the API server"},
		{"batch/Job", "", "", immutable.Change{Pointer: "/spec/template/spec/dnsPolicy", New: "ClusterFirst"}, "", "the default, written out"},
		{"batch/Job", "", "", immutable.Change{Pointer: "/spec/parallelism", Old: int64(1), New: int64(2)}, "", ""},
		{"batch/CronJob", "", "", immutable.Change{Pointer: "/spec/jobTemplate/spec/template/spec/containers/0/image", Old: "a", New: "b"}, "", "its Jobs are made anew"},
		{"/Pod", "", "", immutable.Change{Pointer: "/spec/containers/0/image", Old: "a", New: "b"}, "", ""},
		{"/Pod", "", "", immutable.Change{Pointer: "/spec/containers/0/command", New: []any{"a"}}, "spec.containers", ""},
		{"scheduling.k8s.io/PriorityClass", "", "", immutable.Change{Pointer: "/value", Old: int64(1), New: int64(2)}, "value", ""},
		{"storage.k8s.io/StorageClass", "", "", immutable.Change{Pointer: "/reclaimPolicy", New: "Delete"}, "", "the default, written out"},
		{"storage.k8s.io/StorageClass", "", "", immutable.Change{Pointer: "/parameters/type", Old: "ssd", New: "hdd"}, "parameters", ""},
	} {
		group, kind, _ := strings.Cut(c.kind, "/")
		got := ""
		for _, f := range immutable.Changed(schema.GroupKind{Group: group, Kind: kind}, object(t, c.old), object(t, c.new), []immutable.Change{c.change}) {
			got = f.Name
			if f.Unless {
				got += " unless chosen"
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s, %s: %s (-want +got):\n%s", c.kind, c.change.Pointer, c.reason, diff)
		}
	}
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}
