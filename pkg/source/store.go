package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/memory"
)

// clone is one bare clone of a remote repository: packs that were fetched on
// top of each other. When history was rewritten in a way that needs objects the
// clone lacks, or when it has many packs, the next one takes its place; the
// folder of the old one goes once no Tree reads from it any more.
type clone struct {
	objects *objects
	dir     string // empty for a clone in memory
	packs   int
	tip     Revision // fetched last
}

// maxPacks is the number of fetches after which a clone is made anew. Each adds
// a pack, and a lookup goes through all of them.
const maxPacks = 64

// cloneState is the file beside the packs. It is written last, so a clone
// without it was never completed.
type cloneState struct {
	URL      string `json:"url"`
	Revision string `json:"revision"`
	Packs    int    `json:"packs"`
}

const (
	stateFile   = "armada-sync.json"
	clonePrefix = "clone-"
)

// newClone makes an empty clone in a new folder below parent, or in memory
// when parent is empty.
func newClone(parent string, limits Limits) (*clone, error) {
	if parent == "" {
		return &clone{objects: newObjects(memory.NewStorage(), limits)}, nil
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	dir, err := os.MkdirTemp(parent, clonePrefix)
	if err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	storage := diskStorage(dir)
	if err := storage.Init(); err != nil {
		return nil, fmt.Errorf("cache folder %q: %w", dir, err)
	}
	cfg := config.NewConfig()
	cfg.Core.IsBare = true
	if err := storage.SetConfig(cfg); err != nil {
		return nil, fmt.Errorf("cache folder %q: %w", dir, err)
	}
	if err := storage.SetReference(plumbing.NewSymbolicReference(plumbing.HEAD, "refs/heads/main")); err != nil {
		return nil, fmt.Errorf("cache folder %q: %w", dir, err)
	}
	return &clone{objects: newObjects(storage, limits), dir: dir}, nil
}

// openClone gives the complete clone of a URL below parent, or nil. Whatever
// else is there is removed: what a crash left behind, and clones of other URLs.
func openClone(parent, url string, limits Limits) *clone {
	if parent == "" {
		return nil
	}
	dirs, err := filepath.Glob(filepath.Join(parent, clonePrefix+"*"))
	if err != nil {
		return nil
	}
	var found *clone
	for _, dir := range dirs {
		c, err := readClone(dir, url, limits)
		if err != nil || found != nil {
			removeFolder(dir)
			continue
		}
		found = c
	}
	return found
}

func readClone(dir, url string, limits Limits) (*clone, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	var state cloneState
	if err := json.Unmarshal(data, &state); err != nil {
		return nil, err
	}
	if state.URL != url {
		return nil, errors.New("clone of another repository")
	}
	tip, err := ParseRevision(state.Revision)
	if err != nil {
		return nil, err
	}
	return &clone{objects: newObjects(diskStorage(dir), limits), dir: dir, packs: state.Packs, tip: tip}, nil
}

func diskStorage(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(dir, osfs.WithBoundOS()), cache.NewObjectLRU(16*cache.MiByte),
		filesystem.Options{ExclusiveAccess: true, KeepDescriptors: true})
}

// errDamaged marks a clone that lacks objects, cannot be read or cannot be added
// to. A fresh one cures it.
var errDamaged = errors.New("clone unusable")

// tree builds a tree and tells what is wrong with the commit, which a fresh
// clone would have too, from what is wrong with the clone.
func (c *clone) tree(rev Revision) (*Tree, error) {
	t, err := c.objects.tree(rev)
	switch {
	case err == nil, errors.Is(err, ErrContent), errors.Is(err, ErrTooLarge), errors.Is(err, ErrRefNotFound):
		return t, err
	}
	return nil, fmt.Errorf("%w: %w", errDamaged, err)
}

// ingest checks a pack and adds its objects.
func (c *clone) ingest(pack io.Reader, shallow []plumbing.Hash) error {
	limits := c.objects.limits
	pack = &limitReader{r: pack, left: limits.MaxPackBytes, what: "the pack"}
	if c.dir == "" {
		data, err := io.ReadAll(pack)
		if err != nil {
			return err
		}
		return c.ingestMemory(data)
	}
	spool, err := os.CreateTemp(c.dir, "incoming-*.pack")
	if err != nil {
		return fmt.Errorf("spool pack: %w", err)
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	if _, err := io.Copy(spool, pack); err != nil {
		return err
	}
	return c.ingestDisk(spool, shallow)
}

// ingestMemory parses the pack on its own, so that readers wait only for the
// objects to be moved over.
func (c *clone) ingestMemory(data []byte) error {
	if n, err := inspectPack(bytes.NewReader(data), c.objects.limits); err != nil || n == 0 {
		return err
	}
	fresh := memory.NewStorage()
	if err := packfile.UpdateObjectStorage(fresh, bytes.NewReader(data)); err != nil {
		return fmt.Errorf("%w: pack: %w", errDamaged, err)
	}
	c.packs++
	c.objects.mu.Lock()
	defer c.objects.mu.Unlock()
	for _, obj := range fresh.Objects {
		if _, err := c.objects.store.SetEncodedObject(obj); err != nil {
			return fmt.Errorf("pack: %w", err)
		}
	}
	return nil
}

// ingestDisk indexes the pack beside the readers' storage and then gives them a
// new one that sees it.
func (c *clone) ingestDisk(spool *os.File, shallow []plumbing.Hash) error {
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("spool pack: %w", err)
	}
	if n, err := inspectPack(spool, c.objects.limits); err != nil || n == 0 {
		return err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("spool pack: %w", err)
	}
	storage := diskStorage(c.dir)
	if err := packfile.UpdateObjectStorage(storage, spool); err != nil {
		return fmt.Errorf("%w: pack: %w", errDamaged, err)
	}
	if len(shallow) > 0 {
		if err := storage.SetShallow(shallow); err != nil {
			return fmt.Errorf("shallow file: %w", err)
		}
	}
	c.packs++
	c.objects.replaceStore(diskStorage(c.dir))
	return nil
}

