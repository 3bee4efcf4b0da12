package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
)

// Blame says of fields of an object, as it is meant for one cluster, what wrote them.
type Blame struct {
	APIVersion string                   `json:"apiVersion"`
	Kind       string                   `json:"kind"`
	Object     v1alpha1.ObjectReference `json:"object"`
	Cluster    string                   `json:"cluster"`
	// Source is the name of the source, Declared the "file:line" of the document, and Unit the folder of the
	// kustomization or chart that it was built by; empty for a plain file.
	Source   string `json:"source"`
	Declared string `json:"declared"`
	Unit     string `json:"unit,omitempty"`
	// Origin says how the object was read: File, Kustomization or Chart.
	Origin render.OriginKind `json:"origin"`
	// Fields are those that were asked for, in the order of their pointers.
	Fields []BlamedField `json:"fields"`
}

// BlamedField is one field and what wrote it.
type BlamedField struct {
	// Path is for people, and Pointer the JSON pointer.
	Path    string `json:"path"`
	Pointer string `json:"pointer"`
	// Value as JSON, null where the field is gone; values of Secrets are masked.
	Value json.RawMessage `json:"value"`
	// Removed tells that the field was taken away.
	Removed bool `json:"removed,omitempty"`
	// Origin is what wrote it; its Source is "file:line".
	Origin render.Origin `json:"origin"`
	// Repository is the name of the source that Origin is about.
	Repository string `json:"repository"`
	// Note says what else there is to know, such as who changes the field later.
	Note string `json:"note,omitempty"`
	// Declared is the JSON pointer in the document where the object itself has the field.
	Declared string `json:"-"`
}

// BlameFields computes the plan and says what wrote a field of an object on a cluster: q says which object
// and cluster. Path is a path such as spec.template.spec.containers[name=api].image or a JSON pointer;
// empty: every field that something else than the object's own document wrote.
func BlameFields(trees Trees, snap Snapshot, q Question, path string) (*Blame, error) {
	c := NewPlanner(Options{}).begin(trees, snap)
	p := c.run()
	it, err := c.find(q)
	if err != nil {
		return nil, err
	}
	if _, ok := c.clusterN[q.Cluster]; !ok {
		return nil, fmt.Errorf("cluster %q: the fleet has no such cluster", q.Cluster)
	}
	rendered, err := p.Rendered(q.Cluster, it.ref)
	if err != nil {
		return nil, fmt.Errorf("%s on %q: %w", it.ref, q.Cluster, err)
	}
	b := &Blame{
		APIVersion: v1alpha1.APIVersion, Kind: "Blame", Object: it.ref, Cluster: q.Cluster, Source: it.source.Source,
		Declared: it.Origin.Source, Origin: it.Origin.Kind, Fields: []BlamedField{},
	}
	if it.Origin.Kind != render.OriginFile {
		b.Unit = it.Unit
	}
	asker := &blaming{item: it, rendered: rendered, shown: rendered.Object.Object}
	if render.IsSecret(rendered.Object) {
		asker.shown = render.MaskSecret(rendered.Object).Object
	}
	pointers, err := asker.pointers(path)
	if err != nil {
		return nil, err
	}
	for _, pointer := range pointers {
		b.Fields = append(b.Fields, asker.field(pointer))
	}
	return b, nil
}

// blaming answers for one object on one cluster.
type blaming struct {
	item     *item
	rendered render.Rendered
	// shown is the manifest with masked values.
	shown map[string]any
}

// pointers are the fields that a path asks for: the one that it names and those below it that something
// else wrote.
func (b *blaming) pointers(path string) ([]string, error) {
	changed := slices.SortedFunc(maps.Keys(b.rendered.Fields), comparePointers)
	if path == "" {
		return changed, nil
	}
	pointer, err := b.resolve(path)
	if err != nil {
		return nil, err
	}
	all := []string{pointer}
	for _, p := range changed {
		if strings.HasPrefix(p, pointer+"/") {
			all = append(all, p)
		}
	}
	return all, nil
}

// comparePointers orders by name, and items of lists by number.
func comparePointers(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "/"), strings.Split(b, "/"), func(x, y string) int {
		m, errX := strconv.Atoi(x)
		n, errY := strconv.Atoi(y)
		if errX == nil && errY == nil {
			return m - n
		}
		return strings.Compare(x, y)
	})
}

