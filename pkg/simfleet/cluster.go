package simfleet

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"
)

// defaultVersion is what /version says unless a ClusterSpec says otherwise.
const defaultVersion = "v1.36.0"

// Cluster is one simulated cluster: an http.Handler that speaks the Kubernetes
// REST API, the objects behind it, and switches to disturb it.
type Cluster struct {
	name    string
	version string
	opts    *Options
	catalog *catalog
	store   *store
	tasks   *tasks
	link    *link
	trace   *trace

	mu sync.Mutex
	// custom holds the definitions that are established, by definition name.
	custom map[string]*definition
	faults Faults
	rights Rights
	server *server
	// tries counts the attempts of equal requests, so that a retry can fare better.
	tries map[uint64]uint64
}

func newCluster(spec ClusterSpec, cat *catalog, opts *Options) (*Cluster, error) {
	c := &Cluster{
		name: spec.Name, version: spec.Version, opts: opts, catalog: cat,
		custom: map[string]*definition{}, tries: map[uint64]uint64{},
		link: newLink(), trace: newTrace(opts.TraceLimit),
	}
	if c.version == "" {
		c.version = defaultVersion
	}
	c.faults.Latency = opts.Latency
	c.tasks = newTasks(opts.Clock)
	c.store = newStore(opts.Window, c.changed)
	if err := c.addFirstObjects(spec); err != nil {
		return nil, err
	}
	return c, nil
}

// Name returns the cluster's name.
func (c *Cluster) Name() string { return c.name }

// RESTConfig returns a client configuration that connects in memory. Requests
// are not rate limited by the client.
func (c *Cluster) RESTConfig() *rest.Config {
	return &rest.Config{
		Host:      "http://" + c.name + ".simfleet",
		Transport: &memoryTransport{cluster: c},
		QPS:       -1,
	}
}

func (c *Cluster) now() time.Time { return c.opts.Clock.Now() }

func (c *Cluster) close() {
	c.tasks.stop()
	c.link.close()
	c.mu.Lock()
	srv := c.server
	c.server = nil
	c.mu.Unlock()
	if srv != nil {
		srv.close()
	}
}

// internalContext is a context for what the cluster does by itself.
func (c *Cluster) internalContext(namespace string) context.Context {
	ctx := context.WithValue(context.Background(), clusterKey{}, c) //nolint:forbidigo // The simulated controllers have no caller.
	return request.WithNamespace(ctx, namespace)
}

// find returns what serves a resource, or nil.
func (c *Cluster) find(gvr schema.GroupVersionResource) *served {
	if sv := c.catalog.byGVR[gvr]; sv != nil {
		return sv
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.custom {
		if sv := d.byGVR[gvr]; sv != nil {
			return sv
		}
	}
	return nil
}

// findKind returns what serves a kind, or nil.
func (c *Cluster) findKind(gvk schema.GroupVersionKind) *served {
	for _, sv := range c.allServed() {
		if sv.gvk == gvk {
			return sv
		}
	}
	return nil
}

// allServed lists what the cluster serves: built-in kinds, then custom ones by
// the name of their definition.
func (c *Cluster) allServed() []*served {
	out := append([]*served(nil), c.catalog.served...)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range sortedKeys(c.custom) {
		out = append(out, c.custom[name].served...)
	}
	return out
}

// namespacedRegistries lists the storage of each namespaced kind once.
func (c *Cluster) namespacedRegistries() []*registry {
	seen := map[schema.GroupResource]bool{}
	var out []*registry
	for _, sv := range c.allServed() {
		if sv.registry.NamespaceScoped() && !seen[sv.registry.resource] {
			seen[sv.registry.resource] = true
			out = append(out, sv.registry)
		}
	}
	return out
}

// Get returns a copy of an object as it is stored, past every fault: for
// assertions from inside. Nil if it is not there.
func (c *Cluster) Get(gvk schema.GroupVersionKind, namespace, name string) runtime.Object {
	sv := c.findKind(gvk)
	if sv == nil {
		return nil
	}
	obj := c.store.get(sv.registry.resource, storeKey(namespace, name))
	if obj == nil {
		return nil
	}
	return c.versioned(sv, obj.DeepCopyObject())
}

// List returns copies of all objects of a kind, by namespace and name, past
// every fault. An empty namespace means all.
func (c *Cluster) List(gvk schema.GroupVersionKind, namespace string) []runtime.Object {
	sv := c.findKind(gvk)
	if sv == nil {
		return nil
	}
	prefix := ""
	if namespace != "" {
		prefix = namespace + "/"
	}
	objects, _, err := c.store.list(sv.registry.resource, prefix, 0)
	if err != nil {
		return nil
	}
	out := make([]runtime.Object, 0, len(objects))
	for _, o := range objects {
		out = append(out, c.versioned(sv, o.DeepCopyObject()))
	}
	return out
}

func (c *Cluster) versioned(sv *served, obj runtime.Object) runtime.Object {
	obj.GetObjectKind().SetGroupVersionKind(sv.gvk)
	return obj
}

// EditAs changes an object as somebody with that field manager would with
// kubectl edit: read, edit, PUT. It goes past faults and works on a cluster that
// is cut off.
func (c *Cluster) EditAs(manager string, gvk schema.GroupVersionKind, namespace, name string, edit func(content map[string]any)) error {
	sv := c.findKind(gvk)
	if sv == nil {
		return fmt.Errorf("cluster %q does not serve %s", c.name, gvk)
	}
	return c.editAs(manager, sv, namespace, name, edit)
}

// Compact makes the cluster forget past changes, as it does by itself after
// many: watches from an older resource version get 410 Gone.
func (c *Cluster) Compact() { c.store.compact() }

// ServeHTTP implements http.Handler.
func (c *Cluster) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	c.serve(w, req)
}
