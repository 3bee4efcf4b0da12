//go:build e2e

package story_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/armada-sync/armada-sync/e2e/gitrepo"
)

// repository is one whose files the steps change.
type repository struct{ *gitrepo.Repository }

// url is the address for a controller on the same machine.
func (r *repository) url() string { return "file://" + r.Bare }

func (r *repository) remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(filepath.Join(r.Work, filepath.FromSlash(path))); err != nil {
		t.Fatal(err)
	}
}

func (r *repository) read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.Work, filepath.FromSlash(path)))
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
	r.Write(t, path, strings.Replace(content, old, replacement, 1))
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
		r.Write(t, filepath.ToSlash(filepath.Join(to, rel)), string(content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
