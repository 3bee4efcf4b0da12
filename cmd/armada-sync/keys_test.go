package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

// A key that opens nothing outside the tests.
const testKey = "AGE-SECRET-KEY-1YA3CWZHZK02NG0WM7QQ6NTE9EFRGH090QJZGGQ03877VLM798Y0QDY390Q"

func TestKeysOfASourceOnAHub(t *testing.T) {
	t.Setenv(ageKeyVariable, testKey)
	s := v1alpha1.GitSource{}
	s.Namespace, s.Name = "team-a", "shop"
	secrets := map[string]map[string][]byte{
		"team-a/two":   {"a.agekey": []byte(testKey), "b.agekey": []byte("# comment\n" + testKey + "\n"), "other": []byte("CANARY")},
		"team-a/none":  {"key": []byte("CANARY")},
		"team-a/wrong": {"x.agekey": []byte("CANARY")},
		"team-b/keys":  {"a.agekey": []byte(testKey)},
	}
	read := func(_ context.Context, namespace, name string) (map[string][]byte, error) {
		if name == "down" {
			return nil, errors.New("the API server is away")
		}
		data, ok := secrets[namespace+"/"+name]
		if !ok {
			return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
		}
		return data, nil
	}
	for _, tc := range []struct {
		reason, secret string
		services       int
		unavailable    string
		retried        bool
	}{
		{"every entry of the Secret", "two", 2, "", false},
		{"the environment does not count", "", 0, "", false},
		{"no entry of that name", "none", 0, "no entry that ends in .agekey", false},
		{"an entry that is no key", "wrong", 0, `the entry "x.agekey" of the Secret "team-a/wrong": line 1 is no age identity`, false},
		{"a Secret of another namespace is not there", "keys", 0, `there is no Secret "team-a/keys"`, false},
		{"an API server that is away is asked again", "down", 0, "", true},
	} {
		s.Spec.Decryption = &v1alpha1.Decryption{}
		if tc.secret != "" {
			s.Spec.Decryption.SecretRef = &v1alpha1.LocalSecretReference{Name: tc.secret}
		}
		got, err := secretKeys(t.Context(), s, read)
		if (err != nil) != tc.retried || len(got.Services) != tc.services {
			t.Errorf("%s: %d services, %v", tc.reason, len(got.Services), err)
		}
		text := ""
		if got.Unavailable != nil {
			text = got.Unavailable.Error()
		}
		if !strings.Contains(text, tc.unavailable) || tc.unavailable == "" && text != "" || strings.Contains(text, "CANARY") {
			t.Errorf("%s: unavailable %q, want %q", tc.reason, text, tc.unavailable)
		}
	}
}

func TestKeysOfAConfigurationFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "shop.agekey"), []byte(testKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := fileKeys(dir)
	var s v1alpha1.GitSource
	services := func() int {
		t.Helper()
		got, err := keys(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return len(got.Services)
	}
	if services() != 0 {
		t.Error("keys out of nowhere")
	}
	t.Setenv(ageKeyFileVariable, filepath.Join(dir, "shop.agekey"))
	if services() != 1 {
		t.Error("the file of the environment is not read")
	}
	t.Setenv(ageKeyFileVariable, "")
	s.Spec.Decryption = &v1alpha1.Decryption{KeysFile: "shop.agekey"}
	if services() != 1 {
		t.Error("the file beside the configuration is not read")
	}
}
