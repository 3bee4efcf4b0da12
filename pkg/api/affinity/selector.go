package affinity

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// MatchLevel says how narrowly a selector matched an object; a higher level is narrower.
type MatchLevel int

// The values of MatchLevel, in ascending order.
const (
	// LevelNone: no match.
	LevelNone MatchLevel = iota
	// LevelAll: every object of the kind, or, without selectors, every object.
	LevelAll
	// LevelLabels: by labelSelector.
	LevelLabels
	// LevelName: by name.
	LevelName
)

// String returns the level as messages show it.
func (l MatchLevel) String() string {
	switch l {
	case LevelAll:
		return "all"
	case LevelLabels:
		return "labelSelector"
	case LevelName:
		return "name"
	default:
		return "none"
	}
}

// Selector is a compiled ResourceSelector of a policy.
type Selector struct {
	apiVersion, kind string
	namespace        string
	name             string
	requirements     []labels.Requirement
	byLabels         bool
	// never marks a selector of a namespaced policy that names another namespace.
	never bool
}

// CompileSelector prepares a selector for matching. PolicyNamespace is that of the policy: a
// namespaced policy reaches objects of its own namespace alone; empty: objects of any namespace and
// cluster-scoped ones. The label selector is not looked at where a name is set.
func CompileSelector(s v1alpha1.ResourceSelector, policyNamespace string) (Selector, error) {
	c := Selector{apiVersion: s.APIVersion, kind: s.Kind, namespace: s.Namespace, name: s.Name}
	if policyNamespace != "" {
		c.never = s.Namespace != "" && s.Namespace != policyNamespace
		c.namespace = policyNamespace
	}
	if s.Name == "" && s.LabelSelector != nil {
		requirements, err := compileLabels(s.LabelSelector)
		if err != nil {
			return Selector{}, err
		}
		c.requirements, c.byLabels = requirements, true
	}
	return c, nil
}

// Match returns at which level the selector matches an object with these labels. A namespaced
// object's namespace must be filled in.
func (s Selector) Match(ref v1alpha1.ObjectReference, have map[string]string) MatchLevel {
	if s.never || s.kind != ref.Kind || s.apiVersion != ref.APIVersion || s.namespace != "" && s.namespace != ref.Namespace {
		return LevelNone
	}
	switch {
	case s.name != "":
		if s.name == ref.Name {
			return LevelName
		}
		return LevelNone
	case !s.byLabels:
		return LevelAll
	}
	for i := range s.requirements {
		if !s.requirements[i].Matches(labels.Set(have)) {
			return LevelNone
		}
	}
	return LevelLabels
}

// Selectors are the compiled selectors of one policy; an object that one of them matches is
// selected, at the highest level of those.
type Selectors []Selector

// CompileSelectors prepares a policy's selectors; the error names the one that does not compile.
func CompileSelectors(list []v1alpha1.ResourceSelector, policyNamespace string) (Selectors, error) {
	compiled := make(Selectors, 0, len(list))
	for i, s := range list {
		c, err := CompileSelector(s, policyNamespace)
		if err != nil {
			return nil, fmt.Errorf("resourceSelectors[%d]: %w", i, err)
		}
		compiled = append(compiled, c)
	}
	return compiled, nil
}

// Match returns the highest level at which one of the selectors matches. It is LevelNone for no
// selectors: whether those mean everything or nothing is the policy's matter.
func (s Selectors) Match(ref v1alpha1.ObjectReference, have map[string]string) MatchLevel {
	level := LevelNone
	for i := range s {
		level = max(level, s[i].Match(ref, have))
	}
	return level
}

// Index finds, among many policies, those that select an object, without looking at each: by kind,
// then by name or by one label. The zero value is ready for use; a filled index may be read from
// several goroutines.
type Index struct {
	buckets map[bucketKey]*bucket
}

// Hit is a policy that selects an object.
type Hit struct {
	// ID is the number that the policy was added with.
	ID    int
	Level MatchLevel
}

