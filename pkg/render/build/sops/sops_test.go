package sops

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// The files of testdata were encrypted with sops 3.13.3 from those of testdata/clear.
func file(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func ageKeys(t testing.TB, name string) Decrypter {
	t.Helper()
	keys, err := ParseAgeKeys(file(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return Decrypter{Services: []KeyService{keys}}
}

func TestOpensWhatSopsEncrypted(t *testing.T) {
	keys := ageKeys(t, "age.key")
	for _, name := range []string{"secret.yaml", "all.yaml", "maconly.yaml", "secret.json", "secrets.env", "tls.key"} {
		t.Run(name, func(t *testing.T) {
			data := file(t, name)
			if !IsEncrypted(name, data) {
				t.Fatal("it is not recognised")
			}
			opened, err := keys.Open(context.Background(), name, data)
			if err != nil {
				t.Fatal(err)
			}
			clear := name
			if name == "maconly.yaml" {
				clear = "secret.yaml"
			}
			want := file(t, filepath.Join("clear", clear))
			switch format(name) {
			case "yaml", "json":
				if diff := cmp.Diff(documents(t, want), documents(t, opened.Text)); diff != "" {
					t.Errorf("differs:\n%s\n%s", diff, opened.Text)
				}
			case "dotenv":
				want = []byte(strings.ReplaceAll(string(want), "# a comment\n", ""))
				fallthrough
			default:
				if string(want) != string(opened.Text) {
					t.Errorf("got %q, want %q", opened.Text, want)
				}
			}
			if IsEncrypted(name, opened.Text) || IsEncrypted(name, file(t, filepath.Join("clear", clear))) {
				t.Error("what is in clear is taken to be encrypted")
			}
		})
	}
}

func documents(t *testing.T, data []byte) []any {
	t.Helper()
	var all []any
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	for {
		var d any
		if err := decoder.Decode(&d); err != nil {
			return all
		}
		all = append(all, d)
	}
}

// TestLinesStay: a fault in an encrypted file is found on the line on which it stands.
func TestLinesStay(t *testing.T) {
	data := file(t, "secret.yaml")
	opened, err := ageKeys(t, "age.key").Open(context.Background(), "secret.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	before, after := strings.Split(string(data), "\n"), strings.Split(string(opened.Text), "\n")
	for i := range after {
		key, _, isKey := strings.Cut(before[i], ": ENC[")
		if isKey && after[i] != "" && !strings.HasPrefix(after[i], key+": ") {
			t.Errorf("line %d: %q became %q", i+1, before[i], after[i])
		}
	}
}

// TestTampered changes files in the ways that someone without the key can.
func TestTampered(t *testing.T) {
	for _, tc := range []struct{ reason, from, to, want string }{
		{"a value in clear is changed", "app: shop", "app: other", "MAC does not match"},
		{"a value is replaced by one in clear", `empty: ""`, `empty: "x"`, "stringData.empty cannot be opened: it is not encrypted"},
		{"an encrypted value is emptied", "password: ENC[", "password: \"\" #", "MAC does not match"},
		{"an encrypted value is moved to another key", "    number: ENC", "    other: ENC", "stringData.other cannot be opened: it was changed"},
		{"a number in place of an encrypted value", "key: ENC[", "key: 5 #", "data.key is not encrypted"},
		{"a value is added", "type: Opaque", "type: Opaque\nadded: x", "MAC does not match"},
		{"a value is removed", "type: Opaque\n", "", "MAC does not match"},
		{"the rule is loosened", "encrypted_regex: ^(data|stringData)$", "encrypted_regex: ^data$", "MAC does not match"},
		{"the time is changed", `lastmodified: "2026`, `lastmodified: "2027`, "MAC cannot be opened"},
		{"the MAC is gone", "mac: ENC", "nomac: ENC", "MAC"},
		{"the data key is damaged", "YWdlLWVuY3J5cHRpb24", "YWdlLWVuY3J5cHRpb25", "damaged"},
		{"the recipients are gone", "age:", "old:", "nobody"},
		{"only a cloud key is left", "age:", "kms:", "key service kms alone, which is not configured"},
		{"an anchor", "app: shop", "app: &a shop\n        b: *a", "alias"},
		{"a wrong expression", "encrypted_regex: ^(data|stringData)$", "encrypted_regex: '('", "cannot be used"},
		{"encryption by comments", "encrypted_regex: ^(data|stringData)$", "encrypted_comment_regex: x", "depends on comments"},
		{"no YAML", "app: shop", "app: [shop", "no YAML"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			text := string(file(t, "secret.yaml"))
			changed := strings.ReplaceAll(text, tc.from, tc.to)
			if changed == text {
				t.Fatal("nothing was changed")
			}
			_, err := ageKeys(t, "age.key").Open(context.Background(), "secret.yaml", []byte(changed))
			if err == nil {
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %q, want %q in it", err, tc.want)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error %q has a value", err)
			}
		})
	}
}

func TestWithoutTheKey(t *testing.T) {
	data := file(t, "secret.yaml")
	for _, tc := range []struct {
		reason string
		keys   Decrypter
		want   string
	}{
		{"no keys", Decrypter{}, "no keys to open it with"},
		{"another key", ageKeys(t, "other.key"), "none of the keys opens it"},
	} {
		_, err := tc.keys.Open(context.Background(), "secret.yaml", data)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.reason, err)
		}
	}
	both := Decrypter{Services: append(ageKeys(t, "other.key").Services, ageKeys(t, "age.key").Services...)}
	if _, err := both.Open(context.Background(), "secret.yaml", data); err != nil {
		t.Errorf("one of two keys is right: %v", err)
	}
}

