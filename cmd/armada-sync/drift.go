package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/control"
	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// driftPath is where a running controller tells what others changed.
const driftPath = "/v1/drift"

// driftFlags are the flags of drift.
type driftFlags struct {
	operateFlags
	cluster, namespace, output string
	ignoreRules                bool
}

// driftList is what drift prints as JSON, and what a controller answers.
type driftList struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Total is how many objects there are. A hub names no more than the worst of each Placement.
	Total int                    `json:"total"`
	Items []v1alpha1.ObjectDrift `json:"items"`
	// Unreachable are the clusters of which nobody can tell what others changed there since they were last heard.
	Unreachable []string `json:"unreachable"`
}

func newDriftList(items []v1alpha1.ObjectDrift, total int, unreachable []string) driftList {
	plan.SortDrift(items)
	slices.Sort(unreachable)
	return driftList{
		APIVersion: v1alpha1.APIVersion, Kind: "Drift", Total: total,
		Items: append([]v1alpha1.ObjectDrift{}, items...), Unreachable: append([]string{}, unreachable...),
	}
}

func newDrift(s streams) *cobra.Command {
	flags := &driftFlags{}
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "List what others changed on clusters, and what is done about it",
		Long: `List the objects of ours that someone else changed: the fields that differ from Git, who has each of them by the
API server's record, since when, and what is done about it:

  fought    it was put back again and again and is left alone for a while: another controller or a webhook
            insists; the time is what is left until the next try
  reported  the object says armada-sync.io/drift: report
  paused    the live object says armada-sync.io/paused-until; the time is what is left of it
  repaired  it is being put back now
  ignored   a rule under ignoreDrift of its GitSource leaves the fields to others

--ignore-rules prints, for what is not ignored yet, the rules that would leave it to others, to be put into the
GitSource. It never shows values. A hub names the worst five copies of each workload; a controller on its own
names all. A cluster that cannot be reached is named on stderr, and the exit code is 4.`,
		Example: `  armada-sync drift
  armada-sync drift --cluster eu-1 -n shop -o json
  armada-sync drift --config armada.yaml --ignore-rules`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDrift(cmd.Context(), s, flags) },
	}
	flags.register(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	f := cmd.Flags()
	f.StringVar(&flags.cluster, "cluster", "", "only on this cluster")
	f.StringVarP(&flags.namespace, "namespace", "n", "", "only in this namespace")
	f.StringVarP(&flags.output, "output", "o", "text", "text or json")
	f.BoolVar(&flags.ignoreRules, "ignore-rules", false, "print rules for ignoreDrift of the GitSources instead")
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("cluster", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return flags.viewSoon(cmd.Context()).clusterNames(), cobra.ShellCompDirectiveNoFileComp
	}))
	return cmd
}

func runDrift(ctx context.Context, s streams, flags *driftFlags) error {
	if flags.output != "text" && flags.output != "json" {
		return fmt.Errorf("--output %q: want text or json", flags.output)
	}
	op, err := flags.open(ctx, s)
	if err != nil {
		return err
	}
	defer op.close()
	if flags.cluster != "" {
		view, err := op.view(ctx)
		if err != nil {
			return err
		}
		if _, err := view.cluster(flags.cluster); err != nil {
			return err
		}
	}
	found, err := readDrift(ctx, op)
	if err != nil {
		return err
	}
	unnamed := found.narrow(flags)
	if err := found.print(s, flags); err != nil {
		return err
	}
	if unnamed > 0 {
		fmt.Fprintf(s.err, "%d more objects differ that the hub does not name; their clusters are counted in the metric armada_sync_drift\n", unnamed)
	}
	for _, name := range found.Unreachable {
		fmt.Fprintf(s.err, "caution: cluster %q cannot be reached: what others changed there since it was last heard is not known\n", name)
	}
	if len(found.Unreachable) > 0 {
		return withCode(exitUnreachable)
	}
	return nil
}

