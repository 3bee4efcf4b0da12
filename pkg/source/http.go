package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// httpTransport gives sessions over http and https. go-git's transport speaks
// the protocol, keeps credentials to the host that they are for, and refuses
// redirects to other schemes; below it are an http.Client and dialer of this
// source's own.
type httpTransport struct {
	transport transport.Transport
	base      *http.Transport
	loc       location
	auth      githttp.AuthMethod
}

func newHTTPTransport(loc location, c Credentials, o Options) (*httpTransport, error) {
	tlsConfig, err := tlsConfig(c)
	if err != nil {
		return nil, err
	}
	rule := addressRule{allowLoopback: o.AllowLoopback, onlyLoopback: loc.scheme == "http" && !o.AllowPlainHTTP}
	d := &proxyAwareDialer{rule: rule}
	base := &http.Transport{
		DialContext:            d.dial,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  o.IdleTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           2,
		IdleConnTimeout:        90 * time.Second,
	}
	if o.Proxy != nil {
		base.Proxy = d.remember(o.Proxy)
	}
	guard := &guardedTripper{base: base, rule: rule, limits: o.Limits, idle: o.IdleTimeout}
	t := &httpTransport{
		transport: githttp.NewClientWithOptions(&http.Client{Transport: guard},
			&githttp.ClientOptions{RedirectPolicy: githttp.FollowInitialRedirects}),
		base: base,
		loc:  loc,
	}
	switch {
	case c.BearerToken != "":
		t.auth = &githttp.TokenAuth{Token: c.BearerToken}
	case c.Username != "" || c.Password != "":
		t.auth = &githttp.BasicAuth{Username: c.Username, Password: c.Password}
	}
	return t, nil
}

func tlsConfig(c Credentials) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(c.CA) {
			return nil, fmt.Errorf("%w: credentials: ca.crt holds no certificate in PEM", ErrInvalid)
		}
		cfg.RootCAs = pool
	}
	if len(c.ClientKey) > 0 {
		pair, err := tls.X509KeyPair(c.ClientCertificate, c.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("%w: credentials: tls.crt and tls.key are not a pair in PEM", ErrInvalid)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// open starts a session. The endpoint is made anew because go-git rewrites it
// when the server redirects.
func (t *httpTransport) open(context.Context) (transport.UploadPackSession, error) {
	ep := &transport.Endpoint{Protocol: t.loc.scheme, Host: t.loc.host, Port: t.loc.port, Path: (&url.URL{Path: t.loc.path}).EscapedPath()}
	if strings.Contains(ep.Host, ":") {
		ep.Host = "[" + ep.Host + "]"
	}
	if t.auth == nil {
		return t.transport.NewUploadPackSession(ep, nil)
	}
	return t.transport.NewUploadPackSession(ep, t.auth)
}

func (t *httpTransport) close() { t.base.CloseIdleConnections() }

// proxyAwareDialer applies the rule to what it dials, apart from proxies: the
// administrator named those, and they may well be on this machine.
type proxyAwareDialer struct {
	rule    addressRule
	proxies sync.Map // host:port
}

func (d *proxyAwareDialer) remember(next func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(req *http.Request) (*url.URL, error) {
		u, err := next(req)
		if u != nil {
			port := u.Port()
			if port == "" {
				port = map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
			}
			if port == "" {
				port = "80"
			}
			d.proxies.Store(net.JoinHostPort(u.Hostname(), port), true)
		}
		return u, err
	}
}

func (d *proxyAwareDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if _, isProxy := d.proxies.Load(address); isProxy {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
	}
	return d.rule.dial(ctx, network, address)
}

// guardedTripper bounds what a server may send and how slowly, and turns its
// requests to come back later into errors before go-git drops the header.
type guardedTripper struct {
	base   http.RoundTripper
	rule   addressRule
	limits Limits
	idle   time.Duration
}

// maxErrorBody is how much of an error page is looked at.
const maxErrorBody = 64 << 10

// maxAnswer is a pack with side-band headers, progress and keep-alives on top.
func maxAnswer(l Limits) int64 { return l.MaxPackBytes + l.MaxPackBytes/8 + 1<<20 }

func (g *guardedTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	// A proxy resolves names itself; addresses written out are checked here too.
	if a, err := netip.ParseAddr(strings.Trim(req.URL.Hostname(), "[]")); err == nil {
		if err := g.rule.check(a); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	res, err := g.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if limited := rateLimit(res, time.Now()); limited != nil {
		_ = res.Body.Close() // nothing of it is of use
		cancel(nil)
		return nil, limited
	}
	body := &guardedBody{body: res.Body, cancel: cancel, idle: g.idle}
	switch {
	case res.StatusCode >= 300:
		body.r = io.LimitReader(res.Body, maxErrorBody)
	case strings.HasSuffix(req.URL.Path, "/info/refs"):
		body.r = &limitReader{r: res.Body, left: g.limits.MaxAdvertisedBytes, what: "the list of refs"}
	default:
		body.r = &limitReader{r: res.Body, left: maxAnswer(g.limits), what: "the pack"}
	}
	body.timer = time.AfterFunc(g.idle, func() { cancel(errIdle) })
	res.Body = body
	return res, nil
}

// errIdle marks a server that stopped talking.
var errIdle = errors.New("the server sent nothing for too long")

// guardedBody ends a response whose server stops sending.
type guardedBody struct {
	r      io.Reader
	body   io.Closer
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer
}

func (b *guardedBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == nil {
		b.timer.Reset(b.idle)
	} else if !b.timer.Stop() && !errors.Is(err, io.EOF) {
		err = errors.Join(errIdle, err)
	}
	return n, err
}

func (b *guardedBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.body.Close()
}

// rateLimit recognises a request to come back later: 429, 503 with Retry-After,
// and GitHub's 403 with Retry-After or no requests remaining.
func rateLimit(res *http.Response, now time.Time) *RateLimitError {
	after, told := retryAfter(res.Header, now)
	switch res.StatusCode {
	case http.StatusTooManyRequests:
	case http.StatusServiceUnavailable:
		if !told {
			return nil
		}
	case http.StatusForbidden:
		if !told && res.Header.Get("X-RateLimit-Remaining") != "0" {
			return nil
		}
	default:
		return nil
	}
	return &RateLimitError{Status: res.StatusCode, After: after}
}

// maxRetryAfter bounds what a server can make us wait.
const maxRetryAfter = time.Hour

// retryAfter reads Retry-After in both its forms (RFC 9110, 10.2.3), or
// GitHub's and GitLab's reset time.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now).Round(time.Second), 0), maxRetryAfter), true
	}
	for _, name := range []string{"X-RateLimit-Reset", "RateLimit-Reset"} {
		if unix, err := strconv.ParseInt(h.Get(name), 10, 63); err == nil && h.Get("X-RateLimit-Remaining") == "0" {
			return min(max(time.Unix(unix, 0).Sub(now).Round(time.Second), 0), maxRetryAfter), true
		}
	}
	return 0, false
}
