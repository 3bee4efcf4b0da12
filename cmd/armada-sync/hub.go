package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/armada-sync/armada-sync/pkg/register"
)

// reach is a cluster as the kubeconfig of whoever runs a command knows it. Unlike a kubeconfig from a
// Secret it may run programs and read files: they are that person's own.
type reach struct {
	*register.Cluster
	// endpoint is the address with its authority, all in one document.
	endpoint clientcmdapi.Cluster
	context  string
	config   *rest.Config
}

// reachContext connects to a context of the user's kubeconfig; an empty name is the current one.
func reachContext(kubeconfigFile, name string) (reach, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfigFile
	raw, err := rules.Load()
	if err != nil {
		return reach{}, fmt.Errorf("read the kubeconfig: %w", err)
	}
	if name == "" {
		name = raw.CurrentContext
	}
	if raw.Contexts[name] == nil {
		known := slices.Sorted(maps.Keys(raw.Contexts))
		if len(known) == 0 {
			return reach{}, errors.New("there is no kubeconfig: set KUBECONFIG or give --kubeconfig")
		}
		return reach{}, fmt.Errorf("the kubeconfig has no context %q; it has %s", name, strings.Join(known, ", "))
	}
	cfg, err := clientcmd.NewDefaultClientConfig(*raw, &clientcmd.ConfigOverrides{CurrentContext: name}).ClientConfig()
	if err != nil {
		return reach{}, fmt.Errorf("context %q of the kubeconfig: %w", name, err)
	}
	endpoint, err := endpointOf(raw, name)
	if err != nil {
		return reach{}, fmt.Errorf("context %q of the kubeconfig: %w", name, err)
	}
	rest.AddUserAgent(cfg, "armada-sync/"+version)
	cfg.QPS = -1 // A command asks little, and must not run out of time over its own limit.
	cluster, err := register.Connect(cfg)
	if err != nil {
		return reach{}, fmt.Errorf("context %q of the kubeconfig: %w", name, err)
	}
	return reach{Cluster: cluster, endpoint: endpoint, context: name, config: cfg}, nil
}

// endpointOf returns a context's cluster with the content of the files that it names.
func endpointOf(raw *clientcmdapi.Config, name string) (clientcmdapi.Cluster, error) {
	cluster := raw.Clusters[raw.Contexts[name].Cluster]
	if cluster == nil {
		return clientcmdapi.Cluster{}, fmt.Errorf("no cluster %q", raw.Contexts[name].Cluster)
	}
	one := clientcmdapi.NewConfig()
	one.Clusters[name] = cluster.DeepCopy()
	if err := clientcmdapi.FlattenConfig(one); err != nil {
		return clientcmdapi.Cluster{}, fmt.Errorf("read the certificate authority: %w", err)
	}
	return *one.Clusters[name], nil
}

// withExitCode gives an error the exit code that says what kind it is.
func withExitCode(err error) error {
	var probe *register.ProbeError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, register.ErrNotReady):
		return &codedError{code: exitTimeout, err: err}
	case errors.As(err, &probe) && (probe.Reason == register.ReasonUnreachable || probe.Reason == register.ReasonNotReady):
		return &codedError{code: exitUnreachable, err: err}
	}
	return err
}

// contextFlags choose clusters of the user's kubeconfig.
type contextFlags struct {
	kubeconfig string
	hub        string
	member     string
}

func (f *contextFlags) addHub(cmd *cobra.Command, name string) {
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, else ~/.kube/config)")
	cmd.Flags().StringVar(&f.hub, name, "", "context of the hub (default: the current one)")
	must(cmd.RegisterFlagCompletionFunc(name, f.complete))
}

func (f *contextFlags) addMember(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&f.member, "cluster-context", "", usage)
	must(cmd.RegisterFlagCompletionFunc("cluster-context", f.complete))
}

// complete offers the contexts of the kubeconfig.
func (f *contextFlags) complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	raw, err := rules.Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(raw.Contexts)), cobra.ShellCompDirectiveNoFileComp
}

// clusters connects to the hub, and to the member where its context is given.
func (f *contextFlags) clusters() (hub reach, member *reach, err error) {
	if hub, err = reachContext(f.kubeconfig, f.hub); err != nil {
		return reach{}, nil, err
	}
	if f.member == "" {
		return hub, nil, nil
	}
	m, err := reachContext(f.kubeconfig, f.member)
	if err != nil {
		return reach{}, nil, err
	}
	return hub, &m, nil
}

// cluster returns the connection, nil for none.
func (r *reach) cluster() *register.Cluster {
	if r == nil {
		return nil
	}
	return r.Cluster
}

// hubID reads the hub's id where a command needs it.
func hubID(ctx context.Context, hub reach, needed bool) (string, error) {
	if !needed {
		return "", nil
	}
	return hub.HubID(ctx)
}
