package apply

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
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

// ownsDigest tells whether the fieldsV1 document of an Apply entry of our manager covers the digest
// annotation. Only we write that, so a copy of our labels or annotations does not have it.
func ownsDigest(fieldsV1 []byte) bool {
	return bytes.Contains(fieldsV1, []byte(`"f:armada-sync.io/digest":{}`))
}
