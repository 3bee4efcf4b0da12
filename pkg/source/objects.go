package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// objects reads commits, trees and blobs of one Git object store. go-git's
// stores may not be read from several goroutines; this may.
type objects struct {
	mu    sync.Mutex
	store storer.EncodedObjectStorer
	// folders are those built before: a commit that changes one file costs the
	// folders on its path only.
	folders map[plumbing.Hash]*directory
	limits  Limits
	// reopen gives the store anew, for one whose packs others may replace
	// (git gc). It may be nil.
	reopen func() (storer.EncodedObjectStorer, error)
}

// maxFolders bounds the folders that are kept for later trees.
const maxFolders = 200_000

// newObjects reads from store. The limits must have their defaults.
func newObjects(store storer.EncodedObjectStorer, limits Limits) *objects {
	return &objects{store: store, folders: map[plumbing.Hash]*directory{}, limits: limits}
}

// errMissing marks an object that should be there and is not: the store is
// incomplete, and a fresh clone would cure it.
var errMissing = errors.New("object missing")

// errNoCommit marks a hash that names something else than a commit.
var errNoCommit = errors.New("not a commit")

// tree builds the tree of a commit. Every tree and the size of every blob is
// looked up, so a success also means that no object of the commit is missing.
func (o *objects) tree(rev Revision) (*Tree, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	commit, err := o.commit(plumbing.NewHash(rev.Hash))
	if err != nil {
		return nil, err
	}
	if len(o.folders) > maxFolders {
		clear(o.folders)
	}
	a := &assembler{limits: o.limits}
	dir, err := o.directory(a, commit.TreeHash, "", 0)
	if err != nil {
		return nil, fmt.Errorf("tree of commit %s: %w", rev.Hash, err)
	}
	subject, _, _ := strings.Cut(commit.Message, "\n")
	return &Tree{
		revision: rev,
		root:     &node{name: ".", mode: modeFolder, hash: commit.TreeHash, dir: dir},
		blobs:    o,
		maxFile:  o.limits.MaxFileBytes,
		commit:   Commit{Time: commit.Committer.When, Author: commit.Author.Name, Subject: subject},
	}, nil
}

// commit reads a commit. The caller holds mu.
func (o *objects) commit(hash plumbing.Hash) (*object.Commit, error) {
	obj, err := o.store.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", hash, missingOr(err))
	}
	if obj.Type() != plumbing.CommitObject {
		return nil, fmt.Errorf("%w: %s is a %s, %w", ErrRefNotFound, hash, obj.Type(), errNoCommit)
	}
	c, err := object.DecodeCommit(o.store, obj)
	if err != nil {
		return nil, fmt.Errorf("%w: commit %s: %w", ErrContent, hash, err)
	}
	return c, nil
}

func missingOr(err error) error {
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return errMissing
	}
	return err
}

func (o *objects) directory(a *assembler, hash plumbing.Hash, at string, depth int) (*directory, error) {
	if d := o.folders[hash]; d != nil {
		if err := a.reuse(at, depth, d); !errors.Is(err, errBeyondReach) {
			return d, err
		}
	}
	tree, err := object.GetTree(o.store, hash)
	if err != nil {
		return nil, fmt.Errorf("folder %q: %w", at, treeError(err))
	}
	children := make([]*node, 0, len(tree.Entries))
	var refused []refusal
	for _, e := range tree.Entries {
		// The name is checked before it becomes part of a path.
		err := checkEntryName(e.Name)
		var n *node
		if err != nil {
			a.entries++
		} else {
			n, err = o.entry(a, e, path.Join(at, e.Name), depth)
		}
		switch {
		case refuses(err):
			refused = append(refused, refusal{e.Name, err})
		case err != nil:
			return nil, err
		default:
			children = append(children, n)
		}
	}
	d, err := a.directory(at, children, refused)
	if err != nil {
		return nil, err
	}
	if !d.beyondReach {
		o.folders[hash] = d
	}
	return d, nil
}

// treeError tells an object that is not there from one that cannot be decoded.
func treeError(err error) error {
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return errMissing
	}
	return fmt.Errorf("%w: %w", ErrContent, err)
}

func (o *objects) entry(a *assembler, e object.TreeEntry, at string, depth int) (*node, error) {
	n := &node{name: e.Name, hash: e.Hash}
	switch e.Mode {
	case filemode.Dir:
		n.mode = modeFolder
		if err := a.add(at, depth+1, 1, 0); err != nil {
			return nil, err
		}
		d, err := o.directory(a, e.Hash, at, depth+1)
		n.dir = d
		return n, err
	case filemode.Symlink:
		n.mode = modeSymlink
	case filemode.Submodule:
		n.mode, n.submodule = modeIrregular, true
	case filemode.Regular, filemode.Deprecated, filemode.Executable:
		n.mode = modeFile
		if e.Mode == filemode.Executable {
			n.mode = modeExecutable
		}
		size, err := o.store.EncodedObjectSize(e.Hash)
		if err != nil {
			return nil, fmt.Errorf("file %q: %w", at, missingOr(err))
		}
		n.size = size
	default:
		return nil, fmt.Errorf("%w: %q has the mode %s", ErrContent, at, e.Mode)
	}
	return n, a.add(at, depth, 1, n.size)
}

// has reports whether a commit is there.
func (o *objects) has(rev Revision) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err := o.commit(plumbing.NewHash(rev.Hash))
	return err == nil
}

func (o *objects) readBlob(_ string, n *node) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	data, err := o.blob(n)
	if err == nil || o.reopen == nil {
		return data, err
	}
	fresh, openErr := o.reopen()
	if openErr != nil {
		return nil, err
	}
	o.store = fresh
	return o.blob(n)
}

func (o *objects) blob(n *node) ([]byte, error) {
	obj, err := o.store.EncodedObject(plumbing.BlobObject, n.hash)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", n.hash, missingOr(err))
	}
	r, err := obj.Reader()
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", n.hash, err)
	}
	defer r.Close()
	data := bytes.NewBuffer(make([]byte, 0, n.size))
	if _, err := io.Copy(data, io.LimitReader(r, n.size+1)); err != nil {
		return nil, fmt.Errorf("blob %s: %w", n.hash, err)
	}
	if int64(data.Len()) != n.size {
		return nil, fmt.Errorf("%w: blob %s has not the %d bytes that it declares", ErrContent, n.hash, n.size)
	}
	return data.Bytes(), nil
}
