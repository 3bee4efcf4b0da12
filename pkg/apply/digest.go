package apply

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// SecretDigest returns the digest of a Secret as it is to be sent: "v1:" and the HMAC-SHA256 of its
// canonical JSON, with stringData folded into data. Plain digests would let whoever reads annotations
// try passwords; so the key is the hub's and the digest must not appear in any output. An empty key
// gives an empty digest, which equals none.
func SecretDigest(key []byte, secret *unstructured.Unstructured) string {
	if len(key) == 0 {
		return ""
	}
	content, err := json.Marshal(foldStringData(secret.Object))
	if err != nil {
		// A manifest came from JSON, so it can be turned into JSON; whatever cannot has no digest.
		return ""
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(content)
	return "v1:" + hex.EncodeToString(mac.Sum(nil))
}

// foldStringData returns the Secret with stringData moved into data, as the API server would do: a
// field manager that sends stringData does not own data, so edits of it would go unseen. The argument
// is not changed.
func foldStringData(secret map[string]any) map[string]any {
	plain, ok := secret["stringData"].(map[string]any)
	if !ok {
		return secret
	}
	out := maps.Clone(secret)
	delete(out, "stringData")
	data, _ := secret["data"].(map[string]any)
	merged := make(map[string]any, len(data)+len(plain))
	maps.Copy(merged, data)
	for k, v := range plain {
		merged[k] = base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(v)))
	}
	if len(merged) > 0 {
		out["data"] = merged
	}
	return out
}

// SecretDigester is SecretDigest with the key filled in, as a planner wants it; nil without a key.
func SecretDigester(key []byte) func(*unstructured.Unstructured) string {
	if len(key) == 0 {
		return nil
	}
	return func(secret *unstructured.Unstructured) string { return SecretDigest(key, secret) }
}
