package render

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Variables stand in the texts of an object as ${armada:cluster.FACT} or, with a text for clusters that do
// not have the fact, ${armada:cluster.FACT:-default}. $${armada:…} stands for the text without the first
// dollar. They are replaced in values, never in keys, and a value stays a text.

// AnnotationVariables says whether an object asks for variables, whatever its source says.
const AnnotationVariables = "armada-sync.io/variables"

// The values of AnnotationVariables.
const (
	VariablesEnabled  = "enabled"
	VariablesDisabled = "disabled"
)

const (
	variableOpen    = "${armada:"
	variableEscaped = "$" + variableOpen
	variableClose   = "}"
	variableElse    = ":-"
	maxVariableText = 512
)

// HasVariables tells that the texts of an object ask for variables, or write one that is none.
func HasVariables(content any) bool {
	switch v := content.(type) {
	case string:
		return strings.Contains(v, variableOpen)
	case []any:
		return slices.ContainsFunc(v, HasVariables)
	case map[string]any:
		for _, child := range v {
			if HasVariables(child) {
				return true
			}
		}
	}
	return false
}

// facts are what variables can say of a cluster, by name. A fact that is not in it is not set.
type facts map[string]string

// factsOf are the facts of a cluster.
func factsOf(c *v1alpha1.Cluster) facts {
	f := facts{"cluster.name": c.Name}
	for name, value := range map[string]string{
		"cluster.provider": c.Spec.Provider, "cluster.region": c.Spec.Region,
		"cluster.zones": strings.Join(c.Spec.Zones, ","),
	} {
		if value != "" {
			f[name] = value
		}
	}
	if len(c.Spec.Zones) == 1 {
		f["cluster.zone"] = c.Spec.Zones[0]
	}
	for key, value := range c.Labels {
		f["cluster.labels."+key] = value
	}
	for key, value := range c.Annotations {
		f["cluster.annotations."+key] = value
	}
	return f
}

// key identifies the facts for a cache.
func (f facts) key() []byte {
	var key []byte
	for _, name := range slices.Sorted(maps.Keys(f)) {
		key = strconv.AppendQuote(strconv.AppendQuote(key, name), f[name])
	}
	return key
}

// expand replaces the variables of a text.
func (f facts) expand(text string) (string, error) {
	if !strings.Contains(text, variableOpen) {
		return text, nil
	}
	var b strings.Builder
	for {
		at := strings.Index(text, variableOpen)
		if at < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		if at > 0 && text[at-1] == variableEscaped[0] {
			b.WriteString(text[:at-1])
			b.WriteString(variableOpen)
			text = text[at+len(variableOpen):]
			continue
		}
		b.WriteString(text[:at])
		text = text[at+len(variableOpen):]
		expression, rest, closed := strings.Cut(text, variableClose)
		if !closed || len(expression) > maxVariableText || strings.ContainsAny(expression, "\n\r") {
			return "", errors.New("a variable is not closed by }")
		}
		value, err := f.value(expression)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = rest
	}
}

// value is what stands for ${armada:expression}.
func (f facts) value(expression string) (string, error) {
	name, otherwise, hasDefault := strings.Cut(expression, variableElse)
	if !isFact(name) {
		return "", fmt.Errorf("there is no variable %q: there are cluster.name, cluster.region, cluster.provider, cluster.zone, "+
			"cluster.zones, cluster.labels.KEY and cluster.annotations.KEY", name)
	}
	if value, ok := f[name]; ok {
		return value, nil
	}
	if hasDefault {
		return otherwise, nil
	}
	return "", fmt.Errorf("%s is not set on the cluster %q; ${armada:%s:-…} gives a text for that case", name, f["cluster.name"], name)
}

// isFact tells a name that a cluster could have a value for.
func isFact(name string) bool {
	for _, prefix := range []string{"cluster.labels.", "cluster.annotations."} {
		if key, ok := strings.CutPrefix(name, prefix); ok {
			return key != ""
		}
	}
	return slices.Contains([]string{"cluster.name", "cluster.region", "cluster.provider", "cluster.zone", "cluster.zones"}, name)
}

// substitute replaces the variables of an object. It comes before the overrides, which see the values and
// win over them.
func (w *work) substitute(f facts, at string) *OverrideError {
	s := &substitution{work: w, facts: f, by: Origin{Kind: OriginVariable, Source: at}}
	object, err := s.walk(w.object, "")
	if err != nil {
		return &OverrideError{ID: v1alpha1.FindingVariableFailed, Source: at, Message: err.Error()}
	}
	content, _ := object.(map[string]any)
	w.become(content)
	return nil
}

type substitution struct {
	work  *work
	facts facts
	by    Origin
}

// walk returns a value with its variables replaced: the value itself where it has none.
func (s *substitution) walk(value any, at string) (any, error) {
	switch v := value.(type) {
	case string:
		return s.text(v, at)
	case []any:
		var list []any
		for i, item := range v {
			replaced, err := s.walk(item, joinIndex(at, i))
			if err != nil {
				return nil, err
			}
			if list == nil && !sameValue(item, replaced) {
				list = append(make([]any, 0, len(v)), v...)
			}
			if list != nil {
				list[i] = replaced
			}
		}
		if list != nil {
			return list, nil
		}
	case map[string]any:
		var m map[string]any
		for _, key := range slices.Sorted(maps.Keys(v)) {
			replaced, err := s.walk(v[key], join(at, key))
			if err != nil {
				return nil, err
			}
			if m == nil && !sameValue(v[key], replaced) {
				m = maps.Clone(v)
			}
			if m != nil {
				m[key] = replaced
			}
		}
		if m != nil {
			return m, nil
		}
	}
	return value, nil
}

// sameValue tells that nothing was replaced in a value: maps and lists are copied when something is.
func sameValue(before, after any) bool {
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		return ok && sameMap(b, a)
	case []any:
		a, ok := after.([]any)
		return ok && len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
	}
	return before == after
}

func (s *substitution) text(text, at string) (any, error) {
	if !strings.Contains(text, variableOpen) {
		return text, nil
	}
	if isIdentity(at) {
		return nil, fmt.Errorf("%s has a variable: an object has the same kind, name and namespace on every cluster", at)
	}
	expanded, err := s.facts.expand(text)
	if err != nil {
		if s.work.secret {
			// The text of a Secret may be what a variable is taken for.
			return nil, fmt.Errorf("%s has a variable that is unknown, not closed or not set on the cluster %q", at, s.facts["cluster.name"])
		}
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	s.work.writers[at] = writer{policy: variableWriter, Origin: s.by}
	return expanded, nil
}

func isIdentity(at string) bool {
	return slices.Contains([]string{"/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"}, at)
}
