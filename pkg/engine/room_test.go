package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

// TestRoom states that no more clusters than there is room for are at it at once, that one which is slow
// does not keep the others waiting for long, and that one which gives up takes no place along.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &room{free: 1}
		began := time.Now()
		leave, err := r.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.enter(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a second one enters a room for one: %v", err)
		}
		second, err := r.enter(t.Context())
		if err != nil || time.Since(began) != roomHeld {
			t.Fatalf("a slow one was waited for %s, %v; want %s", time.Since(began), err, roomHeld)
		}
		leave() // Its place is another's by now.
		if r.free != 0 {
			t.Fatalf("%d places are free, of one that is taken", r.free)
		}
		second()
		second()
		if r.free != 1 {
			t.Fatalf("%d places are free after everyone left; want 1", r.free)
		}
	})
}

// TestWaitingSiteTakesTheLatestPlan states that a cluster whose turn comes late carries out what was planned
// last, once, and nothing where nothing is to be done any more.
func TestWaitingSiteTakesTheLatestPlan(t *testing.T) {
	s := &site{work: make(chan struct{}, 1)}
	planned := func(name string) task {
		return func() (plan.ClusterPlan, bool) { return plan.ClusterPlan{Cluster: name}, true }
	}
	s.offer(planned("first"))
	s.offer(planned("second"))
	<-s.work
	if p, ok := s.take(); !ok || p.Cluster != "second" {
		t.Errorf("took %q, %t; want the second plan", p.Cluster, ok)
	}
	s.offer(planned("third"))
	if len(s.work) > 0 {
		t.Error("a plan was offered while one is carried out")
	}
	s.state.update(func(st *siteState) bool { st.busy = false; return true })
	s.offer(planned("fourth"))
	s.offer(nil)
	<-s.work
	if p, ok := s.take(); ok || s.state.get().busy {
		t.Errorf("took %q, which is not to be done any more", p.Cluster)
	}
}
