package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"
)

// Kind says what a folder is.
type Kind string

// The three kinds of folders that OpenLocal knows.
const (
	// PlainFolder is not under Git's control. It has no refs.
	PlainFolder Kind = "folder"
	// WorkTree is a folder of a Git work tree, its top or one below.
	WorkTree Kind = "work tree"
	// Bare is a repository without a work tree. It cannot be read as it stands.
	Bare Kind = "bare repository"
)

// LocalOptions say what to read of a folder on this machine.
type LocalOptions struct {
	// Ref is what Resolve answers. The zero value means: as it stands for a
	// folder or work tree, HEAD for a bare repository.
	Ref Ref
	// Limits bound the trees.
	Limits Limits
}

// Local is a plain folder, a Git work tree or a bare repository on this
// machine, read in place: nothing is copied and nothing is written.
type Local struct {
	dir    string // the folder, with links resolved
	kind   Kind
	gitDir string // empty for a plain folder
	prefix string // where dir is inside the work tree, slash-separated; "" for its top
	ref    Ref
	limits Limits

	mu sync.Mutex
	// objects is kept for the folders that it knows; its store is renewed with
	// each call.
	objects *objects
	// standing is the tree that Resolve read last, so that Fetch of its revision
	// gives just that.
	standing *Tree
	// tip is what Fetch gave last.
	tip Revision
}

// OpenLocal looks at dir and decides what it is. A folder below the top of a
// work tree is fine; its trees then hold that folder only.
func OpenLocal(dir string, o LocalOptions) (*Local, error) {
	limits, err := o.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := o.Ref.Validate(); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", dir, err)
	}
	abs, err = filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, fmt.Errorf("%w: open %q: %w", ErrRepositoryNotFound, dir, err)
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%w: %q is not a folder", ErrRepositoryNotFound, dir)
	}
	l := &Local{dir: abs, kind: PlainFolder, ref: o.Ref, limits: limits}
	if isGitDir(abs) {
		l.kind, l.gitDir = Bare, abs
		return l, nil
	}
	top, gitDir, err := findWorkTree(abs)
	if err != nil {
		return nil, err
	}
	if gitDir != "" {
		rel, err := filepath.Rel(top, abs)
		if err != nil {
			return nil, fmt.Errorf("open %q: %w", dir, err)
		}
		l.kind, l.gitDir = WorkTree, gitDir
		if rel != "." {
			l.prefix = filepath.ToSlash(rel)
		}
	}
	if l.kind == PlainFolder && o.Ref != (Ref{}) {
		return nil, fmt.Errorf("%w: %q is a plain folder and has no %s", ErrRefNotFound, dir, o.Ref)
	}
	return l, nil
}

// Kind says what the folder is.
func (l *Local) Kind() Kind { return l.kind }

// Dir is the folder's absolute path.
func (l *Local) Dir() string { return l.dir }

// String gives the folder's path.
func (l *Local) String() string { return l.dir }

func (l *Local) asItStands() bool { return l.ref == (Ref{}) && l.kind != Bare }

// Resolve answers the wanted revision. For a folder as it stands that reads
// every file.
func (l *Local) Resolve(ctx context.Context) (Revision, error) {
	if err := ctx.Err(); err != nil {
		return Revision{}, err
	}
	if l.asItStands() {
		t, err := l.AsItStands()
		if err != nil {
			return Revision{}, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.standing = t
		return t.Revision(), nil
	}
	repo, err := l.open()
	if err != nil {
		return Revision{}, err
	}
	refs, err := repo.refs(l.ref)
	if err != nil {
		return Revision{}, err
	}
	c, err := l.ref.pick(refs)
	if err != nil {
		return Revision{}, fmt.Errorf("%s: %w", l.dir, err)
	}
	return repo.commitRevision(c.ref, c.commit)
}

// AsItStands gives the folder as it is on disk now, whether committed or not
// and whether ignored by Git or not.
func (l *Local) AsItStands() (*Tree, error) {
	if l.kind == Bare {
		return nil, fmt.Errorf("%w: %s is a bare repository and cannot be read as it stands", ErrInvalid, l.dir)
	}
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", l.dir, err)
	}
	// The root stays open as long as the tree: its finalizer closes it.
	t, err := FromFS(root.FS(), l.limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.dir, err)
	}
	return t, nil
}

