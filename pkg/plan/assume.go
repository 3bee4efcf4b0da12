package plan

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Assumptions change what a plan believes of the fleet, to see what would follow.
type Assumptions struct {
	// Down are names or patterns (path.Match) of clusters that cannot be reached, and have not been for
	// so long that every toleration with an end is over.
	Down []string
	// Drained are names or patterns of clusters that are drained: they take nothing new, and what does not
	// tolerate that has to leave.
	Drained []string
	// Labels are labels that clusters have, by pattern, in the order in which they are set.
	Labels []LabelAssumption
	// Versions are Kubernetes versions of clusters, by pattern.
	Versions []VersionAssumption
	// Added are a fleet whose clusters join, with what is known of them.
	Added []Snapshot
}

// LabelAssumption is a label that clusters are assumed to have.
type LabelAssumption struct{ Clusters, Key, Value string }

// VersionAssumption is a Kubernetes version that clusters are assumed to have.
type VersionAssumption struct{ Clusters, Version string }

// ParseLabelAssumption reads CLUSTER=KEY=VALUE; CLUSTER may be a pattern.
func ParseLabelAssumption(text string) (LabelAssumption, error) {
	clusters, label, ok := strings.Cut(text, "=")
	key, value, both := strings.Cut(label, "=")
	if !ok || !both || clusters == "" || key == "" {
		return LabelAssumption{}, fmt.Errorf("%q: want CLUSTER=KEY=VALUE", text)
	}
	return LabelAssumption{clusters, key, value}, nil
}

// ParseVersionAssumption reads CLUSTER=VERSION; CLUSTER may be a pattern.
func ParseVersionAssumption(text string) (VersionAssumption, error) {
	clusters, version, ok := strings.Cut(text, "=")
	if !ok || clusters == "" || version == "" {
		return VersionAssumption{}, fmt.Errorf("%q: want CLUSTER=VERSION", text)
	}
	return VersionAssumption{clusters, version}, nil
}

// longDown is for how long a cluster that is assumed to be down has been: longer than any toleration
// that ends.
const longDown = 100 * 365 * 24 * time.Hour

// Assume returns a snapshot as it would be, and leaves the one it got as it is. An error names an
// assumption about a cluster that the fleet does not have, or one that joins and is there already.
func Assume(snap Snapshot, a Assumptions) (Snapshot, error) {
	s := snap
	s.Clusters = make([]v1alpha1.Cluster, 0, len(snap.Clusters))
	for i := range snap.Clusters {
		s.Clusters = append(s.Clusters, *snap.Clusters[i].DeepCopy())
	}
	s.Members, s.Facts = maps.Clone(snap.Members), maps.Clone(snap.Facts)
	if s.Members == nil {
		s.Members = map[string]Member{}
	}
	if s.Facts == nil {
		s.Facts = map[string]v1alpha1.ClusterFactsSpec{}
	}
	for _, added := range a.Added {
		if err := s.join(added); err != nil {
			return snap, err
		}
	}
	for _, l := range a.Labels {
		err := s.each(l.Clusters, func(c *v1alpha1.Cluster) {
			if c.Labels == nil {
				c.Labels = map[string]string{}
			}
			c.Labels[l.Key] = l.Value
		})
		if err != nil {
			return snap, err
		}
	}
	for _, v := range a.Versions {
		err := s.each(v.Clusters, func(c *v1alpha1.Cluster) {
			c.Status.KubernetesVersion = v.Version
			facts := s.Facts[c.Name]
			facts.Cluster, facts.Version = c.Name, v.Version
			s.Facts[c.Name] = facts
		})
		if err != nil {
			return snap, err
		}
	}
	for _, pattern := range a.Drained {
		if err := s.each(pattern, s.drain); err != nil {
			return snap, err
		}
	}
	for _, pattern := range a.Down {
		if err := s.each(pattern, s.takeDown); err != nil {
			return snap, err
		}
	}
	if s.FleetDigest != "" {
		s.FleetDigest = s.Digest()
	}
	return s, nil
}

// each calls f for the clusters that a name or a pattern means.
func (s *Snapshot) each(pattern string, f func(*v1alpha1.Cluster)) error {
	found := false
	for i := range s.Clusters {
		ok, err := path.Match(pattern, s.Clusters[i].Name)
		if err != nil {
			return fmt.Errorf("%q: %w", pattern, err)
		}
		if ok {
			found = true
			f(&s.Clusters[i])
		}
	}
	if !found {
		return fmt.Errorf("%q: the fleet has no such cluster", pattern)
	}
	return nil
}

// join adds the clusters of another fleet.
func (s *Snapshot) join(added Snapshot) error {
	for i := range added.Clusters {
		c := added.Clusters[i].DeepCopy()
		if slices.ContainsFunc(s.Clusters, func(o v1alpha1.Cluster) bool { return o.Name == c.Name }) {
			return fmt.Errorf("cluster %q is in the fleet already", c.Name)
		}
		s.Clusters = append(s.Clusters, *c)
		if m, ok := added.Members[c.Name]; ok {
			s.Members[c.Name] = m
		}
		if facts, ok := added.Facts[c.Name]; ok {
			s.Facts[c.Name] = facts
		}
	}
	return nil
}

// takeDown makes a cluster one that nobody can reach, as its health would after a long time.
func (s *Snapshot) takeDown(c *v1alpha1.Cluster) {
	since := metav1.Time{Time: s.Now.Add(-longDown)}
	c.Spec.Taints = slices.DeleteFunc(c.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1alpha1.TaintUnreachable })
	for _, effect := range []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute} {
		c.Spec.Taints = append(c.Spec.Taints, corev1.Taint{Key: v1alpha1.TaintUnreachable, Effect: effect, TimeAdded: &since})
	}
	c.Status.Conditions = slices.DeleteFunc(c.Status.Conditions, func(x metav1.Condition) bool { return x.Type == "Ready" })
	c.Status.Conditions = append(c.Status.Conditions, metav1.Condition{Type: "Ready", Status: metav1.ConditionUnknown, LastTransitionTime: since, Reason: "Assumed"})
	m := s.Members[c.Name]
	m.Reachable = false
	s.Members[c.Name] = m
}

// Describe says in words what is assumed, one sentence each.
func (a Assumptions) Describe() []string {
	list := []string{}
	for _, d := range a.Down {
		list = append(list, d+" is down")
	}
	for _, d := range a.Drained {
		list = append(list, d+" is drained")
	}
	for _, l := range a.Labels {
		list = append(list, fmt.Sprintf("%s has label %s=%s", l.Clusters, l.Key, l.Value))
	}
	for _, v := range a.Versions {
		list = append(list, fmt.Sprintf("%s runs Kubernetes %s", v.Clusters, v.Version))
	}
	for _, added := range a.Added {
		for i := range added.Clusters {
			list = append(list, added.Clusters[i].Name+" is in the fleet")
		}
	}
	slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(a, b) })
	return list
}
