package source

import (
	"context"
	"fmt"
	"strings"
)

// Source is one place in Git. Both methods may be called from several
// goroutines.
type Source interface {
	// Resolve answers which revision is wanted now. For a remote repository it
	// costs one round trip and moves no objects.
	Resolve(ctx context.Context) (Revision, error)
	// Fetch gives the tree of a revision that this source resolved. The tree
	// stays readable after later fetches. Tree.Revision says whether history
	// was rewritten since the last fetch.
	Fetch(ctx context.Context, rev Revision) (*Tree, error)
}

// Repository is a Source of which any commit can be asked for, as plan and
// preview do.
type Repository interface {
	Source
	// ResolveRef answers the commit that a ref of the user's names: a branch, a
	// tag or a commit; on this machine also HEAD~1 and short hashes.
	ResolveRef(ctx context.Context, ref string) (Revision, error)
	// MergeBase answers the best common ancestor of two refs. An empty head is
	// HEAD. The error wraps ErrNoMergeBase or ErrShallow when there is none to
	// be found.
	MergeBase(ctx context.Context, base, head string) (Revision, error)
}

// Revision names one state of a source.
type Revision struct {
	// Ref is where the commit was found: a short branch or tag name, a full ref
	// name where that was asked for, "dir" for a folder read as it stands, empty
	// for a bare commit.
	Ref string
	// Hash is 40 hex digits for a commit (SHA-1), 64 for a folder (SHA-256 over
	// names, modes and contents).
	Hash string
	// Rewritten is set by Fetch when the branch or tag no longer contains the
	// commit that was fetched before: a force push, or a moved tag. It is not
	// part of the revision's name.
	Rewritten bool
}

// folderRef is the Ref of a folder read as it stands.
const folderRef = "dir"

// String gives the form that Flux uses: main@sha1:…, v1.2.0@sha1:…, sha1:… for
// a bare commit, and dir@sha256:… for a folder. The zero Revision is "".
func (r Revision) String() string {
	if r.Hash == "" {
		return ""
	}
	sum := r.algorithm() + ":" + r.Hash
	if r.Ref == "" {
		return sum
	}
	return r.Ref + "@" + sum
}

// Same reports whether two revisions name the same state, wherever each was found.
func (r Revision) Same(other Revision) bool { return r.Hash == other.Hash }

// IsCommit tells a commit from a folder read as it stands.
func (r Revision) IsCommit() bool { return len(r.Hash) == sha1Digits }

func (r Revision) algorithm() string {
	if len(r.Hash) == sha256Digits {
		return "sha256"
	}
	return "sha1"
}

const (
	sha1Digits   = 40
	sha256Digits = 64
)

// ParseRevision reads what String writes. Rewritten is not part of it.
func ParseRevision(s string) (Revision, error) {
	ref, sum, found := cutLast(s, "@")
	if !found {
		ref, sum = "", s
	}
	algorithm, hash, ok := strings.Cut(sum, ":")
	if !ok {
		return Revision{}, fmt.Errorf("%w: revision %q has no algorithm, want REF@sha1:HASH", ErrInvalid, s)
	}
	digits := map[string]int{"sha1": sha1Digits, "sha256": sha256Digits}[algorithm]
	if digits == 0 || len(hash) != digits || !isLowerHex(hash) {
		return Revision{}, fmt.Errorf("%w: revision %q does not end in sha1: and 40 or sha256: and 64 lower-case hex digits", ErrInvalid, s)
	}
	if algorithm == "sha256" && ref != folderRef {
		return Revision{}, fmt.Errorf("%w: revision %q: sha256 is for folders (dir@sha256:…) only", ErrInvalid, s)
	}
	if found {
		if err := checkRefName(ref); err != nil {
			return Revision{}, fmt.Errorf("%w: revision %q: %w", ErrInvalid, s, err)
		}
	}
	return Revision{Ref: ref, Hash: hash}, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

// checkRefName applies the rules of git check-ref-format to a ref or a part of
// one, such as a branch name.
func checkRefName(name string) error {
	if name == "" {
		return fmt.Errorf("ref name is empty")
	}
	if len(name) > 1024 {
		return fmt.Errorf("ref name has %d bytes, more than 1024", len(name))
	}
	if name == "@" || strings.Contains(name, "@{") || strings.Contains(name, "..") ||
		strings.HasPrefix(name, "-") || strings.HasSuffix(name, ".") {
		return fmt.Errorf("ref name %q is not allowed by git check-ref-format", name)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c == 0x7f || strings.IndexByte(`~^:?*[\`, c) >= 0 {
			return fmt.Errorf("ref name %q holds a character that git check-ref-format forbids", name)
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return fmt.Errorf("ref name %q has the part %q, which git check-ref-format forbids", name, part)
		}
	}
	return nil
}
