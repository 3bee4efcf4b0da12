package fleet

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/e2e/child"
)

// The parts of a cluster, in the order in which they start. The names are also
// the first argument of the binary and the names of the log files.
const (
	etcdPart       = "etcd"
	apiServerPart  = "kube-apiserver"
	controllerPart = "kube-controller-manager"
	schedulerPart  = "kube-scheduler"
	kwokPart       = "kwok"
)

const (
	// readyPoll is how often something that starts is asked whether it is ready.
	readyPoll = 50 * time.Millisecond
	// probeTimeout bounds one such question: a stopped process never answers.
	probeTimeout = 5 * time.Second
)

// stages is kwok's configuration.
//
//go:embed stages.yaml
var stages []byte

// Cluster is one running cluster.
type Cluster struct {
	Name string
	// Dir holds the cluster's data and logs (kube-apiserver.log and so on).
	Dir string
	// URL is the address of the API server; it stays the same when the server
	// is stopped and started.
	URL string
	// Kubeconfig is the path of the administrator's kubeconfig file.
	Kubeconfig string
	// AuditLog is the path of the API server's audit log, JSON lines of level
	// Metadata; [Cluster.AuditEvents] reads it.
	AuditLog string

	fleetDir    string
	opts        Options
	nodes       int
	binaries    Binaries
	detached    *stateFile
	credentials *credentials
	ports       struct{ client, peer, api port }

	mu        sync.Mutex
	processes map[string]*child.Process
}

func newCluster(fleetDir, name string, opts Options, binaries Binaries, detached *stateFile) *Cluster {
	dir := filepath.Join(fleetDir, name)
	c := &Cluster{
		Name:       name,
		Dir:        dir,
		Kubeconfig: filepath.Join(fleetDir, name+".kubeconfig"),
		AuditLog:   filepath.Join(dir, "audit.log"),
		fleetDir:   fleetDir,
		opts:       opts,
		nodes:      opts.WithNodes,
		binaries:   binaries,
		detached:   detached,
		processes:  make(map[string]*child.Process),
	}
	if name == opts.Hub {
		c.nodes = 0
	}
	return c
}

// start brings the cluster up from nothing and waits until it is usable.
func (c *Cluster) start(ctx context.Context) error {
	if err := c.prepare(); err != nil {
		return err
	}
	if err := c.run(etcdPart); err != nil {
		return err
	}
	// An API server that comes before its etcd waits for whole seconds.
	if err := c.await(ctx, etcdPart, c.dialEtcd); err != nil {
		return err
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	if !c.opts.WithControllers {
		return nil
	}
	for _, part := range c.controllerParts() {
		if err := c.run(part); err != nil {
			return err
		}
	}
	return c.awaitControllers(ctx)
}

// prepare makes the folder, the credentials and the configuration files, and
// takes the ports.
func (c *Cluster) prepare() error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	for _, p := range []*port{&c.ports.client, &c.ports.peer, &c.ports.api} {
		if *p, err = reservePort(filepath.Join(cache, "ports")); err != nil {
			return err
		}
	}
	c.URL = "https://" + c.ports.api.address()
	users := append(builtinUsers(), c.opts.Users...)
	if c.credentials, err = writeCredentials(c.Dir, users); err != nil {
		return fmt.Errorf("write the credentials: %w", err)
	}
	for _, u := range users {
		if err := c.credentials.writeKubeconfig(c.UserKubeconfig(u.Name), c.Name, c.URL, u.Name); err != nil {
			return err
		}
	}
	if err := os.WriteFile(c.path("stages.yaml"), stages, 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.path("audit-policy.yaml"), []byte(auditPolicy), 0o600)
}

func (c *Cluster) path(name string) string { return filepath.Join(c.Dir, name) }

// UserKubeconfig is the path of the kubeconfig file of one of Options.Users.
func (c *Cluster) UserKubeconfig(user string) string {
	if user == adminUser {
		return c.Kubeconfig
	}
	return c.path(strings.ReplaceAll(user, ":", "-") + ".kubeconfig")
}

