package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/armada-sync/armada-sync/pkg/plan"
)

// printFlags are the flags of text that people read.
type printFlags struct {
	color string
	width int
}

func (p *printFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.color, "color", "auto", "auto, always or never; auto colours a terminal unless NO_COLOR is set")
	f.IntVar(&p.width, "width", 0, "columns of text (default: 100)")
	must(cmd.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp)))
}

// defaultWidth is the widest that text is printed unless asked for: the same on every terminal, so
// that two people see the same.
const defaultWidth = 100

func (p *printFlags) options(s streams) (plan.PrintOptions, error) {
	o := plan.PrintOptions{Width: p.width}
	if o.Width == 0 {
		o.Width = defaultWidth
	}
	if o.Width < 40 {
		return o, fmt.Errorf("--width %d: want at least 40", o.Width)
	}
	switch p.color {
	case "always":
		o.Color = true
	case "auto":
		o.Color = s.terminal && os.Getenv("NO_COLOR") == ""
	case "never":
	default:
		return o, fmt.Errorf("--color %q: want auto, always or never", p.color)
	}
	return o, nil
}
