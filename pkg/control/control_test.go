package control_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/armada-sync/armada-sync/pkg/control"
)

type greeting struct {
	Name string `json:"name"`
}

// listening starts a server that greets, in a folder.
func listening(t *testing.T, dir string) *control.Server {
	t.Helper()
	s, err := control.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	control.Handle(s, "POST /v1/greet", func(_ context.Context, g greeting) (greeting, error) {
		if g.Name == "" {
			return greeting{}, errors.New("whom?")
		}
		return greeting{Name: "hello " + g.Name}, nil
	})
	control.Handle(s, "GET /v1/name", func(context.Context, struct{}) (greeting, error) { return greeting{Name: "armada"}, nil })
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func dialled(t *testing.T, dir string) *control.Client {
	t.Helper()
	c, err := control.Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAClientIsAnswered(t *testing.T) {
	dir := t.TempDir()
	listening(t, dir)
	c := dialled(t, dir)
	var got greeting
	if err := c.Post(t.Context(), "/v1/greet", greeting{Name: "you"}, &got); err != nil || got.Name != "hello you" {
		t.Errorf("Post = %+v, %v", got, err)
	}
	if err := c.Get(t.Context(), "/v1/name", &got); err != nil || got.Name != "armada" {
		t.Errorf("Get = %+v, %v", got, err)
	}
	var raw strings.Builder
	if err := c.Copy(t.Context(), "/v1/name", &raw); err != nil || raw.String() != `{"name":"armada"}` {
		t.Errorf("Copy = %q, %v", raw.String(), err)
	}
}

func TestARefusalSaysWhy(t *testing.T) {
	dir := t.TempDir()
	listening(t, dir)
	c := dialled(t, dir)
	for _, test := range []struct {
		reason, path string
		body         any
		status       int
		message      string
	}{
		{"the error of the function", "/v1/greet", greeting{}, http.StatusUnprocessableEntity, "whom?"},
		{"a field of another release", "/v1/greet", map[string]string{"nom": "toi"}, http.StatusBadRequest, `unknown field "nom"`},
		{"another type", "/v1/greet", map[string]int{"name": 1}, http.StatusBadRequest, "cannot unmarshal"},
		{"a bounded body", "/v1/greet", greeting{Name: strings.Repeat("x", 2<<20)}, http.StatusRequestEntityTooLarge, "larger than 1048576 bytes"},
		{"a path of another release", "/v9/greet", greeting{}, http.StatusNotFound, "is it of another version?"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			err := c.Post(t.Context(), test.path, test.body, nil)
			var refused *control.AnswerError
			if !errors.As(err, &refused) || refused.Status != test.status || !strings.Contains(refused.Message, test.message) {
				t.Errorf("got %v, want %d with %q", err, test.status, test.message)
			}
		})
	}
}

// Whoever may not write to the socket cannot connect to it.
func TestTheSocketIsItsOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	listening(t, dir)
	info, err := os.Stat(filepath.Join(dir, control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("the socket has mode %s", info.Mode())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".control-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestWithoutAControllerTheErrorSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		reason string
		before func(t *testing.T)
	}{
		{"nothing is there", func(*testing.T) {}},
		{"a dead process left its socket", func(t *testing.T) { abandon(t, dir) }},
	} {
		t.Run(test.reason, func(t *testing.T) {
			test.before(t)
			_, err := control.Dial(t.Context(), dir)
			if !errors.Is(err, control.ErrNotRunning) || !strings.Contains(err.Error(), "armada-sync run") || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// abandon leaves a socket behind as a killed process does.
func abandon(t *testing.T, dir string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(dir, control.SocketName)})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTheSocketOfADeadProcessIsReplaced(t *testing.T) {
	dir := t.TempDir()
	abandon(t, dir)
	listening(t, dir)
	if err := dialled(t, dir).Get(t.Context(), "/v1/name", nil); err != nil {
		t.Error(err)
	}
}

func TestASecondServerIsRefused(t *testing.T) {
	dir := t.TempDir()
	listening(t, dir)
	if _, err := control.Listen(t.Context(), dir); !errors.Is(err, control.ErrListening) {
		t.Errorf("got %v", err)
	}
	if err := dialled(t, dir).Get(t.Context(), "/v1/name", nil); err != nil {
		t.Errorf("the first is disturbed: %v", err)
	}
}

func TestALongPathHasASocketToo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a", 100), strings.Repeat("b", 100))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := control.Listen(t.Context(), dir); err != nil {
		// Only Linux can name a folder by a descriptor; elsewhere the error says what is too long.
		if !errors.Is(err, control.ErrPathTooLong) {
			t.Fatal(err)
		}
		return
	} else if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	listening(t, dir)
	if err := dialled(t, dir).Get(t.Context(), "/v1/name", nil); err != nil {
		t.Error(err)
	}
}

func TestCloseLetsAnAnswerFinishAndRemovesTheSocket(t *testing.T) {
	dir := t.TempDir()
	s, err := control.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	begun, finish := make(chan struct{}), make(chan struct{})
	control.Handle(s, "GET /v1/slow", func(context.Context, struct{}) (greeting, error) {
		close(begun)
		<-finish
		return greeting{Name: "late"}, nil
	})
	served, answered := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve() }()
	c := dialled(t, dir)
	var got greeting
	go func() { answered <- c.Get(t.Context(), "/v1/slow", &got) }()
	<-begun
	closed := make(chan error, 1)
	go func() { closed <- s.Close(t.Context()) }()
	if err := <-served; err != nil {
		t.Error(err)
	}
	close(finish)
	if err := <-answered; err != nil || got.Name != "late" {
		t.Errorf("answered %+v, %v", got, err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, control.SocketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}
