package report

type Style string

const (
	StyleGitHub Style = "github"
	StyleGitLab Style = "gitlab"
	StylePlain  Style = "plain"
)
const MinBytes = 8192
const MarkerPrefix = "<!-- armada-sync:preview "

// Styles lists the flavours; the first is the default.
func Styles() []Style { return []Style{StyleGitHub, StyleGitLab, StylePlain} }
