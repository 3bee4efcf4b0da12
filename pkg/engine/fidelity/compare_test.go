package fidelity

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// kinds are everything that plans speak of, by resource.
type kinds map[schema.GroupVersionResource]schema.GroupVersionKind

// add takes the kinds of a plan.
func (k kinds) add(p *plan.Plan) {
	for _, c := range p.Clusters {
		for _, o := range c.Objects {
			gvk := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
			resource, _ := meta.UnsafeGuessKindToResource(gvk)
			k[resource] = gvk
		}
	}
}

// named finds the kind of a resource; of what no plan speaks of it is the resource.
func (k kinds) named(group, resource string) string {
	for gvr, gvk := range k {
		if gvr.Group == group && gvr.Resource == resource {
			return gvk.Kind
		}
	}
	return resource
}

// place is one object on one cluster.
type place struct{ cluster, kind, namespace, name string }

func (p place) String() string {
	return fmt.Sprintf("%s %s/%s on %s", p.kind, p.namespace, p.name, p.cluster)
}

// seen is what is looked at of an object of ours.
type seen struct {
	uid string
	// mark is the digest of what was applied, and the source that it came from.
	mark   string
	fields leaves
	// replicas is nil where the kind has none.
	replicas *int64
}

// ours are all objects of ours on all clusters.
func (w *world) ours(all kinds) map[place]seen {
	found := map[place]seen{}
	for _, cluster := range w.clusters {
		for _, gvk := range all {
			for _, u := range w.fleet.list(cluster, gvk) {
				digest := u.GetAnnotations()[v1alpha1.AnnotationDigest]
				if digest == "" || len(u.GetOwnerReferences()) > 0 {
					continue
				}
				s := seen{uid: string(u.GetUID()), mark: digest + " of " + u.GetAnnotations()[v1alpha1.AnnotationSource], fields: ownLeaves(u)}
				if n, found, err := unstructured.NestedInt64(u.Object, "spec", "replicas"); found && err == nil {
					s.replicas = &n
				}
				found[place{cluster, gvk.Kind, u.GetNamespace(), u.GetName()}] = s
			}
		}
	}
	return found
}

// foretold is what a report says of one object on one cluster.
type foretold struct {
	action v1alpha1.Action
	fields map[string]value
}

// foretell takes a report apart.
func foretell(r plan.Report) (all map[place]foretold, twice []string) {
	all = map[place]foretold{}
	for _, g := range r.Groups {
		for _, cluster := range g.Clusters {
			for _, o := range g.Objects {
				at := place{cluster, o.Kind, o.Namespace, o.Name}
				if _, said := all[at]; said {
					twice = append(twice, fmt.Sprintf("%s stands in two groups", at))
				}
				all[at] = foretold{action: g.Action, fields: fieldsOn(g, cluster)}
			}
		}
	}
	return all, twice
}

// fieldsOn are the changed fields of a group on one of its clusters.
func fieldsOn(g plan.ReportGroup, cluster string) map[string]value {
	before, after := leaves{}, leaves{}
	for _, f := range g.Fields {
		old, now := f.Old, f.New
		for _, v := range f.Values {
			if v.Cluster == cluster {
				old, now = v.Old, v.New
			}
		}
		before.add(f.Path, plain(old))
		after.add(f.Path, plain(now))
	}
	return differences(before, after)
}

// plain is a value as the API has it.
func plain(v any) any {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&map[string]any{"v": v})
	if err != nil {
		return fmt.Sprint(v)
	}
	return content["v"]
}

// hold previews a commit, pushes it, and returns how what happens differs from what was said.
func (w *world) hold(next contents, distort distortion, counted *tally) []string {
	all := kinds{}
	report := w.preview(next, all)
	before := w.ours(all)
	for _, f := range report.Findings {
		if f.ID == plan.StaleSnapshot {
			return []string{"the snapshot counts as stale: " + f.Message}
		}
	}
	if distort != nil && !distort(&report) {
		return nil
	}
	w.fleet.forget()
	w.push(next)
	if why := w.rest(); why != "" {
		return []string{why}
	}
	c := comparison{before: before, after: w.ours(all), writes: w.writes(all), tally: counted}
	c.said, c.found = foretell(report)
	counted.previews++
	c.objects()
	c.requests()
	c.shares(report)
	c.summary(report)
	return c.found
}

