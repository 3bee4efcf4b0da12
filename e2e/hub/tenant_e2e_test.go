//go:build e2e

package hub_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/armada-sync/armada-sync/e2e/await"
	"github.com/armada-sync/armada-sync/e2e/child"
	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/e2e/gitrepo"
)

const (
	deployer     = "shop/deployer"
	deployerUser = "system:serviceaccount:shop:deployer"
)

// tenantRepository reaches for whatever a tenant might like to have. %s is the data of the objects that it
// may have.
const tenantRepository = `
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop}, data: {color: %[1]s}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}], selector: {app: web}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: %[1]s}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: denied-by-the-member, namespace: shop}, stringData: {k: v}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: vault, namespace: bank}, data: {color: stolen}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: records, namespace: armada-system}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: mine, namespace: shop}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: mine, image: "example.com/mine:1"}]}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reach}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop-privileged, labels: {pod-security.kubernetes.io/enforce: privileged}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop-overridden}}
---
apiVersion: armada-sync.io/v1alpha1
kind: ClusterOverridePolicy
metadata: {name: privileged}
spec:
  resourceSelectors: [{apiVersion: v1, kind: Namespace, name: shop-overridden}]
  overrideRules: [{overriders: {strategicMerge: [{metadata: {labels: {pod-security.kubernetes.io/enforce: privileged}}}]}}]
---
apiVersion: armada-sync.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: everything}
spec:
  priority: 1000
  conflictResolution: Overwrite
  resourceSelectors:
  - {apiVersion: v1, kind: ConfigMap}
  - {apiVersion: v1, kind: Service}
  - {apiVersion: v1, kind: Secret}
  - {apiVersion: v1, kind: Namespace}
  - {apiVersion: batch/v1, kind: Job}
  - {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole}
  placement: {clusterAffinity: {clusterNames: [eu-1, us-1]}}
---
apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: reach, namespace: armada-system}
spec: {url: "https://git.example.com/reach.git"}
`

// platformRepository is what the tenant reaches for.
const platformRepository = `
{apiVersion: v1, kind: ConfigMap, metadata: {name: vault, namespace: bank}, data: {color: of-the-platform}}
---
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: vault, namespace: bank}
spec: {resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]}
`

// tenancy is a world with a tenant's source and one of the platform.
type tenancy struct {
	*world
	url string
}

