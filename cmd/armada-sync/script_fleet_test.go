package main

import (
	"bytes"
	"context"
	"io/fs"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/armada-sync/armada-sync/deploy/crds"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// fleetCommands are what scripts have beside testscript's own commands:
//
//	clusters NAME...              starts simulated clusters and writes NAME.kubeconfig of each
//	cluster stop|start|cut|heal NAME   stops a cluster or cuts it off, and lets it come back
//	hub FILE                      applies the definitions of our kinds, and the documents of a file, to the cluster hub
//	eventually REGEXP CMD ARG...  runs a command until it succeeds and its stdout matches, for at most a minute
func fleetCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){"clusters": startClusters, "cluster": changeCluster, "hub": makeHub, "eventually": eventually, "edit": editObject}
}

// scriptClusters are the clusters of a script by name, and scriptClustersKey is what they are found by.
type (
	scriptClusters    map[string]*simfleet.Cluster
	scriptClustersKey struct{}
)

func changeCluster(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cluster stop|start|cut|heal NAME")
	}
	c := ts.Value(scriptClustersKey{}).(scriptClusters)[args[1]]
	if c == nil {
		ts.Fatalf("there is no cluster %q", args[1])
	}
	switch args[0] {
	case "stop":
		c.Stop()
	case "start":
		ts.Check(c.Start())
	case "cut":
		c.Partition()
	case "heal":
		c.Heal()
	default:
		ts.Fatalf("a cluster cannot %q", args[0])
	}
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
	clusters := ts.Value(scriptClustersKey{}).(scriptClusters)
	for _, name := range args {
		clusters[name] = fleet.Cluster(name)
	}
	for _, name := range args {
		ts.Check(fleet.Cluster(name).WriteKubeconfig(ts.MkAbs(name + ".kubeconfig")))
	}
}

func makeHub(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hub FILE")
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", ts.MkAbs("hub.kubeconfig"))
	ts.Check(err)
	client, err := dynamic.NewForConfig(cfg)
	ts.Check(err)
	names, err := fs.Glob(crds.Files, "*.yaml")
	ts.Check(err)
	for _, name := range names {
		data, err := crds.Files.ReadFile(name)
		ts.Check(err)
		put(ts, client, string(data), "customresourcedefinitions", time.Now())
	}
	for _, document := range strings.Split(ts.ReadFile(args[0]), "\n---\n") {
		put(ts, client, document, "clusters", time.Now().Add(time.Minute))
	}
}

// put creates an object, again and again until a time while its kind is not served yet.
func put(ts *testscript.TestScript, client dynamic.Interface, document, resource string, until time.Time) {
	var o unstructured.Unstructured
	ts.Check(yaml.Unmarshal([]byte(document), &o.Object))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := client.Resource(o.GroupVersionKind().GroupVersion().WithResource(resource)).Create(context.Background(), &o, metav1.CreateOptions{})
		if err == nil {
			return
		}
		if !apierrors.IsNotFound(err) || time.Now().After(until) {
			ts.Check(err)
		}
		<-tick.C
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
