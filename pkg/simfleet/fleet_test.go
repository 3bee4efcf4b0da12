package simfleet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

var (
	configMaps  = corev1.SchemeGroupVersion.WithResource("configmaps")
	deployments = appsv1.SchemeGroupVersion.WithResource("deployments")
)

// newFleet starts clusters a, b, c, … that end with the test.
func newFleet(t testing.TB, opts simfleet.Options, names ...string) *simfleet.Fleet {
	t.Helper()
	for _, n := range names {
		opts.Clusters = append(opts.Clusters, simfleet.ClusterSpec{Name: n})
	}
	f, err := simfleet.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func client(t testing.TB, c *simfleet.Cluster) dynamic.Interface {
	t.Helper()
	d, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func manifest(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(j); err != nil {
		t.Fatal(err)
	}
	return u
}

func apply(t testing.TB, d dynamic.Interface, gvr schema.GroupVersionResource, text string) *unstructured.Unstructured {
	t.Helper()
	obj := manifest(t, text)
	out, err := d.Resource(gvr).Namespace("default").Apply(t.Context(), obj.GetName(), obj, metav1.ApplyOptions{FieldManager: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const configMap = `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "1"}}`

func deployment(behaviour string, replicas int) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {simfleet.armada-sync.io/behaviour: %q}}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: main, image: "web:1"}]}}
`, behaviour, replicas)
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		reason string
		opts   simfleet.Options
		want   string
	}{
		{"a cluster needs a name", simfleet.Options{Clusters: []simfleet.ClusterSpec{{}}}, "no name"},
		{"names are unique", simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "a"}, {Name: "a"}}}, `"a" is there twice`},
		{"quantities must parse", simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "a", Nodes: []simfleet.NodeSpec{{CPU: "many"}}}}}, `node cpu "many"`},
	} {
		t.Run(c.reason, func(t *testing.T) {
			if _, err := simfleet.New(c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestWorkloadsBehaveAsAsked(t *testing.T) {
	for _, c := range []struct {
		behaviour          string
		ready              int32
		progressing        corev1.ConditionStatus
		reason             string
		availableCondition corev1.ConditionStatus
	}{
		{simfleet.BehaviourOK, 4, corev1.ConditionTrue, "NewReplicaSetAvailable", corev1.ConditionTrue},
		{simfleet.BehaviourHang, 0, corev1.ConditionTrue, "ReplicaSetUpdated", corev1.ConditionFalse},
		{simfleet.BehaviourCrash, 0, corev1.ConditionFalse, "ProgressDeadlineExceeded", corev1.ConditionFalse},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newFleet(t, simfleet.Options{ReadyAfter: 10 * time.Second}, "a").Cluster("a")
				apply(t, client(t, cluster), deployments, deployment(c.behaviour, 4))
				time.Sleep(9 * time.Second)
				synctest.Wait()
				d := getDeployment(t, cluster)
				if d.Status.ObservedGeneration != 1 || d.Status.ReadyReplicas != 0 || d.Status.Replicas != 4 {
					t.Errorf("after 9 s: %+v", d.Status)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				d = getDeployment(t, cluster)
				if d.Status.ReadyReplicas != c.ready || d.Status.AvailableReplicas != c.ready {
					t.Errorf("after 11 s %d are ready, want %d", d.Status.ReadyReplicas, c.ready)
				}
				for _, cond := range d.Status.Conditions {
					switch cond.Type {
					case appsv1.DeploymentProgressing:
						if cond.Status != c.progressing || cond.Reason != c.reason {
							t.Errorf("progressing is %s %s", cond.Status, cond.Reason)
						}
					case appsv1.DeploymentAvailable:
						if cond.Status != c.availableCondition {
							t.Errorf("available is %s", cond.Status)
						}
					default:
						t.Errorf("an unexpected condition %s", cond.Type)
					}
				}
			})
		})
	}
}

func getDeployment(t *testing.T, c *simfleet.Cluster) *appsv1.Deployment {
	t.Helper()
	d, ok := c.Get(appsv1.SchemeGroupVersion.WithKind("Deployment"), "default", "web").(*appsv1.Deployment)
	if !ok {
		t.Fatal("no deployment")
	}
	return d
}

func TestFailedRolloutKeepsTheOldPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := newFleet(t, simfleet.Options{}, "a").Cluster("a")
		d := client(t, cluster)
		apply(t, d, deployments, deployment("ok", 4))
		time.Sleep(2 * time.Second)
		apply(t, d, deployments, strings.Replace(deployment("crash", 4), "web:1", "web:2", 1))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		got := getDeployment(t, cluster)
		if got.Status.ReadyReplicas != 4 || got.Status.UpdatedReplicas != 1 {
			t.Errorf("%d ready, %d updated, want 4 and 1", got.Status.ReadyReplicas, got.Status.UpdatedReplicas)
		}
	})
}

func TestStopRefusesAndStartServesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFleet(t, simfleet.Options{}, "a").Cluster("a")
		d := client(t, c)
		apply(t, d, configMaps, configMap)
		w, err := d.Resource(configMaps).Watch(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			t.Fatal(err)
		}
		c.Stop()
		for range w.ResultChan() {
			// The state comes first; then the watch breaks.
		}
		_, err = d.Resource(configMaps).Namespace("default").Get(t.Context(), "c", metav1.GetOptions{})
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a stopped cluster answers %v", err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Resource(configMaps).Namespace("default").Get(t.Context(), "c", metav1.GetOptions{}); err != nil {
			t.Errorf("after the start: %v", err)
		}
	})
}

func TestControllersStandStillWhileStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFleet(t, simfleet.Options{ReadyAfter: 10 * time.Second}, "a").Cluster("a")
		apply(t, client(t, c), deployments, deployment("ok", 1))
		time.Sleep(time.Second)
		c.Stop()
		time.Sleep(time.Minute)
		if got := getDeployment(t, c).Status.ReadyReplicas; got != 0 {
			t.Errorf("%d became ready", got)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := getDeployment(t, c).Status.ReadyReplicas; got != 1 {
			t.Errorf("%d are ready after the start", got)
		}
	})
}

func TestPartitionHangsUntilHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFleet(t, simfleet.Options{}, "a").Cluster("a")
		d := client(t, c)
		obj := apply(t, d, configMaps, configMap)
		w, err := d.Resource(configMaps).Namespace("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: obj.GetResourceVersion(), FieldSelector: "metadata.name=c"})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		c.Partition()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		_, err = d.Resource(configMaps).Namespace("default").Get(ctx, "c", metav1.GetOptions{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := c.EditAs("hand", corev1.SchemeGroupVersion.WithKind("ConfigMap"), "default", "c", func(o map[string]any) {
			o["data"] = map[string]any{"a": "2"}
		}); err != nil {
			t.Fatal(err)
		}
		select {
		case ev := <-w.ResultChan():
			t.Errorf("an event came through the partition: %v", ev.Type)
		case <-time.After(time.Minute):
		}
		c.Heal()
		if ev := <-w.ResultChan(); ev.Type != watch.Modified {
			t.Errorf("after the partition: %v", ev.Type)
		}
	})
}

func TestEditAsTakesTheField(t *testing.T) {
	c := newFleet(t, simfleet.Options{}, "a").Cluster("a")
	apply(t, client(t, c), configMaps, configMap)
	gvk := corev1.SchemeGroupVersion.WithKind("ConfigMap")
	edit := func(o map[string]any) { o["data"] = map[string]any{"a": "hand"} }
	if err := c.EditAs("kubectl-edit", gvk, "default", "c", edit); err != nil {
		t.Fatal(err)
	}
	cm, ok := c.Get(gvk, "default", "c").(*corev1.ConfigMap)
	if !ok || cm.Data["a"] != "hand" {
		t.Fatalf("got %v", cm)
	}
	for _, m := range cm.ManagedFields {
		if m.Manager == "test" && strings.Contains(m.FieldsV1.GetRawString(), `"f:a"`) {
			t.Errorf("the applier still owns it: %s", m.FieldsV1.GetRawString())
		}
		if m.Manager == "kubectl-edit" && !strings.Contains(m.FieldsV1.GetRawString(), `"f:a"`) {
			t.Errorf("the editor does not own it: %s", m.FieldsV1.GetRawString())
		}
	}
	if err := c.EditAs("x", gvk, "default", "absent", edit); !apierrors.IsNotFound(errors.Unwrap(err)) {
		t.Errorf("editing what is absent: %v", err)
	}
}

func TestFaults(t *testing.T) {
	get := func(ctx context.Context, d dynamic.Interface) error {
		_, err := d.Resource(configMaps).Namespace("default").Get(ctx, "c", metav1.GetOptions{})
		return err
	}
	patch := func(ctx context.Context, d dynamic.Interface) error {
		_, err := d.Resource(configMaps).Namespace("default").Patch(ctx, "c", types.MergePatchType, []byte(`{"data":{"a":"2"}}`), metav1.PatchOptions{})
		return err
	}
	for _, c := range []struct {
		reason string
		faults simfleet.Faults
		do     func(context.Context, dynamic.Interface) error
		want   func(error) bool
		after  time.Duration
	}{
		{"latency", simfleet.Faults{Latency: 3 * time.Second}, get, func(err error) bool { return err == nil }, 3 * time.Second},
		{"500", simfleet.Faults{InternalErrors: 1}, get, apierrors.IsInternalError, 0},
		{"503", simfleet.Faults{Unavailable: 1}, get, apierrors.IsServiceUnavailable, 0},
		{"409", simfleet.Faults{Conflicts: 1}, patch, apierrors.IsConflict, 0},
		{"409 spares reads", simfleet.Faults{Conflicts: 1}, get, func(err error) bool { return err == nil }, 0},
		{"client-go retries a 429 ten times", simfleet.Faults{TooManyRequests: 1, RetryAfter: 2 * time.Second}, get, apierrors.IsTooManyRequests, 20 * time.Second},
		{"other resources are spared", simfleet.Faults{InternalErrors: 1, Resources: []string{"secrets"}}, get, func(err error) bool { return err == nil }, 0},
		{"other verbs are spared", simfleet.Faults{InternalErrors: 1, Verbs: []string{"patch"}}, get, func(err error) bool { return err == nil }, 0},
		{"a lost reply", simfleet.Faults{LostReplies: 1}, patch, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) }, 0},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newFleet(t, simfleet.Options{}, "a").Cluster("a")
				d := client(t, cluster)
				apply(t, d, configMaps, configMap)
				cluster.SetFaults(c.faults)
				start := time.Now()
				if err := c.do(t.Context(), d); !c.want(err) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took != c.after {
					t.Errorf("took %v, want %v", took, c.after)
				}
			})
		})
	}
}

func TestLostReplyIsCarriedOut(t *testing.T) {
	c := newFleet(t, simfleet.Options{}, "a").Cluster("a")
	d := client(t, c)
	c.SetFaults(simfleet.Faults{LostReplies: 1})
	obj := manifest(t, configMap)
	if _, err := d.Resource(configMaps).Namespace("default").Create(t.Context(), obj, metav1.CreateOptions{}); err == nil {
		t.Error("the reply arrived")
	}
	if c.Get(corev1.SchemeGroupVersion.WithKind("ConfigMap"), "default", "c") == nil {
		t.Error("the request was not carried out")
	}
}

func TestCutWatchesBreakLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFleet(t, simfleet.Options{}, "a").Cluster("a")
		c.SetFaults(simfleet.Faults{CutWatches: 1, CutWatchesAfter: 7 * time.Second})
		start := time.Now()
		w, err := client(t, c).Resource(configMaps).Watch(t.Context(), metav1.ListOptions{LabelSelector: "none"})
		if err != nil {
			t.Fatal(err)
		}
		for ev := range w.ResultChan() {
			t.Logf("%v", ev.Type)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("the watch ended after %v", took)
		}
	})
}

func TestStaleLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFleet(t, simfleet.Options{}, "a").Cluster("a")
		// The controllers have furnished the namespaces by then.
		time.Sleep(time.Second)
		d := client(t, c)
		apply(t, d, configMaps, configMap)
		apply(t, d, configMaps, strings.Replace(configMap, `"1"`, `"2"`, 1))
		c.SetFaults(simfleet.Faults{StaleLists: 1})
		for version, want := range map[string]string{"0": "1", "": "2"} {
			list, err := d.Resource(configMaps).Namespace("default").List(t.Context(), metav1.ListOptions{ResourceVersion: version, FieldSelector: "metadata.name=c"})
			if err != nil {
				t.Fatal(err)
			}
			if got, _, _ := unstructured.NestedString(list.Items[0].Object, "data", "a"); got != want {
				t.Errorf("a list at %q says %s, want %s", version, got, want)
			}
		}
	})
}

func TestFaultsRepeat(t *testing.T) {
	run := func(seed uint64) string {
		c := newFleet(t, simfleet.Options{Seed: seed}, "a").Cluster("a")
		c.SetFaults(simfleet.Faults{InternalErrors: 0.3})
		d := client(t, c)
		var out strings.Builder
		for i := range 100 {
			_, err := d.Resource(configMaps).Namespace("default").Get(t.Context(), fmt.Sprintf("c%d", i%10), metav1.GetOptions{})
			if apierrors.IsInternalError(err) {
				out.WriteByte('x')
			} else {
				out.WriteByte('.')
			}
		}
		return out.String()
	}
	first, again, other := run(1), run(1), run(2)
	if first != again {
		t.Errorf("the same seed gave\n%s\n%s", first, again)
	}
	if first == other {
		t.Error("another seed gave the same faults")
	}
	if n := strings.Count(first, "x"); n < 15 || n > 45 {
		t.Errorf("%d of 100 failed, want about 30", n)
	}
}

func TestTraceCounts(t *testing.T) {
	c := newFleet(t, simfleet.Options{}, "a").Cluster("a")
	d := client(t, c)
	apply(t, d, configMaps, configMap)
	apply(t, d, deployments, deployment("ok", 1))
	if n := c.Count("patch", "configmaps"); n != 1 {
		t.Errorf("%d patches of configmaps", n)
	}
	if n := c.Count("", "deployments.apps"); n != 1 {
		t.Errorf("%d requests for deployments", n)
	}
	writes := 0
	for _, r := range c.Requests() {
		if r.Write() {
			writes++
		}
	}
	if writes != 2 {
		t.Errorf("%d writes", writes)
	}
	c.ResetTrace()
	if n := c.Count("", ""); n != 0 {
		t.Errorf("%d requests after a reset", n)
	}
}

func TestNodesGiveCapacity(t *testing.T) {
	f, err := simfleet.New(simfleet.Options{Clusters: []simfleet.ClusterSpec{{Name: "a", Nodes: []simfleet.NodeSpec{{Count: 2, CPU: "8", Zone: "z", Region: "r"}, {}}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := client(t, f.Cluster("a")).Resource(corev1.SchemeGroupVersion.WithResource("nodes")).List(t.Context(), metav1.ListOptions{LabelSelector: "topology.kubernetes.io/zone=z"})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 2 {
		t.Fatalf("%d nodes in zone z", len(list.Items))
	}
	if cpu, _, _ := unstructured.NestedString(list.Items[0].Object, "status", "allocatable", "cpu"); cpu != "8" {
		t.Errorf("cpu = %q", cpu)
	}
}

func TestKubeconfigWorksOverLoopback(t *testing.T) {
	c := newFleet(t, simfleet.Options{}, "a").Cluster("a")
	path := filepath.Join(t.TempDir(), "a.kubeconfig")
	if err := c.WriteKubeconfig(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, d, configMaps, configMap)
	if c.Get(corev1.SchemeGroupVersion.WithKind("ConfigMap"), "default", "c") == nil {
		t.Error("the object did not arrive")
	}
	w, err := d.Resource(configMaps).Watch(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	c.Stop()
	for range w.ResultChan() {
		// The state comes first; then the watch breaks.
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := d.Resource(configMaps).Namespace("default").Get(ctx, "c", metav1.GetOptions{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a stopped cluster answers %v", err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Resource(configMaps).Namespace("default").Get(ctx, "c", metav1.GetOptions{}); err != nil {
		t.Errorf("after the start: %v", err)
	}
	cfg.BearerToken = "wrong"
	d, err = dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Resource(configMaps).Namespace("default").Get(ctx, "c", metav1.GetOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("a wrong token gets %v", err)
	}
}

func TestPartitionOverLoopback(t *testing.T) {
	c := newFleet(t, simfleet.Options{}, "a").Cluster("a")
	kubeconfig, err := c.Kubeconfig()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, d, configMaps, configMap)
	c.Partition()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := d.Resource(configMaps).Namespace("default").Get(ctx, "c", metav1.GetOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a cluster that is cut off answers %v", err)
	}
	c.Heal()
	if _, err := d.Resource(configMaps).Namespace("default").Get(t.Context(), "c", metav1.GetOptions{}); err != nil {
		t.Errorf("after the partition: %v", err)
	}
}

func TestHandlerIsAnHTTPHandler(t *testing.T) {
	var _ http.Handler = newFleet(t, simfleet.Options{}, "a").Cluster("a")
}
