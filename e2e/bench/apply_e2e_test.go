//go:build e2e

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/e2e/push"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

const (
	inFlight = 32
	// rounds are even, so that each side goes first as often: whoever goes second is about a tenth slower.
	rounds = 6
)

// TestBenchApply measures everything that objects on one API server tell, in one run: how fast they are
// created beside bare requests and beside Flux's library, and what a change, no change, a restart and a
// hand edit cost the running controller, by the API server's audit log.
func TestBenchApply(t *testing.T) {
	f := fleet.StartT(t, fleet.Options{Names: []string{"east"}, Users: push.Users()})
	cfg := f.Cluster("east").RESTConfig()
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(t)
	t.Run("create", func(t *testing.T) { benchCreate(t, r, cfg, client) })
	t.Run("push", func(t *testing.T) { benchPush(t, r, f.Cluster("east"), client) })
}

// benchCreate creates 600 ConfigMaps, 200 Deployments without replicas and 200 Services, by bare requests
// and by Execute in turn, in fresh namespaces, and once by ssa.ApplyAll. With ARMADA_SYNC_BENCH_OBJECTS they
// are fewer.
func benchCreate(t *testing.T, r *report, cfg *rest.Config, client kubernetes.Interface) {
	member := startMember(t, cfg)
	// One round that does not count brings connections, caches and the server's schemas up.
	measure(t, client, "warm-direct", func(ns string) time.Duration { return direct(t, cfg, ns) })
	measure(t, client, "warm-ours", func(ns string) time.Duration { return ours(t, member, ns) })
	n := float64(len(mixed(t, "x")))
	var ratios, theirs, own []float64
	for round := 1; round <= rounds; round++ {
		var d, o time.Duration
		name := fmt.Sprint("round-", round)
		run := []func(){
			func() {
				d = measure(t, client, name+"-direct", func(ns string) time.Duration { return direct(t, cfg, ns) })
			},
			func() {
				o = measure(t, client, name+"-ours", func(ns string) time.Duration { return ours(t, member, ns) })
			},
		}
		if round%2 == 0 {
			slices.Reverse(run)
		}
		for _, r := range run {
			r()
		}
		ratios, theirs, own = append(ratios, d.Seconds()/o.Seconds()), append(theirs, n/d.Seconds()), append(own, n/o.Seconds())
		t.Logf("round %d: direct %.0f/s, armada-sync %.0f/s, ratio %.2f", round, n/d.Seconds(), n/o.Seconds(), d.Seconds()/o.Seconds())
	}
	flux := measure(t, client, "ssa", func(ns string) time.Duration { return applyAll(t, cfg, ns) })
	perSecond := n / flux.Seconds()
	r.add(fmt.Sprintf("create %.0f mixed objects, direct PATCHes, %d in flight", n, inFlight), "", "%.0f/s", median(theirs))
	r.add(fmt.Sprintf("… `ssa.ApplyAll` of fluxcd/pkg, concurrency %d", ssaConcurrency), "", "%.0f/s, %.2f × direct", perSecond, perSecond/median(theirs))
	r.add("… armada-sync, `Execute`", "≥ 0.9 × direct", "%.0f/s, %.2f × direct, %.1f × `ssa.ApplyAll`", median(own), geometricMean(ratios), median(own)/perSecond)
}

// geometricMean is the mean of ratios: that of a ratio and its inverse is 1.
func geometricMean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += math.Log(x)
	}
	return math.Exp(sum / float64(len(v)))
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// measure runs something in a fresh namespace and returns how long it took.
func measure(t *testing.T, client kubernetes.Interface, namespace string, run func(namespace string) time.Duration) time.Duration {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return run(namespace)
}

func startMember(t *testing.T, cfg *rest.Config) *apply.Member {
	t.Helper()
	m, err := apply.New(apply.Options{Name: "east", RESTConfig: cfg, HubID: "bench", Concurrency: inFlight})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); m.Wait() })
	m.Start(ctx)
	wait, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	if err := m.WaitSynced(wait); err != nil {
		t.Fatal(err)
	}
	return m
}

