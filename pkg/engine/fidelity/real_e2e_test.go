//go:build e2e

package fidelity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/e2e/fleet"
	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

// realPace is for API servers that answer in their own time.
var realPace = pace{look: 100 * time.Millisecond, limit: 90 * time.Second, linger: 2 * time.Second}

// TestOnAPIServer plays commits on real members: objects, fields as the API server itself keeps them, and by
// the audit logs one write for each change and none beside them.
func TestOnAPIServer(t *testing.T) {
	d := standard()
	d.clusters = d.clusters[:3]
	var names []string
	for _, c := range d.clusters {
		names = append(names, c.Name)
	}
	w := startWorld(t, d, startMembers(t, names), realPace)
	defer w.close()
	repository := newRepository(random(1, "repository"), w.clusters)
	began := time.Now()
	w.push(repository.on(realCommits[0]))
	if why := w.rest(); why != "" {
		t.Fatalf("the first commit: %s\n%s", why, w.log)
	}
	t.Logf("the first commit is there after %s", time.Since(began).Round(time.Second))
	var all tally
	play := func(name string, next contents) {
		began := time.Now()
		var counted tally
		found := w.hold(next, nil, &counted)
		t.Logf("%s: %s, %s", name, counted, time.Since(began).Round(time.Second))
		all.add(counted)
		if len(found) > 0 {
			t.Fatalf("%s: preview and controller differ:\n  %s", name, strings.Join(found, "\n  "))
		}
	}
	for _, commit := range realCommits[1:] {
		play(commit.name, repository.on(commit))
	}
	const randomCommits = 3
	for r := random(1, "commits"); all.previews < len(realCommits)-1+randomCommits; {
		said := repository.change(r, w.clusters)
		play(strings.Join(said, ", "), contents{"repo": repository.files()})
	}
	t.Logf("%d real members, %s, %s", len(names), all, time.Since(began).Round(time.Second))
	if all.creates == 0 || all.configures == 0 || all.prunes == 0 || all.fields == 0 || all.secrets == 0 || all.shares == 0 {
		t.Errorf("something was never compared: %s", all)
	}
	// A write that was not told must be found in the audit log.
	lie := inGroup(v1alpha1.ActionConfigure, func(g *plan.ReportGroup) { g.Clusters = g.Clusters[1:] })
	found := w.hold(repository.on(realCommits[1]), lie, &tally{})
	if !slices.ContainsFunc(found, func(d string) bool {
		return strings.Contains(d, "the report does not speak of it, the controller sent [patch]")
	}) {
		t.Errorf("nobody noticed a write that was not told: %v", found)
	}
}

// realCommit is one step of what Git holds.
type realCommit struct {
	name   string
	change func(n int, it *item)
	// gadgets adds a definition with an object of its kind.
	gadgets bool
}

// realCommits follow each other. The first one is the base.
var realCommits = []realCommit{
	{name: "base", change: func(int, *item) {}},
	{name: "images and overrides", change: func(n int, it *item) {
		if it.isWorkload() {
			it.version++
			it.override = workloadOverrides[n%len(workloadOverrides)]
		}
	}},
	{name: "replicas and placements", change: func(n int, it *item) {
		if it.isWorkload() {
			it.replicas = 1 + (it.replicas+n)%8
			it.strategy = strategyNames()[n%len(strategies)]
		}
	}},
	{name: "additions and removals", gadgets: true, change: func(n int, it *item) {
		if n%2 == 0 || it.gone {
			it.gone = !it.gone
		}
	}},
	{name: "Secrets and other data", gadgets: true, change: func(n int, it *item) {
		if !it.isWorkload() {
			it.version++
			it.extra = (it.extra + n) % 4
		}
	}},
	{name: "a definition and its object go, Secrets move", change: func(n int, it *item) {
		if it.kind == "Secret" {
			it.gone, it.strategy = false, []string{"everywhere", "gold"}[n%2]
		}
	}},
}

// on makes the commit and returns its files.
func (repo *repository) on(commit realCommit) contents {
	repo.items = slices.Clone(repo.items)
	for n := range repo.items {
		commit.change(n, &repo.items[n])
	}
	files := repo.files()
	if commit.gadgets {
		files["gadgets.yaml"] = &fstest.MapFile{Data: []byte(gadgetDefinition())}
		files["gadget.yaml"] = &fstest.MapFile{Data: []byte(gadget)}
	}
	return contents{"repo": files}
}

// gadgetDefinition may be removed again, which a definition must say of itself.
func gadgetDefinition() string {
	return strings.NewReplacer("widget", "gadget", "Widget", "Gadget", "definitions", "gadgets",
		"{name: widgets.example.com}", "{name: gadgets.example.com, annotations: {"+v1alpha1.AnnotationPrune+": confirm}}").Replace(definition)
}

const gadget = `apiVersion: example.com/v1
kind: Gadget
metadata: {name: first, namespace: shop}
spec: {size: 3}
---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {name: gadget, namespace: shop}
spec:
  resourceSelectors: [{apiVersion: example.com/v1, kind: Gadget, name: first}]
  placement: {clusterAffinity: {labelSelector: {matchLabels: {tier: gold}}}}
`

// realMembers are control planes with fake nodes.
type realMembers struct {
	t       *testing.T
	fleet   *fleet.Fleet
	clients map[string]dynamic.Interface
	// since is the number of requests in each audit log that are past.
	since map[string]int
}

func startMembers(t *testing.T, names []string) *realMembers {
	t.Helper()
	m := &realMembers{
		t: t, clients: map[string]dynamic.Interface{}, since: map[string]int{},
		fleet: fleet.StartT(t, fleet.Options{Names: names, WithControllers: true, WithNodes: 2}),
	}
	for _, name := range names {
		client, err := dynamic.NewForConfig(m.config(name))
		if err != nil {
			t.Fatal(err)
		}
		m.clients[name] = client
	}
	return m
}

func (m *realMembers) config(cluster string) *rest.Config {
	return m.fleet.Cluster(cluster).RESTConfig()
}

func (m *realMembers) list(cluster string, gvk schema.GroupVersionKind) []*unstructured.Unstructured {
	resource, _ := meta.UnsafeGuessKindToResource(gvk)
	list, err := m.clients[cluster].Resource(resource).List(m.t.Context(), metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		m.t.Fatal(err)
	}
	var all []*unstructured.Unstructured
	for i := range list.Items {
		all = append(all, &list.Items[i])
	}
	return all
}

func (m *realMembers) forget() {
	for name := range m.clients {
		m.since[name] = len(m.events(name))
	}
}

// requests takes what was not sent by a part of the control plane for the controller's: nobody else writes.
func (m *realMembers) requests(cluster string) []simfleet.Request {
	var all []simfleet.Request
	for _, e := range m.events(cluster)[m.since[cluster]:] {
		if strings.HasPrefix(e.User, "system:") {
			continue
		}
		all = append(all, simfleet.Request{
			Time: e.Received, Verb: e.Verb, Group: e.Group, Resource: e.Resource, Subresource: e.Subresource, Namespace: e.Namespace,
			Name: e.Name, Path: e.URI, UserAgent: e.UserAgent, As: e.As, DryRun: strings.Contains(e.URI, "dryRun="), Code: e.Code,
		})
	}
	return all
}

func (m *realMembers) events(cluster string) []fleet.AuditEvent {
	events, err := m.fleet.Cluster(cluster).AuditEvents()
	if err != nil {
		m.t.Fatal(fmt.Errorf("cluster %q: %w", cluster, err))
	}
	return events
}

// close leaves the fleet to the end of the test.
func (m *realMembers) close() {}
