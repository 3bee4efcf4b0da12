package main

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// fieldLines finds the lines of fields in the files of sources. The plan knows the first line of each
// document; the one document that somebody asks about is read again.
type fieldLines struct {
	contents map[string]fs.FS
	files    map[[2]string][]v1alpha1.Document
}

func newFieldLines(contents map[string]fs.FS) *fieldLines {
	return &fieldLines{contents: contents, files: map[[2]string][]v1alpha1.Document{}}
}

// document returns the document at "file:line" of a source.
func (l *fieldLines) document(repository, place string) (v1alpha1.Document, bool) {
	file, line, ok := cutLine(place)
	content := l.contents[repository]
	if !ok || content == nil {
		return v1alpha1.Document{}, false
	}
	documents, known := l.files[[2]string{repository, file}]
	if !known {
		if data, err := fs.ReadFile(content, file); err == nil {
			documents, _ = v1alpha1.DecodeStream(file, data)
		}
		l.files[[2]string{repository, file}] = documents
	}
	for _, d := range documents {
		if d.Position.Line == line {
			return d, true
		}
	}
	return v1alpha1.Document{}, false
}

// of returns "file:line" of a field in the document at a place, and whether the document itself has it.
// Where it does not, the line is that of what is around it; the place itself where the file says nothing.
func (l *fieldLines) of(repository, place, pointer string) (string, bool) {
	d, ok := l.document(repository, place)
	if !ok {
		return place, false
	}
	return fmt.Sprintf("%s:%d", d.Position.File, d.Line(pointer)), d.Has(pointer)
}

// refine gives findings about a field the line of the field.
func (l *fieldLines) refine(findings []v1alpha1.Finding) {
	for i := range findings {
		if f := &findings[i]; f.Field != "" {
			f.Source, _ = l.of(f.Repository, f.Source, f.Field)
		}
	}
}

// cutLine reads "file:line".
func cutLine(place string) (file string, line int, ok bool) {
	cut := strings.LastIndexByte(place, ':')
	if cut < 0 {
		return place, 0, false
	}
	line, err := strconv.Atoi(place[cut+1:])
	return place[:cut], line, err == nil
}
