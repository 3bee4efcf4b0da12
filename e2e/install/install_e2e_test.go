//go:build e2e

package install_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/armada-sync/armada-sync/e2e/child"
	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/kubeconfig"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/register"
)

// soon bounds what takes some seconds on a machine with other things to do.
const soon = 60 * time.Second

// installation is what the steps share.
type installation struct {
	hub, eu, us *fleet.Cluster
	// bin holds armada-sync, kubectl and helm, and is the whole PATH beside the system's.
	bin string
	// kubeconfig has a context for each cluster, and two more: expired (a token nobody knows) and
	// nowhere (an address where nothing answers).
	kubeconfig string
	// dir is the working folder of commands.
	dir string
}

func TestInstall(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	for _, step := range []struct {
		name string
		play func(*installation, *testing.T)
	}{
		{"nothing can join a hub that was not installed", (*installation).joinTooEarly},
		{"the README's section, to the letter", (*installation).followREADME},
		{"what is printed, kustomized and charted is what is installed", (*installation).sameObjects},
		{"init again changes nothing", (*installation).initAgain},
		{"the stored kubeconfig holds a token that expires and works", (*installation).storedKubeconfig},
		{"the account's rights suffice for what applying does", (*installation).rightsSuffice},
		{"the controller runs with the rights of the manifests and nothing more", (*installation).controllerRights},
		{"wrong inputs are named, and change nothing", (*installation).wrongInputs},
		{"a name stays with its cluster", (*installation).identity},
		{"a token renews itself, and can be revoked", (*installation).rotate},
		{"impersonation takes the rights to write back", (*installation).impersonate},
		{"unjoin leaves what was applied, or removes it", (*installation).unjoin},
	} {
		t.Run(step.name, func(t *testing.T) {
			began := time.Now()
			step.play(s, t)
			t.Logf("seen, after %s", time.Since(began).Round(100*time.Millisecond))
		})
	}
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	s := &installation{bin: t.TempDir(), dir: t.TempDir()}
	s.commands(t, true)
	f := fleet.StartT(t, fleet.Options{
		Names: []string{"hub", "eu-1", "us-1"}, WithControllers: true, WithNodes: 2, Progress: t.Output(),
	})
	s.hub, s.eu, s.us = f.Cluster("hub"), f.Cluster("eu-1"), f.Cluster("us-1")
	s.kubeconfig = filepath.Join(s.dir, "kubeconfig")
	s.writeKubeconfig(t)
	return s
}

// commands puts the programs that people type into the PATH of what is run.
func (s *installation) commands(t *testing.T, helm bool) {
	t.Helper()
	for _, b := range [][]string{
		{"../..", "./cmd/armada-sync"},
		{"../../tools/clients", "./kubectl"},
		{"../../tools/clients", "helm.sh/helm/v4/cmd/helm"},
	} {
		if filepath.Base(b[1]) == "helm" && !helm {
			continue
		}
		if err := os.Symlink(fleet.CommandT(t, b[0], b[1]), filepath.Join(s.bin, filepath.Base(b[1]))); err != nil {
			t.Fatal(err)
		}
	}
}

// writeKubeconfig merges the files of all clusters, the hub current.
func (s *installation) writeKubeconfig(t *testing.T) {
	t.Helper()
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: []string{s.hub.Kubeconfig, s.eu.Kubeconfig, s.us.Kubeconfig}}
	all, err := rules.Load()
	if err != nil {
		t.Fatal(err)
	}
	// The fleet's users have one name and a token each.
	for _, c := range []*fleet.Cluster{s.hub, s.eu, s.us} {
		one, err := clientcmd.LoadFromFile(c.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		all.AuthInfos[c.Name] = one.AuthInfos[one.Contexts[c.Name].AuthInfo]
		all.Contexts[c.Name].AuthInfo = c.Name
	}
	expired := all.Contexts["us-1"].DeepCopy()
	expired.AuthInfo = "expired"
	all.AuthInfos["expired"] = all.AuthInfos["us-1"].DeepCopy()
	all.AuthInfos["expired"].Token = "canary-expired-token"
	nowhere := all.Contexts["us-1"].DeepCopy()
	nowhere.Cluster = "nowhere"
	all.Clusters["nowhere"] = all.Clusters["us-1"].DeepCopy()
	all.Clusters["nowhere"].Server = "https://127.0.0.1:1"
	stranger := all.Contexts["us-1"].DeepCopy()
	stranger.Cluster = "stranger"
	all.Clusters["stranger"] = all.Clusters["us-1"].DeepCopy()
	all.Clusters["stranger"].CertificateAuthorityData = all.Clusters["hub"].CertificateAuthorityData
	all.Contexts["expired"], all.Contexts["nowhere"], all.Contexts["stranger"] = expired, nowhere, stranger
	all.CurrentContext = "hub"
	if err := clientcmd.WriteToFile(*all, s.kubeconfig); err != nil {
		t.Fatal(err)
	}
}

