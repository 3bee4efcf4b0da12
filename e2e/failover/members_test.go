//go:build e2e

package failover_test

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/armada-sync/armada-sync/e2e/await"
	"github.com/armada-sync/armada-sync/e2e/fleet"
)

const (
	// user is who the controller is to the members, so that their audit logs tell its requests from ours.
	user      = "armada-sync"
	namespace = "shop"
	// sampling is how often the health of Deployments is looked at.
	sampling = 50 * time.Millisecond
)

// member is one cluster: as its administrator sees it, and as the controller reaches it, through a proxy.
type member struct {
	*fleet.Cluster
	client     kubernetes.Interface
	proxy      *proxy
	kubeconfig string

	mu      sync.Mutex
	samples []sample
}

// sample is what the Deployments of a member were at one moment.
type sample struct {
	at time.Time
	// healthy tells of each Deployment whether it runs all that it asks for.
	healthy map[string]bool
}

func newMember(t *testing.T, c *fleet.Cluster, dir string) *member {
	t.Helper()
	at, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{Cluster: c, proxy: newProxy(t, at.Host), kubeconfig: dir + "/" + c.Name + ".kubeconfig"}
	content, err := os.ReadFile(c.UserKubeconfig(user))
	if err != nil {
		t.Fatal(err)
	}
	through := strings.ReplaceAll(string(content), at.Host, m.proxy.address())
	if err := os.WriteFile(m.kubeconfig, []byte(through), 0o600); err != nil {
		t.Fatal(err)
	}
	if m.client, err = kubernetes.NewForConfig(c.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() { m.watch(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return m
}

// watch samples the Deployments. It polls since a watch ends with its API server.
func (m *member) watch(ctx context.Context) {
	tick := time.NewTicker(sampling)
	defer tick.Stop()
	for {
		request, cancel := context.WithTimeout(ctx, time.Second)
		at := time.Now()
		list, err := m.client.AppsV1().Deployments(namespace).List(request, metav1.ListOptions{})
		cancel()
		if err == nil {
			s := sample{at: at, healthy: map[string]bool{}}
			for i := range list.Items {
				s.healthy[list.Items[i].Name] = healthy(&list.Items[i])
			}
			m.mu.Lock()
			m.samples = append(m.samples, s)
			m.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func healthy(d *appsv1.Deployment) bool {
	want := *d.Spec.Replicas
	s := d.Status
	return s.ObservedGeneration == d.Generation && s.Replicas == want && s.UpdatedReplicas == want && s.AvailableReplicas == want
}

// last is the latest sample.
func (m *member) last() sample {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.samples) == 0 {
		return sample{}
	}
	return m.samples[len(m.samples)-1]
}

// healthySince is since when a Deployment was healthy without a break until a moment; zero: it was not.
func (m *member) healthySince(name string, until time.Time) (since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.samples {
		switch {
		case s.at.After(until):
			return since
		case !s.healthy[name]:
			since = time.Time{}
		case since.IsZero():
			since = s.at
		}
	}
	return since
}

// runs checks where the named Deployments are by the latest sample: healthy here, or not here at all.
func (m *member) runs(names ...string) error {
	s := m.last()
	for _, n := range names {
		if !s.healthy[n] {
			return fmt.Errorf("%s is not healthy on %s", n, m.Name)
		}
	}
	return nil
}

func (m *member) lacks(names ...string) error {
	s := m.last()
	for _, n := range names {
		if _, there := s.healthy[n]; there {
			return fmt.Errorf("%s is still on %s", n, m.Name)
		}
	}
	return nil
}

// print identifies what an object is, so that any write to it shows.
type print struct {
	uid        types.UID
	generation int64
	version    string
}

// prints returns those of the named Deployments and of the other objects that every member has.
func (m *member) prints(t *testing.T, deployments ...string) map[string]print {
	t.Helper()
	all := map[string]print{}
	add := func(kind string, o metav1.Object) {
		all[kind+" "+o.GetName()] = print{o.GetUID(), o.GetGeneration(), o.GetResourceVersion()}
	}
	for _, name := range deployments {
		d, err := m.client.AppsV1().Deployments(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatalf("Deployment %s on %s: %v", name, m.Name, err)
		}
		add("Deployment", d)
	}
	settings, err := m.client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "settings", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("ConfigMap settings on %s: %v", m.Name, err)
	}
	add("ConfigMap", settings)
	return all
}

// statefulSets returns the identities of the StatefulSets of a member.
func (m *member) statefulSets(t *testing.T) map[string]print {
	t.Helper()
	list, err := m.client.AppsV1().StatefulSets(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]print{}
	for i := range list.Items {
		// Its status changes with its pods, and they with the nodes, which are away as well.
		all[list.Items[i].Name] = print{uid: list.Items[i].UID, generation: list.Items[i].Generation}
	}
	return all
}

// requests are the controller's since the mark, by the API server's own account.
func (m *member) requests(t *testing.T, mark int) []fleet.AuditEvent {
	t.Helper()
	all, err := m.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all[mark:], func(e fleet.AuditEvent) bool { return e.User != user })
}

// mark is the end of the audit log.
func (m *member) mark(t *testing.T) int {
	t.Helper()
	all, err := m.AuditEvents()
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func written(e fleet.AuditEvent) string { return fmt.Sprintf("%s %s/%s", e.Verb, e.Resource, e.Name) }

// writes are what the controller wrote since the mark, each once, sorted.
func (m *member) writes(t *testing.T, mark int) []string {
	t.Helper()
	all := map[string]bool{}
	for _, e := range m.requests(t, mark) {
		if e.Writes() {
			all[written(e)] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// awaitProbes waits until each API server has answered three more probes of the controller: a while in
// which it could have written.
func awaitProbes(t *testing.T, members ...*member) {
	t.Helper()
	marks := make([]int, len(members))
	for i, m := range members {
		marks[i] = m.mark(t)
	}
	await.That(t, patience, "probes", func() error {
		for i, m := range members {
			probes := 0
			for _, e := range m.requests(t, marks[i]) {
				if strings.HasPrefix(e.URI, "/readyz") {
					probes++
				}
			}
			if probes < 3 {
				return fmt.Errorf("%d probes of %s", probes, m.Name)
			}
		}
		return nil
	})
}
