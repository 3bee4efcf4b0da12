package source

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// cutPrefixLine gives the first line of a text without a prefix.
func cutPrefixLine(text, prefix string) (string, bool) {
	line, _, _ := strings.Cut(text, "\n")
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), strings.TrimSpace(prefix))
	rest = strings.TrimSpace(rest)
	return rest, ok && rest != ""
}

// step is one ^N or ~N after a name.
type step struct {
	parent bool // ^N: the N-th parent; else ~N: N times the first parent
	n      int
}

// parseExpression splits what a user may write after --ref into a name and the
// way from there: a small part of git rev-parse's language. What it does not
// know it refuses rather than reading something else into it.
func parseExpression(expr string) (name string, steps []step, err error) {
	end := strings.IndexAny(expr, "^~")
	if end < 0 {
		end = len(expr)
	}
	name = expr[:end]
	if name == "" && end == len(expr) || name == "@" {
		name = "HEAD"
	}
	if err := checkRefName(name); err != nil {
		return "", nil, fmt.Errorf("%w: %q: %w", ErrInvalid, expr, err)
	}
	for rest := expr[end:]; rest != ""; {
		op := rest[0]
		rest = rest[1:]
		if op == '^' && strings.HasPrefix(rest, "{") {
			kind, after, ok := strings.Cut(rest[1:], "}")
			if !ok || kind != "" && kind != "commit" {
				return "", nil, fmt.Errorf("%w: %q: only ^{} and ^{commit} are supported in braces", ErrInvalid, expr)
			}
			rest = after
			continue
		}
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n := 1
		if digits > 0 {
			if n, err = strconv.Atoi(rest[:digits]); err != nil || n > 1_000_000 {
				return "", nil, fmt.Errorf("%w: %q: the number after %c is too large", ErrInvalid, expr, op)
			}
		}
		rest = rest[digits:]
		if rest != "" && rest[0] != '^' && rest[0] != '~' {
			return "", nil, fmt.Errorf("%w: %q: cannot read %q", ErrInvalid, expr, rest)
		}
		steps = append(steps, step{parent: op == '^', n: n})
	}
	return name, steps, nil
}

// parse answers the commit that an expression names.
func (r *repository) parse(expr string) (Revision, error) {
	name, steps, err := parseExpression(expr)
	if err != nil {
		return Revision{}, err
	}
	ref, hash, err := r.lookup(name)
	if err != nil {
		return Revision{}, err
	}
	c, err := r.objects.peel(hash)
	if err != nil {
		return Revision{}, fmt.Errorf("%q: %w", expr, err)
	}
	for _, s := range steps {
		if c, err = r.objects.walk(c, s); err != nil {
			return Revision{}, fmt.Errorf("%q: %w", expr, err)
		}
		ref = ""
	}
	return Revision{Ref: ref, Hash: c.Hash.String()}, nil
}

// lookup finds a name by Git's own rules, in Git's order: the name itself, then
// as a tag, a branch, a remote branch, and last as the beginning of a hash.
func (r *repository) lookup(name string) (ref string, hash plumbing.Hash, err error) {
	if len(name) == sha1Digits && isLowerHex(strings.ToLower(name)) {
		return "", plumbing.NewHash(name), nil
	}
	for _, rule := range []struct{ prefix, suffix string }{
		{"", ""}, {"refs/", ""}, {"refs/tags/", ""}, {"refs/heads/", ""}, {"refs/remotes/", ""}, {"refs/remotes/", "/HEAD"},
	} {
		full := rule.prefix + name + rule.suffix
		if !strings.HasPrefix(full, "refs/") && full != "HEAD" && !strings.HasSuffix(full, "_HEAD") {
			continue // HEAD, FETCH_HEAD and the like; config or index are files there, not refs
		}
		found, err := storer.ResolveReference(r.storage, plumbing.ReferenceName(full))
		if errors.Is(err, plumbing.ErrReferenceNotFound) {
			continue
		}
		if err != nil {
			return "", plumbing.ZeroHash, fmt.Errorf("ref %q: %w", full, err)
		}
		if name == "HEAD" {
			return strings.TrimPrefix(found.Name().String(), "refs/heads/"), found.Hash(), nil
		}
		return name, found.Hash(), nil
	}
	hash, err = r.abbreviated(name)
	return "", hash, err
}

