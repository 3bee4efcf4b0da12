package hub

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

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
	p.Status = v.status(placementRef(&p).NamespacedName, entry, p.Status)
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
