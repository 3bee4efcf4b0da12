package sops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// write returns the file in clear.
func (f *opening) write(data []byte) ([]byte, error) {
	switch f.format {
	case "yaml":
		return f.writeYAML(data)
	case "dotenv":
		return f.writeDotenv(), nil
	case "json":
		return json.MarshalIndent(f.trees[0].plain(), "", "\t")
	}
	content, _ := f.trees[0].plain().(map[string]any)
	text, isText := content["data"].(string)
	if !isText || len(content) != 1 {
		return nil, errors.New("it is neither YAML nor JSON nor a file that sops encrypts as a whole")
	}
	return []byte(text), nil
}

func (f *opening) writeDotenv() []byte {
	var b bytes.Buffer
	tree := f.trees[0]
	for i, key := range tree.keys {
		value, _ := tree.children[i].value.(string)
		fmt.Fprintf(&b, "%s=%s\n", key, strings.ReplaceAll(value, "\n", `\n`))
	}
	return b.Bytes()
}

// writeYAML puts the values where they were encrypted, so that the lines of a file stay what they are for
// whoever looks for a fault in it.
func (f *opening) writeYAML(data []byte) ([]byte, error) {
	if len(f.roots) == 1 && f.roots[0].Style&yaml.FlowStyle != 0 {
		return json.MarshalIndent(f.trees[0].plain(), "", "\t")
	}
	lines := strings.Split(string(data), "\n")
	var values []*branch
	for _, tree := range f.trees {
		values = opened(tree, values)
	}
	// The last value of a line goes first, so that the columns of the others hold.
	slices.SortFunc(values, func(a, b *branch) int {
		if a.line != b.line {
			return a.line - b.line
		}
		return b.column - a.column
	})
	for _, v := range values {
		if v.line < 1 || v.line > len(lines) {
			return nil, errNotWritten(v.line)
		}
		replaced, err := replace(lines[v.line-1], v)
		if err != nil {
			return nil, err
		}
		lines[v.line-1] = replaced
	}
	for _, c := range f.comments {
		at := lines[c.line-1]
		if !strings.HasPrefix(strings.TrimLeft(at, " "), "- ENC[") {
			return nil, errNotWritten(c.line)
		}
		lines[c.line-1] = ""
	}
	for i, root := range f.roots {
		end := len(lines) + 1
		if i+1 < len(f.roots) {
			end = f.roots[i+1].Line
		}
		blank(lines, root, end)
	}
	return []byte(strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"), nil
}

func errNotWritten(line int) error {
	return fmt.Errorf("line %d is not written as sops writes it; run sops edit on the file", line)
}

// opened lists the values below a branch that were encrypted.
func opened(b *branch, values []*branch) []*branch {
	if b.opened && b.line > 0 {
		values = append(values, b)
	}
	for _, child := range b.children {
		values = opened(child, values)
	}
	return values
}

// replace puts a value into its line in place of its encrypted form.
func replace(line string, v *branch) (string, error) {
	at := 0
	for range v.column - 1 {
		_, size := utf8.DecodeRuneInString(line[at:])
		at += size
	}
	rest := line[at:]
	quote := ""
	if strings.HasPrefix(rest, `"`) || strings.HasPrefix(rest, `'`) {
		quote = rest[:1]
	}
	const open = "ENC["
	if v.value == "" && strings.HasPrefix(rest, quote+quote) {
		// An empty text is not encrypted.
		return line, nil
	}
	end := strings.Index(rest, "]"+quote)
	if !strings.HasPrefix(rest, quote+open) || end < 0 {
		return "", errNotWritten(v.line)
	}
	clear, err := scalar(v.value)
	if err != nil {
		return "", err
	}
	return line[:at] + clear + rest[end+1+len(quote):], nil
}

// scalar writes a value so that YAML reads the same value, on one line.
func scalar(value any) (string, error) {
	switch v := value.(type) {
	case int:
		return strconv.Itoa(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		text := strconv.FormatFloat(v, 'f', -1, 64)
		return text, nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case string:
		if !utf8.ValidString(v) {
			return "", errors.New("it has a value that is no text; encrypt such a file as a whole (--input-type binary)")
		}
		return quoted(v), nil
	}
	return "", errors.New("it has a value of a type that sops does not know")
}

// quoted writes a text in double quotes with everything escaped that YAML does not read as it stands.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// blank empties the lines of the metadata, up to the next key or the end of the document.
func blank(lines []string, root *yaml.Node, end int) {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != metadataKey {
			continue
		}
		last := end
		if i+2 < len(root.Content) {
			last = root.Content[i+2].Line
		}
		for n := root.Content[i].Line; n < last && n <= len(lines); n++ {
			if isMarker(lines[n-1]) {
				return
			}
			lines[n-1] = ""
		}
	}
}

// isMarker tells a line that ends a document.
func isMarker(line string) bool {
	return strings.HasPrefix(line, "---") || strings.HasPrefix(line, "...")
}
