//go:build e2e

package failover_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/armada-sync/armada-sync/e2e/await"
	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/e2e/gitrepo"
)

// The timings of the configuration. The bound is what users are promised: the new copy is healthy so long
// after the cluster went away.
const (
	threshold  = 3 * time.Second
	toleration = 4 * time.Second
	bound      = threshold + toleration + 5*time.Second
	drain      = 2 * time.Second
	// turn is between two workloads that leave the same cluster.
	turn = time.Second
	// precision is that of recorded times.
	precision = time.Second
	// patience bounds what takes some seconds on a machine with other things to do.
	patience = 90 * time.Second
)

const configuration = `apiVersion: armada-sync.io/v1alpha1
kind: Config
metadata: {name: failover}
spec:
  health: {failureThreshold: 3s, recoveryThreshold: 2s, probeInterval: 500ms, probeTimeout: 1s}
  failover: {implicitTolerationSeconds: 4, drainSeconds: 2, evictionsPerSecond: "1", vetoReadyFor: 5s}
  metrics: {bindAddress: "127.0.0.1:0"}
---
apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: shop}
spec: {url: "file://%s/shop", interval: 500ms}
`

// moving are the workloads that leave eu-1 and return to it, in the order in which they take turns.
var moving = []string{"api", "web"}

// world is what the steps share.
type world struct {
	// log outlives the steps.
	log        *testing.T
	run        *controller
	members    []*member
	eu, us, ap *member
	// onUS are the Deployments of us-1 that have nothing to do with the outages of eu-1.
	onUS  []string
	table []row
}

// row is one outage in the table at the end.
type row struct {
	name              string
	found, api, web   time.Duration
	ready, written    time.Duration
	failback, drained time.Duration
}

func TestFailover(t *testing.T) {
	w := newWorld(t)
	began := time.Now()
	step := func(name string, play func(*testing.T)) {
		t.Run(name, func(t *testing.T) {
			from := time.Now()
			play(t)
			t.Logf("%s: seen, after %s", name, seconds(time.Since(from)))
		})
	}
	step("the API server is killed", func(t *testing.T) {
		w.outage(t, outage{
			away: func(t *testing.T) { check(t, w.eu.StopAPIServer(t.Context(), syscall.SIGKILL)) },
			back: func(t *testing.T) {
				check(t, w.eu.StartAPIServer(t.Context()))
				check(t, w.eu.RestartControllers(t.Context()))
			},
			during: func(t *testing.T) { w.run.cli(t, 0, "failover", "status", "--state", w.run.path("state")) },
			after:  w.sickCopy,
			reads:  true,
			more:   []string{"patch deployments/worker"},
		})
		w.onUS = append(w.onUS, "worker")
	})
	step("the API server is paused", func(t *testing.T) {
		w.outage(t, outage{
			away: func(t *testing.T) { check(t, w.eu.Pause()) },
			back: func(t *testing.T) { check(t, w.eu.Resume()) },
		})
	})
	step("the cluster is cut off", func(t *testing.T) {
		w.outage(t, outage{
			away:   func(*testing.T) { w.eu.proxy.cut() },
			back:   func(*testing.T) { w.eu.proxy.heal() },
			during: w.explain,
			reads:  true,
		})
	})
	step("all clusters are cut off at once", w.allAway)
	step("a cluster is drained", w.drained)
	t.Logf("five steps in %s\n%s", seconds(time.Since(began)), w.tableText())
}

// newWorld starts the members and a controller, and waits until everything is in place.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{log: t, run: &controller{dir: t.TempDir(), binary: fleet.CommandT(t, "../..", "./cmd/armada-sync")}, onUS: []string{"front"}}
	f := fleet.StartT(t, fleet.Options{
		Names: []string{"eu-1", "us-1", "ap-1"}, WithControllers: true, WithNodes: 2,
		Users: []fleet.User{{Name: user, Groups: []string{"system:masters"}}}, Progress: t.Output(),
	})
	config := fmt.Sprintf(configuration, w.run.dir)
	for _, c := range f.Clusters {
		m := newMember(t, c, w.run.dir)
		w.members = append(w.members, m)
		config += fmt.Sprintf("---\napiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: %s}\nspec: {kubeconfigFile: %q}\n", m.Name, m.kubeconfig)
	}
	w.eu, w.us, w.ap = w.members[0], w.members[1], w.members[2]
	check(t, os.WriteFile(w.run.path("fleet.yaml"), []byte(config), 0o600))
	check(t, os.CopyFS(w.run.path("shop"), os.DirFS("testdata/shop")))
	gitrepo.Git(t, w.run.path("shop"), "init", "-q", "-b", "main", ".")
	w.commit(t, "Everything")
	w.run.start(t)
	await.That(t, patience, "first rollout", func() error {
		return errors.Join(w.eu.runs("api", "web", "worker"), w.us.runs("front"), w.ap.runs("front"))
	})
	return w
}

