//go:build e2e

package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/deploy/crds"
	"github.com/armada-sync/armada-sync/e2e/await"
	"github.com/armada-sync/armada-sync/e2e/fleet"
)

// tester is the field manager of what a test writes.
const tester = "tester"

func resourceOf(kind string) schema.GroupVersionResource {
	plural := map[string]string{
		"GitSource": "gitsources", "Cluster": "clusters", "Config": "configs", "Placement": "placements",
		"Secret": "secrets", "Namespace": "namespaces", "CustomResourceDefinition": "customresourcedefinitions",
	}[kind]
	switch kind {
	case "Secret", "Namespace":
		return schema.GroupVersionResource{Version: "v1", Resource: plural}
	case "CustomResourceDefinition":
		return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: plural}
	}
	return schema.GroupVersionResource{Group: "armada-sync.io", Version: "v1alpha1", Resource: plural}
}

// hub is the hub's API server as its administrator sees it.
type hub struct {
	*fleet.Cluster
	dynamic dynamic.Interface
	rest    *rest.RESTClient
}

func newHub(t *testing.T, c *fleet.Cluster) *hub {
	t.Helper()
	h := &hub{Cluster: c}
	var err error
	if h.dynamic, err = dynamic.NewForConfig(c.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	h.rest = d.RESTClient().(*rest.RESTClient)
	h.installDefinitions(t)
	return h
}

// installDefinitions applies deploy/crds and waits until they are served.
func (h *hub) installDefinitions(t *testing.T) {
	t.Helper()
	names, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := crds.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		applied, err := h.apply(t.Context(), string(data))
		if err != nil {
			t.Fatalf("apply %s: %v", name, err)
		}
		await.That(t, 30*time.Second, name+" is established and structural", func() error {
			live, err := h.dynamic.Resource(resourceOf("CustomResourceDefinition")).Get(t.Context(), applied.GetName(), metav1.GetOptions{})
			if err != nil {
				return err
			}
			conditions, _, err := unstructured.NestedSlice(live.Object, "status", "conditions")
			if err != nil {
				return err
			}
			found := map[any]any{}
			for _, c := range conditions {
				found[c.(map[string]any)["type"]] = c.(map[string]any)["status"]
			}
			if found[string(apiextensionsv1.NonStructuralSchema)] == "True" {
				t.Fatalf("%s is not structural: %v", name, conditions)
			}
			if found["Established"] != "True" || found["NamesAccepted"] != "True" {
				return fmt.Errorf("conditions are %v", found)
			}
			return nil
		})
	}
}

// apply sends a YAML document by server-side apply.
func (h *hub) apply(ctx context.Context, document string, subresources ...string) (*unstructured.Unstructured, error) {
	var o unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
		return nil, err
	}
	data, err := json.Marshal(o.Object)
	if err != nil {
		return nil, err
	}
	var r dynamic.ResourceInterface = h.dynamic.Resource(resourceOf(o.GetKind()))
	if ns := o.GetNamespace(); ns != "" {
		r = h.dynamic.Resource(resourceOf(o.GetKind())).Namespace(ns)
	}
	force := true
	return r.Patch(ctx, o.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: tester, Force: &force}, subresources...)
}

// table is what kubectl get prints: the rows by name, each cell by the name of its column.
func (h *hub) table(t *testing.T, resource string) map[string]map[string]string {
	t.Helper()
	data, err := h.rest.Get().AbsPath("/apis/armada-sync.io/v1alpha1/"+resource).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(data, &table); err != nil {
		t.Fatal(err)
	}
	rows := map[string]map[string]string{}
	for _, r := range table.Rows {
		row := map[string]string{}
		for i, c := range table.ColumnDefinitions {
			row[c.Name] = fmt.Sprint(r.Cells[i])
		}
		rows[row["Name"]] = row
	}
	return rows
}

func TestDefinitionsOnARealAPIServer(t *testing.T) {
	f := fleet.StartT(t, fleet.Options{Names: []string{"hub"}, Progress: t.Output()})
	h := newHub(t, f.Cluster("hub"))
	t.Run("defaults", h.testDefaults)
	t.Run("what is refused, and why", h.testRefusals)
	t.Run("columns", h.testColumns)
	t.Run("short names", h.testShortNames)
}

