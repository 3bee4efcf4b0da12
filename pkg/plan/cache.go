package plan

import (
	"fmt"
	"hash/maphash"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/placement"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/schema"
)

// cache remembers by content what earlier plans worked out. Each map is replaced by what the running
// plan used of it, so that what is gone from Git is forgotten.
type cache struct {
	renderer  *render.Renderer
	traits    generations[string, *traits]
	renamed   generations[movedKey, render.Object]
	variants  generations[variantKey, *variant]
	coverages generations[coverageKey, bool]
	left      generations[leftKey, []string]
	classes   generations[string, []classRef]
	compiled  generations[string, compilation]
	// checker knows the schemas of Kubernetes; verdicts are what it said of manifests.
	checker     *schema.Checker
	verdicts    generations[schemaKey, *verdict]
	definitions generations[string, *schema.Custom]
	served      generations[string, *schema.Served]
	// decisions about CRDs, then about everything else.
	decisions [2]placement.Memory
	// seed makes hashes of this process; nothing that leaves it depends on them.
	seed maphash.Seed
}

type movedKey struct {
	content, namespace, source, origin string
}

type variantKey struct {
	digest, lent, overrides string
}

type coverageKey struct {
	of    string
	owned uint64
}

type compilation struct {
	overrides *render.Overrides
	findings  []finding
	// sets keeps the policies alive that the key names by address.
	sets []render.SourcePolicies
}

func newCache() *cache {
	return &cache{renderer: render.NewRenderer(render.Options{}), checker: schema.New(), seed: maphash.MakeSeed()}
}

// generations is a map of which what was not asked for during one turn is dropped at the next.
type generations[K comparable, V any] struct {
	now, before map[K]V
}

// get returns the value of a key, and makes it if there is none.
func (g *generations[K, V]) get(key K, make func() V) V {
	if v, ok := g.now[key]; ok {
		return v
	}
	v, ok := g.before[key]
	if !ok {
		v = make()
	}
	if g.now == nil {
		g.now = map[K]V{}
	}
	g.now[key] = v
	return v
}

func (g *generations[K, V]) turn() { g.now, g.before = nil, g.now }

// turn begins a new plan.
func (c *cache) turn() {
	c.traits.turn()
	c.renamed.turn()
	c.variants.turn()
	c.coverages.turn()
	c.left.turn()
	c.classes.turn()
	c.compiled.turn()
	c.verdicts.turn()
	c.definitions.turn()
	c.served.turn()
}

// traitsOf reads an object's content once.
func (c *cache) traitsOf(o render.Object) *traits {
	if o.ContentDigest == "" {
		return readTraits(o)
	}
	return c.traits.get(o.ContentDigest, func() *traits { return readTraits(o) })
}

// classRefs lists the classes that a rendering names.
func (c *cache) classRefs(r render.Rendered) []classRef {
	return c.classes.get(r.Digest, func() []classRef { return classRefs(r.Object) })
}

// moved returns an object with another namespace, as the same object each time.
func (c *cache) moved(o render.Object, namespace string) render.Object {
	change := func() render.Object {
		m := o
		m.Unstructured = o.DeepCopy()
		m.SetNamespace(namespace)
		if m.ContentDigest != "" {
			m.ContentDigest += "@" + namespace
		}
		return m
	}
	if o.ContentDigest == "" {
		return change()
	}
	return c.renamed.get(movedKey{o.ContentDigest, namespace, o.Source, o.Origin.Source}, change)
}

// compile prepares override policies. They are recognised by where they lie in memory: a tree is not
// changed after it was read.
func (c *cache) compile(sets []render.SourcePolicies) (*render.Overrides, []finding) {
	var key strings.Builder
	for _, s := range sets {
		fmt.Fprintf(&key, "%q %p %d ", s.Source, s.Policies, len(s.Policies))
	}
	compiled := c.compiled.get(key.String(), func() compilation {
		overrides, findings := c.renderer.Compile(sets...)
		return compilation{overrides, findings, sets}
	})
	return compiled.overrides, compiled.findings
}

// variant returns what is kept of a rendering, the same value for the same content.
func (c *cache) variant(r render.Rendered, lent []lentField, secretDigest func(*unstructured.Unstructured) string) *variant {
	key := variantKey{digest: r.Digest, overrides: strings.Join(r.Overrides, "\x00")}
	for _, f := range lent {
		key.lent += f.pointer + "\x00"
	}
	return c.variants.get(key, func() *variant {
		v := &variant{digest: r.Digest, overrides: r.Overrides, secret: render.IsSecret(r.Object)}
		if v.overrides == nil {
			v.overrides = []string{}
		}
		if stripped := withoutFields(r.Object, lent); stripped != r.Object {
			v.digest = render.Digest(stripped)
		}
		v.prune = r.Object.GetAnnotations()[v1alpha1.AnnotationPrune]
		switch {
		case !v.secret:
			v.shown = v.digest
		case secretDigest != nil:
			v.secretDigest = secretDigest(withoutFields(r.Object, lent))
		}
		return v
	})
}

// covered tells whether a fieldsV1 document covers a variant's manifest.
func (c *cache) covered(v *variant, ownedFields string, manifest func() map[string]any) bool {
	return c.coverages.get(coverageKey{v.digest, c.hash(ownedFields)}, func() bool {
		return covers(ownedFields, manifest())
	})
}

// hash tells documents apart for as long as this process lives.
func (c *cache) hash(document string) uint64 { return maphash.String(c.seed, document) }
