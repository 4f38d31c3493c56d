// Package auth identifies the operator behind a credential, to whom changes are attributed, and decides what they may
// do.
package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// Tokens are opaque: 256 random bits in base64. The prefix identifies them for people and for scanners of leaked
// secrets. An API key contains its public id after the prefix.
const (
	loginPrefix = "cxgl_"
	keyPrefix   = "cxgk_"
)

// newLogin generates a login token.
func newLogin() string { return loginPrefix + random() }

// newKey generates an API key and its public id.
func newKey() (id, key string) {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails: crypto/rand crashes the program instead
	id = hex.EncodeToString(b)
	return id, keyPrefix + id + "_" + random()
}

func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func isKey(token string) bool { return strings.HasPrefix(token, keyPrefix) }

// splitKey returns a key's public id; known reports whether token has the form of a key.
func splitKey(token string) (id string, known bool) {
	id, _, known = strings.Cut(strings.TrimPrefix(token, keyPrefix), "_")
	return id, known
}

// fingerprint is the SHA-256 of a token in hex, the form stored in the database. A slow hash is unnecessary because a
// token has 256 random bits.
func fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
