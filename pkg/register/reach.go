package register

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// Reach asks a cluster for its version, writing nothing. A *ProbeError says why it cannot be a member: it is
// of a version that is not supported, refuses the credentials, or is not the server that the kubeconfig
// trusts. That it does not answer, or is not ready, is no reason: it may be soon.
func Reach(ctx context.Context, cfg *rest.Config) error {
	cfg = rest.CopyConfig(cfg)
	cfg.Timeout = probeTimeout
	client, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return &ProbeError{Reason: ReasonCredentials, Message: "the kubeconfig cannot be used", Advice: "write another"}
	}
	version, err := client.ServerVersionWithContext(ctx)
	if err != nil {
		err = explain(cfg.Host, err)
		var probe *ProbeError
		if errors.As(err, &probe) && (probe.Reason == ReasonUnreachable || probe.Reason == ReasonNotReady) {
			return nil
		}
		return err
	}
	return checkVersion(version.GitVersion)
}

// checkVersion refuses what is older than the oldest version that can be a member.
func checkVersion(version string) error {
	if supported(version) {
		return nil
	}
	return &ProbeError{
		Reason: ReasonVersion, Message: fmt.Sprintf("the cluster runs Kubernetes %s", version),
		Advice: fmt.Sprintf("upgrade it to %d.%d or later", minMajor, minMinor),
	}
}
