package plan_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

const fleet = `apiVersion: armada-sync.io/v1alpha1
kind: Snapshot
formatVersion: 1
takenAt: "2026-01-31T14:02:00+01:00"
revisions: {shop: "main@sha1:a1c9f02"}
---
apiVersion: armada-sync.io/v1alpha1
kind: Cluster
metadata: {name: eu-1, labels: {tier: gold}}
spec: {provider: aws, region: eu-west-1, zones: [a, b], kubeconfigFile: eu-1.kubeconfig}
status:
  resourceSummary: {allocatable: {cpu: "8", pods: "110"}}
---
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: us-1}
spec: {region: us-east-1, zone: c, taints: [{key: maintenance, effect: NoSchedule}]}
status:
  conditions: [{type: Ready, status: Unknown, message: no answer, lastTransitionTime: "2026-01-31T12:00:00Z"}]
---
apiVersion: armada-sync.io/v1alpha1
kind: Cluster
metadata: {name: ap-1}
status:
  apiEnablements: []
  conditions: [{type: Ready, status: "False"}]
---
apiVersion: armada-sync.io/v1alpha1
kind: Placement
metadata: {namespace: armada-system, name: web}
spec:
  workload: {apiVersion: apps/v1, kind: Deployment, namespace: shop, name: web}
  clusters: [{name: eu-1, replicas: 5}, {name: us-1, replicas: 4}]
  inputs: v1:abc
status:
  debts: [{cluster: us-1, time: "2026-01-31T12:00:00Z"}]
---
apiVersion: armada-sync.io/v1alpha1
kind: Inventory
spec:
  cluster: eu-1
  objects:
  - {apiVersion: apps/v1, kind: Deployment, namespace: shop, name: web, digest: "v1:d1", source: shop, health: healthy, replicas: 5}
  - {apiVersion: v1, kind: ConfigMap, namespace: shop, name: web, digest: "v1:d2", source: shop, prune: confirm, pausedUntil: "2026-01-31T15:00:00Z"}
---
apiVersion: armada-sync.io/v1alpha1
kind: ClusterFacts
spec: {cluster: eu-1, version: v1.34.1, storageClasses: [], ingressClasses: [nginx]}
`

// TestReadFleet states what a fleet file says.
func TestReadFleet(t *testing.T) {
	snap, problems := plan.ReadFleet("fleet.yaml", []byte(fleet))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	taken := time.Date(2026, 1, 31, 13, 2, 0, 0, time.UTC)
	if !snap.Now.Equal(taken) || !snap.TakenAt.Equal(taken) || snap.AppliedRevisions["shop"] != "main@sha1:a1c9f02" {
		t.Errorf("now %s, taken %s, revisions %v", snap.Now, snap.TakenAt, snap.AppliedRevisions)
	}
	var names []string
	for _, c := range snap.Clusters {
		names = append(names, c.Name+"@"+c.Position.String())
	}
	if diff := cmp.Diff([]string{"ap-1@fleet.yaml:21", "eu-1@fleet.yaml:7", "us-1@fleet.yaml:14"}, names); diff != "" {
		t.Error(diff)
	}
	five := int64(5)
	paused := time.Date(2026, 1, 31, 15, 0, 0, 0, time.UTC)
	web := v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	config := v1alpha1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "web"}
	want := map[string]plan.Member{
		"ap-1": {Reachable: true},
		"us-1": {},
		"eu-1": {Known: true, Reachable: true, Objects: plan.NewInventory([]*plan.Held{
			{ObjectReference: web, Digest: "v1:d1", Source: "shop", Health: v1alpha1.HealthHealthy, Replicas: &five},
			{ObjectReference: config, Digest: "v1:d2", Source: "shop", Details: &plan.HeldDetails{Prune: "confirm", PausedUntil: paused}},
		})},
	}
	if diff := cmp.Diff(want, snap.Members, cmp.AllowUnexported(plan.Inventory{}), cmpopts.IgnoreUnexported(plan.HeldDetails{})); diff != "" {
		t.Error(diff)
	}
	facts := snap.Facts["eu-1"]
	if facts.StorageClasses == nil || len(facts.StorageClasses) != 0 || facts.PriorityClasses != nil || facts.Version != "v1.34.1" {
		t.Errorf("facts %+v", facts)
	}
	if len(snap.Placements) != 1 || snap.Placements[0].Status.Debts[0].Time.Location() != time.UTC {
		t.Errorf("placements %+v", snap.Placements)
	}
	if got := snap.Config.Failover.ImplicitTolerationSeconds; got == nil || *got != 300 {
		t.Errorf("the configuration has no defaults: %v", got)
	}
	empty, problems := plan.ReadFleet("empty.yaml", nil)
	if len(problems) > 0 || !empty.Now.Equal(time.Unix(0, 0)) || !empty.TakenAt.IsZero() {
		t.Errorf("an empty file: %v, now %s", problems, empty.Now)
	}
}

