package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/control"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/hub"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

func newFleet(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Look at the fleet as the controller sees it",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFleetSnapshot(s))
	return cmd
}

// fleetPath is where a running controller serves its last snapshot.
const fleetPath = "/v1/fleet"

// hubSurvey are the flags with which a command looks at the fleet of a hub.
type hubSurvey struct {
	contextFlags
	namespace   string
	membersToo  bool
	membersWait time.Duration
}

// snapshotFlags are the flags of fleet snapshot.
type snapshotFlags struct {
	survey hubSurvey
	config string
	state  string
	output string
	redact bool
}

func newFleetSnapshot(s streams) *cobra.Command {
	flags := &snapshotFlags{}
	cmd := &cobra.Command{
		Use:   "snapshot [-o FILE]",
		Short: "Write the fleet file that plan and preview read",
		Long: `Write what decisions depend on to a fleet file: clusters with labels, taints, readiness and
capacity, the facts of each, the present placements, and what each cluster holds. The file may be
committed: it holds no Secret, no digest of one, and not how clusters are reached.

From a hub, its objects are read and every cluster is asked what it holds, with the kubeconfigs in the
hub's Secrets; --members=false leaves that out, needs no right to read Secrets, and previews then treat
what the base gives as held. With --state, the controller that runs on that folder is asked; with --config
the one that runs on that configuration, and if none does, the clusters directly.

A cluster that does not tell what it holds is named on stderr, and the exit code is 4; the file is
written all the same and says nothing about what that cluster holds.`,
		Example: `  armada-sync fleet snapshot -o fleet.yaml
  armada-sync fleet snapshot --hub-context hub --redact > fleet.yaml
  armada-sync fleet snapshot --config armada.yaml | armada-sync preview --base origin/main --fleet -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSnapshot(cmd.Context(), s, flags) },
	}
	flags.survey.register(cmd)
	f := cmd.Flags()
	f.StringVarP(&flags.output, "output", "o", "", "file to write (default: stdout)")
	f.StringVar(&flags.config, "config", "", "configuration file of a controller on its own")
	f.StringVar(&flags.state, "state", "", "state folder of a controller on its own (default: that of --config)")
	f.BoolVar(&flags.redact, "redact", false, "leave out annotations of clusters and the words of conditions too; prices and overrides that read such annotations are then not as on the fleet")
	for _, name := range []string{"kubeconfig", "hub-context", "hub-namespace", "members"} {
		cmd.MarkFlagsMutuallyExclusive("config", name)
		cmd.MarkFlagsMutuallyExclusive("state", name)
	}
	must(cmd.MarkFlagFilename("output", "yaml", "yml"))
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
	must(cmd.MarkFlagDirname("state"))
	return cmd
}

func (h *hubSurvey) register(cmd *cobra.Command) {
	h.addHub(cmd, "hub-context")
	f := cmd.Flags()
	f.StringVar(&h.namespace, "hub-namespace", engine.DefaultNamespace, "the controller's namespace on the hub")
	f.BoolVar(&h.membersToo, "members", true, "ask every cluster of the hub what it holds")
	f.DurationVar(&h.membersWait, "timeout", 30*time.Second, "how long to wait for the hub and the clusters")
}

func runSnapshot(ctx context.Context, s streams, flags *snapshotFlags) error {
	taken, silent, err := flags.take(ctx, s)
	if err != nil {
		return err
	}
	if flags.redact {
		taken = plan.Redacted(taken)
	}
	data, err := plan.WriteFleet(plan.Committable(taken))
	if err != nil {
		return err
	}
	if err := writeOutput(s.out, flags.output, data); err != nil {
		return err
	}
	return reportSilent(s.err, silent)
}

func writeOutput(out io.Writer, file string, data []byte) error {
	if file == "" || file == "-" {
		_, err := out.Write(data)
		return err
	}
	if err := os.WriteFile(file, data, 0o644); err != nil { //nolint:gosec // a fleet file is there to be read and committed
		return fmt.Errorf("write the snapshot: %w", err)
	}
	return nil
}

// reportSilent names the clusters that did not tell what they hold, and gives the exit code for it.
func reportSilent(stderr io.Writer, silent []string) error {
	for _, name := range silent {
		fmt.Fprintf(stderr, "caution: cluster %q did not tell what it holds\n", name)
	}
	if len(silent) > 0 {
		return withCode(exitUnreachable)
	}
	return nil
}

// take returns the snapshot and the clusters that did not tell what they hold.
func (f *snapshotFlags) take(ctx context.Context, s streams) (plan.Snapshot, []string, error) {
	if f.config == "" && f.state == "" {
		found, err := f.survey.take(ctx, s.err)
		return found.Snapshot, found.Silent, err
	}
	snap, err := f.takeStandalone(ctx, s)
	if err != nil {
		return plan.Snapshot{}, nil, err
	}
	var silent []string
	for _, c := range snap.Clusters {
		if !snap.Members[c.Name].Known {
			silent = append(silent, c.Name)
		}
	}
	return snap, silent, nil
}

// takeStandalone asks the controller of a state folder or, where none runs and its configuration is given, the clusters.
func (f *snapshotFlags) takeStandalone(ctx context.Context, s streams) (plan.Snapshot, error) {
	if f.config == "" {
		snap, err := runningSnapshot(ctx, f.state)
		if errors.Is(err, control.ErrNotRunning) {
			err = fmt.Errorf("%w; with its --config the clusters are asked", err)
		}
		return snap, err
	}
	cfg, err := readConfiguration(s, f.config)
	if err != nil {
		return plan.Snapshot{}, err
	}
	dir, err := stateDir(f.state, cfg.Name)
	if err != nil {
		return plan.Snapshot{}, err
	}
	snap, err := runningSnapshot(ctx, dir)
	if errors.Is(err, control.ErrNotRunning) {
		fmt.Fprintln(s.err, "no controller is running on this configuration: asking the clusters")
		return f.standaloneSnapshot(ctx, cfg, dir)
	}
	return snap, err
}

// take looks at the fleet of the hub.
func (h *hubSurvey) take(ctx context.Context, stderr io.Writer) (hub.Surveyed, error) {
	at, err := reachContext(h.kubeconfig, h.hub)
	if err != nil {
		return hub.Surveyed{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, h.membersWait)
	defer cancel()
	found, err := hub.Survey(ctx, hub.SurveyOptions{
		RESTConfig: at.config, Namespace: h.namespace, Members: h.membersToo, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return found, &codedError{code: exitTimeout, err: fmt.Errorf("hub of context %q: %w", at.context, err)}
		}
		return found, fmt.Errorf("hub of context %q: %w", at.context, err)
	}
	for _, line := range found.Unusable {
		fmt.Fprintf(stderr, "caution: %s\n", line)
	}
	if !h.membersToo {
		found.Silent = nil
	}
	return found, nil
}

// serveFleet answers with the snapshot of the last plan.
func serveFleet(server *control.Server, e *engine.Engine) {
	server.Handle("GET "+fleetPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cycle, ok := e.Latest()
		if !ok {
			http.Error(w, `{"error":"the controller has not planned yet: try again in a moment"}`, http.StatusServiceUnavailable)
			return
		}
		snap := cycle.Snapshot
		snap.AppliedRevisions = map[string]string{}
		for _, s := range cycle.Sources {
			if s.Applied != "" {
				snap.AppliedRevisions[s.ID] = s.Applied
			}
		}
		data, err := plan.WriteFleet(plan.Committable(snap))
		if err != nil {
			http.Error(w, `{"error":"the snapshot cannot be written"}`, http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(data) // Whoever asked has gone.
	}))
}

// runningSnapshot asks the controller that runs on a state folder.
func runningSnapshot(ctx context.Context, dir string) (plan.Snapshot, error) {
	c, err := control.Dial(ctx, dir)
	if err != nil {
		return plan.Snapshot{}, err
	}
	defer c.Close()
	var answer bytes.Buffer
	if err := c.Copy(ctx, fleetPath, &answer); err != nil {
		return plan.Snapshot{}, err
	}
	snap, problems := plan.ReadFleet("the controller's answer", answer.Bytes())
	for _, p := range problems {
		if p.Severity == v1alpha1.SeverityBlocker {
			return plan.Snapshot{}, fmt.Errorf("read the controller's answer: %w", p)
		}
	}
	return snap, nil
}

// standaloneSnapshot asks the clusters of a configuration, as its controller would.
func (f *snapshotFlags) standaloneSnapshot(ctx context.Context, cfg engine.Configuration, dir string) (plan.Snapshot, error) {
	state, err := engine.ReadState(ctx, dir)
	if err != nil {
		return plan.Snapshot{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.survey.membersWait)
	defer cancel()
	return engine.Survey(ctx, engine.Options{
		Configuration: cfg, Connect: connector(filepath.Dir(f.config)),
		Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	}, state), nil
}

// fleetFile is the snapshot that --fleet hub stands for, as if it had been written to a file.
func (h *hubSurvey) fleetFile(ctx context.Context, stderr io.Writer) ([]byte, error) {
	found, err := h.take(ctx, stderr)
	if err != nil {
		return nil, err
	}
	for _, name := range found.Silent {
		fmt.Fprintf(stderr, "caution: cluster %q did not tell what it holds\n", name)
	}
	return plan.WriteFleet(plan.Committable(found.Snapshot))
}

// knownSource is the id under which the fleet knows a source of this name: a name alone is enough where one
// namespace has it.
func knownSource(snap plan.Snapshot, name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	found := ""
	for _, id := range sourcesOf(snap) {
		if id == name {
			return name
		}
		if strings.HasSuffix(id, "/"+name) {
			if found != "" {
				return name
			}
			found = id
		}
	}
	if found == "" {
		return name
	}
	return found
}
