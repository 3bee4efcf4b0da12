package placement

import (
	"hash/maphash"
	"slices"
)

// nameLists keeps lists of clusters, sorted by name, so that decisions which reject the same clusters
// share one: among thousands of decisions over a thousand clusters they are most of the memory.
type nameLists struct {
	seed   maphash.Seed
	byHash map[uint64][]string
	edited map[edit][]string
	// scratch is room for the names of all clusters.
	scratch []string
}

// edit is a list, by where it lies, with one name more or less.
type edit struct {
	first *string
	count int
	name  string
	more  bool
}

func newNameLists(clusters int) *nameLists {
	return &nameLists{maphash.MakeSeed(), map[uint64][]string{}, map[edit][]string{}, make([]string, clusters)}
}

// shared returns a list that is equal to this one, which may be overwritten afterwards.
func (l *nameLists) shared(names []string) []string {
	// Ends and length tell most lists apart; what they do not is compared.
	var h maphash.Hash
	h.SetSeed(l.seed)
	h.WriteString(names[0])
	h.WriteString(names[len(names)/2])
	h.WriteString(names[len(names)-1])
	h.WriteByte(byte(len(names)))
	h.WriteByte(byte(len(names) >> 8))
	key := h.Sum64()
	if known, ok := l.byHash[key]; ok && slices.Equal(known, names) {
		return known
	}
	list := slices.Clone(names)
	l.byHash[key] = list
	return list
}

// with returns a list with one more name, without with one less.
func (l *nameLists) with(names []string, name string) []string {
	return l.edit(names, name, true, func(at int, found bool) []string {
		if found {
			return names
		}
		list := make([]string, 0, len(names)+1)
		return append(append(append(list, names[:at]...), name), names[at:]...)
	})
}

func (l *nameLists) without(names []string, name string) []string {
	return l.edit(names, name, false, func(at int, found bool) []string {
		if !found {
			return names
		}
		return slices.Concat(names[:at], names[at+1:])
	})
}

func (l *nameLists) edit(names []string, name string, more bool, make func(at int, found bool) []string) []string {
	key := edit{&names[0], len(names), name, more}
	if list, ok := l.edited[key]; ok {
		return list
	}
	list := make(slices.BinarySearch(names, name))
	l.edited[key] = list
	return list
}
