package hub_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/hub"
)

// A ClusterProfile says where its cluster is, and chooses among plug-ins by name. What is run, and with what, is
// the Config's; each cluster has a configuration of its own.
func TestPluginsAreTheConfigs(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cloud"), []byte("#!/bin/sh\n"), 0o700); err != nil { //nolint:gosec // a program has to be one
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "note.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	access := func(change func(*hub.Access)) hub.Access {
		a := hub.Access{
			Cluster: clientcmdapi.Cluster{Server: "https://eu-1.example.com", Extensions: map[string]runtime.Object{
				"client.authentication.k8s.io/exec": &runtime.Unknown{Raw: []byte(`{"project":"eu","args":["--steal"]}`)},
			}},
			Provider: v1alpha1.CredentialProvider{Name: "cloud", Command: "cloud", Args: []string{"token"}, Env: map[string]string{"B": "2", "A": "1"}},
		}
		change(&a)
		return a
	}
	for _, c := range []struct {
		reason, dir string
		change      func(*hub.Access)
		want        string
	}{
		{"what a platform team configures", dir, func(*hub.Access) {}, ""},
		{"nobody allowed any program", "", func(*hub.Access) {}, "--credential-plugins"},
		{"a program of that name is not there", dir, func(a *hub.Access) { a.Provider.Command = "other" }, "not a program"},
		{"a file that is no program", dir, func(a *hub.Access) { a.Provider.Command = "note.txt" }, "not a program"},
		{"a way out of the folder", dir, func(a *hub.Access) { a.Provider.Command = "../../../../bin/sh" }, "not a program"},
		{"a profile that reads a file", dir, func(a *hub.Access) { a.Cluster.CertificateAuthority = "/etc/passwd" }, "reads a file"},
		{"a profile that does not verify", dir, func(a *hub.Access) { a.Cluster.InsecureSkipTLSVerify = true }, "does not verify"},
		{"a profile at the machine's credentials", dir, func(a *hub.Access) { a.Cluster.Server = "https://169.254.169.254" }, "link-local"},
	} {
		cfg, err := hub.PluginConnector(c.dir)(v1alpha1.Cluster{}, access(c.change))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.reason, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.reason, err)
		}
		e := cfg.ExecProvider
		if e.Command != filepath.Join(dir, "cloud") || !slices.Equal(e.Args, []string{"token"}) || !e.ProvideClusterInfo || len(e.Env) != 2 || e.Env[0].Name != "A" {
			t.Errorf("%s: runs %+v", c.reason, e)
		}
		if extension, ok := e.Config.(*runtime.Unknown); !ok || !strings.Contains(string(extension.Raw), `"project":"eu"`) {
			t.Errorf("%s: the plug-in is told %v of the cluster", c.reason, e.Config)
		}
	}
	connect := hub.PluginConnector(dir)
	shared := access(func(*hub.Access) {})
	one, err := connect(v1alpha1.Cluster{}, shared)
	if err != nil {
		t.Fatal(err)
	}
	two, err := connect(v1alpha1.Cluster{}, shared)
	if err != nil {
		t.Fatal(err)
	}
	one.ExecProvider.Args[0] = "changed"
	if two.ExecProvider.Args[0] != "token" || shared.Provider.Args[0] != "token" {
		t.Error("what one cluster's configuration is changed to shows in another's")
	}
}
