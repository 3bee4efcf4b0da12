package render

import (
	"fmt"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// ImageReference is a parsed image reference registry[:port]/repository[:tag][@digest].
type ImageReference struct {
	// Registry is the host with its port; empty: the container runtime's default.
	Registry string
	// Repository is the path below the registry.
	Repository string
	// Tag and Digest (algorithm:hex) are each optional.
	Tag    string
	Digest string
}

// The limits of the distribution project's grammar.
const (
	maxRepositoryBytes = 255
	maxTagBytes        = 128
)

// ParseImage reads an image reference. The first part of the path is the registry exactly when it
// has a dot or a port, is in brackets (IPv6), or is localhost: the rule by which container runtimes
// pull, and the one that Karmada documents. The grammar is that of the distribution project.
func ParseImage(s string) (ImageReference, error) {
	var r ImageReference
	rest, digest, hasDigest := strings.Cut(s, "@")
	if hasDigest {
		if !validDigest(digest) {
			return ImageReference{}, fmt.Errorf("image %q has the invalid digest %q", s, digest)
		}
		r.Digest = digest
	}
	if first, after, ok := strings.Cut(rest, "/"); ok && isRegistry(first) {
		if !validRegistry(first) {
			return ImageReference{}, fmt.Errorf("image %q has the invalid registry %q", s, first)
		}
		r.Registry, rest = first, after
	}
	repository, tag, hasTag := strings.Cut(rest, ":")
	if hasTag {
		if !validTag(tag) {
			return ImageReference{}, fmt.Errorf("image %q has the invalid tag %q", s, tag)
		}
		r.Tag = tag
	}
	if !validRepository(repository) {
		return ImageReference{}, fmt.Errorf("image %q has the invalid repository %q", s, repository)
	}
	r.Repository = repository
	return r, nil
}

// String returns the reference in the form that ParseImage reads.
func (r ImageReference) String() string {
	s := r.Repository
	if r.Registry != "" {
		s = r.Registry + "/" + s
	}
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

func isRegistry(part string) bool {
	return part == "localhost" || strings.ContainsAny(part, ".:[")
}

func validRegistry(s string) bool {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || !all(s[1:end], func(c byte) bool { return isHex(c) || c == ':' }) || end == 1 {
			return false
		}
		rest := s[end+1:]
		return rest == "" || rest[0] == ':' && all(rest[1:], isDigit) && len(rest) > 1
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
		if port == "" || !all(port, isDigit) {
			return false
		}
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' ||
			!all(label, func(c byte) bool { return isLower(c) || isUpper(c) || isDigit(c) || c == '-' }) {
			return false
		}
	}
	return true
}

func validRepository(s string) bool {
	if s == "" || len(s) > maxRepositoryBytes {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if !validPathComponent(part) {
			return false
		}
	}
	return true
}

// validPathComponent accepts lower-case letters and digits, in groups separated by one dot, one or
// two underscores, or any number of dashes.
func validPathComponent(s string) bool {
	alphanumeric := func(c byte) bool { return isLower(c) || isDigit(c) }
	for i := 0; i < len(s); {
		start := i
		for i < len(s) && alphanumeric(s[i]) {
			i++
		}
		if i == start {
			return false
		}
		if i == len(s) {
			return true
		}
		start = i
		for i < len(s) && !alphanumeric(s[i]) {
			i++
		}
		switch separator := s[start:i]; {
		case separator == ".", separator == "_", separator == "__":
		case strings.Trim(separator, "-") == "":
		default:
			return false
		}
	}
	return false
}

func validTag(s string) bool {
	word := func(c byte) bool { return isLower(c) || isUpper(c) || isDigit(c) || c == '_' }
	return s != "" && len(s) <= maxTagBytes && word(s[0]) &&
		all(s, func(c byte) bool { return word(c) || c == '.' || c == '-' })
}

// validDigest accepts algorithm:hex for the algorithms that container runtimes know.
func validDigest(s string) bool {
	algorithm, digits, _ := strings.Cut(s, ":")
	length := 0
	switch algorithm {
	case "sha256":
		length = 64
	case "sha384":
		length = 96
	case "sha512":
		length = 128
	}
	return length > 0 && len(digits) == length && all(digits, isLowerHex)
}

func all(s string, f func(byte) bool) bool {
	for i := range len(s) {
		if !f(s[i]) {
			return false
		}
	}
	return true
}

func isLower(c byte) bool    { return 'a' <= c && c <= 'z' }
func isUpper(c byte) bool    { return 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool    { return '0' <= c && c <= '9' }
func isLowerHex(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' }
func isHex(c byte) bool      { return isLowerHex(c) || 'A' <= c && c <= 'F' }

// imageStep changes one component of image references.
type imageStep struct {
	// predicate are the tokens of the one field to change; nil: every container image.
	predicate []string
	component v1alpha1.ImageComponent
	operator  v1alpha1.OverriderOperator
	value     string
}

func compileImage(o v1alpha1.ImageOverrider) (step, error) {
	s := imageStep{component: o.Component, operator: o.Operator, value: o.Value}
	switch o.Component {
	case v1alpha1.ImageRegistry, v1alpha1.ImageRepository, v1alpha1.ImageTag:
	default:
		return nil, fmt.Errorf("unknown image component %q, want Registry, Repository or Tag", o.Component)
	}
	if err := checkOperator(o.Operator); err != nil {
		return nil, err
	}
	if o.Operator != v1alpha1.OperatorRemove && o.Value == "" {
		return nil, fmt.Errorf("operator %q needs a value", o.Operator)
	}
	if o.Predicate != nil {
		tokens, err := ParsePointer(o.Predicate.Path)
		if err != nil {
			return nil, err
		}
		if len(tokens) == 0 {
			return nil, fmt.Errorf("the predicate names no field")
		}
		s.predicate = tokens
	}
	return s, nil
}

// checkOperator admits the operators of images, labels, annotations, commands and arguments.
func checkOperator(o v1alpha1.OverriderOperator) error {
	switch o {
	case v1alpha1.OperatorAdd, v1alpha1.OperatorRemove, v1alpha1.OperatorReplace:
		return nil
	default:
		return fmt.Errorf("unknown operator %q, want add, remove or replace", o)
	}
}

func (s imageStep) apply(w *work) error {
	if s.predicate != nil {
		pointer := encodePointer(s.predicate)
		current, ok := lookup(w.object, s.predicate)
		image, isString := current.(string)
		if !ok || !isString {
			return fmt.Errorf("%q is not there or not a string", pointer)
		}
		changed, err := s.change(image)
		if err != nil && w.secret {
			return fmt.Errorf("the text at %q is no image, or would be none", pointer)
		}
		if err != nil {
			return err
		}
		w.wrote(pointer)
		if changed == image {
			w.idle("the image at %q stays", pointer)
		}
		return assign(w.mutable(), s.predicate, changed)
	}
	any := false
	for c := range w.containers() {
		image, ok := c.container["image"].(string)
		if !ok {
			continue
		}
		changed, err := s.change(image)
		if err != nil {
			return fmt.Errorf("container %q: %w", name(c.container), err)
		}
		w.wrote(c.pointer + "/image")
		c.container["image"] = changed
		any = any || changed != image
	}
	if !any {
		w.idle("no image changes")
	}
	return nil
}

// change returns the reference with the component changed. Add appends, as in Karmada. The tag
// stands for tag and digest together.
func (s imageStep) change(image string) (string, error) {
	r, err := ParseImage(image)
	if err != nil {
		return "", err
	}
	component := &r.Registry
	switch s.component {
	case v1alpha1.ImageRegistry:
	case v1alpha1.ImageRepository:
		component = &r.Repository
	case v1alpha1.ImageTag:
		if s.operator == v1alpha1.OperatorAdd && r.Digest != "" {
			return "", fmt.Errorf("image %q has a digest, to which no tag can be added", image)
		}
		r.Digest = ""
		component = &r.Tag
	}
	switch s.operator {
	case v1alpha1.OperatorAdd:
		*component += s.value
	case v1alpha1.OperatorReplace:
		*component = s.value
	default: // remove; checkOperator admits no other
		*component = ""
	}
	if s.component == v1alpha1.ImageTag && validDigest(r.Tag) {
		r.Tag, r.Digest = "", r.Tag
	}
	result := r.String()
	if _, err := ParseImage(result); err != nil {
		return "", fmt.Errorf("the result of %s %s on image %q: %w", s.operator, strings.ToLower(string(s.component)), image, err)
	}
	return result, nil
}
