package v1alpha1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// chunk is the text of one document of a YAML stream.
type chunk struct {
	text []byte
	// line is how many lines of the file come before it.
	line int
}

// nextChunk cuts the next document off a YAML stream, so that a syntax error in one document leaves
// the others readable. Line is how many lines of the file come before data. YAML forbids the markers
// "---" and "..." at the beginning of a line inside any scalar, so that looking at lines is enough.
// A chunk without text means that nothing but blanks and comments was left.
func nextChunk(data []byte, line int) (c chunk, rest []byte, next int) {
	begin, start := 0, line
	content, directives, opened := false, false, false
	for at := 0; at < len(data); line++ {
		end := len(data)
		if n := bytes.IndexByte(data[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		text := data[at:end]
		switch {
		case isMarker(text, "---"):
			if content {
				return chunk{data[begin:at], start}, data[at:], line
			}
			// Directives belong to the marker that follows them; comments can go.
			if !directives {
				begin, start = at, line
			}
			opened, directives = true, false
			content = !isBlank(text[3:])
		case isMarker(text, "..."):
			if content || directives {
				return chunk{data[begin:end], start}, data[end:], line + 1
			}
			begin, start, opened = end, line+1, false
		case content || isBlank(text):
		case text[0] == '%' && !opened:
			directives = true
		default:
			content = true
		}
		at = end
	}
	if !content && !directives {
		return chunk{}, nil, line
	}
	return chunk{data[begin:], start}, nil, line
}

// isMarker tells that a line begins with a document marker.
func isMarker(line []byte, marker string) bool {
	if len(line) < 3 || string(line[:3]) != marker {
		return false
	}
	return len(line) == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\n' || line[3] == '\r'
}

// isBlank tells that a line has nothing but white space or a comment.
func isBlank(line []byte) bool {
	line = bytes.TrimLeft(line, " \t\r\n")
	return len(line) == 0 || line[0] == '#'
}

// parseYAML reads the documents of a chunk: one, or more where line breaks are bare carriage returns.
func (s *stream) parseYAML(c chunk) {
	decoder := yaml.NewDecoder(bytes.NewReader(c.text))
	for !s.stopped {
		var document yaml.Node
		err := decodeNode(decoder, &document)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			line, message := yamlError(err)
			if found := s.locate(c.text); found > 0 {
				line = found
			}
			s.fail(c.line+max(line, 1), "%s", message)
			return
		}
		if document.Kind == yaml.DocumentNode && len(document.Content) == 1 {
			s.add(document.Content[0], c.line)
		}
	}
}

// maxLocateTries and maxLocateBytes bound what finding the line of an error may cost, for one error
// and for all errors of a file.
const (
	maxLocateTries = 32
	maxLocateBytes = 4 << 20
)

// locate finds the line of a syntax error, since the parser often names the line on which the
// surrounding block begins, or none: it is the line after the longest beginning of the text that can
// be read. 0 where that is not found within bounds.
func (s *stream) locate(text []byte) int {
	feed := &lineReader{rest: text}
	s.located += len(text)
	if s.located > maxLocateBytes || decodeNode(yaml.NewDecoder(feed), &yaml.Node{}) == nil {
		return 0
	}
	// The parser reads a line or two ahead, comments apart.
	end := len(text) - len(feed.rest)
	for line := feed.lines; line > feed.lines-maxLocateTries; line-- {
		if line == 0 {
			return 1
		}
		end = bytes.LastIndexByte(text[:max(end-1, 0)], '\n') + 1
		s.located += end
		if s.located > maxLocateBytes {
			return 0
		}
		err := decodeNode(yaml.NewDecoder(bytes.NewReader(text[:end])), &yaml.Node{})
		if err == nil || errors.Is(err, io.EOF) {
			return line
		}
	}
	return 0
}

// lineReader gives a text line by line, so that one can tell how far a parser has read.
type lineReader struct {
	rest  []byte
	lines int
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	length := bytes.IndexByte(r.rest, '\n') + 1
	if length == 0 {
		length = len(r.rest)
	}
	n := copy(p, r.rest[:length])
	if n == length {
		r.lines++
	}
	r.rest = r.rest[n:]
	return n, nil
}

// decodeNode reads one document. The parser reports what it does not understand by panics of its
// own, which it recovers, and by a few for what it takes to be impossible, which it does not; since
// it reads what strangers wrote, those become errors too.
func decodeNode(decoder *yaml.Decoder, node *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	return decoder.Decode(node)
}

// yamlError takes the line out of an error of the YAML parser; 0 where it names none.
func yamlError(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		if number, text, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				return n, "invalid YAML: " + text
			}
		}
	}
	return 0, "invalid YAML: " + message
}
