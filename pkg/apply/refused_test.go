package apply_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/armada-sync/armada-sync/pkg/apply"
)

// Credentials that a member refuses are nothing that mends itself: the error says what people are to do.
func TestRefusedCredentialsSayWhatToDo(t *testing.T) {
	err := &apply.NotReadyError{Cluster: "eu-1", Err: apierrors.NewUnauthorized("Unauthorized")}
	if got := err.Error(); !strings.Contains(got, "armada-sync rotate eu-1 --cluster-context") || !strings.Contains(got, "expired") {
		t.Errorf("it says %q", got)
	}
	err.Err = apierrors.NewServiceUnavailable("starting")
	if got := err.Error(); strings.Contains(got, "rotate") || !strings.Contains(got, "starting") {
		t.Errorf("it says %q", got)
	}
}
