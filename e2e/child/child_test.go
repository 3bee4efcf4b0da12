package child

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a child writes comes in pieces of any length, and is one line each, however long, once it is whole.
func TestLinesAreKeptWhole(t *testing.T) {
	long := strings.Repeat("x", 2<<20)
	var shown strings.Builder
	l := lines{show: &shown, prefix: "run| ", news: make(chan struct{})}
	_, news := l.since(0)
	for _, piece := range []string{"one\ntw", "o", "\n\n" + long[:1<<20], long[1<<20:]} {
		if n, err := l.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatalf("%d bytes of %d: %v", n, len(piece), err)
		}
	}
	<-news
	said, news := l.since(1)
	if diff := cmp.Diff([]string{"two", ""}, said); diff != "" {
		t.Error(diff)
	}
	select {
	case <-news:
		t.Error("half a line is news")
	default:
	}
	if _, err := l.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	<-news
	if said, _ := l.since(3); len(said) != 1 || said[0] != long {
		t.Errorf("%d lines instead of the long one", len(said))
	}
	if want := "run| one\nrun| two\nrun| \nrun| " + long + "\n"; shown.String() != want {
		t.Error("the log does not show every line behind its prefix")
	}
}

// A controller that says more than anyone asks for goes on, and its end is not waited for in vain.
func TestWhatIsSaidIsReadAtOnce(t *testing.T) {
	sh := filepath.Join(t.TempDir(), "sh")
	if err := os.WriteFile(sh, []byte("#!/bin/sh\ni=0; while [ $i -lt 20000 ]; do echo a line that nobody reads; i=$((i+1)); done >&2; echo msg=done >&2; exit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := Run(t, Options{Binary: sh})
	<-c.Exited()
	line, mark := c.Await(t, 0, endsWithin, "last line", func(line string) bool { return strings.HasPrefix(line, "msg=") })
	if line != "msg=done" || mark != 20001 || c.Mark() != mark || len(c.Since(mark)) > 0 {
		t.Errorf("line %d is %q", mark, line)
	}
	if c.Running() || c.Err() == nil {
		t.Errorf("it ended with %v", c.Err())
	}
}
