package render

import (
	"slices"
	"strings"
	"testing"
)

func TestParsePointer(t *testing.T) {
	cases := []struct {
		reason  string
		pointer string
		want    []string
		fails   bool
	}{
		{reason: "the whole document", pointer: ""},
		{reason: "the empty key", pointer: "/", want: []string{""}},
		{reason: "escapes in the order of RFC 6901", pointer: "/a~1b/~01", want: []string{"a/b", "~1"}},
		{reason: "no leading slash", pointer: "a", fails: true},
		{reason: "an unknown escape", pointer: "/~2", fails: true},
		{reason: "an escape cut off", pointer: "/~", fails: true},
		{reason: "too many levels", pointer: strings.Repeat("/a", maxPointerTokens+1), fails: true},
		{reason: "too long", pointer: "/" + strings.Repeat("a", maxPointerBytes), fails: true},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			got, err := ParsePointer(tc.pointer)
			if (err != nil) != tc.fails {
				t.Fatalf("error %v, want one: %v", err, tc.fails)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("tokens %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzPointer(f *testing.F) {
	f.Add("/spec/template~1/0/-/~0")
	f.Fuzz(func(t *testing.T, pointer string) {
		tokens, err := ParsePointer(pointer)
		if err != nil {
			return
		}
		if again := encodePointer(tokens); again != pointer {
			t.Fatalf("%q reads as %q", pointer, again)
		}
		document := map[string]any{}
		if len(tokens) == 0 {
			return
		}
		if err := createParents(document, tokens); err != nil {
			t.Fatalf("no parents for %q: %v", pointer, err)
		}
		if err := assign(document, tokens, "x"); err != nil {
			t.Fatalf("no place for %q: %v", pointer, err)
		}
		if got, ok := lookup(document, tokens); !ok || got != "x" {
			t.Fatalf("%q leads to %v", pointer, got)
		}
	})
}