// Fetch gives the tree of a revision: of the folder as it stands if rev is what
// Resolve answered for it, else of a commit.
func (l *Local) Fetch(ctx context.Context, rev Revision) (*Tree, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if rev.Ref == folderRef && len(rev.Hash) == sha256Digits {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.standing != nil && l.standing.revision.Same(rev) {
			return l.standing, nil
		}
		return nil, fmt.Errorf("%s: folder at %s: %w", l.dir, rev, ErrChanged)
	}
	repo, err := l.open()
	if err != nil {
		return nil, err
	}
	t, err := repo.objects.tree(rev)
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", l.dir, rev, repo.explain(err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.revision.Rewritten, err = repo.objects.rewritten(l.tip, rev, l.ref.isTag()); err != nil {
		return nil, fmt.Errorf("%s at %s: %w", l.dir, rev, err)
	}
	l.tip = rev
	if l.prefix == "" {
		return t, nil
	}
	sub, err := t.SubTree(l.prefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %s at %s has no folder %q", ErrRefNotFound, l.dir, rev, l.prefix)
	}
	return sub, nil
}

// ResolveRef answers the commit that ref names, in the words of git rev-parse:
// a branch, a tag, a remote branch, a full or short hash, HEAD or @, each with
// any number of ~N, ^N and ^{commit}. Empty is HEAD.
func (l *Local) ResolveRef(ctx context.Context, ref string) (Revision, error) {
	if err := ctx.Err(); err != nil {
		return Revision{}, err
	}
	repo, err := l.open()
	if err != nil {
		return Revision{}, err
	}
	rev, err := repo.parse(ref)
	if err != nil {
		return Revision{}, fmt.Errorf("%s: %w", l.dir, repo.explain(err))
	}
	return rev, nil
}

// MergeBase answers the best common ancestor of two refs.
func (l *Local) MergeBase(ctx context.Context, base, head string) (Revision, error) {
	if err := ctx.Err(); err != nil {
		return Revision{}, err
	}
	repo, err := l.open()
	if err != nil {
		return Revision{}, err
	}
	b, err := repo.parse(base)
	if err != nil {
		return Revision{}, fmt.Errorf("%s: %w", l.dir, repo.explain(err))
	}
	h, err := repo.parse(head)
	if err != nil {
		return Revision{}, fmt.Errorf("%s: %w", l.dir, repo.explain(err))
	}
	found, err := repo.objects.mergeBase(ctx, b, h)
	if err != nil {
		return Revision{}, fmt.Errorf("%s: merge base of %q and %q: %w", l.dir, base, orHead(head), err)
	}
	return found, nil
}

func orHead(ref string) string {
	if ref == "" {
		return "HEAD"
	}
	return ref
}

// open opens the repository anew, so that packs made since are seen. It costs
// the reading of the pack indexes at the first object.
func (l *Local) open() (*repository, error) {
	if l.gitDir == "" {
		return nil, fmt.Errorf("%w: %s is a plain folder and has no commits", ErrRefNotFound, l.dir)
	}
	if _, err := os.Stat(l.gitDir); err != nil {
		// An absent repository would read as one without refs.
		return nil, fmt.Errorf("%w: %s is not there: %w", ErrRepositoryNotFound, l.dir, err)
	}
	storage, err := openStorage(l.gitDir)
	if err != nil {
		return nil, err
	}
	// The readers get a storage of their own: one may not be used by two.
	shared, err := openObjects(l.gitDir)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.objects == nil {
		l.objects = newObjects(shared, l.limits)
		l.objects.reopen = func() (storer.EncodedObjectStorer, error) { return openObjects(l.gitDir) }
	} else {
		l.objects.replaceStore(shared)
	}
	return &repository{storage: storage, objects: l.objects}, nil
}

