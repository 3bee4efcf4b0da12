//go:build e2e

package bench

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/e2e/push"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// simulationDir makes a process of this test the simulation: clusters that serve until its input ends, with
// their kubeconfigs in the folder.
const simulationDir = "ARMADA_SYNC_SIMULATION_DIR"

var clusters = flag.Int("clusters", 1000, "how many clusters TestFleetOfAThousand simulates")

// TestMain is the simulation where it is asked to be, and the tests otherwise.
func TestMain(m *testing.M) {
	if dir := os.Getenv(simulationDir); dir != "" {
		if err := simulate(dir, os.Getenv("ARMADA_SYNC_SIMULATION_CLUSTERS")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	m.Run()
}

func simulate(dir, count string) error {
	var n int
	if _, err := fmt.Sscan(count, &n); err != nil {
		return err
	}
	f, err := simfleet.New(simfleet.Options{N: n, TraceLimit: -1})
	if err != nil {
		return err
	}
	defer f.Close()
	for _, c := range f.Clusters() {
		if err := c.WriteKubeconfig(filepath.Join(dir, c.Name())); err != nil {
			return err
		}
	}
	fmt.Println("serving")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// TestFleetOfAThousand pushes 50 objects for each of 1,000 simulated clusters. The simulation is a process of its
// own and so is the controller, so that the system tells their processor time and memory apart; they talk
// over loopback sockets with TLS, as over a network.
func TestFleetOfAThousand(t *testing.T) {
	kubeconfigs, simulation := startSimulation(t)
	c := push.NewFor(t, kubeconfigs, push.Options{Patient: true})
	policy := push.EverythingEverywhere("v1 ConfigMap", "v1 Service", "apps/v1 Deployment")
	objects := fifty()
	first := firsts(objects)
	c.Push(map[string][]byte{"policy.yaml": policy, "namespace.yaml": []byte("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n"),
		"first.yaml": push.Stream(t, first[:1])})
	c.Start()
	c.AwaitReady()
	c.AwaitApplied()
	bare := live(c)
	// One of each kind comes before the rest, so that what watching a kind takes is told apart from its objects.
	c.Push(map[string][]byte{"first.yaml": push.Stream(t, first)})
	c.AwaitApplied()
	atRest := live(c)
	before, simulationBefore := c.Process(), push.UsageOf(simulation)

	began := time.Now()
	c.Push(map[string][]byte{"objects.yaml": push.Stream(t, objects)})
	c.AwaitApplied()
	took := time.Since(began)
	after, simulationAfter := c.Process(), push.UsageOf(simulation)
	grown := live(c) - atRest
	kinds, pairs := float64((len(first)-1)*len(kubeconfigs)), float64(50*len(kubeconfigs))

	r := newReport(t)
	name := fmt.Sprintf("%d clusters × 50 objects, push → done", len(kubeconfigs))
	r.add(name, "≤ 45 s", "%.1f s", took.Seconds())
	r.add("… processor time of the controller", "", "%.1f s", (after.CPU - before.CPU).Seconds())
	r.add("… processor time of the simulation", "told apart", "%.1f s", (simulationAfter.CPU - simulationBefore.CPU).Seconds())
	r.add("… memory of the controller", "≤ 3 GB", "at most %d MB (the simulation: %d MB)", after.Peak>>20, simulationAfter.Peak>>20)
	r.add("… live heap for each object and cluster", "≤ 1 KB", "%.0f B (%.1f MB in all)", grown/pairs, grown/(1<<20))
	r.add("… live heap for each further kind watched on a cluster", "", "%.1f KB", (atRest-bare)/kinds/(1<<10))
	r.add("… both, for each object and cluster", "", "%.0f B", (grown+atRest-bare)/pairs)
	c.Stop()
}

// live is the heap of the controller that is in use, as of its last collection: at the default GOGC the next one
// begins at twice that. The runtime collects at least every two minutes.
func live(c *push.Controller) float64 {
	cycles := c.Metric("go_memstats_last_gc_time_seconds")
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); <-time.After(time.Second) {
		// One that comes this late is not of the work any more.
		if now := c.Metric("go_memstats_last_gc_time_seconds"); now > cycles+100 {
			break
		}
	}
	return c.Metric("go_memstats_next_gc_bytes") / 2
}

// startSimulation returns the kubeconfig files of simulated clusters, and the id of their process.
func startSimulation(t *testing.T) (kubeconfigs map[string]string, pid int) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), simulationDir+"="+dir, fmt.Sprint("ARMADA_SYNC_SIMULATION_CLUSTERS=", *clusters))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // It is ended with its input.
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the simulation says %q: %v", line, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfigs = map[string]string{}
	for _, f := range files {
		kubeconfigs[f.Name()] = filepath.Join(dir, f.Name())
	}
	return kubeconfigs, cmd.Process.Pid
}

// firsts are copies, by other names, of the first object of each kind.
func firsts(objects []*unstructured.Unstructured) (out []*unstructured.Unstructured) {
	seen := map[string]bool{}
	for _, o := range objects {
		if !seen[o.GetKind()] {
			seen[o.GetKind()] = true
			first := o.DeepCopy()
			first.SetName("first-" + o.GetName())
			out = append(out, first)
		}
	}
	return out
}

// fifty are 45 ConfigMaps and Services and 5 Deployments.
func fifty() (out []*unstructured.Unstructured) {
	count := map[string]int{"ConfigMap": 40, "Service": 5, "Deployment": 5}
	for _, o := range objects("shop") {
		if count[o.GetKind()] > 0 {
			count[o.GetKind()]--
			out = append(out, o)
		}
	}
	return out
}
