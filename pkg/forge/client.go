package forge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// attempts is how often a request is sent, maxWait the longest that is waited between two.
	attempts = 6
	maxWait  = 2 * time.Minute
	// requestTimeout is for one attempt.
	requestTimeout = 30 * time.Second
	// maxAnswer is the most bytes of an answer that are read, maxMessage of its error that are told.
	maxAnswer, maxMessage = 16 << 20, 300
	// maxPages is the most pages of comments: 100 on each.
	maxPages = 100
)

// errUncertain tells that it is not known whether a request was carried out.
var errUncertain = errors.New("it is not known whether it was carried out")

// client speaks to one API.
type client struct {
	http   *http.Client
	root   *url.URL
	header http.Header
	token  string
	wait   func(context.Context, time.Duration) error
	now    func() time.Time
}

// answerError is an answer that is no success.
type answerError struct {
	method, path string
	status       int
	message      string
}

func (e *answerError) Error() string {
	text := fmt.Sprintf("%s %s: %d %s", e.method, e.path, e.status, http.StatusText(e.status))
	if e.message != "" {
		text += ": " + e.message
	}
	return text
}

// hasStatus tells whether an error is an answer with one of some statuses.
func hasStatus(err error, statuses ...int) bool {
	var answer *answerError
	if !errors.As(err, &answer) {
		return false
	}
	for _, s := range statuses {
		if answer.status == s {
			return true
		}
	}
	return false
}