// TestATenantThatReachesBeyondItsBounds plays what a tenant tries and what the platform does about it, in order.
func TestATenantThatReachesBeyondItsBounds(t *testing.T) {
	w := &tenancy{world: newWorld(t)}
	w.account(t, w.members[0])
	source, err := w.hub.dynamic.Resource(resourceOf("GitSource")).Namespace("team").Get(t.Context(), "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.url, _, _ = unstructured.NestedString(source.Object, "spec", "url")
	w.bounds(t, "eu-1")
	w.platform(t)
	w.push(t, "blue")
	r := w.start(t, t, "one")

	t.Run("what it may have arrives, nothing else does, and it is told why", func(t *testing.T) { w.arrives(t, r) })
	t.Run("everything was written as its account", w.audited)
	t.Run("the platform is not disturbed", func(t *testing.T) {
		await.That(t, 30*time.Second, "its source is ready", w.condition(t, "GitSource", "team", "platform", "True"))
		for _, m := range w.members {
			await.That(t, 30*time.Second, "the vault on "+m.Name, w.color(t, m, "bank", "vault", "of-the-platform"))
		}
	})
	t.Run("a member without the account says what to create, and goes on with it", func(t *testing.T) {
		w.bounds(t, "eu-1", "us-1")
		r.AwaitLine(t, 0, time.Minute, "kubectl -n shop create serviceaccount deployer")
		w.push(t, "green")
		await.That(t, time.Minute, "the other member goes on", w.color(t, w.members[0], "shop", "settings", "green"))
		w.account(t, w.members[1])
		w.push(t, "red")
		await.That(t, 2*time.Minute, "it arrives there too", w.color(t, w.members[1], "shop", "settings", "red"))
	})
	t.Run("narrower bounds remove nothing, and say so", func(t *testing.T) {
		w.bounds(t, "eu-1")
		r.AwaitLine(t, 0, time.Minute, "does not cover them any more")
		w.push(t, "violet")
		await.That(t, time.Minute, "within the bounds it goes on", w.color(t, w.members[0], "shop", "settings", "violet"))
		if err := w.color(t, w.members[1], "shop", "settings", "red")(); err != nil {
			t.Errorf("outside of the bounds: %v", err)
		}
	})
	t.Run("credentials come from its own namespace alone", w.credentialsOfOthers)
}

// bounds lets the tenant reach some clusters.
func (w *tenancy) bounds(t *testing.T, clusters ...string) {
	t.Helper()
	w.object(t, fmt.Sprintf(`
apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: shop, namespace: team}
spec:
  url: %q
  interval: 500ms
  secretRef: {name: git}
  policiesFor: [team/platform]
  tenant:
    serviceAccount: %s
    allowedNamespaces: [shop, "shop-*"]
    allowedKinds: [{group: "", kind: "*"}, {group: "", kind: Namespace}]
    allowedClusters: [{clusterNames: [%s]}]`, w.url, deployer, strings.Join(clusters, ", ")))
}

// platform adds a source that is no tenant's.
func (w *tenancy) platform(t *testing.T) {
	t.Helper()
	commit(t, gitrepo.New(t, w.dir, "platform"), platformRepository)
	w.object(t, fmt.Sprintf(`{apiVersion: armada-sync.io/v1alpha1, kind: GitSource, metadata: {name: platform, namespace: team},
  spec: {url: %q, interval: 500ms, secretRef: {name: git}}}`, strings.Replace(w.url, "shop.git", "platform.git", 1)))
}

func (w *tenancy) push(t *testing.T, color string) {
	t.Helper()
	commit(t, w.repository, fmt.Sprintf(tenantRepository, color))
}

func commit(t *testing.T, r *gitrepo.Repository, content string) {
	t.Helper()
	r.Write(t, "all.yaml", content)
	r.Push(t, "change")
}

// account makes the tenant's account on a member, which may write what it should have but Secrets.
func (w *tenancy) account(t *testing.T, m *fleet.Cluster) {
	t.Helper()
	c, err := kubernetes.NewForConfig(m.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	verbs := []string{"create", "patch", "delete"}
	subject := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "shop", Name: "deployer"}}
	_, err = c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	_, err = c.RbacV1().Roles("shop").Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "deployer"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps", "services"}, Verbs: verbs},
	}}, metav1.CreateOptions{})
	failOn(t, err)
	_, err = c.RbacV1().RoleBindings("shop").Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "deployer"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "deployer"}, Subjects: subject}, metav1.CreateOptions{})
	failOn(t, err)
	_, err = c.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "shop-deployer"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: verbs},
	}}, metav1.CreateOptions{})
	failOn(t, err)
	_, err = c.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "shop-deployer"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "shop-deployer"}, Subjects: subject}, metav1.CreateOptions{})
	failOn(t, err)
	_, err = c.CoreV1().ServiceAccounts("shop").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "deployer"}}, metav1.CreateOptions{})
	failOn(t, err)
}