// run runs a command line with a shell and returns what it printed.
func (s *installation) run(t *testing.T, script string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-euc", script)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + s.bin + ":/usr/bin:/bin", "HOME=" + s.dir, "KUBECONFIG=" + s.kubeconfig}
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	err = cmd.Run()
	t.Logf("$ %s\n%s%s", script, out.String(), problems.String())
	for _, secret := range []string{"canary-expired-token", "eyJ"} {
		if strings.Contains(out.String()+problems.String(), secret) {
			t.Errorf("%q shows a token", script)
		}
	}
	return out.String(), problems.String(), err
}

// mustRun is run for what has to succeed.
func (s *installation) mustRun(t *testing.T, script string) string {
	t.Helper()
	out, problems, err := s.run(t, script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, problems)
	}
	return out
}

// mustFail is run for what has to fail with an exit code and a message.
func (s *installation) mustFail(t *testing.T, script string, code int, message string) {
	t.Helper()
	_, problems, err := s.run(t, script)
	exit := &exec.ExitError{}
	if err == nil || !asExit(err, &exit) || exit.ExitCode() != code || !strings.Contains(problems, message) {
		t.Errorf("%s: %v, want exit code %d and %q in\n%s", script, err, code, message, problems)
	}
}

func asExit(err error, into **exec.ExitError) bool {
	exit, ok := err.(*exec.ExitError)
	*into = exit
	return ok
}

func client(t *testing.T, cfg *rest.Config) *kubernetes.Clientset {
	t.Helper()
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *installation) joinTooEarly(t *testing.T) {
	s.mustFail(t, "armada-sync join eu-1 --cluster-context eu-1", 1, "armada-sync init")
	if _, err := client(t, s.eu.RESTConfig()).CoreV1().Namespaces().Get(t.Context(), register.Namespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the member was touched: %v", err)
	}
}

// followREADME runs each block of commands of the section as it stands there.
func (s *installation) followREADME(t *testing.T) {
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(data), "\n## Install it\n")
	if !found {
		t.Fatal("the README has no section Install it")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := strings.Split(section, "```sh\n")[1:]
	if len(blocks) < 3 {
		t.Fatalf("the section has %d blocks of commands", len(blocks))
	}
	out := ""
	for _, b := range blocks {
		script, _, _ := strings.Cut(b, "```")
		out += s.mustRun(t, script)
	}
	for _, want := range []string{
		"CustomResourceDefinition clusters.armada-sync.io: created", "Deployment armada-system/armada-sync: created",
		"Cluster eu-1: created", "Secret armada-system/us-1-kubeconfig: created", "gitsource.armada-sync.io/shop",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("following the README does not show %q", want)
		}
	}
	deployment, err := client(t, s.hub.RESTConfig()).AppsV1().Deployments(register.Namespace).Get(t.Context(), "armada-sync", metav1.GetOptions{})
	if err != nil || deployment.Status.AvailableReplicas != 2 {
		t.Errorf("the controller's Deployment: %v, %d available", err, deployment.Status.AvailableReplicas)
	}
	pods, err := client(t, s.hub.RESTConfig()).CoreV1().Pods(register.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) != 2 {
		t.Errorf("%d pods pass restricted pod security, want 2 (%v)", len(pods.Items), err)
	}
}

