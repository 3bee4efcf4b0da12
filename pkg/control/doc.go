// Package control carries what people ask of a standalone controller to it, and its answers back: JSON
// over HTTP on a Unix socket in the controller's state folder, which its owner alone may use.
package control

import (
	"errors"
	"fmt"
	"path/filepath"
)

// SocketName is the name of the socket in a state folder.
const SocketName = "control.sock"

// maxRequest bounds the body of a request, in bytes; maxAnswer that of an answer, which may be the whole
// fleet.
const (
	maxRequest = 1 << 20
	maxAnswer  = 1 << 30
)

// ErrNotRunning says that no controller listens on a state folder.
var ErrNotRunning = errors.New("no controller is running on this state folder")

// ErrListening says that a controller listens on a state folder already.
var ErrListening = errors.New("another controller listens on this state folder")

// ErrPathTooLong says that the path of a state folder leaves no room for a socket in it.
var ErrPathTooLong = errors.New("the path of the state folder is too long for a Unix socket")

// maxSocketPath is how long the path of a socket may be, in bytes, on every system that we run on:
// sun_path has 104 of them on BSD and macOS and 108 on Linux, with a zero at the end.
const maxSocketPath = 103

// AnswerError is what a controller answered instead of what was asked for.
type AnswerError struct {
	// Status is the HTTP status.
	Status int
	// Message says why.
	Message string
}

// Error implements error.
func (e *AnswerError) Error() string { return e.Message }

func notRunning(dir string, err error) error {
	return fmt.Errorf("%w: %q: start it with 'armada-sync run --config FILE', or name its folder with --state (%w)", ErrNotRunning, filepath.Clean(dir), err)
}
