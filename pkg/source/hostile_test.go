package source

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"
	"github.com/google/go-cmp/cmp"
)

// rawEntry is one line of a tree object, written as it is: nothing on the way
// checks it.
type rawEntry struct {
	mode, name string
	hash       plumbing.Hash
}

func put(tb testing.TB, s storer.EncodedObjectStorer, kind plumbing.ObjectType, data []byte) plumbing.Hash {
	tb.Helper()
	obj := &plumbing.MemoryObject{}
	obj.SetType(kind)
	if _, err := obj.Write(data); err != nil {
		tb.Fatal(err)
	}
	h, err := s.SetEncodedObject(obj)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func putTree(tb testing.TB, s storer.EncodedObjectStorer, entries ...rawEntry) plumbing.Hash {
	tb.Helper()
	var b bytes.Buffer
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s\x00", e.mode, e.name)
		b.Write(e.hash[:])
	}
	return put(tb, s, plumbing.TreeObject, b.Bytes())
}

func putCommit(tb testing.TB, s storer.EncodedObjectStorer, tree plumbing.Hash) Revision {
	tb.Helper()
	text := fmt.Sprintf("tree %s\nauthor A <a@x> 1700000000 +0000\ncommitter A <a@x> 1700000000 +0000\n\nx\n", tree)
	return Revision{Ref: "main", Hash: put(tb, s, plumbing.CommitObject, []byte(text)).String()}
}

