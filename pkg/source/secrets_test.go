package source

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	canaryPassword = "c4n4ry-pass/w0rd@&"
	canaryToken    = "c4n4ry-t0ken"
)

func noCanary(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range []string{"c4n4ry", base64.StdEncoding.EncodeToString([]byte("ada:" + canaryPassword)), "PRIVATE KEY"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s tells a secret: %s", where, text)
		}
	}
}

// A server that echoes what it was sent, in every place that reaches an error.
func TestErrorsTellNoSecrets(t *testing.T) {
	h := newHosted(t)
	h.commit("one", "a", "1")
	h.push()
	web := newGitHTTP(t, h.root())
	echo := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			u, p, _ := r.BasicAuth()
			w.WriteHeader(status)
			fmt.Fprintf(w, "\x1b[31mERR you are %s with %s (%s)\n", u, p, r.Header.Get("Authorization"))
			return true
		}
	}
	pkt := func(format string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			_, p, _ := r.BasicAuth()
			line := fmt.Sprintf(format, p+r.Header.Get("Authorization"))
			fmt.Fprintf(w, "001e# service=git-upload-pack\n0000%04x%s", len(line)+4, line)
			return true
		}
	}
	withUser := strings.Replace(web.URL, "https://", "https://ada:c4n4ry-pass%2Fw0rd%40&@", 1) + "/shop.git"
	tokenUser := strings.Replace(web.URL, "https://", "https://"+canaryToken+"@", 1) + "/shop.git"
	for name, o := range map[string]Options{
		"password":            {URL: web.URL + "/shop.git", Credentials: Credentials{Username: "ada", Password: canaryPassword}},
		"token":               {URL: web.URL + "/shop.git", Credentials: Credentials{BearerToken: canaryToken}},
		"URL":                 {URL: withUser},
		"URL with token only": {URL: tokenUser},
	} {
		o.Credentials.CA = web.ca()
		for reason, server := range map[string]func(http.ResponseWriter, *http.Request) bool{
			"401": echo(401), "403": echo(403), "404": echo(404), "500": echo(500), "200 with nonsense": echo(200),
			"an ERR line": pkt("ERR %s"), "a line that is no ref": pkt("%s"),
			"a redirect": func(w http.ResponseWriter, r *http.Request) bool {
				_, p, _ := r.BasicAuth()
				w.Header().Set("Location", "ftp://"+canaryToken+":"+p+"@example.com/x")
				w.WriteHeader(302)
				return true
			},
		} {
			t.Run(name+"/"+reason, func(t *testing.T) {
				web.setIntercept(server)
				r := newRemote(t, o)
				_, err := r.Resolve(t.Context())
				if err == nil {
					t.Fatal("no error")
				}
				if strings.ContainsAny(err.Error(), "\x1b\n") {
					t.Errorf("control characters: %q", err)
				}
				for e := range everyError(err) {
					if reason == "a redirect" && name != "token" {
						// The token is not this source's, so it cannot be known
						// for a secret; the password is.
						noCanary(t, "error", strings.ReplaceAll(e.Error(), canaryToken, ""))
						continue
					}
					noCanary(t, "error", e.Error())
				}
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
					noCanary(t, verb, fmt.Sprintf(verb, r))
					noCanary(t, verb, fmt.Sprintf(verb, o))
					noCanary(t, verb, fmt.Sprintf(verb, &o))
					noCanary(t, verb, fmt.Sprintf(verb, o.Credentials))
				}
			})
		}
	}
}

// everyError walks an error's whole tree.
func everyError(err error) func(func(error) bool) {
	return func(yield func(error) bool) {
		for todo := []error{err}; len(todo) > 0; {
			e := todo[0]
			todo = todo[1:]
			if !yield(e) {
				return
			}
			switch u := e.(type) {
			case interface{ Unwrap() error }:
				if next := u.Unwrap(); next != nil {
					todo = append(todo, next)
				}
			case interface{ Unwrap() []error }:
				todo = append(todo, u.Unwrap()...)
			}
		}
	}
}

func TestCredentialsSayNothingOfThemselves(t *testing.T) {
	c := Credentials{Username: "c4n4ry", Password: canaryPassword, BearerToken: canaryToken, Identity: []byte("c4n4ry"), ClientKey: []byte("c4n4ry")}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "credentials", c, "options", Options{URL: "https://x:" + canaryToken + "@h/r", Credentials: c})
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{log.String(), string(data), c.String(), fmt.Sprintf("%+v %#v %s %q %v %x", c, c, c, c, []Credentials{c}, c)} {
		noCanary(t, "credentials", text)
	}
	if got, want := c.String(), "credentials(username,password,bearerToken,tls.key,identity)"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	for _, url := range []string{"https://" + canaryToken + "@h\x7f/r", "https://ada:" + canaryToken + "@h:port/r", "gopher://ada:" + canaryToken + "@h/r", "https://ada:" + canaryToken + "@", "https://ada:" + canaryToken + "@h/r?x=1", "ssh://" + "-oProxyCommand=" + canaryToken + "@h/r"} {
		_, err := NewRemote(Options{URL: url})
		if err == nil {
			t.Errorf("%q was taken", url)
			continue
		}
		noCanary(t, "NewRemote", err.Error())
	}
}