// commit commits everything to the work tree, which the controller follows.
func (w *world) commit(t *testing.T, message string) {
	t.Helper()
	gitrepo.Git(t, w.run.path("shop"), "add", "-A")
	gitrepo.Git(t, w.run.path("shop"), "commit", "-q", "-m", message)
}

// outage is a way in which eu-1 goes away and comes back.
type outage struct {
	away, back func(*testing.T)
	// during looks at the fleet when the copies on us-1 are healthy; after when eu-1 is back.
	during, after func(*testing.T)
	// reads tells that the connections do not outlive the outage, so that what eu-1 holds is read anew. Those
	// of a paused server do, and its watches tell what was missed.
	reads bool
	// more is what this outage writes on us-1 beside the copies of moving.
	more []string
}

// outage takes eu-1 away, wants its workloads on us-1 in time and nothing else touched, lets it come back
// and wants the workloads back there.
func (w *world) outage(t *testing.T, o outage) {
	w.settle(t)
	marks, untouched, pinned := w.marks(t), w.untouched(t), w.eu.statefulSets(t)
	if len(pinned) != 1 {
		t.Fatalf("eu-1 has the StatefulSets %v, want one", pinned)
	}
	r := row{name: t.Name()[strings.Index(t.Name(), "/")+1:]}
	stop := time.Now()
	o.away(t)
	w.awaitReady(t, w.eu, 0)
	r.found = time.Since(stop)
	await.That(t, patience, "healthy copies on us-1", func() error { return w.us.runs(moving...) })
	r.api, r.web = w.us.healthySince("api", time.Now()).Sub(stop), w.us.healthySince("web", time.Now()).Sub(stop)
	if r.api > bound || r.web > bound {
		t.Errorf("healthy elsewhere after %s and %s, want at most %s", r.api, r.web, bound)
	}
	t.Logf("found out after %s; api is healthy on us-1 after %s, web after %s (at most %s)", seconds(r.found), seconds(r.api), seconds(r.web), bound)
	w.tookTurns(t, w.us, marks[w.us])
	awaitProbes(t, w.us, w.ap)
	want := append([]string{"patch deployments/api", "patch deployments/web", "patch services/web"}, o.more...)
	slices.Sort(want)
	if diff := cmp.Diff(want, w.us.writes(t, marks[w.us])); diff != "" {
		t.Errorf("the audit log of us-1 has other writes than the copies (-want +got):\n%s", diff)
	}
	if got := w.ap.writes(t, marks[w.ap]); len(got) > 0 {
		t.Errorf("the audit log of ap-1 has writes: %q", got)
	}
	if diff := cmp.Diff(untouched, w.untouched(t), cmp.AllowUnexported(print{})); diff != "" {
		t.Errorf("other objects are not what they were:\n%s", diff)
	}
	if n := len(w.us.statefulSets(t)) + len(w.ap.statefulSets(t)); n > 0 {
		t.Errorf("the pinned StatefulSet has %d copies elsewhere", n)
	}
	t.Logf("audit logs: us-1 %q, ap-1 none; all other objects have the resource version they had; the StatefulSet is nowhere else", want)
	if o.during != nil {
		o.during(t)
	}
	w.comesBack(t, o, &r)
	if diff := cmp.Diff(pinned, w.eu.statefulSets(t), cmp.AllowUnexported(print{})); diff != "" {
		t.Errorf("the pinned StatefulSet is not what it was:\n%s", diff)
	}
	w.table = append(w.table, r)
}

// comesBack lets eu-1 come back and follows the workloads until they are there again and nowhere else.
func (w *world) comesBack(t *testing.T, o outage, r *row) {
	t.Helper()
	onEU, onUS, onAP := w.eu.mark(t), w.us.mark(t), w.ap.mark(t)
	back := time.Now()
	o.back(t)
	w.awaitReady(t, w.eu, 1)
	r.ready = time.Since(back)
	await.That(t, patience, "failback", func() error { return errors.Join(w.eu.runs(moving...), w.us.lacks(moving...)) })
	r.drained = time.Since(back)
	for _, name := range moving {
		r.failback = max(r.failback, w.eu.healthySince(name, time.Now()).Sub(back))
	}
	r.written = w.tookTurns(t, w.eu, onEU).Sub(back)
	t.Logf("back: ready after %s, the workloads are written there again after %s, healthy after %s and gone from us-1 after %s",
		seconds(r.ready), seconds(r.written), seconds(r.failback), seconds(r.drained))
	if o.after != nil {
		o.after(t)
	}
	if o.reads {
		w.comparedFirst(t, onEU)
	}
	w.neverWithout(t, w.eu, onEU, w.us, 0)
	w.neverWithout(t, w.us, onUS, w.eu, drain-precision)
	if got := w.ap.writes(t, onAP); len(got) > 0 {
		t.Errorf("the audit log of ap-1 has writes: %q", got)
	}
}