// TestReadFleetProblems states what is wrong with a fleet file, with both places where there are two.
func TestReadFleetProblems(t *testing.T) {
	const head = "apiVersion: armada-sync.io/v1alpha1\nkind: "
	cases := []struct {
		reason, text string
		want         []string
	}{
		{"a cluster twice", head + "Cluster\nmetadata: {name: a}\n---\n" + head + "Cluster\nmetadata: {name: a}\n",
			[]string{"blocker invalid-configuration f.yaml:5: the Cluster a is already declared at f.yaml:1"}},
		{"a cluster twice, in two groups", head + "Cluster\nmetadata: {name: a}\n---\napiVersion: cluster.karmada.io/v1alpha1\nkind: Cluster\nmetadata: {name: a}\n",
			[]string{"blocker invalid-configuration f.yaml:5: the Cluster a is already declared at f.yaml:1"}},
		{"a decision twice, in two versions of the API", head + "Placement\nspec: {workload: {apiVersion: apps/v1, kind: D, namespace: shop, name: w}}\n---\n" +
			head + "Placement\nspec: {workload: {apiVersion: apps/v1beta1, kind: D, namespace: shop, name: w}}\n",
			[]string{"blocker invalid-configuration f.yaml:5: the Placement of D shop/w apps is already declared at f.yaml:1"}},
		{"an inventory twice", head + "Cluster\nmetadata: {name: a}\n---\n" + head + "Inventory\nspec: {cluster: a}\n---\n" + head + "Inventory\nspec: {cluster: a}\n",
			[]string{"blocker invalid-configuration f.yaml:9: the Inventory of a is already declared at f.yaml:5"}},
		{"another format", head + "Snapshot\nformatVersion: 2\n",
			[]string{"blocker invalid-configuration f.yaml:3: formatVersion: version 2 of the fleet file is not supported; this release reads version 1"}},
		{"unknown clusters are reported once each and kept", head + "Inventory\nspec: {cluster: a}\n---\n" +
			head + "Placement\nspec: {workload: {apiVersion: v1, kind: Pod, name: w}, clusters: [{name: a}, {name: b}], evicting: [c]}\n",
			[]string{
				`caution unknown-cluster f.yaml:1: the cluster "a" is not declared in this file`,
				`caution unknown-cluster f.yaml:5: the cluster "b" is not declared in this file`,
				`caution unknown-cluster f.yaml:5: the cluster "c" is not declared in this file`,
			}},
		{"a workload", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
			[]string{"blocker invalid-configuration f.yaml:2: kind: the kind ConfigMap of v1 is not one of armada-sync's"}},
		{"a policy", head + "ClusterOverridePolicy\nmetadata: {name: a}\n",
			[]string{"blocker invalid-configuration f.yaml:1: a ClusterOverridePolicy has no place in a fleet file"}},
		{"a source, so that the file of a controller serves", head + "GitSource\nmetadata: {name: a}\nspec: {url: file:///a}\n",
			nil},
		{"a broken document beside a good one", head + "Cluster\nmetadata: {name: a}\n---\n: [\n",
			[]string{"blocker invalid-document f.yaml:5: invalid YAML: did not find expected key"}},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			snap, problems := plan.ReadFleet("f.yaml", []byte(tc.text))
			var got []string
			for _, p := range problems {
				got = append(got, fmt.Sprintf("%s %s %s", p.Severity, p.ID, p.Error()))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if tc.reason == "unknown clusters are reported once each and kept" && (!snap.Members["a"].Known || snap.Members["a"].Reachable || len(snap.Placements) != 1) {
				t.Errorf("%+v", snap)
			}
		})
	}
}

