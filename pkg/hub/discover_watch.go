package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// The kinds of others that describe clusters. They are read without their Go types: in which version, the
// hub says.
var (
	capiClusters    = schema.GroupResource{Group: "cluster.x-k8s.io", Resource: "clusters"}
	clusterProfiles = schema.GroupResource{Group: "multicluster.x-k8s.io", Resource: "clusterprofiles"}
)

// errNotListed tells that what is in a namespace is not known yet.
var errNotListed = errors.New("not listed yet")

// foreign watches objects by which other systems describe clusters.
type foreign struct {
	client *client
	// changed is called for each change.
	changed func()

	mu      sync.Mutex
	watches map[foreignKey]*foreignWatch
	running *sync.WaitGroup
}

type foreignKey struct {
	schema.GroupResource
	namespace string
}

// foreignWatch is one kind in one namespace.
type foreignWatch struct {
	informer cache.SharedIndexInformer
	// failed is the last error of its watch; nil after a success.
	failed atomic.Pointer[error]
}

func newForeign(c *client, running *sync.WaitGroup, changed func()) *foreign {
	return &foreign{client: c, changed: changed, watches: map[foreignKey]*foreignWatch{}, running: running}
}

// follow watches a kind in a namespace until ctx ends. If asked to wait it returns when the kind was listed
// once, or when that takes too long. An error says that the hub does not serve the kind.
func (f *foreign) follow(ctx context.Context, what schema.GroupResource, namespace string, wait bool) error {
	key := foreignKey{what, namespace}
	f.mu.Lock()
	_, known := f.watches[key]
	f.mu.Unlock()
	if known {
		return nil
	}
	version, err := f.client.preferredVersion(ctx, what.Group)
	if err != nil {
		return err
	}
	i := dynamicinformer.NewFilteredDynamicInformer(f.client.dynamic, what.WithVersion(version), namespace, 0, cache.Indexers{}, nil).Informer()
	w := &foreignWatch{informer: i}
	if err := i.SetTransform(withoutManagedFields); err != nil {
		return err
	}
	if err := i.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { w.failed.Store(&err) }); err != nil {
		return err
	}
	if _, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { f.changed() }, UpdateFunc: func(any, any) { f.changed() }, DeleteFunc: func(any) { f.changed() },
	}); err != nil {
		return err
	}
	f.mu.Lock()
	f.watches[key] = w
	f.mu.Unlock()
	f.running.Go(func() { i.RunWithContext(ctx) })
	if !wait {
		return nil
	}
	synced, cancel := context.WithTimeout(ctx, secretsTimeout)
	defer cancel()
	cache.WaitForCacheSync(synced.Done(), i.HasSynced)
	return nil
}

// in returns the objects of a kind in a namespace. The error says why they are not known.
func (f *foreign) in(what schema.GroupResource, namespace string) ([]*unstructured.Unstructured, error) {
	f.mu.Lock()
	w := f.watches[foreignKey{what, namespace}]
	f.mu.Unlock()
	switch {
	case w == nil:
		return nil, errNotListed
	case !w.informer.HasSynced():
		if err := w.failed.Load(); err != nil {
			return nil, *err
		}
		return nil, errNotListed
	}
	var all []*unstructured.Unstructured
	for _, o := range w.informer.GetStore().List() {
		if u, ok := o.(*unstructured.Unstructured); ok {
			all = append(all, u)
		}
	}
	return all, nil
}

// get returns one object; nil where it is not there or not known.
func (f *foreign) get(what schema.GroupResource, namespace, name string) *unstructured.Unstructured {
	f.mu.Lock()
	w := f.watches[foreignKey{what, namespace}]
	f.mu.Unlock()
	if w == nil {
		return nil
	}
	o, exists, err := w.informer.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return nil
	}
	u, _ := o.(*unstructured.Unstructured)
	return u
}

// withoutManagedFields drops what nobody asks for.
func withoutManagedFields(o any) (any, error) {
	if u, ok := o.(*unstructured.Unstructured); ok {
		u.SetManagedFields(nil)
	}
	return o, nil
}

// preferredVersion asks the hub in which version it prefers to serve a group.
func (c *client) preferredVersion(ctx context.Context, group string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	data, err := c.core.RESTClient().Get().AbsPath("/apis/" + group).DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("the hub does not serve %s", group)
	}
	if err != nil {
		return "", fmt.Errorf("ask for the versions of %s: %w", group, err)
	}
	var answer metav1.APIGroup
	if err := json.Unmarshal(data, &answer); err != nil {
		return "", fmt.Errorf("ask for the versions of %s: %w", group, err)
	}
	if answer.PreferredVersion.Version == "" {
		return "", fmt.Errorf("the hub does not serve %s", group)
	}
	return answer.PreferredVersion.Version, nil
}

// followDiscovery watches what discovery looks at, and what clusters refer to. What cannot be watched is tried
// again with the next call and reported where it is looked at.
func (w *watcher) followDiscovery(ctx context.Context, d v1alpha1.DiscoveryConfig) {
	failed := map[foreignKey]error{}
	follow := func(what schema.GroupResource, namespace string, wait bool) {
		if err := w.foreign.follow(ctx, what, namespace, wait); err != nil {
			failed[foreignKey{what, namespace}] = err
		}
	}
	for _, c := range list[v1alpha1.Cluster](w.clusters) {
		if r := c.Spec.ClusterProfileRef; r != nil {
			follow(clusterProfiles, r.Namespace, true)
		}
	}
	if d.ClusterAPI != nil {
		for _, ns := range d.ClusterAPI.Namespaces {
			follow(capiClusters, ns, false)
		}
	}
	if d.ClusterProfiles != nil {
		for _, ns := range d.ClusterProfiles.Namespaces {
			follow(clusterProfiles, ns, false)
		}
	}
	w.mu.Lock()
	w.notFollowed = failed
	w.mu.Unlock()
	w.discovering.Store(&d)
}

// whyNot is why a kind is not watched in a namespace; nil where it is.
func (w *watcher) whyNot(what schema.GroupResource, namespace string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.notFollowed[foreignKey{what, namespace}]
}

// discoveryNamespaces are those whose Secrets discovery looks at.
func (w *watcher) discoveryNamespaces() []string {
	var all []string
	for _, c := range list[v1alpha1.Config](w.configs) {
		if c.Name != configName {
			continue
		}
		for _, s := range []*v1alpha1.DiscoveryScope{c.Spec.Discovery.ClusterAPI, c.Spec.Discovery.ArgoCD} {
			if s != nil {
				all = append(all, s.Namespaces...)
			}
		}
	}
	return all
}

// secretsIn returns the metadata of the Secrets of a namespace; nil where they are not known.
func (w *watcher) secretsIn(namespace string) []*metav1.PartialObjectMetadata {
	w.mu.Lock()
	i := w.secrets[namespace]
	w.mu.Unlock()
	if i == nil || !i.HasSynced() {
		return nil
	}
	all := list[metav1.PartialObjectMetadata](i)
	if all == nil {
		all = []*metav1.PartialObjectMetadata{}
	}
	return all
}
