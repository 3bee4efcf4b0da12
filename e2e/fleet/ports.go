package fleet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// Ports come from below the ranges that Linux (32768–60999) and macOS
// (49152–65535) take for outgoing connections. A port from such a range may go
// to somebody's connection while an API server is down, or a client may even
// connect to itself.
const (
	firstPort = 20000
	lastPort  = 29999
)

// port is a TCP port on loopback that no other fleet takes.
type port struct {
	number int
	// lock is held while the port is ours, whether or not something listens:
	// an API server that was stopped finds its port free again. Children that
	// must outlive this process inherit it.
	lock *os.File
}

func (p port) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number)) }

// reservePort takes a free port. dir holds one lock file per port.
func reservePort(dir string) (port, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return port{}, fmt.Errorf("make the folder of port locks: %w", err)
	}
	const span = lastPort - firstPort + 1
	start := rand.IntN(span) // Fleets that start at the same moment begin at different places.
	for i := range span {
		number := firstPort + (start+i)%span
		lock, err := tryLock(filepath.Join(dir, strconv.Itoa(number)))
		if errors.Is(err, errLocked) {
			continue
		}
		if err != nil {
			return port{}, err
		}
		p := port{number: number, lock: lock}
		listener, err := net.Listen("tcp", p.address())
		if err != nil {
			lock.Close()
			continue
		}
		listener.Close()
		return p, nil
	}
	return port{}, fmt.Errorf("no free TCP port on 127.0.0.1 between %d and %d", firstPort, lastPort)
}
