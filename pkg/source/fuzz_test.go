package source

import (
	"bytes"
	"errors"
	"io/fs"
	"os/exec"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"
)

func FuzzParseRevision(f *testing.F) {
	hash := strings.Repeat("0a", 20)
	for _, s := range []string{"main@sha1:" + hash, "sha1:" + hash, "dir@sha256:" + hash + hash[:24], "a@b@sha1:" + hash, "@sha1:" + hash, "refs/heads/x@sha1:" + hash, ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRevision(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v does not say ErrInvalid", s, err)
			}
			return
		}
		if r.String() != s {
			t.Errorf("%q reads as %q", s, r)
		}
	})
}

func FuzzRefName(f *testing.F) {
	for _, s := range []string{"main", "release/1.0", "a..b", "a.lock", "-x", "@", "a@{b", "a b", "/a", "a//b", ".a", "a.", "ä", "a\x7f", "x\\y"} {
		f.Add(s)
	}
	if _, err := exec.LookPath("git"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkRefName(s) != nil || strings.ContainsRune(s, 0) {
			return
		}
		// What passes here passes Git too; the other way round we may be stricter.
		if err := exec.Command("git", "check-ref-format", "refs/heads/"+s).Run(); err != nil {
			t.Errorf("git does not take %q", s)
		}
	})
}

func FuzzExpression(f *testing.F) {
	r := newGitRepo(f)
	r.commit("one", "a", "1")
	r.commit("two", "a", "2")
	l, err := OpenLocal(r.dir, LocalOptions{})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", "HEAD", "HEAD~1", "main^0^{commit}", "@~~", "^", "~", "main@{1}", "0000", "refs/heads/main", "../HEAD", "HEAD~99999999999999999999", "heads/main", "config"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rev, err := l.ResolveRef(t.Context(), s)
		if err == nil && (len(rev.Hash) != sha1Digits || !l.mustHave(rev)) {
			t.Errorf("%q is %q", s, rev)
		}
		if err != nil && Classify(err).Class != Stalled {
			t.Errorf("%q: %v is not the user's to solve", s, err)
		}
	})
}

func (l *Local) mustHave(rev Revision) bool {
	repo, err := l.open()
	return err == nil && repo.objects.has(rev)
}

func FuzzLocation(f *testing.F) {
	for _, s := range []string{"https://u:p@h:1/x", "git@h:x", "ssh://h/~u/x", "file:///x", "https://[::1]/x", "ext::sh", "http://h/%zz", "https://u:c4n4ry-s3cret@h/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, _, err := parseLocation(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrAddress) {
				t.Errorf("%q: %v has no reason", s, err)
			}
			return
		}
		// What is printed is a location again, the same one, without a user.
		again, c, err := parseLocation(l.String())
		if err != nil {
			t.Fatalf("%q prints as %q: %v", s, l, err)
		}
		if l.user = ""; again != l || c.Username+c.Password != "" {
			t.Errorf("%q prints as %q, which is %+v, not %+v", s, l, again, l)
		}
	})
}

func FuzzEntryName(f *testing.F) {
	for _, s := range []string{".git", ".GIT ", "git~1", ".g\u200cit", "a/b", "..", "ok", ".git:x", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkEntryName(s) != nil {
			return
		}
		if !fs.ValidPath(s) || path.Base(s) != s || !utf8.ValidString(s) || strings.ContainsAny(s, "\\\x00\n") {
			t.Errorf("%q was taken", s)
		}
		plain := strings.ToLower(strings.TrimRight(s, " ."))
		if plain == ".git" || plain == "git~1" {
			t.Errorf("%q was taken", s)
		}
	})
}

// FuzzTreeObject reads any bytes as a tree object and walks what comes out.
func FuzzTreeObject(f *testing.F) {
	blob := plumbing.ComputeHash(plumbing.BlobObject, []byte("x"))
	line := func(mode, name string) []byte {
		return append([]byte(mode+" "+name+"\x00"), blob[:]...)
	}
	f.Add(line("100644", "a"))
	f.Add(append(line("100644", "a"), line("120000", "b")...))
	f.Add(line("40000", ".."))
	f.Add(line("160000", "m"))
	f.Add([]byte("100644 a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := memory.NewStorage()
		put(t, s, plumbing.BlobObject, []byte("x"))
		rev := putCommit(t, s, put(t, s, plumbing.TreeObject, data))
		tree, err := newObjects(s, defaults(t, Limits{})).tree(rev)
		if err != nil {
			return
		}
		for _, e := range tree.Files() {
			if !fs.ValidPath(e.Path) {
				t.Errorf("path %q", e.Path)
			}
			if _, err := tree.ReadFile(e.Path); (err == nil) != e.Mode.IsRegular() {
				t.Errorf("read %q, %v: %v", e.Path, e.Mode, err)
			}
		}
	})
}

func FuzzPack(f *testing.F) {
	hash := plumbing.ComputeHash(plumbing.BlobObject, []byte("hello"))
	f.Add(packOf(packObject{kind: 3, size: 5, data: []byte("hello")}))
	f.Add(packOf(packObject{kind: 3, size: 5, data: []byte("hello")}, packObject{kind: 7, size: 4, base: hash[:], data: []byte{5, 5, 0x90, 5}}))
	f.Add([]byte("PACK\x00\x00\x00\x02\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := defaults(t, Limits{MaxObjectBytes: 1 << 16})
		if _, err := inspectPack(bytes.NewReader(data), limits); err != nil {
			return
		}
		c, err := newClone("", limits)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.ingest(bytes.NewReader(data), nil) // may fail, may not panic or grow
	})
}

func FuzzScrubber(f *testing.F) {
	f.Add("s3cret-value", "you sent s3cret-value!", "x")
	f.Add("aaaaaaaa", "aaaaaaaaaaaaaaaaa", "\x1b[1m")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		secret = strings.TrimSpace(secret)
		if len(secret) < pieceLength || !utf8.ValidString(secret) {
			return
		}
		s := newScrubber(Credentials{Password: secret})
		if got := s.hide(before + secret + after); strings.Contains(got, secret) && !strings.Contains(redacted, secret) {
			t.Errorf("%q keeps %q", got, secret)
		}
		if got := s.clean(before + secret + after); strings.ContainsAny(got, "\n\x1b\x00") || !utf8.ValidString(got) {
			t.Errorf("clean gives %q", got)
		}
	})
}
