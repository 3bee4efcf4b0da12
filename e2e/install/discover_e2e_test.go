//go:build e2e

package install_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/pkg/kubeconfig"
	"github.com/armada-sync/armada-sync/pkg/register"
)

// others are the least definitions of what other systems say of clusters.
const others = `
for kind in cluster.x-k8s.io/v1beta1/clusters/Cluster multicluster.x-k8s.io/v1alpha1/clusterprofiles/ClusterProfile; do
IFS=/ read -r group version plural kind <<EOF
$kind
EOF
kubectl apply --server-side -f - <<EOF
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: $plural.$group
  annotations: {api-approved.kubernetes.io: "https://example.com/a-test"}
spec:
  group: $group
  scope: Namespaced
  names: {plural: $plural, kind: $kind}
  versions: [{name: $version, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
EOF
done
kubectl wait --for=condition=Established crd --all --timeout=60s`

// discovery is a hub on which other systems describe clusters: eu-1 by Cluster API, us-1 by Argo CD and ap-1 by
// a ClusterProfile with a credential plug-in. me-1 is joined, with a token of the shortest life.
type discovery struct {
	*life
	me *fleet.Cluster
	// plugins is the folder of credential plug-ins, in which the one there is keeps what it is told.
	plugins string
	// bound is when the controller had all rights that it asked for.
	bound time.Time
}

// TestDiscoveryAndRenewal plays how clusters come into a fleet by what others say of them, and stay in it while
// their tokens are renewed, each step on the one before, with the rights of the manifests and nothing more.
func TestDiscoveryAndRenewal(t *testing.T) {
	t.Parallel()
	d := &discovery{life: newInstalled(t, "me-1"), plugins: t.TempDir()}
	d.me = d.members[3]
	for _, step := range []struct {
		name string
		play func(*discovery, *testing.T)
	}{
		{"without rights, the Config says which are missing", (*discovery).unbound},
		{"with them, each cluster comes in as it is described", (*discovery).found},
		{"each gets a workload", (*discovery).workload},
		{"a cluster that would come back at once does not leave", (*discovery).comesBack},
		{"a description that is gone marks its cluster and keeps it", (*discovery).vanished},
		{"a token is renewed in the middle of a push", (*discovery).renewed},
		{"a token that expired says what to do, and doing it helps", (*discovery).expired},
		{"no right was missing", (*discovery).enough},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			began := time.Now()
			step.play(d, t)
			t.Logf("seen, after %s", time.Since(began).Round(100*time.Millisecond))
		}) {
			t.Fatal("what follows stands on this step")
		}
	}
}

func (d *discovery) unbound(t *testing.T) {
	d.mustRun(t, others)
	d.mustRun(t, "for ns in capi argocd fleet; do kubectl create namespace $ns; done")
	d.mustRun(t, "armada-sync join me-1 --cluster-context me-1 --token-lifetime 10m")
	tokens := map[string]string{}
	for _, m := range []*fleet.Cluster{d.eu, d.us, d.ap} {
		tokens[m.Name] = d.memberToken(t, m)
	}
	d.describe(t, tokens)
	d.one = d.start(t, "one", "--credential-plugins", d.plugins)
	d.awaitConfig(t, "the Config says what is missing", func(message string) bool {
		for _, part := range []string{
			"-n capi --clusterrole=armada-sync:source-secrets", "-n argocd --clusterrole=armada-sync:source-secrets",
			"kubectl create clusterrolebinding armada-sync:discovery",
		} {
			if !strings.Contains(message, part) {
				return false
			}
		}
		return true
	})
	if out := d.mustRun(t, "kubectl get clusters -o name"); strings.TrimSpace(out) != "cluster.armada-sync.io/me-1" {
		t.Errorf("the fleet is %q", out)
	}
}

