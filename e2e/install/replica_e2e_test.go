//go:build e2e

package install_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/armada-sync/armada-sync/e2e/child"
	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/e2e/gitrepo"
	"github.com/armada-sync/armada-sync/pkg/register"
)

// life is an installation with three members, a repository and replicas of the controller.
type life struct {
	installation
	ap      *fleet.Cluster
	members []*fleet.Cluster
	// all is the test that replicas live as long as.
	all *testing.T
	// controller is the kubeconfig of the controller's account on the hub.
	controller string
	repository *gitrepo.Repository
	one        *child.Controller
}

func newLife(t *testing.T) *life {
	t.Helper()
	l := newInstalled(t)
	l.mustRun(t, "armada-sync join eu-1 --cluster-context eu-1 --labels continent=europe --region eu-west-1")
	l.mustRun(t, "armada-sync join us-1 --cluster-context us-1 --labels continent=america --region us-east1")
	l.mustRun(t, "armada-sync join ap-1 --cluster-context ap-1 --labels continent=asia --region ap-south-1")
	return l
}

// newInstalled is a hub with the rendered manifests, and clusters, with these and more names, that are not
// members yet.
func newInstalled(t *testing.T, more ...string) *life {
	t.Helper()
	l := &life{installation: installation{bin: t.TempDir(), dir: t.TempDir()}, all: t}
	l.commands(t, false)
	f := fleet.StartT(t, fleet.Options{Names: append([]string{"hub", "eu-1", "us-1", "ap-1"}, more...), Progress: t.Output()})
	l.hub, l.eu, l.us, l.ap = f.Cluster("hub"), f.Cluster("eu-1"), f.Cluster("us-1"), f.Cluster("ap-1")
	l.members = []*fleet.Cluster{l.ap, l.eu, l.us}
	l.kubeconfig = filepath.Join(l.dir, "kubeconfig")
	l.writeKubeconfig(t)
	l.addContext(t, l.ap)
	for _, name := range more {
		l.members = append(l.members, f.Cluster(name))
		l.addContext(t, f.Cluster(name))
	}
	l.mustRun(t, `armada-sync init --print --image registry.example.com/armada-sync:v1 > all.yaml
kubectl apply --server-side -f all.yaml
kubectl wait --for=condition=Established crd --all --timeout=60s`)
	l.controller = l.accountKubeconfig(t)
	l.serve(t)
	return l
}

// addContext puts one more cluster into the kubeconfig.
func (l *life) addContext(t *testing.T, c *fleet.Cluster) {
	t.Helper()
	all, err := clientcmd.LoadFromFile(l.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	one, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	all.Clusters[c.Name] = one.Clusters[one.Contexts[c.Name].Cluster]
	all.AuthInfos[c.Name] = one.AuthInfos[one.Contexts[c.Name].AuthInfo]
	all.Contexts[c.Name] = one.Contexts[c.Name].DeepCopy()
	all.Contexts[c.Name].Cluster, all.Contexts[c.Name].AuthInfo = c.Name, c.Name
	if err := clientcmd.WriteToFile(*all, l.kubeconfig); err != nil {
		t.Fatal(err)
	}
}

// accountKubeconfig holds a token of the account that the Deployment has, and nothing else.
func (s *installation) accountKubeconfig(t *testing.T) string {
	t.Helper()
	seconds := int64(3600)
	token, err := client(t, s.hub.RESTConfig()).CoreV1().ServiceAccounts(register.Namespace).CreateToken(t.Context(), "armada-sync-controller",
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.LoadFromFile(s.hub.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range cfg.AuthInfos {
		user.Token = token.Status.Token
	}
	file := filepath.Join(s.dir, "controller.kubeconfig")
	if err := clientcmd.WriteToFile(*cfg, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// serve serves a repository, and has the hub follow it.
func (l *life) serve(t *testing.T) {
	t.Helper()
	l.repository = gitrepo.New(t, l.dir, "shop")
	server, ca := gitrepo.ServeHTTPS(t, gitrepo.Handler(t, l.dir))
	if err := os.WriteFile(filepath.Join(l.dir, "ca.crt"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	l.mustRun(t, `kubectl -n armada-system create secret generic shop-git --from-file=ca.crt
kubectl apply --server-side -f - <<EOF
apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: shop, namespace: armada-system}
spec: {url: "`+server.URL+`/shop.git", ref: {branch: main}, interval: 500ms, secretRef: {name: shop-git}, maxPrunePercent: 100}
EOF`)
}

func encoded(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// start starts a replica, which lives until the test of all steps ends, with more flags.
func (l *life) start(t *testing.T, name string, flags ...string) *child.Controller {
	t.Helper()
	return child.Run(t, l.child(l.all, name), append([]string{
		"--kubeconfig", l.controller, "--identity", name, "--metrics-address", "127.0.0.1:0", "--allow-loopback",
	}, flags...)...)
}

// child says how a controller is run that lives as long as owner at most.
func (s *installation) child(owner *testing.T, name string) child.Options {
	return child.Options{
		Binary: filepath.Join(s.bin, "armada-sync"), Name: name, Owner: owner,
		Env: []string{"HOME=" + s.dir, "PATH=/usr/bin:/bin", "TMPDIR=" + s.dir},
	}
}