// cloud stands for a key service that someone adds.
type cloud struct{ inner AgeKeys }

func (cloud) Opens(kind string) bool { return kind == "kms" }
func (cloud) Fingerprint() string    { return "cloud" }
func (c cloud) Open(ctx context.Context, s Stanza) ([]byte, error) {
	return c.inner.Open(ctx, Stanza{"age", "", s.Encrypted})
}

func TestAnotherKeyServiceFitsTheSeam(t *testing.T) {
	keys, err := ParseAgeKeys(file(t, "age.key"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(file(t, "secret.yaml")), "    age:", "    kms:")
	if _, err := (Decrypter{Services: []KeyService{cloud{keys}}}).Open(context.Background(), "secret.yaml", []byte(text)); err != nil {
		t.Error(err)
	}
}

func TestParseAgeKeysNeverRepeatsAKey(t *testing.T) {
	for _, text := range []string{"", "# only a comment", "canary", "AGE-SECRET-KEY-1CANARY", "AGE-PLUGIN-CANARY-1"} {
		_, err := ParseAgeKeys([]byte(text))
		if err == nil || strings.Contains(strings.ToLower(err.Error()), "canary") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, name := range []string{"secret.yaml", "all.yaml", "secret.json", "secrets.env", "tls.key"} {
		f.Add(name, file(f, name))
	}
	keys := ageKeys(f, "age.key")
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		IsEncrypted(name, data)
		opened, err := keys.Open(context.Background(), name, data)
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("the error %q has a value", err)
		}
		if err == nil && len(opened.Text) > 16*len(data) {
			t.Error("it grew")
		}
	})
}

func FuzzQuoted(f *testing.F) {
	f.Add("a \"b\" \x00\u2028\x7f")
	f.Fuzz(func(t *testing.T, text string) {
		written, err := scalar(text)
		if err != nil {
			return
		}
		var back string
		if err := yaml.Unmarshal([]byte("a: "+written), &map[string]*string{"a": &back}); err != nil {
			t.Fatalf("%q as %s: %v", text, written, err)
		}
		var m map[string]string
		if err := yaml.Unmarshal([]byte("a: "+written), &m); err != nil || m["a"] != text {
			t.Errorf("%q as %s is %q: %v", text, written, m["a"], err)
		}
	})
}