func (s *installation) initAgain(t *testing.T) {
	out := s.mustRun(t, "armada-sync init --image registry.example.com/armada-sync:v1")
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, ": unchanged\n") {
			t.Errorf("init again: %s", line)
		}
	}
	s.mustRun(t, "armada-sync init --print --image registry.example.com/armada-sync:v1 | kubectl apply --server-side --force-conflicts -f -")
	out = s.mustRun(t, "armada-sync init --image registry.example.com/armada-sync:v2 --timeout 2m")
	if strings.Count(out, ": configured\n") != 1 || !strings.Contains(out, "Deployment armada-system/armada-sync: configured") {
		t.Error("a new image changes more or less than the Deployment")
	}
	s.mustRun(t, "kubectl get nodes -o name | xargs kubectl cordon")
	s.mustFail(t, "armada-sync init --image registry.example.com/armada-sync:v3 --timeout 3s", 5, "not ready in time within 3s: ")
	s.mustRun(t, "kubectl get nodes -o name | xargs kubectl uncordon")
	s.mustRun(t, "armada-sync init --image registry.example.com/armada-sync:v1 --timeout 2m")
}

// secretOf is the kubeconfig Secret of a cluster.
func (s *installation) secretOf(t *testing.T, cluster string) *corev1.Secret {
	t.Helper()
	secret, err := client(t, s.hub.RESTConfig()).CoreV1().Secrets(register.Namespace).Get(t.Context(), register.SecretName(cluster), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// accountConfig is how the hub reaches a cluster.
func (s *installation) accountConfig(t *testing.T, cluster string) *rest.Config {
	t.Helper()
	data, err := kubeconfig.FromSecret(s.secretOf(t, cluster).Data, "")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := kubeconfig.Load(data, kubeconfig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func (s *installation) storedKubeconfig(t *testing.T) {
	token, ok := register.TokenOf(s.secretOf(t, "eu-1").Annotations)
	if life := token.Expires.Sub(token.Issued); !ok || life < register.DefaultTokenLifetime-time.Minute || life > register.DefaultTokenLifetime+time.Minute {
		t.Errorf("the token lives %s", life)
	}
	facts, err := register.Probe(t.Context(), s.accountConfig(t, "eu-1"))
	if err != nil || facts.User != "system:serviceaccount:armada-system:armada-sync" || facts.UID == "" {
		t.Errorf("with the stored kubeconfig: %+v, %v", facts, err)
	}
	out := s.mustRun(t, "kubectl get cluster eu-1 -o json")
	var c v1alpha1.Cluster
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatal(err)
	}
	if c.Spec.Provider != "aws" || c.Spec.Region != "eu-west-1" || c.Labels["tier"] != "gold" || c.Annotations[register.AnnotationClusterUID] != facts.UID ||
		c.Spec.SecretRef == nil || c.Spec.SecretRef.Name != "eu-1-kubeconfig" || c.Spec.SecretRef.Namespace != register.Namespace {
		t.Errorf("the Cluster: %s", out)
	}
}

// member starts an executor with the rights that joining granted and nothing more.
func (s *installation) member(t *testing.T, cluster, hubID string) *apply.Member {
	t.Helper()
	m, err := apply.New(apply.Options{Name: cluster, RESTConfig: s.accountConfig(t, cluster), HubID: hubID, Capacity: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); m.Wait() })
	m.Start(ctx)
	syncing, done := context.WithTimeout(ctx, soon)
	defer done()
	if err := m.WaitSynced(syncing); err != nil {
		t.Fatal(err)
	}
	return m
}

const hubID = "hub-under-test"

// applied are objects of every sort that joining must allow: into a namespace that is not there, without
// a namespace, a role that grants what our account does not have, a volume claim that holds data.
func applied() []map[string]any {
	meta := func(namespace, name string) map[string]any {
		if namespace == "" {
			return map[string]any{"name": name}
		}
		return map[string]any{"namespace": namespace, "name": name}
	}
	return []map[string]any{
		{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("shop", "settings"), "data": map[string]any{"k": "v"}},
		{"apiVersion": "v1", "kind": "Secret", "metadata": meta("shop", "key"), "data": map[string]any{"k": "dg=="}},
		{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta("", "shop-operator"), "rules": []any{
			map[string]any{"apiGroups": []any{"*"}, "resources": []any{"*"}, "verbs": []any{"*"}},
		}},
		{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": meta("", "shop-operator"),
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "shop-operator"},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": "shop", "name": "operator"}}},
		{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta("shop", "orders"), "spec": map[string]any{
			"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}},
		}},
	}
}

// planOf creates or removes the objects.
func planOf(cluster, identity string, action v1alpha1.Action, objects []map[string]any) plan.ClusterPlan {
	p := plan.ClusterPlan{APIVersion: v1alpha1.APIVersion, Kind: "ClusterPlan", Cluster: cluster, HubID: hubID, Revisions: map[string]string{"shop": "main@sha1:1"}}
	set := plan.ApplySet{Source: "shop", Namespaces: []string{"shop"}}
	for _, o := range objects {
		u := &unstructured.Unstructured{Object: o}
		op := plan.Operation{
			ObjectReference: v1alpha1.ObjectReference{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()},
			Action:          action, Source: "shop", Manifest: u, Digest: "v1:test", Identity: identity,
		}
		p.Operations = append(p.Operations, op)
		set.GroupKinds = append(set.GroupKinds, op.GroupKind())
	}
	slices.Sort(set.GroupKinds)
	p.Sets = []plan.ApplySet{set}
	return p
}

func (s *installation) rightsSuffice(t *testing.T) {
	m := s.member(t, "eu-1", hubID)
	result, err := m.Execute(t.Context(), planOf("eu-1", "", v1alpha1.ActionCreate, applied()))
	if err != nil || !result.Complete() || result.Count(apply.OutcomeApplied) != len(applied()) {
		t.Errorf("apply with the account's rights: %v, %+v", err, result.Objects)
	}
	// Drift in what is ours is seen by watch, and so are nodes and pods.
	awaitThat(t, "objects are held and capacity is known", func() bool {
		facts, err := m.Facts(t.Context())
		return err == nil && facts.ResourceSummary != nil && m.Inventory().Objects.Len() == len(applied())
	})
	if problems := m.Problems(); len(problems) > 0 {
		t.Errorf("problems with the account's rights: %v", problems)
	}
}

// awaitThat polls a condition until a deadline.
func awaitThat(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(soon)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", soon, what)
		case <-tick.C:
		}
	}
}

