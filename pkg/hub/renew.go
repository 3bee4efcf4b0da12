package hub

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/register"
)

// Renew gives a member a new token by its kubeconfig Secret and writes the Secret; see register.Renew.
type Renew func(ctx context.Context, hub coreclient.SecretsGetter, secret *corev1.Secret, now time.Time) (register.Token, error)

const (
	// renewInterval is the longest time between two looks at what is due. A look reads memory alone.
	renewInterval = time.Minute
	// renewDelay lets Secrets that change together be looked at together.
	renewDelay = time.Second
	// renewTimeout bounds one renewal: a token, and the proof that it works.
	renewTimeout = time.Minute
	// renewConcurrency is how many members are asked for tokens at once.
	renewConcurrency = 4
)

// renewer renews the tokens of joined clusters in the middle of their life. The Secrets' annotations say
// when; the engine takes up a Secret that changed as it does any rotation.
type renewer struct {
	watcher *watcher
	client  *client
	limiter *rate.Limiter
	renew   Renew
	mark    func(map[string]mark)
	log     *slog.Logger

	// attempts by name of the Secret, and marks by cluster, belong to the goroutine of run.
	attempts map[string]attempt
	marks    map[string]mark
}

// attempt is what was tried with one version of a Secret.
type attempt struct {
	version string
	// next is when to look again, by which a renewed Secret has arrived in our cache.
	next time.Time
}

// renewal is one that is due.
type renewal struct {
	secret, version, cluster string
	// expires is the end of the present token.
	expires, again time.Time
	token          register.Token
	err            error
}

func newRenewer(w *watcher, c *client, limiter *rate.Limiter, renew Renew, report func(map[string]mark), log *slog.Logger) *renewer {
	return &renewer{
		watcher: w, client: c, limiter: limiter, renew: renew, mark: report, log: log,
		attempts: map[string]attempt{}, marks: map[string]mark{},
	}
}

// run renews until ctx ends.
func (r *renewer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	soon := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.watcher.rotated:
			if !soon {
				soon = true
				timer.Reset(renewDelay)
			}
			continue
		case <-timer.C:
		}
		soon = false
		next := r.turn(ctx)
		timer.Reset(min(max(time.Until(next), time.Second), renewInterval))
	}
}

// turn renews what is due, and returns when to look again.
func (r *renewer) turn(ctx context.Context) time.Time {
	now := time.Now()
	due, next := r.due(now)
	var group sync.WaitGroup
	free := make(chan struct{}, renewConcurrency)
	for i := range due {
		group.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			due[i].token, due[i].err = r.one(ctx, due[i].secret)
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return next
	}
	for _, d := range due {
		r.attempts[d.secret] = attempt{version: d.version, next: d.again}
		if d.again.Before(next) {
			next = d.again
		}
		r.judge(ctx, d)
	}
	r.mark(maps.Clone(r.marks))
	return next
}

// due returns the renewals that are due, and when the next one is.
func (r *renewer) due(now time.Time) ([]renewal, time.Time) {
	next := now.Add(renewInterval)
	owners := r.owners()
	seen := map[string]bool{}
	var due []renewal
	for _, s := range r.watcher.secretsIn(r.watcher.namespace) {
		cluster, ok := owners[s.Name]
		token, ours := register.TokenOf(s.Annotations)
		if !ok || !ours || s.Labels[register.LabelCluster] != cluster {
			continue
		}
		seen[cluster] = true
		version := string(s.UID) + "/" + s.ResourceVersion
		if a := r.attempts[s.Name]; a.version == version && now.Before(a.next) {
			next = earlier(next, a.next)
			continue
		}
		what, at := register.Decide(cluster, token, now)
		switch what {
		case register.RenewalNotDue:
			delete(r.attempts, s.Name)
			delete(r.marks, cluster)
			next = earlier(next, at)
		case register.RenewalDue:
			due = append(due, renewal{secret: s.Name, version: version, cluster: cluster, expires: token.Expires, again: at})
		case register.RenewalTooLate:
			r.attempts[s.Name] = attempt{version: version, next: at}
			r.marks[cluster] = mark{
				condition: conditionRenewalFailed, reason: "TokenExpired", stalled: true,
				message: fmt.Sprintf("the token expired at %s and was not renewed in time; renew it as an administrator of the cluster with: armada-sync rotate %s --cluster-context CONTEXT", token.Expires.Format(time.RFC3339), cluster),
			}
		}
	}
	maps.DeleteFunc(r.marks, func(cluster string, _ mark) bool { return !seen[cluster] })
	slices.SortFunc(due, func(a, b renewal) int { return a.expires.Compare(b.expires) })
	return due, next
}

// owners are the clusters by the Secret of our namespace that they are reached with.
func (r *renewer) owners() map[string]string {
	owners := map[string]string{}
	for _, c := range list[v1alpha1.Cluster](r.watcher.clusters) {
		if s := c.Spec.SecretRef; s != nil && r.watcher.namespaceOf(s) == r.watcher.namespace {
			owners[s.Name] = c.Name
		}
	}
	return owners
}

// one renews one token.
func (r *renewer) one(ctx context.Context, name string) (register.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	secret, err := r.client.core.Secrets(r.watcher.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return register.Token{}, fmt.Errorf("read Secret %q: %w", r.watcher.namespace+"/"+name, err)
	}
	if err := r.limiter.Wait(ctx); err != nil {
		return register.Token{}, err
	}
	return r.renew(ctx, r.client.core, secret, time.Now())
}

// judge says what became of a renewal.
func (r *renewer) judge(ctx context.Context, d renewal) {
	switch {
	case d.err == nil:
		delete(r.marks, d.cluster)
		r.log.InfoContext(ctx, "renewed the token of a cluster", "cluster", d.cluster, "expires", d.token.Expires.UTC().Format(time.RFC3339))
	case apierrors.IsConflict(d.err):
		// Somebody else wrote the Secret meanwhile: what it says now is looked at in the next turn.
	default:
		if _, standing := r.marks[d.cluster]; !standing {
			r.log.WarnContext(ctx, "the token of a cluster was not renewed and will be tried again", "cluster", d.cluster, "error", d.err)
		}
		r.marks[d.cluster] = mark{
			condition: conditionRenewalFailed, reason: "RenewalFailed",
			message: fmt.Sprintf("the token is due for renewal and expires at %s: %v; it is tried again until then, or renew it with: armada-sync rotate %s --cluster-context CONTEXT", d.expires.UTC().Format(time.RFC3339), d.err, d.cluster),
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