func (h *hub) testDefaults(t *testing.T) {
	got, err := h.apply(t.Context(), `
apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: shop, namespace: default}
spec: {url: "https://git.example.com/shop.git"}
`)
	if err != nil {
		t.Fatal(err)
	}
	spec := got.Object["spec"].(map[string]any)
	for field, want := range map[string]any{
		"path": "./", "interval": "30s", "timeout": "1m0s", "targetNamespace": "default", "deletionPolicy": "Orphan",
		"maxPrunePercent": int64(30), "url": "https://git.example.com/shop.git",
	} {
		if spec[field] != want {
			t.Errorf("spec.%s is %v, want %v", field, spec[field], want)
		}
	}
	if got.GetGeneration() != 1 {
		t.Errorf("the generation is %d", got.GetGeneration())
	}
	// A status by the main resource is dropped, since there is a subresource.
	if _, has := got.Object["status"]; has {
		t.Error("a new object has a status")
	}
}

func (h *hub) testRefusals(t *testing.T) {
	source := func(spec string) string {
		return "apiVersion: armada-sync.io/v1alpha1\nkind: GitSource\nmetadata: {name: bad, namespace: default}\nspec: " + spec
	}
	cluster := func(spec string) string {
		return "apiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: bad}\nspec: " + spec
	}
	config := func(name, spec string) string {
		return "apiVersion: armada-sync.io/v1alpha1\nkind: Config\nmetadata: {name: " + name + "}\nspec: " + spec
	}
	const url = `url: "https://git.example.com/shop.git"`
	for _, c := range []struct{ reason, document, want string }{
		{"two refs", source("{" + url + ", ref: {branch: main, tag: v1}}"), "at most one of branch, tag, semver, commit and name"},
		{"no URL", source("{}"), "spec.url: Required"},
		{"a file", source(`{url: "file:///srv/git/shop.git"}`), "an address is https"},
		{"plain http", source(`{url: "http://git.example.com/shop.git"}`), "an address is https"},
		{"a password in the address", source(`{url: "https://me:secret@git.example.com/shop.git"}`), "the address holds credentials"},
		{"an SSH password in the address", source(`{url: "ssh://me:secret@git.example.com/shop.git"}`), "the address holds credentials"},
		{"a query", source(`{url: "https://git.example.com/shop.git?x=1"}`), "no query or fragment"},
		{"a path to elsewhere", source("{" + url + ", path: ../other}"), "a folder inside the repository"},
		{"an absolute path", source("{" + url + ", path: /etc}"), "a folder inside the repository"},
		{"no time", source("{" + url + ", interval: 0s}"), "must be positive"},
		{"no duration", source("{" + url + ", interval: soon}"), "spec.interval"},
		{"a credentials file", source("{" + url + ", credentialsFile: x}"), "use secretRef"},
		{"an unknown policy", source("{" + url + ", deletionPolicy: Keep}"), "Unsupported value"},
		{"more than everything", source("{" + url + ", maxPrunePercent: 101}"), "less than or equal to 100"},
		{"a step of two kinds", source("{" + url + ", rollout: {steps: [{percent: 5, clusterSelector: {clusterNames: [a]}}]}}"), "exactly one of clusterSelector and percent"},
		{"a short commit", source("{" + url + ", pinnedRevision: abc}"), "spec.pinnedRevision"},
		{"a rule for nothing", source("{" + url + ", ignoreDrift: [{}]}"), "one of paths and managers is required"},
		{"a kubeconfig file", cluster("{kubeconfigFile: a.kubeconfig}"), "use secretRef"},
		{"a Secret without a name", cluster("{secretRef: {name: \"\"}}"), "spec.secretRef.name"},
		{"another Config", config("other", "{}"), "is named default"},
		{"an unknown severity", config("default", "{plan: {severity: {claimed-twice: fatal}}}"), "a severity is blocker, caution, info or off"},
		{"too much at once", config("default", "{apply: {concurrency: 5000}}"), "less than or equal to 1000"},
		{"an unlikely rate", config("default", "{failover: {evictionsPerSecond: fast}}"), "spec.failover.evictionsPerSecond"},
	} {
		_, err := h.apply(t.Context(), c.document)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the answer is %v, want one with %q", c.reason, err, c.want)
		}
	}
	for _, good := range []string{
		source(`{url: "git@git.example.com:team/shop.git", ref: {semver: ">=1.0"}}`),
		source(`{url: "ssh://git@git.example.com:2222/shop.git", ref: {name: refs/pull/4/head}}`),
		cluster(`{region: eu, taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoExecute}], secretRef: {name: x}}`),
		config("default", `{hubID: one, health: {probeInterval: 1.5s}}`),
	} {
		if _, err := h.apply(t.Context(), good); err != nil {
			t.Errorf("refused: %v\n%s", err, good)
		}
	}
	if _, err := h.apply(t.Context(), config("default", "{hubID: two}")); err == nil || !strings.Contains(err.Error(), "the id of a hub stays") {
		t.Errorf("a change of the hub's id is answered with %v", err)
	}
}

