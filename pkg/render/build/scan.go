package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// candidate is a unit before it is built.
type candidate struct {
	path string
	kind candidateKind
	// size is what its files weigh, as far as that is known before reading them.
	size int64
}

type candidateKind int

const (
	plainFile candidateKind = iota
	kustomization
	chart
)

// scanned are the units of a tree, in the order of their paths, and what of it cannot be read.
type scanned struct {
	units    []candidate
	problems []v1alpha1.Problem
	failed   []string
	files    int64
}

// refuse notes a path that cannot be read.
func (s *scanned) refuse(name, format string, args ...any) {
	s.problems = append(s.problems, v1alpha1.Problem{
		Position: v1alpha1.Position{File: name}, ID: v1alpha1.FindingBuildFailed,
		Severity: v1alpha1.SeverityBlocker, Message: fmt.Sprintf(format, args...),
	})
	s.failed = append(s.failed, name)
}

// scan finds the units below the path.
func scan(files fs.FS, o Options) (*scanned, error) {
	info, err := lstat(files, o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("path %q is not in the repository", o.Path)
	case err != nil:
		return nil, fmt.Errorf("path %q: %s", o.Path, reason(err))
	case !info.IsDir():
		return nil, fmt.Errorf("path %q is no folder", o.Path)
	}
	s := &scanned{}
	if err := s.folder(files, o.Path, nil, o); err != nil {
		return nil, fmt.Errorf("path %q: %s", o.Path, reason(err))
	}
	s.dropReferenced(files)
	s.refusedBy(files, o.Path)
	return s, nil
}

func (s *scanned) folder(files fs.FS, dir string, above []ignorePattern, o Options) error {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return err
	}
	patterns, err := readIgnore(files, dir, above)
	if err != nil {
		s.refuse(path.Join(dir, ignoreFile), "%s; nothing is left out for it", err)
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
			return slices.Contains(names, e.Name()) && !ignored(patterns, path.Join(dir, e.Name()), e.IsDir())
		})
	}
	switch {
	case has(kustomizationNames()...):
		s.units = append(s.units, candidate{path: dir, kind: kustomization})
		return nil
	case has(chartFile):
		s.units = append(s.units, candidate{path: dir, kind: chart})
		return nil
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") || ignored(patterns, name, e.IsDir()) {
			continue
		}
		if e.IsDir() {
			if err := s.folder(files, name, patterns, o); err != nil {
				s.refuse(name, "the folder cannot be read: %s", reason(err))
			}
			continue
		}
		s.file(name, e, o)
	}
	return nil
}

func (s *scanned) file(name string, e fs.DirEntry, o Options) {
	extension := path.Ext(name)
	manifest := slices.Contains(manifestExtensions(), extension)
	if !e.Type().IsRegular() {
		// A link or submodule without an extension may stand for a folder, and then for objects.
		if manifest || extension == "" || e.Type()&fs.ModeSymlink == 0 {
			what := "symbolic links are not followed"
			if e.Type()&fs.ModeSymlink == 0 {
				what = "submodules and special files are not read"
			}
			s.refuse(name, "%s", what)
		}
		return
	}
	if !manifest {
		return
	}
	if s.files++; s.files > *o.Limits.MaxFiles {
		if s.files == *o.Limits.MaxFiles+1 {
			s.refuse(name, "there are more than %d files; the rest is left out", *o.Limits.MaxFiles)
		}
		return
	}
	c := candidate{path: name}
	if info, err := e.Info(); err == nil {
		c.size = info.Size()
	}
	if c.size > *o.Limits.MaxFileBytes {
		s.refuse(name, "the file has %d bytes, more than the %d that are read", c.size, *o.Limits.MaxFileBytes)
		return
	}
	s.units = append(s.units, c)
}

// Refuser is what a file system may offer beside fs.FS: what it leaves out though it is there, by path, with
// the reason.
type Refuser interface {
	Refused() map[string]string
}

// maxRefused bounds how many refused paths are named.
const maxRefused = 50

// refusedBy notes what the file system leaves out below the path.
func (s *scanned) refusedBy(files fs.FS, dir string) {
	r, ok := files.(Refuser)
	if !ok {
		return
	}
	refused := r.Refused()
	names := slices.Sorted(maps.Keys(refused))
	names = slices.DeleteFunc(names, func(name string) bool { return dir != "." && !strings.HasPrefix(name, dir+"/") })
	for i, name := range names {
		if i == maxRefused {
			s.refuse(dir, "%d more files and folders are left out, for names or places that cannot be", len(names)-i)
			return
		}
		s.refuse(name, "it is left out: %s", refused[name])
	}
}

func manifestExtensions() []string { return []string{".yaml", ".yml", ".json"} }

func kustomizationNames() []string {
	return []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}
}

// dropReferenced removes the kustomizations that are part of another one, and Components. One that
// only refers to itself in a circle stays, so that its failure is seen.
func (s *scanned) dropReferenced(files fs.FS) {
	references := map[string][]string{}
	component := map[string]bool{}
	var visit func(dir string)
	visit = func(dir string) {
		if _, ok := references[dir]; ok {
			return
		}
		references[dir] = nil
		k := readReferences(files, dir)
		component[dir] = k.component
		for _, to := range k.folders {
			references[dir] = append(references[dir], to)
			visit(to)
		}
	}
	var folders []string
	for _, u := range s.units {
		if u.kind == kustomization {
			folders = append(folders, u.path)
			visit(u.path)
		}
	}
	if len(folders) < 2 && !slices.ContainsFunc(folders, func(f string) bool { return component[f] }) {
		return
	}
	referenced := map[string]bool{}
	for from, list := range references {
		for _, to := range list {
			if to != from {
				referenced[to] = true
			}
		}
	}
	covered := map[string]bool{}
	var cover func(dir string)
	cover = func(dir string) {
		for _, to := range references[dir] {
			if !covered[to] {
				covered[to] = true
				cover(to)
			}
		}
	}
	for _, f := range folders {
		if !referenced[f] {
			cover(f)
		}
	}
	s.units = slices.DeleteFunc(s.units, func(u candidate) bool {
		return u.kind == kustomization && (covered[u.path] && referenced[u.path] || component[u.path])
	})
}

// build builds a unit.
func (c candidate) build(ctx context.Context, files fs.FS, o Options) *unit {
	u := &unit{path: c.path, kind: c.kind, inputs: map[string]string{}, namespace: o.DefaultNamespace, required: o.RequireEncryption}
	switch c.kind {
	case kustomization:
		u.kustomize(ctx, files, o)
	case chart:
		u.chart(ctx, files, o)
	default:
		u.read(ctx, files, o)
	}
	u.refuseClearSecrets()
	return u
}

// fail notes a problem that means that not everything of the unit is there.
func (u *unit) fail(p v1alpha1.Problem) {
	u.problems = append(u.problems, p)
	u.failed = true
}
