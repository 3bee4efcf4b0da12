package simfleet_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

func TestSmoke(t *testing.T) {
	start := time.Now()
	fleet, err := simfleet.New(simfleet.Options{N: 5, ReadyAfter: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	t.Logf("start: %v", time.Since(start))
	cfg := fleet.Cluster("sim-0001").RESTConfig()
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := d.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(len(lists))
	dyn := dynamic.NewForConfigOrDie(cfg)
	dep := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web", "namespace": "default"},
		"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"a": "b"}},
			"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"a": "b"}},
				"spec": map[string]any{"containers": []any{map[string]any{"name": "c", "image": "nginx:1", "ports": []any{map[string]any{"containerPort": 80}}}}}}},
	}}
	r := dyn.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace("default")
	out, err := r.Apply(context.Background(), "web", dep, metav1.ApplyOptions{FieldManager: "me"})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := out.MarshalJSON()
	t.Log(string(b))
	for range 50 {
		out, err = r.Get(context.Background(), "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if n, _, _ := unstructured.NestedInt64(out.Object, "status", "readyReplicas"); n == 1 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	b, _ = out.MarshalJSON()
	t.Log(string(b))
}

func TestSynctestInformer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet, err := simfleet.New(simfleet.Options{N: 3})
		if err != nil {
			t.Fatal(err)
		}
		defer fleet.Close()
		c := fleet.Cluster("sim-0002")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		m := metadata.NewForConfigOrDie(c.RESTConfig())
		f := metadatainformer.NewSharedInformerFactory(m, 0)
		gvr := corev1.SchemeGroupVersion.WithResource("configmaps")
		inf := f.ForResource(gvr)
		events := make(chan string, 10)
		inf.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(o any) { events <- o.(*metav1.PartialObjectMetadata).Name }})
		f.Start(ctx.Done())
		f.WaitForCacheSync(ctx.Done())
		dyn := dynamic.NewForConfigOrDie(c.RESTConfig())
		time.Sleep(time.Hour)
		_, err = dyn.Resource(gvr).Namespace("default").Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x"}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for {
			n := <-events
			t.Log(n, time.Now())
			if n == "x" {
				break
			}
		}
		for _, r := range c.Requests() {
			t.Log(r.Verb, r.Path, r.Code)
		}
		cancel()
		f.Shutdown()
		synctest.Wait()
	})
}