// RESTConfig returns a new configuration for client-go as administrator. It has
// no rate limit of the client's own (client-go's default is 5 requests a
// second); the API server's priority and fairness remains.
func (c *Cluster) RESTConfig() *rest.Config { return c.restConfig(adminUser) }

// UserRESTConfig is RESTConfig for one of Options.Users.
func (c *Cluster) UserRESTConfig(user string) (*rest.Config, error) {
	if c.credentials.tokens[user] == "" {
		return nil, fmt.Errorf("cluster %q knows no user %q", c.Name, user)
	}
	return c.restConfig(user), nil
}

func (c *Cluster) restConfig(user string) *rest.Config {
	return &rest.Config{
		Host:            c.URL,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.credentials.caPEM},
		BearerToken:     c.credentials.tokens[user],
		QPS:             -1,
	}
}

// StopAPIServer ends the API server with the signal and waits until it is
// gone; etcd and the controllers go on. SIGKILL is a crash. With SIGTERM the
// server finishes what is in flight; when ctx ends before that, the server is
// killed and the error says so.
func (c *Cluster) StopAPIServer(ctx context.Context, signal syscall.Signal) error {
	p, err := c.apiServer()
	if err != nil {
		return err
	}
	if err := p.Stop(ctx, signal); err != nil {
		return fmt.Errorf("stop the API server of %q: %w", c.Name, err)
	}
	return nil
}

// StartAPIServer starts the API server after StopAPIServer, at the same
// address and on the same data, and waits until it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if _, err := c.apiServer(); err == nil {
		return fmt.Errorf("the API server of %q is running", c.Name)
	}
	if err := c.run(apiServerPart); err != nil {
		return err
	}
	return c.await(ctx, apiServerPart, c.probeAPIServer)
}

// Pause stops the API server in its tracks (SIGSTOP): connections stay open
// and new ones are accepted by the system, but nothing is answered.
func (c *Cluster) Pause() error { return c.signalAPIServer(syscall.SIGSTOP) }

// Resume lets a paused API server go on.
func (c *Cluster) Resume() error { return c.signalAPIServer(syscall.SIGCONT) }

func (c *Cluster) signalAPIServer(signal syscall.Signal) error {
	p, err := c.apiServer()
	if err != nil {
		return err
	}
	if err := p.Signal(signal); err != nil {
		return fmt.Errorf("send %s to the API server of %q: %w", signal, c.Name, err)
	}
	return nil
}

// apiServer returns the running API server.
func (c *Cluster) apiServer() (*child.Process, error) {
	if p := c.process(apiServerPart); p != nil && p.Running() {
		return p, nil
	}
	return nil, fmt.Errorf("the API server of %q is not running", c.Name)
}

func (c *Cluster) process(part string) *child.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[part]
}

// run starts one part.
func (c *Cluster) run(part string) error {
	prog := c.program(part)
	p, err := prog.start()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.processes[part] = p
	c.mu.Unlock()
	if c.detached != nil {
		return c.detached.add(c, part, p.PID())
	}
	return nil
}

// await asks a part until it is ready. The error holds the last answer and the
// end of the part's log.
func (c *Cluster) await(ctx context.Context, part string, ready func(context.Context) error) error {
	p := c.process(part)
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		probe, cancel := context.WithTimeout(ctx, probeTimeout)
		err := ready(probe)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-p.Exited():
			return fmt.Errorf("%s ended: %w\n%s", part, errors.Join(p.Err(), err), logTail(c.program(part).logPath(), 15))
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return fmt.Errorf("wait for %s: %w", part, context.Cause(ctx)) // Its log knows nothing of that.
			}
			return fmt.Errorf("wait for %s: %w (%w)\n%s", part, context.Cause(ctx), err, logTail(c.program(part).logPath(), 15))
		case <-tick.C:
		}
	}
}

