package kubeconfig

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ErrRefused tells that a kubeconfig asks for something that is not allowed. Trying again does not
// help: somebody has to write another kubeconfig, or to allow it.
var ErrRefused = errors.New("refused")

// maxSize bounds a kubeconfig. A Secret cannot hold more.
const maxSize = 1 << 20

// Options say what a kubeconfig may ask for beyond an https address, its authority, and a token, a
// password or a client certificate in the document itself. The zero value allows none of it.
type Options struct {
	// Context selects a context. Default: the document's current context, or its only one.
	Context string
	// AllowExec allows a credential plug-in: a program that is run with the rights of the controller.
	AllowExec bool
	// AllowAuthProvider allows one of client-go's built-in providers, which may read files and run
	// programs.
	AllowAuthProvider bool
	// AllowFiles allows a certificate, key or token to be read from a file.
	AllowFiles bool
	// AllowInsecure allows plain http and servers whose certificate is not verified: whoever answers
	// there gets the credentials.
	AllowInsecure bool
}

// Load returns how to reach the cluster of one context of a kubeconfig. Only that context and what it
// names is looked at. An error wraps ErrRefused where the document is understood and not allowed; no
// error contains credentials or any other text of the document beyond names of contexts, users and
// clusters.
func Load(data []byte, opts Options) (*rest.Config, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("the kubeconfig has %d bytes, more than %d", len(data), maxSize)
	}
	all, err := clientcmd.Load(data)
	if err != nil {
		return nil, fmt.Errorf("this is not a kubeconfig%s", lineOf(err))
	}
	one, err := only(all, opts.Context)
	if err != nil {
		return nil, err
	}
	return FromParts(one.Clusters[theName], one.AuthInfos[theName], opts)
}

// FromSecret picks the kubeconfig from the entries of a Secret: the one of the key, or without a key
// "kubeconfig" and else "value", as Cluster API writes it.
//
// The Secret of an Argo CD cluster has neither; its server and credentials are put together.
func FromSecret(entries map[string][]byte, key string) ([]byte, error) {
	keys := []string{"kubeconfig", "value"}
	if key != "" {
		keys = []string{key}
	}
	for _, k := range keys {
		if data, ok := entries[k]; ok {
			if len(data) == 0 {
				return nil, fmt.Errorf("the entry %q of the Secret is empty", k)
			}
			return data, nil
		}
	}
	if _, ok := entries[argoServer]; ok && key == "" {
		return FromArgoCD(entries)
	}
	return nil, fmt.Errorf("the Secret has no entry %s", strings.Join(quoted(keys), " or "))
}

func quoted(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = fmt.Sprintf("%q", w)
	}
	return out
}

// theName is the name of the only context, cluster and user of what only returns.
const theName = "member"

// only reduces a kubeconfig to one context.
func only(all *clientcmdapi.Config, name string) (*clientcmdapi.Config, error) {
	if name == "" {
		name = all.CurrentContext
	}
	if name == "" && len(all.Contexts) == 1 {
		for name = range all.Contexts {
			break
		}
	}
	if name == "" {
		return nil, fmt.Errorf("the kubeconfig has no current context and %d contexts to choose from", len(all.Contexts))
	}
	context := all.Contexts[name]
	if context == nil {
		return nil, fmt.Errorf("the kubeconfig has no context %q", name)
	}
	cluster, user := all.Clusters[context.Cluster], all.AuthInfos[context.AuthInfo]
	if cluster == nil {
		return nil, fmt.Errorf("context %q of the kubeconfig: no cluster %q", name, context.Cluster)
	}
	if user == nil {
		return nil, fmt.Errorf("context %q of the kubeconfig: no user %q", name, context.AuthInfo)
	}
	return joined(cluster, user), nil
}

// check holds a cluster and a user against what is allowed and names everything that is not.
func (o Options) check(cluster *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) error {
	var refused []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			refused = append(refused, fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...))
		}
	}
	refuse(user.Exec != nil && !o.AllowExec, "the kubeconfig runs a credential plug-in (exec)")
	refuse(user.AuthProvider != nil && !o.AllowAuthProvider, "the kubeconfig uses an auth-provider")
	for _, f := range []struct{ field, path string }{
		{"certificate-authority", cluster.CertificateAuthority},
		{"client-certificate", user.ClientCertificate},
		{"client-key", user.ClientKey},
		{"tokenFile", user.TokenFile},
	} {
		refuse(f.path != "" && !o.AllowFiles, "the kubeconfig reads a file (%s); put its content into the document", f.field)
	}
	refuse(cluster.InsecureSkipTLSVerify && !o.AllowInsecure, "the kubeconfig does not verify the server (insecure-skip-tls-verify)")
	schemes := []string{"https"}
	if o.AllowInsecure {
		schemes = append(schemes, "http")
	}
	if why := wrongAddress(cluster.Server, schemes); why != "" {
		refuse(true, "the server of the kubeconfig %s", why)
	}
	if cluster.ProxyURL != "" {
		if why := wrongAddress(cluster.ProxyURL, []string{"https", "http", "socks5"}); why != "" {
			refuse(true, "the proxy-url of the kubeconfig %s", why)
		}
	}
	return errors.Join(refused...)
}

// wrongAddress says what is wrong with an address, without quoting it: it may carry a password.
// Link-local addresses are where clouds serve the credentials of a machine.
func wrongAddress(address string, schemes []string) string {
	u, err := url.Parse(address)
	switch {
	case address == "":
		return "is missing"
	case err != nil || u.Host == "":
		return "is not an absolute URL"
	case !slices.Contains(schemes, u.Scheme):
		return fmt.Sprintf("has the scheme %q, want %s", u.Scheme, strings.Join(schemes, ", "))
	case u.User != nil:
		return "has user information in its URL"
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		ip = ip.Unmap()
		if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
			return "is a link-local, multicast or unspecified address"
		}
	}
	return ""
}

// usable tells that certificates and keys can be read, so that a fault in them is found when the
// kubeconfig is written and not with the first request.
func usable(cfg *rest.Config) error {
	if _, err := rest.TLSConfigFor(cfg); err != nil {
		return errors.New("the kubeconfig has a certificate or key that cannot be used")
	}
	return nil
}

// lineNumber finds the line in the message of a YAML parser, which may quote what stands there.
var lineNumber = regexp.MustCompile(`\bline (\d+)\b`)

func lineOf(err error) string {
	if m := lineNumber.FindStringSubmatch(err.Error()); m != nil {
		return " (line " + m[1] + ")"
	}
	return ""
}
