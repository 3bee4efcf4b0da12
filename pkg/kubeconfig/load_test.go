package kubeconfig_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/kubeconfig"
)

// canary must never be seen in an error.
const canary = "canary-7f3a"

// document is a kubeconfig with the given body of its cluster and user.
func document(cluster, user string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {%s}}]
users: [{name: u, user: {%s}}]
`, cluster, user)
}

const (
	goodCluster = `server: "https://eu-1.example.com:6443"`
	goodUser    = `token: ` + canary
)

func TestLoad(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		cluster      string
		user         string
		opts         kubeconfig.Options
		want         string // part of the refusal; empty: allowed
	}{
		{name: "token", reason: "what join writes", cluster: goodCluster, user: goodUser},
		{name: "password", reason: "it stands in the document itself", cluster: goodCluster, user: "username: a, password: " + canary},
		{name: "exec", reason: "CVE-2022-24817: a program of the writer's choice", cluster: goodCluster,
			user: `exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/sh, args: [` + canary + `], interactiveMode: Never}`, want: "exec"},
		{name: "exec allowed", reason: "the operator may want plug-ins of a cloud", cluster: goodCluster,
			user: `exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/true, interactiveMode: Never}`, opts: kubeconfig.Options{AllowExec: true}},
		{name: "exec beside a token", reason: "a token does not make a plug-in harmless", cluster: goodCluster,
			user: goodUser + `, exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/sh, interactiveMode: Never}`, want: "exec"},
		{name: "auth-provider", reason: "gcp's ran commands", cluster: goodCluster,
			user: `auth-provider: {name: gcp, config: {cmd-path: /bin/sh}}`, want: "auth-provider"},
		{name: "tokenFile", reason: "the controller's own token would go to the server named here", cluster: goodCluster,
			user: "tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token", want: "tokenFile"},
		{name: "client-key", reason: "a file of the controller", cluster: goodCluster,
			user: "client-certificate: a.crt, client-key: a.key", want: "client-key"},
		{name: "certificate-authority", reason: "a file of the controller", cluster: goodCluster + ", certificate-authority: /etc/passwd",
			user: goodUser, want: "certificate-authority"},
		{name: "certificate-authority beside data", reason: "refused whether or not it would be read",
			cluster: goodCluster + ", certificate-authority: /etc/passwd, certificate-authority-data: YQ==", user: goodUser, want: "certificate-authority"},
		{name: "insecure", reason: "whoever answers gets the token", cluster: goodCluster + ", insecure-skip-tls-verify: true", user: goodUser, want: "insecure"},
		{name: "insecure allowed", reason: "a laboratory", cluster: goodCluster + ", insecure-skip-tls-verify: true", user: goodUser,
			opts: kubeconfig.Options{AllowInsecure: true}},
		{name: "http", reason: "the token would travel in clear", cluster: `server: "http://eu-1.example.com"`, user: goodUser, want: `"http"`},
		{name: "http allowed", reason: "a laboratory", cluster: `server: "http://eu-1.example.com"`, user: goodUser, opts: kubeconfig.Options{AllowInsecure: true}},
		{name: "file server", reason: "not an API server", cluster: `server: "file:///etc/passwd"`, user: goodUser, want: "absolute URL"},
		{name: "metadata address", reason: "SSRF: where a cloud serves the machine's credentials", cluster: `server: "https://169.254.169.254"`, user: goodUser, want: "link-local"},
		{name: "metadata address in IPv6", reason: "the same, mapped", cluster: `server: "https://[::ffff:169.254.169.254]:443"`, user: goodUser, want: "link-local"},
		{name: "metadata address as proxy", reason: "the same, one step on", cluster: goodCluster + `, proxy-url: "http://169.254.169.254"`, user: goodUser, want: "proxy-url"},
		{name: "user information", reason: "it would be printed with every error", cluster: `server: "https://me:` + canary + `@eu-1.example.com"`, user: goodUser, want: "user information"},
		{name: "broken URL", reason: "Go's message quotes the URL", cluster: `server: "https://me:` + canary + `@[::1"`, user: goodUser, want: "absolute URL"},
		{name: "no server", reason: "client-go would take localhost:8080", cluster: ``, user: goodUser, want: "missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := kubeconfig.Load([]byte(document(c.cluster, c.user)), c.opts)
			if c.want == "" {
				if err != nil || cfg == nil {
					t.Fatalf("%s: %v", c.reason, err)
				}
				return
			}
			if !errors.Is(err, kubeconfig.ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want a refusal that names %q", c.reason, err, c.want)
			}
			checkClean(t, err)
		})
	}
}

func checkClean(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("the error shows credentials: %v", err)
	}
}

func TestLoadTellsWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"empty", "", "no current context"},
		{"not YAML", "a: [" + canary, "not a kubeconfig"},
		{"a list", "- " + canary, "not a kubeconfig"},
		{"another kind", "apiVersion: v1\nkind: Secret\ndata: {a: " + canary + "}\n", "not a kubeconfig"},
		{"a field of the wrong type", strings.Replace(document(goodCluster, goodUser), "token: "+canary, "token: {"+canary+": 1}", 1), "not a kubeconfig"},
		{"a certificate that is none", document(goodCluster+", certificate-authority-data: Y2FuYXJ5LTdmM2E=", goodUser), "certificate or key"},
		{"no such context", strings.Replace(document(goodCluster, goodUser), "current-context: c", "current-context: d", 1), `no context "d"`},
		{"no such user", strings.Replace(document(goodCluster, goodUser), "user: u}", "user: v}", 1), `no user "v"`},
		{"no such cluster", strings.Replace(document(goodCluster, goodUser), "cluster: k,", "cluster: l,", 1), `no cluster "l"`},
		{"too large", strings.Repeat("#", 1<<20+1), "more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := kubeconfig.Load([]byte(c.data), kubeconfig.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			checkClean(t, err)
		})
	}
}

func TestLoadReadsTheChosenContextAlone(t *testing.T) {
	data := []byte(`apiVersion: v1
