//go:build e2e

package install_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/pkg/register"
)

// manyMaps is large enough for a kill to fall into the middle of an apply.
const manyMaps = 200

// handover is how long another replica may take after the leader was killed.
const handover = 20 * time.Second

// TestLifeWithTheRightsOfTheManifests plays the life of a fleet, each step on the one before: a hub with the
// rendered manifests, three members joined by the command, the controller with the tokens of the accounts
// that these made and nothing more.
func TestLifeWithTheRightsOfTheManifests(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	for _, step := range []struct {
		name string
		play func(*life, *testing.T)
	}{
		{"the manifests are valid on the hub", (*life).valid},
		{"a push arrives, overridden where a policy says so", (*life).push},
		{"kubectl get answers what people ask", (*life).columns},
		{"drift is repaired", (*life).drift},
		{"what leaves the repository leaves the members", (*life).prune},
		{"clusters that cannot be reached say why, and nobody else minds", (*life).badClusters},
		{"a member is killed and comes back", (*life).lost},
		{"the leader is killed in the middle of an apply", (*life).killed},
		{"a cluster leaves in the middle of an apply, and takes everything along", (*life).unjoined},
		{"no right was missing, and no other account was used", (*life).rights},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			began := time.Now()
			step.play(l, t)
			t.Logf("seen, after %s", time.Since(began).Round(100*time.Millisecond))
		}) {
			t.Fatal("what follows stands on this step")
		}
	}
}

func (l *life) valid(t *testing.T) {
	for _, manifests := range []string{
		"kubectl kustomize " + repositoryRoot(t) + "/deploy/kustomize",
		"armada-sync init --print --image registry.example.com/armada-sync:v1",
	} {
		l.mustRun(t, manifests+" | kubectl apply --server-side --force-conflicts --dry-run=server -f -")
	}
}

func (l *life) push(t *testing.T) {
	l.commit(t, "blue", 5)
	l.one = l.start(t, "one")
	awaitThat(t, "blue arrives everywhere", l.arrived(t, "blue", 5, l.members...))
	for _, m := range l.members {
		want := "all"
		if m == l.eu {
			want = "europe"
		}
		if got := l.data(t, m, "settings-0")["audience"]; got != want {
			t.Errorf("%s has audience %q, want %q", m.Name, got, want)
		}
	}
}

func (l *life) columns(t *testing.T) {
	awaitThat(t, "every row says that it is ready", func() bool {
		out, _, err := l.run(t, `kubectl get placements,gitsources -A --no-headers; kubectl get clusters --no-headers`)
		return err == nil && strings.Count(out, "True") >= 5+1+3
	})
	placements := l.mustRun(t, "kubectl get placements -A")
	for _, want := range []string{"WORKLOAD", "CLUSTERS", "READY", "MESSAGE", "ConfigMap shop/settings-0", "ap-1, eu-1, us-1", "ready on 3 of 3 clusters"} {
		if !strings.Contains(placements, want) {
			t.Errorf("kubectl get placements does not show %q", want)
		}
	}
	clusters := l.mustRun(t, "kubectl get clusters")
	for _, want := range []string{"VERSION", "REGION", "READY", "TAINTS", "CAPACITY", "eu-west-1", "v1."} {
		if !strings.Contains(clusters, want) {
			t.Errorf("kubectl get clusters does not show %q", want)
		}
	}
	l.mustRun(t, "kubectl get gitsources -A")
	l.mustRun(t, "kubectl apply --server-side -f - <<EOF\n{apiVersion: armada-sync.io/v1alpha1, kind: Config, metadata: {name: default}, spec: {health: {failureThreshold: 5s, recoveryThreshold: 5s}}}\nEOF")
	awaitThat(t, "the Config is in force", func() bool {
		out, _, err := l.run(t, "kubectl get configs")
		return err == nil && strings.Contains(out, "True")
	})
}

