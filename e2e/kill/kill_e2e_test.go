//go:build e2e

package kill

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/e2e/push"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
)

var (
	rounds = flag.Int("rounds", 5, "how many commits the controller is killed in")
	seed   = flag.Uint64("seed", 0, "decides the moments; 0: another one each time")
)

const (
	// objects are in each commit. turnover of them are new with it, as many as leave, which is less than
	// the share that waits for somebody to confirm the removal; the others change.
	objects   = 300
	turnover  = 60
	namespace = "kill"
	patience  = 2 * time.Minute
)

// kinds are what a commit holds, in turn.
var kinds = []schema.GroupVersionResource{
	{Version: "v1", Resource: "configmaps"},
	{Version: "v1", Resource: "services"},
	{Group: "apps", Version: "v1", Resource: "deployments"},
}

// TestKilledAtAnyMoment pushes commits of 300 objects, kills the controller while each is applied (after a
// random number of the changes that the API server tells of, and often its successor, too), and then wants
// exactly the commit on the cluster.
func TestKilledAtAnyMoment(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, %d rounds", *seed, *rounds)
	f := fleet.StartT(t, fleet.Options{Names: []string{"east"}, Users: push.Users()})
	client, err := dynamic.NewForConfig(f.Cluster("east").RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		TB: t, client: client, chance: rand.New(rand.NewPCG(*seed, 1)),
		controller: push.New(t, f.Cluster("east"), push.Options{}),
	}
	w.commit(0)
	w.controller.Start()
	w.controller.AwaitApplied()
	w.is(0)
	kills := 0
	for round := 1; round <= *rounds; round++ {
		kills += w.round(round)
	}
	w.controller.Stop()
	before := push.Writes(w.controller.Requests())
	w.controller.Start()
	w.controller.AwaitApplied()
	w.controller.Stop()
	if n := push.Writes(w.controller.Requests()) - before; n > 0 {
		t.Errorf("a start on the end state wrote %d times", n)
	}
	t.Logf("killed %d times in %d commits of %d objects, seed %d: the same end state each time, nothing left over, 0 writes afterwards",
		kills, *rounds, objects, *seed)
}

// world is the cluster as a person sees it, and the controller.
type world struct {
	testing.TB
	client     dynamic.Interface
	controller *push.Controller
	chance     *rand.Rand
}

// round pushes one commit, kills the controller in the middle, and lets its successor finish. It returns
// how often one was killed.
func (w *world) round(round int) (kills int) {
	w.Helper()
	done := w.count()
	w.commit(round)
	// A commit is so many changes: of objects that change or come, and of those that leave.
	at := w.chance.IntN(objects + turnover)
	seen := done.await(w, at)
	pause := time.Duration(w.chance.IntN(20)) * time.Millisecond
	<-time.After(pause)
	w.controller.Kill()
	done.stop()
	kills++
	if w.chance.IntN(3) == 0 {
		again := w.count()
		w.controller.Start()
		more := w.chance.IntN(objects / 2)
		seen += again.await(w, min(more, objects+turnover-seen-inFlight))
		w.controller.Kill()
		again.stop()
		kills++
	}
	w.Logf("round %d: killed %d× after %d changes and %s", round, kills, seen, pause)
	w.controller.Start()
	w.controller.AwaitApplied()
	w.is(round)
	return kills
}

// inFlight bounds the changes that were under way when the controller was killed, and that its successor
// need not make.
const inFlight = 40

// counter counts the changes of objects in the namespace.
type counter struct {
	changes chan struct{}
	stop    context.CancelFunc
}

