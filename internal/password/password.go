// Package password validates, hashes and generates passwords.
package password

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// Cost is the backend's bcrypt cost.
const Cost = 12

// The backend's rule, and bcrypt's limit: it only reads 72 bytes, so longer passwords would share a hash.
const (
	minChars = 8
	maxChars = 100
	maxBytes = 72
)

// Normal returns a password as it is hashed: in NFC and without a byte order mark, so that it can be typed on every
// system.
func Normal(pw string) string { return validate.Decode(pw) }

// Rules says what Check requires, for people who are asked for a password.
var Rules = fmt.Sprintf("%d to %d characters, with an upper-case letter, a lower-case letter and a digit, and not a common one", minChars, maxChars)

// Check returns an error that names every violated rule, but never contains the password.
func Check(pw string) error {
	var p fault.Problems
	n := utf8.RuneCountInString(pw)
	switch {
	case !utf8.ValidString(pw):
		p.Add("password", "it is not valid UTF-8")
	case strings.ContainsRune(pw, 0):
		p.Add("password", "it contains a NUL character")
	}
	if n < minChars || n > maxChars {
		p.Add("password", "it is %s long; %d to %d are required", fault.Plural(n, "character"), minChars, maxChars)
	}
	if len(pw) > maxBytes {
		p.Add("password", "it has %d bytes; bcrypt reads at most %d", len(pw), maxBytes)
	}
	var lacks []string
	for _, need := range []struct {
		what string
		is   func(rune) bool
	}{{"an upper-case letter", unicode.IsUpper}, {"a lower-case letter", unicode.IsLower}, {"a digit", unicode.IsDigit}} {
		if !strings.ContainsFunc(pw, need.is) {
			lacks = append(lacks, need.what)
		}
	}
	if len(lacks) > 0 {
		p.Add("password", "it must contain %s", fault.Join(lacks, "and"))
	}
	switch listed, err := common(pw); {
	case err != nil:
		return err
	case listed:
		p.Add("password", "it is one of the 10,000 most common passwords")
	}
	return p.Err()
}

// Accepted costs of a given hash. A lower cost is too weak; a higher one slows down every login.
const (
	minCost = 10
	maxCost = 14
)

// hashForm matches a bcrypt hash that the backend can verify: 22 characters of salt and 31 of hash.
var hashForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$`) })

// CheckHash refuses strings that are not bcrypt hashes, because the backend raises an error on them. Its error never
// contains the hash.
func CheckHash(hash string) error {
	m := hashForm().FindStringSubmatch(hash)
	if m == nil {
		return fault.New(fault.Validation, "it is not a bcrypt hash of the form $2a$, $2b$ or $2y$")
	}
	if cost, err := strconv.Atoi(m[1]); err != nil || cost < minCost || cost > maxCost {
		return fault.New(fault.Validation, "its cost is %s; %d to %d are allowed", m[1], minCost, maxCost)
	}
	return nil
}

// Hash returns the bcrypt hash of a password that has passed Check, with the $2b$ prefix that the backend uses. For
// passwords of at most 72 bytes, $2a$ and $2b$ are equivalent.
func Hash(pw string, cost int) (string, error) {
	h, err := bcrypt.GenerateFromPassword([]byte(pw), cost)
	if err != nil {
		return "", fault.New(fault.Validation, "the password cannot be hashed").Because(err)
	}
	return "$2b$" + strings.TrimPrefix(string(h), "$2a$"), nil
}

// alphabet omits characters that are easily confused when read aloud or off a screen: 0 O o, 1 l I i, 2 Z z, 5 S s, 8
// B.
const alphabet = "ACDEFGHJKLMNPQRTUVWXYabcdefghjkmnpqrtuvwxy34679"

// Generate returns a random password of four groups of five characters, about 106 bits, which passes Check.
func Generate() (string, error) {
	most := big.NewInt(int64(len(alphabet)))
	for {
		var b strings.Builder
		for i := range 20 {
			if i > 0 && i%5 == 0 {
				b.WriteByte('-')
			}
			n, err := rand.Int(rand.Reader, most)
			if err != nil {
				return "", err
			}
			b.WriteByte(alphabet[n.Int64()])
		}
		if Check(b.String()) == nil {
			return b.String(), nil
		}
	}
}