func defaults(tb testing.TB, l Limits) Limits {
	tb.Helper()
	l, err := l.withDefaults()
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestEntryNames(t *testing.T) {
	for _, tc := range []struct {
		reason, name string
		ok           bool
	}{
		{"an ordinary name", "values.yaml", true},
		{"hidden files are ordinary", ".sops.yaml", true},
		{"git's own files are ordinary", ".gitignore", true},
		{"and .gitmodules", ".gitmodules", true},
		{"a name with spaces and letters of the world", "größe – 大.yaml", true},
		{"two dots inside", "a..b", true},
		{"a folder named like a bare repository", "shop.git", true},
		{"git~2 is some other file's short name", "git~2", true},
		{"the repository itself", ".git", false},
		{"in another case", ".GIT", false},
		{"its short name", "git~1", false},
		{"its short name in another case", "GIT~1", false},
		{"with a trailing dot, which Windows drops", ".git.", false},
		{"with trailing spaces", ".git  ", false},
		{"with a stream", ".git::$INDEX_ALLOCATION", false},
		{"with a code point that macOS ignores", ".g\u200cit", false},
		{"with one in front", "\ufeff.git", false},
		{"the folder above", "..", false},
		{"the folder itself", ".", false},
		{"nothing", "", false},
		{"a slash", "a/b", false},
		{"a backslash", `a\b`, false},
		{"a climb on Windows", `..\..\etc`, false},
		{"NUL", "a\x00b", false},
		{"a line break", "a\nb", false},
		{"a terminal escape", "a\x1b[31m", false},
		{"not UTF-8", "a\xff", false},
		{"too long", strings.Repeat("x", 256), false},
	} {
		if err := checkEntryName(tc.name); (err == nil) != tc.ok {
			t.Errorf("%s: checkEntryName(%q) = %v, want ok=%v", tc.reason, tc.name, err, tc.ok)
		}
	}
}

func TestHostileTrees(t *testing.T) {
	s := memory.NewStorage()
	blob := put(t, s, plumbing.BlobObject, []byte("kind: A\n"))
	inner := putTree(t, s, rawEntry{"100644", "x.yaml", blob})
	// Ten folders that are the same ten folders, ten times: 10^10 files in eleven objects.
	bomb := inner
	for range 10 {
		var entries []rawEntry
		for i := range 10 {
			entries = append(entries, rawEntry{"40000", fmt.Sprint("d", i), bomb})
		}
		bomb = putTree(t, s, entries...)
	}
	empty := putTree(t, s)
	for range 10 {
		var entries []rawEntry
		for i := range 10 {
			entries = append(entries, rawEntry{"40000", fmt.Sprint("d", i), empty})
		}
		empty = putTree(t, s, entries...)
	}
	big := put(t, s, plumbing.BlobObject, make([]byte, 3000))
	for _, tc := range []struct {
		reason string
		tree   plumbing.Hash
		limits Limits
		want   error
	}{
		{"the same name twice", putTree(t, s, rawEntry{"100644", "a", blob}, rawEntry{"100644", "a", big}), Limits{}, ErrContent},
		{"a file and a folder of one name", putTree(t, s, rawEntry{"100644", "a", blob}, rawEntry{"40000", "a", inner}), Limits{}, ErrContent},
		{"a tree that is a blob", putTree(t, s, rawEntry{"40000", "a", blob}), Limits{}, errMissing},
		{"half a tree object", put(t, s, plumbing.TreeObject, []byte("100644 a\x00short")), Limits{}, ErrContent},
		{"a tree that is not there", plumbing.NewHash(strings.Repeat("1", 40)), Limits{}, errMissing},
		{"a blob that is not there", putTree(t, s, rawEntry{"100644", "a", plumbing.NewHash(strings.Repeat("2", 40))}), Limits{}, errMissing},
		{"a bomb of files", bomb, Limits{}, ErrTooLarge},
		{"a bomb of empty folders", empty, Limits{}, ErrTooLarge},
		{"all files together", putTree(t, s, rawEntry{"100644", "a", big}, rawEntry{"100644", "b", big}), Limits{MaxTotalBytes: 5000}, ErrTooLarge},
		{"too many files", putTree(t, s, rawEntry{"100644", "a", big}, rawEntry{"100644", "b", big}), Limits{MaxEntries: 1}, ErrTooLarge},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			start := time.Now()
			_, err := newObjects(s, defaults(t, tc.limits)).tree(putCommit(t, s, tc.tree))
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestRefusedEntries: an entry that cannot be is left out, said, and keeps nothing else from being read.
func TestRefusedEntries(t *testing.T) {
	s := memory.NewStorage()
	blob := put(t, s, plumbing.BlobObject, []byte("kind: A\n"))
	inner := putTree(t, s, rawEntry{"100644", "x.yaml", blob})
	nested := func(name string) plumbing.Hash {
		return putTree(t, s, rawEntry{"40000", "dir", putTree(t, s, rawEntry{"40000", name, inner}, rawEntry{"100644", "ok.yaml", blob})})
	}
	chain := func(name string, n int) plumbing.Hash {
		tree := inner
		for range n {
			tree = putTree(t, s, rawEntry{"40000", name, tree}, rawEntry{"100644", "ok.yaml", blob})
		}
		return putTree(t, s, rawEntry{"40000", "dir", tree})
	}
	for _, tc := range []struct {
		reason      string
		tree        plumbing.Hash
		path, wants string
	}{
		{".GIT as a folder", nested(".GIT"), "dir/.GIT", "takes for .git"},
		{"git~1", nested("git~1"), "dir/git~1", "take for .git"},
		{"..", nested(".."), `dir/".."`, `named ".."`},
		{"a backslash", nested(`..\x`), `dir/"..\\x"`, "path separator"},
		{"a slash", nested("a/../../b"), `dir/"a\x2f..\x2f..\x2fb"`, "path separator"},
		{"a line break and an escape", nested("a\n\x1b[31m"), `dir/"a\n\x1b[31m"`, "control character"},
		{"a hundred folders deep", chain("d", 100), "dir/" + strings.Repeat("d/", 63) + "d", "more than 64 folders deep"},
		{"a path of 4000 bytes", chain(strings.Repeat("n", 200), 20), "", "more than 1024 bytes"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			o := newObjects(s, defaults(t, Limits{}))
			for range 2 {
				tree, err := o.tree(putCommit(t, s, tc.tree))
				if err != nil {
					t.Fatal(err)
				}
				refused := tree.Refused()
				if len(refused) != 1 {
					t.Fatalf("refused: %q", refused)
				}
				for at, reason := range refused {
					if tc.path != "" && at != tc.path || !strings.Contains(strings.ReplaceAll(reason, "takes", "take"), strings.ReplaceAll(tc.wants, "takes", "take")) {
						t.Errorf("refused %q: %s; want %q: %s", at, reason, tc.path, tc.wants)
					}
				}
				if _, err := tree.ReadFile("dir/ok.yaml"); err != nil {
					t.Errorf("the file beside it: %v", err)
				}
				for _, e := range tree.Files() {
					if strings.Contains(e.Path, "..") || strings.Contains(strings.ToLower(e.Path), "git") {
						t.Errorf("%q is listed", e.Path)
					}
				}
			}
		})
	}
}

// What one file may not do must not keep the others from being read.
func TestLinksSubmodulesAndLargeFiles(t *testing.T) {
	s := memory.NewStorage()
	blob := put(t, s, plumbing.BlobObject, []byte("kind: A\n"))
	link := put(t, s, plumbing.BlobObject, []byte("/proc/self/environ"))
	big := put(t, s, plumbing.BlobObject, make([]byte, 3000))
	module := plumbing.NewHash(strings.Repeat("3", 40))
	top := putTree(t, s, rawEntry{"100644", "big.yaml", big}, rawEntry{"120000", "link", link},
		rawEntry{"160000", "module", module}, rawEntry{"100644", "ok.yaml", blob}, rawEntry{"100755", "run", blob})
	tree, err := newObjects(s, defaults(t, Limits{MaxFileBytes: 2000})).tree(putCommit(t, s, top))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"link": ErrSymlink, "link/x": ErrSymlink, "module": ErrSubmodule, "module/x.yaml": ErrSubmodule,
		"big.yaml": ErrTooLarge, "nope": fs.ErrNotExist, "ok.yaml/x": fs.ErrNotExist, "../x": fs.ErrInvalid, "/etc/passwd": fs.ErrInvalid, "ok.yaml": nil, "run": nil,
	} {
		_, err := tree.ReadFile(name)
		if !errors.Is(err, want) {
			t.Errorf("ReadFile(%q): %v, want %v", name, err, want)
		}
		if _, openErr := tree.Open(name); !errors.Is(openErr, want) {
			t.Errorf("Open(%q): %v, want %v", name, openErr, want)
		}
		if err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %q", err, name)
		}
	}
	if diff := cmp.Diff([]Entry{
		{"big.yaml", 0o444, 3000, "sha1:" + big.String()},
		{"link", fs.ModeSymlink | 0o444, 0, "sha1:" + link.String()},
		{"module", fs.ModeIrregular | 0o444, 0, "sha1:" + module.String()},
		{"ok.yaml", 0o444, 8, "sha1:" + blob.String()},
		{"run", 0o555, 8, "sha1:" + blob.String()},
	}, tree.Files()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"module"}, tree.Submodules()); diff != "" {
		t.Error(diff)
	}
	entries, err := tree.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	if entries[1].Type() != fs.ModeSymlink {
		t.Errorf("ReadDir shows the link as %v", entries[1].Type())
	}
}

