package build

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render"
	"github.com/armada-sync/armada-sync/pkg/render/build/sops"
)

// opened is what is known of the encrypted files of a unit.
type opened struct {
	// keys is the fingerprint of the keys that were tried.
	keys string
	// values are the digests of everything that was encrypted.
	values map[[sha256.Size]byte]bool
}

// sealedError is an encrypted file that cannot be opened.
type sealedError struct {
	file string
	err  error
}

func (e *sealedError) Error() string { return e.err.Error() }
func (e *sealedError) Unwrap() error { return e.err }

// errConcealed stands for an error that may quote what was encrypted.
var errConcealed = errors.New("it reads encrypted files, so that what is wrong is not repeated here; kustomize build says it where you are")

// open decrypts a file that is encrypted with SOPS. Other files stay as they are.
func (u *unit) open(ctx context.Context, name string, data []byte, o Options) ([]byte, error) {
	if !sops.IsEncrypted(name, data) {
		return data, nil
	}
	if u.secrets == nil {
		u.secrets = &opened{keys: o.Keys.Fingerprint(), values: map[[sha256.Size]byte]bool{}}
	}
	file, err := o.Keys.Open(ctx, name, data)
	if err != nil {
		return nil, &sealedError{name, err}
	}
	maps.Copy(u.secrets.values, file.Values)
	return file.Text, nil
}

// failSealed notes an encrypted file that cannot be opened.
func (u *unit) failSealed(err error) {
	name := u.path
	var sealed *sealedError
	if errors.As(err, &sealed) {
		name = sealed.file
	}
	u.fail(v1alpha1.Problem{
		Position: v1alpha1.Position{File: name}, ID: v1alpha1.FindingSecretNotDecrypted, Severity: v1alpha1.SeverityBlocker,
		Message: "the encrypted file cannot be opened: " + cut(err.Error()),
	})
}

// conceal leaves out of problems with what was encrypted whatever may quote it.
func (u *unit) conceal(problems []v1alpha1.Problem) {
	if u.secrets == nil {
		return
	}
	for i := range problems {
		problems[i].Message = "the document cannot be read; what is wrong is not repeated here, since the file is encrypted"
	}
}

// refuseClearSecrets leaves out Secrets with values that were not encrypted where the source demands
// that, and those whose values still are.
func (u *unit) refuseClearSecrets() {
	u.objects = slices.DeleteFunc(u.objects, func(o render.Object) bool {
		if !render.IsSecret(o.Unstructured) {
			return false
		}
		id, message := "", ""
		switch key := u.clearKey(o); {
		case sealedKey(o) != "":
			id = v1alpha1.FindingSecretNotDecrypted
			message = fmt.Sprintf("Secret %q: the value of %q is still encrypted and nothing says how; is the part \"sops\" of its file gone?", o.GetName(), sealedKey(o))
		case u.required && key != "":
			id = v1alpha1.FindingSecretNotEncrypted
			message = fmt.Sprintf("Secret %q: the value of %q stands in clear text in the repository, and the source demands encryption; change the value and encrypt the file with sops", o.GetName(), key)
		default:
			return false
		}
		position := v1alpha1.Position{File: o.Origin.Source}
		if file, line, found := strings.Cut(o.Origin.Source, ":"); found {
			position.File = file
			_, _ = fmt.Sscanf(line, "%d", &position.Line) // A place without a line is one.
		}
		u.fail(v1alpha1.Problem{Position: position, ID: id, Severity: v1alpha1.SeverityBlocker, Message: message})
		return true
	})
}

// clearKey returns a key of a Secret whose value was not encrypted; empty: all were. What a chart makes of
// encrypted values cannot be recognised, so that reading some is enough there.
func (u *unit) clearKey(o render.Object) string {
	if u.kind == chart && u.secrets != nil {
		return ""
	}
	return secretKey(o, func(value any) bool {
		text, isText := value.(string)
		return value != nil && (!isText || text != "" && !u.wasEncrypted(text))
	})
}

// sealedKey returns a key of a Secret whose value looks as SOPS writes it; empty: none.
func sealedKey(o render.Object) string {
	return secretKey(o, func(value any) bool {
		text, _ := value.(string)
		return strings.HasPrefix(text, "ENC[AES256_GCM,data:")
	})
}

func secretKey(o render.Object, is func(any) bool) string {
	for _, field := range []string{"data", "stringData"} {
		values, _ := o.Object[field].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if is(values[key]) {
				return key
			}
		}
	}
	return ""
}

// wasEncrypted tells a value that stood encrypted in a file, as it is or in base64.
func (u *unit) wasEncrypted(value string) bool {
	if u.secrets == nil {
		return false
	}
	if u.secrets.values[sha256.Sum256([]byte(value))] {
		return true
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), ""))
	return err == nil && u.secrets.values[sha256.Sum256(decoded)]
}
