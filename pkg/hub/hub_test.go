package hub_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// placed starts a replica and waits for the shop on both members.
func (w *world) placed() *replica {
	w.t.Helper()
	w.push(shop(8))
	r := w.start("one")
	w.eventually(time.Minute, w.hasShares(map[string]int32{"a": 4, "b": 4}))
	return r
}

// web is the Placement of the Deployment web.
func (w *world) web() v1alpha1.Placement {
	w.t.Helper()
	list, err := w.on("Placement", "armada-system").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range list.Items {
		if strings.HasPrefix(o.GetName(), "deployment-web-") {
			return read[v1alpha1.Placement](w, "Placement", "armada-system", o.GetName())
		}
	}
	return v1alpha1.Placement{}
}

// condition tells whether a condition has a status; "" stands for an absent one.
func condition(conditions []metav1.Condition, name, want string) string {
	got := ""
	c := meta.FindStatusCondition(conditions, name)
	if c != nil {
		got = string(c.Status)
	}
	if got != want {
		return fmt.Sprintf("condition %s is %q, want %q: %+v", name, got, want, c)
	}
	return ""
}

func TestTheHubSaysWhereEverythingIsAndHowItIsDoing(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.placed()
		w.eventually(30*time.Second, func() string { return condition(w.web().Status.Conditions, "Ready", "True") })
		p := w.web()
		if p.Status.Summary == nil || p.Status.Summary.Workload != "Deployment shop/web" || p.Status.Summary.Clusters != "a=4, b=4" {
			t.Errorf("the summary is %+v", p.Status.Summary)
		}
		if p.Status.ObservedGeneration != p.Generation {
			t.Errorf("the status is of generation %d, the object of %d", p.Status.ObservedGeneration, p.Generation)
		}
		w.eventually(30*time.Second, func() string {
			s := read[v1alpha1.GitSource](w, "GitSource", "armada-system", "shop")
			if s.Status.Revision == "" || s.Status.Revision != s.Status.AppliedRevision {
				return fmt.Sprintf("the revisions are %q and %q", s.Status.Revision, s.Status.AppliedRevision)
			}
			return condition(s.Status.Conditions, "Ready", "True") + condition(s.Status.Conditions, "Reconciling", "")
		})
		w.eventually(30*time.Second, func() string {
			c := read[v1alpha1.Cluster](w, "Cluster", "", "a")
			if c.Status.KubernetesVersion == "" || len(c.Status.APIEnablements) == 0 {
				return fmt.Sprintf("the status is %+v", c.Status)
			}
			return condition(c.Status.Conditions, "Ready", "True")
		})
		w.halt(r)
	})
}

// At rest, and after a restart, nothing is written: neither to members nor to the hub, the lease apart.
func TestNothingIsWrittenAtRestAndAfterARestart(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.placed()
		w.pass(2 * time.Minute)
		w.reset()
		w.pass(5 * time.Minute)
		if got := w.writes("hub", "a", "b"); len(got) > 0 {
			t.Errorf("%d writes at rest: %q", len(got), got)
		}
		w.halt(r)
		w.reset()
		r = w.start("one")
		w.pass(2 * time.Minute)
		if got := w.writes("hub", "a", "b"); len(got) > 0 {
			t.Errorf("%d writes after a restart: %q", len(got), got)
		}
		if !r.Leading() {
			t.Error("the replica does not lead")
		}
		w.halt(r)
	})
}

func TestSecretsAreRotatedWithoutARestart(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.placed()
		w.pass(time.Minute)
		w.reset()
		w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: armada-system}, stringData: {kubeconfig: bad}}`)
		w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: git, namespace: armada-system}, stringData: {username: me, password: bad}}`)
		w.eventually(2*time.Minute, func() string {
			c := read[v1alpha1.Cluster](w, "Cluster", "", "a")
			return condition(c.Status.Conditions, "Ready", "Unknown")
		})
		w.eventually(2*time.Minute, func() string {
			s := read[v1alpha1.GitSource](w, "GitSource", "armada-system", "shop")
			return condition(s.Status.Conditions, "Ready", "False")
		})
		w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: armada-system}, stringData: {kubeconfig: good}}`)
		w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: git, namespace: armada-system}, stringData: {username: me, password: good}}`)
		w.eventually(2*time.Minute, func() string {
			c := read[v1alpha1.Cluster](w, "Cluster", "", "a")
			s := read[v1alpha1.GitSource](w, "GitSource", "armada-system", "shop")
			return condition(c.Status.Conditions, "Ready", "True") + condition(s.Status.Conditions, "Ready", "True")
		})
		if got := w.writes("a", "b"); len(got) > 0 {
			t.Errorf("members were written to: %q", got)
		}
		w.push(shop(10))
		w.eventually(time.Minute, w.hasShares(map[string]int32{"a": 5, "b": 5}))
		w.halt(r)
	})
}

