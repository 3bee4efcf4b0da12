package simfleet_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// TestThousandClusters keeps a promise of the design: one process carries 1,000
// clusters, with a few watches and objects each, and at rest they do nothing.
func TestThousandClusters(t *testing.T) {
	const clusters, watches = 1000, 4
	synctest.Test(t, func(t *testing.T) {
		before := memory()
		f := newFleet(t, simfleet.Options{N: clusters, TraceLimit: -1})
		synctest.Wait()
		empty := memory()
		resting := runtime.NumGoroutine()
		kinds := []schema.GroupVersionResource{configMaps, deployments, corev1.SchemeGroupVersion.WithResource("services"), corev1.SchemeGroupVersion.WithResource("namespaces")}
		for _, c := range f.Clusters() {
			m, err := metadata.NewForConfig(c.RESTConfig())
			if err != nil {
				t.Fatal(err)
			}
			for _, gvr := range kinds[:watches] {
				w, err := m.Resource(gvr).Watch(t.Context(), metav1.ListOptions{ResourceVersion: "0", LabelSelector: "l", AllowWatchBookmarks: true})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(w.Stop)
				go func() {
					for range w.ResultChan() {
						// Read on, so that the watch lives.
					}
				}()
			}
			apply(t, client(t, c), configMaps, configMap)
		}
		synctest.Wait()
		full := memory()
		for _, c := range f.Clusters() {
			if c.Open() != watches {
				t.Fatalf("cluster %s has %d watches", c.Name(), c.Open())
			}
		}
		t.Logf("an empty cluster takes %d KiB, one with %d watches and a client %d KiB; %d goroutines without watches",
			(empty-before)/clusters/1024, watches, (full-before)/clusters/1024, resting)
		if per := (full - before) / clusters / 1024; per > 1024 {
			t.Errorf("a cluster takes %d KiB, want at most 1024", per)
		}
		if resting > 50 {
			t.Errorf("%d goroutines run at rest", resting)
		}
	})
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestFleetStartsFast bounds the start of a demo's fleet.
func TestFleetStartsFast(t *testing.T) {
	start := time.Now()
	newFleet(t, simfleet.Options{N: 5})
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("five clusters started in %v", took)
	}
}

func BenchmarkStart(b *testing.B) {
	for _, n := range []int{5, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				f, err := simfleet.New(simfleet.Options{N: n})
				if err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		})
	}
}

// BenchmarkApply measures applies, 32 in flight.
func BenchmarkApply(b *testing.B) {
	for _, c := range []struct {
		reason   string
		gvr      schema.GroupVersionResource
		manifest string
		fresh    bool
	}{
		{"create ConfigMap", configMaps, configMap, true},
		{"create Deployment", deployments, deployment("hang", 0), true},
		{"no-op Deployment", deployments, deployment("hang", 0), false},
	} {
		b.Run(c.reason, func(b *testing.B) {
			cluster := newFleet(b, simfleet.Options{}, "a").Cluster("a")
			d := client(b, cluster)
			obj := manifest(b, c.manifest)
			slots := make(chan struct{}, 32)
			var wg sync.WaitGroup
			i := 0
			for b.Loop() {
				i++
				o := obj.DeepCopy()
				if c.fresh {
					o.SetName(fmt.Sprintf("%s-%d", obj.GetName(), i))
				}
				slots <- struct{}{}
				wg.Go(func() {
					defer func() { <-slots }()
					if _, err := d.Resource(c.gvr).Namespace("default").Apply(b.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: "bench"}); err != nil {
						b.Error(err)
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkList measures a metadata-only list of 1,000 ConfigMaps.
func BenchmarkList(b *testing.B) {
	cluster := newFleet(b, simfleet.Options{}, "a").Cluster("a")
	d := client(b, cluster)
	for i := range 1000 {
		apply(b, d, configMaps, strings.Replace(configMap, "name: c", fmt.Sprintf("name: c%d", i), 1))
	}
	m, err := metadata.NewForConfig(cluster.RESTConfig())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Resource(configMaps).List(b.Context(), metav1.ListOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
