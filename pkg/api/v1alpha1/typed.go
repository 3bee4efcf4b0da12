package v1alpha1

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// DefaultNamespace gives a policy that lives in a namespace and names none the namespace that its
// source has for such objects. Typed reads one that still has none as of namespace "default", since
// a policy without a namespace would be the cluster-wide kind.
func (d Document) DefaultNamespace(namespace string) {
	if k, ok := findKind(d.APIVersion, d.Kind); !ok || !k.namespaced || namespace == "" {
		return
	}
	metadata, ok := d.Content["metadata"].(map[string]any)
	if !ok {
		return
	}
	if current, _ := metadata["namespace"].(string); current == "" {
		metadata["namespace"] = namespace
	}
}

// Typed reads a document of ours strictly and validates it: it returns a *PropagationPolicy,
// *OverridePolicy, *Cluster, *GitSource, *Config, *Placement, *Snapshot, *Inventory, *ClusterFacts or *Orders,
// and everything that is wrong or worth knowing, in the order of the file. With a blocker among the
// problems the value is nil. Documents in Karmada's groups give the same values as the same documents
// in ours; older spellings are read as the present ones. A Config and a GitSource come with their
// defaults; elsewhere what the document leaves open stays open.
func (d Document) Typed() (any, []Problem) {
	t := &typing{document: d}
	k, ok := findKind(d.APIVersion, d.Kind)
	if !ok {
		t.invalid = FindingInvalidConfiguration
		t.unknownKind()
		return nil, t.problems
	}
	t.invalid = k.invalid
	value := k.make()
	decoder := strictDecoder{tables: d.tables, report: t.decodeProblem}
	if decoder.tables == nil {
		decoder.tables = &fieldTables{}
	}
	if !strings.HasPrefix(d.APIVersion, Group+"/") {
		decoder.mayIgnore = []string{"status"}
	}
	decoder.decode(d.Content, reflect.ValueOf(value).Elem())
	t.normalise(value, k)
	t.validate(value, k)
	slices.SortStableFunc(t.problems, Problem.Compare)
	if Blocked(t.problems) {
		return nil, t.problems
	}
	switch v := value.(type) {
	case *Config:
		v.Spec.SetDefaults()
	case *GitSource:
		v.Spec.SetDefaults()
	}
	return value, t.problems
}

// typing is the state of reading one document of ours.
type typing struct {
	document Document
	invalid  string
	problems []Problem
	// undecoded are the fields that could not be decoded: what validation says about them is an echo.
	undecoded []string
	// legacyRule tells that the only override rule was written as spec.targetCluster and
	// spec.overriders.
	legacyRule bool
	// known are the lines of the document's fields, once someone asked for them: most documents of a
	// fleet file have no problem, and many fields.
	known map[string]int
}

// lines returns the lines of the document's fields.
func (t *typing) lines() map[string]int {
	if t.known == nil {
		t.known = t.document.Lines()
	}
	return t.known
}

func (t *typing) add(id string, severity Severity, field, message string) {
	if rest, ok := strings.CutPrefix(field, "spec.overrideRules[0]."); ok && t.legacyRule {
		field = "spec." + rest
	}
	t.problems = append(t.problems, Problem{
		Position: Position{File: t.document.Position.File, Line: LineOf(t.lines(), field, t.document.Position.Line)},
		Field:    field, Message: message, ID: id, Severity: severity, Object: t.document.reference(),
	})
}

func (t *typing) decodeProblem(field, message string) {
	t.undecoded = append(t.undecoded, field)
	t.add(t.invalid, SeverityBlocker, field, message)
}

// problem reports an error of validation.
func (t *typing) problem(field, format string, args ...any) {
	for _, u := range t.undecoded {
		if isAround(u, field) || isAround(field, u) {
			return
		}
	}
	t.add(t.invalid, SeverityBlocker, field, fmt.Sprintf(format, args...))
}

// isAround tells that a field path is another one or lies around it.
func isAround(outer, inner string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}

// ignored reports a field that is accepted and has no effect.
func (t *typing) ignored(field, format string, args ...any) {
	t.add(FindingFieldIgnored, SeverityInfo, field, fmt.Sprintf(format, args...))
}

// withoutEffect reports, where it is set, a field that has no effect in this version. Unlike what ignored
// reports, somebody may rely on it, so that silence or a remark would not do.
func (t *typing) withoutEffect(field string, isSet bool, consequence string) {
	if isSet {
		t.add(FindingFieldIgnored, SeverityCaution, field, "the field has no effect in this version: "+consequence)
	}
}

