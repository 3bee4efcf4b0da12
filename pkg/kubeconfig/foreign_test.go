package kubeconfig_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/armada-sync/armada-sync/pkg/kubeconfig"
)

// A cluster Secret of Argo CD is a kubeconfig in other words, and the same rules hold for it.
func TestArgoCDSecrets(t *testing.T) {
	const server = "https://eu-1.example.com:6443"
	for _, c := range []struct {
		name, reason   string
		server, config string
		opts           kubeconfig.Options
		want           string // part of the refusal; empty: allowed
		refused        bool
	}{
		{name: "token", reason: "what argocd cluster add writes", server: server, config: `{"bearerToken": "` + canary + `", "tlsClientConfig": {"insecure": false, "serverName": "eu-1"}}`},
		{name: "password", reason: "basic authentication", server: server, config: `{"username": "a", "password": "` + canary + `"}`},
		{name: "insecure", reason: "whoever answers there gets the token", server: server,
			config: `{"bearerToken": "` + canary + `", "tlsClientConfig": {"insecure": true}}`, want: "does not verify", refused: true},
		{name: "insecure allowed", reason: "the operator may accept it", server: server, opts: kubeconfig.Options{AllowInsecure: true},
			config: `{"bearerToken": "` + canary + `", "tlsClientConfig": {"insecure": true}}`},
		{name: "exec", reason: "a program of the writer's choice (CVE-2022-24817)", server: server,
			config: `{"execProviderConfig": {"command": "/bin/sh", "args": ["` + canary + `"], "apiVersion": "client.authentication.k8s.io/v1"}}`, want: "exec", refused: true},
		{name: "exec allowed", reason: "the operator may allow it", server: server, opts: kubeconfig.Options{AllowExec: true},
			config: `{"execProviderConfig": {"command": "/bin/true", "env": {"A": "b"}, "apiVersion": "client.authentication.k8s.io/v1"}}`},
		{name: "aws", reason: "it means the identity of another pod", server: server,
			config: `{"awsAuthConfig": {"clusterName": "` + canary + `"}}`, want: "awsAuthConfig", refused: true},
		{name: "in-cluster", reason: "Argo CD uses its own account there", server: "https://kubernetes.default.svc", config: `{"tlsClientConfig": {}}`, want: "no credentials", refused: true},
		{name: "http", reason: "everybody on the way reads the token", server: "http://eu-1.example.com", config: `{"bearerToken": "` + canary + `"}`, want: "scheme", refused: true},
		{name: "metadata address", reason: "credentials of the machine", server: "https://169.254.169.254", config: `{"bearerToken": "` + canary + `"}`, want: "link-local", refused: true},
		{name: "not JSON", reason: "an error must not quote it", server: server, config: `{"bearerToken": ` + canary, want: "not what Argo CD writes"},
		{name: "no server", reason: "nothing to reach", config: `{"bearerToken": "` + canary + `"}`, want: `no entry "server"`},
		{name: "broken certificate", reason: "found now and not with the first request", server: server,
			config: `{"tlsClientConfig": {"certData": "YQ==", "keyData": "YQ=="}}`, want: "certificate or key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			entries := map[string][]byte{"config": []byte(c.config), "name": []byte("eu")}
			if c.server != "" {
				entries["server"] = []byte(c.server)
			}
			data, err := kubeconfig.FromArgoCD(entries)
			if err == nil {
				cfg, loadErr := kubeconfig.Load(data, c.opts)
				if err = loadErr; err == nil && cfg.Host != c.server {
					t.Errorf("%s: the server is %q", c.reason, cfg.Host)
				}
			}
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%s: refused: %v", c.reason, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%s: got %v, want %q", c.reason, err, c.want)
			case c.refused && !errors.Is(err, kubeconfig.ErrRefused):
				t.Errorf("%s: %v is no refusal", c.reason, err)
			case err != nil && strings.Contains(err.Error(), canary):
				t.Errorf("%s: the error quotes the Secret: %v", c.reason, err)
			}
		})
	}
	entries := map[string][]byte{"server": []byte(server), "config": []byte(`{"bearerToken": "x"}`)}
	if _, err := kubeconfig.FromSecret(entries, ""); err != nil {
		t.Errorf("a Cluster may refer to such a Secret directly: %v", err)
	}
}
