//go:build e2e

package fleet_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/armada-sync/armada-sync/e2e/await"
	"github.com/armada-sync/armada-sync/e2e/fleet"
)

const (
	manager   = "fleet-test"
	userAgent = "fleet-test/1"
)

func TestAPIServerAlone(t *testing.T) {
	f := fleet.StartT(t, fleet.Options{
		Names: []string{"solo"},
		Users: []fleet.User{{Name: "guest"}},
	})
	c := f.Cluster("solo")
	t.Run("the kubeconfig file reaches the right version and verifies the server", func(t *testing.T) {
		config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		got, err := clientFor(t, c).ServerVersion()
		if err != nil {
			t.Fatal(err)
		}
		binaries, err := fleet.Build(t.Context(), t.Output())
		if err != nil {
			t.Fatal(err)
		}
		if got.GitVersion != binaries.Version {
			t.Errorf("/version says %q, want %q", got.GitVersion, binaries.Version)
		}
		config.CAData = nil // The machine's own roots do not know the fleet's.
		stranger, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stranger.ServerVersion(); err == nil {
			t.Error("a client without the CA trusts the server")
		}
	})
	t.Run("another user may do what RBAC says: nothing", func(t *testing.T) {
		config, err := c.UserRESTConfig("guest")
		if err != nil {
			t.Fatal(err)
		}
		guest, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := guest.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("listing Secrets as guest: %v, want forbidden", err)
		}
	})
	for _, tc := range []struct {
		name   string
		signal syscall.Signal
	}{
		{name: "objects outlive a crash of the API server", signal: syscall.SIGKILL},
		{name: "objects outlive an orderly end of the API server", signal: syscall.SIGTERM},
	} {
		t.Run(tc.name, func(t *testing.T) { testRestart(t, c, tc.signal) })
	}
	t.Run("a paused API server does not answer and then does", func(t *testing.T) { testPause(t, c) })
	t.Run("the audit log counts writes by user agent", func(t *testing.T) { testAudit(t, c) })
	t.Run("pods can be made without the service account controller", func(t *testing.T) {
		pods := clientFor(t, c).CoreV1().Pods("default")
		pod := corev1ac.Pod("p", "default").WithSpec(corev1ac.PodSpec().WithContainers(corev1ac.Container().WithName("c").WithImage("i")))
		if _, err := pods.Apply(t.Context(), pod, metav1.ApplyOptions{FieldManager: manager}); err != nil {
			t.Error(err)
		}
	})
	t.Run("admission policies are served and on", func(t *testing.T) {
		resources, err := clientFor(t, c).Discovery().ServerResourcesForGroupVersion("admissionregistration.k8s.io/v1")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"mutatingadmissionpolicies", "validatingadmissionpolicies"} {
			if !slices.ContainsFunc(resources.APIResources, func(r metav1.APIResource) bool { return r.Name == want }) {
				t.Errorf("the server does not serve %s", want)
			}
		}
	})
}