// repository is an object store with refs.
type repository struct {
	storage *filesystem.Storage
	objects *objects
}

func openStorage(gitDir string) (*filesystem.Storage, error) {
	common, err := commonDir(gitDir)
	if err != nil {
		return nil, err
	}
	files := osfs.New(gitDir)
	if common != gitDir {
		files = dotgit.NewRepositoryFilesystem(files, osfs.New(common))
	}
	storage := filesystem.NewStorageWithOptions(files, cache.NewObjectLRU(16*cache.MiByte), filesystem.Options{
		KeepDescriptors: true,
	})
	cfg, err := storage.Config()
	if err != nil {
		return nil, fmt.Errorf("%w: configuration of %s: %w", ErrInvalid, gitDir, err)
	}
	if format := cfg.Raw.Section("extensions").Option("objectformat"); format != "" && format != "sha1" {
		return nil, fmt.Errorf("%w: %s stores its objects as %q, only sha1 is supported", ErrInvalid, gitDir, format)
	}
	if refs := cfg.Raw.Section("extensions").Option("refstorage"); refs != "" && refs != "files" {
		return nil, fmt.Errorf("%w: %s stores its refs as %q, only files are supported", ErrInvalid, gitDir, refs)
	}
	return storage, nil
}

// explain turns a missing object into the reason for it.
func (r *repository) explain(err error) error {
	if !errors.Is(err, errMissing) {
		return err
	}
	if r.isShallow() {
		return fmt.Errorf("%w: %w; fetch more history (git fetch --unshallow, or fetch-depth: 0 in CI)", ErrShallow, err)
	}
	return fmt.Errorf("%w: %w", ErrRefNotFound, err)
}

func (r *repository) isShallow() bool {
	s, err := r.storage.Shallow()
	return err == nil && len(s) > 0
}

// commitRevision checks that a hash is a commit that is there.
func (r *repository) commitRevision(ref string, hash plumbing.Hash) (Revision, error) {
	c, err := r.objects.peel(hash)
	if err != nil {
		return Revision{}, r.explain(err)
	}
	return Revision{Ref: ref, Hash: c.Hash.String()}, nil
}

// isGitDir reports whether dir looks like a repository: what git rev-parse
// --resolve-git-dir checks for.
func isGitDir(dir string) bool {
	for _, name := range []string{"objects", "refs"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.IsDir() {
			return false
		}
	}
	info, err := os.Stat(filepath.Join(dir, "HEAD"))
	return err == nil && info.Mode().IsRegular()
}

// findWorkTree walks up from dir to the top of the work tree that it is in, and
// gives empty strings when there is none.
func findWorkTree(dir string) (top, gitDir string, err error) {
	for top = dir; ; {
		dotGit := filepath.Join(top, ".git")
		info, err := os.Stat(dotGit)
		switch {
		case err == nil && info.IsDir() && isGitDir(dotGit):
			return top, dotGit, nil
		case err == nil && info.Mode().IsRegular():
			gitDir, err := readPointer(dotGit, "gitdir: ")
			if err != nil {
				return "", "", err
			}
			return top, gitDir, nil
		}
		parent := filepath.Dir(top)
		if parent == top {
			return "", "", nil
		}
		top = parent
	}
}

// commonDir is where a linked work tree (git worktree add) keeps its objects.
func commonDir(gitDir string) (string, error) {
	file := filepath.Join(gitDir, "commondir")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return gitDir, nil
	}
	return readPointer(file, "")
}

// readPointer reads a file that holds the path of a folder after a prefix,
// relative to the file.
func readPointer(file, prefix string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("open repository: %w", err)
	}
	target, ok := cutPrefixLine(string(data), prefix)
	if !ok {
		return "", fmt.Errorf("%w: %s does not begin with %q", ErrInvalid, file, prefix)
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(file), target)
	}
	return filepath.Clean(target), nil
}
