//go:build e2e

package story_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/e2e/await"
	"github.com/armada-sync/armada-sync/e2e/fleet"
)

// user is who the controller is to the members, so that their audit logs tell its requests from ours.
const user = "armada-sync"

// What the controller puts on objects, spelled as the documentation does. The names are not imported:
// a test that shared the constants would follow a typo in them.
const (
	partOfLabel      = "applyset.kubernetes.io/part-of"
	setIDLabel       = "applyset.kubernetes.io/id"
	toolingNote      = "applyset.kubernetes.io/tooling"
	groupKindsNote   = "applyset.kubernetes.io/contains-group-kinds"
	namespacesNote   = "applyset.kubernetes.io/additional-namespaces"
	digestAnnotation = "armada-sync.io/digest"
	sourceAnnotation = "armada-sync.io/source"
	sharesAnnotation = "armada-sync.io/replicas"
	hubAnnotation    = "armada-sync.io/hub"
	systemNamespace  = "armada-system"
	manager          = "armada-sync"
)

// member is one cluster as its administrator sees it.
type member struct {
	*fleet.Cluster
	typed   kubernetes.Interface
	dynamic dynamic.Interface
	// kinds are all that can be listed.
	kinds []kind
}

type kind struct {
	schema.GroupVersionResource
	name       string
	namespaced bool
}

