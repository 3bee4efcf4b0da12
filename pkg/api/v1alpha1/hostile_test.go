package v1alpha1_test

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestDecodeStreamHostile reads what an attacker or a bad day puts into a repository: each file must
// be done with in bounded time and memory, with a problem that says what is wrong.
func TestDecodeStreamHostile(t *testing.T) {
	const maxTime, maxBytes = 10 * time.Second, 256 << 20
	for _, tc := range hostileFiles() {
		t.Run(tc.reason, func(t *testing.T) {
			data := []byte(tc.data())
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := time.Now()
			docs, problems := v1alpha1.DecodeStream("h.yaml", data)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if took > maxTime {
				t.Errorf("took %s, want at most %s", took, maxTime)
			}
			grown := after.HeapSys - min(before.HeapSys, after.HeapSys)
			if grown > maxBytes {
				t.Errorf("the heap grew by %d MiB, want at most %d", grown>>20, maxBytes>>20)
			}
			t.Logf("%d documents, %d problems, %s, allocated %d MiB, heap +%d MiB", len(docs), len(problems),
				took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20, grown>>20)
			if tc.want != "" && !mentions(problems, tc.want) {
				t.Errorf("problems = %v, want one with %q", problems, tc.want)
			}
			if tc.docs != len(docs) {
				t.Errorf("%d documents, want %d: %v", len(docs), tc.docs, problems)
			}
			if len(docs) == 0 && len(problems) == 0 && len(bytes.Trim(data, "-.\n")) > 0 {
				t.Error("neither documents nor problems")
			}
			for _, p := range problems {
				if len(p.Error()) > 1000 {
					t.Errorf("a problem of %d bytes", len(p.Error()))
				}
			}
		})
	}
}

// hostileFile is one file with what reading it must give.
type hostileFile struct {
	reason string
	data   func() string
	want   string // part of a problem; empty: any or none
	docs   int
}

func hostileFiles() []hostileFile {
	return slices.Concat(repetitions(), largeValues(), manyValues())
}

// repetitions are aliases, merge keys and nesting.
func repetitions() []hostileFile {
	return []hostileFile{
		{"an alias bomb of nine levels", func() string { return aliasBomb(9, 9) }, "aliases of this file expand to more than", 0},
		{"an alias bomb below the limit is read", func() string { return aliasBomb(3, 9) }, "", 1},
		{"a bomb spread over many documents shares one budget", func() string {
			return strings.Repeat(aliasBomb(4, 9)+"---\n", 200)
		}, "aliases of this file expand to more than", 15},
		{"an alias to a large text, many times", func() string {
			return "a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a,", 1000) + "]\n"
		}, "aliases of this file expand to more than", 0},
		{"an anchor that contains itself", func() string { return "a: &a {b: [*a]}\n" }, `the anchor "a" contains itself`, 0},
		{"a merge key that merges itself", func() string { return "a: &a {<<: *a, b: 1}\n" }, `the anchor "a" contains itself`, 0},
		{"merge keys that double at each level", func() string { return mergeBomb(24) }, "aliases of this file expand to more than", 0},
		{"merge lists nested without anchors", func() string {
			return "<<: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "\n"
		}, "a merge key needs a map", 0},
		{"10,000 levels of flow lists", func() string { return "a: " + strings.Repeat("[", 10_000) + "\n" }, "", 0},
		{"9,000 levels of closed flow lists", func() string {
			return "a: " + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + "\n"
		}, "nested more than 256 deep", 0},
		{"10,000 levels of flow maps", func() string { return strings.Repeat("{a: ", 10_000) + "\n" }, "", 0},
		{"2,000 levels of indentation", func() string {
			var b strings.Builder
			for i := range 2000 {
				b.WriteString(strings.Repeat(" ", i) + "a:\n")
			}
			return b.String()
		}, "nested more than 256 deep", 0},
		{"100,000 levels of JSON", func() string {
			return strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
		}, "", 0},
	}
}

// largeValues are files of few values.
func largeValues() []hostileFile {
	return []hostileFile{
		{"a scalar of 10 MB", func() string { return "a: " + strings.Repeat("x", 10<<20) + "\n" }, "", 1},
		{"a quoted scalar of 10 MB", func() string { return "a: \"" + strings.Repeat("x\\n", 5<<20) + "\"\n" }, "", 1},
		{"a block scalar of 10 MB", func() string { return "a: |\n" + strings.Repeat("  0123456789\n", 1<<20) }, "", 1},
		{"a folded plain scalar of 10 MB", func() string { return "a: x\n" + strings.Repeat("  0123456789\n", 1<<20) }, "", 1},
		{"a key of 10 MB", func() string { return strings.Repeat("x", 10<<20) + ": 1\n" }, "", 0},
		{"10 MB of comments", func() string { return strings.Repeat("# 01234567\n", 1<<20) + "a: 1\n" }, "", 1},
		{"10 MB of comments inside a map", func() string { return "a: 1\n" + strings.Repeat("# 01234567\n", 1<<20) + "b: 1\n" }, "", 1},
		{"indented comments between the items of a list", func() string {
			return "a:\n" + strings.Repeat("  # 01\n  - 1\n", 1<<17)
		}, "", 1},
		{"10 MB of blanks", func() string { return "a: 1\n" + strings.Repeat(" \n", 5<<20) + "b: 1\n" }, "", 1},
		{"10 MB of tabs", func() string { return "a:" + strings.Repeat("\t", 10<<20) + "1\n" }, "", 1},
	}
}

