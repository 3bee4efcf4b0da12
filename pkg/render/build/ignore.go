package build

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// ignoreFile lists what is not read, in the syntax of a .gitignore. It holds for its folder and those below.
const ignoreFile = ".armadaignore"

// Bounds of ignore files: of one, and of all that hold for a folder.
const (
	maxIgnoreBytes    = 64 << 10
	maxIgnorePatterns = 500
	maxDoubleStars    = 4
)

// ignorePattern is one line of an ignore file. Go's libraries for the syntax take a pattern for what lies
// below a matching folder as well, by which a "!" lets more in than git does.
type ignorePattern struct {
	// in is the folder of the file, as the number of names in its path.
	in int
	// parts are the names of the pattern; a single one matches at any depth.
	parts    []string
	anywhere bool
	folder   bool
	negated  bool
}

// readIgnore adds the patterns of a folder's ignore file to those from above.
func readIgnore(files fs.FS, dir string, above []ignorePattern) ([]ignorePattern, error) {
	name := path.Join(dir, ignoreFile)
	info, err := lstat(files, name)
	if err != nil {
		return above, nil //nolint:nilerr // Most folders have none.
	}
	if !info.Mode().IsRegular() || info.Size() > maxIgnoreBytes {
		return above, fmt.Errorf("the file is no regular file, or has more than %d bytes", maxIgnoreBytes)
	}
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return above, fmt.Errorf("the file cannot be read: %s", reason(err))
	}
	in := 0
	if dir != "." {
		in = strings.Count(dir, "/") + 1
	}
	patterns := slices.Clone(above)
	for i, line := range strings.Split(string(bytes.TrimPrefix(data, []byte("\ufeff"))), "\n") {
		p, ok, err := parseIgnore(strings.TrimSuffix(line, "\r"), in)
		if err != nil {
			return above, fmt.Errorf("line %d: %w", i+1, err)
		}
		if ok {
			patterns = append(patterns, p)
		}
	}
	if len(patterns) > maxIgnorePatterns {
		return above, fmt.Errorf("more than %d patterns hold for the folder", maxIgnorePatterns)
	}
	return patterns, nil
}

// parseIgnore reads a line; false for one without a pattern.
func parseIgnore(line string, in int) (ignorePattern, bool, error) {
	if strings.HasPrefix(line, "#") {
		return ignorePattern{}, false, nil
	}
	p := ignorePattern{in: in}
	text := trimSpaces(line)
	if rest, negated := strings.CutPrefix(text, "!"); negated {
		p.negated, text = true, rest
	}
	if rest, folder := strings.CutSuffix(text, "/"); folder {
		p.folder, text = true, rest
	}
	if text == "" {
		return p, false, nil
	}
	p.anywhere = !strings.Contains(text, "/")
	stars := 0
	for _, part := range strings.Split(strings.TrimPrefix(text, "/"), "/") {
		if part == "**" {
			stars++
			if len(p.parts) > 0 && p.parts[len(p.parts)-1] == "**" {
				continue
			}
		}
		// Git negates a class by an exclamation mark, too.
		part = strings.ReplaceAll(part, "[!", "[^")
		if _, err := path.Match(part, ""); err != nil {
			return p, false, fmt.Errorf("the pattern %q cannot be read", cut(line))
		}
		p.parts = append(p.parts, part)
	}
	if stars > maxDoubleStars {
		return p, false, fmt.Errorf("the pattern %q has more than %d times **", cut(line), maxDoubleStars)
	}
	return p, true, nil
}

// trimSpaces drops spaces at the end that no backslash keeps.
func trimSpaces(line string) string {
	trimmed := strings.TrimRight(line, " ")
	if strings.HasSuffix(trimmed, `\`) && len(trimmed) < len(line) {
		trimmed += " "
	}
	return trimmed
}

// ignored tells whether the last pattern that matches a path excludes it.
func ignored(patterns []ignorePattern, name string, isFolder bool) bool {
	if len(patterns) == 0 {
		return false
	}
	parts := strings.Split(name, "/")
	for _, p := range slices.Backward(patterns) {
		if p.folder && !isFolder {
			continue
		}
		matches := false
		if p.anywhere {
			matches, _ = path.Match(p.parts[0], parts[len(parts)-1]) // Checked when it was read.
			matches = matches || p.parts[0] == "**"
		} else {
			matches = matchParts(p.parts, parts[p.in:])
		}
		if matches {
			return !p.negated
		}
	}
	return false
}

func matchParts(pattern, parts []string) bool {
	for i, p := range pattern {
		if p == "**" {
			if i == len(pattern)-1 {
				return len(parts) > i
			}
			for j := i; j < len(parts); j++ {
				if matchParts(pattern[i+1:], parts[j:]) {
					return true
				}
			}
			return false
		}
		if i >= len(parts) {
			return false
		}
		if ok, _ := path.Match(p, parts[i]); !ok {
			return false
		}
	}
	return len(parts) == len(pattern)
}
