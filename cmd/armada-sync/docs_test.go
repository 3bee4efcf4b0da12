package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// documents are the files that users read, with their text.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	read := func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		data, err := os.ReadFile(path)
		texts[path] = string(data)
		return err
	}
	for _, root := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"} {
		if err := filepath.WalkDir(filepath.Join("..", "..", root), read); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

// TestLinksLeadSomewhere follows every link between the documents, and from them into the code.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for path, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			file, _, _ := strings.Cut(m[1], "#")
			if file == "" || strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), file)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", path, m[1])
			}
		}
	}
}

// TestDocumentedCommandsExist looks up every command line in the documents: each command and each of
// its flags must be there. Design notes are about what may come.
func TestDocumentedCommandsExist(t *testing.T) {
	line := regexp.MustCompile("(?:armada-sync|cmd/armada-sync) ([a-z][^`\n|#&;]*)")
	seen := 0
	for path, text := range documents(t) {
		if filepath.Base(filepath.Dir(path)) == "design" {
			continue
		}
		for _, m := range line.FindAllStringSubmatch(codeOf(text), -1) {
			words := strings.Fields(m[1])
			root := newRoot(streams{out: io.Discard, err: io.Discard})
			root.InitDefaultCompletionCmd()
			cmd, _, err := root.Find(words[:1])
			if err != nil || !cmd.HasParent() {
				t.Errorf("%s: there is no command %q", path, words[0])
				continue
			}
			for _, w := range words[1:] {
				// A command of a command, as in fleet snapshot.
				if i := slices.IndexFunc(cmd.Commands(), func(c *cobra.Command) bool { return c.Name() == w }); i >= 0 {
					cmd = cmd.Commands()[i]
				}
			}
			seen++
			for _, w := range words {
				if w != "-" && (strings.HasPrefix(w, "[-") || strings.HasPrefix(w, "-")) {
					checkFlag(t, path, cmd, strings.Trim(w, "[]"))
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d command lines were found", seen)
	}
}

// TestDocumentedTasksExist looks up every task in the documents.
func TestDocumentedTasksExist(t *testing.T) {
	taskfile, err := os.ReadFile(filepath.Join("..", "..", "Taskfile.yml"))
	if err != nil {
		t.Fatal(err)
	}
	task := regexp.MustCompile(`go tool task ([a-z][a-z0-9:]*)`)
	for path, text := range documents(t) {
		for _, m := range task.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(taskfile), "\n  "+m[1]+":\n") {
				t.Errorf("%s: there is no task %q", path, m[1])
			}
		}
	}
}

func checkFlag(t *testing.T, path string, cmd *cobra.Command, word string) {
	t.Helper()
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	cmd.InitDefaultHelpFlag()
	flags := cmd.Flags()
	if strings.HasPrefix(word, "--") && flags.Lookup(name) == nil || !strings.HasPrefix(word, "--") && flags.ShorthandLookup(name) == nil {
		t.Errorf("%s: %q has no flag %s", path, cmd.CommandPath(), word)
	}
}

// codeOf keeps the code of a document: fenced blocks and what stands between backquotes.
func codeOf(text string) string {
	var code strings.Builder
	fenced := false
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		if fenced {
			code.WriteString(line + "\n")
			continue
		}
		for i, span := range strings.Split(line, "`") {
			if i%2 == 1 {
				code.WriteString(span + "\n")
			}
		}
	}
	return code.String()
}
