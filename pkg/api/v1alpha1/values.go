package v1alpha1

import (
	"bytes"
)

// countValues returns about how many values the parser would make of a text, never much less, without
// making them: a text of ten megabytes can hold five million, of some two hundred bytes each. Long texts
// in quotes and block scalars count as the one value that they are. It stops at a limit.
func countValues(text []byte, limit int) int {
	text = unifyBreaks(text)
	c := &counter{text: text, limit: limit, n: 1, start: true, parent: -1}
	for c.at < len(text) && c.n <= limit {
		c.step()
	}
	return c.n
}

// unifyBreaks makes every line break of YAML a line feed.
func unifyBreaks(text []byte) []byte {
	if !bytes.ContainsAny(text, "\r\u0085\u2028\u2029") {
		return text
	}
	for _, br := range []string{"\r\n", "\r", "\u0085", "\u2028", "\u2029"} {
		text = bytes.ReplaceAll(text, []byte(br), []byte("\n"))
	}
	return text
}

// counter reads YAML by its punctuation: a colon makes a key and its value, a dash an item, and inside
// brackets and braces so does a comma.
type counter struct {
	text []byte
	at   int
	n    int
	// limit ends the count.
	limit int
	// flow are the brackets and braces that are open; true: a brace.
	flow []bool
	// line is where the present line begins.
	line int
	// start tells that a value may begin here.
	start bool
	// parent is the column of the last key or dash of the line; -1: there is none.
	parent int
	// word is the column where the word that is being read began.
	word int
}

func (c *counter) step() {
	b := c.text[c.at]
	switch {
	case b == '\n':
		c.line, c.start, c.parent = c.at+1, true, -1
	case isSpace(b):
	case b == '#' && c.blankBefore():
		c.skipLine()
		return
	case c.start && (b == '"' || b == '\''):
		c.begin()
		c.quoted(b)
		return
	case c.start && len(c.flow) == 0 && (b == '|' || b == '>') && c.isHeader():
		c.block()
		return
	case len(c.flow) > 0 || c.start && (b == '[' || b == '{'):
		c.inFlow(b)
	case (b == '-' || b == '?') && c.start && c.blankAfter():
		c.n++
		if b == '?' {
			c.n++
		}
		c.parent = c.at - c.line
	case b == ':' && c.blankAfter():
		c.n += 2
		c.start, c.parent = true, c.word
	case c.start && (b == '&' || b == '!'):
		// What comes behind an anchor or a tag begins anew.
		for c.at+1 < len(c.text) && !isSpace(c.text[c.at+1]) {
			c.at++
		}
	case c.start:
		c.begin()
	}
	c.at++
}

// inFlow reads a byte between brackets or braces, or one that opens them.
func (c *counter) inFlow(b byte) {
	inMap := len(c.flow) > 0 && c.flow[len(c.flow)-1]
	switch {
	case b == '[' || b == '{':
		c.flow = append(c.flow, b == '{')
		c.n++
		if b == '{' {
			c.n++
		}
		c.start = true
	case b == ']' || b == '}':
		c.flow = c.flow[:len(c.flow)-1]
		c.start = false
	case b == ',':
		// An empty place between two commas is a value, too; in a map it is a key and a value.
		c.n++
		if inMap {
			c.n++
		}
		c.start = true
	case b == ':' || b == '?':
		// In a list this is a map of one key.
		if !inMap {
			c.n += 2
		}
		c.start = true
	case c.start && (b == '&' || b == '!'):
		for c.at+1 < len(c.text) && !isSpace(c.text[c.at+1]) && !bytes.ContainsRune([]byte(",[]{}"), rune(c.text[c.at+1])) {
			c.at++
		}
	default:
		c.start = false
	}
}

// begin notes where a word begins.
func (c *counter) begin() { c.word, c.start = c.at-c.line, false }

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

func (c *counter) blankBefore() bool { return c.at == 0 || isSpace(c.text[c.at-1]) }

func (c *counter) blankAfter() bool { return c.at+1 >= len(c.text) || isSpace(c.text[c.at+1]) }

func (c *counter) skipLine() {
	if end := bytes.IndexByte(c.text[c.at:], '\n'); end >= 0 {
		c.at += end
		return
	}
	c.at = len(c.text)
}

// quoted skips a text in quotes, over lines where it goes on.
func (c *counter) quoted(quote byte) {
	for c.at++; c.at < len(c.text); c.at++ {
		switch b := c.text[c.at]; {
		case b == '\n':
			c.line = c.at + 1
		case b == '\\' && quote == '"':
			c.at++
		case b == quote && quote == '\'' && c.at+1 < len(c.text) && c.text[c.at+1] == quote:
			c.at++
		case b == quote:
			c.at++
			return
		}
	}
}

// isHeader tells that the rest of the line is the header of a block scalar.
func (c *counter) isHeader() bool {
	for i := c.at + 1; i < len(c.text); i++ {
		switch b := c.text[i]; {
		case b == '\n':
			return true
		case b == '#' && isSpace(c.text[i-1]):
			return true
		case b == '+' || b == '-' || b >= '1' && b <= '9' || isSpace(b):
		default:
			return false
		}
	}
	return true
}

// block skips a block scalar: the lines that are indented more than what it belongs to. In doubt fewer
// lines are skipped and more counted.
func (c *counter) block() {
	indent := c.at - c.line
	if c.parent >= 0 {
		indent = c.parent
	}
	explicit := 0
	for i := c.at + 1; i < len(c.text) && c.text[i] != '\n'; i++ {
		if b := c.text[i]; b >= '1' && b <= '9' && explicit == 0 {
			explicit = int(b - '0')
		}
	}
	c.skipLine()
	for c.at < len(c.text) {
		begin, spaces := c.at+1, 0
		for begin+spaces < len(c.text) && c.text[begin+spaces] == ' ' {
			spaces++
		}
		blank := begin+spaces >= len(c.text) || c.text[begin+spaces] == '\n'
		if !blank && spaces < indent+max(explicit, 1) {
			break
		}
		c.at = begin
		c.skipLine()
	}
}
