package apply

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Names by which we are known on members.
const (
	// FieldManager owns the fields that Git sets.
	FieldManager = "armada-sync"
	// HandOverManager keeps the live value of a field that we let go of, since the API server resets
	// a field that its last owner drops.
	HandOverManager = "armada-sync-handover"
	// SystemNamespace holds the parents of our ApplySets on each member.
	SystemNamespace = "armada-system"
	// Tooling is KEP-3659's name and version of the tool that owns a set. kubectl refuses sets of
	// another tool than itself.
	Tooling = "armada-sync/v1alpha1"
)

// Labels and annotations of an ApplySet's parent, in kubectl's spelling (KEP-3659).
const (
	labelSetID           = "applyset.kubernetes.io/id"
	annotationTooling    = "applyset.kubernetes.io/tooling"
	annotationGroupKinds = "applyset.kubernetes.io/contains-group-kinds"
	annotationNamespaces = "applyset.kubernetes.io/additional-namespaces"
)

// maxParentName is the most that the name of a Secret may have.
const maxParentName = 253

// ParentName is the name of the Secret that is the parent of a source's ApplySet on a member. The
// source is "name" or "namespace/name".
func ParentName(source, hubID string) string {
	name := "armada-" + strings.ReplaceAll(source, "/", "-") + "-" + hubID
	if len(name) <= maxParentName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxParentName-9] + "-" + hex.EncodeToString(sum[:4])
}

// SetID is the id of the ApplySet whose parent is the Secret of that name, as KEP-3659 computes it.
func SetID(parentName string) string {
	sum := sha256.Sum256([]byte(parentName + "." + SystemNamespace + ".Secret."))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// errNoAccount tells that the account which a source acts as is not there.
var errNoAccount = errors.New("no such service account")

// errOutside tells that an operation would be beyond the bounds of its tenant.
var errOutside = errors.New("outside of what spec.tenant of the source allows")

var accountResource = resource{
	GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, kind: "ServiceAccount", namespaced: true, listable: true,
}

// userOf is the user that an API server knows a service account by, "namespace/name"; "" for none. The
// groups of the account follow from its name: the API server adds them itself where none are asked for,
// so that our account needs no right to act as groups.
func userOf(identity string) string {
	namespace, name, ok := strings.Cut(identity, "/")
	if !ok {
		return ""
	}
	return "system:serviceaccount:" + namespace + ":" + name
}

// actAs checks that the account of an operation is there, once in a run. API servers let us act as an
// account that does not exist, by the roles that are still bound to its name: then to delete the account
// would not stop its source.
func (r *run) actAs(identity string) error {
	namespace, name, ok := strings.Cut(identity, "/")
	if !ok {
		return nil
	}
	if found, done := r.accounts.Load(identity); done {
		err, _ := found.(error)
		return err
	}
	_, err, _ := r.checks.Do(identity, func() (any, error) {
		_, err := r.m.client.do(r.requests, call{
			verb: "get", method: http.MethodGet, path: accountResource.path(namespace, name), accept: acceptMetadata,
		})
		switch {
		case apierrors.IsNotFound(err):
			err = fmt.Errorf("%w: the source acts as %q (spec.tenant.serviceAccount), which is not on this cluster; "+
				"create it (kubectl -n %s create serviceaccount %s) and bind a role to it that allows what the source declares",
				errNoAccount, identity, namespace, name)
			r.accounts.Store(identity, err)
		case err == nil, apierrors.IsForbidden(err):
			// An account of ours that may not even look leaves it to the API server.
			r.accounts.Store(identity, nil)
			err = nil
		}
		return nil, err
	})
	return err
}

// withinBounds refuses an operation of a tenant where the cluster takes a kind as cluster-scoped that was
// judged by the namespace in its reference.
func withinBounds(j job, res resource) error {
	if !j.Bounded || j.Namespace == "" || res.namespaced {
		return nil
	}
	return fmt.Errorf("%w: %s is cluster-scoped on this cluster, and namespace %q in its manifest means nothing there",
		errOutside, res.kind, j.Namespace)
}

// asWhom adds to the message of a refusal as whom the request was made, and what would allow it.
func asWhom(identity string, err error, message string) string {
	status, refused := statusOf(err)
	switch {
	case identity == "" || errors.Is(err, errNoAccount) || errors.Is(err, errOutside):
		return message
	case refused && strings.Contains(status.Message, "cannot impersonate"):
		return fmt.Sprintf("our account may not act as service account %q: armada-sync join with --impersonate %s lets it", identity, identity)
	}
	return fmt.Sprintf("as service account %q: %s", identity, message)
}

// ownsDigest tells whether the fieldsV1 document of an Apply entry of our manager covers the digest
// annotation. Only we write that, so a copy of our labels or annotations does not have it.
func ownsDigest(fieldsV1 []byte) bool {
	return bytes.Contains(fieldsV1, []byte(`"f:armada-sync.io/digest":{}`))
}
