package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/armada-sync/armada-sync/pkg/engine"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// operation is one kind of event.
type operation struct {
	// weight is how often it is drawn.
	weight int
	// args are the kinds of its arguments; see layout.pick.
	args []string
	play func(w *world, args []string)
}

// operations are everything that can happen, by name.
var operations = map[string]operation{
	// What people push.
	"touch":    {8, []string{"app"}, inCommit(func(a *app, _ []string) { a.version++ })},
	"scale":    {5, []string{"workload", "replicas"}, inCommit(func(a *app, args []string) { a.replicas = atoi(args[1]) })},
	"remove":   {3, []string{"app"}, inCommit(func(a *app, _ []string) { a.gone = true })},
	"add":      {3, []string{"app"}, inCommit(func(a *app, _ []string) { a.gone = false })},
	"move":     {5, []string{"app", "strategy"}, inCommit(func(a *app, args []string) { a.strategy = args[1] })},
	"break":    {2, []string{"app"}, inCommit(func(a *app, _ []string) { a.broken = true })},
	"mend":     {3, []string{"app"}, inCommit(func(a *app, _ []string) { a.broken = false })},
	"sicken":   {2, []string{"workload", "cluster"}, inCommit(func(a *app, args []string) { a.sick = args[1] })},
	"cure":     {2, []string{"workload"}, inCommit(func(a *app, _ []string) { a.sick = "" })},
	"empty":    {1, nil, func(w *world, _ []string) { c := w.commit(); c.empty = true; w.push(c) }},
	"refill":   {2, nil, func(w *world, _ []string) { c := w.commit(); c.empty = false; w.push(c) }},
	"git-down": {1, nil, func(w *world, _ []string) { w.set(func() { w.gitDown = true }) }},
	"git-up":   {2, nil, func(w *world, _ []string) { w.set(func() { w.gitDown = false }) }},

	// What befalls clusters.
	"stop":      {4, []string{"cluster"}, func(w *world, a []string) { w.stop(a[0]) }},
	"boot":      {5, []string{"cluster"}, func(w *world, a []string) { w.boot(a[0]) }},
	"partition": {3, []string{"cluster"}, func(w *world, a []string) { w.partition(a[0]) }},
	"heal":      {4, []string{"cluster"}, func(w *world, a []string) { w.heal(a[0]) }},
	"blackout":  {2, nil, func(w *world, _ []string) { w.blackout() }},
	"dawn":      {2, nil, func(w *world, _ []string) { w.dawn() }},
	"cut":       {3, []string{"cluster"}, func(w *world, a []string) { w.fleet.Cluster(a[0]).CutConnections() }},
	"fault":     {5, []string{"cluster", "fault"}, func(w *world, a []string) { w.fleet.Cluster(a[0]).SetFaults(faults[a[1]]) }},
	"calm":      {4, []string{"cluster"}, func(w *world, a []string) { w.fleet.Cluster(a[0]).SetFaults(simfleet.Faults{}) }},
	"compact":   {1, []string{"cluster"}, func(w *world, a []string) { w.fleet.Cluster(a[0]).Compact() }},
	"lie":       {2, []string{"cluster"}, func(w *world, a []string) { w.lie(a[0], true) }},
	"honest":    {3, []string{"cluster"}, func(w *world, a []string) { w.lie(a[0], false) }},
	"label":     {1, []string{"cluster", "tier"}, func(w *world, a []string) { w.set(func() { w.labels[a[0]] = a[1] }); w.reconfigure() }},
	"cordon":    {1, []string{"cluster"}, func(w *world, a []string) { w.set(func() { w.cordon[a[0]] = true }); w.reconfigure() }},
	"uncordon":  {2, []string{"cluster"}, func(w *world, a []string) { w.set(func() { delete(w.cordon, a[0]) }); w.reconfigure() }},

	// What befalls the controller.
	"kill":    {3, nil, func(w *world, _ []string) { w.kill() }},
	"restart": {2, nil, func(w *world, _ []string) { w.restart() }},
	"jump":    {2, []string{"jump"}, func(w *world, a []string) { w.jump(a[0]) }},

	// What people do on clusters.
	"edit":   {4, []string{"cluster", "app"}, func(w *world, a []string) { w.edit(a[0], a[1]) }},
	"delete": {3, []string{"cluster", "app"}, func(w *world, a []string) { w.deleteByHand(a[0], a[1]) }},
	"strip":  {1, []string{"cluster", "app"}, func(w *world, a []string) { w.strip(a[0], a[1]) }},
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// faults are ways in which an API server may fail, by name.
var faults = map[string]simfleet.Faults{
	"slow":      {Latency: 300 * time.Millisecond, Jitter: time.Second},
	"throttled": {TooManyRequests: 0.4},
	"errors":    {InternalErrors: 0.2, Unavailable: 0.2},
	"conflicts": {Conflicts: 0.5},
	"lossy":     {LostReplies: 0.3},
	"unsteady":  {CutWatches: 0.7, CutWatchesAfter: 2 * time.Second},
	"stale":     {StaleLists: 5},
}

var faultNames = []string{"conflicts", "errors", "lossy", "slow", "stale", "throttled", "unsteady"}

// inCommit makes a commit in which one application is changed.
func inCommit(change func(*app, []string)) func(*world, []string) {
	return func(w *world, args []string) {
		c := w.commit()
		change(c.app(args[0]), args)
		w.push(c)
	}
}

func (w *world) commit() commit {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now.clone()
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) isDown(cluster string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down[cluster]
}

func (w *world) stop(cluster string) {
	w.set(func() { w.down[cluster] = true })
	w.fleet.Cluster(cluster).Stop()
}

func (w *world) boot(cluster string) {
	if err := w.fleet.Cluster(cluster).Start(); err != nil {
		w.t.Error(err)
	}
	w.set(func() { w.down[cluster] = false })
}

func (w *world) partition(cluster string) { w.fleet.Cluster(cluster).Partition() }

func (w *world) heal(cluster string) { w.fleet.Cluster(cluster).Heal() }

// blackout is what a broken network of the hub looks like: all clusters are gone at once.
func (w *world) blackout() {
	for _, name := range w.layout.clusters {
		w.partition(name)
	}
}

func (w *world) dawn() {
	for _, name := range w.layout.clusters {
		w.heal(name)
	}
}

func (w *world) lie(cluster string, on bool) {
	w.set(func() { w.lying[cluster] = on })
	// What it told before is not corrected by itself: watches begin anew.
	w.fleet.Cluster(cluster).CutConnections()
}

func (w *world) jump(by string) {
	d, err := time.ParseDuration(by)
	if err != nil {
		panic(err)
	}
	w.set(func() { w.skew += d })
	w.watch.jumped()
}

// edit changes a field of an application by hand.
func (w *world) edit(cluster, name string) {
	a := w.original(name)
	_ = w.fleet.Cluster(cluster).EditAs("person", a.gvk(), a.namespace, name, func(content map[string]any) { // It may not be there.
		switch spec, _ := content["spec"].(map[string]any); {
		case spec != nil && spec["replicas"] != nil:
			spec["replicas"] = int64(9)
		case content["data"] != nil:
			content["data"] = map[string]any{"version": "ZWRpdGVk"}
		}
	})
}

// strip takes the field managers off an object, as some backup tools do. Of a Service they take the knowledge
// along which ports were ours: the next commit that renumbers one is refused, and says so, until somebody
// removes the old one. So Services are left out.
func (w *world) strip(cluster, name string) {
	a := w.original(name)
	if a.kind == "Service" {
		return
	}
	_ = w.fleet.Cluster(cluster).EditAs("backup", a.gvk(), a.namespace, name, func(content map[string]any) { // It may not be there.
		if meta, ok := content["metadata"].(map[string]any); ok {
			meta["managedFields"] = []any{map[string]any{}}
		}
	})
}

// deleteByHand deletes an object as a person does who is in the wrong terminal.
func (w *world) deleteByHand(cluster, name string) {
	a := w.original(name)
	cfg := w.fleet.Cluster(cluster).RESTConfig()
	cfg.Timeout = time.Second
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = client.Resource(a.gvr()).Namespace(a.namespace).Delete(w.t.Context(), name, metav1.DeleteOptions{}) // It may not be there.
}

// original is an application of the layout: its kind and namespace never change.
func (w *world) original(name string) app {
	c := commit{apps: w.layout.apps}
	return *c.app(name)
}

func (a app) gvk() schema.GroupVersionKind {
	gv, err := schema.ParseGroupVersion(a.apiVersion())
	if err != nil {
		panic(err)
	}
	return gv.WithKind(a.kind)
}

func (a app) gvr() schema.GroupVersionResource {
	plural := map[string]string{
		"Deployment": "deployments", "StatefulSet": "statefulsets", "Service": "services", "Secret": "secrets", "ConfigMap": "configmaps",
	}
	return a.gvk().GroupVersion().WithResource(plural[a.kind])
}

// play lets everything happen that a scenario says.
func (w *world) play(s scenario) {
	for _, e := range s.events {
		<-time.After(e.after)
		operations[e.op].play(w, e.args)
	}
}

// calm ends all trouble, and pushes a commit that can be read.
func (w *world) calm() {
	for _, name := range w.layout.clusters {
		c := w.fleet.Cluster(name)
		c.SetFaults(simfleet.Faults{})
		w.heal(name)
		w.boot(name)
		w.lie(name, false)
	}
	w.set(func() {
		w.gitDown = false
		clear(w.cordon)
	})
	c := w.commit()
	c.empty = false
	for i := range c.apps {
		c.apps[i].broken, c.apps[i].sick = false, ""
	}
	w.push(c)
	w.reconfigure()
}

// rest lets time pass until nothing is left to do.
func (w *world) rest(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	// What was settled in the midst of trouble does not count: first everything is noticed.
	<-time.After(20 * time.Second)
	for {
		<-time.After(5 * time.Second)
		w.mu.Lock()
		c, revision := w.latest, w.tree.Revision().String()
		w.mu.Unlock()
		if c != nil && (c.Settled || w.onlyOrphans(c)) && c.Plan.Revisions[sourceID] == revision && read(c.Sources) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not at rest after %s", limit)
		}
	}
}

// read tells that the last attempt to read every source was good. After a long outage of its server a
// source is asked again within a minute.
func read(sources []engine.SourceStatus) bool {
	return !slices.ContainsFunc(sources, func(s engine.SourceStatus) bool { return s.Problem != "" })
}
