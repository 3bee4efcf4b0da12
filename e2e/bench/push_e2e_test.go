//go:build e2e

package bench

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/e2e/push"
)

const (
	// namespaces of 1,000 objects each are in sync when the controller restarts.
	namespaces = 5
	// edits by hand are made one after another.
	edits = 100
)

// benchPush is the same from the outside: the controller runs as a process, objects come with pushes, and
// the API server's audit log tells what was asked of it.
func benchPush(t *testing.T, r *report, cluster *fleet.Cluster, client kubernetes.Interface) {
	c := push.New(t, cluster, push.Options{Concurrency: inFlight})
	policy := push.EverythingEverywhere("v1 ConfigMap", "v1 Service", "apps/v1 Deployment")
	commit := func(ns string, n int) map[string][]byte {
		return map[string][]byte{"policy.yaml": policy, ns + ".yaml": push.Stream(t, changed(ns, n))}
	}
	c.Push(commit("push-0", 0))
	c.Start()
	c.AwaitApplied()

	began := time.Now()
	c.Push(commit("push-1", 0))
	c.AwaitApplied()
	r.add("push of 1,000 objects → applied", "", "%.1f s", time.Since(began).Seconds())

	asked := c.Requests()
	began = time.Now()
	c.Push(commit("push-1", 200))
	c.AwaitApplied()
	took := time.Since(began)
	news := c.Requests()[len(asked):]
	r.add("20 % of 1,000 changed", "exactly 200 writes", "%d writes, %d reads, %.1f s", push.Writes(news), len(news)-push.Writes(news)-others(news), took.Seconds())
	if n := push.Writes(news); n != 200 {
		t.Errorf("200 changed objects took %d writes", n)
	}

	asked = c.Requests()
	c.Push(map[string][]byte{"README.md": []byte("nothing that is applied\n")})
	c.AwaitApplied()
	news = c.Requests()[len(asked):]
	r.add("a commit that changes nothing", "0 writes, ≤ 1 LIST per kind", "%d writes, at most %d LIST per kind", push.Writes(news), lists(news))
	if push.Writes(news) != 0 || lists(news) > 1 {
		t.Errorf("a commit that changes nothing took %d writes and up to %d lists of a kind", push.Writes(news), lists(news))
	}

	for i := 2; i < namespaces; i++ {
		c.Push(commit(fmt.Sprint("push-", i), 0))
		c.AwaitApplied()
	}
	benchRestart(t, r, c)
	benchDrift(t, r, client)
	used := c.Process()
	r.add("memory of the controller with 5,000 objects", "", "%d MB, at most %d MB", used.RSS>>20, used.Peak>>20)
	c.Stop()
}

// benchRestart starts a controller where everything is in sync.
func benchRestart(t *testing.T, r *report, c *push.Controller) {
	c.Stop()
	asked := c.Requests()
	began := time.Now()
	c.Start()
	c.AwaitReady()
	ready := time.Since(began)
	c.AwaitApplied()
	settled := time.Since(began)
	news := c.Requests()[len(asked):]
	r.add("restart with 5,000 objects in sync", "0 writes, ready ≤ 5 s, ≤ 1 LIST per kind",
		"%d writes, ready after %.1f s, everything compared after %.1f s, at most %d LIST per kind", push.Writes(news), ready.Seconds(), settled.Seconds(), lists(news))
	if push.Writes(news) != 0 || lists(news) > 1 {
		t.Errorf("a restart took %d writes and up to %d lists of a kind", push.Writes(news), lists(news))
	}
}

// benchDrift edits ConfigMaps by hand, slower than what is taken for a fight, and measures how long each stays
// edited.
func benchDrift(t *testing.T, r *report, client kubernetes.Interface) {
	maps := client.CoreV1().ConfigMaps("push-1")
	before, err := maps.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// What is there before the edits is not told as an event.
	w, err := maps.Watch(t.Context(), metav1.ListOptions{ResourceVersion: before.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	back := make(chan string, 10_000)
	go func() {
		for e := range w.ResultChan() {
			text, err := json.Marshal(e.Object)
			if err == nil && !strings.Contains(string(text), `"index":"edited"`) {
				if m, ok := e.Object.(metav1.Object); ok {
					back <- m.GetName()
				}
			}
		}
	}()
	var took []time.Duration
	for i := range edits {
		name := fmt.Sprintf("config-%d", i)
		if _, err := maps.Patch(t.Context(), name, types.MergePatchType, []byte(`{"data":{"index":"edited"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for deadline := time.After(time.Minute); ; {
			select {
			case restored := <-back:
				if restored != name {
					continue
				}
			case <-deadline:
				t.Fatalf("the edit of %q was not put back", name)
			}
			break
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	r.add(fmt.Sprintf("%d hand edits among 5,000 objects, put back after", edits), "p99 ≤ 1 s", "p50 %d ms, p99 %d ms",
		took[edits/2].Milliseconds(), took[edits*99/100-1].Milliseconds())
}

// lists is the greatest number of lists that one kind had, those of one page that only ask how far the API
// server is apart.
func lists(events []fleet.AuditEvent) (most int) {
	byKind := map[string]int{}
	for _, e := range events {
		if e.Verb == "list" && !strings.HasSuffix(e.URI, "limit=1") {
			byKind[e.Group+"/"+e.Resource+selector(e)]++
			most = max(most, byKind[e.Group+"/"+e.Resource+selector(e)])
		}
	}
	return most
}

// selector tells the lists of one kind apart that are for different ends: of our objects, of ApplySets, of
// everything.
func selector(e fleet.AuditEvent) string {
	_, query, _ := strings.Cut(e.URI, "labelSelector=")
	s, _, _ := strings.Cut(query, "&")
	return s
}

// others counts requests that are neither reads of objects nor writes: probes and discovery.
func others(events []fleet.AuditEvent) (n int) {
	for _, e := range events {
		if e.Resource == "" {
			n++
		}
	}
	return n
}
