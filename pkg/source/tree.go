package source

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// Limits bound what a tree may hold and what a server may send. The zero value
// of a field means its default; a negative value is refused by the constructors.
type Limits struct {
	// MaxFileBytes is the size of one file from which on it cannot be opened;
	// the other files stay readable. Default 32 MiB.
	MaxFileBytes int64
	// MaxTotalBytes is the size of all regular files together. Default 1 GiB.
	MaxTotalBytes int64
	// MaxEntries is the number of files and folders. Default 200,000.
	MaxEntries int
	// MaxDepth is the number of folders above a file. Default 64.
	MaxDepth int
	// MaxPathBytes is the length of a file's path. Default 1024.
	MaxPathBytes int
	// MaxPackBytes is what a server may send in one fetch. Default 1 GiB.
	MaxPackBytes int64
	// MaxObjectBytes is the size of one object inside a pack once inflated.
	// Default 256 MiB. All objects of a pack together may have 16 times as much.
	MaxObjectBytes int64
	// MaxAdvertisedBytes is the size of a server's list of refs. Default 64 MiB.
	MaxAdvertisedBytes int64
}

func (l Limits) withDefaults() (Limits, error) {
	for _, f := range []struct {
		name  string
		value *int64
		def   int64
	}{
		{"MaxFileBytes", &l.MaxFileBytes, 32 << 20},
		{"MaxTotalBytes", &l.MaxTotalBytes, 1 << 30},
		{"MaxPackBytes", &l.MaxPackBytes, 1 << 30},
		{"MaxObjectBytes", &l.MaxObjectBytes, 256 << 20},
		{"MaxAdvertisedBytes", &l.MaxAdvertisedBytes, 64 << 20},
	} {
		if *f.value < 0 {
			return l, fmt.Errorf("%w: limit %s is negative", ErrInvalid, f.name)
		}
		*f.value = cmp.Or(*f.value, f.def)
	}
	if l.MaxEntries < 0 || l.MaxDepth < 0 || l.MaxPathBytes < 0 {
		return l, fmt.Errorf("%w: a limit is negative", ErrInvalid)
	}
	l.MaxEntries = cmp.Or(l.MaxEntries, 200_000)
	l.MaxDepth = cmp.Or(l.MaxDepth, 64)
	l.MaxPathBytes = cmp.Or(l.MaxPathBytes, 1024)
	return l, nil
}

// Tree is the content of one revision: a read-only file system in which nothing
// changes. Names, sizes and hashes are known; the bytes of a file are read when
// it is opened. Symbolic links and submodules are listed (with fs.ModeSymlink
// and fs.ModeIrregular) and cannot be opened. Modification times are zero, so
// that the same commit is the same tree everywhere. A Tree may be used from
// several goroutines.
//
// It implements fs.FS, fs.ReadDirFS, fs.ReadFileFS, fs.StatFS and fs.SubFS.
type Tree struct {
	revision Revision
	root     *node
	prefix   string // where root is inside the whole tree; "" for the whole
	blobs    blobReader
	maxFile  int64
	commit   Commit
}

// Commit is what a commit says about itself; zero for a folder.
type Commit struct {
	// Time is when the commit was made (the committer's time).
	Time time.Time
	// Author is the author's name; Subject is the message's first line. Both are
	// the committer's own words, and so untrusted.
	Author, Subject string
}

// blobReader gives the bytes of one file. The path is from the top of the
// whole tree.
type blobReader interface {
	readBlob(path string, n *node) ([]byte, error)
}

// node is a file, a folder, a link or a submodule. Nodes are immutable once
// built and shared between trees.
type node struct {
	name string
	mode fs.FileMode
	hash plumbing.Hash // Git's name of the blob or tree; zero where there is none
	size int64
	dir  *directory // only for folders
	// submodule tells a submodule from a device, socket or pipe of a folder.
	submodule bool
}

