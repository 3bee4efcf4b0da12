package source

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gitRepo is a repository made with Debian's git, the other implementation
// that this package has to agree with.
type gitRepo struct {
	tb  testing.TB
	dir string
	// clock makes commit times, and so hashes, the same in every run.
	clock time.Time
}

// newGitRepo makes an empty repository with the branch main.
func newGitRepo(tb testing.TB, args ...string) *gitRepo {
	tb.Helper()
	r := &gitRepo{tb: tb, dir: filepath.Join(tb.TempDir(), "repo"), clock: time.Unix(1_700_000_000, 0)}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	r.git(append([]string{"init", "-q", "-b", "main"}, args...)...)
	return r
}

// clone makes a clone of r with its own work tree.
func (r *gitRepo) clone(args ...string) *gitRepo {
	r.tb.Helper()
	c := &gitRepo{tb: r.tb, dir: filepath.Join(r.tb.TempDir(), "clone"), clock: r.clock}
	r.git(append(append([]string{"clone", "-q"}, args...), "file://"+r.dir, c.dir)...)
	return c
}

func (r *gitRepo) git(args ...string) string {
	r.tb.Helper()
	cmd := exec.CommandContext(r.tb.Context(), "git", args...)
	cmd.Dir = r.dir
	date := r.clock.Format(time.RFC3339)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE="+date,
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE="+date)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.tb.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// write puts a file into the work tree.
func (r *gitRepo) write(name, content string) {
	r.tb.Helper()
	file := filepath.Join(r.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		r.tb.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		r.tb.Fatal(err)
	}
}

// commit writes files given as name, content pairs and commits everything. It
// gives the commit's hash.
func (r *gitRepo) commit(message string, files ...string) string {
	r.tb.Helper()
	for i := 0; i < len(files); i += 2 {
		r.write(files[i], files[i+1])
	}
	r.clock = r.clock.Add(time.Minute)
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", message)
	return r.git("rev-parse", "HEAD")
}
