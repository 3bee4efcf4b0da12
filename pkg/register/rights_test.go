package register_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/register"
)

// docs/security.md lists every right with its reason, so that nobody grants what is not explained.
func TestRightsAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range register.Rights(register.ModeApply) {
		if row := "| `" + r.Role + "` | " + r.String() + " | " + r.Reason + " |"; !strings.Contains(string(data), row) {
			t.Errorf("docs/security.md lacks the row\n%s", row)
		}
	}
}

func TestNamespaceIsTheOneOfTheExecutor(t *testing.T) {
	if register.Namespace != apply.SystemNamespace {
		t.Errorf("joining prepares %q, records are kept in %q", register.Namespace, apply.SystemNamespace)
	}
}

// With impersonation our own account can write nothing that Git holds, and act as no one unless told.
func TestImpersonateModeWritesNothingItself(t *testing.T) {
	objects, err := register.Manifests(register.ModeImpersonate, []string{"shop/deployer", "data/loader", "shop/migrator"})
	if err != nil {
		t.Fatal(err)
	}
	acting := map[string][]string{}
	for _, o := range objects {
		rules, _, err := unstructured.NestedSlice(o.Object, "rules")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			rule := r.(map[string]any)
			verbs, _, _ := unstructured.NestedStringSlice(rule, "verbs")
			resources, _, _ := unstructured.NestedStringSlice(rule, "resources")
			names, _, _ := unstructured.NestedStringSlice(rule, "resourceNames")
			if slices.Contains(verbs, "impersonate") {
				acting[o.GetNamespace()] = names
			}
			writes := slices.ContainsFunc(verbs, func(v string) bool { return !slices.Contains([]string{"get", "list", "watch", "impersonate"}, v) })
			if writes && o.GetKind() == "ClusterRole" {
				t.Errorf("%s %s lets our account %v %v", o.GetKind(), o.GetName(), verbs, resources)
			}
		}
	}
	if len(acting) != 2 || !slices.Equal(acting["shop"], []string{"deployer", "migrator"}) || !slices.Equal(acting["data"], []string{"loader"}) {
		t.Errorf("may act as %v", acting)
	}
}

func TestManifestsRefuseWhatMakesNoSense(t *testing.T) {
	for _, c := range []struct {
		mode    register.Mode
		account string
	}{{"admin", "a/b"}, {register.ModeApply, "deployer"}, {register.ModeApply, "a/b/c"}, {register.ModeApply, "/b"}} {
		if _, err := register.Manifests(c.mode, []string{c.account}); err == nil {
			t.Errorf("mode %q, account %q: allowed", c.mode, c.account)
		}
	}
}
