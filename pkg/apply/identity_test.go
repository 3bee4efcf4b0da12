package apply

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestARefusalSaysAsWhomAndWhatWouldAllowIt(t *testing.T) {
	forbidden := func(words string) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "serviceaccounts"}, "deployer", errors.New(words))
	}
	for _, c := range []struct {
		reason, identity string
		err              error
		want             string
	}{
		{"our own requests are told as they are", "", forbidden("no"), "the message"},
		{"the account lacks a right", "shop/deployer", forbidden("no"), `as service account "shop/deployer": the message`},
		{"we may not act as the account", "shop/deployer",
			forbidden(`User "system:serviceaccount:armada-system:armada-sync" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "shop"`),
			`our account may not act as service account "shop/deployer": armada-sync join with --impersonate shop/deployer lets it`},
		{"the account is not there, which says enough", "shop/deployer", fmt.Errorf("%w: create it", errNoAccount), "the message"},
	} {
		if got := asWhom(c.identity, c.err, "the message"); got != c.want {
			t.Errorf("%s: %q, want %q", c.reason, got, c.want)
		}
	}
}
