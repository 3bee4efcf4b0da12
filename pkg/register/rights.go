package register

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Names of what joining creates in a member.
const (
	// Namespace holds our account and the records of what we applied. It is the same on the hub, where
	// it holds the kubeconfigs.
	Namespace = "armada-system"
	// Account is the service account that a hub acts as.
	Account = "armada-sync"

	// RoleMember, RoleApply, RoleRecords and RoleTenant are the names of the roles and their bindings.
	RoleMember  = "armada-sync:member"
	RoleApply   = "armada-sync:apply"
	RoleRecords = "armada-sync:records"
	RoleTenant  = "armada-sync:tenant"
)

// Mode says who writes to a member.
type Mode string

// The modes.
const (
	// ModeApply lets our account write whatever Git holds.
	ModeApply Mode = "apply"
	// ModeImpersonate lets our account write nothing but our own records: everything in Git is written by
	// the accounts that sources act as.
	ModeImpersonate Mode = "impersonate"
)

// Modes returns all modes, the default first.
func Modes() []Mode { return []Mode{ModeApply, ModeImpersonate} }

// Right is one rule for our account in a member, and why it is needed.
type Right struct {
	// Role is the role that holds the rule.
	Role string
	// Rule is what is allowed.
	Rule rbacv1.PolicyRule
	// Reason names the request that needs it.
	Reason string
}

// Rights returns what a mode grants, apart from the accounts that may be impersonated. Each rule stands
// for requests that pkg/apply or this package really makes.
func Rights(mode Mode) []Right {
	all := []string{"*"}
	rights := []Right{
		{RoleMember, rbacv1.PolicyRule{NonResourceURLs: []string{"/version", "/readyz", "/api", "/api/*", "/apis", "/apis/*"}, Verbs: []string{"get"}},
			"Probes ask /readyz; discovery tells which kinds the cluster serves."},
		{RoleMember, rbacv1.PolicyRule{APIGroups: all, Resources: all, Verbs: []string{"get", "list", "watch"}},
			"Drift, health, capacity (nodes, pods) and new kinds (CRDs) are watched, not polled, and Git may hold any kind. Before a namespace is pruned, every kind in it is listed for objects of others. RBAC cannot grant metadata alone, so this includes Secrets."},
		{RoleRecords, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create", "patch", "delete"}},
			"The record of what each source has here (an ApplySet's parent) is a Secret without data in armada-system."},
		{RoleRecords, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{Account}, Verbs: []string{"create"}},
			"The account asks for its own next token before the present one expires."},
	}
	if mode == ModeImpersonate {
		return rights
	}
	return append(rights,
		Right{RoleApply, rbacv1.PolicyRule{APIGroups: all, Resources: all, Verbs: []string{"create", "patch", "delete"}},
			"Server-side apply is a PATCH, which needs create where the object is new; prune and recreate are DELETEs. Git may hold any kind. A namespace that objects need and Git does not declare is created."},
		Right{RoleApply, rbacv1.PolicyRule{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "clusterroles"}, Verbs: []string{"escalate", "bind"}},
			"Roles from Git may grant more than the account has, as those of most operators do."},
	)
}

