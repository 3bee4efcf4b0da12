package placement

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the decisions of the cases as they are now")

// caseWorkload is a request as cases spell it.
type caseWorkload struct {
	v1alpha1.ObjectReference `json:",inline"`
	Labels                   map[string]string          `json:"labels"`
	Replicas                 *int64                     `json:"replicas"`
	Requests                 corev1.ResourceList        `json:"requests"`
	Placement                v1alpha1.PlacementStrategy `json:"placement"`
	Priority                 int32                      `json:"priority"`
	ClassPriority            int32                      `json:"classPriority"`
	Pinned                   bool                       `json:"pinned"`
	Indivisible              bool                       `json:"indivisible"`
	CRDOn                    []string                   `json:"crdOn"`
	Held                     []string                   `json:"held"`
	Previous                 *casePrevious              `json:"previous"`
	Bound                    *Bound                     `json:"bound"`
	Refused                  string                     `json:"refused"`
}

// casePrevious is a recorded decision. Inputs "same" means the digest of the request itself.
type casePrevious struct {
	Clusters      []v1alpha1.TargetCluster `json:"clusters"`
	AffinityGroup string                   `json:"affinityGroup"`
	Evicting      []string                 `json:"evicting"`
	RebalanceAt   *time.Time               `json:"rebalanceAt"`
	FailbackSince *time.Time               `json:"failbackSince"`
	Inputs        string                   `json:"inputs"`
}

// caseDecision shows what the JSON of a plan leaves out.
type caseDecision struct {
	Name string `json:"name"`
	Decision
	Notes     []Note     `json:"notes"`
	Failback  string     `json:"failback,omitempty"`
	RecheckAt *time.Time `json:"recheckAt,omitempty"`
}

func (w *caseWorkload) request() Request {
	r := Request{
		Workload: w.ObjectReference, Labels: w.Labels, Replicas: w.Replicas, Requests: w.Requests, Strategy: &w.Placement,
		PolicyPriority: w.Priority, ClassPriority: w.ClassPriority, Pinned: w.Pinned, Indivisible: w.Indivisible,
		CRDOnClusters: set(w.CRDOn), Held: set(w.Held), Bound: w.Bound, Refused: w.Refused,
	}
	if r.Workload.Kind == "" {
		r.Workload.APIVersion, r.Workload.Kind = "apps/v1", "Deployment"
	}
	if r.Workload.Namespace == "" {
		r.Workload.Namespace = "shop"
	}
	if p := w.Previous; p != nil {
		r.Previous = &Previous{
			Clusters: p.Clusters, AffinityGroup: p.AffinityGroup, Evicting: p.Evicting,
			RebalanceAt: p.RebalanceAt, FailbackSince: p.FailbackSince, Inputs: p.Inputs,
		}
		if p.Inputs == "same" {
			r.Previous.Inputs = inputs(&r)
		}
	}
	return r
}

func set(names []string) map[string]bool {
	s := map[string]bool{}
	for _, n := range names {
		s[n] = true
	}
	return s
}

// TestCases decides each testdata/cases/*.txtar: fleet.yaml and workloads.yaml are streams of
// Clusters and workloads, decisions is the answer, and the comment above says why. The time is
// 2026-01-01T00:00:00Z.
func TestCases(t *testing.T) {
	found := 0
	err := filepath.WalkDir("testdata/cases", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".txtar") {
			found++
			name, _ := filepath.Rel("testdata/cases", path)
			t.Run(strings.TrimSuffix(filepath.ToSlash(name), ".txtar"), func(t *testing.T) { runCase(t, path) })
		}
		return err
	})
	if err != nil || found == 0 {
		t.Fatalf("%d cases found: %v", found, err)
	}
}

func runCase(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(archive.Comment), "reason: ") {
		t.Fatal("the case does not start with its reason")
	}
	files := map[string][]byte{}
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	clusters := documents[v1alpha1.Cluster](t, files["fleet.yaml"])
	workloads := documents[caseWorkload](t, files["workloads.yaml"])
	requests := make([]Request, len(workloads))
	for i := range workloads {
		requests[i] = workloads[i].request()
	}
	fleet := NewFleet(clusters, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Options{})
	var shown []caseDecision
	for _, d := range Schedule(requests, fleet) {
		c := caseDecision{Name: d.Workload.Name, Decision: d, Notes: d.Notes, Failback: d.Failback}
		if !d.RecheckAt.IsZero() {
			at := d.RecheckAt.UTC()
			c.RecheckAt = &at
		}
		shown = append(shown, c)
	}
	got := show(t, shown)
	if *update {
		archive.Files = []txtar.File{{Name: "fleet.yaml", Data: files["fleet.yaml"]}, {Name: "workloads.yaml", Data: files["workloads.yaml"]}, {Name: "decisions", Data: got}}
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(files["decisions"]), string(got)); diff != "" {
		t.Errorf("%s(-want +got):\n%s", archive.Comment, diff)
	}
}

func documents[T any](t *testing.T, stream []byte) []T {
	t.Helper()
	var all []T
	for _, document := range bytes.Split(stream, []byte("\n---\n")) {
		var v T
		if err := yaml.UnmarshalStrict(document, &v); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		all = append(all, v)
	}
	return all
}

// show prints one cluster and one rejection a line.
func show(t *testing.T, decisions []caseDecision) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, d := range decisions {
		clusters, rejected, notes := d.Clusters, d.Rejected, d.Notes
		d.Clusters, d.Rejected, d.Notes = nil, nil, nil
		head := marshal(t, d)
		out.WriteString(strings.NewReplacer(`"clusters":null,`, "", `"rejected":null,`, "", `,"notes":null`, "").Replace(head) + "\n")
		for _, c := range clusters {
			out.WriteString("  chosen   " + marshal(t, c) + "\n")
		}
		for _, r := range rejected {
			out.WriteString("  rejected " + marshal(t, r) + "\n")
		}
		for _, n := range notes {
			out.WriteString("  note     " + marshal(t, n) + "\n")
		}
	}
	return out.Bytes()
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}
