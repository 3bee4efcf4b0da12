package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func openLocal(t *testing.T, dir string, o LocalOptions) *Local {
	t.Helper()
	l, err := OpenLocal(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func fetchRef(t *testing.T, r Repository, ref string) *Tree {
	t.Helper()
	rev, err := r.ResolveRef(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := r.Fetch(t.Context(), rev)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// contents reads a whole tree into a map.
func contents(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := fs.ReadFile(fsys, p)
		out[p] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLocalKinds(t *testing.T) {
	r := newGitRepo(t)
	first := r.commit("first", "apps/web.yaml", "kind: A\n", "README.md", "hi\n")
	r.write("apps/web.yaml", "kind: B\n")
	r.write("apps/new.yaml", "kind: C\n")
	bare := r.clone("--bare")
	plain := t.TempDir()
	if err := os.WriteFile(filepath.Join(plain, "x.yaml"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	linked := filepath.Join(t.TempDir(), "linked")
	r.git("worktree", "add", "-q", "--detach", linked)

	for _, tc := range []struct {
		reason, dir string
		ref         Ref
		kind        Kind
		revision    string
		want        map[string]string
	}{
		{reason: "a work tree is read as it stands, untracked files too", dir: r.dir, kind: WorkTree, revision: "dir@sha256:",
			want: map[string]string{"apps/web.yaml": "kind: B\n", "apps/new.yaml": "kind: C\n", "README.md": "hi\n"}},
		{reason: "a work tree at a branch is what was committed", dir: r.dir, ref: Ref{Branch: "main"}, kind: WorkTree, revision: "main@sha1:" + first,
			want: map[string]string{"apps/web.yaml": "kind: A\n", "README.md": "hi\n"}},
		{reason: "a folder inside a work tree is read as it stands", dir: filepath.Join(r.dir, "apps"), kind: WorkTree, revision: "dir@sha256:",
			want: map[string]string{"web.yaml": "kind: B\n", "new.yaml": "kind: C\n"}},
		{reason: "and at a commit it is that folder of the commit", dir: filepath.Join(r.dir, "apps"), ref: Ref{Commit: first}, kind: WorkTree, revision: "sha1:" + first,
			want: map[string]string{"web.yaml": "kind: A\n"}},
		{reason: "a bare repository is read at its HEAD", dir: bare.dir, kind: Bare, revision: "main@sha1:" + first,
			want: map[string]string{"apps/web.yaml": "kind: A\n", "README.md": "hi\n"}},
		{reason: "a linked work tree finds the objects of the main one", dir: linked, ref: Ref{Name: "refs/heads/main"}, kind: WorkTree, revision: "refs/heads/main@sha1:" + first,
			want: map[string]string{"apps/web.yaml": "kind: A\n", "README.md": "hi\n"}},
		{reason: "a plain folder has no refs", dir: plain, kind: PlainFolder, revision: "dir@sha256:",
			want: map[string]string{"x.yaml": "x"}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			l := openLocal(t, tc.dir, LocalOptions{Ref: tc.ref})
			if l.Kind() != tc.kind {
				t.Errorf("kind %q, want %q", l.Kind(), tc.kind)
			}
			rev, err := l.Resolve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(rev.String(), tc.revision) {
				t.Errorf("revision %q, want %q", rev, tc.revision)
			}
			if back, err := ParseRevision(rev.String()); err != nil || back != rev {
				t.Errorf("ParseRevision(%q) = %v, %v", rev, back, err)
			}
			tree, err := l.Fetch(t.Context(), rev)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, contents(t, tree)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRevParseAgreesWithGit(t *testing.T) {
	r := newGitRepo(t)
	r.commit("one", "a", "1")
	r.commit("two", "a", "2")
	r.git("tag", "-a", "v1.0.0", "-m", "release")
	r.git("tag", "light")
	r.git("switch", "-q", "-c", "side", "HEAD~1")
	r.commit("side", "b", "1")
	r.git("switch", "-q", "main")
	r.clock = r.clock.Add(1e12)
	r.git("merge", "-q", "--no-ff", "-m", "merge", "side")
	r.git("tag", "-a", "nested", "-m", "tag of a tag", "v1.0.0")
	c := r.clone()
	c.git("gc", "-q")
	l := openLocal(t, c.dir, LocalOptions{})
	full := c.git("rev-parse", "HEAD")
	for _, expr := range []string{
		"HEAD", "@", "main", "refs/heads/main", "heads/main", "origin/main", "origin", "origin/side", "v1.0.0", "light",
		"nested", "tags/v1.0.0", "HEAD~1", "HEAD^", "HEAD^2", "HEAD^2~1", "HEAD~", "HEAD~1^0", "HEAD^^", "v1.0.0^{}", "v1.0.0^{commit}~1",
		full, full[:7], full[:8], strings.ToUpper(full[:9]) + "~1", "@~2",
	} {
		rev, err := l.ResolveRef(t.Context(), expr)
		if err != nil {
			t.Errorf("ResolveRef(%q): %v", expr, err)
			continue
		}
		if want := c.git("rev-parse", expr+"^{commit}"); rev.Hash != want {
			t.Errorf("ResolveRef(%q) = %s, git says %s", expr, rev.Hash, want)
		}
	}
	for _, expr := range []string{"nope", "^", "HEAD~99", "HEAD^3", "HEAD@{1}", "main@{upstream}", "HEAD:a", ":/one", "--upload-pack=x", "a..b", "HEAD~x", "config", "0000000"} {
		if rev, err := l.ResolveRef(t.Context(), expr); err == nil {
			t.Errorf("ResolveRef(%q) = %s, want an error", expr, rev)
		} else if v := Classify(err); v.Class != Stalled {
			t.Errorf("ResolveRef(%q): %v is %s, want stalled", expr, err, v.Class)
		}
	}
}

func TestMergeBase(t *testing.T) {
	r := newGitRepo(t)
	root := r.commit("root", "a", "1")
	base := r.commit("base", "a", "2")
	r.git("switch", "-q", "-c", "feature")
	r.commit("f1", "f", "1")
	feature := r.commit("f2", "f", "2")
	r.git("switch", "-q", "main")
	r.commit("m1", "a", "3")
	r.commit("m2", "a", "4")
	r.git("switch", "-q", "--orphan", "island")
	r.commit("island", "i", "1")
	r.git("switch", "-q", "main")

	t.Run("agrees with git", func(t *testing.T) {
		l := openLocal(t, r.dir, LocalOptions{})
		for _, pair := range [][2]string{{"main", "feature"}, {"feature", "main"}, {"main", "main"}, {"main~3", "feature"}, {root, feature}, {"main", ""}} {
			got, err := l.MergeBase(t.Context(), pair[0], pair[1])
			if err != nil {
				t.Fatal(err)
			}
			if want := r.git("merge-base", pair[0], orHead(pair[1])); got.Hash != want {
				t.Errorf("MergeBase(%q, %q) = %s, git says %s", pair[0], pair[1], got.Hash, want)
			}
		}
		if _, err := l.MergeBase(t.Context(), "main", "island"); !errors.Is(err, ErrNoMergeBase) {
			t.Errorf("unrelated histories: %v, want ErrNoMergeBase", err)
		}
	})
	t.Run("criss-cross merges give one of git's answers", func(t *testing.T) {
		x := r.clone()
		x.git("switch", "-q", "-c", "p", "origin/main")
		x.commit("p1", "p", "1")
		x.git("switch", "-q", "-c", "q", "origin/main")
		x.commit("q1", "q", "1")
		x.clock = x.clock.Add(1e12)
		x.git("merge", "-q", "-m", "q+p", "p")
		x.git("switch", "-q", "p")
		x.git("merge", "-q", "-m", "p+q", "q^1")
		got, err := openLocal(t, x.dir, LocalOptions{}).MergeBase(t.Context(), "p", "q")
		if err != nil {
			t.Fatal(err)
		}
		if all := x.git("merge-base", "--all", "p", "q"); !strings.Contains(all, got.Hash) {
			t.Errorf("got %s, git says %s", got.Hash, all)
		}
	})
	t.Run("a shallow clone that is deep enough is fine", func(t *testing.T) {
		c := r.clone("--no-single-branch", "--depth=3")
		got, err := openLocal(t, c.dir, LocalOptions{}).MergeBase(t.Context(), "origin/main", "origin/feature")
		if err != nil || got.Hash != base {
			t.Errorf("got %s, %v, want %s", got, err, base)
		}
	})
	t.Run("one that is not says so", func(t *testing.T) {
		c := r.clone("--no-single-branch", "--depth=1")
		l := openLocal(t, c.dir, LocalOptions{})
		_, err := l.MergeBase(t.Context(), "origin/main", "origin/feature")
		if !errors.Is(err, ErrShallow) || !strings.Contains(err.Error(), "fetch-depth: 0") {
			t.Errorf("got %v, want ErrShallow with what to do", err)
		}
		if _, err := l.ResolveRef(t.Context(), "HEAD~1"); !errors.Is(err, ErrShallow) {
			t.Errorf("HEAD~1: got %v, want ErrShallow", err)
		}
	})
}

func TestTreeIsAProperFileSystem(t *testing.T) {
	r := newGitRepo(t)
	r.write("bin/run.sh", "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(r.dir, "bin/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.commit("x", "a/b/c.yaml", "c", "a/b.yaml", "b", "a.yaml", "a", "a/z", "", "ab/x", "x", "a-b", "-")
	l := openLocal(t, r.dir, LocalOptions{})
	atCommit := fetchRef(t, l, "HEAD")
	onDisk, err := l.AsItStands()
	if err != nil {
		t.Fatal(err)
	}
	for name, tree := range map[string]*Tree{"commit": atCommit, "folder": onDisk} {
		t.Run(name, func(t *testing.T) {
			if err := fstest.TestFS(tree, "a/b/c.yaml", "a.yaml", "bin/run.sh", "a-b"); err != nil {
				t.Error(err)
			}
			sub, err := tree.SubTree("a")
			if err != nil {
				t.Fatal(err)
			}
			if err := fstest.TestFS(sub, "b/c.yaml", "z"); err != nil {
				t.Error(err)
			}
			if got, want := sub.Digest("b/c.yaml"), tree.Digest("a/b/c.yaml"); got != want {
				t.Errorf("digest in the sub tree %q, want %q", got, want)
			}
		})
	}
	// Digests are Git's own, so a commit and a work tree share what is built.
	for path, want := range map[string]string{
		".": r.git("rev-parse", "HEAD^{tree}"), "a": r.git("rev-parse", "HEAD:a"), "bin/run.sh": r.git("rev-parse", "HEAD:bin/run.sh"), "a/b/c.yaml": r.git("rev-parse", "HEAD:a/b/c.yaml"),
	} {
		if got := atCommit.Digest(path); got != "sha1:"+want {
			t.Errorf("commit: digest of %q is %q, git says %q", path, got, want)
		}
		if got := onDisk.Digest(path); got != "sha1:"+want {
			t.Errorf("folder: digest of %q is %q, git says %q", path, got, want)
		}
	}
	if diff := cmp.Diff(atCommit.Files(), onDisk.Files()); diff != "" {
		t.Errorf("a clean work tree differs from its commit:\n%s", diff)
	}
	if got := atCommit.Digest("nope"); got != "" {
		t.Errorf("digest of a missing file: %q", got)
	}
}

// Whoever owns a repository may repack it while a tree of it is in use.
func TestTreeOutlivesRepacking(t *testing.T) {
	r := newGitRepo(t)
	r.commit("one", "a", "1", "b", "2")
	r.git("gc", "-q")
	l := openLocal(t, r.dir, LocalOptions{})
	tree := fetchRef(t, l, "HEAD")
	if got, err := tree.ReadFile("a"); err != nil || string(got) != "1" {
		t.Fatalf("a is %q, %v", got, err)
	}
	r.commit("two", "a", "3")
	r.git("repack", "-q", "-a", "-d", "-f")
	r.git("prune-packed")
	if got, err := tree.ReadFile("b"); err != nil || string(got) != "2" {
		t.Errorf("after a repack: b is %q, %v", got, err)
	}
	if got := contents(t, fetchRef(t, l, "HEAD"))["a"]; got != "3" {
		t.Errorf("the new commit: a is %q", got)
	}
}

func TestBorrowedObjectsAndSubmodules(t *testing.T) {
	inner := newGitRepo(t)
	inner.commit("inner", "x.yaml", "x")
	r := newGitRepo(t)
	r.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.dir, "modules/inner")
	r.commit("outer", "a.yaml", "a")
	shared := filepath.Join(t.TempDir(), "shared")
	r.git("clone", "-q", "--shared", r.dir, shared)

	l := openLocal(t, shared, LocalOptions{})
	atCommit := fetchRef(t, l, "HEAD")
	if got := contents(t, atCommit)["a.yaml"]; got != "a" {
		t.Errorf("objects of another repository (alternates): a.yaml is %q", got)
	}
	if got := fetchRef(t, l, r.git("rev-parse", "--short", "HEAD")).Revision(); !got.Same(atCommit.Revision()) {
		t.Errorf("a short hash of a borrowed commit is %s", got)
	}
	onDisk := pull(t, openLocal(t, r.dir, LocalOptions{}))
	for name, tree := range map[string]*Tree{"commit": atCommit, "folder": onDisk} {
		if diff := cmp.Diff([]string{"modules/inner"}, tree.Submodules()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if _, err := tree.ReadFile("modules/inner/x.yaml"); !errors.Is(err, ErrSubmodule) {
			t.Errorf("%s: a file of the submodule: %v, want ErrSubmodule", name, err)
		}
	}
}

func TestLocalErrors(t *testing.T) {
	empty := newGitRepo(t)
	plain := t.TempDir()
	sha256 := newGitRepo(t, "--object-format=sha256")
	sha256.commit("one", "a", "1")
	for _, tc := range []struct {
		reason string
		do     func() error
		want   error
	}{
		{"no such folder", func() error { _, err := OpenLocal(filepath.Join(plain, "nope"), LocalOptions{}); return err }, ErrRepositoryNotFound},
		{"a ref of a plain folder", func() error {
			_, err := OpenLocal(plain, LocalOptions{Ref: Ref{Branch: "main"}})
			return err
		}, ErrRefNotFound},
		{"a commit of a plain folder", func() error {
			_, err := openLocal(t, plain, LocalOptions{}).ResolveRef(t.Context(), "HEAD")
			return err
		}, ErrRefNotFound},
		{"HEAD of an empty repository", func() error {
			_, err := openLocal(t, empty.dir, LocalOptions{}).ResolveRef(t.Context(), "HEAD")
			return err
		}, ErrRefNotFound},
		{"a repository with SHA-256", func() error {
			_, err := openLocal(t, sha256.dir, LocalOptions{}).ResolveRef(t.Context(), "HEAD")
			return err
		}, ErrInvalid},
		{"two refs at once", func() error {
			_, err := OpenLocal(plain, LocalOptions{Ref: Ref{Branch: "a", Tag: "b"}})
			return err
		}, ErrInvalid},
		{"a branch name with dots", func() error { return Ref{Branch: "a..b"}.Validate() }, ErrInvalid},
		{"a range that is none", func() error { return Ref{SemVer: "x.y.z.w"}.Validate() }, ErrInvalid},
		{"a commit of seven digits", func() error { return Ref{Commit: "abcdef0"}.Validate() }, ErrInvalid},
	} {
		if err := tc.do(); !errors.Is(err, tc.want) || Classify(err).Class != Stalled {
			t.Errorf("%s: got %v, want %v, stalled", tc.reason, err, tc.want)
		}
	}
}

// A repository that is gone is not one whose branch is gone.
func TestAVanishedRepositoryIsNamed(t *testing.T) {
	r := newGitRepo(t)
	r.commit("one", "a.yaml", "a: b")
	l, err := OpenLocal(r.dir, LocalOptions{Ref: Ref{Branch: "main"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Resolve(t.Context()); !errors.Is(err, ErrRepositoryNotFound) {
		t.Errorf("resolving in a repository that was removed gave %v, want ErrRepositoryNotFound", err)
	}
}
