package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// Options say where a source is and how to get at it.
type Options struct {
	// URL is https://…, ssh://… (or user@host:path), file:///… and, where
	// allowed, http://…. User information in it is taken as credentials.
	URL string
	// Ref is what is wanted; the zero value is the default branch.
	Ref Ref
	// Credentials are sent to the URL's host only.
	Credentials Credentials
	// CacheDir is where the bare clone is kept. It belongs to this source alone;
	// whatever else is in it under the names of clones is removed. Empty keeps
	// the clone in memory.
	CacheDir string
	// Limits bound the content.
	Limits Limits
	// ResolveTimeout bounds Resolve, FetchTimeout Fetch. Defaults: 30 s, 10 min.
	ResolveTimeout, FetchTimeout time.Duration
	// IdleTimeout bounds how long a server may send nothing. Default 60 s.
	IdleTimeout time.Duration
	// AllowFile lets file:// URLs be read.
	AllowFile bool
	// AllowLoopback lets servers on this machine be reached, those over plain
	// http too.
	AllowLoopback bool
	// AllowPlainHTTP lets http:// leave this machine, credentials and all.
	AllowPlainHTTP bool
	// Proxy chooses a proxy for https and http, such as
	// http.ProxyFromEnvironment. Nil is none.
	Proxy func(*http.Request) (*url.URL, error)
	// KnownHostsFiles are read when the credentials hold no known_hosts. Files
	// that do not exist are left out.
	KnownHostsFiles []string
	// SSHAgentSocket is the socket of an SSH agent to take keys from. Empty uses
	// none.
	SSHAgentSocket string
}

func (o Options) withDefaults() (Options, error) {
	var err error
	if o.Limits, err = o.Limits.withDefaults(); err != nil {
		return o, err
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&o.ResolveTimeout, 30 * time.Second}, {&o.FetchTimeout, 10 * time.Minute}, {&o.IdleTimeout, time.Minute}} {
		if *d.value < 0 {
			return o, fmt.Errorf("%w: a timeout is negative", ErrInvalid)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	return o, errors.Join(o.Ref.Validate(), o.Credentials.validate())
}

// Format says which URL the options are for, without user information, and
// nothing else, whatever the verb.
func (o Options) Format(f fmt.State, _ rune) {
	loc, _, err := parseLocation(o.URL)
	if err != nil {
		_, _ = io.WriteString(f, "options(invalid URL)")
		return
	}
	_, _ = io.WriteString(f, "options("+loc.String()+")")
}

// Open makes the source that a place names: a URL, or the path of a folder. It
// does not connect.
func Open(place string, o Options) (Repository, error) {
	if !IsURL(place) {
		return OpenLocal(place, LocalOptions{Ref: o.Ref, Limits: o.Limits})
	}
	o.URL = place
	loc, _, err := parseLocation(place)
	if err != nil {
		return nil, err
	}
	if loc.scheme != "file" {
		return NewRemote(o)
	}
	if !o.AllowFile {
		return nil, fmt.Errorf("%w: file URLs are not allowed here", ErrAddress)
	}
	return OpenLocal(loc.path, LocalOptions{Ref: o.Ref, Limits: o.Limits})
}

// wire starts sessions with a server.
type wire interface {
	open(ctx context.Context) (transport.UploadPackSession, error)
	close()
}

// Remote is a repository behind https, http or ssh.
type Remote struct {
	loc     location
	options *Options // a pointer: nothing that prints a Remote follows it
	wire    wire
	scrub   scrubber

	mu    sync.Mutex // one fetch at a time
	clone *clone
}

// NewRemote checks the options and makes a source. It does not connect.
func NewRemote(o Options) (*Remote, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	loc, inURL, err := parseLocation(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Credentials.Username == "" && o.Credentials.Password == "" && o.Credentials.BearerToken == "" {
		o.Credentials.Username, o.Credentials.Password = inURL.Username, inURL.Password
	}
	r := &Remote{loc: loc, options: &o, scrub: newScrubber(o.Credentials, inURL.Password)}
	if inURL.Username != "" && inURL.Password == "" {
		// A token alone is written as the user's name.
		r.scrub = newScrubber(o.Credentials, inURL.Username)
	}
	switch loc.scheme {
	case "https", "http":
		if loc.scheme == "http" && !o.AllowPlainHTTP && !o.AllowLoopback {
			return nil, fmt.Errorf("%w: %s: plain http is readable on the way; use https", ErrAddress, loc)
		}
		r.wire, err = newHTTPTransport(loc, o.Credentials, o)
	case "ssh":
		r.wire, err = newSSHTransport(loc, o.Credentials, o)
	default:
		return nil, fmt.Errorf("%w: %s is not a remote repository", ErrInvalid, loc)
	}
	if err != nil {
		return nil, r.fail("open", err)
	}
	return r, nil
}

// String gives the URL without user information.
func (r *Remote) String() string { return r.loc.String() }

// GoString gives String.
func (r *Remote) GoString() string { return r.loc.String() }

// Format gives String for every verb.
func (r *Remote) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.loc.String()) }

