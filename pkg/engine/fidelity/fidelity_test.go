package fidelity

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

var (
	firstSeed = flag.Uint64("seed", 1, "first seed of the commits")
	seeds     = flag.Int("seeds", 12, "how many seeds are played")
	commits   = flag.Int("commits", 4, "how many commits are previewed for each seed")
	verbose   = flag.Bool("log", false, "print the controller's log of a failing run")
)

// TestMain takes away the pause that client-go makes after an error: it counts from the last error in the
// process, which inside a synctest bubble may lie in the future.
func TestMain(m *testing.M) {
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1]
	klog.SetLogger(logr.Discard())
	// Worlds are short-lived and small: collecting less often makes more of them in the same time.
	debug.SetGCPercent(400)
	flag.Parse()
	os.Exit(m.Run())
}

// tally counts what was compared.
type tally struct {
	previews, creates, configures, prunes, fields, secrets, shares, still int
}

func (t *tally) add(o tally) {
	t.previews += o.previews
	t.creates += o.creates
	t.configures += o.configures
	t.prunes += o.prunes
	t.fields += o.fields
	t.secrets += o.secrets
	t.shares += o.shares
	t.still += o.still
}

func (t tally) String() string {
	return fmt.Sprintf("%d previews: %d objects created, %d changed, %d removed, %d left alone; %d fields with both values (%d of Secrets), %d shares",
		t.previews, t.creates, t.configures, t.prunes, t.still, t.fields, t.secrets, t.shares)
}

// distortion changes a report before it is compared, to see that a lie is found; nil: none.
type distortion func(*plan.Report) bool

// play plays one seed and returns how the previews differ from what happened.
func play(t *testing.T, seed uint64, distort distortion) (counted tally, differences []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed, standard())
		defer func() {
			w.close()
			synctest.Wait()
		}()
		r := random(seed, "commits")
		repository := newRepository(random(seed, "repository"), w.clusters)
		w.push(contents{"repo": repository.files()})
		if why := w.rest(); why != "" {
			differences = append(differences, "the first commit: "+why)
			return
		}
		for n := range *commits {
			said := repository.change(r, w.clusters)
			found := w.hold(contents{"repo": repository.files()}, distort, &counted)
			for _, d := range found {
				differences = append(differences, fmt.Sprintf("commit %d (%s): %s", n+1, strings.Join(said, ", "), d))
			}
			if len(found) > 0 {
				if *verbose {
					t.Log(w.log)
				}
				return
			}
		}
	})
	return counted, differences
}

// TestFidelity plays seeds: what a preview says is what the controller does.
func TestFidelity(t *testing.T) {
	var mu sync.Mutex
	var all tally
	began := time.Now()
	t.Run("seeds", func(t *testing.T) {
		for i := range *seeds {
			seed := *firstSeed + uint64(i)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				counted, differences := play(t, seed, nil)
				mu.Lock()
				all.add(counted)
				mu.Unlock()
				if len(differences) > 0 {
					t.Errorf("preview and controller differ:\n  %s\nAgain: go test ./pkg/engine/fidelity -run TestFidelity -args --seed %d --seeds 1 --log",
						strings.Join(differences[:min(len(differences), 12)], "\n  "), seed)
				}
			})
		}
	})
	t.Logf("%d seeds from %d, %s, %s", *seeds, *firstSeed, all, time.Since(began).Round(time.Second))
	if all.creates == 0 || all.configures == 0 || all.prunes == 0 || all.fields == 0 || all.secrets == 0 || all.shares == 0 {
		t.Errorf("something was never compared: %s", all)
	}
}
