package main

import (
	"bytes"
	"os/exec"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// fleetCommands are what scripts have beside testscript's own commands:
//
//	clusters NAME...              starts simulated clusters and writes NAME.kubeconfig of each
//	eventually REGEXP CMD ARG...  runs a command until it succeeds and its stdout matches, for at most a minute
func fleetCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){"clusters": startClusters, "eventually": eventually, "edit": editObject}
}

func startClusters(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: clusters NAME...")
	}
	var specs []simfleet.ClusterSpec
	for _, name := range args {
		specs = append(specs, simfleet.ClusterSpec{Name: name, Nodes: []simfleet.NodeSpec{{Count: 2}}})
	}
	fleet, err := simfleet.New(simfleet.Options{Clusters: specs, ReadyAfter: 100 * time.Millisecond})
	ts.Check(err)
	ts.Defer(fleet.Close)
	for _, name := range args {
		ts.Check(fleet.Cluster(name).WriteKubeconfig(ts.MkAbs(name + ".kubeconfig")))
	}
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually REGEXP CMD ARG...")
	}
	want := regexp.MustCompile(args[0])
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var out, stderr bytes.Buffer
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		out.Reset()
		stderr.Reset()
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Dir, cmd.Env = ts.MkAbs("."), []string{"HOME=" + ts.Getenv("HOME"), "PATH=" + ts.Getenv("PATH"), "TMPDIR=" + ts.Getenv("TMPDIR")}
		cmd.Stdout, cmd.Stderr = &out, &stderr
		if cmd.Run() == nil && want.Match(out.Bytes()) {
			return
		}
	}
	ts.Fatalf("within a minute nothing matched %q; stdout:\n%sstderr:\n%s", args[0], &out, &stderr)
}
