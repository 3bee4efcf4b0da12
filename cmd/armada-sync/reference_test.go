package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

//go:generate go test -count=1 -run TestReferenceIsCurrent -update .

// TestReferenceIsCurrent holds docs/reference/commands.md against the commands themselves: it is made from
// what --help prints.
func TestReferenceIsCurrent(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "reference", "commands.md")
	want := reference(newRoot(streams{out: io.Discard, err: io.Discard}))
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("docs/reference/commands.md is not what the commands say (run 'go generate ./cmd/armada-sync'):\n%s", diff)
	}
}

// TestFlagsReadWell holds the help of all flags to one style, a phrase without a capital or a full stop, and
// wants examples of every command.
func TestFlagsReadWell(t *testing.T) {
	everyCommand(newRoot(streams{out: io.Discard, err: io.Discard}), func(c *cobra.Command) {
		if !c.HasSubCommands() && !strings.Contains(c.Example, "\n") {
			t.Errorf("%s: fewer than two examples", c.CommandPath())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			first := f.Usage[:min(1, len(f.Usage))]
			if f.Usage == "" || strings.HasSuffix(f.Usage, ".") || strings.ToLower(first) != first {
				t.Errorf("%s --%s: the help %q is empty, begins with a capital or ends with a full stop", c.CommandPath(), f.Name, f.Usage)
			}
		})
	})
}

// everyCommand visits the commands in the order of the help, each before its own commands.
func everyCommand(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			everyCommand(sub, visit)
		}
	}
}

// reference writes the page of all commands.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("<!-- Written by 'go generate ./cmd/armada-sync' from the help of the commands: edit that. -->\n\n# Commands\n\n")
	b.WriteString(prose(root.Long))
	b.WriteString("\nEvery command takes `--help`; `armada-sync --version` prints the version, and\n" +
		"`armada-sync completion --help` says how a shell completes commands, flags and their values.\n\n| command | |\n|---|---|\n")
	everyCommand(root, func(c *cobra.Command) {
		if c.Runnable() && c != root {
			anchor := strings.ReplaceAll(c.CommandPath(), " ", "-")
			fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", c.CommandPath(), anchor, cell(c.Short))
		}
	})
	everyCommand(root, func(c *cobra.Command) {
		if c.Runnable() && c != root {
			describe(&b, c)
		}
	})
	return b.String()
}

func describe(b *strings.Builder, c *cobra.Command) {
	long := c.Long
	if long == "" {
		long = c.Short + "."
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n```\n%s\n```\n", c.CommandPath(), prose(long), strings.TrimSuffix(c.UseLine(), " [flags]"))
	if len(c.Aliases) > 0 {
		fmt.Fprintf(b, "\nIt is also called `%s`.\n", strings.Join(c.Aliases, "`, `"))
	}
	if c.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimSpace(c.Example), "\n  ", "\n"))
	}
	if c.LocalFlags().HasAvailableFlags() {
		b.WriteString("\n| flag | what it does | default |\n|---|---|---|\n")
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if value != "" {
			name += " " + value
		}
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		byDefault := strings.Trim(f.DefValue, "[]")
		switch byDefault {
		case "", "false", "0", "0s":
			byDefault = ""
		default:
			byDefault = "`" + byDefault + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, cell(usage), byDefault)
	})
}

// prose turns the text of a command into paragraphs; what is indented there keeps its form.
func prose(text string) string {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if strings.HasPrefix(paragraph, "  ") {
			fmt.Fprintf(&b, "```\n%s\n```\n\n", paragraph)
			continue
		}
		fmt.Fprintf(&b, "%s\n\n", escaped(paragraph))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// cell is a text in a table.
func cell(text string) string { return strings.ReplaceAll(escaped(text), "|", `\|`) }

func escaped(text string) string { return strings.NewReplacer("<", `\<`, "*", `\*`).Replace(text) }