// Close lets go of idle connections. The clone stays.
func (r *Remote) Close() error {
	r.wire.close()
	return nil
}

// Resolve asks the server for its refs and answers what the Ref of the options
// is there.
func (r *Remote) Resolve(ctx context.Context) (Revision, error) {
	return r.resolve(ctx, r.options.Ref)
}

// ResolveRef answers the commit that a name means on the server: a full ref
// name, a branch, a tag or a full hash, looked for in this order; empty is HEAD.
func (r *Remote) ResolveRef(ctx context.Context, ref string) (Revision, error) {
	switch {
	case ref == "" || ref == "HEAD" || ref == "@":
		return r.resolve(ctx, Ref{})
	case len(ref) == sha1Digits && isLowerHex(ref):
		return Revision{Hash: ref}, nil
	case strings.HasPrefix(ref, "refs/"):
		return r.resolve(ctx, Ref{Name: ref})
	}
	if strings.ContainsAny(ref, "~^") {
		return Revision{}, fmt.Errorf("%w: %q: a remote repository knows branches, tags and full hashes only; clone it for more", ErrInvalid, ref)
	}
	rev, err := r.resolve(ctx, Ref{Branch: ref})
	if errors.Is(err, ErrRefNotFound) {
		if tag, tagErr := r.resolve(ctx, Ref{Tag: ref}); tagErr == nil {
			return tag, nil
		}
	}
	return rev, err
}

func (r *Remote) resolve(ctx context.Context, ref Ref) (Revision, error) {
	if err := ref.Validate(); err != nil {
		return Revision{}, err
	}
	if ref.Commit != "" {
		return Revision{Ref: ref.Branch, Hash: ref.Commit}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.ResolveTimeout)
	defer cancel()
	s, adv, err := r.connect(ctx)
	if err != nil {
		return Revision{}, r.fail("resolve "+ref.String(), err)
	}
	defer s.Close()
	c, err := ref.pick(advertisedRefs(adv))
	if err != nil {
		return Revision{}, r.fail("resolve", err)
	}
	return Revision{Ref: c.ref, Hash: c.commit.String()}, nil
}

// connect opens a session and reads the server's refs, all in one round trip.
func (r *Remote) connect(ctx context.Context) (transport.UploadPackSession, *packp.AdvRefs, error) {
	s, err := r.wire.open(ctx)
	if err != nil {
		return nil, nil, withCause(ctx, err)
	}
	adv, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		_ = s.Close() // the first error says more
		return nil, nil, withCause(ctx, err)
	}
	return s, adv, nil
}

// withCause adds why the context ended, which libraries tend to swallow.
func withCause(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return errors.Join(ctx.Err(), err)
}

// advertisedRefs sorts a server's refs and leaves out names that Git would not
// take.
func advertisedRefs(adv *packp.AdvRefs) []advertised {
	var out []advertised
	for _, name := range slices.Sorted(maps.Keys(adv.References)) {
		if checkRefName(name) != nil {
			continue
		}
		out = append(out, advertised{name: name, hash: adv.References[name], peel: adv.Peeled[name]})
	}
	if adv.Head == nil {
		return out
	}
	head := advertised{name: "HEAD", hash: *adv.Head}
	for _, link := range adv.Capabilities.Get(capability.SymRef) {
		from, to, _ := strings.Cut(link, ":")
		if from == "HEAD" && checkRefName(to) == nil {
			head.sym = to
		}
	}
	return append(out, head)
}

// Fetch gives the tree of a revision. What is there already costs no network.
//
// The first fetch asks for one commit without its history (a depth of one). A
// later one asks for what is new since the last, without a depth: with one, the
// server sends the whole tree again. The server then believes that the clone has
// all history behind its last commit, and may leave out an old file that a
// revert or a force push brings back; so the new tree is looked through to the
// last blob, and if anything is missing, a fresh clone of depth one replaces
// this one.
func (r *Remote) Fetch(ctx context.Context, rev Revision) (*Tree, error) {
	if len(rev.Hash) != sha1Digits || !isLowerHex(rev.Hash) {
		return nil, fmt.Errorf("%w: %s: %q is not a commit's revision", ErrInvalid, r.loc, rev)
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.FetchTimeout)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clone == nil {
		r.clone = openClone(r.options.CacheDir, r.loc.String(), r.options.Limits)
	}
	tree, err := r.fetch(ctx, rev)
	if err != nil {
		return nil, r.fail("fetch "+rev.String(), err)
	}
	return tree, nil
}

