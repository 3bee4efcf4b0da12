package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/render/build/sops"
)

// The variables that sops itself reads.
const (
	ageKeyVariable     = "SOPS_AGE_KEY"
	ageKeyFileVariable = "SOPS_AGE_KEY_FILE"
)

// ageKeySuffix is how the entries of a Secret end that hold age identities.
const ageKeySuffix = ".agekey"

// fileKeys returns the keys of a source of a configuration file: those of its file, else those of the
// environment.
func fileKeys(base string) func(context.Context, v1alpha1.GitSource) (sops.Decrypter, error) {
	return func(_ context.Context, s v1alpha1.GitSource) (sops.Decrypter, error) {
		if s.Spec.Decryption == nil || s.Spec.Decryption.KeysFile == "" {
			return environmentKeys(), nil
		}
		return keysFrom(relativeTo(base, s.Spec.Decryption.KeysFile)), nil
	}
}

// environmentKeys returns the keys that sops itself would find in the environment.
func environmentKeys() sops.Decrypter {
	if keys := os.Getenv(ageKeyVariable); keys != "" {
		return ageKeys(ageKeyVariable, []byte(keys))
	}
	if file := os.Getenv(ageKeyFileVariable); file != "" {
		return keysFrom(file)
	}
	return sops.Decrypter{}
}

func keysFrom(file string) sops.Decrypter {
	data, err := os.ReadFile(file)
	if err != nil {
		var inner *fs.PathError
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return sops.Decrypter{Unavailable: fmt.Errorf("the file %q: %w", file, err)}
	}
	return ageKeys(fmt.Sprintf("the file %q", file), data)
}

func ageKeys(place string, data []byte) sops.Decrypter {
	keys, err := sops.ParseAgeKeys(data)
	if err != nil {
		return sops.Decrypter{Unavailable: fmt.Errorf("%s: %w", place, err)}
	}
	return sops.Decrypter{Services: []sops.KeyService{keys}}
}

// secretKeys returns the keys in the Secret that a source on a hub names. The environment does not count
// there: it would open what one tenant encrypted for another. An error is one of the moment; a Secret that
// is not there or has no keys leaves the encrypted files shut, and is looked at again when it changes.
func secretKeys(
	ctx context.Context, s v1alpha1.GitSource, read func(ctx context.Context, namespace, name string) (map[string][]byte, error),
) (sops.Decrypter, error) {
	if s.Spec.Decryption == nil || s.Spec.Decryption.SecretRef == nil {
		return sops.Decrypter{}, nil
	}
	name := s.Spec.Decryption.SecretRef.Name
	data, err := read(ctx, s.Namespace, name)
	if apierrors.IsNotFound(err) {
		return sops.Decrypter{Unavailable: fmt.Errorf("there is no Secret %q", s.Namespace+"/"+name)}, nil
	}
	if err != nil {
		return sops.Decrypter{}, err
	}
	var all sops.Decrypter
	var entries []string
	for entry := range data {
		if path.Ext(entry) == ageKeySuffix {
			entries = append(entries, entry)
		}
	}
	slices.Sort(entries)
	for _, entry := range entries {
		keys := ageKeys(fmt.Sprintf("the entry %q of the Secret %q", entry, s.Namespace+"/"+name), data[entry])
		if keys.Unavailable != nil {
			return keys, nil //nolint:nilerr // What keeps the keys from being had is part of them.
		}
		all.Services = append(all.Services, keys.Services...)
	}
	if len(entries) == 0 {
		all.Unavailable = fmt.Errorf("the Secret %q has no entry that ends in %s", s.Namespace+"/"+name, ageKeySuffix)
	}
	return all, nil
}