// sameSnapshot compares snapshots without the positions of documents.
func sameSnapshot() cmp.Options {
	return cmp.Options{
		cmpopts.EquateEmpty(), cmp.AllowUnexported(plan.Inventory{}), cmpopts.IgnoreUnexported(plan.HeldDetails{}),
		cmpopts.IgnoreFields(v1alpha1.Cluster{}, "Position", "TypeMeta"), cmpopts.IgnoreFields(v1alpha1.Placement{}, "TypeMeta"),
		cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 }),
	}
}

// TestFleetOrderDoesNotMatter shuffles the documents of a fleet file.
func TestFleetOrderDoesNotMatter(t *testing.T) {
	want, _ := plan.ReadFleet("f.yaml", []byte(fleet))
	parts := strings.Split(fleet, "---\n")
	for seed := range int64(20) {
		shuffled := slices.Clone(parts)
		rand.New(rand.NewSource(seed)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got, problems := plan.ReadFleet("f.yaml", []byte(strings.Join(shuffled, "---\n")))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if diff := cmp.Diff(want, got, sameSnapshot()); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		if written := write(t, got); !bytes.Equal(written, write(t, want)) {
			t.Fatalf("seed %d is written as\n%s", seed, written)
		}
	}
}

// TestOneFleetFileAfterAnother: what a writer remembers of the files before does not show.
func TestOneFleetFileAfterAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var writer plan.FleetWriter
		for range 4 {
			s := drawSnapshot(t)
			want, err := plan.WriteFleet(s)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := writer.Write(s); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%v; written as\n%s\nnot\n%s", err, got, want)
			}
		}
	})
}

// BenchmarkWriteFleet writes 10,000 decisions of which one has changed.
func BenchmarkWriteFleet(b *testing.B) {
	snap := plan.Snapshot{}
	for i := range 10_000 {
		p := v1alpha1.Placement{Spec: v1alpha1.PlacementSpec{
			Workload: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("web-%d", i)},
			Clusters: []v1alpha1.TargetCluster{{Name: "a"}, {Name: "b"}, {Name: "c"}},
		}}
		snap.Placements = append(snap.Placements, p)
	}
	var writer plan.FleetWriter
	if _, err := writer.Write(snap); err != nil {
		b.Fatal(err)
	}
	for n := 0; b.Loop(); n++ {
		snap.Placements = slices.Clone(snap.Placements)
		snap.Placements[0].Spec.Inputs = strconv.Itoa(n)
		if _, err := writer.Write(snap); err != nil {
			b.Fatal(err)
		}
	}
}

