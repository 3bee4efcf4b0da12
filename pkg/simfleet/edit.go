package simfleet

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

func (c *Cluster) editAs(manager string, sv *served, namespace, name string, edit func(map[string]any)) error {
	err := c.editObject(manager, sv, "", namespace, name, func(obj runtime.Object) error {
		if u, ok := obj.(*unstructured.Unstructured); ok {
			edit(u.Object)
			return nil
		}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
		if err != nil {
			return fmt.Errorf("read the object: %w", err)
		}
		edit(content)
		next := sv.registry.newFunc()
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, next); err != nil {
			return fmt.Errorf("write the object: %w", err)
		}
		c.catalog.scheme.Default(next)
		next.GetObjectKind().SetGroupVersionKind(sv.gvk)
		return replaceObject(obj, next)
	})
	if err != nil {
		return fmt.Errorf("edit %s %s on cluster %q: %w", sv.gvk.Kind, storeKey(namespace, name), c.name, err)
	}
	return nil
}

// replaceObject overwrites a typed object with another of its type.
func replaceObject(dst, src runtime.Object) error {
	to, from := structValue(dst), structValue(src)
	if !to.IsValid() || !from.IsValid() || to.Type() != from.Type() {
		return fmt.Errorf("cannot put %T in place of %T", src, dst)
	}
	to.Set(from)
	return nil
}
