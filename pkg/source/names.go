package source

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// checkEntryName refuses names of tree entries that mean something else than a
// plain file or folder name on any of the systems that a tree may be looked at:
// path separators, "..", NUL and control characters, and every spelling of
// ".git" that Windows (short names, trailing dots and spaces, streams) or macOS
// (case folding, ignored code points) takes for the real one. The rules are
// those of Git's verify_path with core.protectNTFS and core.protectHFS on.
func checkEntryName(name string) error {
	if err := entryName(name); err != nil {
		return fmt.Errorf("%w: %w", errEntryName, err)
	}
	return nil
}

// errEntryName marks the name of an entry that is refused.
var errEntryName = errors.New("name refused")

func entryName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("an entry without a name")
	case name == "." || name == "..":
		return fmt.Errorf("an entry named %q", name)
	case strings.ContainsAny(name, "/\\"):
		return fmt.Errorf("an entry name with a path separator: %q", name)
	case len(name) > 255:
		return fmt.Errorf("an entry name of %d bytes, more than 255", len(name))
	case !utf8.ValidString(name):
		return fmt.Errorf("an entry name that is not UTF-8: %q", name)
	case isDotGit(name):
		return fmt.Errorf("an entry named %q, which some systems take for .git", name)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("an entry name with a control character: %q", name)
		}
	}
	return nil
}

// isDotGit reports whether some file system takes name for ".git".
func isDotGit(name string) bool {
	visible := strings.Map(func(r rune) rune {
		if isHFSIgnored(r) {
			return -1
		}
		return r
	}, name)
	visible = strings.ToLower(visible)
	if stream := strings.IndexByte(visible, ':'); stream >= 0 {
		visible = visible[:stream]
	}
	visible = strings.TrimRight(visible, ". ")
	return visible == ".git" || visible == "git~1"
}

// isHFSIgnored reports the code points that HFS+ leaves out when it compares
// names. The list is next_hfs_char in Git's utf8.c.
func isHFSIgnored(r rune) bool {
	return r >= 0x200c && r <= 0x200f || r >= 0x202a && r <= 0x202e ||
		r >= 0x206a && r <= 0x206f || r == 0xfeff
}
