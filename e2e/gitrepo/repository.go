// Package gitrepo makes Git repositories for tests, by the git command and without the user's configuration, and
// serves them on the loopback interface as a forge does, over HTTPS and over SSH.
package gitrepo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Repository is a bare repository that a controller follows, with the work tree of someone who pushes to it.
type Repository struct {
	// Work is the folder of the work tree, Bare that of the repository.
	Work, Bare string
}

// New makes an empty repository of a name, in the folders NAME-work and NAME.git of root, with the branch main.
func New(tb testing.TB, root, name string) *Repository {
	tb.Helper()
	r := &Repository{Work: filepath.Join(root, name+"-work"), Bare: filepath.Join(root, name+".git")}
	Git(tb, root, "init", "--quiet", "--bare", "--initial-branch=main", r.Bare)
	Git(tb, root, "init", "--quiet", "--initial-branch=main", r.Work)
	Git(tb, r.Work, "remote", "add", "origin", r.Bare)
	return r
}

// Git runs git in a folder and returns its output without the white space around it.
func Git(tb testing.TB, dir string, args ...string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "git", args...)
	cmd.Dir, cmd.Env = dir, environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Shop Team", "GIT_AUTHOR_EMAIL=shop@example.com",
		"GIT_COMMITTER_NAME=Shop Team", "GIT_COMMITTER_EMAIL=shop@example.com",
	}
}

// Write makes a file of the work tree, with its folders.
func (r *Repository) Write(tb testing.TB, path, content string) {
	tb.Helper()
	file := filepath.Join(r.Work, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// Push commits everything, pushes it, and says so in the log of the test.
func (r *Repository) Push(tb testing.TB, message string) {
	tb.Helper()
	Git(tb, r.Work, "add", "--all")
	Git(tb, r.Work, "commit", "--quiet", "--message", message)
	Git(tb, r.Work, "push", "--quiet", "origin", "main")
	tb.Logf("push to %s: %s: %s", filepath.Base(r.Bare), message,
		strings.Join(strings.Fields(Git(tb, r.Work, "show", "--shortstat", "--format=%h", "HEAD")), " "))
}
