package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// fieldManager owns what we write on the hub.
const fieldManager = "armada-sync"

// The plural names of our kinds.
const (
	gitSources = "gitsources"
	clusters   = "clusters"
	configs    = "configs"
	placements = "placements"
)

// client talks to the hub.
type client struct {
	ours     rest.Interface
	core     coreclient.CoreV1Interface
	leases   coordinationclient.CoordinationV1Interface
	metadata metadata.Interface
	// older knows what the hub's definitions lack.
	older   *older
	dynamic dynamic.Interface
}

func newClient(cfg *rest.Config) (*client, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.RateLimiter = -1, nil // Writes have a budget of their own; see writer.
	if cfg.UserAgent == "" {
		cfg.UserAgent = fieldManager
	}
	h, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	ours := rest.CopyConfig(cfg)
	gv := v1alpha1.GroupVersion()
	ours.GroupVersion, ours.APIPath = &gv, "/apis"
	ours.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c := &client{older: newOlder()}
	if c.ours, err = rest.RESTClientForConfigAndClient(ours, h); err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	if c.core, err = coreclient.NewForConfigAndClient(cfg, h); err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	if c.metadata, err = metadata.NewForConfigAndClient(metadata.ConfigFor(cfg), h); err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	if c.dynamic, err = dynamic.NewForConfigAndClient(cfg, h); err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	lock := rest.CopyConfig(cfg)
	lock.Timeout = lockTimeout
	if c.leases, err = coordinationclient.NewForConfig(lock); err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	return c, nil
}

// informer returns one for a kind of ours in all namespaces.
func (c *client) informer(resource string, example runtime.Object) cache.SharedIndexInformer {
	lw := cache.NewListWatchFromClient(c.ours, resource, metav1.NamespaceAll, fields.Everything())
	return cache.NewSharedIndexInformer(lw, example, 0, cache.Indexers{})
}

// reference names one object of ours on the hub.
type reference struct {
	resource, kind string
	types.NamespacedName
}

// apply sends a part of an object by server-side apply and returns the object's new generation. What others
// own there stays. Subresource is empty or "status".
func (c *client) apply(ctx context.Context, ref reference, subresource, field string, value any) (generation int64, err error) {
	meta := map[string]any{"name": ref.Name}
	if ref.Namespace != "" {
		meta["namespace"] = ref.Namespace
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.APIVersion, "kind": ref.kind, "metadata": meta, field: value,
	})
	if err != nil {
		return 0, err
	}
	for range maxMissing {
		known, err := c.older.known(ref.resource, body)
		if err != nil {
			return 0, err
		}
		generation, err = c.send(ctx, ref, subresource, known)
		if err == nil || !c.older.learn(ref.resource, err) {
			return generation, err
		}
	}
	return 0, fmt.Errorf("the hub's definition of %s.%s lacks more than %d fields: %s", ref.resource, v1alpha1.Group, maxMissing, c.older.says())
}

func (c *client) send(ctx context.Context, ref reference, subresource string, body []byte) (generation int64, err error) {
	r := c.ours.Patch(types.ApplyPatchType).Resource(ref.resource).NamespaceIfScoped(ref.Namespace, ref.Namespace != "").Name(ref.Name).
		Param("fieldManager", fieldManager).Param("force", "true").Body(body).Timeout(writeTimeout)
	if subresource != "" {
		r = r.SubResource(subresource)
	}
	return generationOf(r.Do(ctx).Raw())
}

// patch sends a JSON merge patch and returns the object's new generation.
func (c *client) patch(ctx context.Context, ref reference, body map[string]any) (generation int64, err error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	data, err = c.ours.Patch(types.MergePatchType).Resource(ref.resource).NamespaceIfScoped(ref.Namespace, ref.Namespace != "").Name(ref.Name).
		Param("fieldManager", fieldManager).Body(data).Timeout(writeTimeout).Do(ctx).Raw()
	return generationOf(data, err)
}

// generationOf reads it from what was answered.
func generationOf(data []byte, err error) (int64, error) {
	if err != nil {
		var status metav1.Status
		if json.Unmarshal(data, &status) == nil && status.Message != "" {
			err = &apierrors.StatusError{ErrStatus: status}
		}
		return 0, err
	}
	var answer metav1.PartialObjectMetadata
	if err := json.Unmarshal(data, &answer); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	return answer.Generation, nil
}

func (c *client) delete(ctx context.Context, ref reference) error {
	return c.ours.Delete().Resource(ref.resource).NamespaceIfScoped(ref.Namespace, ref.Namespace != "").Name(ref.Name).
		Timeout(writeTimeout).Do(ctx).Error()
}

// writeTimeout bounds one write on the hub.
const writeTimeout = 10 * time.Second

// pageSize is how many objects are listed at once.
const pageSize = 500

// listPlacements reads all of them from the API server, not from a cache: they are what must not be stale.
func (c *client) listPlacements(ctx context.Context) ([]v1alpha1.Placement, error) {
	var all []v1alpha1.Placement
	next := ""
	for {
		var page v1alpha1.PlacementList
		r := c.ours.Get().Resource(placements).Param("limit", fmt.Sprint(pageSize))
		if next != "" {
			r = r.Param("continue", next)
		}
		if err := r.Do(ctx).Into(&page); err != nil {
			return nil, fmt.Errorf("list placements: %w", err)
		}
		all = append(all, page.Items...)
		if next = page.Continue; next == "" {
			return all, nil
		}
	}
}
