package engine_test

import (
	"strings"
	"testing"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/engine"
)

// What only a hub heeds is said with its line and what to do instead; it keeps nobody from starting.
func TestFieldsForAHubAreReportedInAFile(t *testing.T) {
	const source = `apiVersion: armada-sync.io/v1alpha1
kind: GitSource
metadata: {name: shop}
spec:
  url: https://git.example.com/shop.git
`
	cases := []struct {
		name, document, where, says string
		reason                      string
	}{
		{"secretRef", source + "  secretRef: {name: git}\n", "fleet.yaml:6", "credentialsFile", "credentials would silently be missing"},
		{"prune", source + "  interval: 10s\n  deletionPolicy: Prune\n", "", "", "a source that is taken out of the file takes its objects along with the next start"},
		{"orphan", source + "  deletionPolicy: Orphan\n", "", "", "that is what happens"},
		{"cluster", "apiVersion: armada-sync.io/v1alpha1\nkind: Cluster\nmetadata: {name: eu}\nspec:\n  secretRef: {name: eu}\n", "fleet.yaml:5", "kubeconfigFile", "the cluster would not be reached"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, problems := engine.ParseConfiguration("fleet.yaml", []byte(c.document))
			if v1alpha1.Blocked(problems) {
				t.Fatalf("%s: the configuration is refused: %v", c.reason, problems)
			}
			var found []string
			for _, p := range problems {
				if p.ID == v1alpha1.FindingFieldIgnored && p.Severity == v1alpha1.SeverityCaution {
					found = append(found, p.Error())
				}
			}
			if got := strings.Join(found, "\n"); !strings.HasPrefix(got, c.where) || !strings.Contains(got, c.says) || (c.where == "") != (got == "") {
				t.Errorf("%s: reported is %q, want %q … %q", c.reason, got, c.where, c.says)
			}
		})
	}
}
