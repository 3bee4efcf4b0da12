package apply

import (
	"bytes"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// beforeFirstApply is the manager to which an API server gives every field of an object of which nobody
// owned any, at the first apply.
const beforeFirstApply = "before-first-apply"

// lostOwners tells that the record of who owns which field of an object of ours was taken away, as some tools
// for backups and some proxies do, and that nobody put it right since.
func lostOwners(held plan.Held) bool {
	return held.UID != "" && (held.OwnedFields == "" ||
		slices.ContainsFunc(held.Detail().Managers, func(m plan.Manager) bool { return m.Name == beforeFirstApply }))
}

// reown puts the record of who owns what of an object of ours right, after someone has taken it away. An
// apply alone would not: the API server then gives what is there to a manager of its own, who keeps what Git
// drops for ever, and has a Service refuse to have a port renumbered. Nobody owns the fields afterwards but
// for what the apply that follows makes ours. When Git has changed since the last apply, nobody can tell
// which of the other fields were ours; they stay, but for the items of lists of which Git sets others.
func (s sending) reown() error {
	changed, err := s.recordOwners()
	for attempt := 1; s.outrun(err, attempt); attempt++ {
		changed, err = s.recordOwners()
	}
	if err != nil {
		return err
	}
	_, err = s.changeOwners(func(entries []metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, error) {
		return s.withoutNobody(entries, changed)
	})
	return err
}

// recordOwners has the API server write down who owns the fields of an object of which that is not known. It
// tells whether Git has changed since our last apply.
func (s sending) recordOwners() (changed bool, err error) {
	live, err := s.metadata(s.job, s.res)
	if err != nil {
		return false, err
	}
	if len(live.ManagedFields) == 0 {
		// The API server alone knows the keys of lists. It writes them down with any apply.
		marks := map[string]any{
			"labels":      map[string]any{v1alpha1.LabelPartOf: live.Labels[v1alpha1.LabelPartOf]},
			"annotations": map[string]any{v1alpha1.AnnotationDigest: live.Annotations[v1alpha1.AnnotationDigest]},
		}
		if _, err := s.applyAs(FieldManager, map[string]any{"metadata": marks}, live.ResourceVersion, true); err != nil {
			return false, err
		}
	}
	return live.Annotations[v1alpha1.AnnotationDigest] != s.digest(), nil
}

// withoutNobody returns entries without that of before-first-apply. With items, ours gets the items of its
// lists that the manifest does not have.
func (s sending) withoutNobody(entries []metav1.ManagedFieldsEntry, items bool) ([]metav1.ManagedFieldsEntry, error) {
	var extra fieldpath.Set
	var out []metav1.ManagedFieldsEntry
	for _, entry := range entries {
		if entry.Manager != beforeFirstApply {
			out = append(out, entry)
			continue
		}
		set, err := setOf(entry)
		if err != nil {
			return nil, err
		}
		for name, v := range s.Manifest.Object {
			pe := fieldpath.FieldNameElement(name)
			if below, ok := set.Children.Get(pe); ok && items && name != "metadata" && name != "status" {
				addExtraItems(&extra, fieldpath.Path{pe}, below, v)
			}
		}
	}
	for i := range out {
		if extra.Empty() || !isOurApply(out[i].Manager, string(out[i].Operation), out[i].Subresource) {
			continue
		}
		set, err := setOf(out[i])
		if err != nil {
			return nil, err
		}
		if err := putSet(&out[i], set.Union(&extra)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// addExtraItems adds to extra those items of a set of fields whose lists the manifest has, and them not.
func addExtraItems(extra *fieldpath.Set, at fieldpath.Path, set *fieldpath.Set, manifest any) {
	switch m := manifest.(type) {
	case map[string]any:
		for name, v := range m {
			pe := fieldpath.FieldNameElement(name)
			if below, ok := set.Children.Get(pe); ok {
				addExtraItems(extra, append(at.Copy(), pe), below, v)
			}
		}
	case []any:
		for pe := range itemsOf(set) {
			path := append(at.Copy(), pe)
			below, _ := set.Children.Get(pe)
			if i := slices.IndexFunc(m, func(item any) bool { return names(pe, item) }); i >= 0 {
				if below != nil {
					addExtraItems(extra, path, below, m[i])
				}
				continue
			}
			extra.Insert(path)
			if below != nil {
				below.Iterate(func(p fieldpath.Path) { extra.Insert(append(path.Copy(), p...)) })
			}
		}
	}
}

// itemsOf yields the elements of a set that are items of a list which has keys, or is a set.
func itemsOf(set *fieldpath.Set) func(yield func(fieldpath.PathElement) bool) {
	return func(yield func(fieldpath.PathElement) bool) {
		var all []fieldpath.PathElement
		set.Members.Iterate(func(pe fieldpath.PathElement) { all = append(all, pe) })
		for pe := range set.Children.All() {
			if !set.Members.Has(pe) {
				all = append(all, pe)
			}
		}
		for _, pe := range all {
			if (pe.Key != nil || pe.Value != nil) && !yield(pe) {
				return
			}
		}
	}
}

// names tells whether an element of a set is that of an item of a manifest, which may leave parts of its key
// to their defaults.
func names(pe fieldpath.PathElement, item any) bool {
	if pe.Value != nil {
		return value.Equals(*pe.Value, value.NewValueInterface(item))
	}
	fields, isMap := item.(map[string]any)
	if !isMap {
		return false
	}
	for _, key := range *pe.Key {
		v, there := fields[key.Name]
		if there && !value.Equals(key.Value, value.NewValueInterface(v)) {
			return false
		}
	}
	return true
}

// setOf reads the fields of an entry.
func setOf(entry metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	set := &fieldpath.Set{}
	if entry.FieldsV1 == nil {
		return set, nil
	}
	if err := set.FromJSON(bytes.NewReader(entry.FieldsV1.GetRawBytes())); err != nil {
		return nil, fmt.Errorf("read the fields of %q: %w", entry.Manager, err)
	}
	return set, nil
}

// putSet replaces the fields of an entry.
func putSet(entry *metav1.ManagedFieldsEntry, set *fieldpath.Set) error {
	fields, err := set.ToJSON()
	if err != nil {
		return fmt.Errorf("write the fields of %q: %w", entry.Manager, err)
	}
	entry.FieldsV1 = &metav1.FieldsV1{}
	entry.FieldsV1.SetRawBytes(fields)
	return nil
}
