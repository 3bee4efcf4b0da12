package schema

import "strings"

// Fault is something about a manifest that an API server refuses.
type Fault struct {
	// Pointer is the JSON pointer of the field; for a missing one that of the map that it belongs in.
	Pointer string
	// Message says where and what, without any value of the manifest.
	Message string
	// Open tells that fields which someone else owns could mend it, since a server-side apply merges into what
	// is there. A create with this manifest alone is refused.
	Open bool
}

// Target is what a manifest is checked for.
type Target struct {
	// Version of the API server. Unknown: only what no embedded release takes is a fault.
	Version Version
	// Custom are the custom kinds that go along; nil: none.
	Custom *Custom
	// Served are the kinds as the API server itself describes them; nil: it was not asked.
	Served *Served
}

// Checker knows the kinds of Kubernetes. It may be used from several goroutines.
type Checker struct {
	releases []release
	ages     *ages
}

// New returns a checker. What it needs to know is read when it is first asked for.
func New() *Checker { return &Checker{releases: releases(), ages: newAges()} }

// Check returns what is wrong with a manifest, in the order of its fields; status is not looked at,
// since it is not sent. Known is false where nothing is known about the kind at that version.
func (c *Checker) Check(object map[string]any, t Target) (faults []Fault, known bool) {
	kind := kindOf(object)
	if d, ok := t.Custom.of(kind); ok {
		return d.check(object, kind), true
	}
	if t.Served.has(kind) {
		faults, _ := (release{version: t.Version, load: func() *documents { return t.Served.documents }}).check(object, kind, t.Version)
		return faults, true
	}
	var best []Fault
	for _, r := range c.candidates(t.Version) {
		faults, ok := r.check(object, kind, t.Version)
		if !ok {
			continue
		}
		if len(faults) == 0 {
			return nil, true
		}
		if !known || len(faults) < len(best) {
			best, known = faults, true
		}
	}
	return best, known
}

// Serves tells whether a release has a kind. Known is false where that cannot be told: kinds of groups
// that are not Kubernetes' own, and versions that are not embedded.
func (c *Checker) Serves(object map[string]any, v Version) (serves, known bool) {
	kind := kindOf(object)
	for _, r := range c.candidates(v) {
		d := r.load()
		if d.kinds[kind] != nil {
			return true, true
		}
		if !d.groups[kind.Group] || !v.IsZero() && v != r.version {
			return false, false
		}
		known = true
	}
	return false, known
}

// candidates are the releases of which one must take a manifest.
func (c *Checker) candidates(v Version) []release {
	if v.IsZero() {
		return c.releases
	}
	for _, r := range c.releases {
		if r.version.Compare(v) <= 0 {
			return []release{r}
		}
	}
	return c.releases[len(c.releases)-1:]
}

// check checks a manifest against one release, on behalf of an API server of another version perhaps.
func (r release) check(object map[string]any, kind groupVersionKind, v Version) ([]Fault, bool) {
	t := r.load().kinds[kind]
	if t == nil {
		return nil, false
	}
	exact := v.IsZero() || v == r.version
	if !exact && !stable(kind.Version) {
		// Versions that are not stable change from release to release.
		return nil, false
	}
	w := &walk{probe: true, tolerant: !exact && v.Compare(r.version) > 0}
	w.object(object, t, nil)
	w.semantics(object, kind)
	if !w.found {
		return nil, true
	}
	w.probe, w.found = false, false
	w.object(object, t, nil)
	w.semantics(object, kind)
	return w.faults, true
}

// stable tells v1 from v1beta1 and v1alpha1.
func stable(version string) bool { return strings.Trim(version, "v0123456789") == "" }