// bucketKey leads to the selectors of one kind and namespace; an empty namespace holds those for any
// namespace, an empty kind those for any kind.
type bucketKey struct {
	apiVersion, kind, namespace string
}

type bucket struct {
	all     []int
	named   map[string][]int
	labels  map[string]map[string][]indexed
	scanned []indexed
}

type indexed struct {
	id       int
	selector Selector
}

// Add enters a policy's selectors under a number of the caller's.
func (x *Index) Add(id int, selectors Selectors) {
	for _, s := range selectors {
		if s.never {
			continue
		}
		b := x.bucket(bucketKey{s.apiVersion, s.kind, s.namespace})
		switch key, value, ok := s.equality(); {
		case s.name != "":
			b.named[s.name] = append(b.named[s.name], id)
		case !s.byLabels:
			b.all = append(b.all, id)
		case ok:
			if b.labels[key] == nil {
				b.labels[key] = map[string][]indexed{}
			}
			b.labels[key][value] = append(b.labels[key][value], indexed{id, s})
		default:
			b.scanned = append(b.scanned, indexed{id, s})
		}
	}
}

// AddEverything enters a policy that selects every object, in one namespace or, where it is empty,
// in all and cluster-scoped ones too.
func (x *Index) AddEverything(id int, namespace string) {
	b := x.bucket(bucketKey{namespace: namespace})
	b.all = append(b.all, id)
}

func (x *Index) bucket(k bucketKey) *bucket {
	if x.buckets == nil {
		x.buckets = map[bucketKey]*bucket{}
	}
	b := x.buckets[k]
	if b == nil {
		b = &bucket{named: map[string][]int{}, labels: map[string]map[string][]indexed{}}
		x.buckets[k] = b
	}
	return b
}

// equality returns a label that an object must have with exactly one value to be selected.
func (s Selector) equality() (key, value string, ok bool) {
	for i := range s.requirements {
		r := &s.requirements[i]
		values := r.ValuesUnsorted()
		if (r.Operator() == selection.In || r.Operator() == selection.Equals) && len(values) == 1 {
			return r.Key(), values[0], true
		}
	}
	return "", "", false
}

// Match returns the policies that select an object with these labels, each once with its highest
// level, by number. It answers what Selectors.Match would for each policy.
func (x *Index) Match(ref v1alpha1.ObjectReference, have map[string]string) []Hit {
	var hits []Hit
	hits = x.collect(hits, bucketKey{}, ref, have)
	hits = x.collect(hits, bucketKey{ref.APIVersion, ref.Kind, ""}, ref, have)
	if ref.Namespace != "" {
		hits = x.collect(hits, bucketKey{namespace: ref.Namespace}, ref, have)
		hits = x.collect(hits, bucketKey{ref.APIVersion, ref.Kind, ref.Namespace}, ref, have)
	}
	return compact(hits)
}

func (x *Index) collect(hits []Hit, k bucketKey, ref v1alpha1.ObjectReference, have map[string]string) []Hit {
	b := x.buckets[k]
	if b == nil {
		return hits
	}
	for _, id := range b.all {
		hits = append(hits, Hit{id, LevelAll})
	}
	for _, id := range b.named[ref.Name] {
		hits = append(hits, Hit{id, LevelName})
	}
	if len(b.labels) > 0 {
		for key, value := range have {
			hits = match(hits, b.labels[key][value], ref, have)
		}
	}
	return match(hits, b.scanned, ref, have)
}

func match(hits []Hit, candidates []indexed, ref v1alpha1.ObjectReference, have map[string]string) []Hit {
	for i := range candidates {
		if level := candidates[i].selector.Match(ref, have); level != LevelNone {
			hits = append(hits, Hit{candidates[i].id, level})
		}
	}
	return hits
}

// compact sorts hits by number and keeps the highest level of each.
func compact(hits []Hit) []Hit {
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(b.Level, a.Level))
	})
	return slices.CompactFunc(hits, func(a, b Hit) bool { return a.ID == b.ID })
}
