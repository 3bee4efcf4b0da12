package child

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
)

// lines takes what a child writes, whatever the length of its lines, and keeps it without the newlines.
type lines struct {
	// show gets each line behind prefix; nil: nobody does.
	show   io.Writer
	prefix string

	mu   sync.Mutex
	said []string
	// rest is the line that is under way.
	rest []byte
	// news is closed, and made anew, with the next line.
	news chan struct{}
}

// Write never fails: an error would keep what comes after it in the pipe, and then the child from writing.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.said)
	for line := range bytes.Lines(p) {
		whole, ended := bytes.CutSuffix(line, []byte("\n"))
		l.rest = append(l.rest, whole...)
		if !ended {
			break
		}
		l.said = append(l.said, string(l.rest))
		if l.show != nil {
			fmt.Fprintf(l.show, "%s%s\n", l.prefix, l.rest)
		}
		l.rest = l.rest[:0]
	}
	if len(l.said) > before {
		close(l.news)
		l.news = make(chan struct{})
	}
	return len(p), nil
}

// since returns the lines after a mark, and what is closed when there are more.
func (l *lines) since(mark int) ([]string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clip(l.said[mark:]), l.news
}
