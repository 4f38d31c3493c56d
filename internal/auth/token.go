// Package auth turns what a person or a job offers as proof into the operator whom changes are
// attributed to, and decides what they may do.
package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// Tokens are opaque: 256 random bits in base64. What they begin with tells a person, and a scanner for
// leaked secrets, what they are. A key's has the key's public id in its middle.
const (
	loginPrefix = "cxgl_"
	keyPrefix   = "cxgk_"
)

// newLogin makes up a login's token.
func newLogin() string { return loginPrefix + random() }

// newKey makes up a service's key and its public id.
func newKey() (id, key string) {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // it never fails: crypto/rand ends the program first
	id = hex.EncodeToString(b)
	return id, keyPrefix + id + "_" + random()
}

func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func isKey(token string) bool { return strings.HasPrefix(token, keyPrefix) }

// splitKey returns a key's public id; known says whether the text is of a key's form.
func splitKey(token string) (id string, known bool) {
	id, _, known = strings.Cut(strings.TrimPrefix(token, keyPrefix), "_")
	return id, known
}

// fingerprint is what the database keeps of a token: its SHA-256, in hex. A token has 256 random bits, so
// nothing slower is called for.
func fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
