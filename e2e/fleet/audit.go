package fleet

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// auditPolicy records who did what, without bodies. It leaves out this
// package's own requests, kwok's, and what the control plane only reads:
// tests ask what *their* clients did, and what controllers wrote.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["` + harnessUser + `", "` + kwokUser + `"]
- level: None
  users: ["system:apiserver", "` + controllerUser + `", "` + schedulerUser + `"]
  verbs: [get, list, watch]
- level: Metadata
`

// AuditEvent is one request as the API server recorded it.
type AuditEvent struct {
	// ID is the server's name for the request.
	ID string
	// User and UserAgent say who asked.
	User, UserAgent string
	// As is whom the user acted as, by impersonation; empty: nobody.
	As string
	// Verb is get, list, watch, create, update, patch, delete or
	// deletecollection; for a path that is no resource, the lower-case HTTP
	// method. A server-side apply is a patch.
	Verb string
	// URI is the path with its query, which holds fieldManager, dryRun and
	// the like.
	URI string
	// Group, Resource ("deployments"), Subresource, Namespace and Name say
	// what was asked for; they are empty for a path that is no resource.
	Group, Resource, Subresource, Namespace, Name string
	// Code is the HTTP status of the answer. A watch has its event when it
	// begins.
	Code int
	// Received is when the server got the request.
	Received time.Time
}

// Writes says whether the request could change something: every verb but the
// reading ones, and no dry run. Look at Code to see whether it did.
func (e AuditEvent) Writes() bool {
	switch e.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return e.Resource != "" && !strings.Contains(e.URI, "dryRun=")
	default:
		return false
	}
}

// auditLine is the part of audit.k8s.io/v1 Event that AuditEvent is made from.
type auditLine struct {
	AuditID    string `json:"auditID"`
	RequestURI string `json:"requestURI"`
	Verb       string `json:"verb"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ImpersonatedUser struct {
		Username string `json:"username"`
	} `json:"impersonatedUser"`
	UserAgent string `json:"userAgent"`
	ObjectRef struct {
		APIGroup    string `json:"apiGroup"`
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	RequestReceivedTimestamp time.Time `json:"requestReceivedTimestamp"`
}

// AuditEvents returns every recorded request so far, in the order in which the
// server answered, one event each. The server writes the event right after it
// has sent the answer: a caller that waits for the event of a request that it
// just made has to ask until it is there. Recorded are all requests but those
// of this package and of kwok, and the reads of the control plane's parts.
func (c *Cluster) AuditEvents() ([]AuditEvent, error) {
	content, err := os.ReadFile(c.AuditLog)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	events, err := parseAudit(content)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", c.AuditLog, err)
	}
	return events, nil
}

// parseAudit reads a log of JSON lines. An unfinished last line, from a server
// that writes at this moment or was killed, is left out.
func parseAudit(content []byte) ([]AuditEvent, error) {
	end := bytes.LastIndexByte(content, '\n') + 1
	var events []AuditEvent
	seen := make(map[string]bool)
	lines := bufio.NewScanner(bytes.NewReader(content[:end]))
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		var l auditLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		// A watch is recorded when it begins and again when it ends.
		if seen[l.AuditID] {
			continue
		}
		seen[l.AuditID] = true
		events = append(events, AuditEvent{
			ID: l.AuditID, User: l.User.Username, UserAgent: l.UserAgent, As: l.ImpersonatedUser.Username, Verb: l.Verb, URI: l.RequestURI,
			Group: l.ObjectRef.APIGroup, Resource: l.ObjectRef.Resource, Subresource: l.ObjectRef.Subresource,
			Namespace: l.ObjectRef.Namespace, Name: l.ObjectRef.Name,
			Code: l.ResponseStatus.Code, Received: l.RequestReceivedTimestamp,
		})
	}
	return events, lines.Err()
}