func TestBadObjectsConcernNobodyElse(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.placed()
		w.pass(10 * time.Second)
		w.apply(`{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: nowhere}, spec: {secretRef: {name: missing}}}`)
		w.apply(`{apiVersion: armada-sync.io/v1alpha1, kind: GitSource, metadata: {name: bad, namespace: armada-system},
  spec: {url: "https://git.example.com/shop.git", ref: {branch: "a..b"}}}`)
		w.apply(`{apiVersion: armada-sync.io/v1alpha1, kind: GitSource, metadata: {name: secretless, namespace: armada-system},
  spec: {url: "https://git.example.com/other.git", secretRef: {name: missing}}}`)
		w.eventually(time.Minute, func() string {
			c := read[v1alpha1.Cluster](w, "Cluster", "", "nowhere")
			ready := meta.FindStatusCondition(c.Status.Conditions, "Ready")
			if ready == nil || !strings.Contains(ready.Message, `"armada-system/missing"`) {
				return fmt.Sprintf("the cluster without a Secret says %+v", ready)
			}
			s := read[v1alpha1.GitSource](w, "GitSource", "armada-system", "bad")
			ready = meta.FindStatusCondition(s.Status.Conditions, "Ready")
			if ready == nil || !strings.Contains(ready.Message, "spec.ref.branch") {
				return fmt.Sprintf("the invalid source says %+v", ready)
			}
			s2 := read[v1alpha1.GitSource](w, "GitSource", "armada-system", "secretless")
			ready = meta.FindStatusCondition(s2.Status.Conditions, "Ready")
			if ready == nil || !strings.Contains(ready.Message, `"armada-system/missing"`) {
				return fmt.Sprintf("the source without a Secret says %+v", ready)
			}
			return condition(s.Status.Conditions, "Stalled", "True")
		})
		w.push(shop(10))
		w.eventually(time.Minute, w.hasShares(map[string]int32{"a": 5, "b": 5}))
		w.eventually(10*time.Second, func() string {
			events, err := w.on("Event", "default").List(w.t.Context(), metav1.ListOptions{})
			if err != nil || len(events.Items) != 1 {
				return fmt.Sprintf("the cluster that cannot be reached is the subject of other than one event: %v, %v", events, err)
			}
			return ""
		})
		w.halt(r)
	})
}

// A GitSource with deletionPolicy Prune takes its objects along before it goes.
func TestADeletedSourceTakesItsObjectsAlong(t *testing.T) {
	inWorld(t, func(w *world) {
		w.apply(`{apiVersion: armada-sync.io/v1alpha1, kind: GitSource, metadata: {name: shop, namespace: armada-system},
  spec: {url: "https://git.example.com/shop.git", interval: 1s, secretRef: {name: git}, deletionPolicy: Prune}}`)
		r := w.placed()
		w.pass(10 * time.Second)
		if err := w.on("GitSource", "armada-system").Delete(w.t.Context(), "shop", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.eventually(time.Minute, w.hasShares(map[string]int32{}))
		w.eventually(time.Minute, func() string {
			if s := read[v1alpha1.GitSource](w, "GitSource", "armada-system", "shop"); s.Name != "" {
				return fmt.Sprintf("the source is still there, with %q", s.Finalizers)
			}
			return ""
		})
		w.halt(r)
	})
}

// One replica leads. When it ends it hands over at once; when it is cut off it stops writing before the
// other begins.
func TestHandOver(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.placed()
		two := w.start("two")
		w.pass(time.Minute)
		if !one.Leading() || two.Leading() || !two.Ready() {
			t.Fatalf("one leads: %v, two leads: %v, two is ready: %v", one.Leading(), two.Leading(), two.Ready())
		}
		w.halt(one)
		took := w.eventually(20*time.Second, leads(two))
		t.Logf("after a graceful end the other leads within %s", took)
		if took > 5*time.Second {
			t.Errorf("a graceful hand-over took %s", took)
		}
		w.reset()
		three := w.start("three")
		w.pass(30 * time.Second)
		two.away.Store(true)
		w.push(shop(10))
		took = w.eventually(20*time.Second, leads(three))
		w.eventually(20*time.Second-took, w.hasShares(map[string]int32{"a": 5, "b": 5}))
		if err := <-two.ended; err == nil || !strings.Contains(err.Error(), "lease was lost") {
			t.Errorf("the replica without a lease ended with %v", err)
		}
		w.pass(time.Minute)
		count := map[string]int{}
		for _, cluster := range []string{"a", "b"} {
			for _, path := range w.writes(cluster) {
				count[cluster+" "+path]++
			}
		}
		for path, n := range count {
			if n != 1 {
				t.Errorf("%s was sent %d times", path, n)
			}
		}
		w.halt(three)
	})
}

func leads(r *replica) func() string {
	return func() string {
		if !r.Leading() || !r.Ready() {
			return "the other replica does not lead"
		}
		return ""
	}
}
