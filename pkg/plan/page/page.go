// Package page lays out text for people at a terminal: lines of a bounded width, words that wrap, and
// colours that add nothing but colour. It is pure; what the terminal can do is said to it.
package page

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"
)

// DefaultWidth, in columns, is what fits every terminal that matters.
const DefaultWidth = 100

// minWidth is the least that a page is laid out for.
const minWidth = 40

// Page collects lines. Text that comes from outside must pass through Scrub before it reaches a page.
type Page struct {
	b     strings.Builder
	width int
	color bool
}

// New returns an empty page of a number of columns, DefaultWidth for 0 and never less than 40.
func New(width int, color bool) *Page {
	return &Page{width: max(cmp.Or(width, DefaultWidth), minWidth), color: color}
}

// Bytes returns what was written so far.
func (p *Page) Bytes() []byte { return []byte(p.b.String()) }

// Width is the most columns of a line.
func (p *Page) Width() int { return p.width }

// Blank writes an empty line.
func (p *Page) Blank() { p.b.WriteByte('\n') }

// Line writes one line, cut at the width.
func (p *Page) Line(format string, args ...any) { p.Styled(Plain, format, args...) }

// Styled writes one line in a colour, cut at the width.
func (p *Page) Styled(style Style, format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	p.b.WriteString(p.paint(style, Cut(text, p.width)))
	p.b.WriteByte('\n')
}

// Split writes one line with something at its right end, or two lines where both do not fit.
func (p *Page) Split(style Style, left, right string) {
	gap := p.width - Columns(left) - Columns(right)
	if right == "" || gap < 2 {
		p.Styled(style, "%s", left)
		if right != "" {
			p.Line("%s%s", strings.Repeat(" ", max(p.width-Columns(right), 2)), right)
		}
		return
	}
	p.b.WriteString(p.paint(style, left))
	p.b.WriteString(strings.Repeat(" ", gap))
	p.b.WriteString(right)
	p.b.WriteByte('\n')
}

// Aside writes one line with something behind it that begins at a column, or at the right end where the
// line reaches further than that.
func (p *Page) Aside(style Style, line string, column int, aside string) {
	if gap := column - Columns(line); gap >= 2 && column+Columns(aside) <= p.width {
		p.b.WriteString(p.paint(style, line))
		p.b.WriteString(strings.Repeat(" ", gap))
		p.b.WriteString(aside)
		p.b.WriteByte('\n')
		return
	}
	p.Split(style, line, aside)
}

// Words writes words with a prefix, on as many lines as they need; further lines are indented by the
// width of the prefix, or by at most hang columns.
func (p *Page) Words(style Style, prefix string, hang int, text string) {
	line, indent := prefix, strings.Repeat(" ", min(Columns(prefix), hang))
	fresh := true
	for _, word := range strings.Fields(text) {
		if !fresh && Columns(line)+1+Columns(word) > p.width {
			p.Styled(style, "%s", line)
			line, fresh = indent, true
		}
		if fresh {
			line += word
		} else {
			line += " " + word
		}
		fresh = false
	}
	p.Styled(style, "%s", line)
}

// Style is a terminal colour.
type Style string

// The styles that printers use.
const (
	Plain  Style = ""
	Head   Style = "1"
	Add    Style = "32"
	Remove Style = "31"
	Change Style = "33"
	Faint  Style = "2"
)

func (p *Page) paint(s Style, text string) string {
	if !p.color || s == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// Columns counts the characters of a text, each of which takes one column.
func Columns(s string) int { return utf8.RuneCountInString(s) }

// Cut shortens text to a number of columns and says so with an ellipsis.
func Cut(text string, width int) string {
	if Columns(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// Pad fills text up with spaces to a number of columns.
func Pad(text string, width int) string {
	return text + strings.Repeat(" ", max(width-Columns(text), 0))
}
