//go:build e2e

package install_test

import (
	"bufio"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/armada-sync/armada-sync/e2e/fleet"
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
	work       string
	one        *replica
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

// serve serves a bare repository with git http-backend over TLS, and has the hub follow it.
func (l *life) serve(t *testing.T) {
	t.Helper()
	root := filepath.Join(l.dir, "git")
	l.work = filepath.Join(l.dir, "work")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	git(t, l.dir, "init", "--quiet", "--bare", "--initial-branch=main", filepath.Join(root, "shop.git"))
	git(t, l.dir, "init", "--quiet", "--initial-branch=main", l.work)
	git(t, l.work, "remote", "add", "origin", filepath.Join(root, "shop.git"))
	server := httptest.NewUnstartedServer(&cgi.Handler{
		Path:   filepath.Join(git(t, l.dir, "--exec-path"), "git-http-backend"),
		Env:    append(gitEnvironment(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1"),
		Logger: log.New(io.Discard, "", 0), Stderr: io.Discard,
	})
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
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

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir, cmd.Env = dir, gitEnvironment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func gitEnvironment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Shop Team", "GIT_AUTHOR_EMAIL=shop@example.com",
		"GIT_COMMITTER_NAME=Shop Team", "GIT_COMMITTER_EMAIL=shop@example.com",
	}
}

func encoded(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// replica is `armada-sync run` as a child process.
type replica struct {
	cmd    *exec.Cmd
	exited chan struct{}

	mu    sync.Mutex
	lines []string
}

// start starts a replica, which lives until the test of all steps ends, with more flags.
func (l *life) start(t *testing.T, name string, flags ...string) *replica {
	t.Helper()
	r := &replica{exited: make(chan struct{})}
	r.cmd = exec.Command(filepath.Join(l.bin, "armada-sync"), append([]string{
		"run", "--kubeconfig", l.controller, "--identity", name, "--metrics-address", "127.0.0.1:0", "--allow-loopback",
	}, flags...)...)
	r.cmd.Env = []string{"HOME=" + l.dir, "PATH=/usr/bin:/bin", "TMPDIR=" + l.dir}
	r.cmd.SysProcAttr = lifeline()
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() {
		// Linux sends the parent-death signal when the thread that made the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := r.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			r.mu.Lock()
			r.lines = append(r.lines, lines.Text())
			r.mu.Unlock()
			fmt.Fprintf(l.all.Output(), "    %s| %s\n", name, lines.Text())
		}
		_ = r.cmd.Wait() // The exit code is in ProcessState.
		close(r.exited)
	}()
	if err := <-started; err != nil {
		t.Fatalf("start a replica: %v", err)
	}
	l.all.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.exited
	})
	return r
}

// says tells whether a line has a part.
func (r *replica) says(part string) func() bool {
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, line := range r.lines {
			if strings.Contains(line, part) {
				return true
			}
		}
		return false
	}
}

// end sends a signal and waits for the end.
func (r *replica) end(t *testing.T, signal syscall.Signal) int {
	t.Helper()
	if err := r.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.exited:
	case <-time.After(30 * time.Second):
		t.Fatalf("the replica lives 30s after %s", signal)
	}
	return r.cmd.ProcessState.ExitCode()
}