// resolve turns a path into the pointer of a field that is there, or that something took away.
func (b *blaming) resolve(path string) (string, error) {
	tokens, err := parsePath(path)
	if err != nil {
		return "", err
	}
	var value any = b.shown
	pointer := ""
	for i, t := range tokens {
		key, next, ok := t.in(value)
		pointer += "/" + render.EscapeToken(key)
		if !ok {
			if _, removed := b.rendered.Fields[pointer]; removed && i == len(tokens)-1 {
				return pointer, nil
			}
			return "", fmt.Errorf("%s has no field %q on this cluster: %s", b.item.ref, path, has(value, t))
		}
		value = next
	}
	return pointer, nil
}

// has says what is there instead of a token.
func has(value any, t pathToken) string {
	switch v := value.(type) {
	case map[string]any:
		return fmt.Sprintf("where %q was looked for, there are %s", t.text(), strings.Join(firstFewInOrder(slices.Sorted(maps.Keys(v)), 6), ", "))
	case []any:
		return fmt.Sprintf("where %q was looked for, there is a list of %d items", t.text(), len(v))
	}
	return fmt.Sprintf("%q would be inside a value", t.text())
}

// field answers for one pointer.
func (b *blaming) field(pointer string) BlamedField {
	f := BlamedField{Pointer: pointer, Origin: b.rendered.OriginOf(pointer), Repository: b.item.source.Source}
	tokens, _ := render.ParsePointer(pointer)
	value, found := FieldAt(b.shown, tokens)
	f.Path, f.Removed = readablePath(b.shown, tokens), !found
	f.Value = json.RawMessage("null")
	if raw, err := json.Marshal(value); err == nil && found {
		f.Value = raw
	}
	switch f.Origin.Kind {
	case render.OriginOverride:
		if rule, ok := overriding(b.rendered, f.Origin); ok {
			f.Repository = rule.Repository
		}
	case render.OriginDivision:
		if b.item.owner != nil {
			f.Repository = b.item.owner.source.Source
		}
	case render.OriginFile, render.OriginKustomization, render.OriginChart, render.OriginVariable:
		f.Declared = declaredPointer(b.item.Object.Object, b.shown, tokens)
	}
	if b.item.scaler != nil && pointer == "/"+strings.Join(b.item.facts.ReplicasField, "/") {
		f.Note = fmt.Sprintf("only where it starts: %s owns the field afterwards", b.item.scaler.ref)
	}
	return f
}

// readablePath writes a pointer for people; items of lists go by their name.
func readablePath(object any, tokens []string) string {
	path := ""
	for _, t := range tokens {
		switch v := object.(type) {
		case []any:
			i, err := strconv.Atoi(t)
			object = nil
			if err == nil && i >= 0 && i < len(v) {
				object = v[i]
			}
			if m, ok := object.(map[string]any); ok && stringAt(m, "name") != "" {
				path += "[name=" + stringAt(m, "name") + "]"
			} else {
				path += "[" + t + "]"
			}
		case map[string]any:
			object = v[t]
			path = joinPath(path, t)
		default:
			object = nil
			path = joinPath(path, t)
		}
	}
	return path
}

// declaredPointer finds a field of the rendered manifest in the document: items of lists by their names,
// since overrides may have moved them.
func declaredPointer(declared, rendered any, tokens []string) string {
	pointer := ""
	for _, t := range tokens {
		list, isList := rendered.([]any)
		i, err := strconv.Atoi(t)
		if isList && err == nil && i >= 0 && i < len(list) {
			old, _ := declared.([]any)
			if m, ok := list[i].(map[string]any); ok && stringAt(m, "name") != "" {
				if at := slices.IndexFunc(old, func(o any) bool {
					m2, _ := o.(map[string]any)
					return m2 != nil && stringAt(m2, "name") == stringAt(m, "name")
				}); at >= 0 {
					t = strconv.Itoa(at)
				}
			}
		}
		pointer += "/" + render.EscapeToken(t)
		declared, _ = FieldAt(declared, []string{strings.TrimSpace(t)})
		if isList {
			if err == nil && i >= 0 && i < len(list) {
				rendered = list[i]
			}
			continue
		}
		m, _ := rendered.(map[string]any)
		rendered = m[t]
	}
	return pointer
}
