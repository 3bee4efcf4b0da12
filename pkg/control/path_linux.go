package control

import (
	"os"
	"path/filepath"
	"strconv"
)

// socketAddress returns an address for a socket in a folder, and what to call once it is no longer needed.
// Where the path is too long the folder is named by a descriptor of this process.
func socketAddress(dir, name string) (address string, release func(), err error) {
	if path := filepath.Join(dir, name); len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	address = filepath.Join("/proc/self/fd", strconv.Itoa(int(folder.Fd())), name)
	return address, func() { _ = folder.Close() }, nil
}
