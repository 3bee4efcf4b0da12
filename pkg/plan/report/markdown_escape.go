package report

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// Text from a repository stands in code spans, where neither markup nor mentions nor references have a
// meaning. Only words of letters and numbers stand outside.
var (
	plainWord = regexp.MustCompile(`^\(?(\p{L}+(-\p{L}+)*|[0-9]{1,6}(\.[0-9]{1,3})?%?)[.,;:)]*$`)
	plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9./-]*$`)
	reference = regexp.MustCompile(`(?i)(\bgh-[0-9]|\bwww\.|^[0-9a-f]{7,64}$)`)
)

// maxProse is how many characters of a message or reason are shown, and maxName of a name in prose.
const (
	maxProse = 600
	maxName  = 100
)

// code writes untrusted text as a code span.
func code(text string) string {
	text = page.Scrub(text)
	if strings.TrimSpace(text) == "" {
		return "` `"
	}
	fence := strings.Repeat("`", longestRun(text, '`')+1)
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
		text = " " + text + " "
	}
	return fence + text + fence
}

// longestRun is the length of the longest run of one character.
func longestRun(text string, of rune) int {
	longest, run := 0, 0
	for _, r := range text {
		if r != of {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}

// prose writes a message: plain words as they are, and everything that could mean something as code.
func prose(text string) string {
	var b strings.Builder
	var risky []string
	flush := func() {
		if len(risky) == 0 {
			return
		}
		joined := strings.Join(risky, " ")
		trimmed := strings.TrimRight(joined, ",;:")
		if trimmed == "" {
			trimmed = joined
		}
		space(&b)
		b.WriteString(code(trimmed) + joined[len(trimmed):])
		risky = nil
	}
	for _, word := range strings.Fields(page.Cut(page.Scrub(text), maxProse)) {
		if !plainWord.MatchString(word) {
			risky = append(risky, word)
			if strings.ContainsAny(word[len(word)-1:], ",;:") {
				flush()
			}
			continue
		}
		flush()
		space(&b)
		b.WriteString(word)
	}
	flush()
	return b.String()
}

func space(b *strings.Builder) {
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
}

// forCells has signs for a bar, which would end a cell, and for a backslash, since hosts disagree on how
// one before a bar reads.
var forCells = strings.NewReplacer("|", "∣", "\\", "∖")

// cell writes a code span into a table.
func cell(text string) string { return code(forCells.Replace(page.Scrub(text))) }

// cellProse writes a message into a table.
func cellProse(text string) string { return prose(forCells.Replace(text)) }

// entities writes text for HTML blocks inside Markdown: every character that either could take for its own
// is written as its number.
func entities(text string) string {
	var b strings.Builder
	for _, r := range page.Scrub(text) {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r > 127, strings.ContainsRune(" -./,", r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "&#%d;", r)
		}
	}
	return b.String()
}

// harmless tells whether a name means nothing to any host.
func harmless(name string) bool { return plainName.MatchString(name) && !reference.MatchString(name) }

// word writes a name into a line of Markdown.
func word(text string) string {
	if text = page.Cut(page.Scrub(text), maxName); harmless(text) {
		return text
	}
	return code(text)
}

// name writes a name into the title of a fold.
func (s Style) name(text string) string {
	if s == StylePlain {
		return word(text)
	}
	if text = page.Cut(page.Scrub(text), maxName); harmless(text) {
		return text
	}
	return "<code>" + entities(text) + "</code>"
}

// mono writes a name as code into the title of a fold.
func (s Style) mono(text string) string {
	text = page.Cut(page.Scrub(text), maxName)
	if s == StylePlain {
		return code(text)
	}
	return "<code>" + entities(text) + "</code>"
}

// strong writes something bold into the title of a fold; text is markup already.
func (s Style) strong(text string) string {
	if s == StylePlain {
		return text
	}
	return "<b>" + text + "</b>"
}

// fenceFor returns a fence that no line of a text can close.
func fenceFor(lines []string) string {
	n := 2
	for _, line := range lines {
		n = max(n, longestRun(line, '`'))
	}
	return strings.Repeat("`", n+1)
}