// manyValues are files of many documents, keys or items, and files that are no text.
func manyValues() []hostileFile {
	return []hostileFile{
		{"a million empty documents", func() string { return strings.Repeat("---\n", 1_000_000) }, "", 0},
		{"a million end markers", func() string { return strings.Repeat("...\n", 1_000_000) }, "", 0},
		{"a million documents", func() string { return strings.Repeat("---\na: 1\n", 1_000_000) }, "more than the 20000 documents", 20_000},
		{"a million null documents", func() string { return strings.Repeat("---\n~\n", 1_000_000) }, "more than the 20000 documents", 0},
		{"a million documents behind bare carriage returns", func() string { return strings.Repeat("---\ra: 1\r", 1_000_000) }, "more than the 250000 values", 0},
		{"a million broken documents", func() string { return strings.Repeat("---\na: [\n", 1_000_000) }, "more than 100 problems", 0},
		{"100,000 duplicate keys", func() string { return strings.Repeat("a: 1\n", 100_000) }, "more than 100 problems", 0},
		{"100,000 keys", func() string { return manyKeys(100_000) }, "", 1},
		{"a million keys", func() string { return manyKeys(1_000_000) }, "more than the 250000 values", 0},
		{"a list of 15,000 objects", func() string {
			return "apiVersion: v1\nkind: List\nitems:\n" + strings.Repeat("- {a: 1}\n", 15_000)
		}, "", 15_000},
		{"a list of 200,000 objects", func() string {
			return "apiVersion: v1\nkind: List\nitems:\n" + strings.Repeat("- {a: 1}\n", 200_000)
		}, "more than the 250000 values", 0},
		{"10 MB of the densest list there is", func() string { return "a: [" + strings.Repeat("1,", 5<<20) + "]\n" }, "more than the 250000 values", 0},
		{"10 MB of the densest block list", func() string { return "a:\n" + strings.Repeat("- 1\n", 5<<19) }, "more than the 250000 values", 0},
		{"10 MB of a dense list behind what looks like a text", func() string {
			return "a: [\"x: |\n  y\"," + strings.Repeat("1,", 5<<20) + "]\n"
		}, "more than the 250000 values", 0},
		{"10 MB of a dense list where a text has ended", func() string {
			return "- a: |\n    text\n  b: [" + strings.Repeat("1,", 5<<20) + "]\n"
		}, "more than the 250000 values", 0},
		{"10 MB of nothing between commas", func() string { return "a: {" + strings.Repeat(",", 10<<20) + "}\n" }, "more than the 250000 values", 0},
		{"10 MB of JSON in a text", func() string {
			return "a: |\n" + strings.Repeat("  {\"a\": [1, 2, 3], \"b\": {}},\n", 350_000)
		}, "", 1},
		{"10 MB of JSON in quotes", func() string { return "a: '" + strings.Repeat("{\"a\": [1, 2, 3], \"b\": {}},", 350_000) + "'\n" }, "", 1},
		{"10 MB of the densest JSON there is", func() string { return `{"a":[` + strings.Repeat("1,", 5<<20) + "1]}" }, "more values than are read", 0},
		{"50,000 documents", func() string {
			return strings.Repeat("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", 50_000)
		}, "more than the 20000 documents", 20_000},
		{"a file beyond the limit is not parsed", func() string { return strings.Repeat("a", 17<<20) }, "more than the 16777216 that are read", 0},
		{"a NUL byte", func() string { return "a: 1\nb: \x00\n" }, "h.yaml:2: the file has a NUL byte", 0},
		{"bytes that are not UTF-8", func() string { return "a: 1\nb: \xff\n" }, "h.yaml:2: the file is not valid UTF-8", 0},
		{"UTF-16", func() string { return "\xff\xfea\x00:\x00" }, "UTF-16", 0},
		{"a thousand directives", func() string { return strings.Repeat("%TAG !a! tag:a\n", 100_000) + "---\na: 1\n" }, "", 0},
		{"many anchors", func() string { return "a:\n" + strings.Repeat("- &a 1\n", 100_000) }, "", 1},
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

func mentions(problems []v1alpha1.Problem, text string) bool {
	for _, p := range problems {
		if strings.Contains(p.Error(), text) {
			return true
		}
	}
	return false
}

// aliasBomb returns a document of lists in which each repeats the one before.
func aliasBomb(levels, width int) string {
	var b strings.Builder
	b.WriteString("l0: &l0 x\n")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&b, "l%d: &l%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d,", i-1), width), ","))
	}
	return b.String()
}

// mergeBomb returns a document in which each map merges the one before twice.
func mergeBomb(levels int) string {
	var b strings.Builder
	b.WriteString("m0: &m0 {k: 1}\n")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&b, "m%d: &m%d {<<: [*m%d, *m%d]}\n", i, i, i-1, i-1)
	}
	return b.String()
}
