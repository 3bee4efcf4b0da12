package source

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
)

// Ref says which commit of a repository is wanted. At most one field is set,
// apart from a commit with its branch; none means the default branch (HEAD).
type Ref struct {
	// Branch is a branch's short name.
	Branch string
	// Tag is a tag's short name.
	Tag string
	// SemVer is a range over the tags that are versions, with or without a
	// leading v, such as ">=1.2.0 <2.0.0" or "~1.4". The highest wins; of equal
	// ones the alphabetically higher tag.
	SemVer string
	// Name is a full ref name, such as refs/heads/main or refs/pull/7/head.
	Name string
	// Commit is 40 hex digits. With Branch, that branch is where it is looked
	// for when the server gives away tips only.
	Commit string
}

// String says the ref in words, such as `branch "main"`.
func (r Ref) String() string {
	switch {
	case r.Commit != "":
		return fmt.Sprintf("commit %q", r.Commit)
	case r.Name != "":
		return fmt.Sprintf("ref %q", r.Name)
	case r.SemVer != "":
		return fmt.Sprintf("version %q", r.SemVer)
	case r.Tag != "":
		return fmt.Sprintf("tag %q", r.Tag)
	case r.Branch != "":
		return fmt.Sprintf("branch %q", r.Branch)
	}
	return "HEAD"
}

func (r Ref) isTag() bool {
	return r.Tag != "" || r.SemVer != "" || strings.HasPrefix(r.Name, "refs/tags/")
}

// Validate reports what cannot be right whatever the repository holds.
func (r Ref) Validate() error {
	set := 0
	for _, v := range []string{r.Branch, r.Tag, r.SemVer, r.Name} {
		if v != "" {
			set++
		}
	}
	if r.Commit != "" && r.Branch == "" {
		set++
	}
	if set > 1 || r.Commit != "" && set != 1 {
		return fmt.Errorf("%w: ref: give one of branch, tag, semver, name and commit (commit and branch together are fine)", ErrInvalid)
	}
	for _, v := range []string{r.Branch, r.Tag, r.Name} {
		if v == "" {
			continue
		}
		if err := checkRefName(v); err != nil {
			return fmt.Errorf("%w: ref: %w", ErrInvalid, err)
		}
	}
	if r.Name != "" && r.Name != "HEAD" && !strings.HasPrefix(r.Name, "refs/") {
		return fmt.Errorf("%w: ref: name %q does not begin with refs/", ErrInvalid, r.Name)
	}
	if r.Commit != "" && (len(r.Commit) != sha1Digits || !isLowerHex(r.Commit)) {
		return fmt.Errorf("%w: ref: commit %q is not 40 lower-case hex digits", ErrInvalid, r.Commit)
	}
	if r.SemVer != "" {
		if _, err := semver.NewConstraint(r.SemVer); err != nil {
			return fmt.Errorf("%w: ref: semver %q: %w", ErrInvalid, r.SemVer, err)
		}
	}
	return nil
}

// advertised is what a repository says about one of its refs.
type advertised struct {
	name string        // full: refs/heads/main, or HEAD
	hash plumbing.Hash // what the ref holds; for an annotated tag the tag object
	peel plumbing.Hash // the commit behind an annotated tag, else zero
	sym  string        // what a symbolic ref points at, else empty
}

func (a advertised) commit() plumbing.Hash {
	if a.peel.IsZero() {
		return a.hash
	}
	return a.peel
}

// choice is the ref that was picked.
type choice struct {
	ref    string        // as Revision.Ref says it
	commit plumbing.Hash // where it points; for a tag, peeled if the server told
	want   plumbing.Hash // what to ask the server for; zero if it advertises no such thing
}

// pick finds the wanted commit among a repository's refs.
func (r Ref) pick(refs []advertised) (choice, error) {
	switch {
	case r.Commit != "":
		return pickCommit(r, refs), nil
	case r.SemVer != "":
		return pickVersion(r, refs)
	case r.Name != "":
		return pickName(r, r.Name, r.Name, refs)
	case r.Tag != "":
		return pickName(r, "refs/tags/"+r.Tag, r.Tag, refs)
	case r.Branch != "":
		return pickName(r, "refs/heads/"+r.Branch, r.Branch, refs)
	}
	c, err := pickName(r, "HEAD", "HEAD", refs)
	if err != nil {
		return choice{}, err
	}
	for _, a := range refs {
		if a.name == "HEAD" && a.sym != "" {
			c.ref = strings.TrimPrefix(a.sym, "refs/heads/")
		}
	}
	return c, nil
}

func pickName(r Ref, full, short string, refs []advertised) (choice, error) {
	for _, a := range refs {
		if a.name == full {
			return choice{ref: short, commit: a.commit(), want: a.hash}, nil
		}
	}
	return choice{}, fmt.Errorf("%w: %s", ErrRefNotFound, r)
}

func pickCommit(r Ref, refs []advertised) choice {
	c := choice{ref: r.Branch, commit: plumbing.NewHash(r.Commit)}
	for _, a := range refs {
		if a.commit() == c.commit {
			c.want = a.hash
			break
		}
	}
	return c
}

func pickVersion(r Ref, refs []advertised) (choice, error) {
	constraint, err := semver.NewConstraint(r.SemVer)
	if err != nil {
		return choice{}, fmt.Errorf("%w: ref: semver %q: %w", ErrInvalid, r.SemVer, err)
	}
	type candidate struct {
		version *semver.Version
		choice
	}
	var found []candidate
	for _, a := range refs {
		tag, ok := strings.CutPrefix(a.name, "refs/tags/")
		if !ok {
			continue
		}
		v, err := semver.NewVersion(tag)
		if err != nil || !constraint.Check(v) {
			continue
		}
		found = append(found, candidate{v, choice{ref: tag, commit: a.commit(), want: a.hash}})
	}
	if len(found) == 0 {
		return choice{}, fmt.Errorf("%w: no tag matches %s", ErrRefNotFound, r)
	}
	best := slices.MaxFunc(found, func(x, y candidate) int {
		return cmp.Or(x.version.Compare(y.version), strings.Compare(x.ref, y.ref))
	})
	return best.choice, nil
}
