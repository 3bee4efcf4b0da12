package source

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// location is a repository's URL, taken apart. The user information is in the
// credentials and nowhere else.
type location struct {
	scheme string // https, http, ssh or file
	user   string // ssh only; never a secret
	host   string // without port; an IPv6 address without brackets
	port   int    // 0 for the scheme's own
	path   string // with a leading slash, but for ssh's host:path form
}

// scpForm is user@host:path, the short form of an SSH URL.
var scpForm = regexp.MustCompile(`^(?:([^@:/\s]+)@)?([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9a-fA-F:.]+\]):([^:].*)$`)

// cutSCP takes user@host:path apart. A host of one letter is none: it is a drive
// of Windows.
func cutSCP(text string) (user, host, path string, ok bool) {
	m := scpForm.FindStringSubmatch(text)
	if m == nil || strings.Contains(text, "://") || len(m[2]) == 1 {
		return "", "", "", false
	}
	return m[1], strings.Trim(m[2], "[]"), m[3], true
}

// IsURL reports whether a place is a URL (or SSH's user@host:path) rather than
// a folder's path.
func IsURL(place string) bool {
	_, _, _, isSCP := cutSCP(place)
	return strings.Contains(place, "://") || isSCP
}

// parseLocation reads a URL. User information in it is given back as
// credentials, so that it is never part of a location.
func parseLocation(text string) (location, Credentials, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return location{}, Credentials{}, fmt.Errorf("%w: the URL holds a control character", ErrInvalid)
	}
	if user, host, path, ok := cutSCP(text); ok {
		l := location{scheme: "ssh", user: user, host: host, path: path}
		return l, Credentials{}, l.validate()
	}
	u, err := url.Parse(text)
	if err != nil {
		// The parser's error quotes the URL, and with it a password.
		return location{}, Credentials{}, fmt.Errorf("%w: the URL cannot be parsed", ErrInvalid)
	}
	l := location{scheme: strings.ToLower(u.Scheme), host: u.Hostname(), path: u.Path}
	if u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return location{}, Credentials{}, fmt.Errorf("%w: the URL has a query or fragment", ErrInvalid)
	}
	if port := u.Port(); port != "" {
		if l.port, err = strconv.Atoi(port); err != nil || l.port < 1 || l.port > 65535 {
			return location{}, Credentials{}, fmt.Errorf("%w: the URL's port is not one", ErrInvalid)
		}
	}
	var c Credentials
	password, _ := u.User.Password()
	if l.scheme == "ssh" {
		l.user, c.Password = u.User.Username(), password
	} else {
		c.Username, c.Password = u.User.Username(), password
	}
	return l, c, l.validate()
}

func (l location) validate() error {
	switch l.scheme {
	case "https", "http", "ssh":
		if l.host == "" {
			return fmt.Errorf("%w: the URL has no host", ErrInvalid)
		}
	case "file":
		if l.host != "" && l.host != "localhost" {
			return fmt.Errorf("%w: a file URL has three slashes: file:///path", ErrInvalid)
		}
		if !filepath.IsAbs(filepath.FromSlash(l.path)) {
			return fmt.Errorf("%w: a file URL has an absolute path", ErrInvalid)
		}
	default:
		return fmt.Errorf("%w: scheme %q (https, ssh and file are supported)", ErrAddress, l.scheme)
	}
	if strings.HasPrefix(l.host, "-") || strings.HasPrefix(l.user, "-") || strings.HasPrefix(l.path, "-") {
		return fmt.Errorf("%w: a part of the URL begins with a dash", ErrInvalid)
	}
	if strings.Trim(l.path, "/") == "" && l.scheme != "file" {
		return fmt.Errorf("%w: the URL names no repository", ErrInvalid)
	}
	return nil
}

// address is the host and port to dial.
func (l location) address() string {
	port := l.port
	if port == 0 {
		port = map[string]int{"https": 443, "http": 80, "ssh": 22}[l.scheme]
	}
	return net.JoinHostPort(l.host, strconv.Itoa(port))
}

// String gives the URL without user information.
func (l location) String() string {
	u := url.URL{Scheme: l.scheme, Host: l.host, Path: l.path}
	if strings.Contains(l.host, ":") {
		u.Host = "[" + l.host + "]"
	}
	if l.port != 0 {
		u.Host = net.JoinHostPort(l.host, strconv.Itoa(l.port))
	}
	if l.scheme == "ssh" && !strings.HasPrefix(l.path, "/") {
		return u.Host + ":" + l.path
	}
	return u.String()
}