func newMember(t *testing.T, c *fleet.Cluster) *member {
	t.Helper()
	m := &member{Cluster: c}
	var err error
	if m.typed, err = kubernetes.NewForConfig(c.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	config := c.RESTConfig()
	config.WarningHandler = rest.NoWarnings{} // Every kind is listed, deprecated ones too.
	if m.dynamic, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	lists, err := discovery.ServerPreferredResources(m.typed.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range l.APIResources {
			// Events are listed twice, under two groups, and nobody manages them. Endpoints are made by
			// Kubernetes with all labels of their Service and without an owner.
			if slices.Contains(r.Verbs, "watch") && r.Kind != "Event" && r.Kind != "Endpoints" {
				m.kinds = append(m.kinds, kind{gv.WithResource(r.Name), r.Kind, r.Namespaced})
			}
		}
	}
	return m
}

// object names an object for people and as a key: "Kind namespace/name", "Kind name".
func object(kind, namespace, name string) string {
	if namespace == "" {
		return kind + " " + name
	}
	return kind + " " + namespace + "/" + name
}

func nameOf(u *unstructured.Unstructured) string {
	return object(u.GetKind(), u.GetNamespace(), u.GetName())
}

// labelled returns every object of the cluster that carries the ApplySet label, apart from copies of
// the label on what a controller of Kubernetes made (an EndpointSlice has its Service's labels).
func (m *member) labelled(ctx context.Context) (map[string]*unstructured.Unstructured, error) {
	found := map[string]*unstructured.Unstructured{}
	for _, k := range m.kinds {
		list, err := m.dynamic.Resource(k.GroupVersionResource).List(ctx, metav1.ListOptions{LabelSelector: partOfLabel})
		if err != nil {
			return nil, fmt.Errorf("list %s on %s: %w", k.Resource, m.Name, err)
		}
		for i := range list.Items {
			if metav1.GetControllerOf(&list.Items[i]) == nil {
				found[nameOf(&list.Items[i])] = &list.Items[i]
			}
		}
	}
	return found, nil
}

// on runs f for every member side by side and returns their errors.
func on(members []*member, f func(*member) error) error {
	var group sync.WaitGroup
	errs := make([]error, len(members))
	for i, m := range members {
		group.Go(func() { errs[i] = f(m) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// resource returns the client for a kind.
func (m *member) resource(kind, namespace string) dynamic.ResourceInterface {
	for _, k := range m.kinds {
		if k.name == kind {
			if !k.namespaced {
				return m.dynamic.Resource(k.GroupVersionResource)
			}
			return m.dynamic.Resource(k.GroupVersionResource).Namespace(namespace)
		}
	}
	panic("no cluster serves " + kind)
}

func (m *member) get(t *testing.T, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	u, err := m.resource(kind, namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("%s on %s: %v", object(kind, namespace, name), m.Name, err)
	}
	return u
}

// create makes an object as the administrator.
func (m *member) create(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	u := parse(t, manifest)
	made, err := m.resource(u.GetKind(), u.GetNamespace()).Create(t.Context(), u, metav1.CreateOptions{FieldManager: "someone"})
	if err != nil {
		t.Fatalf("create %s on %s: %v", nameOf(u), m.Name, err)
	}
	return made
}

// patch changes an object by hand, as someone with kubectl edit does.
func (m *member) patch(t *testing.T, kind, namespace, name, mergePatch string) {
	t.Helper()
	_, err := m.resource(kind, namespace).Patch(t.Context(), name, types.MergePatchType, []byte(mergePatch),
		metav1.PatchOptions{FieldManager: "someone"})
	if err != nil {
		t.Fatalf("patch %s on %s: %v", object(kind, namespace, name), m.Name, err)
	}
}

// patchList is patch with a JSON patch.
func (m *member) patchList(t *testing.T, kind, namespace, name, jsonPatch string) {
	t.Helper()
	_, err := m.resource(kind, namespace).Patch(t.Context(), name, types.JSONPatchType, []byte(jsonPatch),
		metav1.PatchOptions{FieldManager: "someone"})
	if err != nil {
		t.Fatalf("patch %s on %s: %v", object(kind, namespace, name), m.Name, err)
	}
}

// getIf is get for a condition that is waited for.
func (m *member) getIf(ctx context.Context, kind, namespace, name string) (*unstructured.Unstructured, error) {
	u, err := m.resource(kind, namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", object(kind, namespace, name), m.Name, err)
	}
	return u, nil
}

func (m *member) namespaces(t *testing.T) []string {
	t.Helper()
	list, err := m.typed.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	return names
}

// auditMark is how much of the audit log has been seen.
func (m *member) auditMark(t *testing.T) int { return len(m.audit(t)) }

func (m *member) audit(t *testing.T) []fleet.AuditEvent {
	t.Helper()
	events, err := m.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// writesSince returns the controller's writes after the mark, by the API server's own account:
// "patch deployments/frontend 200".
func (m *member) writesSince(t *testing.T, mark int) []string {
	t.Helper()
	var writes []string
	for _, e := range m.audit(t)[mark:] {
		if e.User == user && e.Writes() {
			writes = append(writes, fmt.Sprintf("%s %s/%s %d", e.Verb, e.Resource, e.Name, e.Code))
		}
	}
	return writes
}

// awaitProbes waits until the API server has answered three more of the controller's probes: a while in
// which it was alive, could write and had no other wish. What it did until then is in the audit log.
func (m *member) awaitProbes(t *testing.T) {
	t.Helper()
	mark := m.auditMark(t)
	await.That(t, 30*time.Second, "probes of "+m.Name, func() error {
		n := 0
		for _, e := range m.audit(t)[mark:] {
			if e.User == user && strings.HasPrefix(e.URI, "/readyz") {
				n++
			}
		}
		if n < 3 {
			return fmt.Errorf("%d probes", n)
		}
		return nil
	})
}

// versions returns the resource versions of objects.
func versions(objects map[string]*unstructured.Unstructured) map[string]string {
	v := make(map[string]string, len(objects))
	for name, u := range objects {
		v[name] = u.GetResourceVersion()
	}
	return v
}

// applied returns the fields that the controller owns of an object by server-side apply.
func applied(u *unstructured.Unstructured) (fields map[string]any, ok bool) {
	for _, e := range u.GetManagedFields() {
		if e.Manager == manager && e.Operation == metav1.ManagedFieldsOperationApply && e.FieldsV1 != nil {
			return fields, json.Unmarshal(e.FieldsV1.GetRawBytes(), &fields) == nil
		}
	}
	return nil, false
}

// owns tells whether a path is in a fieldsV1 document.
func owns(fields map[string]any, path ...string) bool {
	for _, p := range path {
		next, ok := fields["f:"+p].(map[string]any)
		if !ok {
			return false
		}
		fields = next
	}
	return true
}

// applySetID is KEP-3659's: the id that the label of every object of a set has.
func applySetID(parent string) string {
	sum := sha256.Sum256([]byte(parent + "." + systemNamespace + ".Secret."))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// field reads a field of an object; nil where it is not there. Numbers in the path index lists.
func field(u *unstructured.Unstructured, path ...any) any {
	var v any = u.Object
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// firstContainer is the path to the first container of a Deployment.
func firstContainer(more ...any) []any {
	return append([]any{"spec", "template", "spec", "containers", 0}, more...)
}

// environment returns the value of an environment variable of a Deployment's first container.
func environment(u *unstructured.Unstructured, name string) string {
	list, _ := field(u, firstContainer("env")...).([]any)
	for _, e := range list {
		if m, _ := e.(map[string]any); m["name"] == name {
			value, _ := m["value"].(string)
			return value
		}
	}
	return ""
}

func parse(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	all := parseAll(t, "manifest", []byte(manifest))
	if len(all) != 1 {
		t.Fatalf("%d objects in %q", len(all), manifest)
	}
	return all[0]
}

func parseAll(t *testing.T, name string, content []byte) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if u.Object != nil {
			all = append(all, u)
		}
	}
}

// manifestsIn returns the names of all objects in the files of a folder whose names match, as objects
// of the namespace. It is how the test knows what is to be there: from the files, by counting.
func manifestsIn(t *testing.T, namespace, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", pattern, err)
	}
	var names []string
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range parseAll(t, file, content) {
			if u.GetKind() == "Namespace" {
				names = append(names, object("Namespace", "", u.GetName()))
				continue
			}
			names = append(names, object(u.GetKind(), namespace, u.GetName()))
		}
	}
	return names
}

// missingAndMore says how a set of names differs from the wanted one; empty: not at all.
func missingAndMore(got, want map[string]bool) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !got[name] {
			lines = append(lines, "missing: "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if !want[name] {
			lines = append(lines, "more than wanted: "+name)
		}
	}
	if len(lines) > 8 {
		lines = append(lines[:8], fmt.Sprintf("and %d more", len(lines)-8))
	}
	return strings.Join(lines, "; ")
}

func keys[V any](m map[string]V) map[string]bool {
	set := make(map[string]bool, len(m))
	for k := range m {
		set[k] = true
	}
	return set
}
