package hub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/register"
)

// tokens stands for members that give out tokens of one lifetime, and counts them.
type tokens struct {
	life time.Duration

	mu     sync.Mutex
	issued []time.Time
	fails  error
}

func (g *tokens) renew(ctx context.Context, hub coreclient.SecretsGetter, s *corev1.Secret, now time.Time) (register.Token, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.issued = append(g.issued, now)
	if g.fails != nil {
		return register.Token{}, g.fails
	}
	s = s.DeepCopy()
	t := register.Token{Issued: now, Expires: now.Add(g.life)}
	s.Annotations[register.AnnotationTokenIssued] = t.Issued.UTC().Format(time.RFC3339)
	s.Annotations[register.AnnotationTokenExpires] = t.Expires.UTC().Format(time.RFC3339)
	s.Data["kubeconfig"] = fmt.Appendf(nil, "good %d", len(g.issued))
	_, err := hub.Secrets(s.Namespace).Update(ctx, s, metav1.UpdateOptions{})
	return t, err
}

func (g *tokens) asked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.issued)
}

func (g *tokens) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fails = err
}

// joined makes the Secret of a cluster one that join wrote now.
func (w *world) joined(cluster string, life time.Duration) {
	w.t.Helper()
	now := time.Now().UTC()
	w.apply(fmt.Sprintf(`{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: armada-system, labels: {%s: %s}, annotations: {%s: %q, %s: %q}}, stringData: {kubeconfig: good}}`,
		cluster, register.LabelCluster, cluster, register.AnnotationTokenIssued, now.Format(time.RFC3339), register.AnnotationTokenExpires, now.Add(life).Format(time.RFC3339)))
}

// Tokens are renewed in the middle of their life, one Secret written for each, and the member goes on without
// a restart. Secrets that join did not write are somebody else's.
func TestTokensAreRenewedBeforeTheyExpire(t *testing.T) {
	inWorld(t, func(w *world) {
		g := &tokens{life: 30 * time.Minute}
		w.renew = g.renew
		w.joined("a", g.life)
		r := w.placed()
		w.pass(11 * time.Minute)
		w.reset()
		if n := g.asked(); n != 0 {
			t.Fatalf("%d tokens were asked for in the first third of a life", n)
		}
		w.pass(8 * time.Minute)
		if n := g.asked(); n != 1 {
			t.Fatalf("%d tokens were asked for in the middle of a life, want 1", n)
		}
		var secrets []string
		for _, path := range w.writes("hub") {
			if strings.Contains(path, "secrets") {
				secrets = append(secrets, path)
			}
		}
		if len(secrets) != 1 {
			t.Errorf("Secrets were written: %q", secrets)
		}
		c := read[v1alpha1.Cluster](w, "Cluster", "", "a")
		if missing := condition(c.Status.Conditions, "RenewalFailed", "") + condition(c.Status.Conditions, "Ready", "True"); missing != "" {
			t.Error(missing)
		}
		w.push(shop(10))
		w.eventually(time.Minute, w.hasShares(map[string]int32{"a": 5, "b": 5}))
		w.halt(r)
	})
}

// A renewal that fails is tried again with growing care until the token expires, and the Cluster says what to
// do; then it is left alone, and a rotation by hand ends it.
func TestARenewalThatFailsSaysWhatToDo(t *testing.T) {
	inWorld(t, func(w *world) {
		g := &tokens{life: 20 * time.Minute, fails: errors.New("the member does not answer")}
		w.renew = g.renew
		w.joined("a", g.life)
		r := w.placed()
		says := func(reason, part string) func() string {
			return func() string {
				c := read[v1alpha1.Cluster](w, "Cluster", "", "a")
				failed := meta.FindStatusCondition(c.Status.Conditions, "RenewalFailed")
				if failed == nil || failed.Reason != reason || !strings.Contains(failed.Message, part) || !strings.Contains(failed.Message, "armada-sync rotate a") {
					return fmt.Sprintf("RenewalFailed is %+v, want %s with %q", failed, reason, part)
				}
				return ""
			}
		}
		w.eventually(13*time.Minute, says("RenewalFailed", "does not answer"))
		c := read[v1alpha1.Cluster](w, "Cluster", "", "a")
		if missing := condition(c.Status.Conditions, "Ready", "True") + condition(c.Status.Conditions, "Stalled", ""); missing != "" {
			t.Errorf("a token that is still valid: %s", missing)
		}
		w.eventually(time.Minute, func() string {
			events, err := w.on("Event", "default").List(w.t.Context(), metav1.ListOptions{})
			for _, e := range events.Items {
				if m, _ := e.Object["message"].(string); strings.Contains(m, "armada-sync rotate a") {
					return ""
				}
			}
			return fmt.Sprintf("no event says what to do: %v", err)
		})
		w.pass(12 * time.Minute)
		w.eventually(time.Minute, says("TokenExpired", "expired at"))
		c = read[v1alpha1.Cluster](w, "Cluster", "", "a")
		if missing := condition(c.Status.Conditions, "Stalled", "True"); missing != "" {
			t.Error(missing)
		}
		asked := g.asked()
		if asked < 4 || asked > 15 {
			t.Errorf("%d attempts within ten minutes", asked)
		}
		w.pass(10 * time.Minute)
		if n := g.asked(); n != asked {
			t.Errorf("%d attempts with a token that has expired", n-asked)
		}
		g.fail(nil)
		w.joined("a", g.life)
		w.eventually(2*time.Minute, func() string {
			c := read[v1alpha1.Cluster](w, "Cluster", "", "a")
			return condition(c.Status.Conditions, "RenewalFailed", "") + condition(c.Status.Conditions, "Stalled", "")
		})
		w.halt(r)
	})
}