// describe has three systems describe their clusters.
func (d *discovery) describe(t *testing.T, tokens map[string]string) {
	t.Helper()
	hub := client(t, d.hub.RESTConfig()).CoreV1()
	secret := func(namespace, name string, kind corev1.SecretType, labels map[string]string, data map[string]string) {
		_, err := hub.Secrets(namespace).Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Type: kind, StringData: data,
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := clientcmd.LoadFromFile(d.eu.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range cfg.AuthInfos {
		user.Token = tokens["eu-1"]
	}
	data, err := clientcmd.Write(*cfg)
	if err != nil {
		t.Fatal(err)
	}
	secret("capi", "eu-1-kubeconfig", "cluster.x-k8s.io/secret", map[string]string{"cluster.x-k8s.io/cluster-name": "eu-1"}, map[string]string{"value": string(data)})
	us := d.us.RESTConfig()
	secret("argocd", "cluster-us", "", map[string]string{kubeconfig.LabelArgoCD: kubeconfig.ArgoCDCluster, "tier": "bronze"}, map[string]string{
		"name": "us-1", "server": us.Host, "config": fmt.Sprintf(`{"bearerToken":%q,"tlsClientConfig":{"caData":%q}}`, tokens["us-1"], encoded(us.CAData)),
	})
	ap := d.ap.RESTConfig()
	d.mustRun(t, `kubectl apply --server-side -f - <<EOF
{apiVersion: cluster.x-k8s.io/v1beta1, kind: Cluster, metadata: {name: eu-1, namespace: capi, labels: {tier: gold}}, spec: {topology: {variables: [{name: region, value: eu-west-1}]}}}
EOF
kubectl apply --server-side -f - <<EOF
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ClusterProfile
metadata: {name: ap-1, namespace: fleet, labels: {tier: silver}}
status:
  accessProviders:
  - name: cloud
    cluster:
      server: "`+ap.Host+`"
      certificate-authority-data: "`+encoded(ap.CAData)+`"
      extensions: [{name: client.authentication.k8s.io/exec, extension: {project: of-ap-1}}]
EOF
kubectl apply --server-side -f - <<EOF
apiVersion: armada-sync.io/v1alpha1
kind: Config
metadata: {name: default}
spec:
  health: {failureThreshold: 5s, recoveryThreshold: 5s}
  discovery:
    clusterAPI: {namespaces: [capi], labels: {from: capi}}
    argoCD: {namespaces: [argocd]}
    clusterProfiles: {namespaces: [fleet], providers: [{name: cloud, command: cloud-token, args: ["`+d.plugins+`"]}]}
EOF`)
	plugin := `#!/bin/sh
printf '%s\n' "$KUBERNETES_EXEC_INFO" >> "$1/told"
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$(cat "$1/token")"
`
	for name, content := range map[string]string{"cloud-token": plugin, "token": tokens["ap-1"]} {
		if err := os.WriteFile(filepath.Join(d.plugins, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// memberToken makes the account that joining would make, and a token of it.
func (d *discovery) memberToken(t *testing.T, m *fleet.Cluster) string {
	t.Helper()
	d.mustRun(t, "armada-sync join "+m.Name+" --print-rbac | kubectl --context "+m.Name+" apply --server-side -f -")
	seconds := int64(3600)
	token, err := client(t, m.RESTConfig()).CoreV1().ServiceAccounts(register.Namespace).CreateToken(t.Context(), register.Account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

// awaitConfig waits for what the Config says of discovery; "" where it says nothing.
func (d *discovery) awaitConfig(t *testing.T, what string, want func(message string) bool) {
	t.Helper()
	awaitThat(t, what, func() bool {
		out, _, err := d.run(t, `kubectl get config.armada-sync.io default -o jsonpath='{.status.conditions[?(@.type=="DiscoveryIncomplete")].message}'`)
		return err == nil && want(out)
	})
}

func (d *discovery) found(t *testing.T) {
	d.mustRun(t, `kubectl create clusterrolebinding armada-sync:discovery \
  --clusterrole=armada-sync:discovery --serviceaccount=armada-system:armada-sync-controller
for NAMESPACE in capi argocd; do
kubectl create rolebinding armada-sync:source-secrets -n $NAMESPACE \
  --clusterrole=armada-sync:source-secrets --serviceaccount=armada-system:armada-sync-controller
done`)
	// Watches that were refused are tried again in a while, longer each time.
	awaitThat(t, "all are members", func() bool {
		out, _, err := d.run(t, `kubectl get clusters -o jsonpath='{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}'`)
		return err == nil && strings.TrimSpace(out) == "ap-1=True eu-1=True me-1=True us-1=True"
	})
	d.awaitConfig(t, "discovery has no problem any more", func(message string) bool { return message == "" })
	d.bound = time.Now()
	out := d.mustRun(t, `kubectl get clusters --show-labels; kubectl get clusters -o jsonpath='{range .items[*]}{.metadata.name} {.metadata.labels.tier} {.metadata.labels.armada-sync\.io/discovered-by} {.spec.region}{"\n"}{end}'`)
	for _, want := range []string{"eu-1 gold cluster-api eu-west-1", "us-1 bronze argo-cd", "ap-1 silver cluster-profile"} {
		if !strings.Contains(out, want) {
			t.Errorf("no cluster is %q", want)
		}
	}
	told, err := os.ReadFile(filepath.Join(d.plugins, "told"))
	if err != nil || !strings.Contains(string(told), `"project":"of-ap-1"`) || !strings.Contains(string(told), d.ap.RESTConfig().Host) {
		t.Errorf("the plug-in was told %s: %v", told, err)
	}
}

func (d *discovery) workload(t *testing.T) {
	d.commit(t, "blue", 3)
	awaitThat(t, "blue arrives everywhere", d.arrived(t, "blue", 3, d.members...))
	d.mustRun(t, "kubectl get placements -A")
}

func (d *discovery) comesBack(t *testing.T) {
	d.mustFail(t, "armada-sync unjoin eu-1 --cluster-context eu-1", 1, "kubectl label secret eu-1-kubeconfig --namespace capi armada-sync.io/discovery=ignore")
	d.mustRun(t, "kubectl label secret eu-1-kubeconfig --namespace capi armada-sync.io/discovery=ignore")
	d.mustRun(t, "armada-sync unjoin eu-1")
	d.mustRun(t, "kubectl get secret eu-1-kubeconfig --namespace capi")
	if !d.arrived(t, "blue", 3, d.eu)() {
		t.Error("what was applied is gone")
	}
	d.mustRun(t, "kubectl label secret eu-1-kubeconfig --namespace capi armada-sync.io/discovery-")
	d.mustRun(t, "kubectl wait cluster.armada-sync.io/eu-1 --for=create --timeout=60s && kubectl wait cluster.armada-sync.io/eu-1 --for=condition=Ready=True --timeout=60s")
}

func (d *discovery) vanished(t *testing.T) {
	since := time.Now()
	d.mustRun(t, "kubectl delete clusterprofile ap-1 --namespace fleet")
	d.mustRun(t, "kubectl wait cluster.armada-sync.io/ap-1 --for=condition=SourceGone=True --timeout=60s")
	awaitThat(t, "an event says so", func() bool {
		out, _, err := d.run(t, "kubectl get events --field-selector involvedObject.kind=Cluster,involvedObject.name=ap-1")
		return err == nil && strings.Contains(out, "armada-sync unjoin ap-1")
	})
	d.commit(t, "green", 3)
	awaitThat(t, "green arrives on the others", d.arrived(t, "green", 3, d.eu, d.us, d.me))
	for _, e := range d.writes(t, d.ap, since) {
		if strings.HasPrefix(e.Verb, "delete") {
			t.Errorf("the member was asked to %s %s", e.Verb, e.URI)
		}
	}
	d.mustRun(t, "armada-sync unjoin ap-1 --cluster-context ap-1")
	if list, err := client(t, d.ap.RESTConfig()).CoreV1().ConfigMaps("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "of=shop"}); err != nil || len(list.Items) != 3 {
		t.Errorf("%d objects are left: %v", len(list.Items), err)
	}
}

// age makes a token that me-1 joined with older, as far as the hub can tell.
func (d *discovery) age(t *testing.T, issued, expires time.Duration) {
	t.Helper()
	now := time.Now().UTC()
	d.mustRun(t, fmt.Sprintf("kubectl -n armada-system annotate secret me-1-kubeconfig --overwrite %s=%s %s=%s",
		register.AnnotationTokenIssued, now.Add(issued).Format(time.RFC3339), register.AnnotationTokenExpires, now.Add(expires).Format(time.RFC3339)))
}

func (d *discovery) renewed(t *testing.T) {
	d.quiet(t)
	before := d.credential(t)
	since := time.Now()
	d.commit(t, "red", manyMaps)
	awaitThat(t, "the apply has begun", func() bool { return len(d.writes(t, d.me, since)) >= 3 })
	d.age(t, -7*time.Minute, 3*time.Minute)
	awaitThat(t, "there is another token", func() bool { return d.credential(t) != before })
	after := d.credential(t)
	awaitThat(t, "red arrives", d.arrived(t, "red", manyMaps, d.eu, d.us, d.me))
	awaitThat(t, "the member is watched with the new token", func() bool { return d.uses(t, after)["watch"] > 0 })
	d.quiet(t)
	count := map[string]int{}
	for _, e := range d.writes(t, d.me, since) {
		if e.Resource == "configmaps" && e.Code < 300 {
			count[e.Name]++
		}
	}
	for name, n := range count {
		if n != 1 {
			t.Errorf("%s was written %d times", name, n)
		}
	}
	if len(count) != manyMaps {
		t.Errorf("%d objects were written, want %d", len(count), manyMaps)
	}
	renewals := 0
	for _, e := range d.writes(t, d.hub, since) {
		if e.Resource == "secrets" && e.Name == register.SecretName("me-1") {
			renewals++
		}
	}
	if renewals != 1 {
		t.Errorf("the Secret was written %d times", renewals)
	}
	t.Logf("requests with the old token: %v, with the new: %v", d.uses(t, before), d.uses(t, after))
}

// credential is the id of the token by which the hub reaches me-1.
func (d *discovery) credential(t *testing.T) string {
	t.Helper()
	s, err := client(t, d.hub.RESTConfig()).CoreV1().Secrets(register.Namespace).Get(t.Context(), register.SecretName("me-1"), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.RESTConfigFromKubeConfig(s.Data["kubeconfig"])
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(cfg.BearerToken, ".")
	if len(parts) != 3 {
		t.Fatal("the token is none of a service account")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		ID string `json:"jti"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims.ID == "" {
		t.Fatalf("the token has no id: %v", err)
	}
	return "JTI=" + claims.ID
}

// uses counts the requests by verb that me-1 got with a token.
func (d *discovery) uses(t *testing.T, credential string) map[string]int {
	t.Helper()
	file, err := os.Open(d.me.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	count := map[string]int{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var line struct {
			Verb string
			User struct{ Extra map[string][]string }
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue // The last line may be under way.
		}
		for _, id := range line.User.Extra["authentication.kubernetes.io/credential-id"] {
			if id == credential {
				count[line.Verb]++
			}
		}
	}
	return count
}

func (d *discovery) expired(t *testing.T) {
	d.mustRun(t, "kubectl --context me-1 -n armada-system delete serviceaccount "+register.Account)
	awaitThat(t, "credentials that are refused say what to do", func() bool {
		out, _, err := d.run(t, `kubectl get cluster.armada-sync.io me-1 -o jsonpath='{.status.conditions[?(@.type=="Ready")].message}'`)
		return err == nil && strings.Contains(out, "armada-sync rotate me-1")
	})
	d.age(t, -20*time.Minute, -10*time.Minute)
	awaitThat(t, "condition and event say what to do", func() bool {
		condition, _, err := d.run(t, `kubectl get cluster.armada-sync.io me-1 -o jsonpath='{.status.conditions[?(@.type=="RenewalFailed")]}'`)
		events, _, err2 := d.run(t, "kubectl get events --field-selector involvedObject.kind=Cluster,involvedObject.name=me-1")
		return err == nil && err2 == nil && strings.Contains(condition, "TokenExpired") &&
			strings.Contains(condition, "armada-sync rotate me-1") && strings.Contains(events, "armada-sync rotate me-1")
	})
	d.mustRun(t, "kubectl wait cluster.armada-sync.io/me-1 --for=condition=Stalled=True --timeout=60s")
	d.mustRun(t, "armada-sync rotate me-1 --cluster-context me-1 --revoke")
	awaitThat(t, "all is well again", func() bool {
		out, _, err := d.run(t, `kubectl get cluster.armada-sync.io me-1 -o jsonpath='{range .status.conditions[*]}{.type}={.status} {end}'`)
		return err == nil && strings.Contains(out, "Ready=True") && !strings.Contains(out, "RenewalFailed") && !strings.Contains(out, "Stalled")
	})
	d.commit(t, "violet", 3)
	awaitThat(t, "violet arrives", d.arrived(t, "violet", 3, d.eu, d.us, d.me))
}

// enough looks through what the API servers noted since all rights were given.
func (d *discovery) enough(t *testing.T) {
	for _, c := range append([]*fleet.Cluster{d.hub}, d.members...) {
		events, err := c.AuditEvents()
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, e := range events {
			if e.User != d.account(c) || e.Received.Before(d.bound) {
				continue
			}
			seen++
			if e.Code == 403 {
				t.Errorf("%s: %s %s was forbidden", c.Name, e.Verb, e.URI)
			}
		}
		t.Logf("%s: %d requests of %s", c.Name, seen, d.account(c))
		if seen == 0 {
			t.Errorf("%s saw nothing of %s", c.Name, d.account(c))
		}
	}
}
