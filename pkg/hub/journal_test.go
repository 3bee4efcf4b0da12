package hub

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

func decided(i, clusters int, replicas bool) v1alpha1.Placement {
	p := v1alpha1.Placement{}
	p.APIVersion, p.Kind, p.Namespace, p.Name = v1alpha1.APIVersion, v1alpha1.KindPlacement, "team", fmt.Sprintf("deployment-web-%05d", i)
	p.Spec.Workload = v1alpha1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("web-%05d", i)}
	p.Spec.Inputs = fmt.Sprintf("sha256:%064x", i*7919)
	for j := range clusters {
		c := v1alpha1.TargetCluster{Name: fmt.Sprintf("production-eu-west-1-%04d", (i*17+j)%1000)}
		if share := int64(i+j) % 10; replicas && share > 0 {
			c.Replicas = &share
		}
		p.Spec.Clusters = append(p.Spec.Clusters, c)
	}
	return p
}

// What is read from a page is what was written to it.
func TestAPageHoldsDecisions(t *testing.T) {
	moving := decided(3, 2, true)
	moving.Status.Moves = []v1alpha1.MoveStatus{{From: "a", To: []string{"b"}, Since: metav1.NewTime(time.Unix(1700000000, 0))}}
	moving.Spec.Evicting, moving.Spec.AffinityGroup = []string{"a"}, "first"
	want := []v1alpha1.Placement{decided(1, 3, true), decided(2, 3, false), moving, decided(4, 0, false)}
	packed, err := packPage(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := unpackPage(packed)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, written (-) and read (+):\n%s", err, diff)
	}
}

// A full page of the largest sort stays below what a Secret may hold.
func TestAFullPageFitsIntoASecret(t *testing.T) {
	for _, c := range []struct {
		reason             string
		decisions, targets int
	}{
		{"as many decisions as a page takes, on five clusters each", pageDecisions, 5},
		{"as many shares as a page takes, on a thousand clusters each", pageShares / 1000, 1000},
	} {
		var list []v1alpha1.Placement
		for i := range c.decisions {
			list = append(list, decided(i, c.targets, true))
		}
		packed, err := packPage(list)
		if err != nil || len(packed) > 512<<10 {
			t.Errorf("%s: %d bytes, %v", c.reason, len(packed), err)
		}
		t.Logf("%s: %d KiB", c.reason, len(packed)>>10)
	}
}

// Whatever a page holds, reading it does not panic.
func FuzzUnpackPage(f *testing.F) {
	packed, err := packPage([]v1alpha1.Placement{decided(1, 3, true)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := unpackPage(data)
		if err != nil {
			return
		}
		if _, err := packPage(list); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

// A decision stays on its page until the page is empty, so that no two pages say something of one workload.
func TestPagesAreArranged(t *testing.T) {
	l := newLedger()
	var first []v1alpha1.Placement
	for i := range pageDecisions + 1 {
		first = append(first, decided(i, 1, true))
	}
	pages := l.arrange(first)
	if len(pages) != 2 || len(pages[0]) != pageDecisions || len(pages[1]) != 1 {
		t.Fatalf("%d pages of %d and %d decisions", len(pages), len(pages[0]), len(pages[1]))
	}
	for number, list := range pages {
		l.holds(number, list)
	}
	again := decided(0, 2, true)
	pages = l.arrange([]v1alpha1.Placement{again, decided(9999, 1, true)})
	if len(pages) != 2 || len(pages[0]) != pageDecisions || len(pages[2]) != 1 || len(pages[0][0].Spec.Clusters) != 2 {
		t.Errorf("another decision about a workload goes elsewhere, or a full page is used: %d pages", len(pages))
	}
	for name := range l.open {
		delete(l.open, name)
	}
	if done := l.finished(); len(done) != 2 {
		t.Errorf("the pages %v are finished, want both", done)
	}
	l.holds(0, nil)
	if pages = l.arrange([]v1alpha1.Placement{again}); len(pages[0]) != 1 {
		t.Error("an empty page is not used again")
	}
}
