//go:build e2e

package hub_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/armada-sync/armada-sync/e2e/await"
	"github.com/armada-sync/armada-sync/e2e/child"
	"github.com/armada-sync/armada-sync/e2e/fleet"
)

// manyMaps is large enough for a kill to fall into the middle of an apply.
const manyMaps = 200

// TestAFleetRunFromAHub plays the life of a hub in order: each step stands on the one before.
func TestAFleetRunFromAHub(t *testing.T) {
	all := t
	w := newWorld(t)
	w.push(t, "blue", 5, 4)
	one := w.start(t, t, "one")
	var two *child.Controller

	t.Run("a push reaches the members, and the hub says so", func(t *testing.T) {
		took := await.That(t, time.Minute, "blue everywhere", w.arrived(t, "blue", 5))
		t.Logf("after %s", took)
		await.That(t, 30*time.Second, "the source is ready", w.condition(t, "GitSource", "team", "shop", "True"))
		await.That(t, 30*time.Second, "the cluster is ready", w.condition(t, "Cluster", "", "eu-1", "True"))
		await.That(t, 30*time.Second, "columns of placements", func() error {
			for name, row := range w.hub.table(t, "placements") {
				if strings.HasPrefix(name, "configmap-settings-0-") && row["Ready"] == "True" && row["Clusters"] == "eu-1, us-1" && row["Workload"] == "ConfigMap shop/settings-0" {
					return nil
				}
			}
			return errorsOf(w.hub.table(t, "placements"))
		})
		t.Logf("kubectl get clusters: %v", w.hub.table(t, "clusters"))
		t.Logf("kubectl get gitsources -A: %v", w.hub.table(t, "gitsources"))
		t.Logf("kubectl get placements -A: %v", w.hub.table(t, "placements"))
	})

	t.Run("nothing is written at rest and after a restart", func(t *testing.T) {
		w.quiet(t)
		since := time.Now()
		if code := one.End(t, syscall.SIGTERM); code != 0 {
			t.Errorf("the exit code is %d", code)
		}
		one = w.start(t, all, "one-again")
		began := time.Now()
		one.AwaitLine(t, 0, 20*time.Second, "leading")
		t.Logf("it leads after %s", time.Since(began))
		w.quiet(t)
		for _, c := range w.fleet.Clusters {
			for _, e := range writesOf(t, c, since) {
				t.Errorf("%s: %s %s", c.Name, e.Verb, e.URI)
			}
		}
	})

	t.Run("Secrets are rotated without a restart", func(t *testing.T) {
		w.password.Store("second")
		await.That(t, 30*time.Second, "the source fails", w.condition(t, "GitSource", "team", "shop", "False"))
		w.object(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: git, namespace: team}\nstringData: {password: second}")
		await.That(t, 40*time.Second, "the source is ready again", w.condition(t, "GitSource", "team", "shop", "True"))
		since := time.Now()
		kubeconfig, err := os.ReadFile(w.members[0].Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		w.object(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: eu-1, namespace: armada-system}\nstringData: {kubeconfig: "+quoted(kubeconfig)+"}")
		await.That(t, 30*time.Second, "the member is asked with the new account", func() error {
			return w.lastWatchIsNotOf(t, w.members[0], user, since)
		})
		back, err := os.ReadFile(w.members[0].UserKubeconfig(user))
		if err != nil {
			t.Fatal(err)
		}
		w.object(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: eu-1, namespace: armada-system}\nstringData: {kubeconfig: "+quoted(back)+"}")
		w.push(t, "green", 5, 4)
		await.That(t, time.Minute, "green everywhere", w.arrived(t, "green", 5))
	})

	t.Run("the leader is killed in the middle of an apply", func(t *testing.T) {
		two = w.start(t, all, "two")
		two.AwaitLine(t, 0, 20*time.Second, "standing by")
		w.quiet(t)
		since := time.Now()
		w.push(t, "red", manyMaps, 6)
		await.That(t, 30*time.Second, "the apply has begun", func() error {
			if n := len(writesOf(t, w.members[0], since)); n < 3 {
				return errorsOf(n)
			}
			return nil
		})
		killed := time.Now()
		one.End(t, syscall.SIGKILL)
		two.AwaitLine(t, 0, 20*time.Second, "leading")
		t.Logf("killed in the middle, the other leads after %s", time.Since(killed))
		await.That(t, 90*time.Second, "red everywhere", w.arrived(t, "red", manyMaps))
		await.That(t, 30*time.Second, "the source is ready", w.condition(t, "GitSource", "team", "shop", "True"))
		w.countDoubles(t, since, killed)
	})

	t.Run("the leader ends and hands over at once", func(t *testing.T) {
		three := w.start(t, all, "three")
		three.AwaitLine(t, 0, 20*time.Second, "standing by")
		if code := two.End(t, syscall.SIGTERM); code != 0 {
			t.Errorf("the exit code is %d", code)
		}
		ended := time.Now()
		three.AwaitLine(t, 0, 10*time.Second, "leading")
		since := time.Now()
		t.Logf("handed over within %s", since.Sub(ended))
		w.push(t, "violet", manyMaps, 6)
		await.That(t, 90*time.Second, "violet everywhere", w.arrived(t, "violet", manyMaps))
		w.budget(t, since)
	})
	w.budget(t, time.Time{})
}

// quiet waits until the controller has written nothing anywhere for fifteen seconds.
func (w *world) quiet(t *testing.T) {
	t.Helper()
	began := time.Now()
	await.That(t, 2*time.Minute, "nobody writes", func() error {
		if time.Since(began) < 15*time.Second {
			return errorsOf("too little time")
		}
		since := time.Now().Add(-15 * time.Second)
		for _, c := range w.fleet.Clusters {
			if found := writesOf(t, c, since); len(found) > 0 {
				return errorsOf(found[len(found)-1].URI)
			}
		}
		return nil
	})
}

// countDoubles fails where an object was written twice with success: one write of each is due. What was under
// way when the leader was killed was answered to nobody, and the API server notes an error of its own;
// whether it took effect shows in that everything has arrived.
func (w *world) countDoubles(t *testing.T, since, killed time.Time) {
	t.Helper()
	for _, m := range w.members {
		count := map[string]int{}
		before, after, cut := 0, 0, 0
		for _, e := range writesOf(t, m, since) {
			if e.Resource == "secrets" {
				continue // An ApplySet's parent is written when its lists change.
			}
			if e.Code >= 300 {
				cut++
				continue
			}
			count[e.Resource+" "+e.Name]++
			if e.Received.Before(killed) {
				before++
			} else {
				after++
			}
		}
		t.Logf("%s: %d objects were written before the kill and %d after it, %d requests had no good answer", m.Name, before, after, cut)
		for name, n := range count {
			if n != 1 {
				t.Errorf("%s: %s was written %d times", m.Name, name, n)
			}
		}
		if len(count)+cut < manyMaps {
			t.Errorf("%s: %d objects were written and %d requests cut off, want at least %d", m.Name, len(count), cut, manyMaps)
		}
	}
}

// budget fails where the hub got more than fifty writes within a second.
func (w *world) budget(t *testing.T, since time.Time) {
	t.Helper()
	events, err := w.hub.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Time
	for _, e := range events {
		if e.User == user && e.Writes() && e.Received.After(since) {
			times = append(times, e.Received)
		}
	}
	worst := 0
	for i := range times {
		n := 0
		for j := i; j < len(times) && times[j].Sub(times[i]) < 5*time.Second && times[j].Sub(times[i]) > -5*time.Second; j++ {
			n++
		}
		worst = max(worst, n)
	}
	t.Logf("the hub got %d writes, at most %d within five seconds", len(times), worst)
	if worst > 5*50 {
		t.Errorf("the hub got %d writes within five seconds", worst)
	}
}

// lastWatchIsNotOf tells whether watches on a cluster since a time are someone else's than a user's.
func (w *world) lastWatchIsNotOf(t *testing.T, c *fleet.Cluster, who string, since time.Time) error {
	t.Helper()
	events, err := c.AuditEvents()
	if err != nil {
		return err
	}
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if e.Received.After(since) && e.Verb == "watch" && e.User != who && strings.HasPrefix(e.UserAgent, "armada-sync") {
			return nil
		}
	}
	return errorsOf("no watch of another account")
}
