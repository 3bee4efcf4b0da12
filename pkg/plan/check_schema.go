package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/schema"
)

// schemaKey identifies a verdict: the content of a manifest, and what it is checked for.
type schemaKey struct{ digest, target string }

// verdict is what an API server of some version has to say about a manifest.
type verdict struct {
	faults []schema.Fault
	// id and message are those of a finding about the kind as a whole; empty: none.
	id, message string
}

// schemaTarget is what the manifests of one cluster are checked for.
type schemaTarget struct {
	schema.Target
	// name tells targets apart in keys.
	name string
	// serves tells whether the cluster is known to serve a kind itself; nil: what it serves is not known.
	serves map[[2]string]bool
}

// definitions are the custom kinds of all trees and where each goes.
type definitions struct {
	custom *schema.Custom
	digest string
	// items that define a kind, by kind.
	items map[groupKind]*item
}

// schemaChecks are the checks of one computation, prepared when the first manifest is looked at.
type schemaChecks struct {
	definitions definitions
	// targets by cluster.
	targets []schemaTarget
}

// schemas prepares the checks.
func (c *computation) schemas() *schemaChecks {
	if c.checks != nil {
		return c.checks
	}
	c.checks = &schemaChecks{definitions: c.definitionsOf(c.items)}
	for _, cl := range c.clusters {
		c.checks.targets = append(c.checks.targets, c.schemaTarget(cl))
	}
	return c.checks
}

// definitionsOf reads the CustomResourceDefinitions among some objects.
func (c *computation) definitionsOf(items []*item) definitions {
	d := definitions{items: map[groupKind]*item{}}
	var manifests []map[string]any
	var digests []string
	for _, it := range items {
		if it.traits.defines == nil || it.denied != "" {
			continue
		}
		d.items[*it.traits.defines] = it
		manifests = append(manifests, it.Object.Object)
		digests = append(digests, cmp.Or(it.ContentDigest, it.Origin.Source))
	}
	d.digest = strings.Join(digests, "\x00")
	d.custom = c.planner.cache.definitions.get(d.digest, func() *schema.Custom { return schema.Define(manifests) })
	return d
}

// schemaTarget says what is known of the API server of a cluster.
func (c *computation) schemaTarget(cl *v1alpha1.Cluster) schemaTarget {
	facts := c.snap.Facts[cl.Name]
	version, err := schema.ParseVersion(cmp.Or(facts.Version, cl.Status.KubernetesVersion))
	if err != nil {
		// Without a version only what no release takes is refused; the check says that it was not made.
		version = schema.Version{}
	}
	t := schemaTarget{Target: schema.Target{Version: version}, name: version.String()}
	if facts.Schemas != nil {
		raw := string(facts.Schemas.Raw)
		if served := c.planner.cache.served.get(raw, func() *schema.Served { s, _ := schema.ParseServed([]byte(raw)); return s }); served != nil {
			t.Served, t.name = served, t.name+"/"+cl.Name
		}
	}
	if len(cl.Status.APIEnablements) > 0 {
		t.serves = map[[2]string]bool{}
		for _, e := range cl.Status.APIEnablements {
			for _, r := range e.Resources {
				t.serves[[2]string{e.GroupVersion, r.Kind}] = true
			}
		}
	}
	return t
}

// checkSchema says what the API server of a cluster will refuse of an object, or warns of.
func (c *computation) checkSchema(it *item, t *target, rendered render.Rendered) {
	checks := c.schemas()
	to := checks.targets[t.cluster]
	if d := checks.definitions.items[groupKind{it.ref.Group(), it.ref.Kind}]; d != nil && d.goesTo(t.cluster) {
		to.Custom, to.name = checks.definitions.custom, to.name+"/"+checks.definitions.digest
	}
	v := c.planner.cache.verdicts.get(schemaKey{rendered.Digest, to.name}, func() *verdict { return c.judge(rendered, to) })
	if len(v.faults) == 0 && v.id == "" {
		return
	}
	ref := it.ref
	f := finding{Object: &ref, Repository: it.source.Source, Source: it.Origin.Source, Clusters: []string{c.clusters[t.cluster].Name}}
	for _, fault := range v.faults {
		found := c.faultOf(it, rendered, fault, f)
		if fault.Open {
			found.Severity = v1alpha1.SeverityCaution
		}
		c.findings.add(found)
	}
	if v.id == APIDeprecated || v.id != "" && !to.serves[[2]string{it.ref.APIVersion, it.ref.Kind}] {
		f.ID, f.Message = v.id, fmt.Sprintf("%s: %s", ref, v.message)
		c.findings.add(f)
	}
}

