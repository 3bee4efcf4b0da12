//go:build e2e

package bench

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/e2e/push"
)

// applications are pushed at once.
const applications = 1000

// TestBenchApplications pushes 1,000 small applications, as Flux's benchmark of its own does, and measures how
// long it takes until each is applied and its Deployment healthy: a real controller must have looked at
// it.
func TestBenchApplications(t *testing.T) {
	f := fleet.StartT(t, fleet.Options{
		Names: []string{"east"}, Users: push.Users(), WithControllers: true,
		Controllers: []string{"deployment-controller", "serviceaccount-controller", "namespace-controller"},
		// As large clusters have it: otherwise the limit of the controllers' own is what is measured.
		ControllerFlags: []string{"--kube-api-qps=2000", "--kube-api-burst=4000", "--concurrent-deployment-syncs=20"},
	})
	client, err := kubernetes.NewForConfig(f.Cluster("east").RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	c := push.New(t, f.Cluster("east"), push.Options{Concurrency: inFlight})
	policy := push.EverythingEverywhere("v1 ServiceAccount", "v1 Service", "apps/v1 Deployment", "networking.k8s.io/v1 Ingress")
	c.Push(map[string][]byte{"policy.yaml": policy, "warm.yaml": push.Stream(t, application("warm", 0))})
	c.Start()
	c.AwaitApplied()

	var all []*unstructured.Unstructured
	for i := range applications {
		all = append(all, application(fmt.Sprintf("team-%d", i%10), i)...)
	}
	healthy := awaitHealthy(t, client)
	files := map[string][]byte{"applications.yaml": push.Stream(t, all)}
	began := time.Now()
	c.Push(files)
	c.AwaitApplied()
	applied := time.Since(began)
	<-healthy
	r := newReport(t)
	r.add("1,000 applications (4,000 objects), push → applied", "", "%.1f s", applied.Seconds())
	r.add("… and healthy", "≤ 15 s (Flux: 4m14s)", "%.1f s", time.Since(began).Seconds())
	c.Stop()
}

// awaitHealthy is closed when the Deployments of all applications have been looked at in their newest state.
func awaitHealthy(t *testing.T, client kubernetes.Interface) <-chan struct{} {
	t.Helper()
	done := make(chan struct{})
	seen := map[string]bool{}
	look := func(obj any) {
		d, ok := obj.(*appsv1.Deployment)
		if !ok || d.Status.ObservedGeneration < d.Generation || seen[d.Namespace+"/"+d.Name] {
			return
		}
		if seen[d.Namespace+"/"+d.Name] = true; len(seen) == applications {
			close(done)
		}
	}
	// An informer, since an API server ends watches that cannot keep up.
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = "bench=application"
	}))
	_, err := factory.Apps().V1().Deployments().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: look, UpdateFunc: func(_, obj any) { look(obj) },
	})
	if err != nil {
		t.Fatal(err)
	}
	factory.StartWithContext(t.Context())
	factory.WaitForCacheSyncWithContext(t.Context())
	return done
}

// application is a Deployment without replicas, its account, its Service and its Ingress.
func application(namespace string, i int) []*unstructured.Unstructured {
	name := fmt.Sprintf("app-%d", i)
	labels := map[string]any{"app": name}
	object := func(apiVersion, kind string, spec map[string]any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{
				"name": name, "namespace": namespace, "labels": map[string]any{"bench": kindLabel(namespace)},
			},
		}}
		if spec != nil {
			u.Object["spec"] = spec
		}
		return u
	}
	backend := map[string]any{"service": map[string]any{"name": name, "port": map[string]any{"number": int64(80)}}}
	return []*unstructured.Unstructured{
		object("v1", "ServiceAccount", nil),
		object("v1", "Service", map[string]any{"selector": labels, "ports": []any{map[string]any{"port": int64(80)}}}),
		object("apps/v1", "Deployment", map[string]any{
			"replicas": int64(0), "selector": map[string]any{"matchLabels": labels}, "template": map[string]any{
				"metadata": map[string]any{"labels": labels}, "spec": map[string]any{
					"serviceAccountName": name, "containers": []any{map[string]any{"name": "main", "image": "example.com/app:1"}},
				},
			},
		}),
		object("networking.k8s.io/v1", "Ingress", map[string]any{"rules": []any{map[string]any{
			"host": name + ".example.com",
			"http": map[string]any{"paths": []any{map[string]any{"path": "/", "pathType": "Prefix", "backend": backend}}},
		}}}),
	}
}

// kindLabel keeps what only warms up out of the count.
func kindLabel(namespace string) string {
	if namespace == "warm" {
		return "warm"
	}
	return "application"
}