func (r *Remote) fetch(ctx context.Context, rev Revision) (*Tree, error) {
	before := Revision{}
	if r.clone != nil {
		before = r.clone.tip
		tree, err := r.clone.tree(rev)
		if errors.Is(err, errDamaged) {
			tree, err = r.grow(ctx, rev)
			if err == nil && r.clone.packs >= maxPacks {
				err = errDamaged
			}
		}
		if err == nil {
			return r.deliver(tree, before, r.clone)
		}
		if !errors.Is(err, errDamaged) {
			return nil, err
		}
	}
	fresh, err := newClone(r.options.CacheDir, r.options.Limits)
	if err != nil {
		return nil, err
	}
	tree, err := r.fill(ctx, fresh, rev)
	if err != nil {
		fresh.retire()
		return nil, err
	}
	// The old clone may hold the commits between both tips, the new one does not.
	old := r.clone
	if old == nil {
		old = fresh
	}
	tree, err = r.deliver(tree, before, old)
	if err != nil {
		fresh.retire()
		return nil, err
	}
	if err := fresh.fetched(r.loc.String(), rev); err != nil {
		fresh.retire()
		return nil, err
	}
	r.clone.retire()
	r.clone = fresh
	return tree, nil
}

// deliver notes a rewrite of history and records the fetch.
func (r *Remote) deliver(tree *Tree, before Revision, history *clone) (*Tree, error) {
	rev := tree.revision
	rewritten, err := history.objects.rewritten(before, rev, r.options.Ref.isTag())
	if err != nil {
		return nil, err
	}
	tree.revision.Rewritten = rewritten
	if r.clone == history && r.clone.tip != rev {
		if err := r.clone.fetched(r.loc.String(), rev); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

// grow fetches what is new since the clone's last commit.
func (r *Remote) grow(ctx context.Context, rev Revision) (*Tree, error) {
	if r.clone.tip.Same(rev) {
		return nil, fmt.Errorf("%w: it should have %s", errDamaged, rev)
	}
	err := r.download(ctx, r.clone, rev, []plumbing.Hash{plumbing.NewHash(r.clone.tip.Hash)}, 0)
	if errors.Is(err, ErrTooLarge) {
		// All history of a rewritten branch may be more than its last tree.
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	return r.clone.tree(rev)
}

// fill fetches one commit without its history into an empty clone.
func (r *Remote) fill(ctx context.Context, into *clone, rev Revision) (*Tree, error) {
	if err := r.download(ctx, into, rev, nil, 1); err != nil {
		return nil, err
	}
	tree, err := into.tree(rev)
	if errors.Is(err, errMissing) && !into.objects.has(rev) {
		return nil, fmt.Errorf("%w: the server has no commit %s", ErrRefNotFound, rev)
	}
	return tree, err
}

// download asks the server for a commit and adds the pack to a clone. A depth of
// zero is all history that the haves do not cover.
func (r *Remote) download(ctx context.Context, into *clone, rev Revision, haves []plumbing.Hash, depth int) error {
	s, adv, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	want, whole, err := r.wants(adv, rev)
	if err != nil {
		return err
	}
	if whole {
		depth = 0
	}
	err = r.request(ctx, s, adv, into, want, haves, depth)
	if errors.Is(err, ErrMoved) && rev.Hash == r.options.Ref.Commit {
		return fmt.Errorf("%w: %w", ErrRefNotFound, err)
	}
	return err
}

// wants finds what to ask for so that the commit comes with it. Servers give
// away the tips of their refs, and other commits only if they say so; whole is
// set when the commit can only be found by fetching everything behind the refs
// that may lead to it.
func (r *Remote) wants(adv *packp.AdvRefs, rev Revision) (want []plumbing.Hash, whole bool, err error) {
	hash := plumbing.NewHash(rev.Hash)
	refs := advertisedRefs(adv)
	for _, a := range refs {
		if a.commit() == hash {
			return []plumbing.Hash{a.hash}, false, nil
		}
	}
	if adv.Capabilities.Supports(capability.AllowReachableSHA1InWant) || adv.Capabilities.Supports("allow-any-sha1-in-want") {
		return []plumbing.Hash{hash}, false, nil
	}
	if rev.Hash != r.options.Ref.Commit && rev.Ref != "" {
		return nil, false, fmt.Errorf("%w: the server offers %s no longer", ErrMoved, rev)
	}
	for _, a := range refs {
		isBranch, isTag := strings.HasPrefix(a.name, "refs/heads/"), strings.HasPrefix(a.name, "refs/tags/")
		if rev.Ref != "" && a.name == "refs/heads/"+rev.Ref || rev.Ref == "" && (isBranch || isTag) {
			want = append(want, a.hash)
		}
	}
	if len(want) == 0 {
		return nil, false, fmt.Errorf("%w: commit %s", ErrRefNotFound, rev)
	}
	return want, true, nil
}

// request is one git-upload-pack: wants and haves out, a pack in.
func (r *Remote) request(ctx context.Context, s transport.UploadPackSession, adv *packp.AdvRefs, into *clone, want, haves []plumbing.Hash, depth int) error {
	req := packp.NewUploadPackRequestFromCapabilities(adv.Capabilities)
	req.Wants, req.Haves = want, haves
	if adv.Capabilities.Supports(capability.NoProgress) {
		if err := req.Capabilities.Set(capability.NoProgress); err != nil {
			return err
		}
	}
	if depth > 0 && adv.Capabilities.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(depth)
		if err := req.Capabilities.Set(capability.Shallow); err != nil {
			return err
		}
	}
	res, err := s.UploadPack(ctx, req)
	if err != nil && strings.Contains(err.Error(), "not our ref") {
		// Over http the refs may have changed since they were read.
		return fmt.Errorf("%w: the server does not give away %s: %w", ErrMoved, want[0], err)
	}
	if err != nil {
		return withCause(ctx, err)
	}
	defer res.Close()
	var pack io.Reader = res
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, res)
	case req.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, res)
	}
	return withCause(ctx, into.ingest(pack, res.Shallows))
}