// narrow leaves what the flags ask for, and returns how many objects the controller counts and does not name.
func (l *driftList) narrow(flags *driftFlags) (unnamed int) {
	unnamed = l.Total - len(l.Items)
	l.Items = slices.DeleteFunc(l.Items, func(d v1alpha1.ObjectDrift) bool {
		return flags.cluster != "" && d.Cluster != flags.cluster || flags.namespace != "" && d.Namespace != flags.namespace
	})
	l.Unreachable = slices.DeleteFunc(l.Unreachable, func(name string) bool { return flags.cluster != "" && name != flags.cluster })
	l.Total = len(l.Items)
	if flags.cluster == "" && flags.namespace == "" {
		l.Total += unnamed
	}
	return unnamed
}

// print writes the list in the form that the flags ask for.
func (l *driftList) print(s streams, flags *driftFlags) error {
	var err error
	switch {
	case flags.ignoreRules:
		err = printIgnoreRules(s, l.Items)
	case flags.output == "json":
		var raw []byte
		if raw, err = json.MarshalIndent(l, "", "  "); err == nil {
			_, err = fmt.Fprintf(s.out, "%s\n", raw)
		}
	case len(l.Items) > 0:
		_, err = fmt.Fprint(s.out, driftTable(l.Items, time.Now()))
	case len(l.Unreachable) > 0:
		fmt.Fprintln(s.err, "nobody is known to have changed anything that is ours")
	default:
		fmt.Fprintln(s.err, "nobody changed anything that is ours")
	}
	return err
}

// readDrift asks a controller what others changed.
func readDrift(ctx context.Context, op operator) (driftList, error) {
	switch o := op.(type) {
	case *standalone:
		var found driftList
		return found, o.client.Get(ctx, driftPath, &found)
	case *hubOperator:
		return o.drift(ctx)
	}
	return driftList{}, fmt.Errorf("a %T does not tell what others changed", op)
}

