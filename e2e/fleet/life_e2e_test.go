//go:build e2e

package fleet_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/armada-sync/armada-sync/e2e/await"
	"github.com/armada-sync/armada-sync/e2e/fleet"
)

func TestUpLeavesAFleetThatDownEnds(t *testing.T) {
	opts := fleet.Options{
		Names:           []string{"one", "two"},
		WithControllers: true,
		WithNodes:       1,
		Dir:             filepath.Join(t.TempDir(), ".fleet"),
		Progress:        t.Output(),
	}
	state, err := fleet.Up(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended; Down has a bound of its own.
		if err := fleet.Down(context.WithoutCancel(t.Context()), opts.Dir, t.Output()); err != nil {
			t.Error(err)
		}
	})
	clients := make(map[string]*kubernetes.Clientset)
	for _, c := range state.Clusters {
		if want := filepath.Join(opts.Dir, c.Name+".kubeconfig"); c.Kubeconfig != want {
			t.Errorf("the kubeconfig file is %q, want %q", c.Kubeconfig, want)
		}
		config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		if clients[c.Name], err = kubernetes.NewForConfig(config); err != nil {
			t.Fatal(err)
		}
		nodes, err := clients[c.Name].CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil || len(nodes.Items) != 1 {
			t.Fatalf("cluster %q has nodes %v, %v", c.Name, nodes, err)
		}
	}
	again, err := fleet.Up(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if again.Clusters[0].Processes[0] != state.Clusters[0].Processes[0] {
		t.Error("a second up starts the fleet again")
	}
	other := opts
	other.Names = []string{"one"}
	if _, err := fleet.Up(t.Context(), other); err == nil || !strings.Contains(err.Error(), "fleet down") {
		t.Errorf("an up of other clusters in the same folder gives %v", err)
	}
	if err := fleet.Down(t.Context(), opts.Dir, t.Output()); err != nil {
		t.Fatal(err)
	}
	for name, client := range clients {
		if _, err := client.ServerVersion(); err == nil {
			t.Errorf("cluster %q answers after down", name)
		}
	}
	if left, err := os.ReadDir(opts.Dir); err != nil || len(left) != 1 {
		t.Errorf("down leaves %v, %v; want the lock alone", left, err)
	}
}

func TestUpClearsAwayWhatAKilledUpLeft(t *testing.T) {
	opts := fleet.Options{
		Names:    []string{"one"},
		Dir:      filepath.Join(t.TempDir(), ".fleet"),
		Progress: t.Output(),
	}
	t.Cleanup(func() {
		if err := fleet.Down(context.WithoutCancel(t.Context()), opts.Dir, t.Output()); err != nil {
			t.Error(err)
		}
	})
	before, err := fleet.Up(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	// The state of an up that was killed just before its end.
	path := filepath.Join(opts.Dir, "fleet.json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unfinished := strings.Replace(string(content), `"complete": true`, `"complete": false`, 1)
	if unfinished == string(content) {
		t.Fatalf("the state of a running fleet is not complete: %s", content)
	}
	if err := os.WriteFile(path, []byte(unfinished), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := fleet.Up(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range before.Clusters[0].Processes {
		if syscall.Kill(old.PID, 0) == nil {
			t.Errorf("%s of the unfinished fleet still runs", old.Part)
		}
	}
	if after.Clusters[0].URL == "" || !after.Complete {
		t.Errorf("the new fleet is %+v", after)
	}
}

// holdVariable makes TestHoldAFleet start one and keep it, as the child of
// TestAFleetEndsWithItsProcess.
const holdVariable = "FLEET_TEST_HOLD"

func TestHoldAFleet(t *testing.T) {
	dir := os.Getenv(holdVariable)
	if dir == "" {
		return
	}
	f := fleet.StartT(t, fleet.Options{Names: []string{"held"}, Dir: dir})
	os.Stdout.WriteString("up " + f.Clusters[0].Kubeconfig + "\n")
	<-t.Context().Done()
}

func TestAFleetEndsWithItsProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // The others have no parent-death signal; the package comment says so.
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHoldAFleet$")
	child.Env = append(os.Environ(), holdVariable+"="+t.TempDir())
	child.Stderr = t.Output()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "up ") {
		t.Fatalf("the child says %q, %v", line, err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", strings.TrimSpace(strings.TrimPrefix(line, "up ")))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.ServerVersion(); err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await.That(t, 10*time.Second, "the end of the API server", func() error {
		if _, err := client.ServerVersion(); err == nil {
			return os.ErrExist
		}
		return nil
	})
	// Reaped only now: the servers must not live until somebody waits.
	if err := child.Wait(); err == nil {
		t.Error("a killed process ends well")
	}
}
