package plan

import (
	"iter"
	"slices"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// Inventory is what a member holds of ours, each object once. It is a value that is shared by everyone who looks at
// the member and never changed; the zero one is empty.
//
// There is one for each cluster and it has every object, so it is a sorted list: eight bytes for each object, where
// a map by key takes a hundred.
type Inventory struct {
	// objects are in the order of their keys.
	objects []*Held
}

// NewInventory makes an inventory of objects whose keys differ. It takes the list over and sorts it.
func NewInventory(objects []*Held) Inventory {
	slices.SortFunc(objects, func(a, b *Held) int { return a.Key().Compare(b.Key()) })
	return Inventory{objects}
}

// InventoryOf makes an inventory of objects by their keys.
func InventoryOf(objects map[v1alpha1.ObjectKey]*Held) Inventory {
	list := make([]*Held, 0, len(objects))
	for _, held := range objects {
		list = append(list, held)
	}
	return NewInventory(list)
}

// Len counts the objects.
func (i Inventory) Len() int { return len(i.objects) }

// Get returns an object, nil where it is not held.
func (i Inventory) Get(key v1alpha1.ObjectKey) *Held {
	if at, found := i.find(key); found {
		return i.objects[at]
	}
	return nil
}

// After returns the first object after a key, in rounds: after the last comes the first. Of an empty inventory it
// is nil.
func (i Inventory) After(key v1alpha1.ObjectKey) *Held {
	if len(i.objects) == 0 {
		return nil
	}
	at, found := i.find(key)
	if found {
		at++
	}
	return i.objects[at%len(i.objects)]
}

func (i Inventory) find(key v1alpha1.ObjectKey) (at int, found bool) {
	return slices.BinarySearchFunc(i.objects, key, func(held *Held, key v1alpha1.ObjectKey) int {
		return held.Key().Compare(key)
	})
}

// All yields the objects in the order of their keys.
func (i Inventory) All() iter.Seq[*Held] { return slices.Values(i.objects) }

// ByKey returns a map of the objects that is the caller's to change, for another inventory.
func (i Inventory) ByKey() map[v1alpha1.ObjectKey]*Held {
	objects := make(map[v1alpha1.ObjectKey]*Held, len(i.objects))
	for _, held := range i.objects {
		objects[held.Key()] = held
	}
	return objects
}
