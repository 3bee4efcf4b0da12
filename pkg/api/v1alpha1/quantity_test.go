package v1alpha1_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// TestCheckQuantity states that what passes is read at once, and what is in use passes.
func TestCheckQuantity(t *testing.T) {
	cases := []struct {
		reason, text string
		refused      bool
	}{
		{"plain", "12", false},
		{"milli", "500m", false},
		{"binary", "2Gi", false},
		{"exa is no exponent", "1E", false},
		{"exponent", "1e3", false},
		{"negative exponent", "1.5E-3", false},
		{"the largest exponent", "1e999", false},
		{"the smallest exponent", "1e-999", false},
		{"leading zeros", "1e0000003", false},
		{"not a quantity, which others say", "many", false},
		{"an exponent that takes hours", "1e-999999999", true},
		{"upwards too", "1E+2147483647", true},
		{"beyond any integer", "1e-99999999999999999999", true},
		{"more digits than anyone needs", strings.Repeat("9", 100000), true},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			err := v1alpha1.CheckQuantity(c.text)
			if (err != nil) != c.refused {
				t.Fatalf("%v, want refused %t", err, c.refused)
			}
			if err != nil {
				return
			}
			began := time.Now()
			_, _ = resource.ParseQuantity(c.text)
			if took := time.Since(began); took > time.Second {
				t.Errorf("reading it took %v", took)
			}
		})
	}
}
