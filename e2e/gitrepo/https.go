package gitrepo

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// Handler serves the bare repositories of a folder with git http-backend, to everyone. Wrap it to ask for
// credentials, or to fail.
func Handler(tb testing.TB, root string) http.Handler {
	tb.Helper()
	return &cgi.Handler{
		Path: filepath.Join(Git(tb, root, "--exec-path"), "git-http-backend"),
		Env:  append(environment(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1"),
		// What tests break on purpose would fill the log.
		Logger: log.New(io.Discard, "", 0), Stderr: io.Discard,
	}
}

// ServeHTTPS serves over TLS until the test ends. ca is the certificate to trust, in PEM.
func ServeHTTPS(tb testing.TB, handler http.Handler) (server *httptest.Server, ca []byte) {
	tb.Helper()
	server = httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	tb.Cleanup(server.Close)
	return server, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}
