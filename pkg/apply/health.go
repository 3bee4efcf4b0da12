package apply

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply/health"
)

// Tally counts objects by health.
type Tally struct{ Healthy, Progressing, Degraded int }

// Health returns how many of the objects of ours on the member are in which health. It is kept up to
// date with each event, never counted anew.
func (m *Member) Health() Tally {
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum Tally
	for _, k := range s.kinds {
		sum.Healthy += k.tally.Healthy
		sum.Progressing += k.tally.Progressing
		sum.Degraded += k.tally.Degraded
	}
	return sum
}

// ruleOf returns the health rule of a kind, nil where its objects are healthy by existing.
func (m *Member) ruleOf(gk schema.GroupKind) health.Rule {
	// What is not served or not known yet has no status that we could read.
	r, err := m.mapper.lookup(gk, "")
	return m.opts.Health.For(gk, err == nil && r.hasStatus)
}

// judge takes in whether the objects of a kind are judged, as the watch that begins sees them.
func (s *state) judge(gk schema.GroupKind, judged bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kind(gk).judged = judged
}

// unjudged says, one line for each kind and sorted, of what the health rule failed.
func (s *state) unjudged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for gk, k := range s.kinds {
		if len(k.unjudged) == 0 {
			continue
		}
		first := slices.MinFunc(keysOf(k.unjudged), func(a, b types.NamespacedName) int {
			return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
		})
		out = append(out, fmt.Sprintf("the health rule of %s cannot judge %d of its objects, among them %s: %s",
			gk.String(), len(k.unjudged), first, k.unjudged[first]))
	}
	slices.Sort(out)
	return out
}

func keysOf[K comparable, V any](m map[K]V) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

// put adds or replaces an entry; remove takes it out. All that is kept beside the entries follows.
func (k *kindState) put(name types.NamespacedName, e *entry) {
	k.drop(name)
	k.objects[name] = e
	k.count(e, 1)
}

func (k *kindState) remove(name types.NamespacedName) {
	k.drop(name)
	delete(k.unjudged, name)
}

func (k *kindState) drop(name types.NamespacedName) {
	if old := k.objects[name]; old != nil {
		k.count(old, -1)
		delete(k.objects, name)
	}
}

func (k *kindState) count(e *entry, n int) {
	switch e.held.Health {
	case v1alpha1.HealthHealthy:
		k.tally.Healthy += n
	case v1alpha1.HealthProgressing:
		k.tally.Progressing += n
	case v1alpha1.HealthDegraded:
		k.tally.Degraded += n
	case v1alpha1.HealthUnknown:
	}
}

// judgeBy takes the verdict of a look into an entry that is not counted at the moment.
func (k *kindState) judgeBy(e *entry, o *observed) {
	e.setHealth(o.verdict.Health, o.verdict.Message)
	if o.verdict.Failure == "" {
		delete(k.unjudged, o.name())
		return
	}
	k.unjudged[o.name()] = o.verdict.Failure
}
