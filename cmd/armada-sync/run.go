package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/render/build"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// runFlags are the flags of run.
type runFlags struct {
	config    string
	state     string
	logFormat string
	hub       hubFlags
}

func newRun(s streams) *cobra.Command {
	flags := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run [--config FILE]",
		Short: "Run the controller: follow repositories and keep clusters as they say",
		Long: `Run the controller, in a hub cluster or on its own.

In a hub, which is where a pod without --config is, sources, clusters and settings are the objects
GitSource, Cluster and Config of the hub, credentials are Secrets that they refer to, and decisions
are kept in Placement objects. Of several replicas one leads; the others stand by. --kubeconfig and
--context name a hub from outside, for development.

On its own, FILE is a YAML stream of one optional Config and any number of GitSource and Cluster
documents; files that it names (kubeconfigFile, credentialsFile) are relative to it. What must
survive a restart is kept in the state folder; if that is lost, it is rebuilt from what the clusters
hold.

Each new problem is one line on stderr, and so is each one that is solved. SIGTERM finishes what is
in flight and ends.`,
		Example: `  armada-sync run
  armada-sync run --kubeconfig hub.kubeconfig
  armada-sync run --config fleet.yaml
  armada-sync run --config fleet.yaml --state /var/lib/armada-sync --log-format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.config == "" {
				return runInHub(cmd.Context(), s, flags)
			}
			return runController(cmd.Context(), s, flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.config, "config", "", "file with Config, GitSource and Cluster documents, for a controller on its own")
	f.StringVar(&flags.state, "state", "", "folder for decisions, timers and debts (default: the user's state folder, by the configuration's name)")
	f.StringVar(&flags.logFormat, "log-format", "text", "text or json")
	f.StringVar(&flags.hub.kubeconfig, "kubeconfig", "", "kubeconfig of the hub, for development")
	f.StringVar(&flags.hub.context, "context", "", "context of the kubeconfig")
	f.StringVar(&flags.hub.namespace, "namespace", engine.DefaultNamespace, "the controller's namespace on the hub")
	f.StringVar(&flags.hub.identity, "identity", "", "name of this replica (default: host name and process id)")
	f.StringVar(&flags.hub.cache, "cache", "", "folder for clones (default: a temporary one)")
	f.StringVar(&flags.hub.metricsAddress, "metrics-address", ":8080", "address of /metrics, /healthz and /readyz in a hub")
	f.StringVar(&flags.hub.plugins, "credential-plugins", "", "folder of the credential plug-ins that discovery.clusterProfiles of the Config may run (default: none)")
	f.BoolVar(&flags.hub.allowLoopback, "allow-loopback", false, "let a GitSource name a server on this machine, for development")
	for _, name := range []string{"kubeconfig", "context", "namespace", "identity", "cache", "metrics-address", "allow-loopback", "credential-plugins"} {
		cmd.MarkFlagsMutuallyExclusive("config", name)
	}
	cmd.MarkFlagsMutuallyExclusive("state", "kubeconfig")
	must(cmd.MarkFlagFilename("kubeconfig"))
	must(cmd.MarkFlagDirname("cache"))
	must(cmd.MarkFlagDirname("credential-plugins"))
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
	must(cmd.MarkFlagDirname("state"))
	must(cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func runController(ctx context.Context, s streams, flags *runFlags) error {
	log, err := newLogger(s, flags.logFormat)
	if err != nil {
		return err
	}
	cfg, err := readConfiguration(s, flags.config)
	if err != nil {
		return err
	}
	state, err := openState(flags.state, cfg.Name)
	if err != nil {
		return err
	}
	defer state.unlock()
	base := filepath.Dir(flags.config)
	registry := newRegistry()
	e := engine.New(engine.Options{ //nolint:contextcheck // Nothing is started before Run, which has the context.
		Configuration: cfg,
		Store:         state.store,
		Open:          opener(base, filepath.Join(state.dir, "git")),
		Builder:       treeBuilder{build.New(), fileKeys(base)},
		Connect:       connector(base),
		SecretKey:     state.key,
		Log:           log,
		Registry:      registry,
	})
	server, err := serve(ctx, log, cfg.Config.Metrics.BindAddress, registry, e.Ready)
	if err != nil {
		return err
	}
	defer server.close()
	log.Info("serving /metrics, /healthz and /readyz", "address", server.address)
	unreach, err := serveControl(ctx, log, state.dir, e)
	if err != nil {
		return err
	}
	defer unreach()
	log.Info("running", "configuration", cfg.Name, "sources", len(cfg.Sources), "clusters", len(cfg.Clusters), "state", state.dir)
	err = e.Run(ctx)
	log.Info("stopped, nothing is in flight")
	return err
}

func newLogger(s streams, format string) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(s.err, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(s.err, nil)), nil
	}
	return nil, fmt.Errorf("--log-format %q: want text or json", format)
}

// readConfiguration reads the file and prints every problem in it.
func readConfiguration(s streams, file string) (engine.Configuration, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return engine.Configuration{}, fmt.Errorf("read the configuration: %w", err)
	}
	cfg, problems := engine.ParseConfiguration(file, data)
	for _, p := range problems {
		fmt.Fprintf(s.err, "%s: %s\n", p.Severity, p)
	}
	if v1alpha1.Blocked(problems) {
		return engine.Configuration{}, fmt.Errorf("the configuration %q cannot be used", file)
	}
	return cfg, nil
}

// stateFolder is what run keeps on disk.
type stateFolder struct {
	dir    string
	store  *engine.FolderStore
	key    []byte
	unlock func()
}

// openState creates the folder where it is missing and locks it: two controllers on one state would
// undo each other's decisions.
func openState(dir, configuration string) (stateFolder, error) {
	dir, err := stateDir(dir, configuration)
	if err != nil {
		return stateFolder{}, err
	}
	store, err := engine.NewFolderStore(dir)
	if err != nil {
		return stateFolder{}, err
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return stateFolder{}, fmt.Errorf("state folder %q: %w", dir, err)
	}
	key, err := secretKey(filepath.Join(dir, "secret.key"))
	if err != nil {
		unlock()
		return stateFolder{}, err
	}
	return stateFolder{dir: dir, store: store, key: key, unlock: unlock}, nil
}

func userStateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no state folder: %w", err)
	}
	return filepath.Join(home, ".local", "state"), nil
}

// secretKeySize is that of SHA-256, whose HMAC the key is for.
const secretKeySize = 32

// secretKey reads the key for the digests of Secrets, and makes one on the first run. A lost key costs
// one more write of each Secret.
func secretKey(file string) ([]byte, error) {
	key, err := os.ReadFile(file)
	if err == nil && len(key) == secretKeySize {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key for digests of Secrets: %w", err)
	}
	key = make([]byte, secretKeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make a key for digests of Secrets: %w", err)
	}
	if err := os.WriteFile(file, key, 0o600); err != nil {
		return nil, fmt.Errorf("keep the key for digests of Secrets: %w", err)
	}
	return key, nil
}

// opener opens the repositories of GitSources: file paths and credentials are relative to base, bare
// clones are kept under cache.
func opener(base, cache string) engine.Opener {
	return func(s v1alpha1.GitSource) (source.Source, error) {
		credentials, err := readCredentials(base, s.Spec.CredentialsFile)
		if err != nil {
			return nil, err
		}
		timeout := s.Spec.Timeout.Duration
		return source.Open(s.Spec.URL, source.Options{
			Ref: refOf(s.Spec), Credentials: credentials, Limits: limitsOf(s.Spec.Limits),
			CacheDir:  filepath.Join(cache, filepath.FromSlash(engine.SourceID(s))),
			AllowFile: true, AllowLoopback: true,
			ResolveTimeout: timeout, FetchTimeout: timeout,
			KnownHostsFiles: knownHostsFiles(), Proxy: http.ProxyFromEnvironment,
		})
	}
}

// refOf is what a source follows. A pinned revision goes before it; like a commit it may be written as a
// bare id or in the form main@sha1:<id>.
func refOf(s v1alpha1.GitSourceSpec) source.Ref {
	r := source.Ref{Branch: s.Ref.Branch, Tag: s.Ref.Tag, SemVer: s.Ref.SemVer, Commit: commitID(s.Ref.Commit), Name: s.Ref.Name}
	if s.PinnedRevision != "" {
		return source.Ref{Commit: commitID(s.PinnedRevision), Branch: s.Ref.Branch}
	}
	if r == (source.Ref{}) {
		r.Branch = "main"
	}
	return r
}

// commitID cuts the id out of a revision; what is none is left to the source to refuse.
func commitID(s string) string {
	if revision, err := source.ParseRevision(s); err == nil {
		return revision.Hash
	}
	return s
}

// connector reaches clusters by their kubeconfig files, relative to base. The file is read anew with
// each connection, so that rotated credentials are picked up.
func connector(base string) engine.Connector {
	return func(c v1alpha1.Cluster) (*rest.Config, error) {
		if c.Spec.KubeconfigFile == "" {
			return nil, errors.New("no kubeconfigFile: a standalone controller reaches a cluster by a kubeconfig file")
		}
		file := relativeTo(base, c.Spec.KubeconfigFile)
		rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: file}
		overrides := &clientcmd.ConfigOverrides{CurrentContext: c.Spec.KubeconfigContext}
		cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("kubeconfig %q: %w", file, err)
		}
		return cfg, nil
	}
}

func relativeTo(base, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(base, file)
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	registerProcess(r)
	return r
}
