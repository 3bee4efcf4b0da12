package v1alpha1_test

import (
	"testing"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestASecretOfAnotherNamespaceIsOutOfReach: whoever may write a GitSource in one namespace must not have the
// controller read Secrets of another for it (CVE-2026-44935).
func TestASecretOfAnotherNamespaceIsOutOfReach(t *testing.T) {
	for _, c := range []struct{ reason, secretRef string }{
		{"a namespace in the name", "{name: armada-system/git}"},
		{"a way out of the namespace in the name", "{name: ../armada-system/git}"},
		{"a namespace of its own", "{name: git, namespace: armada-system}"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			documents, problems := v1alpha1.DecodeStream("a.yaml", []byte(`
apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: shop, namespace: team}
spec: {url: "https://git.example.com/shop.git", secretRef: `+c.secretRef+`}`))
			for _, d := range documents {
				_, found := d.Typed()
				problems = append(problems, found...)
			}
			if !v1alpha1.Blocked(problems) {
				t.Errorf("it is accepted: %v", problems)
			}
		})
	}
}
