package placement

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The keys of the taints that follow from a cluster's health.
const (
	taintNotReady    = "armada-sync.io/not-ready"
	taintUnreachable = "armada-sync.io/unreachable"
)

// ownTaintKey reads Karmada's names of the health taints as ours, so that clusters and policies
// written for it mean the same here.
func ownTaintKey(key string) string {
	switch key {
	case "cluster.karmada.io/not-ready":
		return taintNotReady
	case "cluster.karmada.io/unreachable":
		return taintUnreachable
	}
	return key
}

// withImplied adds the tolerations that a policy has without saying so: for each of the health
// taints that none of its own is about, Exists, NoExecute, for as long as the fleet allows.
func (f *Fleet) withImplied(own []corev1.Toleration) []corev1.Toleration {
	all := make([]corev1.Toleration, len(own), len(own)+2)
	copy(all, own)
	for i := range all {
		all[i].Key = ownTaintKey(all[i].Key)
	}
	seconds := f.implied
	for _, key := range []string{taintNotReady, taintUnreachable} {
		implied := true
		for i := range own {
			t := &all[i]
			if (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
				implied = false
			}
		}
		if implied {
			all = append(all, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
			})
		}
	}
	return all
}

// taintToleration rejects clusters with a taint NoSchedule or NoExecute that the policy does not
// tolerate, or no longer tolerates. Where the workload is already, NoSchedule lets it keep its share
// and, where replicas are divided by capacity, take no more; a pinned workload stays where it is
// whatever is executed there, and one that
// must not be moved for now is treated as with NoSchedule.
func taintToleration(a *attempt) check {
	return func(c *candidate) string {
		for i := range c.taints {
			t := &c.taints[i]
			tolerated, until := a.query.tolerates(t, a.fleet.now)
			switch {
			case tolerated && until.IsZero():
			case tolerated:
				c.until = earlier(c.until, until)
			case t.Effect == corev1.TaintEffectNoSchedule && c.placed:
				c.full = true
			case t.Effect == corev1.TaintEffectNoExecute && c.placed && a.query.Pinned:
				c.pinnedBy = taintName(t)
			case t.Effect == corev1.TaintEffectNoExecute && c.placed && a.query.Stay != "":
				c.full, c.stays = true, true
			case !until.IsZero():
				return fmt.Sprintf("taint %s was tolerated until %s", taintName(t), until.UTC().Format(time.RFC3339))
			default:
				return "taint " + taintName(t) + " is not tolerated"
			}
		}
		return ""
	}
}

// tolerates tells whether a taint is tolerated now. until, where it is not zero, is when a NoExecute
// taint ceases, or ceased, to be: the least tolerationSeconds of the matching tolerations after the
// taint was added, or after now where it does not say when.
func (q *query) tolerates(t *corev1.Taint, now time.Time) (tolerated bool, until time.Time) {
	var seconds *int64
	for i := range q.tolerations {
		toleration := &q.tolerations[i]
		if !matches(toleration, t) {
			continue
		}
		tolerated = true
		if s := toleration.TolerationSeconds; s != nil && (seconds == nil || *s < *seconds) {
			seconds = s
		}
	}
	if !tolerated || t.Effect != corev1.TaintEffectNoExecute || seconds == nil {
		return tolerated, time.Time{}
	}
	added := now
	if t.TimeAdded != nil {
		added = t.TimeAdded.Time
	}
	// A duration holds 292 years; more seconds than that are as good as forever.
	const longest = int64(1<<63-1) / int64(time.Second)
	until = added.Add(time.Duration(min(max(*seconds, 0), longest)) * time.Second)
	return until.After(now), until
}

// matches tells whether a toleration is about a taint, by Kubernetes' rules (corev1's ToleratesTaint,
// which wants a logger): an empty key matches all keys, an empty effect all effects, Lt and Gt compare
// the taint's value as a whole number.
func matches(t *corev1.Toleration, taint *corev1.Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
		return false
	}
	switch t.Operator {
	case corev1.TolerationOpExists:
		return true
	case corev1.TolerationOpEqual, "":
		return t.Value == taint.Value
	case corev1.TolerationOpLt, corev1.TolerationOpGt:
		bound, err := strconv.ParseInt(t.Value, 10, 64)
		have, errTaint := strconv.ParseInt(taint.Value, 10, 64)
		if err != nil || errTaint != nil {
			return false
		}
		return t.Operator == corev1.TolerationOpLt && have < bound || t.Operator == corev1.TolerationOpGt && have > bound
	}
	return false
}

func taintName(t *corev1.Taint) string {
	if t.Value == "" {
		return t.Key + ":" + string(t.Effect)
	}
	return t.Key + "=" + t.Value + ":" + string(t.Effect)
}

// earlier returns the earlier of two times, of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
