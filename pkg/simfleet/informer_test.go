package simfleet_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// TestMain takes away the pause that client-go makes after an error. It counts
// from the last error in the process, which inside a synctest bubble may lie in
// the future: the pause would be years long.
func TestMain(m *testing.M) {
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1]
	os.Exit(m.Run())
}

// TestInformersSurviveEverything runs client-go's informers, on a clock that
// stands still while nobody waits, through what a network can do to them.
func TestInformersSurviveEverything(t *testing.T) {
	for _, c := range []struct {
		reason  string
		disturb func(*testing.T, *simfleet.Cluster)
	}{
		{"quiet for a day", func(*testing.T, *simfleet.Cluster) { time.Sleep(24 * time.Hour) }},
		{"connections cut", func(_ *testing.T, c *simfleet.Cluster) { c.CutConnections() }},
		{"forgotten changes", func(_ *testing.T, c *simfleet.Cluster) { c.Compact(); c.CutConnections() }},
		{"stopped for an hour", func(t *testing.T, c *simfleet.Cluster) {
			c.Stop()
			time.Sleep(time.Hour)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
		}},
		{"partitioned for an hour", func(_ *testing.T, c *simfleet.Cluster) {
			c.Partition()
			time.Sleep(time.Hour)
			c.Heal()
		}},
		{"errors", func(_ *testing.T, c *simfleet.Cluster) {
			c.SetFaults(simfleet.Faults{InternalErrors: 0.2, Unavailable: 0.2, TooManyRequests: 0.2, CutWatches: 0.5})
			time.Sleep(time.Hour)
			c.SetFaults(simfleet.Faults{})
		}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newFleet(t, simfleet.Options{}, "a").Cluster("a")
				d := client(t, cluster)
				apply(t, d, configMaps, `{apiVersion: v1, kind: ConfigMap, metadata: {name: early, labels: {l: m}}}`)
				stop := make(chan struct{})
				m, err := metadata.NewForConfig(cluster.RESTConfig())
				if err != nil {
					t.Fatal(err)
				}
				only := func(o *metav1.ListOptions) { o.LabelSelector = "l" }
				mf := metadatainformer.NewFilteredSharedInformerFactory(m, 0, "", only)
				df := dynamicinformer.NewFilteredDynamicSharedInformerFactory(d, 0, "", only)
				stores := []cache.Store{mf.ForResource(configMaps).Informer().GetStore(), df.ForResource(configMaps).Informer().GetStore()}
				mf.Start(stop)
				df.Start(stop)
				mf.WaitForCacheSync(stop)
				df.WaitForCacheSync(stop)
				c.disturb(t, cluster)
				apply(t, d, configMaps, `{apiVersion: v1, kind: ConfigMap, metadata: {name: late, labels: {l: m}}}`)
				if err := d.Resource(configMaps).Namespace("default").Delete(t.Context(), "early", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(15 * time.Minute)
				synctest.Wait()
				for i, s := range stores {
					if got := fmt.Sprint(s.ListKeys()); got != "[default/late]" {
						t.Errorf("informer %d holds %s", i, got)
					}
				}
				close(stop)
				mf.Shutdown()
				df.Shutdown()
			})
		})
	}
}

func TestBookmarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := newFleet(t, simfleet.Options{}, "a").Cluster("a")
		first := apply(t, client(t, cluster), configMaps, configMap)
		w, err := client(t, cluster).Resource(configMaps).Watch(t.Context(), metav1.ListOptions{
			ResourceVersion: first.GetResourceVersion(), LabelSelector: "none", AllowWatchBookmarks: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		obj := apply(t, client(t, cluster), configMaps, strings.Replace(configMap, `"1"`, `"2"`, 1))
		start := time.Now()
		ev := <-w.ResultChan()
		m, err := meta.Accessor(ev.Object)
		if err != nil || ev.Type != watch.Bookmark {
			t.Fatalf("got %s %v", ev.Type, ev.Object)
		}
		now, errNow := strconv.Atoi(m.GetResourceVersion())
		wrote, errWrote := strconv.Atoi(obj.GetResourceVersion())
		if errNow != nil || errWrote != nil || now < wrote || time.Since(start) > time.Minute {
			t.Errorf("after %v a bookmark at %s, the cluster is at %s", time.Since(start), m.GetResourceVersion(), obj.GetResourceVersion())
		}
	})
}