// directory is a folder's content with the sums that the limits ask for.
type directory struct {
	children []*node // sorted by name
	entries  int     // files and folders below
	bytes    int64   // of the regular files below
	height   int     // folders on the longest way down, not counting this one
	longest  int     // bytes of the longest path below
	// refused are the entries of this folder that are not in children, and refusals how many there are
	// here and below.
	refused  []refusal
	refusals int
	// beyondReach tells that some of them are refused for where the folder is, and not for what it holds.
	beyondReach bool
}

// refusal is an entry that a tree leaves out.
type refusal struct {
	name   string
	reason error
}

// Refused lists what the tree leaves out though it is there, by its path: entries whose names are not
// those of plain files, and what is nested too deep. The reason is for people. A name that cannot be
// printed is quoted in its path.
func (t *Tree) Refused() map[string]string {
	all := map[string]string{}
	var walk func(prefix string, d *directory)
	walk = func(prefix string, d *directory) {
		if d == nil || d.refusals == 0 {
			return
		}
		for _, r := range d.refused {
			all[path.Join(prefix, printable(r.name))] = r.reason.Error()
		}
		for _, c := range d.children {
			walk(path.Join(prefix, c.name), c.dir)
		}
	}
	walk("", t.root.dir)
	return all
}

// printable is a name as a path can hold it.
func printable(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` || strings.Contains(name, "/") || name == "." || name == ".." {
		return strings.ReplaceAll(quoted, "/", `\x2f`)
	}
	return name
}

// Entry is one file of a tree.
type Entry struct {
	// Path is slash-separated and relative to the tree.
	Path string
	// Mode is 0444, 0555, fs.ModeSymlink, or fs.ModeIrregular for submodules and
	// for what is no file at all (a device, a pipe).
	Mode fs.FileMode
	// Size is in bytes; 0 for links and submodules.
	Size int64
	// Digest is "sha1:" and Git's name of the content, the same for a work tree
	// and a commit; for a submodule the commit that it points at.
	Digest string
}

// Revision says which state this is the tree of.
func (t *Tree) Revision() Revision { return t.revision }

// Commit says what the commit says about itself; zero for a folder.
func (t *Tree) Commit() Commit { return t.commit }

// Digest is Git's name for the content at name, "sha1:" and 40 hex digits: for
// a file its blob, for a folder its tree, which covers the names, modes and
// contents of everything in it. Equal digests mean equal content, also between
// a commit and a plain folder, so it serves as a key without a read. It is ""
// for names that do not exist.
func (t *Tree) Digest(name string) string {
	n, err := t.lookup("digest", name)
	if err != nil {
		return ""
	}
	return n.digest()
}

func (n *node) digest() string {
	if n.hash.IsZero() {
		return ""
	}
	return "sha1:" + n.hash.String()
}

// Files lists everything that is not a folder, sorted as fs.WalkDir walks.
func (t *Tree) Files() []Entry {
	var out []Entry
	var walk func(prefix string, n *node)
	walk = func(prefix string, n *node) {
		for _, c := range n.dir.children {
			p := path.Join(prefix, c.name)
			if c.dir != nil {
				walk(p, c)
				continue
			}
			out = append(out, Entry{Path: p, Mode: c.mode, Size: c.size, Digest: c.digest()})
		}
	}
	walk("", t.root)
	return out
}

// Submodules lists the paths of submodules, whose files this tree does not have.
func (t *Tree) Submodules() []string {
	var out []string
	for _, e := range t.Files() {
		if n, err := t.lookup("submodules", e.Path); err == nil && n.submodule {
			out = append(out, e.Path)
		}
	}
	return out
}

// Sub gives the folder at dir as a tree of its own. The file system returned
// is a *Tree of the same revision.
func (t *Tree) Sub(dir string) (fs.FS, error) {
	sub, err := t.SubTree(dir)
	if err != nil {
		return nil, err
	}
	return sub, nil
}

// SubTree is Sub with its real type.
func (t *Tree) SubTree(dir string) (*Tree, error) {
	n, err := t.lookup("sub", dir)
	if err != nil {
		return nil, err
	}
	if n.dir == nil {
		return nil, &fs.PathError{Op: "sub", Path: dir, Err: errNotFolder}
	}
	sub := *t
	sub.root = n
	sub.prefix = path.Join(t.prefix, dir)
	return &sub, nil
}

// Open opens a file for reading, or a folder for listing.
func (t *Tree) Open(name string) (fs.File, error) {
	n, err := t.lookup("open", name)
	if err != nil {
		return nil, err
	}
	if n.dir != nil {
		return &openFolder{info: n, rest: n.dir.children}, nil
	}
	data, err := t.read("open", name, n)
	if err != nil {
		return nil, err
	}
	return &openFile{info: n, Reader: bytes.NewReader(data)}, nil
}

// ReadFile gives a file's content. The caller may change the slice.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	n, err := t.lookup("read", name)
	if err != nil {
		return nil, err
	}
	return t.read("read", name, n)
}

// ReadDir lists a folder, sorted by name.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.lookup("readdir", name)
	if err != nil {
		return nil, err
	}
	if n.dir == nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotFolder}
	}
	out := make([]fs.DirEntry, len(n.dir.children))
	for i, c := range n.dir.children {
		out[i] = c
	}
	return out, nil
}

// Stat describes the entry at name. A link is described itself, never its target.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	return t.lookup("stat", name)
}

// Lstat is Stat: no link is ever followed.
func (t *Tree) Lstat(name string) (fs.FileInfo, error) { return t.Stat(name) }

var errNotFolder = errors.New("not a folder")

func (t *Tree) lookup(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n := t.root
	if name == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if n.dir == nil {
			return nil, &fs.PathError{Op: op, Path: name, Err: n.refusal(fs.ErrNotExist)}
		}
		i, found := slices.BinarySearchFunc(n.dir.children, part, func(c *node, want string) int {
			return strings.Compare(c.name, want)
		})
		if !found {
			return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		n = n.dir.children[i]
	}
	return n, nil
}

func (t *Tree) read(op, name string, n *node) ([]byte, error) {
	if n.dir != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: errors.New("is a folder")}
	}
	if err := n.refusal(nil); err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	if n.size > t.maxFile {
		return nil, &fs.PathError{Op: op, Path: name,
			Err: fmt.Errorf("%w: %d bytes, a file may have %d", ErrTooLarge, n.size, t.maxFile)}
	}
	data, err := t.blobs.readBlob(path.Join(t.prefix, name), n)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return data, nil
}

// refusal says why a node's content cannot be had; otherwise for ordinary files.
func (n *node) refusal(otherwise error) error {
	switch {
	case n.mode&fs.ModeSymlink != 0:
		return ErrSymlink
	case n.submodule:
		return ErrSubmodule
	case n.mode&fs.ModeIrregular != 0:
		return fmt.Errorf("%w: not a regular file", ErrContent)
	}
	return otherwise
}

// A node is its own fs.FileInfo and fs.DirEntry.

func (n *node) Name() string               { return n.name }
func (n *node) Size() int64                { return n.size }
func (n *node) Mode() fs.FileMode          { return n.mode }
func (n *node) Type() fs.FileMode          { return n.mode.Type() }
func (n *node) ModTime() time.Time         { return time.Time{} }
func (n *node) IsDir() bool                { return n.dir != nil }
func (n *node) Sys() any                   { return nil }
func (n *node) Info() (fs.FileInfo, error) { return n, nil }
func (n *node) String() string             { return fs.FormatDirEntry(n) }

type openFile struct {
	info *node
	*bytes.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openFolder struct {
	info *node
	rest []*node
}

func (f *openFolder) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFolder) Close() error               { return nil }

func (f *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.info.name, Err: errors.New("is a folder")}
}

func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	take := len(f.rest)
	if n > 0 {
		if take == 0 {
			return nil, io.EOF
		}
		take = min(take, n)
	}
	out := make([]fs.DirEntry, take)
	for i, c := range f.rest[:take] {
		out[i] = c
	}
	f.rest = f.rest[take:]
	return out, nil
}
