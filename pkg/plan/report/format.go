// Package report prints what a change does to a fleet, for whoever reads it: a terminal, a comment on a
// pull request, a browser, a diff viewer, a code scanner. It decides nothing: everything it says is in
// plan.Report, arranged for people. It is pure: equal reports and options give equal bytes.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
)

// Options say how a report looks. The zero value is plain text of 100 columns and a GitHub comment.
type Options struct {
	// Width is the most columns of text; 0: 100. Color adds terminal colours.
	Width int
	Color bool
	// Exit says what the exit code is, for the closing line of text; empty: nothing.
	Exit string
	// Style is the flavour of markdown. Default: github.
	Style Style
	// MaxBytes is the most bytes of one part of markdown, at least MinBytes; 0: what the style's host
	// takes.
	MaxBytes int
	// Repositories say where the lines of a source can be looked at, by its name.
	Repositories map[string]Repository
	// Project and PullRequest go into the hidden marker by which a comment is found again.
	Project     string
	PullRequest string
	// Links lead to more, such as the whole report.
	Links []Link
	// Command is what was run, for code scanners, which tell results apart by it. Default: preview.
	Command string
	// Bar is the severity from which on findings fail the check, for the footer; empty: none does.
	Bar v1alpha1.Severity
}

// Repository is one source on the web.
type Repository struct {
	// URL is the address of its front page, or of a line with {commit}, {path} and {line} in it.
	URL string
	// Folder is the part of the repository that was read, slash-separated; empty: all of it. The
	// positions of a report are relative to it.
	Folder string
}

// Link is a labelled address.
type Link struct{ Label, URL string }

// Printer writes a report in one format, in as many parts as it takes: all but markdown give one.
type Printer func(plan.Report, Options) ([][]byte, error)

// Format is a format of preview with its printer.
type Format struct {
	Name string
	// Sentence says what it is for.
	Sentence string
	Print    Printer
}

// Formats lists the formats of preview; the first is the default.
func Formats() []Format {
	return []Format{
		{"text", "for a terminal", Text},
		{"markdown", "for a comment on a pull request, in parts that fit", Markdown},
		{"html", "one page to fold, filter and search, without a network", HTML},
		{"json", "the contract for everything else", JSON},
		{"unified", "one diff for viewers of diffs", Unified},
		{"sarif", "findings for code scanners, SARIF 2.1.0", SARIF},
	}
}

// JSON writes the report itself.
func JSON(r plan.Report, _ Options) ([][]byte, error) {
	raw, err := marshal(r)
	return [][]byte{raw}, err
}

// marshal writes indented JSON without escaping <, > and &, and ends with a line break.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("print: %w", err)
	}
	return b.Bytes(), nil
}
