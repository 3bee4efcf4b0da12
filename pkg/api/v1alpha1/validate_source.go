package v1alpha1

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

func (t *typing) gitSource(s *GitSourceSpec) {
	t.gitURL("spec.url", s.URL)
	t.gitRef("spec.ref", &s.Ref)
	if s.Path != "" && (strings.HasPrefix(s.Path, "/") || strings.ContainsAny(s.Path, "\\\n") || slices.Contains(strings.Split(s.Path, "/"), "..")) {
		t.problem("spec.path", "%q is not a folder inside the repository", shorten(s.Path))
	}
	t.positive("spec.interval", s.Interval)
	t.positive("spec.timeout", s.Timeout)
	if s.SecretRef != nil {
		t.named("spec.secretRef.name", s.SecretRef.Name, validation.IsDNS1123Subdomain)
		if s.CredentialsFile != "" {
			t.problem("spec.credentialsFile", "the field cannot stand beside secretRef")
		}
	}
	if s.TargetNamespace != "" {
		t.named("spec.targetNamespace", s.TargetNamespace, validation.IsDNS1123Label)
	}
	for i, name := range s.PoliciesFor {
		t.named(at("spec.policiesFor", i), name, isSourceName)
	}
	if s.PinnedRevision != "" && !revisionPattern().MatchString(s.PinnedRevision) {
		t.problem("spec.pinnedRevision", "%q is not a full commit id, alone or as in main@sha1:<id>", shorten(s.PinnedRevision))
	}
	oneOf(t, "spec.deletionPolicy", s.DeletionPolicy, DeletionOrphan, DeletionPrune)
	inRange(t, "spec.maxPrunePercent", s.MaxPrunePercent, 0, 100)
	if s.Rollout != nil {
		t.rollout("spec.rollout", s.Rollout)
	}
	if s.Tenant != nil {
		if len(s.PoliciesFor) > 0 {
			t.add(FindingFieldIgnored, SeverityCaution, "spec.policiesFor", "the field has no effect beside tenant: the policies of a tenant reach its own objects alone")
		}
		t.tenant("spec.tenant", s.Tenant)
	}
	if d := s.Decryption; d != nil {
		oneOf(t, "spec.decryption.provider", d.Provider, "sops")
		if d.SecretRef != nil {
			t.named("spec.decryption.secretRef.name", d.SecretRef.Name, validation.IsDNS1123Subdomain)
			if d.KeysFile != "" {
				t.problem("spec.decryption.keysFile", "the field cannot stand beside secretRef")
			}
		}
	}
	if l := s.Limits; l != nil {
		inRange(t, "spec.limits.maxFileBytes", l.MaxFileBytes, 1, 1<<30)
		inRange(t, "spec.limits.maxTotalBytes", l.MaxTotalBytes, 1, 1<<40)
		inRange(t, "spec.limits.maxFiles", l.MaxFiles, 1, 10_000_000)
	}
	for i := range s.IgnoreDrift {
		t.ignoreRule(at("spec.ignoreDrift", i), &s.IgnoreDrift[i])
	}
}

// isSourceName checks "name" or "namespace/name".
func isSourceName(name string) []string {
	namespace, rest, found := strings.Cut(name, "/")
	if !found {
		return validation.IsDNS1123Subdomain(name)
	}
	return append(validation.IsDNS1123Label(namespace), validation.IsDNS1123Subdomain(rest)...)
}

// revisionPattern matches a full commit id, with or without what a revision has in front of it.
func revisionPattern() *regexp.Regexp {
	return regexp.MustCompile(`^([^@\s]+@)?(sha1:|sha256:)?([0-9a-f]{40}|[0-9a-f]{64})$`)
}