func TestCredentialsFile(t *testing.T) {
	want := Credentials{Username: "ada", Password: "s3cret", KnownHosts: []byte("h ssh-ed25519 AAAA\n")}
	for _, tc := range []struct {
		reason, text string
		want         Credentials
		err          string
	}{
		{"keys at the top", "username: ada\npassword: s3cret\nknown_hosts: |\n  h ssh-ed25519 AAAA\n", want, ""},
		{"a Secret", "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ntype: Opaque\ndata: {username: YWRh, password: czNjcmV0}\nstringData:\n  known_hosts: |\n    h ssh-ed25519 AAAA\n", want, ""},
		{"a token", "bearerToken: abc\n", Credentials{BearerToken: "abc"}, ""},
		{"a misspelt key", "user: ada\n", Credentials{}, `unknown key "user"`},
		{"two ways to authenticate", "bearerToken: abc\nusername: ada\n", Credentials{}, "exclude"},
		{"a number where text should be", "password: 1234\n", Credentials{}, `"password" is not a string`},
		{"a list", "- a\n", Credentials{}, "not a YAML map"},
		{"bad base64", "kind: Secret\ndata: {password: '!c4n4ry'}\n", Credentials{}, "not base64"},
		{"broken YAML", "password: [c4n4ry\n", Credentials{}, "not a YAML map"},
		{"a key twice", "password: c4n4ry\npassword: c4n4ry2\n", Credentials{}, "not a YAML map"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "credentials.yaml")
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := ReadCredentialsFile(file)
			if tc.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				// Credentials print as nothing, so compare them by hand.
				if got.Username != tc.want.Username || got.Password != tc.want.Password || got.BearerToken != tc.want.BearerToken || !bytes.Equal(got.KnownHosts, tc.want.KnownHosts) {
					t.Error("the fields differ")
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) || !errors.Is(err, ErrInvalid) {
				t.Fatalf("got %v, want %q", err, tc.err)
			}
			noCanary(t, "ReadCredentialsFile", err.Error())
		})
	}
}

func TestLocations(t *testing.T) {
	for _, tc := range []struct {
		text, want, user, address string
		err                       error
	}{
		{text: "https://git.example.com/shop.git", want: "https://git.example.com/shop.git", address: "git.example.com:443"},
		{text: "https://ada:pw@git.example.com:8443/a/b", want: "https://git.example.com:8443/a/b", address: "git.example.com:8443"},
		{text: "ssh://git@git.example.com/shop.git", want: "ssh://git.example.com/shop.git", user: "git", address: "git.example.com:22"},
		{text: "ssh://git@[2001:db8::1]:2222/shop.git", want: "ssh://[2001:db8::1]:2222/shop.git", user: "git", address: "[2001:db8::1]:2222"},
		{text: "git@github.com:armada-sync/armada-sync.git", want: "github.com:armada-sync/armada-sync.git", user: "git", address: "github.com:22"},
		{text: "file:///srv/git/shop.git", want: "file:///srv/git/shop.git", address: ":0"},
		{text: "git://git.example.com/shop.git", err: ErrAddress},
		{text: "ext::sh -c touch% /tmp/owned", err: ErrAddress},
		{text: "ssh://-oProxyCommand=x/y", err: ErrInvalid},
		{text: "-u@h:x", err: ErrInvalid},
		{text: "git@host:-x", err: ErrInvalid},
		{text: "https:///x", err: ErrInvalid},
		{text: "https://h/", err: ErrInvalid},
		{text: "https://h:99999/x", err: ErrInvalid},
		{text: "https://h/x?y=z", err: ErrInvalid},
		{text: "https://h/x#y", err: ErrInvalid},
		{text: "https://h/x\n", err: ErrInvalid},
		{text: "file://host/x", err: ErrInvalid},
		{text: "", err: ErrAddress},
	} {
		l, _, err := parseLocation(tc.text)
		if tc.err != nil {
			if !errors.Is(err, tc.err) && !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: got %v, want %v", tc.text, err, tc.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
			continue
		}
		if diff := cmp.Diff([]string{tc.want, tc.user}, []string{l.String(), l.user}); diff != "" {
			t.Errorf("%q:\n%s", tc.text, diff)
		}
		if l.scheme != "file" && l.address() != tc.address {
			t.Errorf("%q: address %s, want %s", tc.text, l.address(), tc.address)
		}
	}
	for place, want := range map[string]bool{"https://h/x": true, "git@host:x": true, "host.example:x/y": true, ".": false, "./a:b": false, "/srv/a:b": false, "../x": false, "shop": false, "C:/x": false} {
		if got := IsURL(place); got != want {
			t.Errorf("IsURL(%q) = %v", place, got)
		}
	}
	if _, err := Open("file:///srv/x", Options{}); !errors.Is(err, ErrAddress) {
		t.Errorf("a file URL that is not allowed: %v", err)
	}
	if _, err := NewRemote(Options{URL: "http://git.example.com/x"}); !errors.Is(err, ErrAddress) {
		t.Errorf("plain http: %v", err)
	}
}