kind: Config
contexts:
- {name: good, context: {cluster: k, user: u}}
- {name: bad, context: {cluster: k, user: plugin}}
clusters: [{name: k, cluster: {server: "https://eu-1.example.com", tls-server-name: inner}}]
users:
- {name: u, user: {token: t}}
- {name: plugin, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Never}}}
`)
	cfg, err := kubeconfig.Load(data, kubeconfig.Options{Context: "good"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Host != "https://eu-1.example.com" || cfg.BearerToken != "t" || cfg.ServerName != "inner" || cfg.ExecProvider != nil {
		t.Errorf("got %v", cfg)
	}
	if _, err := kubeconfig.Load(data, kubeconfig.Options{Context: "bad"}); !errors.Is(err, kubeconfig.ErrRefused) {
		t.Errorf("the other context: %v", err)
	}
	if _, err := kubeconfig.Load(data, kubeconfig.Options{}); err == nil || !strings.Contains(err.Error(), "2 contexts") {
		t.Errorf("no context: %v", err)
	}
}

func TestLoadReadsFilesWhereAllowed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := kubeconfig.Load([]byte(document(goodCluster, "tokenFile: "+file)), kubeconfig.Options{AllowFiles: true})
	if err != nil || cfg.BearerTokenFile != file {
		t.Errorf("got %v, %v", cfg, err)
	}
}

func TestFromSecret(t *testing.T) {
	all := map[string][]byte{"kubeconfig": []byte("a"), "value": []byte("b"), "other": []byte("c"), "empty": {}}
	for _, c := range []struct {
		key     string
		entries map[string][]byte
		want    string
		err     string
	}{
		{entries: all, want: "a"},
		{entries: map[string][]byte{"value": []byte("b")}, want: "b"},
		{key: "other", entries: all, want: "c"},
		{key: "nothing", entries: all, err: `no entry "nothing"`},
		{key: "empty", entries: all, err: "empty"},
		{entries: nil, err: `"kubeconfig" or "value"`},
	} {
		got, err := kubeconfig.FromSecret(c.entries, c.key)
		if string(got) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("key %q of %d entries: got %q, %v", c.key, len(c.entries), got, err)
		}
	}
}

// FuzzLoad: whatever the bytes are, nothing that runs a program or reads a file comes out of them.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(document(goodCluster, goodUser)))
	f.Add([]byte(document(goodCluster, "tokenFile: /x")))
	f.Add([]byte(document(goodCluster, "exec: {apiVersion: client.authentication.k8s.io/v1, command: x}")))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := kubeconfig.Load(data, kubeconfig.Options{})
		if err == nil {
			checkHarmless(t, cfg)
		}
	})
}

func checkHarmless(t *testing.T, cfg *rest.Config) {
	t.Helper()
	if cfg.ExecProvider != nil || cfg.AuthProvider != nil || cfg.BearerTokenFile != "" || cfg.Insecure ||
		cfg.CAFile != "" || cfg.CertFile != "" || cfg.KeyFile != "" || !strings.HasPrefix(strings.ToLower(cfg.Host), "https://") {
		t.Errorf("allowed: %v", cfg)
	}
}
