package page

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Scrub makes text from a repository or a cluster safe to show on a terminal: control characters,
// among them those that begin escape sequences, and characters that change the direction of text or
// take no room are replaced by a visible sign. Every printer for people passes what it did not write
// itself through here.
func Scrub(s string) string {
	if !strings.ContainsFunc(s, isHostile) && utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isHostile(r) {
			return '�'
		}
		return r
	}, s)
}

func isHostile(r rune) bool {
	switch {
	case r == utf8.RuneError:
		return true
	case unicode.IsControl(r):
		// C0, DEL and C1; line breaks too, since one line is one fact.
		return true
	case unicode.Is(unicode.Cf, r):
		// Zero-width and bidirectional format characters.
		return true
	}
	return r == '\u2028' || r == '\u2029'
}
