package render

import (
	"maps"
	"strconv"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// outline marks the parts of an object that a patch can see. Most patches look at a few fields, and
// the patch library reads every byte of its document several times: given only those fields it is
// several times faster, and the rest is shared with the original.
type outline struct {
	// whole marks a part that the patch reads or writes as such; otherwise it only looks at children.
	whole    bool
	children map[string]*outline
}

// outlineOf marks what operations can see of an object. A list whose items an operation inserts or
// removes is needed whole, since it shifts what later indexes mean.
func outlineOf(object map[string]any, operations []*patchOperation) *outline {
	root := &outline{}
	for _, o := range operations {
		root.mark(o.tokens)
		if o.op != v1alpha1.OperatorReplace && o.op != v1alpha1.OperatorTest {
			root.markList(object, o.tokens)
		}
		if o.fromPath != nil {
			root.mark(o.fromPath)
			if o.op == v1alpha1.OperatorMove {
				root.markList(object, o.fromPath)
			}
		}
	}
	return root
}

func (l *outline) mark(tokens []string) {
	for _, t := range tokens {
		if l.whole {
			return
		}
		child := l.children[t]
		if child == nil {
			child = &outline{}
			if l.children == nil {
				l.children = map[string]*outline{}
			}
			l.children[t] = child
		}
		l = child
	}
	l.whole, l.children = true, nil
}

func (l *outline) markList(object map[string]any, tokens []string) {
	if len(tokens) == 0 {
		return
	}
	parent, _ := lookup(object, tokens[:len(tokens)-1])
	if _, ok := parent.([]any); ok {
		l.mark(tokens[:len(tokens)-1])
	}
}

// excerpt returns the marked parts of a value. Maps lose their other entries; lists keep their
// length, with nulls for other items. A list that is addressed by anything else than the indexes of
// its items stays whole.
func (l *outline) excerpt(value any) any {
	if l.whole {
		return value
	}
	switch v := value.(type) {
	case map[string]any:
		part := make(map[string]any, len(l.children))
		for key, child := range l.children {
			if entry, ok := v[key]; ok {
				part[key] = child.excerpt(entry)
			}
		}
		return part
	case []any:
		part := make([]any, len(v))
		for key, child := range l.children {
			i, ok := index(key, len(v))
			if !ok {
				l.whole = true
				return value
			}
			part[i] = child.excerpt(v[i])
		}
		return part
	}
	return value
}

// restore puts the patched excerpt back into its original, of which it shares what was left out.
func (l *outline) restore(patched, original any) any {
	if l.whole {
		return patched
	}
	switch o := original.(type) {
	case map[string]any:
		p, ok := patched.(map[string]any)
		if !ok {
			return patched
		}
		full := maps.Clone(o)
		for key, child := range l.children {
			entry, ok := p[key]
			if !ok {
				delete(full, key)
				continue
			}
			full[key] = child.restore(entry, o[key])
		}
		return full
	case []any:
		p, ok := patched.([]any)
		if !ok || len(p) != len(o) {
			return patched
		}
		full := append([]any(nil), o...)
		for key, child := range l.children {
			if i, err := strconv.Atoi(key); err == nil {
				full[i] = child.restore(p[i], o[i])
			}
		}
		return full
	}
	return patched
}

// applyToExcerpt does what applyPatch does, with less work. The result shares parts with the object.
func applyToExcerpt(object map[string]any, operations []*patchOperation) (map[string]any, error) {
	marked := outlineOf(object, operations)
	part, ok := marked.excerpt(object).(map[string]any)
	if !ok {
		part, marked = object, &outline{whole: true}
	}
	patch := make(jsonpatch.Patch, 0, len(operations))
	for _, o := range operations {
		patch = append(patch, o.compiled)
	}
	patched, err := applyPatch(part, patch)
	if err != nil {
		return nil, err
	}
	result, _ := marked.restore(patched, object).(map[string]any)
	return result, nil
}