func (w *world) count() counter {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	w.Cleanup(cancel)
	c := counter{changes: make(chan struct{}, 10*objects), stop: cancel}
	for _, kind := range kinds {
		list, err := w.client.Resource(kind).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			w.Fatal(err)
		}
		events, err := w.client.Resource(kind).Namespace(namespace).Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		if err != nil {
			w.Fatal(err)
		}
		go func() {
			for range events.ResultChan() {
				select {
				case c.changes <- struct{}{}:
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	return c
}

// await waits for that many changes, or until no more come, and returns how many there were.
func (c counter) await(w *world, n int) int {
	w.Helper()
	quiet := time.NewTimer(patience)
	defer quiet.Stop()
	for i := range n {
		select {
		case <-c.changes:
			// The first one takes a poll and a plan.
			quiet.Reset(5 * time.Second)
		case <-quiet.C:
			return i
		}
	}
	return max(n, 0)
}

// name is the i-th object of a round; turnover of a round's names are not in the next.
func name(round, i int) string { return fmt.Sprintf("o-%05d", round*turnover+i) }

// commit pushes the objects of a round.
func (w *world) commit(round int) {
	w.Helper()
	all := []*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace},
	}}}
	for i := range objects {
		all = append(all, object(name(round, i), round))
	}
	w.controller.Push(map[string][]byte{
		"all.yaml":    push.Stream(w, all),
		"policy.yaml": push.EverythingEverywhere("v1 ConfigMap", "v1 Service", "apps/v1 Deployment"),
	})
}

// object is what a commit says of a name.
func object(name string, round int) *unstructured.Unstructured {
	value := fmt.Sprint("round-", round)
	u := &unstructured.Unstructured{}
	switch kindOf(name).Resource {
	case "services":
		u.Object = map[string]any{"apiVersion": "v1", "kind": "Service", "spec": map[string]any{
			"selector": map[string]any{"app": name, "round": value}, "ports": []any{map[string]any{"port": int64(80)}},
		}}
	case "deployments":
		labels := map[string]any{"app": name}
		u.Object = map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "spec": map[string]any{
			"replicas": int64(0), "selector": map[string]any{"matchLabels": labels}, "template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "main", "image": "example.com/" + value}}},
			},
		}}
	default:
		u.Object = map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"value": value}}
	}
	u.SetName(name)
	u.SetNamespace(namespace)
	return u
}

// kindOf spreads names over kinds.
func kindOf(name string) schema.GroupVersionResource {
	return kinds[int(name[len(name)-1]-'0')%len(kinds)]
}

// is wants exactly the objects of a round, by nobody but us, and one ApplySet that lists them.
func (w *world) is(round int) {
	w.Helper()
	want, got := map[string]string{}, map[string]string{}
	for i := range objects {
		n := name(round, i)
		want[kindOf(n).Resource+"/"+n] = fmt.Sprintf("round-%d digest:true by armada-sync", round)
	}
	for _, kind := range kinds {
		list, err := w.client.Resource(kind).Namespace(metav1.NamespaceAll).List(w.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelPartOf})
		if err != nil {
			w.Fatal(err)
		}
		for i := range list.Items {
			u := &list.Items[i]
			got[kind.Resource+"/"+u.GetName()] = fmt.Sprintf("%s digest:%t by %s",
				value(u), u.GetAnnotations()[v1alpha1.AnnotationDigest] != "", strings.Join(managers(u), "+"))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Fatalf("round %d, seed %d: the cluster is not as the commit says (-want +got):\n%s", round, *seed, diff)
	}
	parents, err := w.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace(apply.SystemNamespace).
		List(w.Context(), metav1.ListOptions{LabelSelector: "applyset.kubernetes.io/id"})
	if err != nil {
		w.Fatal(err)
	}
	if len(parents.Items) != 1 {
		w.Fatalf("round %d: %d ApplySets", round, len(parents.Items))
	}
	const listed = "ConfigMap,Deployment.apps,Namespace,Service"
	if got := parents.Items[0].GetAnnotations()["applyset.kubernetes.io/contains-group-kinds"]; got != listed {
		w.Fatalf("round %d: the ApplySet lists %q, want %q", round, got, listed)
	}
}

// value is the round that an object says it is of.
func value(u *unstructured.Unstructured) string {
	switch u.GetKind() {
	case "Service":
		v, _, _ := unstructured.NestedString(u.Object, "spec", "selector", "round")
		return v
	case "Deployment":
		containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
		if len(containers) == 0 {
			return ""
		}
		c, _ := containers[0].(map[string]any)
		image, _ := c["image"].(string)
		return strings.TrimPrefix(image, "example.com/")
	}
	v, _, _ := unstructured.NestedString(u.Object, "data", "value")
	return v
}

// managers are who wrote an object.
func managers(u *unstructured.Unstructured) (names []string) {
	for _, m := range u.GetManagedFields() {
		if m.Subresource == "" {
			names = append(names, m.Manager)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
