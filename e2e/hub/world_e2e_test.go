//go:build e2e

package hub_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/armada-sync/armada-sync/e2e/child"
	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/e2e/gitrepo"
)

// user is who the controller is, on the hub and to members, so that audit logs tell its requests apart.
const user = "armada-sync"

// world is a hub, two members and a repository behind https.
type world struct {
	dir, binary string
	fleet       *fleet.Fleet
	hub         *hub
	members     []*fleet.Cluster
	repository  *gitrepo.Repository
	// password is what the Git server asks for.
	password atomic.Value
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), binary: fleet.CommandT(t, "../..", "./cmd/armada-sync")}
	w.fleet = fleet.StartT(t, fleet.Options{
		Names: []string{"eu-1", "us-1"}, Hub: "hub",
		Users: []fleet.User{{Name: user, Groups: []string{"system:masters"}}}, Progress: t.Output(),
	})
	w.members = []*fleet.Cluster{w.fleet.Cluster("eu-1"), w.fleet.Cluster("us-1")}
	w.hub = newHub(t, w.fleet.Cluster("hub"))
	w.password.Store("first")
	url, ca := w.serve(t)
	w.object(t, "{apiVersion: v1, kind: Namespace, metadata: {name: armada-system}}")
	w.object(t, "{apiVersion: v1, kind: Namespace, metadata: {name: team}}")
	w.credentials(t, ca)
	for _, m := range w.members {
		kubeconfig, err := os.ReadFile(m.UserKubeconfig(user))
		if err != nil {
			t.Fatal(err)
		}
		w.object(t, fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: armada-system}\nstringData: {kubeconfig: %q}", m.Name, kubeconfig))
		w.object(t, fmt.Sprintf("{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: %s}, spec: {region: %s, secretRef: {name: %s}}}", m.Name, m.Name, m.Name))
	}
	w.object(t, fmt.Sprintf(`{apiVersion: armada-sync.io/v1alpha1, kind: GitSource, metadata: {name: shop, namespace: team},
  spec: {url: %q, interval: 500ms, secretRef: {name: git}}}`, url+"/shop.git"))
	return w
}

func (w *world) object(t *testing.T, document string) {
	t.Helper()
	if _, err := w.hub.apply(t.Context(), document); err != nil {
		t.Fatalf("apply: %v\n%s", err, document)
	}
}

// credentials writes the Secret with the present password.
func (w *world) credentials(t *testing.T, ca []byte) {
	t.Helper()
	w.object(t, fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: git, namespace: team}\nstringData: {username: me, password: %q, ca.crt: %q}", w.password.Load(), ca))
}

// serve serves the repository to whoever has the present password.
func (w *world) serve(t *testing.T) (url string, ca []byte) {
	t.Helper()
	w.repository = gitrepo.New(t, w.dir, "shop")
	backend := gitrepo.Handler(t, w.dir)
	server, ca := gitrepo.ServeHTTPS(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, p, _ := r.BasicAuth(); p != w.password.Load() {
			rw.Header().Set("WWW-Authenticate", "Basic")
			http.Error(rw, "no", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(rw, r)
	}))
	return server.URL, ca
}

// push commits ConfigMaps of a color, a Deployment of a number of replicas, and their policies.
func (w *world) push(t *testing.T, color string, maps, replicas int) {
	t.Helper()
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
	for i := range maps {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings-%d, namespace: shop}\ndata: {color: %s}\n", i, color)
	}
	fmt.Fprintf(&b, `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "example.com/web:1"}]}}
---
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: maps, namespace: shop}
spec: {resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]}
---
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: web, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]
  placement: {replicaScheduling: {replicaSchedulingType: Divided}}
`, replicas)
	w.repository.Write(t, "shop.yaml", b.String())
	w.repository.Push(t, color)
}

// arrived tells whether every member has all ConfigMaps in this color and a share of the Deployment.
func (w *world) arrived(t *testing.T, color string, maps int) func() error {
	return func() error {
		for _, m := range w.members {
			d, err := dynamic.NewForConfig(m.RESTConfig())
			if err != nil {
				return err
			}
			list, err := d.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace("shop").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				return err
			}
			n := 0
			for _, o := range list.Items {
				if got, _, _ := unstructured.NestedString(o.Object, "data", "color"); got == color {
					n++
				}
			}
			if n != maps {
				return fmt.Errorf("%s has %d ConfigMaps that are %s, want %d", m.Name, n, color, maps)
			}
		}
		return nil
	}
}

// condition tells the status of a condition of an object on the hub.
func (w *world) condition(t *testing.T, kind, namespace, name, want string) func() error {
	return func() error {
		var r dynamic.ResourceInterface = w.hub.dynamic.Resource(resourceOf(kind))
		if namespace != "" {
			r = w.hub.dynamic.Resource(resourceOf(kind)).Namespace(namespace)
		}
		o, err := r.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
		if err != nil {
			return err
		}
		for _, c := range conditions {
			if m := c.(map[string]any); m["type"] == "Ready" && m["status"] == want {
				return nil
			}
		}
		return fmt.Errorf("%s %s is not Ready=%s: %v", kind, name, want, conditions)
	}
}

// writesOf are the writes of the controller on a cluster since a time, leases apart.
func writesOf(t *testing.T, c *fleet.Cluster, since time.Time) []fleet.AuditEvent {
	t.Helper()
	events, err := c.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	var found []fleet.AuditEvent
	for _, e := range events {
		if e.User == user && e.Writes() && e.Resource != "leases" && e.Received.After(since) {
			found = append(found, e)
		}
	}
	return found
}

// start starts a replica, which lives as long as owner at most.
func (w *world) start(t, owner *testing.T, name string) *child.Controller {
	t.Helper()
	return child.Run(t, child.Options{
		Binary: w.binary, Name: name, Owner: owner, Env: []string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + w.dir},
	}, "--kubeconfig", w.hub.UserKubeconfig(user), "--identity", name, "--metrics-address", "127.0.0.1:0", "--allow-loopback")
}

// errorsOf says what was found instead of what was wanted.
func errorsOf(found any) error { return fmt.Errorf("found %v", found) }

// quoted is a string for a YAML document.
func quoted(b []byte) string { return fmt.Sprintf("%q", b) }
