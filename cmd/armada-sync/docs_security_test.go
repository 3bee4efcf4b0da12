package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityNamesTestsThatExist looks up every test, step and case that docs/security.md claims something
// by: a claim whose test was renamed or removed is none.
func TestSecurityNamesTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	data, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "\n", " ")
	tests, cases := testFiles(t, root)
	named := 0
	for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(text, -1) {
		named++
		if !strings.Contains(tests, "func "+m[1]+"(") {
			t.Errorf("there is no test %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`e2e/[a-z]+, "([^"]+)"`).FindAllStringSubmatch(text, -1) {
		named++
		if !strings.Contains(tests, `"`+m[1]) {
			t.Errorf("no test has a step that begins with %q", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`trees/([a-z-]+)`).FindAllStringSubmatch(text, -1) {
		named++
		if !cases[m[1]] {
			t.Errorf("there is no case trees/%s", m[1])
		}
	}
	if named < 25 {
		t.Errorf("only %d tests are named", named)
	}
}

// testFiles are all tests in one text, and the names of the cases that are files.
func testFiles(t *testing.T, root string) (tests string, cases map[string]bool) {
	t.Helper()
	var all strings.Builder
	cases = map[string]bool{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == ".git" || e.Name() == "bin"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".txtar"):
			cases[strings.TrimSuffix(e.Name(), ".txtar")] = true
		case strings.HasSuffix(path, "_test.go"):
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all.Write(data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String(), cases
}
