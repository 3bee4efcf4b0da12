package v1alpha1

import (
	"errors"
	"strings"
)

const (
	// maxQuantityLength is how many characters a quantity may have; the longest that mean anything
	// have about thirty.
	maxQuantityLength = 64
	// maxQuantityExponent is how many digits the exponent of a quantity may have. The greatest suffix
	// there is, E, stands for 10^18.
	maxQuantityExponent = 3
)

// CheckQuantity refuses quantities that resource.ParseQuantity would read for hours, such as
// "1e-999999999", which it rounds with numbers of that many digits. It says nothing about any other
// text, whether that is a quantity or not. Whoever reads a quantity out of a repository asks here
// first.
func CheckQuantity(text string) error {
	if len(text) > maxQuantityLength {
		return errors.New("a quantity of more than 64 characters")
	}
	i := strings.LastIndexAny(text, "eE")
	if i < 0 {
		return nil
	}
	digits := strings.TrimLeft(strings.TrimLeft(text[i+1:], "+-"), "0")
	if len(digits) > maxQuantityExponent {
		return errors.New("a quantity with an exponent of more than 3 digits")
	}
	return nil
}