// scpPattern matches git's short form for ssh, user@host:path.
func scpPattern() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]*@[A-Za-z0-9.][A-Za-z0-9.-]*:[^\s:-][^\s]*$`)
}

// gitURL accepts https, ssh, file and git's short form for ssh. Messages never repeat the address,
// since it may hold a password.
func (t *typing) gitURL(field, address string) {
	if !t.required(field, address) {
		return
	}
	const allowed = "an address is https://…, ssh://…, user@host:path or, standalone only, file://…"
	if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		t.problem(field, "the address has a space or control character")
		return
	}
	if !strings.Contains(address, "://") {
		if !scpPattern().MatchString(address) {
			t.problem(field, "%s", allowed)
		}
		return
	}
	u, err := url.Parse(address)
	if err != nil {
		t.problem(field, "the address cannot be read; %s", allowed)
		return
	}
	if _, has := u.User.Password(); has {
		t.problem(field, "the address holds a password; put credentials into secretRef or credentialsFile")
	}
	switch u.Scheme {
	case "https":
		if u.User.Username() != "" {
			t.problem(field, "the address holds a user name; put credentials into secretRef or credentialsFile")
		}
		t.host(field, u)
	case "ssh":
		t.host(field, u)
	case "file":
		if u.Host != "" || u.Path == "" {
			t.problem(field, "a file address has three slashes, as in file:///srv/git/shop.git")
		}
	default:
		t.problem(field, "the scheme %q is not allowed; %s", shorten(u.Scheme), allowed)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		t.problem(field, "an address has no query or fragment; use ref to choose a revision")
	}
}

// host reports an address without a usable host or path.
func (t *typing) host(field string, u *url.URL) {
	if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") {
		t.problem(field, "the address names no host")
	}
	if strings.Trim(u.Path, "/") == "" {
		t.problem(field, "the address names no repository")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			t.problem(field, "the port %q is not a port", shorten(port))
		}
	}
}

func (t *typing) gitRef(path string, r *GitRef) {
	var set []string
	for _, f := range []struct{ name, value string }{
		{"branch", r.Branch}, {"tag", r.Tag}, {"semver", r.SemVer}, {"commit", r.Commit}, {"name", r.Name},
	} {
		if f.value == "" {
			continue
		}
		set = append(set, f.name)
		if f.name != "semver" && !isRefName(f.value) {
			t.problem(path+"."+f.name, "%q is not a name that git accepts", shorten(f.value))
		}
	}
	if len(set) > 1 {
		t.problem(path, "at most one of branch, tag, semver, commit and name may be set, not %s", strings.Join(set, ", "))
	}
	if r.Name != "" && !strings.HasPrefix(r.Name, "refs/") {
		t.problem(path+".name", "a full name begins with refs/; use branch or tag for a short one")
	}
	if r.Commit != "" && !revisionPattern().MatchString(r.Commit) {
		t.problem(path+".commit", "%q is not a full commit id of 40 or 64 hexadecimal digits", shorten(r.Commit))
	}
}

// isRefName follows git check-ref-format, save that one level is enough.
func isRefName(name string) bool {
	if strings.ContainsAny(name, " ~^:?*[\\") || strings.Contains(name, "..") || strings.Contains(name, "@{") ||
		name == "@" || strings.HasPrefix(name, "-") || strings.HasSuffix(name, ".") {
		return false
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	for _, part := range strings.Split(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}

func (t *typing) rollout(path string, r *Rollout) {
	if len(r.Steps) == 0 {
		t.problem(path+".steps", "the field is required")
	}
	inRange(t, path+".maxParallel", &r.MaxParallel, 0, maxWeight)
	last := int32(0)
	for i := range r.Steps {
		step, p := &r.Steps[i], at(path+".steps", i)
		switch {
		case step.ClusterSelector != nil && step.Percent != nil:
			t.problem(p+".percent", "the field cannot stand beside clusterSelector")
		case step.ClusterSelector == nil && step.Percent == nil:
			t.problem(p, "one of clusterSelector and percent is required")
		case step.Percent != nil:
			inRange(t, p+".percent", step.Percent, 1, 100)
			if *step.Percent <= last && last <= 100 {
				t.problem(p+".percent", "%d percent adds nothing after the %d of an earlier step", *step.Percent, last)
			}
			last = max(last, *step.Percent)
		}
		t.affinity(p+".clusterSelector", step.ClusterSelector)
		if step.Soak != nil && step.Soak.Duration < 0 {
			t.problem(p+".soak", "the duration must not be negative")
		}
	}
}

func (t *typing) tenant(path string, n *Tenant) {
	if n.ServiceAccount != "" {
		t.named(path+".serviceAccount", n.ServiceAccount, func(name string) []string {
			if !strings.Contains(name, "/") {
				return []string{"expected namespace/name"}
			}
			return isSourceName(name)
		})
	}
	for i, namespace := range n.AllowedNamespaces {
		t.named(at(path+".allowedNamespaces", i), namespace, isPatternOf(validation.IsDNS1123Label))
	}
	for i, k := range n.AllowedKinds {
		t.required(at(path+".allowedKinds", i)+".kind", k.Kind)
		if k.Kind != "*" && strings.Contains(k.Kind, "*") {
			t.problem(at(path+".allowedKinds", i)+".kind", "%q is neither a kind nor \"*\", which stands for all", shorten(k.Kind))
		}
		if k.Group != "" {
			t.named(at(path+".allowedKinds", i)+".group", k.Group, isPatternOf(validation.IsDNS1123Subdomain))
		}
	}
	for i := range n.AllowedClusters {
		t.affinity(at(path+".allowedClusters", i), &n.AllowedClusters[i])
	}
}

// isPatternOf checks a name in which a * may stand for any characters: with a letter in place of each, it
// must be a name.
func isPatternOf(check func(string) []string) func(string) []string {
	return func(pattern string) []string { return check(strings.ReplaceAll(pattern, "*", "x")) }
}

func (t *typing) ignoreRule(path string, r *IgnoreRule) {
	if len(r.Paths) == 0 && len(r.Managers) == 0 {
		t.problem(path, "one of paths and managers is required")
	}
	for i, p := range r.Paths {
		t.pointer(at(path+".paths", i), p)
	}
	for i, m := range r.Managers {
		t.required(at(path+".managers", i), m)
	}
	if r.Target != nil {
		t.selector(path+".target", r.Target, "")
	}
}
