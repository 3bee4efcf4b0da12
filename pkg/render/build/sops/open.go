package sops

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const keyBytes = 32

// File is an opened file.
type File struct {
	// Text is the file with its values in clear, on the same lines as before (for JSON and binary files as
	// sops writes them) and without what sops keeps in it.
	Text []byte
	// Values are the SHA-256 of each value that was encrypted, and of a whole file that was.
	Values map[[sha256.Size]byte]bool
}

// format is how a file is written; sops goes by the name, too.
func format(name string) string {
	switch path.Ext(name) {
	case ".yaml", ".yml":
		return "yaml"
	case ".json":
		return "json"
	case ".env":
		return "dotenv"
	}
	return "binary"
}

// IsEncrypted tells a file that SOPS wrote, by the metadata that it keeps in it.
func IsEncrypted(name string, data []byte) bool {
	switch format(name) {
	case "yaml":
		// The metadata is a key of the document, written at the beginning of a line, unless the file is JSON.
		if bytes.Contains(data, []byte("mac:")) && regexp.MustCompile(`(?m)^sops:\s*$`).Match(data) {
			return true
		}
	case "dotenv":
		return regexp.MustCompile(`(?m)^sops_mac=`).Match(data)
	}
	if !bytes.Contains(data, []byte(`"sops"`)) || !bytes.Contains(data, []byte(`"mac"`)) {
		return false
	}
	var top map[string]json.RawMessage
	return json.Unmarshal(data, &top) == nil && top[metadataKey] != nil
}

// Open decrypts a file and checks that nobody changed it. Name is that of the file, of which the extension
// says how it is written.
func (d Decrypter) Open(ctx context.Context, name string, data []byte) (*File, error) {
	f := &opening{format: format(name)}
	if err := f.read(data); err != nil {
		return nil, err
	}
	rules, err := f.metadata.rules()
	if err != nil {
		return nil, err
	}
	key, err := d.dataKey(ctx, f.metadata.stanzas())
	if err != nil {
		return nil, err
	}
	f.rules, f.key, f.values = rules, key, map[[sha256.Size]byte]bool{}
	f.mac = sha512.New()
	if f.metadata.MACOnlyEncrypted {
		f.mac.Write(macOnlyEncryptedStart())
	}
	for _, tree := range f.trees {
		if err := f.walk(tree, nil, false); err != nil {
			return nil, err
		}
	}
	if err := f.checkMAC(); err != nil {
		return nil, err
	}
	clear, err := f.write(data)
	if err != nil {
		return nil, err
	}
	f.values[sha256.Sum256(clear)] = true
	return &File{Text: clear, Values: f.values}, nil
}

// opening is a file on its way.
type opening struct {
	format   string
	trees    []*branch
	roots    []*yaml.Node
	metadata metadata
	rules    rules
	key      []byte
	mac      hash.Hash
	values   map[[sha256.Size]byte]bool
	comments []*branch
}

// read parses the file and takes the metadata out.
func (f *opening) read(data []byte) error {
	r := &reader{}
	var err error
	var tree *branch
	switch f.format {
	case "yaml":
		if f.trees, f.roots, err = r.yaml(data); err != nil {
			return err
		}
	case "dotenv":
		if tree, err = r.dotenv(data); err == nil {
			tree, err = unflatten(tree)
		}
	default:
		tree, err = r.json(data)
	}
	if err != nil {
		return err
	}
	if tree != nil {
		f.trees = []*branch{tree}
	}
	var found *branch
	for _, t := range f.trees {
		if m := t.take(metadataKey); m != nil {
			found = m
		}
	}
	if found == nil {
		return errors.New("the file has no metadata of sops")
	}
	return f.metadata.read(found)
}

