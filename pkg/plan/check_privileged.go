package plan

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/armada-sync/armada-sync/pkg/render"
)

// privilege is something that pods may do beyond what the baseline of the Pod Security Standards allows.
type privilege struct {
	text    string
	pointer string
}

// checkPrivileges names what the pods of a workload may do after the change and might not before.
func checkPrivileges(v *versions) []risk {
	path := podPath(v.new)
	if path == nil {
		return nil
	}
	had := map[string]bool{}
	var oldSpec map[string]any
	if v.old != nil {
		oldSpec = podSpec(v.old)
		for _, p := range privileges(oldSpec, "") {
			had[p.text] = true
		}
	}
	spec := podSpec(v.new)
	var gained []privilege
	for _, p := range append(privileges(spec, pointerOf(path)), lostGuards(oldSpec, spec, pointerOf(path))...) {
		if !had[p.text] {
			gained = append(gained, p)
		}
	}
	if len(gained) == 0 {
		return nil
	}
	texts := make([]string, 0, len(gained))
	for _, p := range gained {
		texts = append(texts, p.text)
	}
	return []risk{{
		pointer: gained[0].pointer,
		finding: finding{ID: Privileged, Message: fmt.Sprintf("%s: its pods may newly do more than the baseline for pods allows: %s", v.item.ref, strings.Join(firstFewInOrder(texts, 4), ", "))},
	}}
}

func podPath(o *unstructured.Unstructured) []string {
	return render.PodSpecPath(o.GetAPIVersion(), o.GetKind())
}

func pointerOf(path []string) string {
	var b strings.Builder
	for _, name := range path {
		b.WriteString("/" + render.EscapeToken(name))
	}
	return b.String()
}

// privileges lists what a pod may do beyond the baseline, below the pointer of its spec. The controls are
// those of https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline, and running as root
// where a manifest says so.
func privileges(spec map[string]any, at string) []privilege {
	var all []privilege
	add := func(pointer, format string, args ...any) {
		all = append(all, privilege{fmt.Sprintf(format, args...), at + pointer})
	}
	for _, name := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		if spec[name] == true {
			add("/"+name, "%s", name)
		}
	}
	for i, volume := range mapsAt(spec, "volumes") {
		if path := mapAt(volume, "hostPath"); path != nil {
			add(fmt.Sprintf("/volumes/%d/hostPath", i), "hostPath %s", stringAt(path, "path"))
		}
	}
	for _, p := range contextPrivileges(mapAt(spec, "securityContext"), "the pod") {
		add("/securityContext"+p.pointer, "%s", p.text)
	}
	for _, sysctl := range mapsAt(spec, "securityContext", "sysctls") {
		if name := stringAt(sysctl, "name"); !safeSysctl(name) {
			add("/securityContext/sysctls", "sysctl %s", name)
		}
	}
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for i, c := range mapsAt(spec, list) {
			below := fmt.Sprintf("/%s/%d", list, i)
			name := fmt.Sprintf("container %q", stringAt(c, "name"))
			for _, p := range contextPrivileges(mapAt(c, "securityContext"), name) {
				add(below+"/securityContext"+p.pointer, "%s", p.text)
			}
			for _, port := range mapsAt(c, "ports") {
				if n, found := integerAt(port, "hostPort"); found && n != 0 && spec["hostNetwork"] != true {
					add(below+"/ports", "%s has host port %d", name, n)
				}
			}
		}
	}
	return all
}

// contextPrivileges lists what a security context allows, of a pod or a container.
func contextPrivileges(context map[string]any, who string) []privilege {
	var all []privilege
	add := func(pointer, format string, args ...any) {
		all = append(all, privilege{who + " " + fmt.Sprintf(format, args...), pointer})
	}
	if context["privileged"] == true {
		add("/privileged", "is privileged")
	}
	if context["allowPrivilegeEscalation"] == true {
		add("/allowPrivilegeEscalation", "may escalate privileges")
	}
	if user, set := integerAt(context, "runAsUser"); set && user == 0 {
		add("/runAsUser", "runs as root")
	}
	added, _ := mapAt(context, "capabilities")["add"].([]any)
	for _, c := range added {
		if name, _ := c.(string); !slices.Contains(baselineCapabilities(), strings.TrimPrefix(name, "CAP_")) {
			add("/capabilities/add", "has capability %s", name)
		}
	}
	if stringAt(context, "procMount") == "Unmasked" {
		add("/procMount", "sees all of /proc")
	}
	for _, profile := range []string{"seccompProfile", "appArmorProfile"} {
		if stringAt(context, profile, "type") == "Unconfined" {
			add("/"+profile, "has %s Unconfined", profile)
		}
	}
	if mapAt(context, "windowsOptions")["hostProcess"] == true {
		add("/windowsOptions/hostProcess", "is a host process")
	}
	return all
}

// baselineCapabilities are those that a container may add under the baseline.
func baselineCapabilities() []string {
	return []string{
		"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
		"SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
	}
}

// safeSysctl tells whether a pod may set a kernel parameter under the baseline.
func safeSysctl(name string) bool {
	return slices.Contains([]string{
		"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
		"net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
		"net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
	}, name)
}

// lostGuards lists what kept the pods of an existing workload from running as root, and does not any more.
func lostGuards(old, new map[string]any, at string) []privilege {
	var lost []privilege
	guarded := func(spec, container map[string]any) bool {
		if own, set := mapAt(container, "securityContext")["runAsNonRoot"].(bool); set {
			return own
		}
		return mapAt(spec, "securityContext")["runAsNonRoot"] == true
	}
	for _, list := range []string{"initContainers", "containers"} {
		before := mapsAt(old, list)
		for i, c := range mapsAt(new, list) {
			j := slices.IndexFunc(before, func(b map[string]any) bool { return stringAt(b, "name") == stringAt(c, "name") })
			if j < 0 || !guarded(old, before[j]) || guarded(new, c) {
				continue
			}
			pointer := at + "/securityContext"
			if mapAt(c, "securityContext")["runAsNonRoot"] != nil {
				pointer = fmt.Sprintf("%s/%s/%d/securityContext/runAsNonRoot", at, list, i)
			}
			lost = append(lost, privilege{fmt.Sprintf("container %q may run as root (runAsNonRoot is gone)", stringAt(c, "name")), pointer})
		}
	}
	return lost
}
