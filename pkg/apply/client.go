package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// Media types. An answer to a write is asked for as metadata: the rest of the object is what we sent
// or what the watch tells.
const (
	acceptMetadata   = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
	acceptJSON       = "application/json"
	contentApply     = "application/apply-patch+yaml"
	contentJSONPatch = "application/json-patch+json"
)

// maxAnswer bounds the bytes of one answer. etcd keeps objects below 2 MiB.
const maxAnswer = 16 << 20

// client sends single requests to one cluster. It is thin on purpose: the hot path is one of these per
// object, so a body is encoded once and an answer decoded into the few fields that are needed.
type client struct {
	cluster string
	http    *http.Client
	base    string
	timeout time.Duration
	agent   string
	breaker *breaker
	limiter *limiter
	observe func(Request)
}

// newClient shares the transport that hc has.
func newClient(opts Options, cfg *rest.Config, hc *http.Client, b *breaker) (*client, error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("address of cluster %q: %w", opts.Name, err)
	}
	return &client{
		cluster: opts.Name, http: hc, base: strings.TrimSuffix(base.String(), "/"), timeout: opts.RequestTimeout,
		agent: cfg.UserAgent, breaker: b, limiter: newLimiter(opts.Concurrency), observe: opts.OnRequest,
	}, nil
}

// call is one request.
type call struct {
	// verb is the name of Request.Verb.
	verb, method, path string
	query              url.Values
	contentType        string
	accept             string
	body               []byte
	// identity is the service account to act as, as "namespace/name"; empty: ourselves.
	identity string
	// stands, if any, is asked before each attempt of a write whether it is still wanted.
	stands func() error
}

// answer is a response with a status below 400.
type answer struct {
	code int
	body []byte
}

// do sends one request and waits for its whole answer. An answer with a status of 400 or above is a
// *apierrors.StatusError; any other error means that there was no answer.
func (c *client) do(ctx context.Context, r call) (answer, error) {
	if err := c.breaker.allow(); err != nil {
		return answer{}, err
	}
	return c.doAnyway(ctx, r)
}

// doAnyway is do past the circuit breaker, for probes.
func (c *client) doAnyway(ctx context.Context, r call) (answer, error) {
	start := time.Now()
	ans, err := c.roundTrip(ctx, r)
	code := ans.code
	if status, ok := statusOf(err); ok {
		code = int(status.Code)
	}
	if ctx.Err() == nil || code != 0 {
		// A request that its caller gave up says nothing about the cluster.
		c.breaker.report(code != 0)
	}
	c.observe(Request{Cluster: c.cluster, Verb: r.verb, Code: code, Elapsed: time.Since(start)})
	return ans, err
}

func (c *client) roundTrip(ctx context.Context, r call) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Accept", r.accept)
	req.Header.Set("User-Agent", c.agent)
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if user := userOf(r.identity); user != "" {
		req.Header.Set("Impersonate-User", user)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: read the answer: %w", r.method, r.path, err)
	}
	if len(body) > maxAnswer {
		return answer{}, fmt.Errorf("%s %s: the answer has more than %d bytes", r.method, r.path, maxAnswer)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return answer{}, statusError(r, resp, body)
	}
	return answer{code: resp.StatusCode, body: body}, nil
}

// statusError turns an answer of 400 and above into the error that client-go would make of it.
func statusError(r call, resp *http.Response, body []byte) error {
	retryAfter := 0
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		retryAfter = s
	}
	var status metav1.Status
	if json.Unmarshal(body, &status) == nil && status.Kind == "Status" && status.Status == metav1.StatusFailure {
		status.Code = int32(resp.StatusCode)
		if retryAfter > 0 {
			if status.Details == nil {
				status.Details = &metav1.StatusDetails{}
			}
			status.Details.RetryAfterSeconds = max(status.Details.RetryAfterSeconds, int32(retryAfter))
		}
		return &apierrors.StatusError{ErrStatus: status}
	}
	// Not an API object: the checks of /readyz, a proxy's words, or a cut answer.
	message := failingChecks(strings.TrimSpace(string(body)))
	if len(message) > 200 {
		message = message[:200]
	}
	return apierrors.NewGenericServerResponse(resp.StatusCode, r.method, schema.GroupResource{}, "", message, retryAfter, true)
}

// failingChecks leaves of an answer of /readyz the names of the checks that fail; any other text stays as
// it is. An API server lists some forty checks, of which one or two say what is wrong.
func failingChecks(text string) string {
	var failing []string
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "[-]"); ok {
			name, _, _ = strings.Cut(name, " ")
			failing = append(failing, strings.TrimSpace(name))
		}
	}
	if len(failing) == 0 {
		return text
	}
	return "failing checks: " + strings.Join(failing, ", ")
}