// ours carries out a plan that creates the objects.
func ours(t *testing.T, m *apply.Member, namespace string) time.Duration {
	t.Helper()
	p := plan.ClusterPlan{Cluster: "east", HubID: "bench", Sets: []plan.ApplySet{{
		Source: "shop", GroupKinds: []string{"ConfigMap", "Deployment.apps", "Service"}, Namespaces: []string{namespace},
	}}}
	for i, o := range mixed(t, namespace) {
		p.Operations = append(p.Operations, plan.Operation{
			ObjectReference: v1alpha1.ObjectReference{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: namespace, Name: o.GetName()},
			Action:          v1alpha1.ActionCreate, Source: "shop", Manifest: o, Digest: fmt.Sprintf("v1:%064d", i),
		})
	}
	start := time.Now()
	r, err := m.Execute(t.Context(), p)
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Complete() {
		t.Fatalf("not complete: %+v", r.Failed())
	}
	return took
}

// direct sends the objects as bare apply requests: encoded before the clock starts, answers unread.
func direct(t *testing.T, cfg *rest.Config, namespace string) time.Duration {
	t.Helper()
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	type request struct {
		path string
		body []byte
	}
	var requests []request
	for i, o := range mixed(t, namespace) {
		o.SetLabels(map[string]string{v1alpha1.LabelPartOf: apply.SetID("direct")})
		o.SetAnnotations(map[string]string{v1alpha1.AnnotationDigest: fmt.Sprintf("v1:%064d", i), v1alpha1.AnnotationSource: "armada-system/shop"})
		body, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		prefix := "/api/v1"
		if o.GetAPIVersion() != "v1" {
			prefix = "/apis/" + o.GetAPIVersion()
		}
		requests = append(requests, request{fmt.Sprintf("%s/namespaces/%s/%ss/%s", prefix, namespace, strings.ToLower(o.GetKind()), o.GetName()), body})
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range inFlight {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(requests) {
					return
				}
				_, err := client.CoreV1().RESTClient().Patch(types.ApplyPatchType).AbsPath(requests[i].path).
					Param("fieldManager", "direct").Param("force", "true").Body(requests[i].body).DoRaw(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// mixed are as many objects as are to be created, in equal parts of all kinds.
func mixed(t *testing.T, namespace string) []*unstructured.Unstructured {
	t.Helper()
	all := objects(namespace)
	text := os.Getenv("ARMADA_SYNC_BENCH_OBJECTS")
	if text == "" {
		return all
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > len(all) {
		t.Fatalf("ARMADA_SYNC_BENCH_OBJECTS=%q: want 1 to %d", text, len(all))
	}
	some := make([]*unstructured.Unstructured, 0, n)
	for i := range n {
		some = append(some, all[i*len(all)/n])
	}
	return some
}

// objects are 1,000 objects of the sizes that applications have.
func objects(namespace string) []*unstructured.Unstructured { return changed(namespace, 0) }

// changed are the same, the first n of each 1,000 with another content.
func changed(namespace string, n int) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	add := func(apiVersion, kind, name string, content map[string]any) {
		content["apiVersion"], content["kind"] = apiVersion, kind
		content["metadata"] = map[string]any{"name": name, "namespace": namespace}
		out = append(out, &unstructured.Unstructured{Object: content})
	}
	for i := range 600 {
		add("v1", "ConfigMap", fmt.Sprintf("config-%d", i), map[string]any{"data": map[string]any{
			"app.properties": strings.Repeat("key=value\n", 30), "index": fmt.Sprint(i), "changed": fmt.Sprint(i < n*6/10),
		}})
	}
	for i := range 200 {
		name := fmt.Sprintf("web-%d", i)
		labels := map[string]any{"app": name}
		add("v1", "Service", name, map[string]any{"spec": map[string]any{
			"selector": labels, "ports": []any{map[string]any{"name": "http", "port": port(i < n*2/10), "targetPort": int64(8080)}},
		}})
	}
	for i := range 200 {
		name := fmt.Sprintf("web-%d", i)
		labels := map[string]any{"app": name}
		add("apps/v1", "Deployment", name, map[string]any{"spec": map[string]any{
			"replicas": int64(0), "selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"containers": []any{map[string]any{
				"name": "main", "image": fmt.Sprint("example.com/web:", port(i < n*2/10)), "ports": []any{map[string]any{"containerPort": int64(8080)}},
				"env":       []any{map[string]any{"name": "A", "value": "1"}, map[string]any{"name": "B", "value": "2"}},
				"resources": map[string]any{"requests": map[string]any{"cpu": "100m", "memory": "64Mi"}},
			}}}},
		}})
	}
	return out
}

// port is one of two values.
func port(changed bool) int64 {
	if changed {
		return 81
	}
	return 80
}
