package register_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/armada-sync/armada-sync/pkg/register"
)

func TestTokenOf(t *testing.T) {
	for _, c := range []struct {
		reason, issued, expires string
		ok                      bool
	}{
		{"what join writes", "2026-01-01T00:00:00Z", "2026-01-31T00:00:00Z", true},
		{"a kubeconfig that somebody else wrote", "", "", false},
		{"edited by hand", "yesterday", "2026-01-31T00:00:00Z", false},
		{"expires before it was issued", "2026-01-31T00:00:00Z", "2026-01-01T00:00:00Z", false},
	} {
		_, ok := register.TokenOf(map[string]string{register.AnnotationTokenIssued: c.issued, register.AnnotationTokenExpires: c.expires})
		if ok != c.ok {
			t.Errorf("%s: %v", c.reason, ok)
		}
	}
}

// A token is renewed once in the middle of its life, never after it, and whoever asks at the times that
// Decide names has several attempts before it is too late.
func TestRenewalComesInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z][-a-z0-9]{0,20}[a-z0-9]`).Draw(t, "name")
		issued := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "issued"), 0).UTC()
		life := time.Duration(rapid.Int64Range(int64(register.MinTokenLifetime/time.Second), 366*24*3600).Draw(t, "life")) * time.Second
		token := register.Token{Issued: issued, Expires: issued.Add(life)}

		what, at := register.Decide(name, token, issued)
		if what != register.RenewalNotDue || at.Before(issued.Add(life*39/100)) || at.After(issued.Add(life*61/100)) {
			t.Fatalf("a new token: %s at %s", what, at)
		}
		attempts := 0
		for now := at; ; {
			what, next := register.Decide(name, token, now)
			if !next.After(now) {
				t.Fatalf("at %s look again at %s", now, next)
			}
			if what == register.RenewalTooLate {
				if now.Before(token.Expires) {
					t.Fatalf("too late at %s, before %s", now, token.Expires)
				}
				break
			}
			attempts++
			now = next
		}
		if attempts < 4 {
			t.Errorf("%d attempts in a life of %s", attempts, life)
		}
	})
}

// Clusters that joined together renew apart.
func TestRenewalsAreSpread(t *testing.T) {
	token := register.Token{Issued: time.Unix(0, 0), Expires: time.Unix(0, 0).Add(30 * 24 * time.Hour)}
	hours := map[int64]int{}
	for i := range 1000 {
		name := "cluster-" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		hours[int64(register.RenewAt(name, token).Sub(token.Issued)/time.Hour)]++
	}
	for hour, n := range hours {
		if n > 50 {
			t.Errorf("%d of 1000 clusters renew in hour %d", n, hour)
		}
	}
}
