package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshTransport gives sessions over SSH. It is not go-git's: that one takes host
// names and ports from ~/.ssh/config, proxies from the environment and keys
// from an agent, and lets no one look at the address it dials.
type sshTransport struct {
	loc        location
	rule       addressRule
	limits     Limits
	idle       time.Duration
	user       string
	auth       []ssh.AuthMethod
	agent      string
	verify     ssh.HostKeyCallback
	algorithms []string
}

func newSSHTransport(loc location, c Credentials, o Options) (*sshTransport, error) {
	t := &sshTransport{
		loc: loc, rule: addressRule{allowLoopback: o.AllowLoopback}, limits: o.Limits,
		idle: o.IdleTimeout, user: loc.user, agent: o.SSHAgentSocket,
	}
	if t.user == "" {
		t.user = c.Username
	}
	if t.user == "" {
		t.user = "git"
	}
	switch {
	case len(c.Identity) > 0:
		signer, err := parseIdentity(c)
		if err != nil {
			return nil, err
		}
		t.auth = append(t.auth, ssh.PublicKeys(signer))
	case c.Password != "":
		t.auth = append(t.auth, ssh.Password(c.Password))
	case t.agent == "":
		return nil, fmt.Errorf("%w: no SSH key: give identity (and password, if the key has a passphrase)", ErrAuth)
	}
	var err error
	t.verify, t.algorithms, err = hostKeys(loc.address(), c.KnownHosts, o.KnownHostsFiles)
	return t, err
}

// parseIdentity reads the private key. The parser's errors do not quote it, but
// say no more than these either.
func parseIdentity(c Credentials) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(c.Identity)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		if c.Password == "" {
			return nil, fmt.Errorf("%w: the SSH key has a passphrase: give it as password", ErrAuth)
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(c.Identity, []byte(c.Password))
		if err != nil {
			return nil, fmt.Errorf("%w: the password does not open the SSH key", ErrAuth)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: credentials: identity is not a private SSH key in PEM", ErrInvalid)
	}
	return signer, nil
}

// hostKeys gives the check of the server's key against known_hosts, and which
// kinds of keys to ask the server for: those that are known.
func hostKeys(address string, lines []byte, files []string) (ssh.HostKeyCallback, []string, error) {
	if len(lines) > 0 {
		f, err := os.CreateTemp("", "known_hosts-*")
		if err != nil {
			return nil, nil, fmt.Errorf("known_hosts: %w", err)
		}
		defer os.Remove(f.Name())
		defer f.Close()
		if _, err := f.Write(lines); err != nil {
			return nil, nil, fmt.Errorf("known_hosts: %w", err)
		}
		files = []string{f.Name()}
	}
	files = slices.DeleteFunc(slices.Clone(files), func(name string) bool {
		_, err := os.Stat(name)
		return errors.Is(err, os.ErrNotExist)
	})
	if len(files) == 0 {
		return nil, nil, fmt.Errorf("%w: no known_hosts are given, so no SSH server is trusted", ErrHostKey)
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: known_hosts cannot be read: %w", ErrInvalid, err)
	}
	check := func(host string, remote net.Addr, key ssh.PublicKey) error {
		return explainHostKey(known(host, remote, key), host, key)
	}
	return check, knownAlgorithms(known, address), nil
}

func explainHostKey(err error, host string, key ssh.PublicKey) error {
	if err == nil {
		return nil
	}
	offered := key.Type() + " " + ssh.FingerprintSHA256(key)
	var unknown *knownhosts.KeyError
	switch {
	case errors.As(err, &unknown) && len(unknown.Want) == 0:
		return fmt.Errorf("%w: %s is not in known_hosts; it offers %s. If that is right, add the line %q",
			ErrHostKey, host, offered, knownhosts.Line([]string{knownhosts.Normalize(host)}, key))
	case errors.As(err, &unknown):
		return fmt.Errorf("%w: %s offers %s, known_hosts has another key for it: the server was changed, or someone is in between", ErrHostKey, host, offered)
	}
	return fmt.Errorf("%w: %s offers %s: %w", ErrHostKey, host, offered, err)
}

