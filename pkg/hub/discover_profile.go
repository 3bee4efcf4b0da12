package hub

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/kubeconfig"
)

// execExtension is the extension of a cluster entry that holds what a plug-in needs to know of it.
const execExtension = "client.authentication.k8s.io/exec"

// defaultExecVersion is the version of the plug-ins' protocol.
const defaultExecVersion = "client.authentication.k8s.io/v1"

// Access is how a ClusterProfile says to reach its cluster, and the plug-in that tells the credentials.
type Access struct {
	// Cluster is the address with its authority. What it carries for the plug-in is in its extensions.
	Cluster clientcmdapi.Cluster
	// Provider is from the Config alone.
	Provider v1alpha1.CredentialProvider
}

// access finds how a ClusterProfile says to reach its cluster.
func (w *watcher) access(ref v1alpha1.ClusterProfileReference) (Access, error) {
	name := ref.Namespace + "/" + ref.Name
	profile := w.foreign.get(clusterProfiles, ref.Namespace, ref.Name)
	if profile == nil {
		err := w.whyNot(clusterProfiles, ref.Namespace)
		if err == nil {
			_, err = w.foreign.in(clusterProfiles, ref.Namespace)
		}
		if err != nil {
			return Access{}, fmt.Errorf("ClusterProfile %q: %w", name, err)
		}
		return Access{}, fmt.Errorf("there is no ClusterProfile %q", name)
	}
	a, err := w.accessOf(profile)
	if err != nil {
		return Access{}, fmt.Errorf("ClusterProfile %q: %w", name, err)
	}
	return a, nil
}

// accessOf chooses among the ways that a ClusterProfile offers the one that the Config prefers.
func (w *watcher) accessOf(profile *unstructured.Unstructured) (Access, error) {
	d := w.discovering.Load()
	if d == nil || d.ClusterProfiles == nil {
		return Access{}, errors.New("spec.discovery.clusterProfiles of the Config names no credential plug-ins")
	}
	offered, err := offers(profile)
	if err != nil {
		return Access{}, err
	}
	for _, p := range d.ClusterProfiles.Providers {
		if cluster, ok := offered[p.Name]; ok {
			return Access{Cluster: cluster, Provider: p}, nil
		}
	}
	return Access{}, fmt.Errorf("it offers access by %q, and spec.discovery.clusterProfiles.providers of the Config has none of these", slices.Sorted(maps.Keys(offered)))
}

// offers are the ways to reach a cluster, by the names of their providers. credentialProviders is what
// accessProviders was called before.
func offers(profile *unstructured.Unstructured) (map[string]clientcmdapi.Cluster, error) {
	found := map[string]clientcmdapi.Cluster{}
	for _, field := range []string{"accessProviders", "credentialProviders"} {
		list, _, _ := unstructured.NestedSlice(profile.Object, "status", field)
		for _, item := range list {
			entry, _ := item.(map[string]any)
			name, _ := entry["name"].(string)
			if _, known := found[name]; known || name == "" {
				continue
			}
			data, err := json.Marshal(entry["cluster"])
			if err != nil {
				return nil, err
			}
			var v1 clientcmdv1.Cluster
			if err := json.Unmarshal(data, &v1); err != nil {
				return nil, fmt.Errorf("status.%s: the access by %q is not a cluster entry of a kubeconfig", field, name)
			}
			cluster := clientcmdapi.Cluster{
				Server: v1.Server, TLSServerName: v1.TLSServerName, InsecureSkipTLSVerify: v1.InsecureSkipTLSVerify,
				CertificateAuthority: v1.CertificateAuthority, CertificateAuthorityData: v1.CertificateAuthorityData,
				ProxyURL: v1.ProxyURL, DisableCompression: v1.DisableCompression,
			}
			for _, e := range v1.Extensions {
				if e.Name == execExtension {
					cluster.Extensions = map[string]runtime.Object{execExtension: &runtime.Unknown{Raw: e.Extension.Raw, ContentType: runtime.ContentTypeJSON}}
				}
			}
			found[name] = cluster
		}
	}
	return found, nil
}

// accessVersion tells versions of an access apart; empty where there is none.
func (w *watcher) accessVersion(ref v1alpha1.ClusterProfileReference) string {
	a, err := w.access(ref)
	if err != nil {
		return ""
	}
	return a.version()
}

func (a Access) version() string {
	extension := []byte{}
	if e, ok := a.Cluster.Extensions[execExtension].(*runtime.Unknown); ok {
		extension = e.Raw
	}
	cluster := a.Cluster
	cluster.Extensions = nil
	data, err := json.Marshal([]any{cluster, string(extension), a.Provider})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// PluginConnector reaches the clusters of ClusterProfiles by credential plug-ins out of one folder; an empty
// name allows none.
//
// The command, its arguments and environment are the Config's. What the ClusterProfile carries for the plug-in
// reaches it as data (KUBERNETES_EXEC_INFO), never as arguments. Each cluster gets a configuration of its
// own, so that nothing of one cluster's is seen with another's.
func PluginConnector(dir string) func(v1alpha1.Cluster, Access) (*rest.Config, error) {
	return func(_ v1alpha1.Cluster, a Access) (*rest.Config, error) {
		if dir == "" {
			return nil, errors.New("this controller runs no credential plug-ins: name their folder with --credential-plugins")
		}
		command := filepath.Join(dir, filepath.Base(a.Provider.Command))
		info, err := os.Stat(command)
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return nil, fmt.Errorf("the credential plug-in %q of provider %q is not a program in the folder of --credential-plugins", a.Provider.Command, a.Provider.Name)
		}
		exec := &clientcmdapi.ExecConfig{
			Command: command, Args: slices.Clone(a.Provider.Args), APIVersion: a.Provider.APIVersion,
			ProvideClusterInfo: true, InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		}
		if exec.APIVersion == "" {
			exec.APIVersion = defaultExecVersion
		}
		for _, name := range slices.Sorted(maps.Keys(a.Provider.Env)) {
			exec.Env = append(exec.Env, clientcmdapi.ExecEnvVar{Name: name, Value: a.Provider.Env[name]})
		}
		cluster := a.Cluster
		return kubeconfig.FromParts(&cluster, &clientcmdapi.AuthInfo{Exec: exec}, kubeconfig.Options{AllowExec: true})
	}
}
