package hub

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// A workload on 1,000 clusters, all of them ill with long messages, stays within its size.
func TestAPlacementOnAThousandClustersIsSmall(t *testing.T) {
	replicas := int64(123)
	p := v1alpha1.Placement{}
	p.Name, p.Namespace = "deployment-web-0123abcd", "armada-system"
	entry := &plan.PlacementEntry{Workload: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"}}
	v := &view{members: map[string]plan.Member{}, failures: map[[2]string]string{}}
	for i := range 1000 {
		name := fmt.Sprintf("production-eu-west-1-%04d", i)
		entry.Clusters = append(entry.Clusters, placement.Assignment{Name: name, Replicas: &replicas})
		p.Spec.Clusters = append(p.Spec.Clusters, v1alpha1.TargetCluster{Name: name, Replicas: &replicas})
		v.failures[[2]string{name, entry.Workload.Key().String()}] = strings.Repeat("ä", 4000)
	}
	v.drift = map[v1alpha1.ObjectKey][]v1alpha1.ObjectDrift{entry.Workload.Key(): longDrift(1000)}
	p.Status = v.status(placementRef(&p).NamespacedName, entry, p.Status)
	if d := p.Status.Drift; d == nil || d.Total != 1000 || len(d.Objects) != maxDrift || d.Objects[0].Handling != v1alpha1.DriftFought {
		t.Errorf("the drift of 1000 copies is %+v", d)
	}
	if n := len(p.Status.Worst); n != maxWorst {
		t.Errorf("%d clusters are named, want %d", n, maxWorst)
	}
	if !strings.HasSuffix(p.Status.Summary.Clusters, "more") || len(p.Status.Summary.Clusters) > maxShares+20 {
		t.Errorf("the list of clusters is %q", p.Status.Summary.Clusters)
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > maxPlacement {
		t.Errorf("the Placement has %d bytes, more than %d", len(data), maxPlacement)
	}
	t.Logf("%d bytes", len(data))
}

// longDrift is what someone changed on n clusters, with paths and names as long as they can be. Every other
// copy is fought about.
func longDrift(n int) []v1alpha1.ObjectDrift {
	var all []v1alpha1.ObjectDrift
	for i := range n {
		d := v1alpha1.ObjectDrift{
			Cluster: fmt.Sprintf("production-eu-west-1-%04d", i), Source: strings.Repeat("s", 63) + "/" + strings.Repeat("s", 253),
			ObjectReference: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"},
			Handling:        []v1alpha1.DriftHandling{v1alpha1.DriftIgnored, v1alpha1.DriftFought}[i%2],
		}
		for range 20 {
			d.Fields = append(d.Fields, v1alpha1.DriftField{Path: "/" + strings.Repeat("p", maxDriftPath-1), Manager: strings.Repeat("m", 128)})
		}
		all = append(all, d)
	}
	return all
}

func TestKubeconfigsThatReachForMoreAreRefused(t *testing.T) {
	const frame = `
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://10.0.0.1"%s}}]
users: [{name: u, user: {%s}}]
`
	for _, c := range []struct{ reason, cluster, user, want string }{
		{"a token", "", "token: abc", ""},
		{"a program", "", "exec: {apiVersion: client.authentication.k8s.io/v1, command: sh}", "exec"},
		{"an auth provider", "", "auth-provider: {name: gcp}", "auth-provider"},
		{"a token in a file", "", "tokenFile: /var/run/secrets/token", "reads a file"},
		{"a key in a file", "", "client-certificate: /etc/a, client-key: /etc/b", "reads a file"},
		{"an authority in a file", ", certificate-authority: /etc/ca", "token: abc", "reads a file"},
	} {
		cfg, err := ParseKubeconfig(v1alpha1.Cluster{}, fmt.Appendf(nil, frame, c.cluster, c.user))
		switch {
		case c.want == "" && (err != nil || cfg.Host != "https://10.0.0.1" || cfg.BearerToken != "abc"):
			t.Errorf("%s: %v", c.reason, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: the answer is %v, want one with %q", c.reason, err, c.want)
		}
	}
	if _, err := ParseKubeconfig(v1alpha1.Cluster{}, []byte("password: hunter2")); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("what is no kubeconfig is answered with %v", err)
	}
}

// What is too large is cut to its size and says so; it is not refused.
func TestAPlacementThatIsTooLargeIsCut(t *testing.T) {
	large := decided(0, 0, true)
	large.Spec.Inputs = "sha256:1"
	for i := range 3000 {
		share, name := int64(i), fmt.Sprintf("production-eu-west-1-%04d", i)
		large.Spec.Clusters = append(large.Spec.Clusters, v1alpha1.TargetCluster{Name: name, Replicas: &share})
		large.Status.UnhealthySince = append(large.Status.UnhealthySince, v1alpha1.ClusterTime{Cluster: name})
	}
	large.Status.Moves = []v1alpha1.MoveStatus{{From: "a", To: []string{"b"}}}
	small, cut := fitted(large)
	if n := len(small.Spec.Clusters); n < 900 || n >= 3000 || small.Spec.Clusters[0].Name != large.Spec.Clusters[0].Name {
		t.Errorf("%d shares are listed", n)
	}
	if small.Spec.Inputs != "" {
		t.Error("a decision with shares that are not listed counts as standing")
	}
	if len(small.Status.Moves) != 1 {
		t.Error("the move went before the timers")
	}
	if !strings.Contains(cut, "of 3000 clusters") || !strings.Contains(cut, "timers of application failover") {
		t.Errorf("what is missing: %q", cut)
	}
	if n := size(small) + reportRoom; n > maxPlacement {
		t.Errorf("with a report it has %d bytes", n)
	}
	if _, cut := fitted(decided(0, 900, true)); cut != "" {
		t.Errorf("a workload on 900 clusters is cut: %s", cut)
	}
	status := withShortened(statusOf(small.Status, v1alpha1.PlacementStatus{}, 1), cut, metav1.Now())
	if c := meta.FindStatusCondition(status.Conditions, conditionShortened); c == nil || !strings.Contains(c.Message, "3000") {
		t.Errorf("the condition is %+v", c)
	}
}
