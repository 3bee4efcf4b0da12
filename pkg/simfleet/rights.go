package simfleet

import (
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// Rights tells whether a user may make a request. The user is one that somebody acts as by
// impersonation: the administrator may do everything. Verb, Group, Resource, Namespace and Name are set.
type Rights func(user string, r Request) bool

// SetRights replaces the rights of a cluster. Nil, as at the start, allows everything to everybody.
func (c *Cluster) SetRights(rights Rights) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rights = rights
}

// userOf is who makes a request: the administrator, or whom it acts as.
func userOf(req *http.Request) user.Info {
	if name := req.Header.Get("Impersonate-User"); name != "" {
		return &user.DefaultInfo{Name: name, Groups: []string{user.AllAuthenticated}}
	}
	return &user.DefaultInfo{Name: "simfleet-admin", Groups: []string{user.SystemPrivilegedGroup}}
}

// permits answers a request 403, as RBAC does, that its user may not make.
func (c *Cluster) permits(w http.ResponseWriter, req *http.Request, info *request.RequestInfo) bool {
	c.mu.Lock()
	rights := c.rights
	c.mu.Unlock()
	who := req.Header.Get("Impersonate-User")
	if who == "" || rights == nil {
		return true
	}
	r := Request{Verb: info.Verb, Group: info.APIGroup, Resource: info.Resource, Namespace: info.Namespace, Name: info.Name, As: who}
	if rights(who, r) {
		return true
	}
	gvr := schema.GroupVersionResource{Group: info.APIGroup, Version: info.APIVersion, Resource: info.Resource}
	err := apierrors.NewForbidden(gvr.GroupResource(), info.Name, fmt.Errorf("user %q cannot %s resource %q in API group %q in the namespace %q",
		who, info.Verb, info.Resource, info.APIGroup, info.Namespace))
	responsewriters.ErrorNegotiated(err, c.catalog.codecs, gvr.GroupVersion(), w, req)
	return false
}