func write(t testing.TB, s plan.Snapshot) []byte {
	t.Helper()
	data, err := plan.WriteFleet(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestFleetDigest states what the digest depends on, and what not.
func TestFleetDigest(t *testing.T) {
	base, _ := plan.ReadFleet("f.yaml", []byte(fleet))
	if !strings.HasPrefix(base.FleetDigest, "sha256:") || len(base.FleetDigest) != 71 {
		t.Fatal(base.FleetDigest)
	}
	cases := []struct {
		reason, old, new string
		same             bool
	}{
		{"when it was taken", "14:02:00", "15:02:00", true},
		{"how a cluster is reached", "kubeconfigFile: eu-1.kubeconfig", "kubeconfigFile: other", true},
		{"the message of a condition", "no answer", "timeout", true},
		{"the spelling of a quantity", `cpu: "8"`, "cpu: 8000m", true},
		{"the group of a document", "cluster.karmada.io/v1alpha1", "armada-sync.io/v1alpha1", true},
		{"a label", "tier: gold", "tier: silver", false},
		{"a zone", "[a, b]", "[a]", false},
		{"a taint", "maintenance", "upgrade", false},
		{"readiness", "status: Unknown", `status: "True"`, false},
		{"capacity", `cpu: "8"`, `cpu: "9"`, false},
		{"a share", "replicas: 4", "replicas: 3", false},
		{"the inputs of a decision", "v1:abc", "v1:abd", false},
		{"a debt", `time: "2026-01-31T12:00:00Z"`, `time: "2026-01-31T12:00:01Z"`, false},
		{"a held digest", "v1:d1", "v1:d3", false},
		{"a pause", "15:00:00Z", "15:00:01Z", false},
		{"an unknown list instead of an empty one", "storageClasses: [], ", "", false},
		{"everything served instead of nothing", "apiEnablements: []", "remedyActions: []", false},
	}
	for _, tc := range cases {
		if !strings.Contains(fleet, tc.old) {
			t.Fatalf("%s: no %q", tc.reason, tc.old)
		}
		changed, problems := plan.ReadFleet("f.yaml", []byte(strings.Replace(fleet, tc.old, tc.new, 1)))
		if v1alpha1.Blocked(problems) {
			t.Fatal(problems)
		}
		if same := changed.FleetDigest == base.FleetDigest; same != tc.same {
			t.Errorf("%s: the digest is the same: %t, want %t", tc.reason, same, tc.same)
		}
	}
}

// TestSecretDigestsStayOut writes a Secret's digest, which is made with a key, and looks for it.
func TestSecretDigestsStayOut(t *testing.T) {
	ref := v1alpha1.ObjectReference{APIVersion: "v1", Kind: "Secret", Namespace: "shop", Name: "key"}
	snap := plan.Snapshot{Members: map[string]plan.Member{"a": {Known: true, Objects: plan.NewInventory([]*plan.Held{
		{ObjectReference: ref, Digest: "v1:canary-7f3a", OwnedFields: "canary-7f3a", UID: "canary-7f3a"},
	})}}}
	if data := write(t, snap); bytes.Contains(data, []byte("canary")) || !bytes.Contains(data, []byte("Secret")) {
		t.Errorf("%s", data)
	}
}

// TestWriteFleetIsItsInverse reads what is written, for snapshots with everything a fleet file holds.
func TestWriteFleetIsItsInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawSnapshot(t)
		data, err := plan.WriteFleet(want)
		if err != nil {
			t.Fatal(err)
		}
		got, problems := plan.ReadFleet("f.yaml", data)
		for _, p := range problems {
			if p.ID != plan.UnknownCluster {
				t.Fatalf("%v in\n%s", p, data)
			}
		}
		want.FleetDigest = want.Digest()
		if diff := cmp.Diff(want, got, sameSnapshot()); diff != "" {
			t.Fatalf("%s\nin\n%s", diff, data)
		}
		again, err := plan.WriteFleet(got)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("written again (%v):\n%s\ninstead of\n%s", err, again, data)
		}
	})
}

