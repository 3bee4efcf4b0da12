package source

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// The marks of mergeBase: whose ancestor a commit is, and whether a better
// common ancestor is known.
const (
	fromBase = 1 << iota
	fromHead
	stale
)

// mergeBase answers the best common ancestor of two commits. It is the
// algorithm of Git's commit-reach.c: both histories are walked together, newest
// commit first, until only ancestors of common ancestors are left. So it reads
// as much history as it must and works in a shallow clone that is deep enough.
// Of several best ones (criss-cross merges) it gives the newest, then the one
// with the lower hash.
func (o *objects) mergeBase(ctx context.Context, base, head Revision) (Revision, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := &walker{objects: o, marks: map[plumbing.Hash]int{}}
	for _, start := range []struct {
		rev  Revision
		mark int
	}{{base, fromBase}, {head, fromHead}} {
		if err := w.push(plumbing.NewHash(start.rev.Hash), start.mark); err != nil {
			return Revision{}, err
		}
	}
	if w.cut {
		return Revision{}, errMissing
	}
	var found []*object.Commit
	for w.interesting > 0 {
		if err := ctx.Err(); err != nil {
			return Revision{}, err
		}
		c := w.pop()
		mark := w.marks[c.Hash]
		if mark&(fromBase|fromHead) == fromBase|fromHead && mark&stale == 0 {
			found = append(found, c)
			mark |= stale
		}
		for _, parent := range c.ParentHashes {
			if err := w.push(parent, mark); err != nil {
				return Revision{}, err
			}
		}
	}
	// A common ancestor may have turned out to be the ancestor of another one.
	found = slices.DeleteFunc(found, func(c *object.Commit) bool { return w.marks[c.Hash]&stale != 0 })
	if len(found) == 0 {
		if w.cut {
			return Revision{}, errShallowHistory
		}
		return Revision{}, ErrNoMergeBase
	}
	slices.SortFunc(found, newestFirst)
	return Revision{Hash: found[0].Hash.String()}, nil
}

// errShallowHistory is ErrShallow with what to do about it.
var errShallowHistory = fmt.Errorf("%w and the common ancestor is not in it; fetch more history (git fetch --unshallow, or fetch-depth: 0 in CI)", ErrShallow)

// walker is a queue of commits, newest first.
type walker struct {
	objects *objects
	marks   map[plumbing.Hash]int
	queue   commitQueue
	// interesting counts the commits in the queue that are not stale.
	interesting int
	// cut is set when history ended at a commit whose parents are not there.
	cut bool
}

// push marks a commit and queues it unless it has the mark already.
func (w *walker) push(hash plumbing.Hash, mark int) error {
	before := w.marks[hash]
	if before|mark == before {
		return nil
	}
	c, err := w.objects.commit(hash)
	if errors.Is(err, errMissing) {
		w.cut = true
		return nil
	}
	if err != nil {
		return err
	}
	w.marks[hash] = before | mark
	heap.Push(&w.queue, queued{c, (before|mark)&stale == 0})
	if (before|mark)&stale == 0 {
		w.interesting++
	}
	return nil
}

func (w *walker) pop() *object.Commit {
	q := heap.Pop(&w.queue).(queued)
	if q.counted {
		w.interesting--
	}
	return q.commit
}

type queued struct {
	commit  *object.Commit
	counted bool
}

type commitQueue []queued

func (q commitQueue) Len() int           { return len(q) }
func (q commitQueue) Less(i, j int) bool { return newestFirst(q[i].commit, q[j].commit) < 0 }
func (q commitQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *commitQueue) Push(x any)        { *q = append(*q, x.(queued)) }
func (q *commitQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

func newestFirst(x, y *object.Commit) int {
	if d := y.Committer.When.Compare(x.Committer.When); d != 0 {
		return d
	}
	return strings.Compare(x.Hash.String(), y.Hash.String())
}

// rewritten reports whether rev replaces before, the revision fetched before it,
// with something that does not contain it. A tag that moved is always a rewrite;
// going from one tag or branch to another is none. Where history is cut off,
// what cannot be found is taken for rewritten.
func (o *objects) rewritten(before, rev Revision, isTag bool) (bool, error) {
	if before.Hash == "" || before.Hash == rev.Hash || before.Ref != rev.Ref || rev.Ref == "" {
		return false, nil
	}
	if isTag {
		return true, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	want := plumbing.NewHash(before.Hash)
	seen := map[plumbing.Hash]bool{}
	for todo := []plumbing.Hash{plumbing.NewHash(rev.Hash)}; len(todo) > 0; {
		hash := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if hash == want {
			return false, nil
		}
		if seen[hash] {
			continue
		}
		seen[hash] = true
		c, err := o.commit(hash)
		if errors.Is(err, errMissing) {
			continue
		}
		if err != nil {
			return false, err
		}
		todo = append(todo, c.ParentHashes...)
	}
	return true, nil
}
