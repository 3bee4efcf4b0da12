package register_test

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/register"
)

const canary = "canary-7f3a"

// A cluster that cannot be a member says why, and what to do, without the token.
func TestProbeSaysWhatIsWrong(t *testing.T) {
	version := func(v string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]string{"gitVersion": v, "major": "1", "minor": "0"})
		}
	}
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		}
	}
	for _, c := range []struct {
		name    string
		answer  http.HandlerFunc
		change  func(*rest.Config)
		want    register.Reason
		message string
	}{
		{name: "too old", answer: version("v1.27.16-eks-1"), want: register.ReasonVersion, message: "v1.27.16-eks-1; upgrade it to 1.28"},
		{name: "much too old", answer: version("v0.99.0"), want: register.ReasonVersion, message: "upgrade"},
		{name: "no version at all", answer: version("nightly"), want: register.ReasonVersion, message: "upgrade"},
		{name: "expired token", answer: status(http.StatusUnauthorized, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}`),
			want: register.ReasonCredentials, message: "wrong, revoked or expired; log in again"},
		{name: "forbidden", answer: status(http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`),
			want: register.ReasonForbidden, message: "forbids it"},
		{name: "starting", answer: status(http.StatusServiceUnavailable, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"ServiceUnavailable","code":503,"message":"starting"}`),
			want: register.ReasonNotReady, message: "try again"},
		{name: "not an API server", answer: status(http.StatusOK, "<html>welcome</html>"), want: register.ReasonUnreachable, message: "check the address"},
		{name: "another authority", answer: version("v1.36.0"), change: func(cfg *rest.Config) { cfg.CAData = nil },
			want: register.ReasonUntrusted, message: "certificate authority into the kubeconfig"},
		{name: "another name", answer: version("v1.36.0"), change: func(cfg *rest.Config) { cfg.ServerName = "eu-1.example.org" },
			want: register.ReasonUntrusted, message: "is not trusted"},
		{name: "nobody there", answer: version("v1.36.0"), change: func(cfg *rest.Config) { cfg.Host = "https://127.0.0.1:1" },
			want: register.ReasonUnreachable, message: "127.0.0.1:1 cannot be reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewTLSServer(c.answer)
			defer server.Close()
			cfg := &rest.Config{Host: server.URL, BearerToken: canary}
			cfg.CAData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
			if c.change != nil {
				c.change(cfg)
			}
			_, err := register.Probe(t.Context(), cfg)
			var got *register.ProbeError
			if !errors.As(err, &got) || got.Reason != c.want || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %v, want %s with %q", err, c.want, c.message)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}
