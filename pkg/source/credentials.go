package source

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Credentials are what a server may ask for, and what it is checked against.
// Its String, Format, JSON and log forms say which fields are set and nothing
// of what they hold.
type Credentials struct {
	// Username and Password are for HTTP basic authentication; over SSH
	// Password is the key's passphrase, or the account's password when there is
	// no key.
	Username, Password string
	// BearerToken is for HTTP bearer authentication, instead of the two above.
	BearerToken string
	// CA is a PEM bundle that the server's certificate is checked against, in
	// addition to the system's.
	CA []byte
	// ClientCertificate and ClientKey are PEM, for mutual TLS.
	ClientCertificate, ClientKey []byte
	// Identity is a private key in PEM for SSH.
	Identity []byte
	// KnownHosts are lines of an OpenSSH known_hosts file. Without them no SSH
	// server is trusted.
	KnownHosts []byte
}

// credentialKeys are the keys of a Secret, as the Flux source controller has
// them.
func (c *Credentials) set(key string, value []byte) bool {
	switch key {
	case "username":
		c.Username = string(value)
	case "password":
		c.Password = string(value)
	case "bearerToken":
		c.BearerToken = strings.TrimSpace(string(value))
	case "ca.crt", "caFile":
		c.CA = value
	case "tls.crt", "certFile":
		c.ClientCertificate = value
	case "tls.key", "keyFile":
		c.ClientKey = value
	case "identity":
		c.Identity = value
	case "identity.pub": // public; only there for people to copy
	case "known_hosts":
		c.KnownHosts = value
	default:
		return false
	}
	return true
}

// ParseCredentials reads the data of a Secret: the keys username, password,
// bearerToken, ca.crt (or caFile), tls.crt, tls.key, identity, identity.pub and
// known_hosts. Other keys are an error, so that a misspelt one is noticed.
func ParseCredentials(data map[string][]byte) (Credentials, error) {
	var c Credentials
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if !c.set(key, data[key]) {
			return Credentials{}, fmt.Errorf("%w: credentials: unknown key %q", ErrInvalid, key)
		}
	}
	return c, c.validate()
}

func (c Credentials) validate() error {
	switch {
	case c.BearerToken != "" && (c.Username != "" || c.Password != ""):
		return fmt.Errorf("%w: credentials: bearerToken and username or password exclude each other", ErrInvalid)
	case strings.ContainsAny(c.BearerToken, "\r\n") || strings.ContainsAny(c.Username, "\r\n:"):
		return fmt.Errorf("%w: credentials: username or bearerToken holds a line break or colon", ErrInvalid)
	case (len(c.ClientCertificate) == 0) != (len(c.ClientKey) == 0):
		return fmt.Errorf("%w: credentials: tls.crt and tls.key go together", ErrInvalid)
	}
	return nil
}

// ReadCredentialsFile reads a YAML file: either the keys of ParseCredentials at
// the top, or a Kubernetes Secret with data and stringData.
func ReadCredentialsFile(path string) (Credentials, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	// The parser's errors quote the text, so they go no further.
	var doc map[string]json.RawMessage
	if err := yaml.UnmarshalStrict(text, &doc); err != nil {
		return Credentials{}, fmt.Errorf("%w: credentials file %q is not a YAML map of strings", ErrInvalid, path)
	}
	data := map[string][]byte{}
	if _, isSecret := doc["kind"]; isSecret {
		err = secretData(doc, data)
	} else {
		err = stringData(doc, data)
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("credentials file %q: %w", path, err)
	}
	c, err := ParseCredentials(data)
	if err != nil {
		return Credentials{}, fmt.Errorf("credentials file %q: %w", path, err)
	}
	return c, nil
}

func stringData(doc map[string]json.RawMessage, into map[string][]byte) error {
	for key, raw := range doc {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("%w: credentials: the value of %q is not a string (quote it)", ErrInvalid, key)
		}
		into[key] = []byte(s)
	}
	return nil
}

func secretData(doc map[string]json.RawMessage, into map[string][]byte) error {
	var encoded map[string][]byte
	var plain map[string]json.RawMessage
	if raw, ok := doc["data"]; ok && json.Unmarshal(raw, &encoded) != nil {
		return fmt.Errorf("%w: credentials: data of the Secret is not base64", ErrInvalid)
	}
	maps.Copy(into, encoded)
	if raw, ok := doc["stringData"]; ok && json.Unmarshal(raw, &plain) != nil {
		return fmt.Errorf("%w: credentials: stringData of the Secret is not a map", ErrInvalid)
	}
	return stringData(plain, into)
}

// String says which fields are set.
func (c Credentials) String() string {
	var set []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"username", c.Username != ""}, {"password", c.Password != ""}, {"bearerToken", c.BearerToken != ""},
		{"ca.crt", len(c.CA) > 0}, {"tls.crt", len(c.ClientCertificate) > 0}, {"tls.key", len(c.ClientKey) > 0},
		{"identity", len(c.Identity) > 0}, {"known_hosts", len(c.KnownHosts) > 0},
	} {
		if f.set {
			set = append(set, f.name)
		}
	}
	return "credentials(" + strings.Join(set, ",") + ")"
}

// Format gives String for every verb, also %#v and %+v.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, c.String()) }

// MarshalJSON gives String.
func (c Credentials) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// LogValue gives String.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// scrubber takes secrets out of text that other people's code wrote: messages
// of servers and libraries, which may echo what they were sent, whole or in
// pieces.
type scrubber struct {
	whole *strings.Replacer
	// pieces are all runs of pieceLength bytes of all secrets.
	pieces map[string]bool
}

// A secret shorter than minSecret is not searched for: replacing it would tell
// it by what is missing. Of longer ones every piece is.
const (
	minSecret   = 4
	pieceLength = 6
)

func newScrubber(c Credentials, more ...string) scrubber {
	secrets := append([]string{c.Password, c.BearerToken, string(c.Identity), string(c.ClientKey)}, more...)
	if c.Password != "" {
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password)))
	}
	s := scrubber{pieces: map[string]bool{}}
	var pairs []string
	for _, secret := range secrets {
		secret = strings.TrimSpace(secret)
		if len(secret) < minSecret {
			continue
		}
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			pairs = append(pairs, form, redacted)
			for i := 0; i+pieceLength <= len(form); i++ {
				s.pieces[form[i:i+pieceLength]] = true
			}
		}
	}
	s.whole = strings.NewReplacer(pairs...)
	return s
}

const redacted = "***"

// hide replaces secrets and pieces of secrets.
func (s scrubber) hide(text string) string {
	text = s.whole.Replace(text)
	if len(s.pieces) == 0 {
		return text
	}
	var b strings.Builder
	hidden := 0 // up to where the text belongs to a piece
	for i := range len(text) {
		if i+pieceLength <= len(text) && s.pieces[text[i:i+pieceLength]] {
			if hidden <= i {
				b.WriteString(redacted)
			}
			hidden = i + pieceLength
		}
		if i >= hidden {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

// maxForeignText is how much of a server's own words goes into an error.
const maxForeignText = 300

// clean gives text on one line, without secrets, control characters and
// terminal escapes, and not too long.
func (s scrubber) clean(text string) string {
	text = strings.ToValidUTF8(s.hide(text), "")
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd || isHFSIgnored(r):
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxForeignText {
		text = strings.ToValidUTF8(text[:maxForeignText], "") + "…"
	}
	return text
}
