package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/fault"
)

const (
	secret = "the-secret-that-the-backend-has-00"
	user   = "00000000-0000-4000-8000-000000000001"
)

// good returns the claims of a valid access token of the backend.
func good(now time.Time) jwt.MapClaims {
	return jwt.MapClaims{"sub": user, "username": "ada", "email": "ada@example.com", "session_id": "s", "type": "access", "exp": now.Add(time.Minute).Unix()}
}

func sign(t *testing.T, method jwt.SigningMethod, key any, c jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestReadAccess(t *testing.T) {
	t.Parallel()
	now := time.Now()
	got, err := ReadAccess(secret, sign(t, jwt.SigningMethodHS256, []byte(secret), good(now)), now)
	if err != nil || got.User.String() != user || got.Session != "s" {
		t.Fatalf("%+v, %v", got, err)
	}
	// D22: clocks may differ by a minute for nbf and iat, but not for exp.
	if _, err := ReadAccess(secret, sign(t, jwt.SigningMethodHS256, []byte(secret), good(now)), now.Add(61*time.Second)); err == nil {
		t.Error("accepted one second after it expired")
	}
	for _, claim := range []string{"nbf", "iat"} {
		c := good(now)
		c[claim] = now.Add(59 * time.Second).Unix()
		if _, err := ReadAccess(secret, sign(t, jwt.SigningMethodHS256, []byte(secret), c), now); err != nil {
			t.Errorf("%s 59 seconds ahead: %v", claim, err)
		}
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) jwt.MapClaims {
		c := good(now)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return c
	}
	hs := func(c jwt.MapClaims) string { return sign(t, jwt.SigningMethodHS256, []byte(secret), c) }
	whole := hs(good(now))
	for name, c := range map[string]struct{ token, want string }{
		"none":                    {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good(now)), "is not signed with the backend's secret by HS256"},
		"RS256":                   {sign(t, jwt.SigningMethodRS256, rsaKey, good(now)), "is not signed with the backend's secret by HS256"},
		"HS512":                   {sign(t, jwt.SigningMethodHS512, []byte(secret), good(now)), "is not signed with the backend's secret by HS256"},
		"another secret":          {sign(t, jwt.SigningMethodHS256, []byte("another"), good(now)), "is not signed with the backend's secret by HS256"},
		"expired":                 {hs(with("exp", now.Add(-61*time.Second).Unix())), "has expired"},
		"never expires":           {hs(with("exp", nil)), "never expires"},
		"nbf ahead":               {hs(with("nbf", now.Add(2*time.Minute).Unix())), "is not valid yet"},
		"iat ahead":               {hs(with("iat", now.Add(61*time.Second).Unix())), "is not valid yet"}, // M2
		"critical":                {critical(t, good(now)), "requires an unsupported extension"},         // M2
		"without session":         {hs(with("session_id", nil)), "lacks a session_id"},                   // M2
		"empty session":           {hs(with("session_id", "")), "lacks a session_id"},                    // M2
		"refresh as access":       {hs(with("type", "refresh")), "is not an access token"},
		"without type":            {hs(with("type", nil)), "is not an access token"},
		"type is a number":        {hs(with("type", 7)), "is malformed"},
		"without user":            {hs(with("sub", nil)), "does not name a user"},
		"sub is not a UUID":       {hs(with("sub", "ada")), "does not name a user"},
		"exp is not a time":       {hs(with("exp", "tomorrow")), ""},
		"signature truncated":     {whole[:len(whole)-2], ""},
		"claims of another token": {swap(whole, hs(with("sub", "00000000-0000-4000-8000-000000000002"))), "is not signed with the backend's secret by HS256"},
		"not base64":              {"a.b.c", "is malformed"},
		"only dots":               {"..", "is malformed"},
	} {
		_, err := ReadAccess(secret, c.token, now)
		if !fault.Is(err, fault.Unauthenticated) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error containing %q", name, err, c.want)
		}
		if err != nil && len(c.token) > 10 && strings.Contains(err.Error(), c.token[5:10]) {
			t.Errorf("%s: the error quotes part of the token: %v", name, err)
		}
	}
}

// swap returns the signed token with the claims of another.
func swap(signed, claims string) string {
	a, b := strings.Split(signed, "."), strings.Split(claims, ".")
	return a[0] + "." + b[1] + "." + a[2]
}

func TestIsJWT(t *testing.T) {
	t.Parallel()
	_, key := newKey()
	for token, want := range map[string]bool{"a.b.c": true, newLogin(): false, key: false, "": false, "a.b": false, loginPrefix + "a.b.c": false} {
		if IsJWT(token) != want {
			t.Errorf("IsJWT(%q) is %t", token, !want)
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	hash := func(h string) *account { return &account{Hash: &h} }
	// hash of "U*U" by Openwall's crypt_blowfish
	const known = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	b, err := bcrypt.GenerateFromPassword([]byte(strings.Repeat("가", 24)), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	cut := string(b)
	for name, c := range map[string]struct {
		a        *account
		password string
		want     bool
	}{
		"right password":        {hash(known), "U*U", true},
		"prefix 2y":             {hash("$2y$" + known[4:]), "U*U", true},
		"prefix 2b":             {hash("$2b$" + known[4:]), "U*U", true},
		"wrong password":        {hash(known), "U*V", false},
		"NUL appended":          {hash(known), "U*U\x00x", false},
		"unknown user":          {nil, "U*U", false},
		"without a hash":        {&account{}, "U*U", false},
		"empty hash":            {hash(""), "", false},
		"junk":                  {hash("junk"), "junk", false},
		"over 72 bytes":         {hash(known), strings.Repeat("a", 73), false},
		"truncated at 72 bytes": {hash(cut), strings.Repeat("가", 25), true}, // D11: the platform truncates too
		"72 bytes":              {hash(cut), strings.Repeat("가", 24), true},
		"71 bytes":              {hash(cut), strings.Repeat("가", 24)[:71], false},
		"empty password":        {hash(known), "", false},
	} {
		if got := matches(c.a, c.password); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// critical returns a token with a critical header parameter.
func critical(t *testing.T, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
	token.Header["crit"] = []string{"exp"}
	signed, err := token.SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
