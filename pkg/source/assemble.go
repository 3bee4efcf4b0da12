package source

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// assembler sums up a tree while it is built and stops at the first limit, so
// that the work for a hostile tree is bounded, also for one whose folders all
// name each other.
type assembler struct {
	limits  Limits
	entries int
	bytes   int64
}

// directory makes a folder of children, in any order. parent is its path from
// the top, "" for the top.
func (a *assembler) directory(parent string, children []*node, refused []refusal) (*directory, error) {
	slices.SortFunc(children, func(x, y *node) int { return strings.Compare(x.name, y.name) })
	d := &directory{children: children, refused: refused, refusals: len(refused)}
	for _, r := range refused {
		d.entries++
		d.beyondReach = d.beyondReach || errors.Is(r.reason, errBeyondReach)
	}
	for i, c := range children {
		if err := checkEntryName(c.name); err != nil {
			return nil, fmt.Errorf("%w: in folder %q: %w", ErrContent, parent, err)
		}
		if i > 0 && children[i-1].name == c.name {
			return nil, fmt.Errorf("%w: folder %q has two entries named %q", ErrContent, parent, c.name)
		}
		d.entries++
		longest := len(c.name)
		if c.dir != nil {
			d.refusals += c.dir.refusals
			d.beyondReach = d.beyondReach || c.dir.beyondReach
			d.entries += c.dir.entries
			d.bytes += c.dir.bytes
			d.height = max(d.height, c.dir.height+1)
			if c.dir.longest > 0 {
				longest += 1 + c.dir.longest
			}
		} else if c.mode.IsRegular() {
			d.bytes += c.size
		}
		d.longest = max(d.longest, longest)
	}
	return d, nil
}

// errBeyondReach marks an entry that is refused for its place: too deep, or at the end of too long a path.
var errBeyondReach = errors.New("beyond reach")

// add counts a node at a path before anything below it is looked at.
func (a *assembler) add(at string, depth int, entries int, bytes int64) error {
	a.entries += entries
	a.bytes += bytes
	switch {
	case a.entries > a.limits.MaxEntries:
		return fmt.Errorf("%w: more than %d files and folders (at %q)", ErrTooLarge, a.limits.MaxEntries, at)
	case a.bytes > a.limits.MaxTotalBytes:
		return fmt.Errorf("%w: the files have more than %d bytes together (at %q)", ErrTooLarge, a.limits.MaxTotalBytes, at)
	}
	return a.reach(at, depth, 0)
}

// reach refuses a path that is too deep or too long with so many bytes below it.
func (a *assembler) reach(at string, depth, below int) error {
	switch {
	case depth > a.limits.MaxDepth:
		return fmt.Errorf("%w: more than %d folders deep", errBeyondReach, a.limits.MaxDepth)
	case len(at)+below > a.limits.MaxPathBytes:
		return fmt.Errorf("%w: a path of more than %d bytes", errBeyondReach, a.limits.MaxPathBytes)
	}
	return nil
}

// refuses tells an error that concerns one entry alone: the tree goes on without it.
func refuses(err error) bool { return errors.Is(err, errBeyondReach) || errors.Is(err, errEntryName) }

// reuse counts a folder that an earlier tree has built already. An error of reach means that it has to be
// built anew, since some of it fits and some does not.
func (a *assembler) reuse(at string, depth int, d *directory) error {
	if err := a.reach(at, depth+d.height, 1+d.longest); err != nil {
		return err
	}
	return a.add(at, depth, d.entries, d.bytes)
}

// The permissions of files and folders in a Tree. Nobody may write.
const (
	modeFile       fs.FileMode = 0o444
	modeExecutable fs.FileMode = 0o555
	modeFolder                 = fs.ModeDir | 0o555
	modeSymlink                = fs.ModeSymlink | 0o444
	modeIrregular              = fs.ModeIrregular | 0o444
)