// sickCopy looks at the worker, whose copy on us-1 does not become healthy: the old one stays until it does.
func (w *world) sickCopy(t *testing.T) {
	awaitProbes(t, w.eu)
	if err := w.eu.runs("worker"); err != nil {
		t.Errorf("the last healthy copy was removed: %v", err)
	}
	out := w.run.cli(t, 0, "failover", "status", "--state", w.run.path("state"))
	if !strings.Contains(out, "Deployment shop/worker on eu-1: the old copy stays for now") {
		t.Error("failover status does not say that the old copy stays")
	}
	check(t, os.Remove(w.run.path("shop/override.yaml")))
	w.commit(t, "Let the worker be healthy on us-1")
	await.That(t, patience, "removal of the old copy of the worker", func() error {
		return errors.Join(w.us.runs("worker"), w.eu.lacks("worker"))
	})
	t.Log("the old copy of the worker stayed as long as the new one was sick, and went when it was healthy")
}

// tookTurns checks that workloads did not arrive on a member all at once: by its audit log, from when each
// was last written anew. It returns when the last came.
func (w *world) tookTurns(t *testing.T, m *member, mark int) (last time.Time) {
	t.Helper()
	first := map[string]time.Time{}
	for _, e := range m.requests(t, mark) {
		switch {
		case e.Resource != "deployments" || e.Code >= 300 || !e.Writes():
		case e.Verb == "delete":
			delete(first, e.Name)
		case first[e.Name].IsZero():
			first[e.Name] = e.Received
		}
	}
	if first["api"].IsZero() || first["web"].IsZero() {
		t.Errorf("the audit log of %s does not tell when api and web came: %v", m.Name, first)
		return time.Time{}
	}
	between := first["web"].Sub(first["api"])
	if between < turn-200*time.Millisecond {
		t.Errorf("web came to %s %s after api, want turns of %s", m.Name, between, turn)
	}
	t.Logf("they took turns: web came to %s %s after api", m.Name, seconds(between))
	return first["web"]
}

// comparedFirst checks that eu-1 was looked at before anything was removed there.
func (w *world) comparedFirst(t *testing.T, mark int) {
	t.Helper()
	looked := false
	for _, e := range w.eu.requests(t, mark) {
		if e.Resource != "deployments" {
			continue
		}
		looked = looked || e.Verb == "list" || e.Verb == "watch" || e.Verb == "get"
		if e.Verb == "delete" {
			if !looked {
				t.Errorf("%s was deleted on eu-1 before its Deployments were read", e.Name)
			}
			return
		}
	}
}

// neverWithout checks that a Deployment was deleted on a member only while the other had been healthy for
// some time.
func (w *world) neverWithout(t *testing.T, m *member, mark int, other *member, least time.Duration) {
	t.Helper()
	for _, e := range m.requests(t, mark) {
		if e.Resource != "deployments" || e.Verb != "delete" || e.Code >= 300 {
			continue
		}
		since := other.healthySince(e.Name, e.Received)
		if since.IsZero() || e.Received.Sub(since) < least {
			t.Errorf("%s was deleted on %s while its copy on %s was healthy since %v", e.Name, m.Name, other.Name, since)
			continue
		}
		t.Logf("%s was deleted on %s when its copy on %s had been healthy for %s", e.Name, m.Name, other.Name, seconds(e.Received.Sub(since)))
	}
}

