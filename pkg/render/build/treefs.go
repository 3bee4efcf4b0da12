package build

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Bounds of one kustomization with everything that it refers to.
const (
	maxKustomizations = 1000
	maxNesting        = 32
	maxUnitFiles      = 20_000
	maxUnitBytes      = 8 << 20
)

var errReadOnly = errors.New("the repository is read-only")

// treeFS shows a tree to kustomize as its whole world: "/" is the root of the repository, nothing is
// outside it, nothing can be written, and links lead nowhere. It checks what kustomize would
// fetch from elsewhere before kustomize sees it, and remembers what was looked at.
type treeFS struct {
	files fs.FS
	// top is the kustomization file that the build starts from.
	top string
	// open decrypts a file that is encrypted and leaves others as they are.
	open func(name string, data []byte) ([]byte, error)
	// inputs are the digests of everything that was looked at, by path.
	inputs map[string]string
	// refused is the first thing that may not be read. kustomize tries alternatives where a read
	// fails, so that its own error may speak of something else.
	refused error

	kustomizations, reads, values int
	bytes                         int64
}

var _ filesys.FileSystem = (*treeFS)(nil)

// relative turns kustomize's absolute path into one of the tree.
func relative(name string) string {
	return strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(name)), "/")
}

func inTree(name string) string {
	if r := relative(name); r != "" {
		return r
	}
	return "."
}

// look notes that a path was looked at and returns what is there.
func (t *treeFS) look(name string) (fs.FileInfo, error) {
	p := inTree(name)
	if !fs.ValidPath(p) {
		return nil, fs.ErrNotExist
	}
	if _, known := t.inputs[p]; !known {
		if len(t.inputs) >= maxUnitFiles {
			return nil, t.refuse(fmt.Errorf("the kustomization looks at more than %d paths", maxUnitFiles))
		}
		t.inputs[p] = digestOf(t.files, p)
	}
	return lstat(t.files, p)
}

func (t *treeFS) refuse(err error) error {
	if t.refused == nil {
		t.refused = err
	}
	return err
}

// Exists implements filesys.FileSystem.
func (t *treeFS) Exists(name string) bool {
	_, err := t.look(name)
	return err == nil
}

// IsDir implements filesys.FileSystem.
func (t *treeFS) IsDir(name string) bool {
	info, err := t.look(name)
	return err == nil && info.IsDir()
}

// CleanedAbs implements filesys.FileSystem.
func (t *treeFS) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	info, err := t.look(name)
	if err != nil {
		return "", "", fmt.Errorf("%q is not in the repository", inTree(name))
	}
	p := "/" + relative(name)
	if info.IsDir() {
		return filesys.ConfirmedDir(p), "", nil
	}
	return filesys.ConfirmedDir(path.Dir(p)), path.Base(p), nil
}

// ReadFile implements filesys.FileSystem.
func (t *treeFS) ReadFile(name string) ([]byte, error) {
	p := inTree(name)
	info, err := t.look(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not in the repository", p)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%q is a folder", p)
	}
	if !info.Mode().IsRegular() {
		return nil, t.refuse(fmt.Errorf("%q is a symbolic link or no regular file, which is not followed", p))
	}
	if t.reads++; t.reads > maxUnitFiles {
		return nil, t.refuse(fmt.Errorf("the kustomization reads more than %d files", maxUnitFiles))
	}
	if t.bytes += info.Size(); t.bytes > maxUnitBytes {
		return nil, t.refuse(fmt.Errorf("the files of the kustomization have more than %d bytes together", maxUnitBytes))
	}
	data, err := fs.ReadFile(t.files, p)
	if err != nil {
		return nil, fmt.Errorf("%q cannot be read: %s", p, reason(err))
	}
	if data, err = t.open(p, data); err != nil {
		return nil, t.refuse(err)
	}
	// What is no YAML becomes a text in a ConfigMap and is one value.
	if slices.Contains(manifestExtensions(), path.Ext(p)) {
		t.values += estimate(data)
	}
	if t.values > maxNodes {
		return nil, t.refuse(placed(p, 0, "%w: the files of the kustomization have more than about %d values together", errTooLarge, maxNodes))
	}
	if data, err = t.check(p, data); err != nil {
		return nil, t.refuse(err)
	}
	return data, nil
}

// check looks for what must not reach kustomize.
func (t *treeFS) check(p string, data []byte) ([]byte, error) {
	if !slices.Contains(kustomizationNames(), path.Base(p)) {
		return data, checkFile(p, data)
	}
	if t.kustomizations++; t.kustomizations > maxKustomizations {
		return nil, fmt.Errorf("more than %d kustomizations are read; do they refer to each other again and again?", maxKustomizations)
	}
	if err := checkKustomization(p, data); err != nil {
		return nil, err
	}
	if p == t.top {
		return withOrigins(data)
	}
	return data, nil
}

// The rest of filesys.FileSystem is not needed by a build of a read-only tree.

// Create implements filesys.FileSystem.
func (t *treeFS) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir implements filesys.FileSystem.
func (t *treeFS) Mkdir(string) error { return errReadOnly }

// MkdirAll implements filesys.FileSystem.
func (t *treeFS) MkdirAll(string) error { return errReadOnly }

// RemoveAll implements filesys.FileSystem.
func (t *treeFS) RemoveAll(string) error { return errReadOnly }

// Open implements filesys.FileSystem.
func (t *treeFS) Open(string) (filesys.File, error) { return nil, errReadOnly }

// ReadDir implements filesys.FileSystem.
func (t *treeFS) ReadDir(string) ([]string, error) { return nil, errReadOnly }

// Glob implements filesys.FileSystem.
func (t *treeFS) Glob(string) ([]string, error) { return nil, errReadOnly }

// WriteFile implements filesys.FileSystem.
func (t *treeFS) WriteFile(string, []byte) error { return errReadOnly }

// Walk implements filesys.FileSystem.
func (t *treeFS) Walk(string, filepath.WalkFunc) error { return errReadOnly }
