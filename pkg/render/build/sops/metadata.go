package sops

import (
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
)

// metadata is what sops keeps in a file.
type metadata struct {
	keys
	KeyGroups          []keys `json:"key_groups"`
	LastModified       string `json:"lastmodified"`
	MAC                string `json:"mac"`
	UnencryptedSuffix  string `json:"unencrypted_suffix"`
	EncryptedSuffix    string `json:"encrypted_suffix"`
	UnencryptedRegex   string `json:"unencrypted_regex"`
	EncryptedRegex     string `json:"encrypted_regex"`
	UnencryptedComment string `json:"unencrypted_comment_regex"`
	EncryptedComment   string `json:"encrypted_comment_regex"`
	MACOnlyEncrypted   bool   `json:"mac_only_encrypted"`
}

// keys are the stanzas by key service.
type keys struct {
	Age      []stanza `json:"age"`
	PGP      []stanza `json:"pgp"`
	KMS      []stanza `json:"kms"`
	GCPKMS   []stanza `json:"gcp_kms"`
	AzureKV  []stanza `json:"azure_kv"`
	Vault    []stanza `json:"hc_vault"`
	HuaweiKM []stanza `json:"hckms"`
}

// stanza has the fields by which the services name their keys.
type stanza struct {
	Recipient  string `json:"recipient"`
	Enc        string `json:"enc"`
	FP         string `json:"fp"`
	ARN        string `json:"arn"`
	ResourceID string `json:"resource_id"`
	Name       string `json:"name"`
	KeyName    string `json:"key_name"`
	KeyID      string `json:"key_id"`
}

// read takes the metadata out of its branch.
func (m *metadata) read(b *branch) error {
	tree, _ := b.plain().(map[string]any)
	// A flat file has only texts.
	if only, isText := tree["mac_only_encrypted"].(string); isText {
		tree["mac_only_encrypted"] = strings.EqualFold(only, "true")
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return errors.New("the metadata of sops cannot be read")
	}
	if err := json.Unmarshal(data, m); err != nil {
		return errors.New("the metadata of sops cannot be read")
	}
	if len(m.KeyGroups) > 1 {
		return errors.New("its data key is divided among several groups of keys, which is not supported here")
	}
	return nil
}

func (m *metadata) stanzas() []Stanza {
	var list []Stanza
	groups := append([]keys{m.keys}, m.KeyGroups...)
	for _, g := range groups {
		for _, each := range []struct {
			kind    string
			stanzas []stanza
		}{
			{"age", g.Age}, {"pgp", g.PGP}, {"kms", g.KMS}, {"gcp_kms", g.GCPKMS}, {"azure_kv", g.AzureKV},
			{"hc_vault", g.Vault}, {"hckms", g.HuaweiKM},
		} {
			for _, s := range each.stanzas {
				list = append(list, Stanza{Kind: each.kind, Recipient: s.name(), Encrypted: s.Enc})
			}
		}
	}
	return list
}

func (s stanza) name() string {
	for _, name := range []string{s.Recipient, s.ARN, s.FP, s.ResourceID, s.Name, s.KeyName, s.KeyID} {
		if name != "" {
			return name
		}
	}
	return ""
}

// rules say which values are encrypted, by the keys above them.
type rules struct {
	unencryptedSuffix, encryptedSuffix string
	unencrypted, encryptedMatch        *regexp.Regexp
}

func (m *metadata) rules() (rules, error) {
	r := rules{unencryptedSuffix: m.UnencryptedSuffix, encryptedSuffix: m.EncryptedSuffix}
	if m.UnencryptedComment != "" || m.EncryptedComment != "" {
		return r, errors.New("which of its values are encrypted depends on comments, which is not supported here; use encrypted_regex")
	}
	for _, each := range []struct {
		text string
		into **regexp.Regexp
	}{{m.UnencryptedRegex, &r.unencrypted}, {m.EncryptedRegex, &r.encryptedMatch}} {
		if each.text == "" {
			continue
		}
		compiled, err := regexp.Compile(each.text)
		if err != nil || len(each.text) > 4096 {
			return r, errors.New("its metadata has an expression that cannot be used")
		}
		*each.into = compiled
	}
	if r == (rules{}) {
		r.unencryptedSuffix = "_unencrypted"
	}
	return r, nil
}

func (r rules) encrypted(path []string) bool {
	encrypted := true
	some := func(matches func(string) bool) bool {
		for _, key := range path {
			if matches(key) {
				return true
			}
		}
		return false
	}
	if r.unencryptedSuffix != "" && some(func(k string) bool { return strings.HasSuffix(k, r.unencryptedSuffix) }) {
		encrypted = false
	}
	if r.encryptedSuffix != "" {
		encrypted = some(func(k string) bool { return strings.HasSuffix(k, r.encryptedSuffix) })
	}
	if r.unencrypted != nil && some(r.unencrypted.MatchString) {
		encrypted = false
	}
	if r.encryptedMatch != nil {
		encrypted = some(r.encryptedMatch.MatchString)
	}
	return encrypted
}

// unflatten gathers the metadata of a flat file, whose keys are sops_mac, sops_age__list_0__map_enc and so
// on, under one key.
func unflatten(b *branch) (*branch, error) {
	tree := &branch{isMap: true}
	top := map[string]any{}
	lists := map[string][]map[string]any{}
	for i, key := range b.keys {
		name, isMetadata := strings.CutPrefix(key, "sops_")
		if !isMetadata {
			tree.keys, tree.children = append(tree.keys, key), append(tree.children, b.children[i])
			continue
		}
		list, rest, isList := strings.Cut(name, "__list_")
		if !isList {
			top[name] = b.children[i].value
			continue
		}
		number, field, _ := strings.Cut(rest, "__map_")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= maxStanzas {
			return nil, errors.New("the metadata of sops cannot be read")
		}
		for len(lists[list]) <= n {
			lists[list] = append(lists[list], map[string]any{})
		}
		lists[list][n][field] = b.children[i].value
	}
	for list, items := range lists {
		all := make([]any, 0, len(items))
		for _, item := range items {
			all = append(all, item)
		}
		top[list] = all
	}
	if len(top) > 0 {
		tree.keys, tree.children = append(tree.keys, metadataKey), append(tree.children, branchOf(top))
	}
	return tree, nil
}

func branchOf(value any) *branch {
	switch v := value.(type) {
	case map[string]any:
		b := &branch{isMap: true}
		for key, child := range v {
			b.keys, b.children = append(b.keys, key), append(b.children, branchOf(child))
		}
		return b
	case []any:
		b := &branch{isList: true}
		for _, child := range v {
			b.children = append(b.children, branchOf(child))
		}
		return b
	}
	return &branch{value: value}
}