// replaceStore lets the same readers read from a store that holds more.
func (o *objects) replaceStore(store storer.EncodedObjectStorer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.store = store
}

// fetched records what the clone is good for. A crash before it costs a fetch.
func (c *clone) fetched(url string, rev Revision) error {
	c.tip = Revision{Ref: rev.Ref, Hash: rev.Hash}
	if c.dir == "" {
		return nil
	}
	data, err := json.Marshal(cloneState{URL: url, Revision: c.tip.String(), Packs: c.packs})
	if err != nil {
		return fmt.Errorf("record fetch: %w", err)
	}
	file := filepath.Join(c.dir, stateFile)
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		return fmt.Errorf("record fetch: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("record fetch: %w", err)
	}
	return nil
}

// retire removes the clone's folder once nothing reads from it any more. A
// process that ends before leaves that to openClone of the next one, for which
// the clone must no longer look complete.
func (c *clone) retire() {
	if c == nil || c.dir == "" {
		return
	}
	_ = os.Remove(filepath.Join(c.dir, stateFile)) // if it stays, the next process may pick this clone and fetch more
	runtime.AddCleanup(c.objects, removeFolder, c.dir)
}

// removeFolder is for what is of no use to anyone: a failure leaves a folder
// that the next start removes.
func removeFolder(dir string) { _ = os.RemoveAll(dir) }

// limitReader fails once more than left bytes were read.
type limitReader struct {
	r    io.Reader
	left int64
	what string
}

func (l *limitReader) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, fmt.Errorf("%w: %s", ErrTooLarge, l.what)
	}
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("%w: %s has more bytes than allowed", ErrTooLarge, l.what)
	}
	return n, err
}

// inspectPack reads a pack once and refuses one with objects that would not fit
// into memory when they are resolved: zlib and deltas both let a kilobyte stand
// for gigabytes, and go-git's parser allocates what the pack declares. It gives
// the number of objects.
func inspectPack(r io.Reader, limits Limits) (uint32, error) {
	scanner := packfile.NewScanner(r)
	_, count, err := scanner.Header()
	if err != nil {
		return 0, fmt.Errorf("pack: %w", err)
	}
	var total int64
	for range count {
		header, err := scanner.NextObjectHeader()
		if err != nil {
			return 0, fmt.Errorf("pack: %w", err)
		}
		size := header.Length
		if size < 0 || size > limits.MaxObjectBytes {
			return 0, fmt.Errorf("%w: the pack has an object of %s bytes, one may have %d", ErrTooLarge, strconv.FormatInt(size, 10), limits.MaxObjectBytes)
		}
		var head deltaHead
		if _, _, err := scanner.NextObject(&head); err != nil {
			return 0, fmt.Errorf("pack: %w", err)
		}
		if header.Type.IsDelta() {
			target := head.targetSize()
			if target > uint64(limits.MaxObjectBytes) {
				return 0, fmt.Errorf("%w: the pack has an object of %d bytes, one may have %d", ErrTooLarge, target, limits.MaxObjectBytes)
			}
			size = max(size, int64(target))
		}
		if total += size; total > 16*limits.MaxObjectBytes {
			return 0, fmt.Errorf("%w: the pack's objects have more than %d bytes together", ErrTooLarge, 16*limits.MaxObjectBytes)
		}
	}
	if _, err := scanner.Checksum(); err != nil {
		return 0, fmt.Errorf("pack: %w", err)
	}
	return count, nil
}

// deltaHead keeps the first bytes of a delta: the sizes of its base and of its
// result, each in base 128 with the lowest digit first.
type deltaHead struct {
	data [20]byte
	n    int
}

func (d *deltaHead) Write(p []byte) (int, error) {
	d.n += copy(d.data[d.n:], p)
	return len(p), nil
}

// targetSize is the size of the delta's result; huge for what is no size.
func (d *deltaHead) targetSize() uint64 {
	_, used := varint(d.data[:d.n])
	size, _ := varint(d.data[used:d.n])
	return size
}

func varint(b []byte) (value uint64, used int) {
	for i, c := range b {
		if i >= 9 {
			return 1 << 63, len(b)
		}
		value |= uint64(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			return value, i + 1
		}
	}
	return 1 << 63, len(b)
}
