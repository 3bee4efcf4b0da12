package plan_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// TestInventoryIsAMap says of any objects the same as a map of them by key.
func TestInventoryIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.SampledFrom([]string{"", "a", "b", "ab"})
		key := rapid.Custom(func(t *rapid.T) v1alpha1.ObjectReference {
			return v1alpha1.ObjectReference{
				APIVersion: rapid.SampledFrom([]string{"v1", "apps/v1", "apps/v2"}).Draw(t, "version"),
				Kind:       few.Draw(t, "kind"), Namespace: few.Draw(t, "namespace"), Name: few.Draw(t, "name"),
			}
		})
		held := map[v1alpha1.ObjectKey]*plan.Held{}
		for _, ref := range rapid.SliceOfN(key, 0, 20).Draw(t, "objects") {
			held[ref.Key()] = &plan.Held{ObjectReference: ref}
		}
		inventory := plan.InventoryOf(held)
		if inventory.Len() != len(held) || !maps.Equal(inventory.ByKey(), held) {
			t.Fatalf("%d objects of %d", inventory.Len(), len(held))
		}
		keys := slices.SortedFunc(maps.Keys(held), v1alpha1.ObjectKey.Compare)
		at := 0
		for h := range inventory.All() {
			if h != held[keys[at]] {
				t.Fatalf("%s is at place %d, not %s", h, at, keys[at])
			}
			at++
		}
		asked := key.Draw(t, "asked").Key()
		if got := inventory.Get(asked); got != held[asked] {
			t.Fatalf("%s: %v", asked, got)
		}
		// A round from any key meets each object once.
		var round []v1alpha1.ObjectKey
		for next := asked; len(round) < len(keys); {
			next = inventory.After(next).Key()
			round = append(round, next)
		}
		if slices.SortFunc(round, v1alpha1.ObjectKey.Compare); !slices.Equal(round, keys) {
			t.Fatalf("a round meets %v, not %v", round, keys)
		}
	})
}