// abbreviated finds the commit (or tag) whose hash begins with the digits.
func (r *repository) abbreviated(digits string) (plumbing.Hash, error) {
	digits = strings.ToLower(digits)
	if len(digits) < 4 || len(digits) > sha1Digits || !isLowerHex(digits) {
		return plumbing.ZeroHash, fmt.Errorf("%w: %q is no branch, tag, remote branch or commit", ErrRefNotFound, digits)
	}
	prefix, err := hex.DecodeString(digits[:len(digits)&^1])
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("%w: %q: %w", ErrInvalid, digits, err)
	}
	all, err := r.objects.hashesWithPrefix(prefix)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("find commit %q: %w", digits, err)
	}
	var found []plumbing.Hash
	for _, h := range all {
		if !strings.HasPrefix(h.String(), digits) || slices.Contains(found, h) {
			continue
		}
		if r.objects.isCommitish(h) {
			found = append(found, h)
		}
	}
	switch len(found) {
	case 0:
		return plumbing.ZeroHash, fmt.Errorf("%w: %q is no branch, tag, remote branch or commit", ErrRefNotFound, digits)
	case 1:
		return found[0], nil
	}
	return plumbing.ZeroHash, fmt.Errorf("%w: %q is the beginning of %d commits", ErrRefNotFound, digits, len(found))
}

// refs lists what a ref may be picked from: the one ref that it names, or all
// tags for a range of versions.
func (r *repository) refs(wanted Ref) ([]advertised, error) {
	switch {
	case wanted.Commit != "":
		return nil, nil
	case wanted.SemVer != "":
		return r.tags()
	case wanted.Name != "":
		return r.named(wanted.Name)
	case wanted.Tag != "":
		return r.named("refs/tags/" + wanted.Tag)
	case wanted.Branch != "":
		return r.named("refs/heads/" + wanted.Branch)
	}
	return r.named("HEAD")
}

// named gives one ref, or none if it does not exist or points nowhere.
func (r *repository) named(full string) ([]advertised, error) {
	name := plumbing.ReferenceName(full)
	target, err := storer.ResolveReference(r.storage, name)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ref %q: %w", full, err)
	}
	a := advertised{name: full, hash: target.Hash()}
	if target.Name() != name {
		a.sym = target.Name().String()
	}
	return []advertised{a}, nil
}

// tagAttempts is how often tags are listed when a list fails: go-git reads the
// lock files too that git push leaves for a moment while it writes a ref.
const tagAttempts = 20

func (r *repository) tags() (out []advertised, err error) {
	for range tagAttempts {
		if out, err = r.listTags(); err == nil {
			return out, nil
		}
	}
	return nil, fmt.Errorf("list tags: %w", err)
}

func (r *repository) listTags() ([]advertised, error) {
	iter, err := r.storage.IterReferences()
	if err != nil {
		return nil, err
	}
	var out []advertised
	err = iter.ForEach(func(ref *plumbing.Reference) error {
		if ref.Name().IsTag() && ref.Type() == plumbing.HashReference && checkRefName(ref.Name().String()) == nil {
			out = append(out, advertised{name: ref.Name().String(), hash: ref.Hash()})
		}
		return nil
	})
	slices.SortFunc(out, func(x, y advertised) int { return strings.Compare(x.name, y.name) })
	return out, err
}

// maxTagChain bounds tags of tags.
const maxTagChain = 16

// peel follows annotated tags to the commit.
func (o *objects) peel(hash plumbing.Hash) (*object.Commit, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range maxTagChain {
		tag, err := object.GetTag(o.store, hash)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			return o.commit(hash)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: tag %s: %w", ErrContent, hash, err)
		}
		hash = tag.Target
	}
	return nil, fmt.Errorf("%w: more than %d tags of tags", ErrContent, maxTagChain)
}

// walk goes one step from a commit towards its ancestors.
func (o *objects) walk(c *object.Commit, s step) (*object.Commit, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.parent {
		if s.n == 0 {
			return c, nil
		}
		if s.n > len(c.ParentHashes) {
			return nil, fmt.Errorf("%w: commit %s has %d parents", ErrRefNotFound, c.Hash, len(c.ParentHashes))
		}
		return o.commit(c.ParentHashes[s.n-1])
	}
	for range s.n {
		if len(c.ParentHashes) == 0 {
			return nil, fmt.Errorf("%w: commit %s is the first one", ErrRefNotFound, c.Hash)
		}
		var err error
		if c, err = o.commit(c.ParentHashes[0]); err != nil {
			return nil, err
		}
	}
	return c, nil
}
