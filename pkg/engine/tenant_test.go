package engine_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestASourceBecomesATenants: bounds take effect without a restart. From then on the source acts as its account,
// within them; what it has elsewhere stays.
func TestASourceBecomesATenants(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everywhere()
		for _, cluster := range []string{"a", "b"} {
			client, err := kubernetes.NewForConfig(w.fleet.Cluster(cluster).RESTConfig())
			if err != nil {
				t.Fatal(err)
			}
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "deployer"}}
			if _, err := client.CoreV1().ServiceAccounts("shop").Create(w.t.Context(), account, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		cfg := w.configuration()
		cfg.Sources[0].Spec.Tenant = &v1alpha1.Tenant{
			ServiceAccount: "shop/deployer", AllowedNamespaces: []string{"shop"},
			AllowedKinds:    []v1alpha1.AllowedKind{{Group: "*", Kind: "*"}, {Kind: "Namespace"}},
			AllowedClusters: []v1alpha1.ClusterAffinity{{ClusterNames: []string{"a", "b"}}},
		}
		w.controller.engine.Reconfigure(cfg)
		w.eventually(time.Minute, w.logged("does not cover them any more"))
		w.resetTrace()
		files := shop()
		files["settings.yaml"] = strings.Replace(settings, "blue", "green", 1)
		files["reach.yaml"] = "{apiVersion: v1, kind: ConfigMap, metadata: {name: reach, namespace: kube-system}}\n"
		w.push(files)
		w.eventually(time.Minute, w.isColor("a", "green"))
		w.eventually(time.Minute, w.logged("is not among spec.tenant.allowedNamespaces (shop)"))
		w.pass(time.Minute)
		if got := w.data("c", "settings", "color"); got != "blue" {
			t.Errorf("outside of the bounds the color is %q", got)
		}
		if got := w.shares("web")["c"]; got != 3 {
			t.Errorf("outside of the bounds are %d replicas", got)
		}
		for _, cluster := range []string{"a", "b", "c"} {
			for _, r := range w.fleet.Cluster(cluster).Requests() {
				switch {
				case !r.Write() || r.Namespace == "armada-system":
				case cluster == "c":
					t.Errorf("%s %s on c", r.Verb, r.Path)
				case r.As != "system:serviceaccount:shop:deployer":
					t.Errorf("%s %s on %s as %q", r.Verb, r.Path, cluster, r.As)
				}
			}
		}
	})
}