func newClient(t Target, o Options) (*client, error) {
	root, err := url.Parse(t.API)
	switch {
	case t.API == "":
		return nil, fmt.Errorf("the address of the API is not known: set --api-url")
	case err != nil || root.Host == "" || root.Scheme != "https" || root.User != nil || root.RawQuery != "":
		return nil, fmt.Errorf("the address of the API must be https://HOST/PATH, without a user or a query")
	case t.Token == "":
		return nil, fmt.Errorf("there is no token: set %s", strings.Join(tokenVariables(t.Kind), " or "))
	case t.Project == "":
		return nil, errors.New("the project is not known: set --project")
	case t.Kind == GitHub && t.Change == "" && t.Head != "" && t.Commit != "":
	case t.Change == "" || strings.Trim(t.Change, "0123456789") != "":
		return nil, fmt.Errorf("the number of the pull request is not known: set --pr (it is %q)", t.Change)
	case t.Commit != "" && !isHash(t.Commit):
		return nil, fmt.Errorf("the commit %q is not a full hash", t.Commit)
	}
	root.Path = strings.TrimRight(root.Path, "/")
	c := &client{root: root, token: t.Token, header: http.Header{}, wait: o.Wait, now: o.Now}
	if c.wait == nil {
		c.wait = wait
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.http = &http.Client{Transport: o.Transport, Timeout: requestTimeout, CheckRedirect: c.redirect}
	return c, nil
}

func isHash(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// redirect follows within the host alone, so that nobody else gets the token.
func (c *client) redirect(to *http.Request, via []*http.Request) error {
	if to.URL.Scheme != "https" || to.URL.Host != c.root.Host {
		return fmt.Errorf("the API leads to %q: set --api-url to it if that is meant", to.URL.Host)
	}
	if len(via) > 3 {
		return errors.New("the API leads in circles")
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// call sends a request with a JSON body and decodes the answer; both may be nil. The path is below the root
// or, for a next page, a whole address on the same host. It returns the address of the next page.
func (c *client) call(ctx context.Context, method, path string, body, into any) (next string, err error) {
	var raw []byte
	if body != nil {
		if raw, err = json.Marshal(body); err != nil {
			return "", fmt.Errorf("encode the request: %w", err)
		}
	}
	address, err := c.address(path)
	if err != nil {
		return "", err
	}
	for attempt := 1; ; attempt++ {
		answer, data, err := c.once(ctx, method, address, raw) //nolint:bodyclose // It is read whole and closed there.
		if err == nil && answer.StatusCode < 300 {
			return nextPage(answer), decode(data, into)
		}
		if err == nil {
			err = &answerError{method, address.Path, answer.StatusCode, c.message(data)}
		}
		after, again := c.retry(method, answer, data, attempt)
		if !again || attempt >= attempts || ctx.Err() != nil {
			if method == http.MethodPost && (answer == nil || answer.StatusCode >= 500) && ctx.Err() == nil {
				return "", fmt.Errorf("%w: %w", err, errUncertain)
			}
			return "", err
		}
		if werr := c.wait(ctx, after); werr != nil {
			return "", fmt.Errorf("%w (gave up waiting: %w)", err, werr)
		}
	}
}

func decode(data []byte, into any) error {
	if into == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

func (c *client) address(path string) (*url.URL, error) {
	if !strings.Contains(path, "://") {
		return url.Parse(c.root.String() + path)
	}
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "https" || u.Host != c.root.Host {
		return nil, errors.New("the next page is on another host")
	}
	return u, nil
}

func (c *client) once(ctx context.Context, method string, address *url.URL, body []byte) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", method, address.Path, err)
	}
	r.Header = c.header.Clone()
	r.Header.Set("Accept", cmp.Or(c.header.Get("Accept"), "application/json"))
	r.Header.Set("User-Agent", "armada-sync")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %s", method, address.Path, c.scrub(err.Error()))
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil || len(data) > maxAnswer {
		return nil, nil, fmt.Errorf("%s %s: the answer cannot be read whole", method, address.Path)
	}
	return answer, data, nil
}

// retry tells whether to send a request again, and after what time. A POST that may have been carried out is
// not sent again.
func (c *client) retry(method string, answer *http.Response, data []byte, attempt int) (time.Duration, bool) {
	after := min(time.Second<<(attempt-1), maxWait)
	if answer == nil {
		return after, method != http.MethodPost
	}
	limited := answer.StatusCode == http.StatusTooManyRequests
	if answer.StatusCode == http.StatusForbidden {
		limited = answer.Header.Get("Retry-After") != "" || answer.Header.Get("X-RateLimit-Remaining") == "0" ||
			strings.Contains(strings.ToLower(string(data)), "secondary rate limit")
	}
	if limited && answer.Header.Get("Retry-After") == "" && strings.Contains(strings.ToLower(string(data)), "secondary rate limit") {
		// GitHub asks for at least a minute where it does not say more.
		after = max(after, time.Minute)
	}
	if told := c.toldToWait(answer.Header); told > 0 {
		after = min(told, maxWait)
	}
	switch answer.StatusCode {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return after, method != http.MethodPost
	}
	return after, limited
}

// toldToWait reads Retry-After, in seconds or as a date, and the time at which a limit ends.
func (c *client) toldToWait(h http.Header) time.Duration {
	if text := h.Get("Retry-After"); text != "" {
		if seconds, err := strconv.Atoi(text); err == nil {
			return time.Duration(max(seconds, 0)) * time.Second
		}
		if at, err := http.ParseTime(text); err == nil {
			return max(at.Sub(c.now()), 0)
		}
	}
	if h.Get("X-RateLimit-Remaining") == "0" {
		if at, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil {
			return max(time.Unix(at, 0).Sub(c.now()), 0)
		}
	}
	return 0
}

// message is what an error answer says, short and without the token.
func (c *client) message(data []byte) string {
	var said struct {
		Message any `json:"message"`
		Error   any `json:"error"`
		Errors  any `json:"errors"`
	}
	text := string(data)
	if json.Unmarshal(data, &said) == nil && (said.Message != nil || said.Error != nil) {
		text = ""
		for _, part := range []any{said.Message, said.Error, said.Errors} {
			if part == nil {
				continue
			}
			raw, isText := part.(string)
			if !isText {
				encoded, _ := json.Marshal(part) //nolint:errchkjson // It was decoded from JSON.
				raw = string(encoded)
			}
			text = strings.TrimSpace(text + " " + raw)
		}
	}
	return c.scrub(text)
}

func (c *client) scrub(text string) string {
	text = strings.ReplaceAll(text, c.token, "***")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > maxMessage {
		text = string(runes[:maxMessage]) + "…"
	}
	return strings.TrimSpace(text)
}

// linkNext finds the next page in a Link header (RFC 8288), which all three forges send.
var linkNext = regexp.MustCompile(`<([^>]+)>\s*;[^,]*\brel="?next"?`)

func nextPage(answer *http.Response) string {
	m := linkNext.FindStringSubmatch(strings.Join(answer.Header.Values("Link"), ", "))
	if m == nil {
		return ""
	}
	return m[1]
}

// pages calls visit for each page of a list.
func pages[T any](ctx context.Context, c *client, path string, visit func([]T)) error {
	for range maxPages {
		var page []T
		next, err := c.call(ctx, http.MethodGet, path, nil, &page)
		if err != nil {
			return err
		}
		visit(page)
		if next == "" {
			return nil
		}
		path = next
	}
	return fmt.Errorf("more than %d pages of comments", maxPages)
}