// knownAlgorithms asks the callback with a key that nobody has, which makes it
// tell the keys that it would take.
func knownAlgorithms(known ssh.HostKeyCallback, address string) []string {
	var want *knownhosts.KeyError
	if err := known(address, &net.TCPAddr{IP: net.IPv4zero}, nobodysKey{}); !errors.As(err, &want) {
		return nil
	}
	var out []string
	for _, k := range want.Want {
		switch t := k.Key.Type(); t {
		case ssh.KeyAlgoRSA:
			out = append(out, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			out = append(out, t)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

type nobodysKey struct{}

func (nobodysKey) Type() string                        { return "nobody" }
func (nobodysKey) Marshal() []byte                     { return []byte("nobody") }
func (nobodysKey) Verify([]byte, *ssh.Signature) error { return errors.New("nobody's key") }

func (t *sshTransport) close() {}

// open connects, proves who both sides are, and starts git-upload-pack. The
// session ends with ctx.
func (t *sshTransport) open(ctx context.Context) (transport.UploadPackSession, error) {
	conn, err := t.rule.dial(ctx, "tcp", t.loc.address())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	s := &sshSession{limits: t.limits, stop: stop}
	if err := s.start(t, &idleConn{Conn: conn, idle: t.idle}); err != nil {
		stop()
		_ = conn.Close()
		return nil, errors.Join(context.Cause(ctx), err)
	}
	return s, nil
}

// idleConn fails a read that gets nothing for too long.
type idleConn struct {
	net.Conn
	idle time.Duration
}

func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// sshSession is git-upload-pack on the other side.
type sshSession struct {
	client  *ssh.Client
	session *ssh.Session
	agent   net.Conn
	stdin   io.WriteCloser
	stdout  io.Reader
	stderr  *headBuffer
	adv     *packp.AdvRefs
	limits  Limits
	stop    func() bool
}

func (s *sshSession) start(t *sshTransport, conn net.Conn) error {
	auth := slices.Clone(t.auth)
	if t.agent != "" {
		//nolint:noctx // The session has no context of its own: stop ends it, and this socket is on this machine.
		agentConn, err := net.DialTimeout("unix", t.agent, dialTimeout)
		if err != nil {
			return fmt.Errorf("%w: SSH agent: %w", ErrAuth, err)
		}
		s.agent = agentConn
		auth = append(auth, ssh.PublicKeysCallback(agent.NewClient(s.agent).Signers))
	}
	c, channels, requests, err := ssh.NewClientConn(conn, t.loc.address(), &ssh.ClientConfig{
		User: t.user, Auth: auth, HostKeyCallback: t.verify, HostKeyAlgorithms: t.algorithms,
		ClientVersion: "SSH-2.0-armada-sync",
	})
	if err != nil {
		s.closeAgent()
		if strings.Contains(err.Error(), "unable to authenticate") {
			return fmt.Errorf("%w: the server takes none of what user %q offers", ErrAuth, t.user)
		}
		return err
	}
	s.client = ssh.NewClient(c, channels, requests)
	if err := s.run(t.loc.path); err != nil {
		_ = s.Close()
		return err
	}
	return nil
}

func (s *sshSession) run(path string) (err error) {
	if s.session, err = s.client.NewSession(); err != nil {
		return err
	}
	if s.stdin, err = s.session.StdinPipe(); err != nil {
		return err
	}
	stdout, err := s.session.StdoutPipe()
	if err != nil {
		return err
	}
	s.stdout = stdout
	s.stderr = &headBuffer{}
	s.session.Stderr = s.stderr
	if strings.HasPrefix(path, "/~") {
		path = path[1:] // a home folder, as git's own client writes it
	}
	return s.session.Start("git-upload-pack " + shellQuote(path))
}

// shellQuote is Git's sq_quote_buf: single quotes around, and the two
// characters that mean something inside them for some shell written apart.
func shellQuote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}

// headBuffer keeps the beginning of what is written to it.
type headBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *headBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := 4096 - b.buf.Len(); room > 0 {
		b.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *headBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// AdvertisedReferences implements transport.Session.
func (s *sshSession) AdvertisedReferences() (*packp.AdvRefs, error) {
	if s.adv != nil {
		return s.adv, nil
	}
	adv := packp.NewAdvRefs()
	in := &limitReader{r: s.stdout, left: s.limits.MaxAdvertisedBytes, what: "the list of refs"}
	err := adv.Decode(in)
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && adv.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case errors.Is(err, packp.ErrEmptyInput):
		return nil, s.complaint(err)
	case err != nil:
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	s.adv = adv
	return adv, nil
}

// AdvertisedReferencesContext implements transport.Session. The session's
// context is the one it was opened with.
func (s *sshSession) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	return s.AdvertisedReferences()
}

// complaint is what the server said instead of refs. It has ended by then.
func (s *sshSession) complaint(err error) error {
	_ = s.session.Wait() // its status says less than what it wrote
	text := strings.TrimSpace(s.stderr.String())
	lower := strings.ToLower(text)
	for _, sign := range []string{"not found", "does not appear to be a git repository", "does not exist", "could not be found", "no such repository"} {
		if strings.Contains(lower, sign) {
			return fmt.Errorf("%w: the server says %q", ErrRepositoryNotFound, text)
		}
	}
	for _, sign := range []string{"permission denied", "access denied", "not authorized", "do not have access"} {
		if strings.Contains(lower, sign) {
			return fmt.Errorf("%w: the server says %q", ErrAuth, text)
		}
	}
	return fmt.Errorf("the server sent no refs and says %q: %w", text, err)
}

// UploadPack implements transport.UploadPackSession.
func (s *sshSession) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	w := bufio.NewWriter(s.stdin)
	if err := req.UploadRequest.Encode(w); err != nil {
		return nil, err
	}
	if err := req.UploadHaves.Encode(w, true); err != nil {
		return nil, err
	}
	if err := pktline.NewEncoder(w).EncodeString("done\n"); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	if err := s.stdin.Close(); err != nil {
		return nil, err
	}
	res := packp.NewUploadPackResponse(req)
	in := &limitReader{r: s.stdout, left: maxAnswer(s.limits), what: "the pack"}
	if err := res.Decode(io.NopCloser(in)); err != nil {
		return nil, err
	}
	return res, nil
}

// Close ends the connection.
func (s *sshSession) Close() error {
	s.stop()
	if s.session != nil {
		_ = s.session.Close() // the connection goes with it
	}
	s.closeAgent()
	return s.client.Close()
}

func (s *sshSession) closeAgent() {
	if s.agent != nil {
		_ = s.agent.Close()
	}
}
