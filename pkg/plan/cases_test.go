package plan_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/report"
)

var update = flag.Bool("update", false, "rewrite the expected parts of testdata/cases")

// TestCases walks testdata/cases. A case is a txtar file whose comment says what users rely on:
//
//	fleet.yaml            the fleet file
//	base/<source>/…       what was applied before, if anything
//	head/<source>/…       the trees to plan
//	sources.yaml          settings of sources by name, see sourceSettings
//	base-sources.yaml     those of before; default: the same, with nothing wrong
//	steps.yaml            a list of steps, see step; default: one
//	want.plan             what each step's plan does, without what stays as it is
//	want.waits            what each step's plan says of what has not happened yet
//	want.records          which evictions, moves and timers are recorded after each step
//	want.txt, want.json   the last step's plan as printed
//	want.findings         what a reviewer of the change from base to head must know
//	want.preview.txt, .markdown, .json …   the report from base to head
//
// Adding a case means adding a file with the outputs that it is about, left empty, and -update.
func TestCases(t *testing.T) {
	err := filepath.WalkDir(filepath.Join("testdata", "cases"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".txtar" {
			return err
		}
		name, err := filepath.Rel(filepath.Join("testdata", "cases"), strings.TrimSuffix(path, ".txtar"))
		if err != nil {
			return err
		}
		t.Run(name, func(t *testing.T) { runCase(t, path) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// step is a plan after some time, on what the plan of the step before did.
type step struct {
	Advance metav1.Duration `json:"advance"`
	// Members are changes to what the members hold, by cluster.
	Members map[string]memberChange `json:"members"`
	// Taints replace those of clusters.
	Taints map[string][]taint `json:"taints"`
	// Limited and Stopped are the guards of a controller from this step on; a stop that ends is lifted
	// at the time of the step.
	Limited *bool   `json:"limited"`
	Stopped *string `json:"stopped"`
	// Rebalance asks for it, for every workload.
	Rebalance bool `json:"rebalance"`
}

type taint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"`
}

type memberChange struct {
	Known     *bool          `json:"known"`
	Reachable *bool          `json:"reachable"`
	Objects   []objectChange `json:"objects"`
}

type objectChange struct {
	v1alpha1.ObjectReference
	Gone          bool              `json:"gone"`
	Health        *v1alpha1.Health  `json:"health"`
	Prune         *string           `json:"prune"`
	Source        *string           `json:"source"`
	Terminating   bool              `json:"terminating"`
	Paused        metav1.Duration   `json:"paused"`
	Drift         []string          `json:"drift"`
	Unschedulable int64             `json:"unschedulable"`
	State         map[string]string `json:"state"`
	// OwnedFields is a fieldsV1 document.
	OwnedFields map[string]any `json:"ownedFields"`
}

// scenario is a case that was read.
type scenario struct {
	snap  plan.Snapshot
	base  plan.Trees
	head  plan.Trees
	steps []step
}

func readScenario(t failer, files []txtar.File) scenario {
	t.Helper()
	settings := loadSettings(t, fileOf(files, "sources.yaml"))
	before := healthy(settings)
	if raw := fileOf(files, "base-sources.yaml"); raw != nil {
		before = loadSettings(t, raw)
	}
	s := scenario{
		snap: loadFleet(t, fileOf(files, "fleet.yaml")),
		base: loadTrees(t, files, "base", before),
		head: loadTrees(t, files, "head", settings),
	}
	for i := range s.head {
		for _, base := range s.base {
			if base.Source == s.head[i].Source {
				s.head[i].Earlier = append(s.head[i].Earlier, base.Tree)
			}
		}
	}
	if raw := fileOf(files, "steps.yaml"); raw != nil {
		if err := yaml.UnmarshalStrict(raw, &s.steps); err != nil {
			t.Fatalf("steps.yaml: %v", err)
		}
	} else {
		s.steps = []step{{}}
	}
	return s
}

// healthy are the settings of sources before anything went wrong.
func healthy(settings map[string]sourceSettings) map[string]sourceSettings {
	before := maps.Clone(settings)
	for name, s := range before {
		s.Stale, s.FailedUnits, s.AllowPrune, s.Revision = false, nil, "", ""
		before[name] = s
	}
	return before
}

// hasBase tells whether the case says what was applied before.
func hasBase(files []txtar.File) bool {
	return slices.ContainsFunc(files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "base/") })
}

func runCase(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := runScenario(t, archive.Files)
	if *update {
		for i, f := range archive.Files {
			if out, ok := got[f.Name]; ok {
				archive.Files[i].Data = out
			}
		}
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	compared := false
	for _, f := range archive.Files {
		out, ok := got[f.Name]
		if !ok {
			continue
		}
		compared = true
		if diff := cmp.Diff(string(f.Data), string(out)); diff != "" {
			t.Errorf("%s of %s (-want +got):\n%s\n%s", f.Name, path, diff, archive.Comment)
		}
	}
	if !compared {
		t.Errorf("%s expects nothing", path)
	}
}

// runScenario returns every output of a case by its name.
func runScenario(t failer, files []txtar.File) map[string][]byte {
	t.Helper()
	s := readScenario(t, files)
	base := plan.Compute(s.base, s.snap)
	snap := s.snap
	if hasBase(files) {
		snap = plan.NextSnapshot(base, s.snap)
	}
	planner := plan.NewPlanner(plan.Options{})
	var out, waits, records bytes.Buffer
	var last *plan.Plan
	for i, st := range s.steps {
		if last != nil {
			snap = plan.NextSnapshot(last, snap)
		}
		snap = st.apply(t, snap)
		last = planner.Compute(s.head, snap)
		if len(s.steps) > 1 {
			for _, b := range []*bytes.Buffer{&out, &waits, &records} {
				fmt.Fprintf(b, "== step %d\n", i+1)
			}
		}
		describePlan(&out, last)
		describeWaits(&waits, last)
		describeRecords(&records, plan.NextPlacements(last, snap))
	}
	got := map[string][]byte{"want.plan": out.Bytes(), "want.waits": waits.Bytes(), "want.records": records.Bytes()}
	for _, f := range plan.PlanFormats() {
		got["want."+extension(f.Name)] = printed(t, func(o plan.PrintOptions) ([]byte, error) { return f.Print(last, o) })
	}
	seen := s.preview(hasBase(files))
	var findings bytes.Buffer
	describeFindings(&findings, seen.Findings)
	got["want.findings"] = findings.Bytes()
	for _, f := range report.Formats() {
		parts, err := f.Print(seen, report.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got["want.preview."+extension(f.Name)] = bytes.Join(parts, nil)
	}
	return got
}

// preview compares base and head on a fleet that holds the base, or on the one of the fleet file.
func (s scenario) preview(applied bool) plan.Report {
	snap := s.snap
	if applied {
		snap = plan.NextSnapshot(plan.Compute(s.base, snap), snap)
	}
	base := plan.Compute(s.base, snap)
	return plan.Preview(base, plan.Compute(s.head, plan.NextSnapshot(base, snap)), plan.PreviewOptions{})
}

func extension(format string) string {
	if format == "text" {
		return "txt"
	}
	return format
}

func printed(t failer, print func(plan.PrintOptions) ([]byte, error)) []byte {
	t.Helper()
	raw, err := print(plan.PrintOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// describePlan writes one line for each change and finding.
func describePlan(out *bytes.Buffer, p *plan.Plan) {
	for _, c := range p.Clusters {
		for _, ch := range c.Objects {
			if ch.Action == v1alpha1.ActionUnchanged {
				continue
			}
			fmt.Fprintf(out, "%s: %s %s", c.Name, ch.Action, ch.ObjectReference)
			if ch.Replicas != nil {
				fmt.Fprintf(out, " x%d", *ch.Replicas)
			}
			if ch.Gate != "" {
				fmt.Fprintf(out, " [%s]", ch.Gate)
			}
			if ch.Reason != "" {
				fmt.Fprintf(out, " (%s)", ch.Reason)
			}
			out.WriteByte('\n')
		}
	}
	for _, r := range p.Rollouts {
		fmt.Fprintf(out, "rollout of %s: %s: %s\n", r.Source, r.Phase, r.Message)
	}
	describeFindings(out, p.Findings)
}

// describeFindings writes one line for each finding.
func describeFindings(out *bytes.Buffer, findings []v1alpha1.Finding) {
	for _, f := range findings {
		fmt.Fprintf(out, "%s %s: %s", f.Severity, f.ID, f.Message)
		if f.Source != "" {
			fmt.Fprintf(out, " at %s/%s", f.Repository, f.Source)
		}
		if len(f.Clusters) > 0 {
			fmt.Fprintf(out, " on %s", strings.Join(f.Clusters, " "))
		}
		out.WriteByte('\n')
	}
}

// describeWaits writes one line for each thing that has not happened yet.
func describeWaits(out *bytes.Buffer, p *plan.Plan) {
	for _, e := range p.Placements {
		for _, w := range e.Waiting {
			fmt.Fprintf(out, "%s on %s: %s\n", e.Workload, w.Cluster, w.Message)
		}
	}
}

// describeRecords writes one line for each workload and what is remembered of its moves.
func describeRecords(out *bytes.Buffer, placements []v1alpha1.Placement) {
	clock := func(t metav1.Time) string { return t.UTC().Format(time.TimeOnly) }
	for _, p := range placements {
		fmt.Fprintf(out, "%s:", p.Spec.Workload)
		for _, t := range p.Spec.Clusters {
			fmt.Fprintf(out, " %s", t.Name)
			if t.Replicas != nil {
				fmt.Fprintf(out, "=%d", *t.Replicas)
			}
		}
		for _, m := range p.Status.Moves {
			fmt.Fprintf(out, ", moves from %s since %s", m.From, clock(m.Since))
			if m.HealthySince != nil {
				fmt.Fprintf(out, " healthy %s", clock(*m.HealthySince))
			}
		}
		for _, list := range []struct {
			word  string
			times []v1alpha1.ClusterTime
		}{{"owes", p.Status.Debts}, {"unhealthy", p.Status.UnhealthySince}, {"evicted", p.Status.Evictions}} {
			for _, c := range list.times {
				fmt.Fprintf(out, ", %s %s %s", list.word, c.Cluster, clock(c.Time))
			}
		}
		for _, t := range []struct {
			word string
			time *metav1.Time
		}{{"rebalance at", p.Spec.RebalanceAt}, {"failback since", p.Status.FailbackSince}, {"imbalance since", p.Status.ImbalanceSince}} {
			if t.time != nil {
				fmt.Fprintf(out, ", %s %s", t.word, clock(*t.time))
			}
		}
		for _, s := range p.Status.Preserved {
			fmt.Fprintf(out, ", on %s from %s %v", s.Cluster, s.From, s.Labels)
		}
		out.WriteByte('\n')
	}
}

// apply changes a snapshot as a step says.
func (st step) apply(t failer, snap plan.Snapshot) plan.Snapshot {
	t.Helper()
	snap.Now = snap.Now.Add(st.Advance.Duration)
	if st.Limited != nil {
		snap.Guards.Limited = *st.Limited
	}
	if st.Stopped != nil {
		if *st.Stopped == "" && snap.Guards.Stopped != "" {
			snap.Guards.Lifted = snap.Now
		}
		snap.Guards.Stopped = *st.Stopped
	}
	if st.Rebalance {
		snap.Placements = slices.Clone(snap.Placements)
		for i := range snap.Placements {
			at := metav1.NewTime(snap.Now)
			snap.Placements[i].Spec.RebalanceAt = &at
		}
	}
	snap.Members = maps.Clone(snap.Members)
	if snap.Members == nil {
		snap.Members = map[string]plan.Member{}
	}
	for name, change := range st.Members {
		m, known := snap.Members[name]
		if !known {
			m.Reachable = true
		}
		objects := m.Objects.ByKey()
		if change.Known != nil {
			m.Known = *change.Known
		}
		if change.Reachable != nil {
			m.Reachable = *change.Reachable
		}
		for _, o := range change.Objects {
			o.apply(t, objects, name, snap.Now)
		}
		m.Objects = plan.InventoryOf(objects)
		snap.Members[name] = m
	}
	snap.Clusters = slices.Clone(snap.Clusters)
	for i := range snap.Clusters {
		if taints, ok := st.Taints[snap.Clusters[i].Name]; ok {
			snap.Clusters[i] = withTaints(snap.Clusters[i], taints, snap.Now)
		}
	}
	return snap
}

func (o objectChange) apply(t failer, objects map[v1alpha1.ObjectKey]*plan.Held, cluster string, now time.Time) {
	t.Helper()
	before, ok := objects[o.Key()]
	if !ok {
		t.Fatalf("steps.yaml: %s does not hold %s", cluster, o.ObjectReference)
	}
	if o.Gone {
		delete(objects, o.Key())
		return
	}
	held := *before
	if o.Health != nil {
		held.Health = *o.Health
	}
	if o.Source != nil {
		held.Source = *o.Source
	}
	held.Terminating = o.Terminating
	held.SetDetail(func(d *plan.HeldDetails) {
		d.Drift, d.Unschedulable, d.State = o.Drift, o.Unschedulable, o.State
		if o.Prune != nil {
			d.Prune = *o.Prune
		}
		if o.Paused.Duration != 0 {
			d.PausedUntil = now.Add(o.Paused.Duration)
		}
	})
	if o.OwnedFields != nil {
		raw, err := yaml.Marshal(o.OwnedFields)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = yaml.YAMLToJSON(raw); err != nil {
			t.Fatal(err)
		}
		held.OwnedFields = string(raw)
	}
	objects[o.Key()] = &held
}

func withTaints(c v1alpha1.Cluster, taints []taint, now time.Time) v1alpha1.Cluster {
	c.Spec.Taints = nil
	added := metav1.NewTime(now)
	for _, tt := range taints {
		c.Spec.Taints = append(c.Spec.Taints, corev1.Taint{Key: tt.Key, Value: tt.Value, Effect: corev1.TaintEffect(tt.Effect), TimeAdded: &added})
	}
	return c
}