// controllerRights runs the controller outside the hub with a token of the account that the Deployment has.
func (s *installation) controllerRights(t *testing.T) {
	c := child.Run(t, s.child(t, "run"), "--kubeconfig", s.accountKubeconfig(t), "--metrics-address", "127.0.0.1:0")
	awaitThat(t, "both clusters are ready and their versions known", func() bool {
		out, _, err := s.run(t, `kubectl get clusters -o jsonpath='{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{.status.kubernetesVersion} {end}'`)
		return err == nil && strings.Count(out, "Truev1.") == 2
	})
	if out := s.mustRun(t, "kubectl get clusters; kubectl get gitsources -A"); !strings.Contains(out, "eu-west-1") {
		t.Error("a list of clusters does not show the region")
	}
	code := c.End(t, syscall.SIGTERM)
	said := strings.Join(c.Since(0), "\n")
	for _, bad := range []string{"forbidden", "cannot get", "cannot list", "cannot patch", "cannot create", "panic"} {
		if strings.Contains(said, bad) {
			t.Errorf("the controller lacks a right: %q", bad)
		}
	}
	if code != 0 {
		t.Errorf("the controller ended with exit code %d", code)
	}
}

func (s *installation) wrongInputs(t *testing.T) {
	s.mustFail(t, "armada-sync join us-2 --cluster-context expired", 1, "wrong, revoked or expired")
	s.mustFail(t, "armada-sync join us-2 --cluster-context nowhere", 4, "cannot be reached")
	s.mustFail(t, "armada-sync join us-2 --cluster-context stranger", 1, "is not trusted")
	s.mustFail(t, "armada-sync join us-2 --cluster-context us-1 --server http://127.0.0.1:80", 1, `scheme "http"`)
	s.mustFail(t, "armada-sync unjoin us-2", 1, `no cluster "us-2"`)
	s.mustFail(t, "armada-sync rotate us-2", 1, `"us-2"`)
	clusters := s.mustRun(t, "kubectl get clusters -o name")
	if strings.Contains(clusters, "us-2") || strings.Contains(s.mustRun(t, "kubectl -n armada-system get secrets -o name"), "us-2") {
		t.Error("a failed join left something on the hub")
	}
	if err := s.us.StopAPIServer(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.mustFail(t, "armada-sync rotate us-1", 4, "cannot be reached")
	s.mustFail(t, "armada-sync unjoin us-1 --prune", 4, "nothing was changed")
	if err := s.us.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.mustRun(t, "kubectl get clusters -o name"); got != clusters {
		t.Errorf("clusters before: %s, after: %s", clusters, got)
	}
}

func (s *installation) identity(t *testing.T) {
	s.mustFail(t, "armada-sync join eu-1 --cluster-context us-1", 1, "taken by another cluster")
	s.mustFail(t, "armada-sync join us-2 --cluster-context us-1", 1, `joined as "us-1" already`)
	out := s.mustRun(t, "armada-sync join eu-1 --cluster-context eu-1 --dry-run --labels tier=silver")
	if !strings.Contains(out, "hub: Cluster eu-1: configured (dry run)") || strings.Contains(out, "created") {
		t.Errorf("a dry run of a changed label: %s", out)
	}
	if tier := s.mustRun(t, "kubectl get cluster eu-1 -o jsonpath='{.metadata.labels.tier}'"); tier != "gold" {
		t.Errorf("a dry run changed the label to %q", tier)
	}
	s.mustRun(t, "armada-sync join eu-1 --cluster-context eu-1 --zones a,b")
	spec := s.mustRun(t, "kubectl get cluster eu-1 -o jsonpath='{.metadata.labels.tier} {.spec.region} {.spec.zones}'")
	if spec != `gold eu-west-1 ["a","b"]` {
		t.Errorf("joining again with zones alone: %s", spec)
	}
}

func (s *installation) rotate(t *testing.T) {
	before := s.accountConfig(t, "us-1")
	s.mustRun(t, "armada-sync rotate us-1 --token-lifetime 1h")
	after := s.accountConfig(t, "us-1")
	if after.BearerToken == before.BearerToken || after.Host != before.Host || string(after.CAData) != string(before.CAData) {
		t.Error("rotate did not change the token alone")
	}
	hub := client(t, s.hub.RESTConfig())
	now := time.Now()
	token, err := register.Renew(t.Context(), hub.CoreV1(), s.secretOf(t, "us-1"), now)
	if err != nil || !token.Issued.Equal(now) || token.Expires.Before(now.Add(50*time.Minute)) {
		t.Errorf("renewal as the controller does it: %+v, %v", token, err)
	}
	stale := s.secretOf(t, "us-1")
	stale.ResourceVersion = "1"
	if _, err := register.Renew(t.Context(), hub.CoreV1(), stale, now); !apierrors.IsConflict(err) {
		t.Errorf("renewal of a Secret that has changed: %v", err)
	}
	s.mustFail(t, "armada-sync rotate us-1 --revoke", 1, "administrator")
	s.mustRun(t, "armada-sync rotate us-1 --revoke --cluster-context us-1")
	if _, err := register.Probe(t.Context(), s.accountConfig(t, "us-1")); err != nil {
		t.Errorf("after revoking: %v", err)
	}
	// The API server remembers for some seconds that it took a token.
	awaitThat(t, "the old token is refused", func() bool {
		_, err := register.Probe(t.Context(), before)
		return err != nil && strings.Contains(err.Error(), "refuses the credentials")
	})
}

func (s *installation) impersonate(t *testing.T) {
	us := client(t, s.us.RESTConfig())
	shop := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	deployer := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "deployer"}}
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "deployer"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "create", "patch", "delete"}},
	}}
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "deployer"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "deployer"}, Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "shop", Name: "deployer"}}}
	_, err1 := us.CoreV1().Namespaces().Create(t.Context(), shop, metav1.CreateOptions{})
	_, err2 := us.CoreV1().ServiceAccounts("shop").Create(t.Context(), deployer, metav1.CreateOptions{})
	_, err3 := us.RbacV1().Roles("shop").Create(t.Context(), role, metav1.CreateOptions{})
	_, err4 := us.RbacV1().RoleBindings("shop").Create(t.Context(), binding, metav1.CreateOptions{})
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	out := s.mustRun(t, "armada-sync join us-1 --cluster-context us-1 --mode impersonate --impersonate shop/deployer")
	if !strings.Contains(out, "ClusterRole armada-sync:apply: deleted") {
		t.Error("the right to write was not taken back")
	}
	m := s.member(t, "us-1", hubID)
	objects := applied()[:2] // A ConfigMap, which the deployer may write, and a Secret, which it may not.
	awaitThat(t, "the rights are taken back", func() bool {
		result, err := m.Execute(t.Context(), planOf("us-1", "", v1alpha1.ActionCreate, objects))
		return err == nil && result.Count(apply.OutcomeFailed) == len(objects)
	})
	result, err := m.Execute(t.Context(), planOf("us-1", "shop/deployer", v1alpha1.ActionCreate, objects))
	if err != nil || result.Objects[0].Outcome != apply.OutcomeApplied || result.Objects[1].Class != apply.ClassDenied {
		t.Errorf("as shop/deployer: %v, %+v", err, result.Objects)
	}
	result, err = m.Execute(t.Context(), planOf("us-1", "kube-system/default", v1alpha1.ActionCreate, objects[1:]))
	if err != nil || result.Objects[0].Class != apply.ClassDenied {
		t.Errorf("as an account that is not listed: %v, %+v", err, result.Objects)
	}
}