// drift collects what Placements and GitSources tell.
func (o *hubOperator) drift(ctx context.Context) (driftList, error) {
	placements, err := listAll[v1alpha1.Placement](ctx, o, "placements")
	if err != nil {
		return driftList{}, err
	}
	sources, err := listAll[v1alpha1.GitSource](ctx, o, "gitsources")
	if err != nil {
		return driftList{}, err
	}
	var items []v1alpha1.ObjectDrift
	total := 0
	take := func(d *v1alpha1.DriftSummary) {
		if d != nil {
			items, total = append(items, d.Objects...), total+int(d.Total)
		}
	}
	for i := range placements {
		take(placements[i].Status.Drift)
	}
	for i := range sources {
		take(sources[i].Status.Drift)
	}
	clusters, err := listAll[v1alpha1.Cluster](ctx, o, "clusters")
	if err != nil {
		return driftList{}, err
	}
	var unreachable []string
	for i := range clusters {
		if ready := meta.FindStatusCondition(clusters[i].Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.Status == metav1.ConditionUnknown {
			unreachable = append(unreachable, clusters[i].Name)
		}
	}
	return newDriftList(items, total, unreachable), nil
}

// serveDrift answers with what others changed as of the last plan.
func serveDrift(server *control.Server, e *engine.Engine) {
	server.Handle("GET "+driftPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cycle, ok := e.Latest()
		if !ok {
			http.Error(w, `{"error":"the controller has not planned yet: try again in a moment"}`, http.StatusServiceUnavailable)
			return
		}
		var items []v1alpha1.ObjectDrift
		var unreachable []string
		for _, c := range cycle.Plan.Clusters {
			items = append(items, cycle.Drift(c.Name)...)
			if m := cycle.Snapshot.Members[c.Name]; !m.Known || !m.Reachable {
				unreachable = append(unreachable, c.Name)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		// A client that has gone needs no answer.
		_ = json.NewEncoder(w).Encode(newDriftList(items, len(items), unreachable))
	}))
}

// Widths of the table of drift: tableWidth in all, and how wide the columns of names get.
const (
	tableWidth   = 100
	clusterWidth = 14
	managerWidth = 16
	objectWidth  = 32
)

// driftTable prints one line for each field, at most tableWidth wide. Of what is too long the end is kept,
// since that is what tells paths apart.
func driftTable(items []v1alpha1.ObjectDrift, now time.Time) string {
	rows := [][]string{{"CLUSTER", "OBJECT", "FIELD", "MANAGER", "SINCE", "DONE"}}
	for _, d := range items {
		object, cluster, done := d.String(), d.Cluster, string(d.Handling)
		if d.Until != nil {
			done += " (" + age(d.Until.Sub(now)) + ")"
		}
		fields := d.Fields
		if len(fields) == 0 {
			fields = []v1alpha1.DriftField{{Path: "-"}}
		}
		for _, f := range fields {
			since, manager := "?", f.Manager
			if f.Since != nil {
				since = age(now.Sub(f.Since.Time))
			}
			switch {
			case f.Path == "-":
				since, manager = "-", "-"
			case manager == "":
				manager = "?"
			}
			rows = append(rows, []string{cluster, object, f.Path, manager, since, done})
			cluster, object, done = "", "", ""
		}
		if d.More > 0 {
			rows = append(rows, []string{"", "", fmt.Sprintf("and %d more", d.More), "", "", ""})
		}
	}
	widths := make([]int, len(rows[0]))
	limits := []int{clusterWidth, objectWidth, tableWidth, managerWidth, tableWidth, tableWidth}
	for _, row := range rows {
		for i := range row {
			row[i] = page.Scrub(row[i])
			widths[i] = min(limits[i], max(widths[i], len([]rune(row[i]))))
		}
	}
	rest := tableWidth - 2*(len(widths)-1)
	for i, w := range widths {
		if i != 2 {
			rest -= w
		}
	}
	widths[2] = min(widths[2], rest)
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += fmt.Sprintf("%-*s  ", widths[i], ending(cell, widths[i]))
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// ending keeps the last n runes of a text that is longer.
func ending(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return "…" + string(r[len(r)-n+1:])
}

// age writes a duration in its greatest unit.
func age(d time.Duration) string {
	switch {
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// printIgnoreRules prints, by source, rules that leave what differs to others.
func printIgnoreRules(s streams, items []v1alpha1.ObjectDrift) error {
	type key struct {
		source string
		ref    v1alpha1.ObjectReference
	}
	paths, managers := map[key][]string{}, map[string][]string{}
	var order []key
	for _, d := range items {
		if d.Handling == v1alpha1.DriftIgnored || len(d.Fields) == 0 {
			continue
		}
		k := key{d.Source, d.ObjectReference}
		if paths[k] == nil {
			order = append(order, k)
		}
		for _, f := range d.Fields {
			paths[k] = append(paths[k], f.Path)
			if f.Manager != "" {
				managers[d.Source] = append(managers[d.Source], f.Manager)
			}
		}
	}
	slices.SortFunc(order, func(a, b key) int {
		if c := strings.Compare(a.source, b.source); c != 0 {
			return c
		}
		return a.ref.Compare(b.ref)
	})
	rules := map[string][]v1alpha1.IgnoreRule{}
	var sources []string
	for _, k := range order {
		list := paths[k]
		slices.Sort(list)
		if rules[k.source] == nil {
			sources = append(sources, k.source)
		}
		rules[k.source] = append(rules[k.source], v1alpha1.IgnoreRule{Paths: slices.Compact(list), Target: &v1alpha1.ResourceSelector{
			APIVersion: k.ref.APIVersion, Kind: k.ref.Kind, Namespace: k.ref.Namespace, Name: k.ref.Name,
		}})
	}
	for _, source := range sources {
		raw, err := yaml.Marshal(map[string]any{"ignoreDrift": rules[source]})
		if err != nil {
			return fmt.Errorf("write the rules: %w", err)
		}
		fmt.Fprintf(s.out, "# under spec of GitSource %s\n%s", page.Scrub(source), raw)
		names := managers[source]
		slices.Sort(names)
		if names = slices.Compact(names); len(names) > 0 {
			fmt.Fprintf(s.out, "# or, for all that they have: {managers: [%s]}\n", page.Scrub(strings.Join(names, ", ")))
		}
	}
	if len(sources) == 0 {
		fmt.Fprintln(s.err, "nothing differs that is not ignored already")
	}
	return nil
}