func drawSnapshot(t *rapid.T) plan.Snapshot {
	s := plan.Snapshot{
		Members: map[string]plan.Member{}, Facts: map[string]v1alpha1.ClusterFactsSpec{}, AppliedRevisions: map[string]string{},
	}
	if rapid.Bool().Draw(t, "taken") {
		s.TakenAt = drawTime(t)
	}
	s.Now = s.TakenAt
	if s.Now.IsZero() {
		s.Now = time.Unix(0, 0).UTC()
	}
	s.Config.SetDefaults()
	if rapid.Bool().Draw(t, "configured") {
		seconds := int64(rapid.IntRange(0, 1000).Draw(t, "seconds"))
		s.Config.Failover.DrainSeconds = &seconds
		s.Config.Plan.Severity = map[string]string{"restart": "off"}
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9]{0,3}`), 0, 4, rapid.ID).Draw(t, "clusters") {
		cluster := drawCluster(t, name)
		s.Clusters = append(s.Clusters, cluster)
		member := plan.Member{Reachable: true, Known: rapid.Bool().Draw(t, "known")}
		for _, c := range cluster.Status.Conditions {
			member.Reachable = c.Status != metav1.ConditionUnknown
		}
		if member.Known {
			member.Objects = drawHeld(t)
		}
		s.Members[name] = member
		if rapid.Bool().Draw(t, "facts") {
			s.Facts[name] = v1alpha1.ClusterFactsSpec{Cluster: name, Version: "v1.34.1", StorageClasses: []string{}, IngressClasses: []string{"a"}}
		}
	}
	slices.SortFunc(s.Clusters, func(a, b v1alpha1.Cluster) int { return strings.Compare(a.Name, b.Name) })
	for i, kind := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"Deployment", "Job", "StatefulSet"}), 0, 3, rapid.ID).Draw(t, "placements") {
		s.Placements = append(s.Placements, drawPlacement(t, kind, i))
	}
	slices.SortFunc(s.Placements, func(a, b v1alpha1.Placement) int { return a.Spec.Workload.Compare(b.Spec.Workload) })
	return s
}

// drawTime draws a time of whole seconds, as files hold them.
func drawTime(t *rapid.T) time.Time {
	return time.Unix(int64(rapid.IntRange(1, 4_000_000_000).Draw(t, "time")), 0).UTC()
}

func drawCluster(t *rapid.T, name string) v1alpha1.Cluster {
	text := rapid.SampledFrom([]string{"", "a", "yes", "1", "1.10", "null", "~", "a: b", "#x", "é€😀", "- a", "'", "\"", "0x1f", "\t", "a\nb"})
	c := v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"example.com/note": text.Draw(t, "note")}},
		Spec:       v1alpha1.ClusterSpec{Provider: text.Draw(t, "provider"), Region: text.Draw(t, "region")},
	}
	if rapid.Bool().Draw(t, "ready") {
		c.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Message: text.Draw(t, "message"), LastTransitionTime: metav1.Time{Time: drawTime(t)},
			Status: rapid.SampledFrom([]metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown}).Draw(t, "status"),
		}}
	}
	if rapid.Bool().Draw(t, "tainted") {
		added := metav1.Time{Time: drawTime(t)}
		c.Spec.Taints = []corev1.Taint{{Key: "a/b", Effect: corev1.TaintEffectNoExecute, TimeAdded: &added}}
	}
	if rapid.Bool().Draw(t, "capacity") {
		c.Status.ResourceSummary = &v1alpha1.ResourceSummary{Allocatable: corev1.ResourceList{
			"cpu": *resource.NewMilliQuantity(int64(rapid.IntRange(0, 1_000_000).Draw(t, "cpu")), resource.DecimalSI),
		}}
	}
	return c
}

func drawHeld(t *rapid.T) plan.Inventory {
	var held []*plan.Held
	for i := range rapid.IntRange(0, 4).Draw(t, "objects") {
		ref := v1alpha1.ObjectReference{
			APIVersion: rapid.SampledFrom([]string{"v1", "apps/v1"}).Draw(t, "version"), Kind: "Thing",
			Namespace: rapid.SampledFrom([]string{"", "shop", "yes"}).Draw(t, "namespace"), Name: fmt.Sprintf("n%d", i),
		}
		h := plan.Held{
			ObjectReference: ref, Digest: "v1:0", Source: "a/b", Terminating: rapid.Bool().Draw(t, "terminating"),
			Health: rapid.SampledFrom([]v1alpha1.Health{"", v1alpha1.HealthHealthy, v1alpha1.HealthDegraded}).Draw(t, "health"),
		}
		h.SetDetail(func(d *plan.HeldDetails) {
			d.Prune = rapid.SampledFrom([]string{"", "confirm", "disabled"}).Draw(t, "prune")
		})
		if rapid.Bool().Draw(t, "share") {
			share := int64(rapid.IntRange(0, 1000).Draw(t, "replicas"))
			h.Replicas = &share
			h.SetDetail(func(d *plan.HeldDetails) { d.Drift, d.PausedUntil = []string{"/spec/a~1b", "/\u2028<"}, drawTime(t) })
		}
		held = append(held, &h)
	}
	return plan.NewInventory(held)
}

func drawPlacement(t *rapid.T, kind string, i int) v1alpha1.Placement {
	share := int64(rapid.IntRange(0, 1<<40).Draw(t, "share"))
	p := v1alpha1.Placement{
		ObjectMeta: metav1.ObjectMeta{Namespace: "armada-system", Name: fmt.Sprintf("p%d", i)},
		Spec: v1alpha1.PlacementSpec{
			Workload: v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: kind, Namespace: "shop", Name: "1"},
			Clusters: []v1alpha1.TargetCluster{{Name: "a"}, {Name: "b", Replicas: &share}}, Inputs: "v1:1e3",
		},
	}
	if rapid.Bool().Draw(t, "timers") {
		at := metav1.Time{Time: drawTime(t)}
		p.Spec.Evicting, p.Spec.RebalanceAt = []string{"c"}, &at
		p.Status = v1alpha1.PlacementStatus{
			Moves: []v1alpha1.MoveStatus{{From: "c", Since: at, HealthySince: &at}}, Debts: []v1alpha1.ClusterTime{{Cluster: "d", Time: at}},
			UnhealthySince: []v1alpha1.ClusterTime{{Cluster: "b", Time: at}}, FailbackSince: &at,
			Worst: []v1alpha1.ClusterMessage{{Cluster: "b", Message: "it \"hangs\""}},
		}
	}
	return p
}

// FuzzReadFleet reads anything: nothing may panic, and a snapshot without blockers can be written and
// read again as the same.
func FuzzReadFleet(f *testing.F) {
	f.Add([]byte(fleet))
	f.Add([]byte(strings.ReplaceAll(fleet, "Inventory", "Placement")))
	f.Add([]byte("apiVersion: armada-sync.io/v1alpha1\nkind: Config\nspec: {failover: {drainSeconds: 5}, plan: {severity: {a: off}}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		snap, problems := plan.ReadFleet("f.yaml", data)
		if v1alpha1.Blocked(problems) {
			return
		}
		written := write(t, snap)
		again, problems := plan.ReadFleet("f.yaml", written)
		if v1alpha1.Blocked(problems) {
			t.Fatalf("%v in\n%s", problems, written)
		}
		if diff := cmp.Diff(snap, again, sameSnapshot()); diff != "" {
			t.Fatalf("%s\nin\n%s", diff, written)
		}
	})
}

// BenchmarkReadFleet reads 50 clusters with 1,000 objects each.
func BenchmarkReadFleet(b *testing.B) {
	snap := plan.Snapshot{Members: map[string]plan.Member{}}
	for i := range 50 {
		name := fmt.Sprintf("c%d", i)
		snap.Clusters = append(snap.Clusters, v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name}})
		held := make([]*plan.Held, 0, 1000)
		for j := range 1000 {
			ref := v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("web-%d", j)}
			held = append(held, &plan.Held{ObjectReference: ref, Source: "armada-system/shop", Digest: "v1:" + strings.Repeat("0", 64), Health: v1alpha1.HealthHealthy})
		}
		snap.Members[name] = plan.Member{Known: true, Reachable: true, Objects: plan.NewInventory(held)}
	}
	data := write(b, snap)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := plan.ReadFleet("f.yaml", data); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}
