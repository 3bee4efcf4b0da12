package engine

import (
	"reflect"

	"k8s.io/client-go/rest"
)

// route is what a configuration says about where a cluster is and who asks, without what cannot be
// compared.
type route struct {
	host, path, serverName, user, password, token, tokenFile string
	tls                                                      rest.TLSClientConfig
	impersonate                                              rest.ImpersonationConfig
	program                                                  any
}

func routeOf(c *rest.Config) route {
	return route{
		host: c.Host, path: c.APIPath, serverName: c.ServerName, user: c.Username, password: c.Password,
		token: c.BearerToken, tokenFile: c.BearerTokenFile, tls: c.TLSClientConfig, impersonate: c.Impersonate, program: c.ExecProvider,
	}
}

// reachedOtherwise tells that the cluster is to be reached in another way than it was connected to: its
// kubeconfig holds a renewed token, other certificates or another address. Asked when a probe fails, so
// that a credential which expired is replaced without a restart, and nothing is read while all is well. What
// cannot be read now changes nothing.
func (s *site) reachedOtherwise() bool {
	used := s.state.get().reached
	if used == nil {
		return false
	}
	cfg, err := s.connect(s.described.get())
	return err == nil && !reflect.DeepEqual(routeOf(cfg), *used)
}

// reconnect replaces the sites of clusters that are reached otherwise by now. The health of a cluster, and what
// failed there, stay known; what it holds is listed anew.
func (e *Engine) reconnect() {
	for i, s := range e.sites {
		if !s.state.get().outdated {
			continue
		}
		next := e.newSite(s.described.get(), s.credentials)
		next.follow(s)
		e.sites[i] = next
		e.crew.start(next)
	}
}
