//go:build e2e

package story_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository is a bare repository that a controller follows, with the work tree of someone who pushes
// to it.
type repository struct{ work, bare string }

func newRepository(t *testing.T, root, name string) *repository {
	t.Helper()
	r := &repository{work: filepath.Join(root, name+"-work"), bare: filepath.Join(root, name+".git")}
	git(t, root, "init", "--quiet", "--bare", "--initial-branch=main", r.bare)
	git(t, root, "init", "--quiet", "--initial-branch=main", r.work)
	git(t, r.work, "remote", "add", "origin", r.bare)
	return r
}

// url is the address for a controller on the same machine.
func (r *repository) url() string { return "file://" + r.bare }

// git runs git without the user's configuration and returns its output.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = gitEnvironment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func gitEnvironment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Shop Team", "GIT_AUTHOR_EMAIL=shop@example.com",
		"GIT_COMMITTER_NAME=Shop Team", "GIT_COMMITTER_EMAIL=shop@example.com",
	}
}

// push commits everything and pushes it.
func (r *repository) push(t *testing.T, message string) (commit string) {
	t.Helper()
	git(t, r.work, "add", "--all")
	git(t, r.work, "commit", "--quiet", "--message", message)
	git(t, r.work, "push", "--quiet", "origin", "main")
	commit = git(t, r.work, "rev-parse", "--short", "HEAD")
	t.Logf("push %s to %s: %s (%s)", commit, filepath.Base(r.bare), message,
		strings.ReplaceAll(git(t, r.work, "show", "--shortstat", "--format=", "HEAD"), "\n", ""))
	return commit
}

func (r *repository) write(t *testing.T, path, content string) {
	t.Helper()
	file := filepath.Join(r.work, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r *repository) remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(filepath.Join(r.work, filepath.FromSlash(path))); err != nil {
		t.Fatal(err)
	}
}

func (r *repository) read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.work, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// replace changes one place of a file.
func (r *repository) replace(t *testing.T, path, old, replacement string) {
	t.Helper()
	content := r.read(t, path)
	if n := strings.Count(content, old); n != 1 {
		t.Fatalf("%s holds %q %d times, want once", path, old, n)
	}
	r.write(t, path, strings.Replace(content, old, replacement, 1))
}

// copyFolder copies a folder into the work tree.
func (r *repository) copyFolder(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		r.write(t, filepath.ToSlash(filepath.Join(to, rel)), string(content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
