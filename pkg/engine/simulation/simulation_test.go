package simulation

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
)

var (
	firstSeed = flag.Uint64("seed", 1, "first seed of the simulation")
	runs      = flag.Int("runs", 40, "how many seeds are played")
	replays   = flag.Int("replays", 4, "how many seeds are played twice")
	verbose   = flag.Bool("log", false, "print the controllers' log of a failing run")
)

// TestMain takes away the pause that client-go makes after an error. It counts from the last error in the
// process, which inside a synctest bubble may lie in the future: the pause would be years long.
func TestMain(m *testing.M) {
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1]
	klog.SetLogger(logr.Discard())
	// Worlds are short-lived and small: collecting less often makes a third more of them in the same time.
	debug.SetGCPercent(400)
	flag.Parse()
	os.Exit(m.Run())
}

// restTime is how long a fleet may take to come to rest when all trouble has ended.
const restTime = 30 * time.Minute

// outcome is how a run ended.
type outcome struct {
	broken []string
	trace  string
	log    string
	// lasted is how much simulated time went by.
	lasted time.Duration
	// counts are what happened and was judged.
	counts map[string]int
}

// play plays one scenario in a bubble of its own.
func play(t *testing.T, s scenario, fault planted) (out outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t, s.seed, fault)
		defer func() {
			w.close()
			synctest.Wait()
		}()
		w.play(s)
		w.calm()
		err := w.rest(restTime)
		if err != nil {
			w.violate("%v: %s", err, w.unfinished())
		} else {
			w.judge()
			out.trace = w.trace()
		}
		out.broken, out.log, out.lasted, out.counts = w.violations(), w.log.String(), time.Since(began), w.tally.counts
	})
	return out
}

// unfinished says what is still to be done.
func (w *world) unfinished() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.latest == nil {
		return "there was no plan"
	}
	var parts []string
	for _, c := range w.latest.Plan.Clusters {
		for _, o := range c.Objects {
			if o.Action != "unchanged" {
				parts = append(parts, fmt.Sprintf("%s: %s %s (gate %q)", c.Name, o.Action, o.ObjectReference, o.Gate))
			}
		}
	}
	for _, p := range w.latest.Problems {
		parts = append(parts, fmt.Sprintf("%s %s %s: %s", p.Cluster, p.Object, p.ID, p.Reason))
	}
	return strings.Join(parts[:min(len(parts), 8)], "; ")
}

// TestSimulation plays seeds, in batches that keep the list of tests short. One that fails is shrunk, and
// printed as a scenario to keep.
func TestSimulation(t *testing.T) {
	var all tally
	began := time.Now()
	batch := min(max(*runs/100, 1), 100)
	t.Run("seeds", func(t *testing.T) {
		for first := 0; first < *runs; first += batch {
			seeds := min(batch, *runs-first)
			from := *firstSeed + uint64(first)
			t.Run(fmt.Sprintf("%d-%d", from, from+uint64(seeds)-1), func(t *testing.T) {
				t.Parallel()
				for i := range seeds {
					s := generate(from + uint64(i))
					out := play(t, s, "")
					all.take(s, out)
					if len(out.broken) > 0 {
						fail(t, s, out, "")
					}
				}
			})
		}
	})
	t.Logf("seeds %d to %d in %s:\n%s", *firstSeed, *firstSeed+uint64(*runs)-1, time.Since(began).Round(time.Second), &all)
}

func fail(t *testing.T, s scenario, out outcome, fault planted) {
	t.Helper()
	if *verbose {
		t.Log(out.log)
	}
	small := shrink(t, s, fault)
	t.Errorf("broken promises:\n  %s\n\nthe shortest scenario that breaks one, for testdata/scenarios:\n\n%s\nAll events: go tool task simulate -- --seed %d --runs 1",
		strings.Join(out.broken[:min(len(out.broken), 10)], "\n  "), small, s.seed)
}

// shrink leaves out events as long as a promise is still broken: halves first, then single ones.
func shrink(t *testing.T, s scenario, fault planted) scenario {
	t.Helper()
	for size := len(s.events) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(s.events); {
			fewer := scenario{seed: s.seed, events: slices.Delete(slices.Clone(s.events), at, at+size)}
			if len(play(t, fewer, fault).broken) > 0 {
				s = fewer
				continue
			}
			at += size
		}
	}
	return s
}

// TestReplay plays seeds twice: nothing but the seed decides how a run ends.
func TestReplay(t *testing.T) {
	t.Parallel()
	for i := range *replays {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			s := generate(*firstSeed + uint64(i))
			first, second := play(t, s, ""), play(t, s, "")
			if diff := cmp.Diff(strings.Split(first.trace, "\n"), strings.Split(second.trace, "\n")); diff != "" {
				t.Errorf("the same seed ended in two states:\n%s", diff)
			}
		})
	}
}

// TestPlantedFaults makes sure that the simulation can find something: each fault in the engine must break
// the promise that forbids it, within a bounded number of seeds.
func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	const seeds = 60
	for _, planted := range plantedFaults {
		t.Run(string(planted.fault), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seeds) {
				out := play(t, generate(seed+1), planted.fault)
				for _, b := range out.broken {
					if strings.Contains(b, planted.says) {
						t.Logf("found by seed %d: %s", seed+1, b)
						return
					}
				}
			}
			t.Errorf("not found in %d runs", seeds)
		})
	}
}

// TestScenarios plays what once failed, and what is worth keeping.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := fs.ReadFile(os.DirFS("."), file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parseScenario(string(data))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if out := play(t, s, ""); len(out.broken) > 0 {
				t.Errorf("broken promises:\n  %s", strings.Join(out.broken, "\n  "))
			}
		})
	}
}

// TestScenarioFiles reads back what is printed.
func TestScenarioFiles(t *testing.T) {
	want := generate(7)
	got, err := parseScenario(want.String())
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != want.String() {
		t.Errorf("read back:\n%s\nwant:\n%s", got, want)
	}
	if n := len(want.events); n < minEvents {
		t.Errorf("%d events, want at least %d", n, minEvents)
	}
	l := newLayout(7)
	// Two namespaces go along with the applications.
	if len(l.clusters) < minClusters || len(l.apps)+2 < minObjects {
		t.Errorf("%d clusters and %d applications", len(l.clusters), len(l.apps))
	}
}