func (h *hub) testColumns(t *testing.T) {
	for _, o := range []struct{ document, status string }{
		{`{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: eu-1}, spec: {provider: aws}}`,
			`{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: eu-1}, status: {kubernetesVersion: v1.36.0, region: eu-west-1,
  summary: {region: eu-west-1, taints: "maintenance:NoSchedule", capacity: "cpu 1/16"},
  conditions: [{type: Ready, status: "True", reason: Answers, message: answers, lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`},
		{`{apiVersion: armada-sync.io/v1alpha1, kind: Placement, metadata: {name: deployment-web-0123abcd, namespace: default},
  spec: {workload: {apiVersion: apps/v1, kind: Deployment, namespace: shop, name: web}, clusters: [{name: eu-1, replicas: 3}]}}`,
			`{apiVersion: armada-sync.io/v1alpha1, kind: Placement, metadata: {name: deployment-web-0123abcd, namespace: default},
  status: {summary: {workload: Deployment shop/web, clusters: eu-1=3},
  conditions: [{type: Ready, status: "False", reason: Progressing, message: 1 of 3 pods, lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`},
	} {
		if _, err := h.apply(t.Context(), o.document); err != nil {
			t.Fatal(err)
		}
		if _, err := h.apply(t.Context(), o.status, "status"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		resource, name string
		want           map[string]string
	}{
		{"clusters", "eu-1", map[string]string{
			"Version": "v1.36.0", "Region": "eu-west-1", "Ready": "True", "Taints": "maintenance:NoSchedule", "Capacity": "cpu 1/16",
		}},
		{"placements", "deployment-web-0123abcd", map[string]string{
			"Workload": "Deployment shop/web", "Clusters": "eu-1=3", "Ready": "False", "Message": "1 of 3 pods",
		}},
		{"gitsources", "shop", map[string]string{"URL": "https://git.example.com/shop.git"}},
	} {
		row := h.table(t, c.resource)[c.name]
		for column, want := range c.want {
			if row[column] != want {
				t.Errorf("%s %s: column %s shows %q, want %q", c.resource, c.name, column, row[column], want)
			}
		}
	}
}

// A short name that kubectl or Kubernetes has already would shadow one of the two.
func (h *hub) testShortNames(t *testing.T) {
	d, err := discovery.NewDiscoveryClientForConfig(h.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := d.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	owner := map[string]string{}
	for _, list := range lists {
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") {
				continue
			}
			for _, name := range append(r.ShortNames, r.SingularName, r.Name) {
				group := strings.Split(list.GroupVersion, "/")[0] + "/" + r.Name
				if other, taken := owner[name]; taken && other != group && strings.Contains(other+group, "armada-sync.io/") {
					t.Errorf("%q means both %s and %s", name, other, group)
				}
				owner[name] = group
			}
		}
	}
	for name, want := range map[string]string{"gs": "armada-sync.io/gitsources", "pl": "armada-sync.io/placements", "mcl": "armada-sync.io/clusters"} {
		if owner[name] != want {
			t.Errorf("%q means %q, want %s", name, owner[name], want)
		}
	}
}
