package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/register"
)

// joinFlags are the flags of join.
type joinFlags struct {
	contextFlags
	labels      map[string]string
	provider    string
	region      string
	zones       []string
	mode        string
	impersonate []string
	server      string
	lifetime    time.Duration
	printRBAC   bool
	dryRun      bool
}

func newJoin(s streams) *cobra.Command {
	flags := &joinFlags{}
	cmd := &cobra.Command{
		Use:   "join NAME --cluster-context CONTEXT",
		Short: "Make a cluster a member of the hub's fleet",
		Long: `Make a cluster a member of the hub's fleet. In the cluster it creates the namespace armada-system, an
account and its roles (--print-rbac shows them, each with its reason), and asks for a token that expires;
rotate renews it. On the hub it stores a kubeconfig as a Secret, and a Cluster that policies can
select. Doing it again repairs what is missing and renews the token.

With --mode impersonate the account may write nothing but its own records: everything is written by the
accounts that sources act as (spec.tenant.serviceAccount), which --impersonate lists.`,
		Example: `  armada-sync join eu-1 --cluster-context eu-1 --labels tier=gold --provider aws --region eu-west-1
  armada-sync join eu-1 --cluster-context eu-1 --mode impersonate --impersonate shop/deployer
  armada-sync join eu-1 --print-rbac`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withExitCode(runJoin(cmd.Context(), s, args[0], flags))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags.addMember(cmd, "context of the cluster, with an administrator's rights (required)")
	flags.addHub(cmd, "hub-context")
	f := cmd.Flags()
	f.StringToStringVar(&flags.labels, "labels", nil, "labels of the Cluster, as key=value,…")
	f.StringVar(&flags.provider, "provider", "", "provider of the Cluster")
	f.StringVar(&flags.region, "region", "", "region of the Cluster")
	f.StringSliceVar(&flags.zones, "zones", nil, "zones of the Cluster")
	f.StringVar(&flags.mode, "mode", string(register.ModeApply), "who writes to the cluster: apply (the account) or impersonate (those that sources act as)")
	f.StringSliceVar(&flags.impersonate, "impersonate", nil, "accounts of the cluster that sources may act as, as namespace/name,…")
	f.StringVar(&flags.server, "server", "", "address at which the hub reaches the cluster (default: that of the context)")
	f.DurationVar(&flags.lifetime, "token-lifetime", register.DefaultTokenLifetime, "life of the account's token; the cluster may shorten it")
	f.BoolVar(&flags.printRBAC, "print-rbac", false, "print what would be created in the cluster and touch nothing")
	f.BoolVar(&flags.dryRun, "dry-run", false, "ask both clusters what would happen and write nothing")
	must(cmd.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{string(register.ModeApply), string(register.ModeImpersonate)}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func runJoin(ctx context.Context, s streams, name string, flags *joinFlags) error {
	if flags.printRBAC {
		data, err := register.PrintManifests(register.Mode(flags.mode), flags.impersonate)
		if err != nil {
			return err
		}
		_, err = s.out.Write(data)
		return err
	}
	if flags.member == "" {
		return errors.New("--cluster-context is required: the context of the cluster that joins")
	}
	hub, member, err := flags.clusters()
	if err != nil {
		return err
	}
	if hub.context == member.context && flags.hub == "" {
		fmt.Fprintf(s.err, "context %q is both the hub and the member; give --hub-context if that is not meant\n", hub.context)
	}
	endpoint := member.endpoint
	if flags.server != "" {
		endpoint.Server = flags.server
	}
	joined, err := register.Join(ctx, hub.Cluster, member.Cluster, register.Options{
		Name: name, Labels: flags.labels, Provider: flags.provider, Region: flags.region, Zones: flags.zones,
		Mode: register.Mode(flags.mode), Impersonate: flags.impersonate, TokenLifetime: flags.lifetime,
		Endpoint: endpoint, DryRun: flags.dryRun, Now: time.Now(), Tell: teller(s, flags.dryRun),
	})
	if err != nil {
		return err
	}
	for _, w := range joined.Warnings {
		fmt.Fprintf(s.err, "caution: %s\n", w)
	}
	if flags.dryRun {
		fmt.Fprintf(s.err, "cluster %q runs Kubernetes %s and can join; nothing was written\n", name, joined.Version)
		return nil
	}
	fmt.Fprintf(s.err, "cluster %q has joined: Kubernetes %s, token until %s\n", name, joined.Version, joined.Token.Expires.UTC().Format(time.RFC3339))
	return nil
}

// teller prints what is written where.
func teller(s streams, dryRun bool) func(string, register.Written) {
	suffix := ""
	if dryRun {
		suffix = " (dry run)"
	}
	return func(where string, w register.Written) { fmt.Fprintf(s.out, "%s: %s%s\n", where, w, suffix) }
}

// unjoinFlags are the flags of unjoin.
type unjoinFlags struct {
	contextFlags
	prune, orphan bool
}

func newUnjoin(s streams) *cobra.Command {
	flags := &unjoinFlags{}
	cmd := &cobra.Command{
		Use:   "unjoin NAME",
		Short: "Take a cluster out of the hub's fleet",
		Long: `Take a cluster out of the hub's fleet. By default everything that was applied there stays (--orphan);
with --prune it is removed, with the cautions that always hold: namespaces, volumes and definitions of
kinds go only with their annotation armada-sync.io/prune: confirm, and what others own is not touched.

The account and its roles are removed from the cluster too. With --cluster-context that is done with an
administrator's rights, otherwise with the account's own, which cannot remove itself.`,
		Example: `  armada-sync unjoin eu-1
  armada-sync unjoin eu-1 --prune --cluster-context eu-1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withExitCode(runUnjoin(cmd.Context(), s, args[0], flags))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags.addMember(cmd, "context of the cluster, with an administrator's rights (default: the hub's account)")
	flags.addHub(cmd, "hub-context")
	f := cmd.Flags()
	f.BoolVar(&flags.prune, "prune", false, "remove what was applied to the cluster")
	f.BoolVar(&flags.orphan, "orphan", false, "leave what was applied to the cluster (the default)")
	cmd.MarkFlagsMutuallyExclusive("prune", "orphan")
	return cmd
}

func runUnjoin(ctx context.Context, s streams, name string, flags *unjoinFlags) error {
	hub, member, err := flags.clusters()
	if err != nil {
		return err
	}
	if err := hub.Check(ctx); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	id, err := hubID(ctx, hub, flags.prune)
	if err != nil {
		return err
	}
	err = register.Leave(ctx, hub.Cluster, member.cluster(), register.LeaveOptions{
		Name: name, Prune: flags.prune, HubID: id, Tell: teller(s, false),
		Warn: func(line string) { fmt.Fprintf(s.err, "caution: %s\n", line) },
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "cluster %q has left\n", name)
	return nil
}

// rotateFlags are the flags of rotate.
type rotateFlags struct {
	contextFlags
	lifetime time.Duration
	revoke   bool
}

func newRotate(s streams) *cobra.Command {
	flags := &rotateFlags{}
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Renew the token by which the hub reaches a cluster",
		Long: `Renew the token by which the hub reaches a cluster, with the rights of that very token: run
it before the token expires. After it expired, or to make every token given out before void (--revoke), it
takes an administrator's context (--cluster-context). The controller needs no restart.`,
		Example: `  armada-sync rotate eu-1
  armada-sync rotate eu-1 --cluster-context eu-1 --revoke`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withExitCode(runRotate(cmd.Context(), s, args[0], flags))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags.addMember(cmd, "context of the cluster, with an administrator's rights (default: the hub's account)")
	flags.addHub(cmd, "hub-context")
	f := cmd.Flags()
	f.DurationVar(&flags.lifetime, "token-lifetime", 0, "life of the token (default: that of the present one)")
	f.BoolVar(&flags.revoke, "revoke", false, "make tokens given out before void at once")
	return cmd
}

func runRotate(ctx context.Context, s streams, name string, flags *rotateFlags) error {
	hub, member, err := flags.clusters()
	if err != nil {
		return err
	}
	if err := hub.Check(ctx); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	token, err := register.Rotate(ctx, hub.Cluster, member.cluster(), register.RotateOptions{
		Name: name, Lifetime: flags.lifetime, Revoke: flags.revoke, Now: time.Now(),
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "cluster %q has a new token, until %s\n", name, token.Expires.UTC().Format(time.RFC3339))
	return nil
}
