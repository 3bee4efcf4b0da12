package register

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// The oldest version of Kubernetes that can be a member: the first with SelfSubjectReview in
// authentication.k8s.io/v1, by which a probe learns whom the cluster takes us for.
const (
	minMajor = 1
	minMinor = 28
)

// probeTimeout bounds one request of a probe.
const probeTimeout = 15 * time.Second

// Reason is why a cluster cannot be a member, as conditions spell it.
type Reason string

// The reasons.
const (
	ReasonUnreachable Reason = "Unreachable"
	ReasonUntrusted   Reason = "UntrustedServer"
	ReasonCredentials Reason = "CredentialsRefused"
	ReasonForbidden   Reason = "Forbidden"
	ReasonVersion     Reason = "UnsupportedVersion"
	ReasonNotReady    Reason = "NotReady"
)

// ProbeError says why a cluster cannot be a member, and what to do. It holds no credentials.
type ProbeError struct {
	Reason Reason
	// Message says what was seen.
	Message string
	// Advice says what to do.
	Advice string
}

// Error says both.
func (e *ProbeError) Error() string { return e.Message + "; " + e.Advice }

// Facts are what a probe saw.
type Facts struct {
	// Version of Kubernetes, as "v1.36.3".
	Version string
	// User is whom the API server takes us for.
	User string
	// UID is that of the namespace kube-system, by which one tells whether two addresses are one
	// cluster. Empty where it may not be read.
	UID string
}

// Probe asks a cluster who it is and whom it takes us for. A failure is a *ProbeError.
func Probe(ctx context.Context, cfg *rest.Config) (Facts, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.Timeout = probeTimeout
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		// The words of client-go may hold a path or a URL, never a token.
		return Facts{}, &ProbeError{Reason: ReasonCredentials, Message: "the kubeconfig cannot be used", Advice: "write another"}
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return Facts{}, explain(cfg.Host, err)
	}
	if err := checkVersion(version.GitVersion); err != nil {
		return Facts{}, err
	}
	facts := Facts{Version: version.GitVersion}
	me, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return Facts{}, explain(cfg.Host, err)
	}
	facts.User = me.Status.UserInfo.Username
	system, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	switch {
	case err == nil:
		facts.UID = string(system.UID)
	case !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err):
		return Facts{}, explain(cfg.Host, err)
	}
	return facts, nil
}

// explain turns an error of client-go into one that says what to do.
func explain(host string, err error) error {
	if u, parseErr := url.Parse(host); parseErr == nil {
		host = u.Host
	}
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var network net.Error
	switch {
	case apierrors.IsUnauthorized(err):
		return &ProbeError{ReasonCredentials, fmt.Sprintf("%s refuses the credentials: they are wrong, revoked or expired", host), "log in again, or renew the kubeconfig with: armada-sync rotate NAME --cluster-context CONTEXT"}
	case apierrors.IsForbidden(err):
		return &ProbeError{ReasonForbidden, fmt.Sprintf("%s forbids it: %s", host, apiMessage(err)), "use an account with the right, or join the cluster again"}
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid):
		return &ProbeError{ReasonUntrusted, fmt.Sprintf("the certificate of %s is not trusted: %v", host, err), "put the cluster's certificate authority into the kubeconfig"}
	case apierrors.IsServiceUnavailable(err), apierrors.IsInternalError(err), apierrors.IsTooManyRequests(err), apierrors.IsTimeout(err):
		return &ProbeError{ReasonNotReady, fmt.Sprintf("%s is not ready: %s", host, apiMessage(err)), "try again when it is"}
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return &ProbeError{ReasonUnreachable, fmt.Sprintf("%s cannot be reached: %v", host, err), "check the address and the network between"}
	}
	return &ProbeError{ReasonUnreachable, fmt.Sprintf("%s does not answer as a Kubernetes API server: %s", host, apiMessage(err)), "check the address in the kubeconfig"}
}

// apiMessage is what an API server said, in at most 200 bytes.
func apiMessage(err error) string {
	message := err.Error()
	if len(message) > 200 {
		message = message[:200] + "…"
	}
	return message
}

var versionNumbers = regexp.MustCompile(`^v?(\d+)\.(\d+)`)

// supported tells whether a version such as "v1.29.4-gke.100" is new enough. One that cannot be read is
// not.
func supported(version string) bool {
	m := versionNumbers.FindStringSubmatch(version)
	if m == nil {
		return false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return major > minMajor || major == minMajor && minor >= minMinor
}