// handOver stands for a request that leaves the live value of a field to others, which goes before the change.
const handOver = "hand over"

// writes are the verbs of the successful writes to each object; what is written of our own bookkeeping is
// left out.
func (w *world) writes(known kinds) map[place][]string {
	all := map[place][]string{}
	for _, cluster := range w.clusters {
		for _, r := range w.fleet.requests(cluster) {
			if !r.Write() || r.Code >= 300 || r.Namespace == apply.SystemNamespace || r.Name == apply.SystemNamespace {
				continue
			}
			namespace := r.Namespace
			if r.Resource == "namespaces" {
				namespace = ""
			}
			at := place{cluster, known.named(r.Group, r.Resource), namespace, r.Name}
			verb := strings.TrimSuffix(r.Verb+" "+r.Subresource, " ")
			if strings.Contains(r.Path, "fieldManager="+apply.HandOverManager) {
				verb = handOver
			}
			all[at] = append(all[at], verb)
		}
	}
	return all
}

// comparison holds a report against what happened.
type comparison struct {
	said          map[place]foretold
	before, after map[place]seen
	writes        map[place][]string
	tally         *tally
	found         []string
}

func (c *comparison) differ(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

// places are everything that is or was there, or is spoken of, in order.
func (c *comparison) places() []place {
	all := map[place]bool{}
	for at := range c.said {
		all[at] = true
	}
	for at := range c.before {
		all[at] = true
	}
	for at := range c.after {
		all[at] = true
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b place) int { return strings.Compare(a.String(), b.String()) })
}

// objects compares which objects came, went and changed, and in which fields.
func (c *comparison) objects() {
	numbers := map[place]*numbering{}
	for _, at := range c.places() {
		before, was := c.before[at]
		after, is := c.after[at]
		said, spoken := c.said[at]
		happened := v1alpha1.Action("")
		switch {
		case !was && is:
			happened = v1alpha1.ActionCreate
			c.tally.creates++
		case was && !is:
			happened = v1alpha1.ActionPrune
			c.tally.prunes++
		case before.uid != after.uid && !recreated(after):
			c.differ("%s was made anew", at)
		case was && before.mark != after.mark:
			happened = v1alpha1.ActionConfigure
			c.tally.configures++
		default:
			c.tally.still++
		}
		if said.action != happened {
			c.differ("%s: the report says %q, the controller did %q (%v)", at, said.action, happened, differences(before.fields, after.fields))
			continue
		}
		if !was || !is {
			continue
		}
		if fields := differences(before.fields, after.fields); spoken || len(fields) > 0 {
			object := at
			object.cluster = ""
			if numbers[object] == nil {
				numbers[object] = &numbering{byNumber: map[string]string{}, byValue: map[string]string{}}
			}
			c.fields(at, said.fields, fields, numbers[object])
		}
	}
}

// recreated tells that Git allows to make an object anew for a field that cannot change.
func recreated(s seen) bool {
	return s.fields[below("metadata.annotations", v1alpha1.AnnotationRecreate)] == `"allowed"`
}

// fields compares the changed fields of one object.
func (c *comparison) fields(at place, said, happened map[string]value, n *numbering) {
	all := map[string]value{}
	maps.Copy(all, said)
	maps.Copy(all, happened)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		s, h := said[path], happened[path]
		if at.kind == "Secret" && strings.HasPrefix(path, "data.") {
			c.tally.secrets++
			if !n.agree(s.old, h.old) || !n.agree(s.new, h.new) {
				c.differ("%s, %s: the report says %s → %s, which are not the numbers of what changed", at, path, s.old, s.new)
			}
			continue
		}
		c.tally.fields++
		if s != h {
			c.differ("%s, %s: the report says %s → %s, the controller wrote %s → %s", at, path, s.old, s.new, h.old, h.new)
		}
	}
}