// Manifests returns what joining creates in a member, in order: the namespace, the account, roles and
// bindings. Each of the accounts ("namespace/name") may be impersonated; its namespace must exist.
func Manifests(mode Mode, impersonate []string) ([]*unstructured.Unstructured, error) {
	if !slices.Contains(Modes(), mode) {
		return nil, fmt.Errorf("mode %q: want one of %v", mode, Modes())
	}
	objects := []map[string]any{
		{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": Namespace, "labels": map[string]any{
			"pod-security.kubernetes.io/enforce": "restricted",
		}}},
		{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": Account, "namespace": Namespace}, "automountServiceAccountToken": false},
	}
	for _, role := range []struct{ name, namespace string }{{RoleMember, ""}, {RoleRecords, Namespace}, {RoleApply, ""}} {
		var rules []rbacv1.PolicyRule
		for _, r := range Rights(mode) {
			if r.Role == role.name {
				rules = append(rules, r.Rule)
			}
		}
		if len(rules) > 0 {
			objects = append(objects, roleAndBinding(role.name, role.namespace, rules)...)
		}
	}
	accounts, err := byNamespace(impersonate)
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		objects = append(objects, roleAndBinding(RoleTenant, a.namespace, []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, ResourceNames: a.names, Verbs: []string{"impersonate"},
		}})...)
	}
	out := make([]*unstructured.Unstructured, len(objects))
	for i, o := range objects {
		u := &unstructured.Unstructured{Object: o}
		labels := u.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels["app.kubernetes.io/part-of"] = "armada-sync"
		u.SetLabels(labels)
		out[i] = u
	}
	return out, nil
}

// roleAndBinding grants rules to our account, in a namespace or, with an empty one, everywhere.
func roleAndBinding(name, namespace string, rules []rbacv1.PolicyRule) []map[string]any {
	kind := "ClusterRole"
	meta := func() map[string]any { return map[string]any{"name": name} }
	if namespace != "" {
		kind = "Role"
		meta = func() map[string]any { return map[string]any{"name": name, "namespace": namespace} }
	}
	items := make([]any, len(rules))
	for i := range rules {
		// A PolicyRule holds strings alone and always converts.
		items[i], _ = runtime.DefaultUnstructuredConverter.ToUnstructured(&rules[i])
	}
	return []map[string]any{
		{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": meta(), "rules": items},
		{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind + "Binding", "metadata": meta(),
			"roleRef":  map[string]any{"apiGroup": rbacv1.GroupName, "kind": kind, "name": name},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": Account, "namespace": Namespace}},
		},
	}
}

// accountsOf are the names of accounts in one namespace.
type accountsOf struct {
	namespace string
	names     []string
}

func byNamespace(accounts []string) ([]accountsOf, error) {
	var out []accountsOf
	for _, a := range slices.Sorted(slices.Values(accounts)) {
		namespace, name, ok := strings.Cut(a, "/")
		if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("account %q: want namespace/name", a)
		}
		i := slices.IndexFunc(out, func(o accountsOf) bool { return o.namespace == namespace })
		if i < 0 {
			out = append(out, accountsOf{namespace: namespace})
			i = len(out) - 1
		}
		if !slices.Contains(out[i].names, name) {
			out[i].names = append(out[i].names, name)
		}
	}
	return out, nil
}

// PrintManifests writes the manifests of a mode as a YAML stream in which each rule has its reason as a
// comment.
func PrintManifests(mode Mode, impersonate []string) ([]byte, error) {
	objects, err := Manifests(mode, impersonate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for i, o := range objects {
		if i > 0 {
			out.WriteString("---\n")
		}
		for _, r := range Rights(mode) {
			if r.Role == o.GetName() && !strings.HasSuffix(o.GetKind(), "Binding") {
				fmt.Fprintf(&out, "# %s: %s\n", r, r.Reason)
			}
		}
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, fmt.Errorf("print %s %q: %w", o.GetKind(), o.GetName(), err)
		}
		out.Write(data)
	}
	return out.Bytes(), nil
}

// what names the resources of a right as people do.
func (r Right) what() string {
	if len(r.Rule.NonResourceURLs) > 0 {
		return strings.Join(r.Rule.NonResourceURLs, ", ")
	}
	what := strings.Join(r.Rule.Resources, ", ")
	if what == "*" {
		what = "everything"
	}
	if len(r.Rule.ResourceNames) > 0 {
		what += " " + strings.Join(r.Rule.ResourceNames, ", ")
	}
	return what
}

// String says a right in one line: "get, list, watch everything".
func (r Right) String() string { return strings.Join(r.Rule.Verbs, ", ") + " " + r.what() }
