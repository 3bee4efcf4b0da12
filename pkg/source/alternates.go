package source

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// borrowing is an object store that borrows objects of other repositories on
// this machine, as git clone --shared and --reference set it up. go-git's own
// store does so too, but opens the other repository anew for every object and
// knows no sizes there.
type borrowing struct {
	storer.EncodedObjectStorer
	others []storer.EncodedObjectStorer
}

// maxAlternates bounds repositories that borrow from repositories that borrow.
// Git stops at five levels.
const maxAlternates = 16

// openObjects opens the objects of a repository and of those that it borrows
// from.
func openObjects(gitDir string) (storer.EncodedObjectStorer, error) {
	main, err := openStorage(gitDir)
	if err != nil {
		return nil, err
	}
	common, err := commonDir(gitDir)
	if err != nil {
		return nil, err
	}
	var others []storer.EncodedObjectStorer
	seen := map[string]bool{filepath.Join(common, "objects"): true}
	for todo := []string{filepath.Join(common, "objects")}; len(todo) > 0; todo = todo[1:] {
		for _, dir := range alternates(todo[0]) {
			if seen[dir] || len(others) == maxAlternates {
				continue
			}
			seen[dir] = true
			todo = append(todo, dir)
			others = append(others, filesystem.NewStorageWithOptions(osfs.New(filepath.Dir(dir)),
				cache.NewObjectLRU(16*cache.MiByte), filesystem.Options{KeepDescriptors: true}))
		}
	}
	if len(others) == 0 {
		return main, nil
	}
	return borrowing{main, others}, nil
}

// alternates are the folders that an objects folder borrows from: one in a line,
// relative to the folder itself.
func alternates(objects string) []string {
	data, err := os.ReadFile(filepath.Join(objects, "info", "alternates"))
	if err != nil {
		return nil // most repositories have none
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		dir := strings.TrimRight(line, "\r\n")
		if dir == "" || strings.HasPrefix(dir, "#") {
			continue
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(objects, dir)
		}
		if filepath.Base(dir) == "objects" {
			out = append(out, filepath.Clean(dir))
		}
	}
	return out
}

// EncodedObject asks the others first: the repository's own store would look
// into them itself, slowly.
func (b borrowing) EncodedObject(t plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	for _, s := range b.others {
		if obj, err := s.EncodedObject(t, h); err == nil {
			return obj, nil
		}
	}
	return b.EncodedObjectStorer.EncodedObject(t, h)
}

// EncodedObjectSize is the size of an object in any of the repositories.
func (b borrowing) EncodedObjectSize(h plumbing.Hash) (int64, error) {
	for _, s := range b.others {
		if size, err := s.EncodedObjectSize(h); err == nil {
			return size, nil
		}
	}
	return b.EncodedObjectStorer.EncodedObjectSize(h)
}

// byPrefix is what go-git's stores on disk can do beyond the interface.
type byPrefix interface {
	HashesWithPrefix(prefix []byte) ([]plumbing.Hash, error)
}

// hashesWithPrefix lists the objects whose names begin with some bytes.
func (o *objects) hashesWithPrefix(prefix []byte) ([]plumbing.Hash, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	stores := []storer.EncodedObjectStorer{o.store}
	if b, ok := o.store.(borrowing); ok {
		stores = append(slices.Clone(b.others), b.EncodedObjectStorer)
	}
	var out []plumbing.Hash
	for _, s := range stores {
		p, ok := s.(byPrefix)
		if !ok {
			continue
		}
		found, err := p.HashesWithPrefix(prefix)
		if err != nil {
			return nil, fmt.Errorf("objects that begin with %x: %w", prefix, err)
		}
		for _, h := range found {
			if bytes.HasPrefix(h[:], prefix) {
				out = append(out, h)
			}
		}
	}
	return out, nil
}

// isCommitish reports whether a hash is a commit or an annotated tag.
func (o *objects) isCommitish(h plumbing.Hash) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	obj, err := o.store.EncodedObject(plumbing.AnyObject, h)
	return err == nil && (obj.Type() == plumbing.CommitObject || obj.Type() == plumbing.TagObject)
}
