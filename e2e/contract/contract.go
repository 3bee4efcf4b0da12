// Package contract states what armada-sync relies on in the Kubernetes API, as
// tests that run against any server: the simulated clusters of pkg/simfleet and
// a real kube-apiserver. Where the two answer differently, the simulation is
// wrong.
//
//	contract.Run(t, cluster.RESTConfig(), contract.Features{Controllers: true})
//
// Each statement is a subtest with a namespace of its own. A new one is a
// function and a line in the list of its file.
package contract

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

const (
	// patience is how long a statement waits for what a server does by itself.
	patience = time.Minute
	// manager is the field manager of most statements.
	manager = "contract"
)

// Features say what the server under test has beside the API.
type Features struct {
	// Controllers: namespaces terminate, garbage is collected, service accounts
	// and endpoint slices appear. Without it those statements are left out.
	Controllers bool
	// Forget makes the server forget old changes, so that watches from before are
	// refused; it may be away for a moment. Without it that statement is left out.
	Forget func(*testing.T)
}

// statement is one fact about the API.
type statement struct {
	name string
	// controllers says that it needs Features.Controllers.
	controllers bool
	check       func(*testing.T, *env)
}

// Run checks every statement against the server behind cfg. It creates and
// deletes namespaces named contract-… and cluster-wide objects of the group
// contract.armada-sync.io.
func Run(t *testing.T, cfg *rest.Config, features Features) {
	t.Helper()
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	shared, err := newClients(cfg)
	if err != nil {
		t.Fatal(err)
	}
	shared.features = features
	groups := []struct {
		name       string
		statements []statement
	}{
		{"apply", applyStatements()},
		{"ownership", ownershipStatements()},
		{"merge", mergeStatements()},
		{"patch", patchStatements()},
		{"read", readStatements()},
		{"watch", watchStatements()},
		{"delete", deleteStatements()},
		{"namespace", namespaceStatements()},
		{"validation", validationStatements()},
		{"subresource", subresourceStatements()},
		{"custom", customStatements()},
		{"discovery", discoveryStatements()},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, st := range g.statements {
				if st.controllers && !features.Controllers {
					continue
				}
				t.Run(st.name, func(t *testing.T) {
					t.Parallel()
					st.check(t, shared.env(t))
				})
			}
		})
	}
	if features.Forget != nil {
		t.Run("watch from a forgotten resource version is told 410", func(t *testing.T) { watchGone(t, shared.env(t)) })
	}
}

// clients are the connections that all statements share.
type clients struct {
	config   *rest.Config
	dynamic  dynamic.Interface
	metadata metadata.Interface
	disco    discovery.DiscoveryInterface
	features Features
}

func newClients(cfg *rest.Config) (*clients, error) {
	c := &clients{config: cfg}
	var err error
	if c.dynamic, err = dynamic.NewForConfig(cfg); err != nil {
		return nil, fmt.Errorf("build dynamic client: %w", err)
	}
	if c.metadata, err = metadata.NewForConfig(cfg); err != nil {
		return nil, fmt.Errorf("build metadata client: %w", err)
	}
	if c.disco, err = discovery.NewDiscoveryClientForConfig(cfg); err != nil {
		return nil, fmt.Errorf("build discovery client: %w", err)
	}
	return c, nil
}

// env is what one statement works with.
type env struct {
	*clients
	ctx context.Context
	ns  string
}

// env makes a namespace that goes when the statement has been checked.
func (c *clients) env(t *testing.T) *env {
	t.Helper()
	e := &env{clients: c, ctx: t.Context()}
	ns, err := c.dynamic.Resource(namespaces).Create(e.ctx, object(t, `{apiVersion: v1, kind: Namespace, metadata: {generateName: contract-}}`), metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create a namespace: %v", err)
	}
	e.ns = ns.GetName()
	t.Cleanup(func() {
		// The context of the test has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = c.dynamic.Resource(namespaces).Delete(ctx, e.ns, metav1.DeleteOptions{})
	})
	return e
}

// The resources that statements use.
var (
	namespaces     = corev1.SchemeGroupVersion.WithResource("namespaces")
	configMaps     = corev1.SchemeGroupVersion.WithResource("configmaps")
	secrets        = corev1.SchemeGroupVersion.WithResource("secrets")
	services       = corev1.SchemeGroupVersion.WithResource("services")
	serviceAccs    = corev1.SchemeGroupVersion.WithResource("serviceaccounts")
	deployments    = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	statefulSets   = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
	daemonSets     = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}
	jobs           = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	cronJobs       = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}
	roleBindings   = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}
	claims         = corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims")
	hpas           = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	ingresses      = schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}
	policies       = schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"}
	budgets        = schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}
	endpointSlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	crds           = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

func (e *env) in(gvr schema.GroupVersionResource) dynamic.ResourceInterface {
	return e.dynamic.Resource(gvr).Namespace(e.ns)
}

// apply applies as the given manager and fails the test on an error.
func (e *env) apply(t *testing.T, gvr schema.GroupVersionResource, who, manifest string) *unstructured.Unstructured {
	t.Helper()
	out, err := e.tryApply(t, gvr, who, manifest, metav1.ApplyOptions{})
	if err != nil {
		t.Fatalf("apply as %q: %v", who, err)
	}
	return out
}

func (e *env) tryApply(t *testing.T, gvr schema.GroupVersionResource, who, manifest string, opts metav1.ApplyOptions) (*unstructured.Unstructured, error) {
	t.Helper()
	obj := object(t, manifest)
	opts.FieldManager = who
	return e.in(gvr).Apply(e.ctx, obj.GetName(), obj, opts)
}

// get reads an object that must be there.
func (e *env) get(t *testing.T, gvr schema.GroupVersionResource, name string) *unstructured.Unstructured {
	t.Helper()
	out, err := e.in(gvr).Get(e.ctx, name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("get %s %q: %v", gvr.Resource, name, err)
	}
	return out
}

// object reads a manifest.
func object(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &u.Object); err != nil {
		t.Fatalf("read manifest: %v", err)
	}
	return normalise(t, u)
}

// normalise turns the numbers of YAML into those of JSON.
func normalise(t *testing.T, u *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	b, err := yaml.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	j, err := yaml.YAMLToJSON(b)
	if err != nil {
		t.Fatal(err)
	}
	out := &unstructured.Unstructured{}
	if _, ok := u.Object["kind"]; !ok {
		t.Fatalf("manifest without kind")
	}
	if err := out.UnmarshalJSON(j); err != nil {
		t.Fatal(err)
	}
	return out
}

// eventually waits until a condition holds.
func (e *env) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(e.ctx, 20*time.Millisecond, patience, true, func(context.Context) (bool, error) { return holds(), nil })
	if err != nil {
		t.Fatalf("waited in vain until %s", what)
	}
}