func failOn(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// color tells whether a ConfigMap of a member has a color.
func (w *tenancy) color(t *testing.T, m *fleet.Cluster, namespace, name, want string) func() error {
	return func() error {
		c, err := kubernetes.NewForConfig(m.RESTConfig())
		if err != nil {
			return err
		}
		got, err := c.CoreV1().ConfigMaps(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got.Data["color"] != want {
			return fmt.Errorf("%s/%s on %s is %q, want %q", namespace, name, m.Name, got.Data["color"], want)
		}
		return nil
	}
}

// arrives checks the first push.
func (w *tenancy) arrives(t *testing.T, r *child.Controller) {
	eu, us := w.members[0], w.members[1]
	await.That(t, time.Minute, "what it may have", w.color(t, eu, "shop", "settings", "blue"))
	for _, part := range []string{
		`namespace \"bank\" is not among spec.tenant.allowedNamespaces (shop, shop-*)`,
		`namespace \"armada-system\" is the controller's own`,
		"Job.batch is not among spec.tenant.allowedKinds",
		"ClusterRole.rbac.authorization.k8s.io is cluster-scoped",
		"its label pod-security.kubernetes.io/enforce does",
		"sets its label pod-security.kubernetes.io/enforce",
		`id=apply-denied reason="as service account \"shop/deployer\": HTTP 403 Forbidden`,
		"names clusters that are outside of spec.tenant.allowedClusters",
		"in a repository it has no effect",
	} {
		r.AwaitLine(t, 0, time.Minute, part)
	}
	await.That(t, time.Minute, "its source is not ready", w.condition(t, "GitSource", "team", "shop", "False"))
	for _, gone := range []struct {
		on              *fleet.Cluster
		group, resource string
		namespace, name string
	}{
		{us, "", "configmaps", "shop", "settings"},
		{us, "", "services", "shop", "web"},
		{eu, "", "secrets", "shop", "denied-by-the-member"},
		{eu, "", "configmaps", "armada-system", "records"},
		{eu, "batch", "jobs", "shop", "mine"},
		{eu, "rbac.authorization.k8s.io", "clusterroles", "", "reach"},
		{eu, "", "namespaces", "", "shop-privileged"},
		{eu, "", "namespaces", "", "shop-overridden"},
	} {
		d, err := dynamic.NewForConfig(gone.on.RESTConfig())
		failOn(t, err)
		var c dynamic.ResourceInterface = d.Resource(schema.GroupVersionResource{Group: gone.group, Version: "v1", Resource: gone.resource})
		if gone.namespace != "" {
			c = d.Resource(schema.GroupVersionResource{Group: gone.group, Version: "v1", Resource: gone.resource}).Namespace(gone.namespace)
		}
		if _, err := c.Get(t.Context(), gone.name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("%s %s/%s on %s: %v", gone.resource, gone.namespace, gone.name, gone.on.Name, err)
		}
	}
}

// audited checks as whom the members were written to: the platform's objects and our own records as
// ourselves, everything else as the tenant's account.
func (w *tenancy) audited(t *testing.T) {
	own := 0
	for _, m := range w.members {
		for _, e := range writesOf(t, m, time.Time{}) {
			platform := slices.Contains([]string{"armada-system", "bank"}, e.Namespace) || e.Resource == "namespaces" && e.Verb == "create"
			if platform && e.As == "" {
				continue
			}
			own++
			if e.As != deployerUser {
				t.Errorf("%s: %s %s as %q: %d", m.Name, e.Verb, e.URI, e.As, e.Code)
			}
		}
	}
	if own < 3 {
		t.Errorf("the tenant's account wrote %d times", own)
	}
}

// credentialsOfOthers checks that a GitSource cannot have the controller read a Secret elsewhere.
func (w *tenancy) credentialsOfOthers(t *testing.T) {
	w.object(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: theirs, namespace: armada-system}\nstringData: {username: me, password: theirs}")
	for name, ref := range map[string]string{"plain": "{name: theirs}", "path": "{name: armada-system/theirs}", "extra": "{name: theirs, namespace: armada-system}"} {
		_, err := w.hub.apply(t.Context(), fmt.Sprintf(`{apiVersion: armada-sync.io/v1alpha1, kind: GitSource, metadata: {name: %s, namespace: team},
  spec: {url: %q, interval: 500ms, secretRef: %s}}`, name, w.url, ref))
		if err != nil {
			t.Logf("%s: the hub's API server refuses it: %v", name, err)
			continue
		}
		await.That(t, time.Minute, name+" has no credentials", w.condition(t, "GitSource", "team", name, "False"))
	}
}