// walk decrypts the values below a node and adds them to the MAC.
func (f *opening) walk(b *branch, at []string, inList bool) error {
	switch {
	case b.isMap:
		for i, key := range b.keys {
			if err := f.walk(b.children[i], append(at[:len(at):len(at)], key), false); err != nil {
				return err
			}
		}
		return nil
	case b.isList:
		for _, child := range b.children {
			if err := f.walk(child, at, true); err != nil {
				return err
			}
		}
		f.dropComments(b)
		return nil
	case b.value == nil:
		return nil
	}
	encrypted := f.rules.encrypted(at)
	if encrypted {
		sealed, isText := b.value.(string)
		if !isText {
			return fmt.Errorf("%s is not encrypted, though it should be", strings.Join(at, "."))
		}
		value, err := unseal(sealed, f.key, strings.Join(at, ":")+":")
		if err != nil {
			return fmt.Errorf("%s cannot be opened: %w", strings.Join(at, "."), err)
		}
		b.value, b.opened = value, true
		if _, isComment := value.(comment); isComment {
			if !inList {
				return fmt.Errorf("%s is a comment where a value should be", strings.Join(at, "."))
			}
			return nil
		}
		if t, err := text(value); err == nil && t != "" {
			f.values[sha256.Sum256([]byte(t))] = true
		}
	}
	if f.metadata.MACOnlyEncrypted && !encrypted {
		return nil
	}
	t, err := text(b.value)
	if err != nil {
		return err
	}
	f.mac.Write([]byte(t))
	return nil
}

// comment is a comment inside a list, which sops keeps as an item of it.
type comment struct{}

// dropComments takes comments out of a list and keeps in mind where they are.
func (f *opening) dropComments(list *branch) {
	list.children = slices.DeleteFunc(list.children, func(child *branch) bool {
		_, isComment := child.value.(comment)
		if isComment && child.line > 0 {
			f.comments = append(f.comments, child)
		}
		return isComment
	})
}

// sealedPattern is how sops writes an encrypted value.
func sealedPattern() *regexp.Regexp {
	return regexp.MustCompile(`^ENC\[AES256_GCM,data:([^,]*),iv:([^,]+),tag:([^,]+),type:([a-z]+)\]$`)
}

var (
	errNotSealed = errors.New("it is not encrypted, though it should be, or was changed")
	errChanged   = errors.New("it was changed since it was encrypted, or is that of another key")
)

// unseal decrypts one value, which is bound to its path.
func unseal(sealed string, key []byte, at string) (any, error) {
	if sealed == "" {
		return "", nil
	}
	m := sealedPattern().FindStringSubmatch(sealed)
	if m == nil {
		return nil, errNotSealed
	}
	var parts [3][]byte
	for i := range parts {
		var err error
		if parts[i], err = base64.StdEncoding.DecodeString(m[i+1]); err != nil {
			return nil, errNotSealed
		}
	}
	data, iv, tag := parts[0], parts[1], parts[2]
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errors.New("the data key does not fit")
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(iv))
	if err != nil || len(tag) != gcm.Overhead() {
		return nil, errNotSealed
	}
	clear, err := gcm.Open(nil, iv, append(data, tag...), []byte(at))
	if err != nil {
		return nil, errChanged
	}
	return typed(string(clear), m[4])
}

func typed(clear, kind string) (any, error) {
	var value any
	var err error
	switch kind {
	case "str", "bytes":
		value = clear
	case "int":
		value, err = strconv.Atoi(clear)
	case "float":
		value, err = strconv.ParseFloat(clear, 64)
	case "bool":
		value, err = strconv.ParseBool(clear)
	case "comment":
		value = comment{}
	case "time":
		var t time.Time
		err = t.UnmarshalText([]byte(clear))
		value = t
	default:
		err = errNotSealed
	}
	if err != nil {
		// The error of strconv quotes the value.
		return nil, fmt.Errorf("it is of the type %q, which its value is not", kind)
	}
	return value, nil
}

// checkMAC compares the MAC over all values with the one that was written.
func (f *opening) checkMAC() error {
	at, err := time.Parse(time.RFC3339, f.metadata.LastModified)
	if err != nil {
		return errors.New("its metadata has no time of the last change")
	}
	written, err := unseal(f.metadata.MAC, f.key, at.Format(time.RFC3339))
	if err != nil {
		return errors.New("its MAC cannot be opened: the file was changed since it was encrypted")
	}
	want, _ := written.(string)
	got := fmt.Sprintf("%X", f.mac.Sum(nil))
	if want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(got)) != 1 {
		return errors.New("its MAC does not match: the file was changed without its key since it was encrypted")
	}
	return nil
}

// macOnlyEncryptedStart makes a MAC over encrypted values alone another one.
func macOnlyEncryptedStart() []byte {
	return []byte{
		0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0xb,
		0xb, 0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
	}
}
