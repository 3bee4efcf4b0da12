package v1alpha1

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (t *typing) cluster(c *Cluster) {
	seen := map[string]string{}
	for i, zone := range c.Spec.Zones {
		if t.required(at("spec.zones", i), zone) {
			t.unique(seen, at("spec.zones", i), zone, "zone")
		}
	}
	t.taints("spec.taints", c.Spec.Taints)
	if c.Spec.SecretRef != nil {
		t.required("spec.secretRef.name", c.Spec.SecretRef.Name)
		if c.Spec.KubeconfigFile != "" {
			t.problem("spec.kubeconfigFile", "the field cannot stand beside secretRef")
		}
	}
	if r := c.Spec.ClusterProfileRef; r != nil {
		t.required("spec.clusterProfileRef.namespace", r.Namespace)
		t.required("spec.clusterProfileRef.name", r.Name)
		if c.Spec.SecretRef != nil || c.Spec.KubeconfigFile != "" {
			t.problem("spec.clusterProfileRef", "the field cannot stand beside secretRef or kubeconfigFile")
		}
	}
	if c.Spec.KubeconfigContext != "" && c.Spec.KubeconfigFile == "" && c.Spec.SecretRef == nil {
		t.ignored("spec.kubeconfigContext", "the field has no effect without kubeconfigFile or secretRef")
	}
	t.ignoredByCluster(c)
	t.resourceModels("spec.resourceModels", c.Spec.ResourceModels)
	t.clusterStatus(c)
}

// ignoredByCluster reports in one line which of Karmada's fields have no effect, since its own
// Cluster objects have several of them each.
func (t *typing) ignoredByCluster(c *Cluster) {
	var names []string
	for _, f := range []struct {
		name    string
		present bool
	}{
		{"spec.apiEndpoint", c.Spec.APIEndpoint != ""},
		{"spec.id", c.Spec.ID != ""},
		{"spec.impersonatorSecretRef", c.Spec.ImpersonatorSecretRef != nil},
		{"spec.insecureSkipTLSVerification", c.Spec.InsecureSkipTLSVerification},
		{"spec.proxyHeader", len(c.Spec.ProxyHeader) > 0},
		{"spec.proxyURL", c.Spec.ProxyURL != ""},
		{"spec.syncMode", c.Spec.SyncMode != ""},
		{"status.remedyActions", len(c.Status.RemedyActions) > 0},
	} {
		if f.present {
			names = append(names, f.name)
		}
	}
	switch len(names) {
	case 0:
	case 1:
		t.ignored(names[0], "the field has no effect here")
	default:
		t.ignored(names[0], "the fields %s have no effect here", strings.Join(names, ", "))
	}
}

func (t *typing) taints(path string, taints []corev1.Taint) {
	seen := map[string]string{}
	for i := range taints {
		taint, p := &taints[i], at(path, i)
		t.qualifiedName(p+".key", taint.Key)
		t.labelValue(p+".value", taint.Value)
		if t.required(p+".effect", string(taint.Effect)) {
			oneOf(t, p+".effect", taint.Effect, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
		}
		if taint.Effect == corev1.TaintEffectPreferNoSchedule {
			t.ignored(p+".effect", "the taint has no effect: PreferNoSchedule keeps nothing from a cluster")
		}
		t.unique(seen, p, taint.Key+":"+string(taint.Effect), "taint")
	}
}

// resourceModels validates grades: each a set of ranges, and those of a resource rising with the
// grades without overlap.
func (t *typing) resourceModels(path string, models []ResourceModel) {
	seen := map[uint]bool{}
	type span struct {
		at string
		r  ResourceModelRange
	}
	last := map[corev1.ResourceName]span{}
	for i, m := range models {
		p := at(path, i)
		if seen[m.Grade] {
			t.problem(p+".grade", "the grade %d is declared twice", m.Grade)
		}
		seen[m.Grade] = true
		if i > 0 && m.Grade < models[i-1].Grade {
			t.problem(p+".grade", "grades must rise: %d stands after %d", m.Grade, models[i-1].Grade)
		}
		if len(m.Ranges) == 0 {
			t.problem(p+".ranges", "the field is required")
		}
		names := map[string]string{}
		for j, r := range m.Ranges {
			q := at(p+".ranges", j)
			if t.required(q+".name", string(r.Name)) {
				t.unique(names, q+".name", string(r.Name), "resource")
			}
			if r.Min.Sign() < 0 {
				t.problem(q+".min", "the quantity must not be negative")
			}
			if r.Max.Cmp(r.Min) <= 0 {
				t.problem(q+".max", "%s is not more than min, which is %s", r.Max.String(), r.Min.String())
			}
			if before, ok := last[r.Name]; ok && r.Min.Cmp(before.r.Max) < 0 {
				t.problem(q+".min", "%s lies below the maximum %s of %s", r.Min.String(), before.r.Max.String(), before.at)
			}
			last[r.Name] = span{q, r}
		}
	}
}

func (t *typing) clusterStatus(c *Cluster) {
	seen := map[string]string{}
	for i, condition := range c.Status.Conditions {
		p := at("status.conditions", i)
		if t.required(p+".type", condition.Type) {
			t.unique(seen, p+".type", condition.Type, "condition")
		}
		if t.required(p+".status", string(condition.Status)) {
			oneOf(t, p+".status", condition.Status, metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown)
		}
	}
	for i, e := range c.Status.APIEnablements {
		p := at("status.apiEnablements", i)
		t.required(p+".groupVersion", e.GroupVersion)
		for j, r := range e.Resources {
			t.required(at(p+".resources", j)+".kind", r.Kind)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Status.ExternalScores)) {
		score := c.Status.ExternalScores[name]
		inRange(t, string(segment{key: name}.appendTo([]byte("status.externalScores"))), &score, 0, 100)
	}
	if s := c.Status.ResourceSummary; s != nil {
		t.quantities("status.resourceSummary.allocatable", s.Allocatable)
		t.quantities("status.resourceSummary.allocating", s.Allocating)
		t.quantities("status.resourceSummary.allocated", s.Allocated)
		t.quantities("status.resourceSummary.ours", s.Ours)
		t.modelings("status.resourceSummary.allocatableModelings", s.AllocatableModelings, c.Spec.ResourceModels)
	}
}

func (t *typing) quantities(path string, list corev1.ResourceList) {
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if q := list[name]; q.Sign() < 0 {
			t.problem(string(segment{key: string(name)}.appendTo([]byte(path))), "the quantity must not be negative")
		}
	}
}

