package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/hub"
	"github.com/armada-sync/armada-sync/pkg/render/build"
	"github.com/armada-sync/armada-sync/pkg/source"
)

// hubFlags are the flags of run in a hub.
type hubFlags struct {
	kubeconfig, context string
	namespace, identity string
	cache               string
	metricsAddress      string
	plugins             string
	allowLoopback       bool
}

// runInHub runs the controller with what the hub's objects say.
func runInHub(ctx context.Context, s streams, flags *runFlags) error {
	log, err := newLogger(s, flags.logFormat)
	if err != nil {
		return err
	}
	// What client-go has to say concerns its elections and watches; what matters of it we say ourselves.
	klog.SetLogger(logr.FromSlogHandler(atLeast{log.Handler(), slog.LevelWarn}))
	cfg, err := hubConfig(flags.hub)
	if err != nil {
		return err
	}
	cache, remove, err := gitCache(flags.hub.cache)
	if err != nil {
		return err
	}
	defer remove()
	identity := flags.hub.identity
	if identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("no name for this replica: %w: give one with --identity", err)
		}
		identity = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	registry := newRegistry()
	c, err := hub.New(hub.Options{
		RESTConfig: cfg, Namespace: flags.hub.namespace, Identity: identity,
		Open: hubOpener(cache, flags.hub.allowLoopback), Builder: treeBuilder{Builder: build.New()}, Log: log, Registry: registry,
		ConnectProfile: hub.PluginConnector(flags.hub.plugins),
	})
	if err != nil {
		return err
	}
	server, err := serve(ctx, log, flags.hub.metricsAddress, registry, c.Ready)
	if err != nil {
		return err
	}
	defer server.close()
	log.Info("serving /metrics, /healthz and /readyz", "address", server.address)
	err = c.Run(ctx)
	log.Info("stopped, nothing is in flight")
	return err
}

// hubConfig reaches the hub: by a kubeconfig where one is named, else as a pod of it.
func hubConfig(flags hubFlags) (*rest.Config, error) {
	if flags.kubeconfig == "" && flags.context == "" {
		cfg, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errors.New("there is neither --config, for a controller on its own, nor a cluster around this process; --kubeconfig names the hub for development")
		}
		return cfg, err
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = flags.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: flags.context}
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of the hub: %w", err)
	}
	return cfg, nil
}

// gitCache is the folder for bare clones; without a name it is a new one that goes with the process.
func gitCache(dir string) (string, func(), error) {
	if dir != "" {
		return dir, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "armada-sync-git-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for clones: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil // What stays behind is a cache.
}

// hubOpener opens the repositories of GitSources on a hub: no files, and no servers of the controller's own
// machine unless that is asked for.
func hubOpener(cache string, allowLoopback bool) func(v1alpha1.GitSource, source.Credentials) (source.Source, error) {
	return func(s v1alpha1.GitSource, credentials source.Credentials) (source.Source, error) {
		if !source.IsURL(s.Spec.URL) {
			return nil, fmt.Errorf("%w: a folder is for a standalone controller", source.ErrAddress)
		}
		timeout := s.Spec.Timeout.Duration
		return source.Open(s.Spec.URL, source.Options{
			Ref: refOf(s.Spec), Credentials: credentials, Limits: limitsOf(s.Spec.Limits),
			CacheDir:      filepath.Join(cache, filepath.FromSlash(engine.SourceID(s))),
			AllowLoopback: allowLoopback, ResolveTimeout: timeout, FetchTimeout: timeout,
			Proxy: http.ProxyFromEnvironment,
		})
	}
}

// atLeast leaves out what is below a level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled implements slog.Handler.
func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup implements slog.Handler.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}