// faultOf is the finding about a fault, at the rule that wrote the field where one did.
func (c *computation) faultOf(it *item, rendered render.Rendered, fault schema.Fault, f finding) finding {
	f.ID, f.Message, f.Field = SchemaInvalid, fmt.Sprintf("%s: %s", it.ref, fault.Message), fault.Pointer
	if origin := rendered.OriginOf(fault.Pointer); origin.Kind == render.OriginOverride && origin.Source != "" {
		f.Source, f.Field = origin.Source, ""
		if r, ok := overriding(rendered, origin); ok {
			f.Repository = r.Repository
		}
	}
	return f
}

// overriding returns the rule that an origin names.
func overriding(r render.Rendered, o render.Origin) (render.RuleRef, bool) {
	i := slices.IndexFunc(r.Matched, func(m render.RuleRef) bool { return m.Policy == o.Name && m.Rule == o.Rule })
	if i < 0 {
		return render.RuleRef{}, false
	}
	return r.Matched[i], true
}

// judge checks one version of a manifest for one API server.
func (c *computation) judge(rendered render.Rendered, to schemaTarget) *verdict {
	checker, object := c.planner.cache.checker, rendered.Object.Object
	v := &verdict{}
	var known bool
	v.faults, known = checker.Check(object, to.Target)
	age, aging := checker.Age(object)
	switch {
	case aging && age.IsRemoved(to.oldest()):
		v.id, v.message = APIRemoved, ageMessage(object, "is not served any more", age.Removed, age)
	case aging && age.IsDeprecated(to.oldest()):
		v.id, v.message = APIDeprecated, ageMessage(object, "is deprecated", age.Deprecated, age)
	case known:
	default:
		if serves, sure := checker.Serves(object, to.Version); sure && !serves && !aging {
			v.id, v.message = SchemaInvalid, fmt.Sprintf("Kubernetes %s has no kind %v in %v", to.releases(), object["kind"], object["apiVersion"])
		} else if versions := to.Custom.Unserved(object); len(versions) > 0 {
			v.id, v.message = SchemaInvalid, fmt.Sprintf("its CustomResourceDefinition does not serve %v but %s", object["apiVersion"], strings.Join(versions, ", "))
		}
	}
	v.faults = append(v.faults, to.Custom.Faults(object)...)
	// A manifest may be the part of an object that others complete; one that has nothing but its replicas surely is.
	v.faults = slices.DeleteFunc(v.faults, func(f schema.Fault) bool { return f.Open && (f.Pointer == "" || f.Pointer == "/spec") })
	return v
}

// oldest is the version to judge the age of an API by: that of the cluster, else the oldest that is
// known field by field.
func (t schemaTarget) oldest() schema.Version {
	if t.Version.IsZero() {
		all := schema.Embedded()
		return all[len(all)-1]
	}
	return t.Version
}

// releases names the versions that a manifest was compared with.
func (t schemaTarget) releases() string {
	if !t.Version.IsZero() {
		return t.Version.String()
	}
	var names []string
	for _, v := range schema.Embedded() {
		names = append(names, v.String())
	}
	return strings.Join(names, " or ")
}

func ageMessage(object map[string]any, what string, since schema.Version, age schema.Age) string {
	message := fmt.Sprintf("%v %v %s since Kubernetes %s", object["apiVersion"], object["kind"], what, since)
	if age.Removed != since && !age.Removed.IsZero() {
		message += fmt.Sprintf(" and not served from %s on", age.Removed)
	}
	if age.Replacement == "" {
		return message + "; there is no replacement"
	}
	return message + "; use " + age.Replacement
}
