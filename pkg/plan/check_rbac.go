package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

const rbacGroup = "rbac.authorization.k8s.io"

// grants tells whether a kind says who may do what.
func grants(gk groupKind) bool {
	return gk.group == rbacGroup && slices.Contains([]string{"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}, gk.kind)
}

// checkGrants names rights that a change gives and nobody had by this object before.
func checkGrants(v *versions) []risk {
	switch {
	case !grants(v.kind):
		return nil
	case strings.HasSuffix(v.kind.kind, "Binding"):
		return checkBinding(v)
	}
	return checkRole(v)
}

// right is one verb on one kind of thing, as rules write it.
type right struct{ group, resource, name, verb string }

// checkRole compares what a role allows. A role that is new is worth a word where it allows what lets its
// holder gain more, and one that was there wherever it allows more.
func checkRole(v *versions) []risk {
	var before []right
	if v.old != nil {
		before = rightsOf(v.old.Object)
	}
	var wider, dangerous []string
	for _, r := range rightsOf(v.new.Object) {
		if slices.ContainsFunc(before, func(b right) bool { return b.covers(r) }) {
			continue
		}
		if why := r.danger(); why != "" {
			dangerous = appendNew(dangerous, fmt.Sprintf("%s (%s)", r, why))
		} else {
			wider = appendNew(wider, r.String())
		}
	}
	for _, to := range aggregatesTo(v.new.GetLabels()) {
		if v.old == nil || !slices.Contains(aggregatesTo(v.old.GetLabels()), to) {
			dangerous = append(dangerous, "what it allows becomes part of the role "+to)
		}
	}
	return widened(v, "/rules", "allows", dangerous, wider)
}

// widened makes one finding of what is new: a caution where it lets its holder gain more, else info.
func widened(v *versions, pointer, verb string, dangerous, wider []string) []risk {
	f := finding{ID: RBACWidened}
	switch {
	case len(dangerous) > 0:
		f.Message = fmt.Sprintf("%s newly %s %s", v.item.ref, verb, strings.Join(firstFewInOrder(append(dangerous, wider...), 4), ", "))
	case v.old == nil || len(wider) == 0:
		return nil
	default:
		f.Severity = v1alpha1.SeverityInfo
		f.Message = fmt.Sprintf("%s newly %s %s", v.item.ref, verb, strings.Join(firstFewInOrder(wider, 4), ", "))
	}
	return []risk{{pointer: pointer, finding: f}}
}

func appendNew(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// aggregatesTo are the built-in roles that a label adds a ClusterRole to.
func aggregatesTo(labels map[string]string) []string {
	var roles []string
	for _, name := range keys(labels) {
		if role, found := strings.CutPrefix(name, rbacGroup+"/aggregate-to-"); found && labels[name] == "true" {
			roles = append(roles, role)
		}
	}
	return roles
}

// maxRights bounds how many rights of a role are looked at one by one; the rest counts as the widest.
const maxRights = 2000

// rightsOf lists what a role allows, right by right, in the order of its rules.
func rightsOf(role map[string]any) []right {
	var all []right
	for _, rule := range mapsAt(role, "rules") {
		verbs, names := texts(rule["verbs"]), texts(rule["resourceNames"])
		if len(names) == 0 {
			names = []string{""}
		}
		for _, verb := range verbs {
			for _, url := range texts(rule["nonResourceURLs"]) {
				all = append(all, right{group: "URL", resource: url, verb: verb})
			}
			for _, group := range texts(rule["apiGroups"]) {
				for _, resource := range texts(rule["resources"]) {
					for _, name := range names {
						if all = append(all, right{group, resource, name, verb}); len(all) >= maxRights {
							return append(all, right{"*", "*", "", "*"})
						}
					}
				}
			}
		}
	}
	return all
}

// texts returns the strings of a list.
func texts(value any) []string {
	list, _ := value.([]any)
	all := make([]string, 0, len(list))
	for _, v := range list {
		if s, ok := v.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// covers tells whether who has the right has the other too.
func (r right) covers(o right) bool {
	return (r.group == o.group || r.group == "*" && o.group != "URL") && r.coversResource(o.resource) &&
		(r.name == "" || r.name == o.name) && (r.verb == "*" || r.verb == o.verb)
}

func (r right) coversResource(o string) bool {
	if r.resource == "*" || r.resource == o {
		return true
	}
	if prefix, wild := strings.CutSuffix(r.resource, "*"); wild && r.group == "URL" {
		return strings.HasPrefix(o, prefix)
	}
	// "*/scale" is the subresource of every resource.
	_, sub, has := strings.Cut(o, "/")
	return has && r.resource == "*/"+sub
}

// danger says why a right lets its holder gain more than it names; "": it does not.
func (r right) danger() string {
	writes := slices.Contains([]string{"*", "create", "update", "patch"}, r.verb)
	switch {
	case r.verb == "*" && r.resource == "*":
		return "all there is, also what comes"
	case r.group == "URL":
		return ""
	case r.verb == "*":
		return "every verb, also those to come"
	case r.resource == "*":
		return "every resource, also those to come"
	case r.verb == "escalate" || r.verb == "bind" || r.verb == "impersonate":
		return "gives rights that its holder does not have"
	case r.group == "" && r.resource == "secrets":
		if r.name == "" && slices.Contains([]string{"get", "list", "watch"}, r.verb) {
			return "shows every Secret"
		}
	case r.group == "" && slices.Contains([]string{"pods/exec", "pods/attach", "nodes/proxy"}, r.resource):
		return "runs commands in pods"
	case r.group == "" && r.resource == "serviceaccounts/token" && writes:
		return "makes tokens of service accounts"
	case r.group == rbacGroup && writes:
		return "changes who may do what"
	case r.group == "admissionregistration.k8s.io" && writes:
		return "sees and changes every request"
	case r.group == "certificates.k8s.io" && strings.HasSuffix(r.resource, "/approval") && writes:
		return "approves client certificates"
	}
	return ""
}

// String writes a right as "get secrets".
func (r right) String() string {
	if r.verb == "*" && r.resource == "*" && r.group == "*" {
		return "every verb on every resource"
	}
	resource := r.resource
	if r.group != "" && r.group != "URL" {
		resource += "." + r.group
	}
	if r.name != "" {
		resource += fmt.Sprintf(" %q", r.name)
	}
	return r.verb + " " + resource
}

// checkBinding compares to whom a role is given.
func checkBinding(v *versions) []risk {
	role := stringAt(v.new.Object, "roleRef", "name")
	had := map[string]bool{}
	if v.old != nil && stringAt(v.old.Object, "roleRef", "name") == role {
		for _, s := range mapsAt(v.old.Object, "subjects") {
			had[subject(s, v.old.GetNamespace())] = true
		}
	}
	var gained, dangerous []string
	for _, s := range mapsAt(v.new.Object, "subjects") {
		name := subject(s, v.new.GetNamespace())
		switch {
		case had[name]:
		case role == "cluster-admin", isEveryone(name):
			dangerous = appendNew(dangerous, name)
		default:
			gained = appendNew(gained, name)
		}
	}
	return widened(v, "/subjects", fmt.Sprintf("gives %s %q to", cmp.Or(stringAt(v.new.Object, "roleRef", "kind"), "role"), role), dangerous, gained)
}

// subject names who is bound.
func subject(s map[string]any, namespace string) string {
	if stringAt(s, "kind") == "ServiceAccount" {
		return fmt.Sprintf("ServiceAccount %s/%s", cmp.Or(stringAt(s, "namespace"), namespace), stringAt(s, "name"))
	}
	return stringAt(s, "kind") + " " + stringAt(s, "name")
}

// isEveryone tells whether a subject is a group that nobody has to be let into.
func isEveryone(subject string) bool {
	return subject == "User system:anonymous" || subject == "Group system:unauthenticated" || subject == "Group system:authenticated" ||
		strings.HasPrefix(subject, "Group system:serviceaccounts")
}
