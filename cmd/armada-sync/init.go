package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/deploy"
	"github.com/armada-sync/armada-sync/pkg/register"
)

// initFlags are the flags of init.
type initFlags struct {
	contextFlags
	image   string
	print   bool
	wait    bool
	timeout time.Duration
}

func newInit(s streams) *cobra.Command {
	flags := &initFlags{}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Install the controller into a hub cluster",
		Long: `Install the definitions of our kinds and the controller into the hub of the current kube context,
and wait until it runs. The objects are those of deploy/kustomize and of the Helm chart; doing it again
changes what differs and nothing else, which is also how a new version is installed.`,
		Example: `  armada-sync init --context hub
  armada-sync init --image registry.example.com/armada-sync:v1 --wait=false
  armada-sync init --print | kubectl apply --server-side -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return withExitCode(runInit(cmd.Context(), s, flags)) },
	}
	flags.addHub(cmd, "context")
	f := cmd.Flags()
	f.StringVar(&flags.image, "image", "", "image of the controller (default: "+deploy.Repository+" of this version)")
	f.BoolVar(&flags.print, "print", false, "print the manifests and touch nothing")
	f.BoolVar(&flags.wait, "wait", true, "wait until the controller is ready")
	f.DurationVar(&flags.timeout, "timeout", 5*time.Minute, "how long to wait")
	return cmd
}

func runInit(ctx context.Context, s streams, flags *initFlags) error {
	image := flags.image
	if image == "" {
		image = deploy.Repository + ":" + version
	}
	objects, err := deploy.Objects(image)
	if err != nil {
		return err
	}
	if flags.print {
		return deploy.Print(s.out, objects)
	}
	hub, err := reachContext(flags.kubeconfig, flags.hub)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "installing into context %q\n", hub.context)
	if err := hub.Check(ctx); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	if err := hub.Install(ctx, objects, func(w register.Written) { fmt.Fprintln(s.out, w) }); err != nil {
		return err
	}
	if !flags.wait {
		return nil
	}
	err = hub.AwaitDeployments(ctx, objects, flags.timeout, func(line string) { fmt.Fprintln(s.err, line) })
	if err != nil {
		return fmt.Errorf("%w\nSee: kubectl -n %s describe pods", err, register.Namespace)
	}
	fmt.Fprintln(s.err, "ready; next: armada-sync join NAME --cluster-context CONTEXT")
	return nil
}