// testRestart applies, ends the server, and finds the object with its manager
// at the same address.
func testRestart(t *testing.T, c *fleet.Cluster, signal syscall.Signal) {
	maps := clientFor(t, c).CoreV1().ConfigMaps("default")
	name := fmt.Sprintf("restart-%d", signal)
	want := map[string]string{"signal": signal.String()}
	if _, err := maps.Apply(t.Context(), corev1ac.ConfigMap(name, "default").WithData(want), metav1.ApplyOptions{FieldManager: manager}); err != nil {
		t.Fatal(err)
	}
	if err := c.StopAPIServer(deadline(t, 20*time.Second), signal); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Get(t.Context(), name, metav1.GetOptions{}); err == nil {
		t.Fatal("the API server answers after its end")
	}
	if err := c.StopAPIServer(t.Context(), signal); err == nil {
		t.Error("stopping a stopped API server is no error")
	}
	if err := c.StartAPIServer(deadline(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	got, err := maps.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Data["signal"] != want["signal"] || got.ManagedFields[0].Manager != manager {
		t.Errorf("after the restart the object has data %v and managers %v", got.Data, got.ManagedFields)
	}
}

func testPause(t *testing.T, c *fleet.Cluster) {
	client := clientFor(t, c)
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	_, err := client.CoreV1().Namespaces().List(deadline(t, 500*time.Millisecond), metav1.ListOptions{})
	if resumed := c.Resume(); resumed != nil {
		t.Fatal(resumed)
	}
	if err == nil {
		t.Error("a paused API server answers")
	}
	if _, err := client.CoreV1().Namespaces().List(deadline(t, 20*time.Second), metav1.ListOptions{}); err != nil {
		t.Errorf("after Resume: %v", err)
	}
}

func testAudit(t *testing.T, c *fleet.Cluster) {
	config := c.RESTConfig()
	config.UserAgent = "counted/1"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	maps := client.CoreV1().ConfigMaps("default")
	object := corev1ac.ConfigMap("audited", "default").WithData(map[string]string{"secret": "not to be logged"})
	for _, options := range []metav1.ApplyOptions{
		{FieldManager: manager},
		{FieldManager: manager, DryRun: []string{metav1.DryRunAll}},
	} {
		if _, err := maps.Apply(t.Context(), object, options); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := maps.Get(t.Context(), "audited", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(t.Context(), "audited", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	var writes, reads int
	await.That(t, 10*time.Second, "four requests in the audit log", func() error {
		events, err := c.AuditEvents()
		if err != nil {
			return err
		}
		writes, reads = 0, 0
		for _, e := range events {
			switch {
			case e.UserAgent != "counted/1":
			case e.User != "admin" || e.Resource != "configmaps" || e.Namespace != "default" || e.Name != "audited" ||
				e.Code < http.StatusOK || e.Code >= http.StatusMultipleChoices || e.Received.IsZero():
				t.Fatalf("recorded: %+v", e)
			case e.Writes():
				writes++
			default:
				reads++
			}
		}
		if writes+reads < 4 {
			return fmt.Errorf("%d writes and %d others", writes, reads)
		}
		return nil
	})
	if writes != 2 || reads != 2 {
		t.Errorf("%d writes and %d others, want 2 (apply, delete) and 2 (get, dry run)", writes, reads)
	}
	content, err := os.ReadFile(c.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(content), "not to be logged") {
		t.Error("the audit log holds bodies")
	}
}

func TestControllersAndNodes(t *testing.T) {
	f := fleet.StartT(t, fleet.Options{
		Hub:             "hub",
		Names:           []string{"east", "west"},
		WithControllers: true,
		WithNodes:       2,
	})
	if got := len(f.Clusters); got != 3 {
		t.Fatalf("%d clusters, want the hub and two members", got)
	}
	client := clientFor(t, f.Cluster("east"))
	t.Run("a Deployment becomes available and scales, also after the API server was down", func(t *testing.T) {
		applyDeployment(t, client, "web", 2, nil)
		await.That(t, 30*time.Second, "2 available replicas", available(t, client, "web", 2))
		if err := f.Cluster("east").StopAPIServer(t.Context(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := f.Cluster("east").StartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		applyDeployment(t, client, "web", 3, nil)
		await.That(t, time.Minute, "3 available replicas", available(t, client, "web", 3))
	})
	t.Run("a pod that shall crash does", func(t *testing.T) {
		applyDeployment(t, client, "crash", 1, map[string]string{"e2e.armada-sync.io/pod": "crash"})
		await.That(t, 30*time.Second, "a waiting container", func() error {
			pods, err := client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=crash"})
			if err != nil {
				return err
			}
			for _, pod := range pods.Items {
				for _, status := range pod.Status.ContainerStatuses {
					if status.State.Waiting != nil && status.State.Waiting.Reason == "CrashLoopBackOff" {
						return nil
					}
				}
			}
			return fmt.Errorf("%d pods, none in CrashLoopBackOff", len(pods.Items))
		})
		if err := available(t, client, "crash", 0)(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a namespace goes with what is in it", func(t *testing.T) {
		ctx := t.Context()
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "short"}}
		if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "inside"}}
		if _, err := client.CoreV1().ConfigMaps("short").Create(ctx, object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := client.CoreV1().Namespaces().Delete(ctx, "short", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		await.That(t, 30*time.Second, "the end of the namespace", func() error {
			_, err := client.CoreV1().Namespaces().Get(ctx, "short", metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("get answers %w", err)
		})
	})
	t.Run("clusters are apart", func(t *testing.T) {
		list, err := clientFor(t, f.Cluster("west")).AppsV1().Deployments("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 0 {
			t.Errorf("west has %d Deployments", len(list.Items))
		}
		if uid(t, f.Cluster("west")) == uid(t, f.Cluster("hub")) {
			t.Error("two clusters have the same identity")
		}
	})
	t.Run("a hub has no nodes", func(t *testing.T) {
		nodes, err := clientFor(t, f.Cluster("hub")).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(nodes.Items) != 0 {
			t.Errorf("the hub has %d nodes", len(nodes.Items))
		}
	})
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	_, err := fleet.Start(t.Context(), fleet.Options{
		Names:          []string{"broken"},
		APIServerFlags: []string{"--no-such-flag"},
		Progress:       t.Output(),
	})
	if err == nil {
		t.Fatal("a server with an unknown flag starts")
	}
	for _, want := range []string{`cluster "broken"`, "kube-apiserver ended", "unknown flag: --no-such-flag"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

// clientFor returns a client as administrator.
func clientFor(t *testing.T, c *fleet.Cluster) *kubernetes.Clientset {
	t.Helper()
	config := c.RESTConfig()
	config.UserAgent = userAgent
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func applyDeployment(t *testing.T, client kubernetes.Interface, name string, replicas int32, annotations map[string]string) {
	t.Helper()
	labels := map[string]string{"app": name}
	template := corev1ac.PodTemplateSpec().WithLabels(labels).WithAnnotations(annotations).
		WithSpec(corev1ac.PodSpec().WithContainers(corev1ac.Container().WithName("c").WithImage("i")))
	deployment := appsv1ac.Deployment(name, "default").WithSpec(appsv1ac.DeploymentSpec().
		WithReplicas(replicas).
		WithSelector(metav1ac.LabelSelector().WithMatchLabels(labels)).
		WithTemplate(template))
	if _, err := client.AppsV1().Deployments("default").Apply(t.Context(), deployment, metav1.ApplyOptions{FieldManager: manager}); err != nil {
		t.Fatal(err)
	}
}

func available(t *testing.T, client kubernetes.Interface, name string, want int32) func() error {
	return func() error {
		d, err := client.AppsV1().Deployments("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if d.Status.AvailableReplicas != want {
			return fmt.Errorf("%d of %d replicas are available", d.Status.AvailableReplicas, want)
		}
		return nil
	}
}

func uid(t *testing.T, c *fleet.Cluster) types.UID {
	t.Helper()
	namespace, err := clientFor(t, c).CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return namespace.UID
}

func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
