package hub_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/hub"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// survey looks at the fleet with the rights of somebody.
func (w *world) survey(members bool) hub.Surveyed {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	found, err := hub.Survey(ctx, hub.SurveyOptions{
		RESTConfig: w.fleet.Cluster("hub").RESTConfig(), Namespace: "armada-system", Members: members,
		Connect: func(c v1alpha1.Cluster, kubeconfig []byte) (*rest.Config, error) {
			if string(kubeconfig) != "good" {
				return nil, errors.New("the kubeconfig is not the right one")
			}
			return w.fleet.Cluster(c.Name).RESTConfig(), nil
		},
		Log: slog.New(slog.NewTextHandler(w.log, nil)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// fleetFile is a snapshot as a file, without the time at which it was taken.
func fleetFile(t *testing.T, s plan.Snapshot) string {
	t.Helper()
	s.TakenAt, s.AppliedRevisions = time.Time{}, nil
	data, err := plan.WriteFleet(plan.Committable(s))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestASurveyIsWhatTheControllerPlansOn(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(shop(6))
		r := w.start("one")
		w.eventually(time.Minute, w.hasShares(map[string]int32{"a": 3, "b": 3}))
		w.pass(time.Minute)
		w.reset()
		found := w.survey(true)
		if writes := w.writes("hub", "a", "b"); len(writes) > 0 {
			t.Errorf("the survey wrote: %v", writes)
		}
		if len(found.Silent) > 0 || len(found.Unusable) > 0 {
			t.Errorf("silent %v, unusable %v, want none", found.Silent, found.Unusable)
		}
		// A change of the commit makes the controller plan once more, on what the survey saw.
		w.apply(`{apiVersion: armada-sync.io/v1alpha1, kind: Cluster, metadata: {name: a, labels: {tier: gold}}, spec: {region: region-a, secretRef: {name: a}}}`)
		w.pass(5 * time.Second)
		again := w.survey(true)
		cycle := <-r.cycles
		if diff := cmp.Diff(fleetFile(t, cycle.Snapshot), fleetFile(t, again.Snapshot)); diff != "" {
			t.Errorf("what the controller planned on (-), what the survey found (+):\n%s", diff)
		}
		if got := again.Snapshot.AppliedRevisions["armada-system/shop"]; got == "" {
			t.Error("the snapshot does not say which revision is applied")
		}
		if text := fleetFile(t, found.Snapshot); !strings.Contains(text, "kind: Inventory") || strings.Contains(text, "secretRef") {
			t.Errorf("want inventories, and nothing about how clusters are reached:\n%s", text)
		}
	})
}

func TestASurveyNamesWhoIsSilent(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(shop(6))
		w.start("one")
		w.eventually(time.Minute, w.hasShares(map[string]int32{"a": 3, "b": 3}))
		w.pass(30 * time.Second)
		w.fleet.Cluster("b").Stop()
		found := w.survey(true)
		if diff := cmp.Diff([]string{"b"}, found.Silent); diff != "" {
			t.Errorf("silent clusters (-want +got):\n%s", diff)
		}
		if !found.Snapshot.Members["a"].Known || found.Snapshot.Members["b"].Known {
			t.Errorf("members: %+v", found.Snapshot.Members)
		}
		if n := len(found.Snapshot.Clusters); n != 2 {
			t.Errorf("%d clusters, want both", n)
		}
		w.fleet.Cluster("b").Start()
	})
}

func TestASurveyOfTheHubAloneAsksNoMember(t *testing.T) {
	inWorld(t, func(w *world) {
		w.push(shop(6))
		w.start("one")
		w.eventually(time.Minute, w.hasShares(map[string]int32{"a": 3, "b": 3}))
		w.pass(30 * time.Second)
		found := w.survey(false)
		snap := found.Snapshot
		if len(snap.Members) > 0 {
			t.Errorf("inventories of %d members, want none", len(snap.Members))
		}
		if len(snap.Placements) != 1 || len(snap.Placements[0].Spec.Clusters) != 2 {
			t.Errorf("placements: %+v", snap.Placements)
		}
		if snap.Facts["a"].Version == "" || snap.Clusters[0].Status.KubernetesVersion == "" {
			t.Errorf("the version of a is not known: %+v", snap.Clusters[0])
		}
	})
}