func TestLinksInAFolderAreNotFollowed(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	for _, f := range []string{filepath.Join(outside, "secret.yaml"), filepath.Join(dir, "ok.yaml")} {
		if err := os.WriteFile(f, []byte("kind: A\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"file": filepath.Join(outside, "secret.yaml"), "folder": outside, "inside": "ok.yaml", "dangling": "nope", "self": "self"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	tree := pull(t, openLocal(t, dir, LocalOptions{}))
	if diff := cmp.Diff(map[string]string{"ok.yaml": "kind: A\n"}, contents(t, tree)); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"file", "folder", "folder/secret.yaml", "inside", "dangling", "self"} {
		if _, err := tree.ReadFile(name); !errors.Is(err, ErrSymlink) {
			t.Errorf("ReadFile(%q): %v, want ErrSymlink", name, err)
		}
	}
	// A file that turns into a link behind our back is not followed either.
	if err := os.Remove(filepath.Join(dir, "ok.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret.yaml"), filepath.Join(dir, "ok.yaml")); err != nil {
		t.Fatal(err)
	}
	if data, err := tree.ReadFile("ok.yaml"); err == nil {
		t.Errorf("read %q through a link that came later", data)
	}
}

func TestFolderRevision(t *testing.T) {
	base := fstest.MapFS{"a.yaml": {Data: []byte("1")}, "d/b.yaml": {Data: []byte("2")}}
	revision := func(m fstest.MapFS) Revision {
		t.Helper()
		tree, err := FromFS(m, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return tree.Revision()
	}
	same := revision(base)
	if got := revision(fstest.MapFS{"d/b.yaml": {Data: []byte("2")}, "a.yaml": {Data: []byte("1"), ModTime: time.Now()}, ".git/config": {Data: []byte("x")}, "empty": {Mode: fs.ModeDir}}); got != same {
		t.Errorf("times, .git and empty folders change the revision: %s, %s", got, same)
	}
	for reason, m := range map[string]fstest.MapFS{
		"content":     {"a.yaml": {Data: []byte("9")}, "d/b.yaml": {Data: []byte("2")}},
		"a name":      {"A.yaml": {Data: []byte("1")}, "d/b.yaml": {Data: []byte("2")}},
		"a new file":  {"a.yaml": {Data: []byte("1")}, "d/b.yaml": {Data: []byte("2")}, "c": {}},
		"a mode":      {"a.yaml": {Data: []byte("1"), Mode: 0o755}, "d/b.yaml": {Data: []byte("2")}},
		"moved bytes": {"a.yaml": {Data: []byte("2")}, "d/b.yaml": {Data: []byte("1")}},
	} {
		if revision(m) == same {
			t.Errorf("%s does not change the revision", reason)
		}
	}
	tree, err := FromFS(base, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	base["a.yaml"].Data = []byte("9")
	if _, err := tree.ReadFile("a.yaml"); !errors.Is(err, ErrChanged) || Classify(err).Class != Retry {
		t.Errorf("a file that changed: %v, want ErrChanged, to be retried", err)
	}
}

// A hostile entry in a repository that a real server serves is left out and said.
func TestHostileRepositoryOverTheWire(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	h.push()
	storage, err := openStorage(h.bare)
	if err != nil {
		t.Fatal(err)
	}
	blob := put(t, storage, plumbing.BlobObject, []byte("[core]\n\tfsmonitor = touch /tmp/owned\n"))
	rev := putCommit(t, storage, putTree(t, storage, rawEntry{"40000", ".GIT", putTree(t, storage, rawEntry{"100644", "config", blob})}))
	if err := storage.SetReference(plumbing.NewHashReference("refs/heads/evil", plumbing.NewHash(rev.Hash))); err != nil {
		t.Fatal(err)
	}
	each(t, h, Ref{Branch: "evil"}, func(t *testing.T, s Source) {
		rev, err := s.Resolve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time it is in the clone already
			tree, err := s.Fetch(t.Context(), rev)
			if err != nil {
				t.Fatal(err)
			}
			if got := tree.Refused()[".GIT"]; !strings.Contains(got, "take for .git") {
				t.Errorf("refused %q", tree.Refused())
			}
			if _, err := tree.ReadFile(".GIT/config"); err == nil || len(tree.Files()) > 0 {
				t.Errorf("it can be read: %v, %v", err, tree.Files())
			}
		}
	})
}

// packOf writes a pack by hand: each object's type, declared size and content.
func packOf(objects ...packObject) []byte {
	var b bytes.Buffer
	b.WriteString("PACK")
	_ = binary.Write(&b, binary.BigEndian, uint32(2))
	_ = binary.Write(&b, binary.BigEndian, uint32(len(objects)))
	for _, o := range objects {
		head, size := byte(o.kind<<4)|byte(o.size&0x0f), o.size>>4
		for size > 0 {
			b.WriteByte(head | 0x80)
			head, size = byte(size&0x7f), size>>7
		}
		b.WriteByte(head)
		b.Write(o.base)
		z := zlib.NewWriter(&b)
		_, _ = z.Write(o.data)
		_ = z.Close()
	}
	sum := sha1.Sum(b.Bytes())
	return append(b.Bytes(), sum[:]...)
}

type packObject struct {
	kind int
	size uint64
	base []byte
	data []byte
}

func TestHostilePacks(t *testing.T) {
	limits := defaults(t, Limits{MaxObjectBytes: 1 << 20})
	zeros := make([]byte, 2<<20)
	delta := func(target uint64) []byte {
		return append(binary.AppendUvarint(binary.AppendUvarint(nil, 5), target), 0x90, 5)
	}
	base := packObject{kind: 3, size: 5, data: []byte("hello")}
	hash := plumbing.ComputeHash(plumbing.BlobObject, []byte("hello"))
	good := packOf(base, packObject{kind: 7, size: uint64(len(delta(5))), base: hash[:], data: delta(5)})
	var many []packObject
	for range 20 {
		many = append(many, packObject{kind: 3, size: 1 << 20, data: zeros[:1<<20]})
	}
	for _, tc := range []struct {
		reason string
		pack   []byte
		want   error
	}{
		{"a blob of two megabytes of zeros in two kilobytes", packOf(packObject{kind: 3, size: 2 << 20, data: zeros}), ErrTooLarge},
		{"one that declares less than it is", packOf(packObject{kind: 3, size: 10, data: zeros}), nil},
		{"one that declares 2^62 bytes, over what the format holds", packOf(packObject{kind: 3, size: 1 << 62, data: zeros[:10]}), nil},
		{"a delta that makes a terabyte", packOf(base, packObject{kind: 7, size: uint64(len(delta(1 << 40))), base: hash[:], data: delta(1 << 40)}), ErrTooLarge},
		{"a delta without sizes", packOf(base, packObject{kind: 7, size: 1, base: hash[:], data: []byte{0xff}}), ErrTooLarge},
		{"many objects of the allowed size", packOf(many...), ErrTooLarge},
		{"more objects promised than there are", append(append([]byte("PACK\x00\x00\x00\x02\xff\xff\xff\xff"), good[12:len(good)-20]...), good[len(good)-20:]...), nil},
		{"a wrong checksum", append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1), nil},
		{"half of it", good[:len(good)/2], nil},
		{"no pack at all", []byte("<html>login please</html>"), nil},
		{"nothing", nil, nil},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			if n, err := inspectPack(bytes.NewReader(tc.pack), limits); err == nil {
				t.Errorf("taken, with %d objects", n)
			} else if tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if n, err := inspectPack(bytes.NewReader(good), limits); err != nil || n != 2 {
		t.Errorf("a good pack: %d objects, %v", n, err)
	}
	// A pack that is fine on its own but builds on an object that is not in it.
	for _, parent := range []string{"", t.TempDir()} {
		c, err := newClone(parent, limits)
		if err != nil {
			t.Fatal(err)
		}
		missing := plumbing.NewHash(strings.Repeat("4", 40))
		thin := packOf(packObject{kind: 7, size: uint64(len(delta(5))), base: missing[:], data: delta(5)})
		if err := c.ingest(bytes.NewReader(thin), nil); err == nil {
			t.Errorf("a delta against nothing was taken (folder %q)", parent)
		}
	}
}