// explain looks at a workload during the failover.
func (w *world) explain(t *testing.T) {
	w.run.cli(t, 0, "failover", "status", "--state", w.run.path("state"))
	running := w.run.cli(t, 0, "explain", "deployment/web", "-n", "shop", "--state", w.run.path("state"))
	for _, want := range []string{"FAILOVER\n  eu-1  cannot be reached since ", "the workload left it at ", "  us-1  takes over from eu-1 since "} {
		if !strings.Contains(running, want) {
			t.Errorf("the running controller does not explain %q", want)
		}
	}
	if out := w.run.cli(t, 0, "explain", "deployment/web", "-n", "shop", "--state", w.run.path("state"), "-o", "json"); !strings.Contains(out, `"owes": `) {
		t.Error("the explanation in JSON does not tell what eu-1 owes")
	}
	w.run.cli(t, 0, "fleet", "snapshot", "--config", w.run.path("fleet.yaml"), "--state", w.run.path("state"), "-o", w.run.path("snapshot.yaml"))
	for _, more := range [][]string{nil, {"--cluster", "eu-1"}} {
		args := append([]string{"explain", "deployment/web", "-n", "shop", "--repo", "shop=" + w.run.path("shop"), "--fleet", w.run.path("snapshot.yaml")}, more...)
		out := w.run.cli(t, 0, args...)
		for _, want := range []string{"us-1", "armada-sync.io/unreachable"} {
			if !strings.Contains(out, want) {
				t.Errorf("explain does not name %s", want)
			}
		}
	}
}

// allAway cuts all members off at once, for longer than they are tolerated: nothing leaves any of them.
func (w *world) allAway(t *testing.T) {
	w.settle(t)
	marks := w.marks(t)
	before := w.decisions(t)
	line := w.run.Mark()
	for _, m := range w.members {
		m.proxy.cut()
	}
	for _, m := range w.members {
		w.awaitReady(t, m, 0)
	}
	lost := time.Now()
	t.Log(w.run.AwaitLine(t, line, patience, "problem", "more likely a fault of this controller's network"))
	w.awaitMetric(t, `armada_sync_failover_stopped{reason="veto"}`, 1)
	t.Log(`armada_sync_failover_stopped{reason="veto"} 1`)
	if out := w.run.cli(t, 0, "failover", "status", "--state", w.run.path("state")); !strings.Contains(out, "evictions are stopped: 3 of 3 clusters became unreachable") {
		t.Error("failover status does not name the veto")
	}
	// Nothing is to happen in this time, so there is nothing to wait for but the time.
	<-time.After(time.Until(lost.Add(toleration + 2*time.Second)))
	if diff := cmp.Diff(before, w.decisions(t)); diff != "" {
		t.Errorf("decisions have changed:\n%s", diff)
	}
	for _, m := range w.members {
		m.proxy.heal()
	}
	for _, m := range w.members {
		w.awaitReady(t, m, 1)
	}
	w.awaitMetric(t, `armada_sync_failover_stopped{reason="veto"}`, 0)
	w.settle(t)
	for _, m := range w.members {
		deletes := slices.DeleteFunc(m.writes(t, marks[m]), func(s string) bool { return !strings.HasPrefix(s, "delete") })
		t.Logf("audit log of %s since all were cut off: %d deletes, writes %q", m.Name, len(deletes), m.writes(t, marks[m]))
		if got := m.writes(t, marks[m]); len(got) > 0 {
			t.Errorf("the audit log of %s has writes: %q", m.Name, got)
		}
	}
}

// decisions are where everything is, as the state folder says.
func (w *world) decisions(t *testing.T) []string {
	t.Helper()
	out, code := w.run.ask(t, "fleet", "snapshot", "--config", w.run.path("fleet.yaml"), "--state", w.run.path("state"), "-o", w.run.path("decisions.yaml"))
	if code != 0 && code != 4 {
		t.Fatalf("fleet snapshot: exit code %d\n%s", code, out)
	}
	content, err := os.ReadFile(w.run.path("decisions.yaml"))
	check(t, err)
	var all []string
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		if _, spec, found := strings.Cut(document, "\nspec:"); found && strings.Contains(document, "kind: Placement\n") {
			spec, _, _ = strings.Cut(spec, "\nstatus:")
			all = append(all, spec)
		}
	}
	if len(all) < 4 {
		t.Fatalf("%d decisions in\n%s", len(all), content)
	}
	return all
}

