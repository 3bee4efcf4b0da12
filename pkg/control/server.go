package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Server answers on the socket of a state folder.
type Server struct {
	listener *net.UnixListener
	socket   string
	release  func()
	mux      *http.ServeMux
	http     *http.Server
}

// Listen makes the socket of a state folder, with mode 0600. One that a dead process left behind is
// replaced; one that somebody answers on is ErrListening. Requests wait until Serve.
func Listen(ctx context.Context, dir string) (*Server, error) {
	if client, err := Dial(ctx, dir); err == nil {
		client.Close()
		return nil, fmt.Errorf("%w: %q", ErrListening, dir)
	}
	listener, release, err := listen(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	s := &Server{listener: listener, socket: filepath.Join(dir, SocketName), release: release, mux: http.NewServeMux()}
	s.http = &http.Server{
		Handler: http.MaxBytesHandler(s.mux, maxRequest), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 16,
	}
	return s, nil
}

// listen binds the socket in a folder of its own, so that nobody can reach it before it has its mode, and
// moves it to its place, which replaces what is there.
func listen(ctx context.Context, dir string) (*net.UnixListener, func(), error) {
	private, err := os.MkdirTemp(dir, ".control-")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = os.RemoveAll(private) }() // It is empty, or the socket could not be used.
	address, release, err := socketAddress(private, SocketName)
	if err != nil {
		return nil, nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", address)
	if err != nil {
		release()
		return nil, nil, err
	}
	listener, ok := l.(*net.UnixListener)
	if !ok {
		release()
		return nil, nil, errors.Join(fmt.Errorf("%T is no Unix listener", l), l.Close())
	}
	listener.SetUnlinkOnClose(false)
	bound := filepath.Join(private, SocketName)
	err = os.Chmod(bound, 0o600)
	if err == nil {
		err = os.Rename(bound, filepath.Join(dir, SocketName))
	}
	if err != nil {
		release()
		return nil, nil, errors.Join(err, listener.Close())
	}
	return listener, release, nil
}

// Handle answers requests of a pattern such as "GET /v1/orders" with a handler. It is called before
// Serve.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Handle answers requests of a pattern with what a function returns, as JSON. The body of a request is
// read strictly into Request; one without a body is its zero value. An error of the function is the
// answer, with its message.
func Handle[Request, Answer any](s *Server, pattern string, answer func(context.Context, Request) (Answer, error)) {
	s.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request Request
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&request); err != nil && !errors.Is(err, io.EOF) {
			refuse(w, err)
			return
		}
		value, err := answer(r.Context(), request)
		if err != nil {
			write(w, http.StatusUnprocessableEntity, problem{Error: err.Error()})
			return
		}
		write(w, http.StatusOK, value)
	}))
}

// problem is the JSON form of an AnswerError.
type problem struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, err error) {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		write(w, http.StatusRequestEntityTooLarge, problem{Error: fmt.Sprintf("the request is larger than %d bytes", large.Limit)})
		return
	}
	write(w, http.StatusBadRequest, problem{Error: fmt.Sprintf("the request cannot be read: %v", err)})
}

func write(w http.ResponseWriter, status int, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// Whoever asked and went away before the answer has nothing to be told.
	_, _ = w.Write(data)
}

// Serve answers until Close. Its error is why it ended before.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	return nil
}

// Close removes the socket, lets requests that are being answered finish until ctx ends, and cuts off
// the others.
func (s *Server) Close(ctx context.Context) error {
	defer s.release()
	err := os.Remove(s.socket)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if down := s.http.Shutdown(ctx); down != nil {
		err = errors.Join(err, s.http.Close())
	}
	// A server that never served does not know its listener.
	if closing := s.listener.Close(); closing != nil && !errors.Is(closing, net.ErrClosed) {
		err = errors.Join(err, closing)
	}
	if err != nil {
		return fmt.Errorf("close the control socket: %w", err)
	}
	return nil
}