func (c *Cluster) dialEtcd(ctx context.Context) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", c.ports.client.address())
	if err != nil {
		return err
	}
	return conn.Close()
}

// harness returns a client for this package's own requests, which the audit
// log leaves out.
func (c *Cluster) harness() (*kubernetes.Clientset, error) {
	return kubernetes.NewForConfig(c.restConfig(harnessUser))
}

func (c *Cluster) probeAPIServer(ctx context.Context) error {
	client, err := c.harness()
	if err != nil {
		return err
	}
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// close ends everything at once: what the cluster holds is thrown away.
func (c *Cluster) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var group sync.WaitGroup
	for _, p := range c.processes {
		group.Go(p.Kill)
	}
	group.Wait()
	for _, p := range []port{c.ports.client, c.ports.peer, c.ports.api} {
		if p.lock != nil {
			p.lock.Close()
		}
	}
}

// program returns the command line of a part.
func (c *Cluster) program(part string) program {
	prog := program{name: part, bin: c.binaries.Kube, dir: c.Dir, detached: c.detached != nil}
	var flags []string
	switch part {
	case etcdPart:
		flags = c.etcdFlags()
		// etcd runs as long as the cluster does, so it keeps the API server's
		// port reserved too, also when this process has gone.
		prog.locks = []*os.File{c.ports.client.lock, c.ports.peer.lock, c.ports.api.lock}
	case apiServerPart:
		flags = c.apiServerFlags()
	case controllerPart:
		flags = c.controllerFlags()
	case schedulerPart:
		flags = []string{
			"--kubeconfig=" + c.UserKubeconfig(schedulerUser),
			"--leader-elect=false",
			"--secure-port=0",
			"--profiling=false",
		}
	case kwokPart:
		prog.bin = c.binaries.Kwok
		prog.args = []string{
			"--kubeconfig=" + c.UserKubeconfig(kwokUser),
			"--config=" + c.path("stages.yaml"),
			"--manage-all-nodes=true",
			"--cidr=10.128.0.0/16",
			"--node-ip=10.0.0.1",
			"--node-lease-duration-seconds=40",
		}
		return prog
	}
	prog.args = append([]string{part}, flags...)
	return prog
}

func (c *Cluster) etcdFlags() []string {
	client, peer := "http://"+c.ports.client.address(), "http://"+c.ports.peer.address()
	return []string{
		"--name=default",
		"--data-dir=" + c.path("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		// The data need not survive a power cut, only the end of a process.
		"--unsafe-no-fsync",
		"--log-level=warn",
	}
}

func (c *Cluster) apiServerFlags() []string {
	flags := []string{
		"--etcd-servers=http://" + c.ports.client.address(),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(c.ports.api.number),
		// Endpoints must not be loopback addresses, so the server must not
		// publish its own.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.96.0.0/16",
		"--tls-cert-file=" + c.path("serving.crt"),
		"--tls-private-key-file=" + c.path("serving.key"),
		"--token-auth-file=" + c.path("tokens.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.path("service-account.key"),
		"--service-account-signing-key-file=" + c.path("service-account.key"),
		"--allow-privileged=true",
		"--profiling=false",
		"--audit-policy-file=" + c.path("audit-policy.yaml"),
		"--audit-log-path=" + c.AuditLog,
		"--audit-log-maxsize=0", // Never rotated: AuditEvents reads one file.
	}
	if !c.opts.WithControllers {
		// Nobody makes the account "default" that this plugin asks for.
		flags = append(flags, "--disable-admission-plugins=ServiceAccount")
	}
	return append(flags, c.opts.APIServerFlags...)
}

func (c *Cluster) controllerFlags() []string {
	return append([]string{
		"--kubeconfig=" + c.UserKubeconfig(controllerUser),
		"--controllers=" + strings.Join(c.opts.Controllers, ","),
		"--leader-elect=false",
		"--secure-port=0",
		"--profiling=false",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}, c.opts.ControllerFlags...)
}
