package report

import (
	"strings"
	"unicode/utf8"
)

// block is a piece of a document that can go on in another part: what opens and closes it is repeated
// around any number of its lines, so that fences, folds and tables are whole in every part.
type block struct {
	open  string
	lines []string
	close string
}

func (b block) String() string {
	var s strings.Builder
	b.write(&s, b.lines)
	return s.String()
}

// write writes the block with some of its lines, and an empty line behind it.
func (b block) write(s *strings.Builder, lines []string) {
	s.WriteString(b.open)
	for _, line := range lines {
		s.WriteString(line)
		s.WriteByte('\n')
	}
	s.WriteString(b.close)
	s.WriteByte('\n')
}

// frame is the size of the block without lines.
func (b block) frame() int { return len(b.open) + len(b.close) + 1 }

func (b block) size() int {
	n := b.frame()
	for _, line := range b.lines {
		n += len(line) + 1
	}
	return n
}

func join(blocks []block) string {
	var s strings.Builder
	for _, b := range blocks {
		b.write(&s, b.lines)
	}
	return s.String()
}

// pack distributes blocks over parts of at most room bytes. A block that fits in half a part is kept whole.
func pack(blocks []block, room int) []string {
	p := &packer{room: room}
	for _, b := range blocks {
		p.add(b)
	}
	p.flush()
	return p.parts
}

type packer struct {
	room    int
	parts   []string
	current strings.Builder
}

func (p *packer) flush() {
	if p.current.Len() > 0 {
		p.parts = append(p.parts, p.current.String())
		p.current.Reset()
	}
}

func (p *packer) add(b block) {
	left := p.room - p.current.Len()
	if b.size() <= left {
		b.write(&p.current, b.lines)
		return
	}
	if b.size() <= p.room/2 || len(b.lines) == 0 {
		p.flush()
		if b.frame() > p.room {
			b.open = cutBytes(b.open, p.room-len(b.close)-1)
		}
		b.write(&p.current, b.lines)
		return
	}
	for lines := b.lines; len(lines) > 0; {
		n := b.fit(lines, p.room-p.current.Len())
		if n == 0 && p.current.Len() > 0 {
			p.flush()
			continue
		}
		if n == 0 {
			// Not even one line fits: it is cut, since a part that is too large is not posted at all.
			b.write(&p.current, []string{cutBytes(lines[0], p.room-b.frame()-1)})
			lines = lines[1:]
			continue
		}
		b.write(&p.current, lines[:n])
		lines = lines[n:]
	}
}

// fit is how many lines fit in so many bytes together with what opens and closes them.
func (b block) fit(lines []string, room int) int {
	size := b.frame()
	for i, line := range lines {
		if size += len(line) + 1; size > room {
			return i
		}
	}
	return len(lines)
}

// cutBytes shortens text to a number of bytes without breaking a character.
func cutBytes(text string, n int) string {
	const more = "…"
	if len(text) <= n {
		return text
	}
	n = max(n-len(more), 0)
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + more
}
