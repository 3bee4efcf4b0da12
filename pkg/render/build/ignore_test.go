package build

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// leftOut lists the files that an ignore file keeps from being read.
func leftOut(t testing.TB, files fstest.MapFS) []string {
	t.Helper()
	var out []string
	var walk func(dir string, above []ignorePattern, all bool)
	walk = func(dir string, above []ignorePattern, all bool) {
		entries, err := fs.ReadDir(files, dir)
		if err != nil {
			t.Fatal(err)
		}
		patterns, err := readIgnore(files, dir, above)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			skip := all || ignored(patterns, name, e.IsDir())
			switch {
			case e.IsDir():
				walk(name, patterns, skip)
			case skip && e.Name() != ignoreFile:
				out = append(out, name)
			}
		}
	}
	walk(".", nil, false)
	slices.Sort(out)
	return out
}

// byGit lists what git ignores where the same files are named .gitignore.
func byGit(t testing.TB, repository, dir string, files fstest.MapFS) []string {
	t.Helper()
	var names []string
	for name, f := range files {
		at := filepath.Join(dir, filepath.FromSlash(strings.ReplaceAll(name, ignoreFile, ".gitignore")))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
		if path.Base(name) != ignoreFile {
			names = append(names, name)
		}
	}
	git := exec.Command("git", "-C", dir, "--git-dir", filepath.Join(repository, ".git"), "--work-tree", dir, "check-ignore", "--no-index", "--stdin", "-z")
	git.Stdin = strings.NewReader(strings.Join(names, "\x00") + "\x00")
	text, err := git.Output()
	if err != nil && git.ProcessState.ExitCode() != 1 {
		t.Fatal(err)
	}
	out := strings.FieldsFunc(string(text), func(r rune) bool { return r == 0 })
	slices.Sort(out)
	return out
}

func newRepository(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("git", "init", "-q", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// TestIgnoreIsAsGit makes trees and ignore files of few names, so that they meet, and asks git.
func TestIgnoreIsAsGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Log("there is no git to compare with; the cases in testdata stand alone")
		return
	}
	repository, trees := newRepository(t), t.TempDir()
	name := rapid.SampledFrom([]string{"a", "b", "ab", "x.yaml", "b c", "#d"})
	part := rapid.SampledFrom([]string{"a", "b", "ab", "a*", "*", "?", "[ab]", "[!a]", "x.yaml", "*.yaml", "**", `\#d`, "b c"})
	rapid.Check(t, func(r *rapid.T) {
		files := fstest.MapFS{}
		for _, p := range rapid.SliceOfN(rapid.SliceOfN(name, 1, 4), 1, 12).Draw(r, "paths") {
			at := path.Join(p...)
			for other := range files {
				if strings.HasPrefix(other+"/", at+"/") || strings.HasPrefix(at+"/", other+"/") {
					at = ""
					break
				}
			}
			if at != "" {
				files[at] = &fstest.MapFile{}
			}
		}
		for _, dir := range []string{".", "a", "a/b"} {
			isFolder := dir == "."
			for at := range files {
				isFolder = isFolder || strings.HasPrefix(at, dir+"/")
			}
			if !isFolder {
				continue
			}
			var lines []string
			for _, parts := range rapid.SliceOfN(rapid.SliceOfN(part, 1, 3), 0, 4).Draw(r, "patterns") {
				line := strings.Join(parts, "/")
				if rapid.Bool().Draw(r, "rooted") {
					line = "/" + line
				}
				if rapid.Bool().Draw(r, "folder") {
					line += "/"
				}
				if rapid.IntRange(0, 3).Draw(r, "negated") == 0 {
					line = "!" + line
				}
				lines = append(lines, line)
			}
			files[path.Join(dir, ignoreFile)] = &fstest.MapFile{Data: []byte(strings.Join(lines, "\n") + "\n# comment\n\n")}
		}
		dir, err := os.MkdirTemp(trees, "")
		if err != nil {
			r.Fatal(err)
		}
		got, want := leftOut(t, files), byGit(t, repository, dir, files)
		if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
			for name, f := range files {
				r.Logf("%s: %q", name, f.Data)
			}
			r.Errorf("differs (-git +ours):\n%s", diff)
		}
	})
}