// MergeBase answers the best common ancestor of two refs. It fetches the whole
// history of both.
func (r *Remote) MergeBase(ctx context.Context, base, head string) (Revision, error) {
	b, err := r.ResolveRef(ctx, base)
	if err != nil {
		return Revision{}, err
	}
	h, err := r.ResolveRef(ctx, head)
	if err != nil {
		return Revision{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.options.FetchTimeout)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	found, err := r.mergeBase(ctx, b, h)
	if err != nil {
		return Revision{}, r.fail(fmt.Sprintf("merge base of %q and %q", base, orHead(head)), err)
	}
	return found, nil
}

func (r *Remote) mergeBase(ctx context.Context, base, head Revision) (Revision, error) {
	if r.clone != nil {
		found, err := r.clone.objects.mergeBase(ctx, base, head)
		if err == nil || !errors.Is(err, errMissing) && !errors.Is(err, ErrShallow) {
			return found, err
		}
	}
	full, err := newClone(r.options.CacheDir, r.options.Limits)
	if err != nil {
		return Revision{}, err
	}
	for _, step := range []struct {
		rev   Revision
		haves []plumbing.Hash
	}{{base, nil}, {head, []plumbing.Hash{plumbing.NewHash(base.Hash)}}} {
		if full.objects.has(step.rev) {
			continue
		}
		if err := r.download(ctx, full, step.rev, step.haves, 0); err != nil {
			full.retire()
			return Revision{}, err
		}
	}
	if err := full.fetched(r.loc.String(), base); err != nil {
		full.retire()
		return Revision{}, err
	}
	r.clone.retire()
	r.clone = full
	return full.objects.mergeBase(ctx, base, head)
}

// failure is an error of a library or a server in our words: its text went
// through the scrubber, and of its chain only what errors.Is may be asked for is
// left, so that nothing behind it can tell a secret.
type failure struct {
	text  string
	kinds []error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return f.kinds }

// fail turns an error into one that may leave the package.
func (r *Remote) fail(doing string, err error) error {
	f := &failure{kinds: kindsOf(err)}
	text := r.scrub.clean(err.Error())
	for _, kind := range f.kinds {
		if !strings.Contains(text, kind.Error()) {
			text = kind.Error() + ": " + text
		}
	}
	f.text = fmt.Sprintf("%s: %s: %s", r.loc, r.scrub.clean(doing), text)
	return f
}

// kindsOf finds the reasons of this package in an error of others.
func kindsOf(err error) []error {
	var kinds []error
	var limited *RateLimitError
	if errors.As(err, &limited) {
		kinds = append(kinds, limited)
	}
	for _, kind := range []error{
		context.Canceled, context.DeadlineExceeded,
		ErrInvalid, ErrAuth, ErrHostKey, ErrAddress, ErrRepositoryNotFound, ErrRefNotFound, ErrMoved,
		ErrContent, ErrTooLarge, ErrCertificate, ErrShallow, ErrNoMergeBase,
	} {
		if errors.Is(err, kind) {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) > 0 {
		return kinds
	}
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return []error{ErrAuth}
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return []error{ErrRepositoryNotFound}
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return []error{ErrRefNotFound}
	case errors.As(err, &certificate):
		return []error{ErrCertificate}
	case strings.Contains(err.Error(), "http redirect:"): // go-git has no value for it
		return []error{ErrAddress}
	}
	return nil
}