func (t *typing) modelings(path string, modelings []AllocatableModeling, models []ResourceModel) {
	if len(modelings) > 0 && len(models) == 0 {
		t.ignored(path, "the grades have no effect without spec.resourceModels")
	}
	seen := map[uint]bool{}
	for i, m := range modelings {
		p := at(path, i)
		if seen[m.Grade] {
			t.problem(p+".grade", "the grade %d is counted twice", m.Grade)
		}
		seen[m.Grade] = true
		inRange(t, p+".count", &m.Count, 0, maxWeight)
		known := slices.ContainsFunc(models, func(o ResourceModel) bool { return o.Grade == m.Grade })
		if len(models) > 0 && !known {
			t.ignored(p+".grade", "the grade %d is not among spec.resourceModels", m.Grade)
		}
	}
}

// reference validates the name of an object.
func (t *typing) referenceTo(path string, r *ObjectReference) {
	t.required(path+".apiVersion", r.APIVersion)
	t.required(path+".kind", r.Kind)
	t.required(path+".name", r.Name)
}

func (t *typing) placementDocument(s *PlacementSpec) {
	t.referenceTo("spec.workload", &s.Workload)
	seen := map[string]string{}
	for i := range s.Clusters {
		c, p := &s.Clusters[i], at("spec.clusters", i)
		if t.required(p+".name", c.Name) {
			t.unique(seen, p+".name", c.Name, "cluster")
		}
		inRange(t, p+".replicas", c.Replicas, 0, 1<<40)
	}
	t.clusterNames("spec.evicting", s.Evicting)
}

func (t *typing) snapshot(s *Snapshot) {
	switch s.FormatVersion {
	case 0, FormatVersion:
		// A file that does not say is of the first version.
	default:
		t.problem("formatVersion", "version %d of the fleet file is not supported; this release reads version %d",
			s.FormatVersion, FormatVersion)
	}
}

func (t *typing) inventory(s *InventorySpec) {
	t.required("spec.cluster", s.Cluster)
	seen := make(map[ObjectKey]int, len(s.Objects))
	for i := range s.Objects {
		o := &s.Objects[i]
		if o.APIVersion == "" || o.Kind == "" || o.Name == "" {
			t.referenceTo(at("spec.objects", i), &o.ObjectReference)
			continue
		}
		if first, ok := seen[o.Key()]; ok {
			t.problem(at("spec.objects", i), "%s is already listed as %s", o.ObjectReference, at("spec.objects", first))
			continue
		}
		seen[o.Key()] = i
		if o.Health != "" {
			oneOf(t, at("spec.objects", i)+".health", o.Health, HealthHealthy, HealthProgressing, HealthDegraded)
		}
		if o.Prune != "" {
			oneOf(t, at("spec.objects", i)+".prune", o.Prune, "confirm", "disabled")
		}
		if o.Replicas != nil {
			inRange(t, at("spec.objects", i)+".replicas", o.Replicas, 0, 1<<40)
		}
	}
}