// numbering checks that equal values of a Secret have equal numbers, and others other ones.
type numbering struct{ byNumber, byValue map[string]string }

func (n *numbering) agree(number, value string) bool {
	if number == "" || value == "" {
		return number == value
	}
	if !strings.HasPrefix(number, `"value #`) {
		return false
	}
	a, hadNumber := n.byNumber[number]
	b, hadValue := n.byValue[value]
	n.byNumber[number], n.byValue[value] = value, number
	return hadNumber == hadValue && (!hadNumber || a == value && b == number)
}

// requests compares the requests in between: one write for each change and none for anything else.
func (c *comparison) requests() {
	want := map[v1alpha1.Action]string{v1alpha1.ActionCreate: "patch", v1alpha1.ActionConfigure: "patch", v1alpha1.ActionPrune: "delete"}
	for at, verbs := range c.writes {
		// A namespace that Git does not declare is made without a word, and is not ours.
		if _, said := c.said[at]; !said && at.name != "" {
			c.differ("%s: the report does not speak of it, the controller sent %v", at, verbs)
		}
	}
	for at, said := range c.said {
		verbs := slices.DeleteFunc(slices.Clone(c.writes[at]), func(verb string) bool { return verb == handOver })
		if recreated(c.after[at]) && c.before[at].uid != c.after[at].uid && slices.Equal(verbs, []string{"delete", "patch"}) {
			continue
		}
		if len(verbs) != 1 || verbs[0] != want[said.action] {
			c.differ("%s: %s, for which the controller sent %v", at, said.action, verbs)
		}
	}
}

// shares compares where workloads were and are, with how many replicas.
func (c *comparison) shares(r plan.Report) {
	for _, p := range r.Placements {
		listed := map[string]bool{}
		for _, a := range p.Clusters {
			listed[a.Name] = true
			at := place{a.Name, p.Workload.Kind, p.Workload.Namespace, p.Workload.Name}
			before, was := c.before[at]
			after, is := c.after[at]
			if was != (a.Action != plan.PlacementJoin) || is != (a.Action != plan.PlacementLeave) {
				c.differ("%s: the placement says %s, it was there: %v, it is there: %v", at, a.Action, was, is)
			}
			c.share(at, "before", was, a.Before, before.replicas)
			c.share(at, "after", is, a.After, after.replicas)
		}
		for at := range c.after {
			if at.kind == p.Workload.Kind && at.namespace == p.Workload.Namespace && at.name == p.Workload.Name && !listed[at.cluster] {
				c.differ("%s: it is there, the placement does not say so", at)
			}
		}
	}
}

func (c *comparison) share(at place, when string, there bool, said, live *int64) {
	// What has no field for it, such as a Pod, counts as one and shows none.
	if !there || live == nil {
		return
	}
	c.tally.shares++
	if said == nil || *said != *live {
		c.differ("%s: the share %s does not agree: said %v, live %v", at, when, deref(said), deref(live))
	}
}

func deref(n *int64) any {
	if n == nil {
		return "none"
	}
	return *n
}

// summary compares the counts.
func (c *comparison) summary(r plan.Report) {
	var counts plan.ObjectCounts
	changed := map[string]bool{}
	for at, said := range c.said {
		changed[at.cluster] = true
		switch said.action {
		case v1alpha1.ActionCreate:
			counts.Create++
		case v1alpha1.ActionConfigure:
			counts.Configure++
		case v1alpha1.ActionPrune:
			counts.Prune++
		case v1alpha1.ActionUnchanged, v1alpha1.ActionSkip:
			c.differ("a group is of what is %q", said.action)
		}
	}
	if counts != r.Summary.Objects || len(changed) != r.Summary.Clusters.Changed {
		c.differ("the summary says %+v on %d clusters, the groups %+v on %d", r.Summary.Objects, r.Summary.Clusters.Changed, counts, len(changed))
	}
}
