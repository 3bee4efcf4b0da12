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
	reference = regexp.MustCompile(`^(?i)(gh-[0-9]+|www\..*|[0-9a-f]{7,64})$`)
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

// cell writes a code span into a table. A bar would end the cell, and how a backslash before one reads
// differs from host to host, so neither is left.
func (s Style) cell(text string) string {
	text = page.Scrub(text)
	if !strings.ContainsAny(text, "|\\`") {
		return code(text)
	}
	if s == StylePlain {
		return code(strings.NewReplacer("|", "∣", "\\", "∖").Replace(text))
	}
	return "<code>" + entities(text) + "</code>"
}

// cellProse writes a message into a table.
func (s Style) cellProse(text string) string {
	if !strings.ContainsAny(text, "|\\`") {
		return prose(text)
	}
	return s.cell(page.Cut(page.Scrub(text), maxProse))
}

// entities writes text for HTML inside Markdown: every character that either could take for its own is
// written as its number.
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

// name writes a name into a heading or summary.
func (s Style) name(text string) string {
	text = page.Cut(page.Scrub(text), maxName)
	switch {
	case harmless(text):
		return text
	case s == StylePlain:
		return code(text)
	}
	return "<code>" + entities(text) + "</code>"
}

// mono writes a name as code into a heading or summary.
func (s Style) mono(text string) string {
	text = page.Cut(page.Scrub(text), maxName)
	if s == StylePlain {
		return code(text)
	}
	return "<code>" + entities(text) + "</code>"
}

// strong writes something bold into a heading or summary; text is markup already.
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