// drained empties eu-1, which the StatefulSet does not leave, and ap-1, which can be emptied.
func (w *world) drained(t *testing.T) {
	w.settle(t)
	state, marks, untouched := w.run.path("state"), w.marks(t), w.untouched(t)
	out := w.run.cli(t, 0, "drain", "eu-1", "--dry-run", "--state", state)
	for _, want := range []string{"Deployment shop/api", "Deployment shop/web", "StatefulSet shop/db"} {
		if !strings.Contains(out, want) {
			t.Errorf("the dry run does not name %s", want)
		}
	}
	w.run.cli(t, 0, "drain", "eu-1", "--dry-run", "--state", state, "-o", "json")
	if got := append(w.eu.writes(t, marks[w.eu]), w.us.writes(t, marks[w.us])...); len(got) > 0 {
		t.Errorf("a dry run wrote %q", got)
	}
	out = w.run.cli(t, 1, "drain", "eu-1", "--max-moves", "1", "--timeout", "30s", "--state", state)
	if !strings.Contains(out, "stays: StatefulSet shop/db") {
		t.Error("the drain does not name what stays")
	}
	check(t, errors.Join(w.us.runs(moving...), w.eu.lacks(moving...)))
	w.neverWithout(t, w.eu, marks[w.eu], w.us, drain-precision)
	w.tookTurns(t, w.us, marks[w.us])
	w.oneAtATime(t, marks)
	if diff := cmp.Diff(untouched, w.untouched(t), cmp.AllowUnexported(print{})); diff != "" {
		t.Errorf("other objects are not what they were:\n%s", diff)
	}
	w.run.cli(t, 0, "uncordon", "eu-1", "--state", state)
	w.run.cli(t, 0, "drain", "ap-1", "--timeout", "30s", "--state", state)
	check(t, w.ap.lacks("front"))
	w.run.cli(t, 0, "uncordon", "ap-1", "--state", state)
	await.That(t, patience, "return after uncordon", func() error {
		return errors.Join(w.eu.runs(moving...), w.ap.runs("front"), w.us.lacks(moving...))
	})
	t.Log("after uncordon front is on ap-1 again, and api and web fell back to eu-1")
}

// oneAtATime checks what --max-moves 1 asked for: the second workload came to us-1 after the first had
// left eu-1.
func (w *world) oneAtATime(t *testing.T, marks map[*member]int) {
	t.Helper()
	var left, came time.Time
	for _, e := range w.eu.requests(t, marks[w.eu]) {
		if e.Verb == "delete" && e.Resource == "deployments" && e.Name == "api" {
			left = e.Received
		}
	}
	for _, e := range w.us.requests(t, marks[w.us]) {
		if e.Verb == "patch" && e.Resource == "deployments" && e.Name == "web" && came.IsZero() {
			came = e.Received
		}
	}
	if left.IsZero() || came.Before(left) {
		t.Errorf("web came to us-1 at %s, api left eu-1 at %s: more than one was on the move", came, left)
		return
	}
	t.Logf("one at a time: web came to us-1 %s after api had left eu-1", seconds(came.Sub(left)))
}

// settle waits until everything is where it belongs and the controller had time to want anything else.
func (w *world) settle(t *testing.T) {
	t.Helper()
	await.That(t, patience, "quiet fleet", func() error {
		return errors.Join(w.eu.runs(moving...), w.us.runs(w.onUS...), w.ap.runs("front"), w.us.lacks(moving...))
	})
	awaitProbes(t, w.members...)
}

func (w *world) marks(t *testing.T) map[*member]int {
	t.Helper()
	marks := map[*member]int{}
	for _, m := range w.members {
		marks[m] = m.mark(t)
	}
	return marks
}

// untouched identifies what the outages of eu-1 have nothing to do with.
func (w *world) untouched(t *testing.T) map[string]map[string]print {
	t.Helper()
	return map[string]map[string]print{"us-1": w.us.prints(t, w.onUS...), "ap-1": w.ap.prints(t, "front")}
}

func (w *world) awaitReady(t *testing.T, m *member, value float64) {
	t.Helper()
	w.awaitMetric(t, fmt.Sprintf("armada_sync_cluster_ready{cluster=%q}", m.Name), value)
}

func (w *world) awaitMetric(t *testing.T, name string, value float64) {
	t.Helper()
	await.That(t, patience, fmt.Sprint(name, " ", value), func() error {
		samples, err := w.run.Metrics(t.Context())
		if got, there := samples[name]; err == nil && (!there || got != value) {
			err = fmt.Errorf("it is %v (there: %t)", got, there)
		}
		return err
	})
}

func (w *world) tableText() string {
	var b strings.Builder
	out := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "outage of eu-1\tfound out\tapi healthy on us-1\tweb healthy on us-1\tat most\tback: ready\twritten on eu-1\thealthy on eu-1\tgone from us-1")
	for _, r := range w.table {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", strings.ReplaceAll(r.name, "_", " "),
			seconds(r.found), seconds(r.api), seconds(r.web), bound, seconds(r.ready), seconds(r.written), seconds(r.failback), seconds(r.drained))
	}
	_ = out.Flush() // Into memory.
	return b.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
