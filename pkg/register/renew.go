package register

import (
	"hash/fnv"
	"time"
)

// Annotations on a kubeconfig Secret of the hub, as RFC 3339, so that the next renewal can be decided from
// metadata alone.
const (
	AnnotationTokenIssued  = "armada-sync.io/token-issued"
	AnnotationTokenExpires = "armada-sync.io/token-expires"
	// LabelCluster names the cluster that a kubeconfig Secret is for.
	LabelCluster = "armada-sync.io/cluster"
	// AnnotationClusterUID on a Cluster tells whether a name still means the same cluster.
	AnnotationClusterUID = "armada-sync.io/cluster-uid"
)

// Token lifetimes. An API server may shorten what is asked for.
const (
	// DefaultTokenLifetime leaves a hub that is down fifteen days until members no longer know it.
	DefaultTokenLifetime = 30 * 24 * time.Hour
	// MinTokenLifetime is the least that API servers accept.
	MinTokenLifetime = 10 * time.Minute
)

// Token tells when a token was issued and when it expires.
type Token struct {
	Issued, Expires time.Time
}

// TokenOf reads the annotations of a kubeconfig Secret; false where it was not written by us, so that
// renewing it is somebody else's business.
func TokenOf(annotations map[string]string) (Token, bool) {
	issued, err := time.Parse(time.RFC3339, annotations[AnnotationTokenIssued])
	if err != nil {
		return Token{}, false
	}
	expires, err := time.Parse(time.RFC3339, annotations[AnnotationTokenExpires])
	if err != nil || !expires.After(issued) {
		return Token{}, false
	}
	return Token{Issued: issued, Expires: expires}, true
}

// RenewAt is when the token of a cluster is to be renewed: between four and six tenths of its life, by
// the cluster's name, so that clusters which joined together do not all renew at once.
func RenewAt(cluster string, t Token) time.Time {
	h := fnv.New32a()
	h.Write([]byte(cluster))
	share := 0.4 + 0.2*float64(h.Sum32()%1000)/1000
	return t.Issued.Add(time.Duration(share * float64(t.Expires.Sub(t.Issued))))
}

// Renewal is what is to be done about a token now.
type Renewal string

// The renewals.
const (
	// RenewalNotDue: look again at the time returned.
	RenewalNotDue Renewal = "NotDue"
	// RenewalDue: renew it; if that fails, try again at the time returned.
	RenewalDue Renewal = "Due"
	// RenewalTooLate: it has expired, and an administrator has to renew it.
	RenewalTooLate Renewal = "TooLate"
)

// Decide says what to do about a cluster's token at a time, and when to look again.
func Decide(cluster string, t Token, now time.Time) (Renewal, time.Time) {
	at := RenewAt(cluster, t)
	switch {
	case now.Before(at):
		return RenewalNotDue, at
	case now.Before(t.Expires):
		// Ten more attempts in what is left of it, but no more than one in a minute.
		return RenewalDue, now.Add(max(t.Expires.Sub(now)/10, time.Minute))
	}
	return RenewalTooLate, now.Add(time.Hour)
}
