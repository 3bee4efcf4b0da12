package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
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

// TestAFleetFileSaysWhatATenantMay: a preview elsewhere is held to the same bounds, and learns nothing of how the
// repository is reached.
func TestAFleetFileSaysWhatATenantMay(t *testing.T) {
	tenant := &v1alpha1.Tenant{ServiceAccount: "shop/deployer", AllowedNamespaces: []string{"shop"}}
	configured := v1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "shop", Annotations: map[string]string{"note": "x"}}}
	configured.Spec = v1alpha1.GitSourceSpec{
		URL: "/srv/git/shop.git", Path: "./deploy", TargetNamespace: "shop", PoliciesFor: []string{"a"}, Tenant: tenant,
		SecretRef: &v1alpha1.LocalSecretReference{Name: "git"}, CredentialsFile: "git.yaml",
	}
	data, err := plan.WriteFleet(plan.Committable(plan.Snapshot{Sources: engine.Declared(nil, []v1alpha1.GitSource{configured})}))
	if err != nil {
		t.Fatal(err)
	}
	snap, problems := plan.ReadFleet("fleet.yaml", data)
	if v1alpha1.Blocked(problems) || len(snap.Sources) != 1 {
		t.Fatalf("%v, %v in\n%s", snap.Sources, problems, data)
	}
	got := snap.Sources[0]
	if diff := cmp.Diff(tenant, got.Spec.Tenant); diff != "" || got.Spec.Path != "./deploy" || got.Spec.TargetNamespace != "shop" || len(got.Annotations) > 0 {
		t.Errorf("got %+v, tenant %s", got, diff)
	}
	if got.Spec.SecretRef != nil || got.Spec.CredentialsFile != "" {
		t.Errorf("the file says how the repository is reached:\n%s", data)
	}
}
