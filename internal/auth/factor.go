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

// The second factor of an account is a TOTP (RFC 6238) over mfa_secret, as authenticator apps show it: SHA-1, 6 digits,
// 30 seconds. A code of the step before or after is accepted too, since clocks differ.
var totpOptions = totp.ValidateOpts{Period: 30, Skew: 1, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

// readableSecret reports whether a stored secret is base32, the form that authenticator apps take.
func readableSecret(secret *string) bool {
	if secret == nil {
		return false
	}
	text := strings.TrimRight(strings.ToUpper(strings.TrimSpace(*secret)), "=")
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	return err == nil && len(key) > 0
}

// validCode reports whether a code is the TOTP of a secret at a time.
func validCode(secret *string, code string, at time.Time) bool {
	if !readableSecret(secret) {
		return false
	}
	ok, err := totp.ValidateCustom(compact(code), *secret, at, totpOptions)
	return err == nil && ok
}

// backupCode returns the stored form of the backup code that was typed, false if none fits. How a platform stores them is
// not fixed: bcrypt hashes, SHA-256 and SHA-512 in hex, and plain text are recognised by their form. Of a plain code
// neither letter case nor blanks and hyphens count. A hash is never compared as plain text, or it could be typed itself.
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

// fits reports whether a typed backup code is the one that is stored.
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

// compact is a code without the blanks and hyphens that group its characters.
func compact(code string) string {
	return strings.NewReplacer(" ", "", "-", "", "\t", "").Replace(strings.TrimSpace(code))
}

// NeedsCode reports whether the password was right and a code is to be asked for.
func (a Attempt) NeedsCode() bool {
	return a.admissible() && truth(a.seen.MFA) && readableSecret(a.seen.Secret)
}

// Code takes the code that was typed. Enter checks it.
func (a *Attempt) Code(code string) {
	a.code = &code
	a.backup, _ = backupCode(a.seen.Backup, code)
}

// NeedsPassword reports whether the user has to set another password before the login.
func (a Attempt) NeedsPassword() bool { return a.admissible() && truth(a.seen.MustChange) }

// Uses reports whether a password is the one that was just checked.
func (a Attempt) Uses(password string) bool { return matches(a.seen, password) }

// NewPassword takes the hash of the password that the user set.
func (a *Attempt) NewPassword(hash string) { a.newHash = hash }

// errCode is the refusal of a login that lacks the second factor, nil where there is none to ask for. Only a code that was
// typed counts as a failed login.
func (a *account) errCode(at Attempt, now time.Time) (refused *fault.Error, counts bool) {
	switch {
	case !truth(a.MFA):
		return nil, false
	case !readableSecret(a.Secret):
		return fault.New(fault.Unauthenticated,
			"the second factor of %q cannot be checked: its secret is not one of an authenticator app", a.Username).
			WithHint("use an access token of the platform, whose session has the second factor verified, in CXGCTL_TOKEN_FILE"), false
	case at.code == nil:
		return fault.New(fault.Unauthenticated, "user %q has a second factor, and no code was given", a.Username).
			WithHint("add --otp-stdin, or log in on a terminal"), false
	case validCode(a.Secret, *at.code, now), at.backup != "" && slices.Contains(a.Backup, at.backup):
		return nil, false
	}
	return fault.New(fault.Unauthenticated, "wrong code").
		WithHint("type the code that the authenticator app shows now, or an unused backup code"), true
}

// usedBackup returns the backup codes that are left once the login has used one; used is false where it used a TOTP.
func (a *account) usedBackup(at Attempt, now time.Time) (left []string, used bool) {
	i := slices.Index(a.Backup, at.backup)
	if !truth(a.MFA) || at.backup == "" || i < 0 || validCode(a.Secret, *at.code, now) {
		return nil, false
	}
	return slices.Delete(slices.Clone(a.Backup), i, i+1), true
}
