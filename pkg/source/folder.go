package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// FromFS makes a Tree of any file system as it stands, with the revision
// dir@sha256:…. Entries named .git are left out, as are empty folders, which
// Git does not know either. Symbolic links and special files are listed, never
// followed. Every file is read once now, for the digests, and once more when it
// is opened; a file that changed in between fails with ErrChanged.
func FromFS(fsys fs.FS, limits Limits) (*Tree, error) {
	limits, err := limits.withDefaults()
	if err != nil {
		return nil, err
	}
	f := &folder{fsys: fsys, assembler: assembler{limits: limits}, sum: sha256.New()}
	root, err := f.directory("", 0)
	if err != nil {
		return nil, err
	}
	return &Tree{
		revision: Revision{Ref: folderRef, Hash: hex.EncodeToString(f.sum.Sum(nil))},
		root:     root,
		blobs:    f,
		maxFile:  limits.MaxFileBytes,
	}, nil
}

// folder reads a plain folder. The revision is the SHA-256 over one line per
// file, in the order of fs.WalkDir: mode, path and the SHA-256 of the content.
type folder struct {
	fsys fs.FS
	assembler
	sum hash.Hash
}

func (f *folder) directory(at string, depth int) (*node, error) {
	entries, err := fs.ReadDir(f.fsys, orDot(at))
	if err != nil {
		return nil, fmt.Errorf("read folder %q: %w", at, err)
	}
	slices.SortFunc(entries, func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
	var children []*node
	var refused []refusal
	for _, e := range entries {
		if e.Name() == ".git" {
			continue
		}
		err := checkEntryName(e.Name())
		var n *node
		if err == nil {
			n, err = f.entry(e, path.Join(at, e.Name()), depth)
		}
		switch {
		case refuses(err):
			refused = append(refused, refusal{e.Name(), err})
			fmt.Fprintf(f.sum, "refused %q\n", path.Join(at, e.Name()))
		case err != nil:
			return nil, err
		case n != nil:
			children = append(children, n)
		}
	}
	d, err := f.assembler.directory(at, children, refused)
	if err != nil {
		return nil, err
	}
	return &node{name: baseName(at), mode: modeFolder, hash: treeHash(children), dir: d}, nil
}

// entry reads one entry; nil for an empty folder.
func (f *folder) entry(e fs.DirEntry, at string, depth int) (*node, error) {
	if e.IsDir() {
		if err := f.add(at, depth+1, 1, 0); err != nil {
			return nil, err
		}
		if isOtherRepository(f.fsys, at) {
			fmt.Fprintf(f.sum, "submodule %q\n", at)
			return &node{name: e.Name(), mode: modeIrregular, submodule: true}, nil
		}
		n, err := f.directory(at, depth+1)
		if err != nil || len(n.dir.children) == 0 && n.dir.refusals == 0 {
			return nil, err
		}
		return n, nil
	}
	info, err := e.Info()
	if err != nil {
		return nil, fmt.Errorf("read file %q: %w", at, err)
	}
	n := &node{name: e.Name(), mode: modeFile, size: info.Size()}
	var content string
	switch {
	case e.Type()&fs.ModeSymlink != 0:
		n.mode, n.size = modeSymlink, 0
		target, err := fs.ReadLink(f.fsys, at)
		if err != nil {
			return nil, fmt.Errorf("read link %q: %w", at, err)
		}
		n.hash = plumbing.ComputeHash(plumbing.BlobObject, []byte(target))
		content = n.hash.String()
	case !e.Type().IsRegular():
		n.mode, n.size = modeIrregular, 0
	default:
		if info.Mode()&0o100 != 0 {
			n.mode = modeExecutable
		}
		if n.hash, content, err = f.hashFile(at, n.size); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(f.sum, "%o %q %s\n", uint32(n.mode), at, content)
	return n, f.add(at, depth, 1, n.size)
}

// isOtherRepository reports whether a folder below the top is a repository of
// its own: a submodule's work tree or a clone inside a clone. A commit of the
// outer repository does not hold its files either.
func isOtherRepository(fsys fs.FS, at string) bool {
	_, err := fs.Stat(fsys, path.Join(at, ".git"))
	return err == nil
}

// hashFile gives Git's name of a file's content and its SHA-256. Nothing is
// kept in memory, so a file over the limit can have a digest too.
func (f *folder) hashFile(at string, size int64) (plumbing.Hash, string, error) {
	file, err := f.fsys.Open(at)
	if err != nil {
		return plumbing.ZeroHash, "", fmt.Errorf("read file %q: %w", at, err)
	}
	defer file.Close()
	if f.bytes+size > f.limits.MaxTotalBytes {
		return plumbing.ZeroHash, "", f.add(at, 0, 0, size)
	}
	blob, sum := plumbing.NewHasher(plumbing.BlobObject, size), sha256.New()
	n, err := io.Copy(io.MultiWriter(blob, sum), io.LimitReader(file, size+1))
	if err != nil {
		return plumbing.ZeroHash, "", fmt.Errorf("read file %q: %w", at, err)
	}
	if n != size {
		return plumbing.ZeroHash, "", fmt.Errorf("file %q: %w", at, ErrChanged)
	}
	return blob.Sum(), hex.EncodeToString(sum.Sum(nil)), nil
}

func (f *folder) readBlob(at string, n *node) ([]byte, error) {
	file, err := f.fsys.Open(at)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, n.size+1))
	if err != nil {
		return nil, err
	}
	if plumbing.ComputeHash(plumbing.BlobObject, data) != n.hash {
		return nil, ErrChanged
	}
	return data, nil
}

// treeHash is Git's name of a folder: its tree object's hash. Git sorts folders
// as if their names ended in a slash. Special files, which Git cannot hold, are
// left out.
func treeHash(children []*node) plumbing.Hash {
	sorted := slices.Clone(children)
	key := func(n *node) string {
		if n.dir != nil {
			return n.name + "/"
		}
		return n.name
	}
	slices.SortFunc(sorted, func(x, y *node) int { return strings.Compare(key(x), key(y)) })
	var b bytes.Buffer
	for _, n := range sorted {
		if n.hash.IsZero() {
			continue
		}
		fmt.Fprintf(&b, "%o %s\x00", uint32(gitMode(n)), n.name)
		b.Write(n.hash[:])
	}
	return plumbing.ComputeHash(plumbing.TreeObject, b.Bytes())
}

func gitMode(n *node) filemode.FileMode {
	switch {
	case n.dir != nil:
		return filemode.Dir
	case n.mode&fs.ModeSymlink != 0:
		return filemode.Symlink
	case n.mode == modeExecutable:
		return filemode.Executable
	}
	return filemode.Regular
}

func orDot(at string) string {
	if at == "" {
		return "."
	}
	return at
}

func baseName(at string) string {
	return orDot(at[strings.LastIndexByte(at, '/')+1:])
}