func (s *installation) unjoin(t *testing.T) {
	eu := client(t, s.eu.RESTConfig())
	// The hub's id is the controller's to make up; here it says what the objects of this test carry.
	s.mustRun(t, `kubectl apply --server-side -f - <<EOF
apiVersion: armada-sync.io/v1alpha1
kind: Config
metadata: {name: default}
spec: {hubID: `+hubID+`}
EOF`)
	s.mustRun(t, "armada-sync unjoin us-1 --cluster-context us-1")
	if _, err := client(t, s.us.RESTConfig()).CoreV1().ConfigMaps("shop").Get(t.Context(), "settings", metav1.GetOptions{}); err != nil {
		t.Errorf("orphaning removed what was applied: %v", err)
	}
	if out := s.mustRun(t, "kubectl --context us-1 get clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts -A -l app.kubernetes.io/part-of=armada-sync -o name"); out != "" {
		t.Errorf("an administrator's unjoin leaves %s", out)
	}
	_, problems, err := s.run(t, "armada-sync unjoin eu-1 --prune")
	if err != nil || !strings.Contains(problems, "orders stays") || !strings.Contains(problems, "an account cannot remove itself") {
		t.Errorf("unjoin --prune: %v", err)
	}
	if _, err := eu.CoreV1().ConfigMaps("shop").Get(t.Context(), "settings", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("pruning left the ConfigMap: %v", err)
	}
	if _, err := eu.CoreV1().PersistentVolumeClaims("shop").Get(t.Context(), "orders", metav1.GetOptions{}); err != nil {
		t.Errorf("pruning removed data: %v", err)
	}
	// The hub's own identity, which the controller made, stays.
	if out := s.mustRun(t, "kubectl get clusters -o name; kubectl -n armada-system get secrets -o name"); out != "secret/armada-sync-hub\n" {
		t.Errorf("on the hub is left: %s", out)
	}
	if out := s.mustRun(t, "kubectl --context eu-1 get clusterrolebindings -l app.kubernetes.io/part-of=armada-sync -o name"); out != "" {
		t.Errorf("rights are left: %s", out)
	}
}
