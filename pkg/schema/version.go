package schema

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is a minor version of Kubernetes. The zero value means that it is not known.
type Version struct{ Major, Minor int }

// ParseVersion reads "1.36", "v1.36.3" and what distributions make of it, such as "v1.36.3-gke.100" and
// "1.36+".
func ParseVersion(text string) (Version, error) {
	major, rest, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(text), "v"), ".")
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	v := Version{}
	var err error
	if v.Major, err = strconv.Atoi(major); err != nil || !found || v.Major < 1 || v.Major > 99 {
		return Version{}, fmt.Errorf("%q is no version of Kubernetes, such as 1.36", text)
	}
	if v.Minor, err = strconv.Atoi(rest[:digits]); err != nil || v.Minor > 999 {
		return Version{}, fmt.Errorf("%q is no version of Kubernetes, such as 1.36", text)
	}
	return v, nil
}

// String writes "1.36", and "" where it is not known.
func (v Version) String() string {
	if v.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%d", v.Major, v.Minor)
}

// IsZero tells that the version is not known.
func (v Version) IsZero() bool { return v == Version{} }

// Compare orders versions by age, the oldest first.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Major, o.Major), cmp.Compare(v.Minor, o.Minor))
}