func (l *life) drift(t *testing.T) {
	us := client(t, l.us.RESTConfig()).CoreV1().ConfigMaps("shop")
	if _, err := us.Patch(t.Context(), "settings-0", types.MergePatchType, []byte(`{"data":{"color":"pink"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	awaitThat(t, "blue is back", l.arrived(t, "blue", 5, l.members...))
	if err := us.Delete(t.Context(), "settings-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitThat(t, "what was deleted is back", l.arrived(t, "blue", 5, l.members...))
}

func (l *life) prune(t *testing.T) {
	l.commit(t, "blue", 4)
	awaitThat(t, "the fifth is gone", l.arrived(t, "blue", 4, l.members...))
}

func (l *life) badClusters(t *testing.T) {
	l.mustRun(t, `cat > wrong.kubeconfig <<EOF
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "`+l.us.RESTConfig().Host+`", certificate-authority-data: "`+encoded(l.us.RESTConfig().CAData)+`"}}]
users: [{name: u, user: {token: canary-expired-token}}]
EOF
kubectl -n armada-system create secret generic expired --from-file=kubeconfig=wrong.kubeconfig
kubectl -n armada-system create secret generic garbled --from-literal=kubeconfig=nonsense
for name in expired garbled secretless; do
kubectl apply --server-side -f - <<EOF
{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: $name}, spec: {secretRef: {name: $name}}}
EOF
done`)
	for name, want := range map[string]string{"expired": "armada-sync rotate", "garbled": "kubeconfig", "secretless": "armada-system/secretless"} {
		awaitThat(t, name+" says why", func() bool {
			condition, _, err := l.run(t, `kubectl get cluster `+name+` -o jsonpath='{.status.conditions[?(@.type=="Ready")]}'`)
			events, _, err2 := l.run(t, `kubectl get events --field-selector involvedObject.kind=Cluster,involvedObject.name=`+name)
			return err == nil && err2 == nil && strings.Contains(condition, want) && strings.Contains(events, want)
		})
	}
	l.commit(t, "cyan", 4)
	awaitThat(t, "others go on", l.arrived(t, "cyan", 4, l.members...))
	l.mustRun(t, "kubectl delete cluster expired garbled secretless")
}

func (l *life) lost(t *testing.T) {
	if err := l.ap.StopAPIServer(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.commit(t, "green", 4)
	awaitThat(t, "the others get it at once", l.arrived(t, "green", 4, l.eu, l.us))
	l.mustRun(t, "kubectl wait cluster/ap-1 --for=condition=Ready=Unknown --timeout=60s")
	l.mustRun(t, "kubectl get clusters; kubectl get placements -A")
	if err := l.ap.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitThat(t, "it gets what it missed", l.arrived(t, "green", 4, l.members...))
	l.mustRun(t, "kubectl wait cluster/ap-1 --for=condition=Ready=True --timeout=60s")
}

func (l *life) killed(t *testing.T) {
	two := l.start(t, "two")
	two.AwaitLine(t, 0, soon, "standing by")
	l.quiet(t)
	since := time.Now()
	l.commit(t, "red", manyMaps)
	awaitThat(t, "the apply has begun", func() bool { return len(l.writes(t, l.us, since)) >= 3 })
	killed := time.Now()
	l.one.End(t, syscall.SIGKILL)
	two.AwaitLine(t, 0, soon, "leading")
	took := time.Since(killed)
	t.Logf("killed in the middle, the other leads after %s", took.Round(100*time.Millisecond))
	if took > handover {
		t.Errorf("that is more than %s", handover)
	}
	awaitThat(t, "red arrives everywhere", l.arrived(t, "red", manyMaps, l.members...))
	l.countDoubles(t, since, killed)
	l.one = two
}

func (l *life) unjoined(t *testing.T) {
	l.quiet(t)
	since := time.Now()
	l.commit(t, "violet", 2*manyMaps)
	awaitThat(t, "the apply has begun", func() bool { return len(l.writes(t, l.ap, since)) >= 3 })
	l.mustRun(t, "armada-sync unjoin ap-1 --prune --cluster-context ap-1 > removed; grep -c deleted removed")
	empty := l.arrived(t, "violet", 0, l.ap)
	if !empty() {
		t.Error("something is left, or was put back")
	}
	awaitThat(t, "the others have everything", l.arrived(t, "violet", 2*manyMaps, l.eu, l.us))
	if !empty() {
		t.Error("something was put back")
	}
}

// rights looks through what the API servers noted.
func (l *life) rights(t *testing.T) {
	if code := l.one.End(t, syscall.SIGTERM); code != 0 {
		t.Errorf("the controller ended with exit code %d", code)
	}
	for _, c := range append([]*fleet.Cluster{l.hub}, l.members...) {
		events, err := c.AuditEvents()
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, e := range events {
			if e.User != l.account(c) {
				continue
			}
			seen++
			if e.Code == 403 && c != l.ap { // Leaving takes its rights away from under it.
				t.Errorf("%s: %s %s was forbidden", c.Name, e.Verb, e.URI)
			}
		}
		t.Logf("%s: %d requests of %s", c.Name, seen, l.account(c))
		if seen == 0 {
			t.Errorf("%s saw nothing of %s", c.Name, l.account(c))
		}
	}
	l.budget(t)
}

// account is who the controller is on a cluster.
func (l *life) account(c *fleet.Cluster) string {
	if c == l.hub {
		return "system:serviceaccount:" + register.Namespace + ":armada-sync-controller"
	}
	return "system:serviceaccount:" + register.Namespace + ":" + register.Account
}

// writes are those of the controller on a cluster since a time, leases apart.
func (l *life) writes(t *testing.T, c *fleet.Cluster, since time.Time) []fleet.AuditEvent {
	t.Helper()
	events, err := c.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	var found []fleet.AuditEvent
	for _, e := range events {
		if e.User == l.account(c) && e.Writes() && e.Resource != "leases" && e.Received.After(since) {
			found = append(found, e)
		}
	}
	return found
}

// quiet waits until nothing has been written on members for some seconds.
func (l *life) quiet(t *testing.T) {
	t.Helper()
	awaitThat(t, "nobody writes", func() bool {
		for _, m := range l.members {
			if len(l.writes(t, m, time.Now().Add(-5*time.Second))) > 0 {
				return false
			}
		}
		return true
	})
}

// countDoubles fails where an object was written twice with success, or not at all. What was under way when
// the leader was killed was answered to nobody: whether it took effect shows in that everything arrived.
func (l *life) countDoubles(t *testing.T, since, killed time.Time) {
	t.Helper()
	for _, m := range l.members {
		count, before, after, cut := map[string]int{}, 0, 0, 0
		for _, e := range l.writes(t, m, since) {
			switch {
			case e.Resource == "secrets": // An ApplySet's parent is written when its lists change.
			case e.Code >= 300:
				cut++
			default:
				count[e.Resource+" "+e.Name]++
				if e.Received.Before(killed) {
					before++
				} else {
					after++
				}
			}
		}
		t.Logf("%s: %d objects were written before the kill and %d after it, %d requests had no good answer", m.Name, before, after, cut)
		for name, n := range count {
			if n != 1 {
				t.Errorf("%s: %s was written %d times", m.Name, name, n)
			}
		}
		if len(count)+cut < manyMaps {
			t.Errorf("%s: %d objects were written and %d requests cut off, want at least %d", m.Name, len(count), cut, manyMaps)
		}
	}
}

// budget fails where the hub got more than fifty writes a second, over five seconds: what a busy machine
// sends and answers late comes in heaps.
func (l *life) budget(t *testing.T) {
	t.Helper()
	const window = 5 * time.Second
	events := l.writes(t, l.hub, time.Time{})
	worst := 0
	for i := range events {
		n := 0
		for j := i; j < len(events) && events[j].Received.Sub(events[i].Received).Abs() < window; j++ {
			n++
		}
		worst = max(worst, n)
	}
	t.Logf("the hub got %d writes, at most %d within %s", len(events), worst, window)
	if worst > 50*int(window/time.Second) {
		t.Errorf("the hub got %d writes within %s", worst, window)
	}
}

// data is that of a ConfigMap of the shop.
func (l *life) data(t *testing.T, c *fleet.Cluster, name string) map[string]string {
	t.Helper()
	m, err := client(t, c.RESTConfig()).CoreV1().ConfigMaps("shop").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m.Data
}

// arrived tells whether clusters hold so many settings, all of one color.
func (l *life) arrived(t *testing.T, color string, n int, clusters ...*fleet.Cluster) func() bool {
	return func() bool {
		for _, c := range clusters {
			list, err := client(t, c.RESTConfig()).CoreV1().ConfigMaps("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "of=shop"})
			if err != nil || len(list.Items) != n {
				return false
			}
			for i := range list.Items {
				if list.Items[i].Data["color"] != color {
					return false
				}
			}
		}
		return true
	}
}

// commit pushes so many settings of a color.
func (l *life) commit(t *testing.T, color string, maps int) {
	t.Helper()
	var b strings.Builder
	for i := range maps {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings-%d, namespace: shop, labels: {of: shop}}\ndata: {color: %s, audience: all}\n", i, color)
	}
	b.WriteString(`---
apiVersion: armada-sync.io/v1alpha1
kind: PropagationPolicy
metadata: {name: settings, namespace: shop}
spec: {resourceSelectors: [{apiVersion: v1, kind: ConfigMap}]}
---
apiVersion: armada-sync.io/v1alpha1
kind: OverridePolicy
metadata: {name: europe, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: v1, kind: ConfigMap, name: settings-0}]
  overrideRules:
  - targetCluster: {labelSelector: {matchLabels: {continent: europe}}}
    overriders: {plaintext: [{path: /data/audience, operator: replace, value: europe}]}
`)
	l.repository.Write(t, "shop.yaml", b.String())
	l.repository.Push(t, color)
}
