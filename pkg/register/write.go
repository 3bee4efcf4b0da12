package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// FieldManager owns what is written here, in contrast to what a controller applies.
const FieldManager = "armada-sync-register"

// pollInterval is how often something that is awaited is looked at.
const pollInterval = 250 * time.Millisecond

// Cluster is a connection to one API server with the rights of whoever calls.
type Cluster struct {
	config  *rest.Config
	typed   kubernetes.Interface
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

// Connect makes a connection; no request is sent yet.
func Connect(cfg *rest.Config) (*Cluster, error) {
	cfg = rest.CopyConfig(cfg)
	// A hundred objects are written at most, by a person who waits.
	cfg.QPS, cfg.Burst = 50, 100
	cfg.WarningHandler = rest.NoWarnings{}
	typed, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(typed.Discovery()))
	return &Cluster{config: cfg, typed: typed, dynamic: dyn, mapper: mapper}, nil
}

// Check makes sure that the API server answers, takes the credentials and is of a version that we can
// work with. A failure is a *ProbeError.
func (c *Cluster) Check(ctx context.Context) error {
	_, err := Probe(ctx, c.config)
	return err
}

// Outcome is what became of one object, or with a dry run, what would.
type Outcome string

// The outcomes.
const (
	Created    Outcome = "created"
	Configured Outcome = "configured"
	Unchanged  Outcome = "unchanged"
	Deleted    Outcome = "deleted"
)

// Written tells what became of one object.
type Written struct {
	Kind, Namespace, Name string
	Outcome               Outcome
}

// String says it as kubectl does.
func (w Written) String() string {
	name := w.Name
	if w.Namespace != "" {
		name = w.Namespace + "/" + name
	}
	return fmt.Sprintf("%s %s: %s", w.Kind, name, w.Outcome)
}

// Apply applies objects in order by server-side apply, taking over fields that others own: what is
// installed is what the manifests say. A dry run asks the API server without writing. tell is called
// after each object.
func (c *Cluster) Apply(ctx context.Context, objects []*unstructured.Unstructured, dryRun bool, tell func(Written)) error {
	for _, o := range objects {
		w, err := c.applyOne(ctx, o, dryRun)
		if err != nil {
			return fmt.Errorf("apply %s %q: %w", o.GetKind(), o.GetName(), err)
		}
		tell(w)
	}
	return nil
}

func (c *Cluster) applyOne(ctx context.Context, o *unstructured.Unstructured, dryRun bool) (Written, error) {
	w := Written{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
	resource, err := c.resource(o)
	if err != nil {
		return w, err
	}
	before, err := resource.Get(ctx, o.GetName(), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return w, err
	}
	exists := err == nil
	body, err := json.Marshal(o.Object)
	if err != nil {
		return w, err
	}
	force := true
	opts := metav1.PatchOptions{FieldManager: FieldManager, Force: &force}
	if dryRun {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	after, err := resource.Patch(ctx, o.GetName(), types.ApplyPatchType, body, opts)
	switch {
	case dryRun && !exists && apierrors.IsNotFound(err):
		// The namespace is among what would be created.
		w.Outcome = Created
		return w, nil
	case err != nil:
		return w, err
	case !exists:
		w.Outcome = Created
	case after.GetResourceVersion() == before.GetResourceVersion() && !dryRun || dryRun && sameButBookkeeping(before, after):
		w.Outcome = Unchanged
	default:
		w.Outcome = Configured
	}
	return w, nil
}

// sameButBookkeeping compares what a dry run would make of an object with what it is.
func sameButBookkeeping(a, b *unstructured.Unstructured) bool {
	a, b = a.DeepCopy(), b.DeepCopy()
	for _, o := range []*unstructured.Unstructured{a, b} {
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
	}
	left, errA := json.Marshal(a.Object)
	right, errB := json.Marshal(b.Object)
	return errA == nil && errB == nil && string(left) == string(right)
}

// resource addresses an object's kind; a kind that was installed a moment ago is discovered anew.
func (c *Cluster) resource(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := o.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		mapping, err = c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return c.dynamic.Resource(mapping.Resource).Namespace(o.GetNamespace()), nil
	}
	return c.dynamic.Resource(mapping.Resource), nil
}

// remove deletes objects, the last first. What is not there, or of a kind that is not, is fine.
func (c *Cluster) remove(ctx context.Context, objects []*unstructured.Unstructured, tell func(Written)) error {
	var errs []error
	for i := len(objects) - 1; i >= 0; i-- {
		o := objects[i]
		resource, err := c.resource(o)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err == nil {
			err = resource.Delete(ctx, o.GetName(), metav1.DeleteOptions{})
		}
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			errs = append(errs, fmt.Errorf("delete %s %q: %w", o.GetKind(), o.GetName(), err))
		default:
			tell(Written{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(), Outcome: Deleted})
		}
	}
	return errors.Join(errs...)
}

// await looks until done says so, within a time.
func await(ctx context.Context, limit time.Duration, done func(context.Context) (bool, error)) error {
	return wait.PollUntilContextTimeout(ctx, pollInterval, limit, true, done)
}
