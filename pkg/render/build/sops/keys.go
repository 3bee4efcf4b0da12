package sops

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// Stanza is a data key that is encrypted for one recipient.
type Stanza struct {
	// Kind is the key service as SOPS names it: age, pgp, kms, gcp_kms, azure_kv, hc_vault, hckms.
	Kind string
	// Recipient is what the service knows its key by: an age recipient, the name of a cloud key.
	Recipient string
	// Encrypted is the data key as it stands in the file.
	Encrypted string
}

// KeyService opens data keys that are encrypted for the keys that it holds, or that a cloud holds for it.
type KeyService interface {
	// Opens tells that the service is one for stanzas of a kind.
	Opens(kind string) bool
	// Open returns the data key. An error must not hold any part of a key.
	Open(ctx context.Context, s Stanza) ([]byte, error)
	// Fingerprint identifies the keys, without giving them away: what failed with one set of keys is
	// tried again with another.
	Fingerprint() string
}

// AgeKeys are age identities.
type AgeKeys struct {
	identities  []age.Identity
	fingerprint string
}

var _ KeyService = AgeKeys{}

// ParseAgeKeys reads age identities as age-keygen writes them: one a line, with comments.
func ParseAgeKeys(data []byte) (AgeKeys, error) {
	var keys AgeKeys
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parsed, err := age.ParseIdentities(strings.NewReader(line))
		if err != nil {
			// The library's error quotes the line.
			return AgeKeys{}, fmt.Errorf("line %d is no age identity: it begins with AGE-SECRET-KEY-1", i+1)
		}
		keys.identities = append(keys.identities, parsed...)
	}
	if len(keys.identities) == 0 {
		return AgeKeys{}, errors.New("there is no age identity: a line that begins with AGE-SECRET-KEY-1")
	}
	sum := sha256.Sum256(append([]byte("armada-sync age keys\x00"), data...))
	keys.fingerprint = hex.EncodeToString(sum[:8])
	return keys, nil
}

// Opens is true of age.
func (AgeKeys) Opens(kind string) bool { return kind == "age" }

// Fingerprint identifies the set of keys.
func (k AgeKeys) Fingerprint() string { return k.fingerprint }

// errNotForUs says that none of the keys opens a stanza.
var errNotForUs = errors.New("none of the keys opens it")

// Open decrypts the data key with the first identity that can.
func (k AgeKeys) Open(_ context.Context, s Stanza) ([]byte, error) {
	if len(s.Encrypted) > maxStanza {
		return nil, fmt.Errorf("the encrypted data key has more than %d bytes", maxStanza)
	}
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(s.Encrypted)), k.identities...)
	if err != nil {
		var noMatch *age.NoIdentityMatchError
		if errors.As(err, &noMatch) {
			return nil, errNotForUs
		}
		return nil, errors.New("the encrypted data key is damaged")
	}
	var key bytes.Buffer
	if _, err := io.Copy(&key, io.LimitReader(r, maxStanza)); err != nil {
		return nil, errors.New("the encrypted data key is damaged")
	}
	return key.Bytes(), nil
}

// maxStanza bounds an encrypted data key, in bytes; that of age has about 400.
const maxStanza = 64 << 10

// maxStanzas bounds for how many recipients a file may be encrypted.
const maxStanzas = 200

// Decrypter opens files with the key services of one source. The zero value has none.
type Decrypter struct {
	Services []KeyService
	// Unavailable says why there is none where there should be one; nil: nobody named any.
	Unavailable error
}

// Fingerprint identifies the keys of all services.
func (d Decrypter) Fingerprint() string {
	var all []string
	for _, s := range d.Services {
		all = append(all, s.Fingerprint())
	}
	if d.Unavailable != nil {
		all = append(all, d.Unavailable.Error())
	}
	return strings.Join(all, ",")
}

// dataKey opens the data key of a file with the first stanza that can be opened.
func (d Decrypter) dataKey(ctx context.Context, stanzas []Stanza) ([]byte, error) {
	if len(stanzas) > maxStanzas {
		return nil, fmt.Errorf("the file is encrypted for more than %d keys", maxStanzas)
	}
	if d.Unavailable != nil {
		return nil, fmt.Errorf("the keys of the source cannot be had: %w", d.Unavailable)
	}
	if len(d.Services) == 0 {
		return nil, errors.New("the source has no keys to open it with; name them in spec.decryption of the GitSource")
	}
	var reasons, unserved []string
	for _, s := range stanzas {
		served := false
		for _, service := range d.Services {
			if !service.Opens(s.Kind) {
				continue
			}
			served = true
			key, err := service.Open(ctx, s)
			if err == nil && len(key) != keyBytes {
				err = fmt.Errorf("the data key has %d bytes, not %d", len(key), keyBytes)
			}
			if err == nil {
				return key, nil
			}
			reasons = append(reasons, fmt.Sprintf("%s %s: %v", s.Kind, shorten(s.Recipient), err))
		}
		if !served {
			unserved = append(unserved, s.Kind)
		}
	}
	switch {
	case len(reasons) > 0:
		return nil, fmt.Errorf("its data key cannot be opened: %s", strings.Join(reasons[:min(len(reasons), 3)], "; "))
	case len(unserved) > 0:
		return nil, fmt.Errorf("it is encrypted for the key service %s alone, which is not configured here; add an age recipient (sops updatekeys)", unserved[0])
	}
	return nil, errors.New("it names nobody that it is encrypted for")
}

func shorten(text string) string {
	const most = 80
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
