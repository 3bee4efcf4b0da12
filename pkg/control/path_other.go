//go:build !linux

package control

import (
	"fmt"
	"path/filepath"
)

// socketAddress returns an address for a socket in a folder, and what to call once it is no longer needed.
func socketAddress(dir, name string) (address string, release func(), err error) {
	path := filepath.Join(dir, name)
	if len(path) > maxSocketPath {
		return "", nil, fmt.Errorf("%w: %q has %d bytes, %d are possible: choose a shorter --state", ErrPathTooLong, path, len(path), maxSocketPath)
	}
	return path, func() {}, nil
}
