package auth

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// The second factor of an account is a TOTP (RFC 6238) over mfa_secret with the defaults of authenticator apps: SHA-1,
// 6 digits, 30 seconds. The previous and the next code are accepted too, since clocks differ.
var totpOptions = totp.ValidateOpts{Period: 30, Skew: 1, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

// readableSecret reports whether a stored secret is base32, the form that authenticator apps use.
func readableSecret(secret *string) bool {
	if secret == nil {
		return false
	}
	text := strings.TrimRight(strings.ToUpper(strings.TrimSpace(*secret)), "=")
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	return err == nil && len(key) > 0
}

// validCode reports whether code is the TOTP of secret at the given time.
func validCode(secret *string, code string, at time.Time) bool {
	if !readableSecret(secret) {
		return false
	}
	ok, err := totp.ValidateCustom(compact(code), *secret, at, totpOptions)
	return err == nil && ok
}

// backupCode returns the stored form of the backup code that was typed, false if none matches. Platforms store them
// differently: bcrypt hashes, SHA-256 and SHA-512 in hex, and plain text are recognized by their form. Plain codes are
// compared without regard to case, blanks and hyphens. A hash is never compared as plain text, because it could then be
// typed itself.
func backupCode(stored []string, code string) (string, bool) {
	plain := compact(code)
	if plain == "" {
		return "", false
	}
	typed := []string{strings.TrimSpace(code), plain}
	for _, t := range slices.Clone(typed) {
		typed = append(typed, strings.ToUpper(t), strings.ToLower(t))
	}
	slices.Sort(typed)
	typed = slices.Compact(typed)
	for _, s := range stored {
		if slices.ContainsFunc(typed, func(t string) bool { return fits(s, t) }) {
			return s, true
		}
	}
	return "", false
}

// fits reports whether a typed backup code matches a stored one.
func fits(stored, typed string) bool {
	sum := func(b []byte) bool {
		return subtle.ConstantTimeCompare([]byte(strings.ToLower(stored)), []byte(hex.EncodeToString(b))) == 1
	}
	_, notHex := hex.DecodeString(stored)
	switch {
	case strings.HasPrefix(stored, "$2"):
		return len(typed) <= maxBytes && bcrypt.CompareHashAndPassword([]byte(stored), []byte(typed)) == nil
	case notHex == nil && len(stored) == 2*sha256.Size:
		b := sha256.Sum256([]byte(typed))
		return sum(b[:])
	case notHex == nil && len(stored) == 2*sha512.Size:
		b := sha512.Sum512([]byte(typed))
		return sum(b[:])
	}
	return subtle.ConstantTimeCompare([]byte(strings.ToLower(compact(stored))), []byte(strings.ToLower(compact(typed)))) == 1
}

// compact removes the blanks and hyphens that group a code's characters.
func compact(code string) string {
	return strings.NewReplacer(" ", "", "-", "", "\t", "").Replace(strings.TrimSpace(code))
}

// NeedsCode reports whether the password was right and a code is required.
func (a Attempt) NeedsCode() bool {
	return a.admissible() && truth(a.seen.MFA) && readableSecret(a.seen.Secret)
}

// Code sets the code that was typed. LogIn checks it.
func (a *Attempt) Code(code string) {
	a.code = &code
	a.backup, _ = backupCode(a.seen.Backup, code)
}

// NeedsPassword reports whether the user has to set a new password before the login.
func (a Attempt) NeedsPassword() bool { return a.admissible() && truth(a.seen.MustChange) }

// Uses reports whether password is the one that was just checked.
func (a Attempt) Uses(password string) bool { return matches(a.seen, password) }

// NewPassword sets the hash of the new password.
func (a *Attempt) NewPassword(hash string) { a.newHash = hash }

// errCode returns why the second factor is refused, nil if it is valid or not required. Only a typed code counts as a
// failed login.
func (a *account) errCode(at Attempt, now time.Time) (refused *fault.Error, counts bool) {
	switch {
	case !truth(a.MFA):
		return nil, false
	case !readableSecret(a.Secret):
		return fault.New(fault.Unauthenticated,
			"the second factor of %q cannot be checked: its secret is not base32", a.Username).
			WithHint("use CXGCTL_TOKEN_FILE with an access token of the platform whose session has verified the second factor"), false
	case at.code == nil:
		return fault.New(fault.Unauthenticated, "user %q has a second factor, but no code was given", a.Username).
			WithHint("add --otp-stdin, or log in on a terminal"), false
	case validCode(a.Secret, *at.code, now), at.backup != "" && slices.Contains(a.Backup, at.backup):
		return nil, false
	}
	return fault.New(fault.Unauthenticated, "wrong code").
		WithHint("type the current code of the authenticator app, or an unused backup code"), true
}

// usedBackup returns the remaining backup codes if the login used one up; used is false if it used a TOTP.
func (a *account) usedBackup(at Attempt, now time.Time) (left []string, used bool) {
	i := slices.Index(a.Backup, at.backup)
	if !truth(a.MFA) || at.backup == "" || i < 0 || validCode(a.Secret, *at.code, now) {
		return nil, false
	}
	return slices.Delete(slices.Clone(a.Backup), i, i+1), true
}