// unknownKind reports a document that is none of ours.
func (t *typing) unknownKind() {
	d := t.document
	switch {
	case d.Kind == "" && d.APIVersion == "":
		t.problem("", "the document has no apiVersion and kind")
		return
	case IsUnsupportedKarmada(d.APIVersion, d.Kind):
		t.add(FindingKindNotSupported, SeverityCaution, "kind",
			fmt.Sprintf("the kind %s of %s is not supported", shorten(d.Kind), shorten(d.APIVersion)))
		return
	case !strings.HasPrefix(d.APIVersion, Group+"/"):
		t.problem("kind", "the kind %s of %s is not one of armada-sync's", shorten(d.Kind), shorten(d.APIVersion))
		return
	case d.APIVersion != APIVersion:
		t.problem("apiVersion", "the version %s is not supported; use %s", shorten(d.APIVersion), APIVersion)
		return
	}
	best, distance := "", 4
	for _, k := range kinds() {
		if n := editDistance(strings.ToLower(d.Kind), strings.ToLower(k.name), distance); n < distance {
			best, distance = k.name, n
		}
	}
	if best != "" {
		t.problem("kind", "the kind %s does not exist in %s; did you mean %s?", shorten(d.Kind), APIVersion, best)
		return
	}
	t.problem("kind", "the kind %s does not exist in %s", shorten(d.Kind), APIVersion)
}

// normalise turns what has several spellings into one: Karmada's groups, its older values and
// fields.
func (t *typing) normalise(value any, k kind) {
	switch v := value.(type) {
	case *PropagationPolicy:
		v.APIVersion, v.Position, v.Lines = APIVersion, t.document.Position, t.lines()
		v.Namespace = t.namespace(v.Namespace, k)
		normaliseFailover(v.Spec.Failover)
	case *OverridePolicy:
		v.APIVersion, v.Position, v.Lines = APIVersion, t.document.Position, t.lines()
		v.Namespace = t.namespace(v.Namespace, k)
		t.normaliseOverrides(&v.Spec)
	case *Cluster:
		v.APIVersion, v.Position = APIVersion, t.document.Position
		if len(v.Spec.Zones) == 0 && v.Spec.Zone != "" {
			v.Spec.Zones = []string{v.Spec.Zone}
		}
		v.Spec.Zone = ""
	case *GitSource:
		v.Position = t.document.Position
	case *Config:
		v.Position = t.document.Position
	}
}

// namespace returns the namespace of an object: "default" where a namespaced one names none, and
// none for the cluster-wide kinds, which is a problem where one is named.
func (t *typing) namespace(namespace string, k kind) string {
	switch {
	case k.namespaced && namespace == "":
		return "default"
	case !k.namespaced && namespace != "":
		t.problem("metadata.namespace", "a %s is cluster-wide and has no namespace", k.name)
		return ""
	}
	return namespace
}

// normaliseFailover reads the older names of the purge modes.
func normaliseFailover(f *FailoverBehavior) {
	modern := func(m PurgeMode) PurgeMode {
		switch m {
		case "Immediately":
			return PurgeDirectly
		case "Graciously":
			return PurgeGracefully
		default:
			return m
		}
	}
	if f == nil {
		return
	}
	if f.Application != nil {
		f.Application.PurgeMode = modern(f.Application.PurgeMode)
	}
	if f.Cluster != nil {
		f.Cluster.PurgeMode = modern(f.Cluster.PurgeMode)
	}
}

// normaliseOverrides reads Karmada's spec-level targetCluster and overriders as one rule. Lines then
// also knows the fields of that rule.
func (t *typing) normaliseOverrides(spec *OverrideSpec) {
	if spec.TargetCluster == nil && spec.Overriders == nil {
		return
	}
	if len(spec.OverrideRules) > 0 {
		field := "spec.overriders"
		if spec.Overriders == nil {
			field = "spec.targetCluster"
		}
		t.problem(field, "the field cannot stand beside overrideRules; make it one of the rules")
		return
	}
	rule := RuleWithCluster{TargetCluster: spec.TargetCluster}
	if spec.Overriders != nil {
		rule.Overriders = *spec.Overriders
	}
	t.legacyRule = true
	spec.OverrideRules, spec.TargetCluster, spec.Overriders = []RuleWithCluster{rule}, nil, nil
	first := 0
	for path, line := range t.document.Lines() {
		rest, ok := strings.CutPrefix(path, "spec.")
		if !ok || !strings.HasPrefix(rest, "targetCluster") && !strings.HasPrefix(rest, "overriders") {
			continue
		}
		t.lines()["spec.overrideRules[0]."+rest] = line
		if first == 0 || line < first {
			first = line
		}
	}
	t.lines()["spec.overrideRules[0]"] = first
}
