package kubeconfig

import (
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The marks of an Argo CD cluster Secret: the label by which Argo CD knows it, and its entries.
const (
	LabelArgoCD   = "argocd.argoproj.io/secret-type"
	ArgoCDCluster = "cluster"

	argoServer = "server"
	argoConfig = "config"
	argoName   = "name"
)

// argoCredentials is what Argo CD keeps under "config", as far as it can be used elsewhere.
type argoCredentials struct {
	Username    string `json:"username"`
	Password    string `json:"password"`
	BearerToken string `json:"bearerToken"`
	TLS         struct {
		Insecure   bool   `json:"insecure"`
		ServerName string `json:"serverName"`
		CAData     []byte `json:"caData"`
		CertData   []byte `json:"certData"`
		KeyData    []byte `json:"keyData"`
	} `json:"tlsClientConfig"`
	Exec *struct {
		Command    string            `json:"command"`
		Args       []string          `json:"args"`
		Env        map[string]string `json:"env"`
		APIVersion string            `json:"apiVersion"`
	} `json:"execProviderConfig"`
	AWS                *json.RawMessage `json:"awsAuthConfig"`
	ProxyURL           string           `json:"proxyUrl"`
	DisableCompression bool             `json:"disableCompression"`
}

// ArgoCDName is the name that an Argo CD cluster Secret gives its cluster; empty where it gives none.
func ArgoCDName(entries map[string][]byte) string { return string(entries[argoName]) }

// FromArgoCD makes a kubeconfig of the entries of an Argo CD cluster Secret. What it asks for is judged where
// the kubeconfig is loaded, by the same rules as any other. An error wraps ErrRefused where the Secret
// has no credentials of its own; none quotes the Secret.
func FromArgoCD(entries map[string][]byte) ([]byte, error) {
	if len(entries[argoServer]) == 0 {
		return nil, fmt.Errorf("the Secret of Argo CD has no entry %q", argoServer)
	}
	var c argoCredentials
	if len(entries[argoConfig]) > 0 {
		// The words of the decoder may quote the document.
		if json.Unmarshal(entries[argoConfig], &c) != nil {
			return nil, fmt.Errorf("the entry %q of the Secret of Argo CD is not what Argo CD writes", argoConfig)
		}
	}
	if c.AWS != nil {
		return nil, fmt.Errorf("%w: the Secret of Argo CD uses awsAuthConfig, which takes the identity of Argo CD's own pod; give it a bearerToken or a client certificate", ErrRefused)
	}
	user := &clientcmdapi.AuthInfo{
		Username: c.Username, Password: c.Password, Token: c.BearerToken,
		ClientCertificateData: c.TLS.CertData, ClientKeyData: c.TLS.KeyData,
	}
	if e := c.Exec; e != nil {
		user.Exec = &clientcmdapi.ExecConfig{
			Command: e.Command, Args: e.Args, APIVersion: e.APIVersion, InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		}
		for name, value := range e.Env {
			user.Exec.Env = append(user.Exec.Env, clientcmdapi.ExecEnvVar{Name: name, Value: value})
		}
	}
	if user.Exec == nil && user.Token == "" && user.Username == "" && len(user.ClientCertificateData) == 0 {
		return nil, fmt.Errorf("%w: the Secret of Argo CD has no credentials: it is for a cluster that Argo CD runs in", ErrRefused)
	}
	cluster := &clientcmdapi.Cluster{
		Server: string(entries[argoServer]), TLSServerName: c.TLS.ServerName, InsecureSkipTLSVerify: c.TLS.Insecure,
		CertificateAuthorityData: c.TLS.CAData, ProxyURL: c.ProxyURL, DisableCompression: c.DisableCompression,
	}
	data, err := clientcmd.Write(*joined(cluster, user))
	if err != nil {
		return nil, errors.New("the Secret of Argo CD cannot be written as a kubeconfig")
	}
	return data, nil
}

// joined is a kubeconfig with one context.
func joined(cluster *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) *clientcmdapi.Config {
	one := clientcmdapi.NewConfig()
	one.Clusters[theName], one.AuthInfos[theName] = cluster, user
	one.Contexts[theName] = &clientcmdapi.Context{Cluster: theName, AuthInfo: theName}
	one.CurrentContext = theName
	return one
}

// FromParts returns how to reach a cluster with the credentials of a user, by the same rules as Load.
func FromParts(cluster *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo, opts Options) (*rest.Config, error) {
	if err := opts.check(cluster, user); err != nil {
		return nil, err
	}
	cfg, err := clientcmd.NewNonInteractiveClientConfig(*joined(cluster, user), theName, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		// client-go's words may quote the document.
		return nil, errors.New("the kubeconfig names no usable server or credentials")
	}
	if err := usable(cfg); err != nil {
		return nil, err
	}
	return cfg, nil
}
