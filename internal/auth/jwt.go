package auth

import (
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Access is what a checked access token of the backend says.
type Access struct {
	User    uuid.UUID
	Session string
	Expires time.Time
}

// The backend's tokens: how long they live, and how far ahead its clock may be.
const (
	AccessLife  = 15 * time.Minute
	RefreshLife = 7 * 24 * time.Hour
	leeway      = 60 * time.Second
)

// claims are those of the backend's tokens.
type claims struct {
	Username string `json:"username"`
	Email    string `json:"email"`
	Session  string `json:"session_id"`
	Type     string `json:"type"` // access or refresh
	jwt.RegisteredClaims
}

// IsJWT says whether a token is of a JWT's form: three parts.
func IsJWT(token string) bool {
	return strings.Count(token, ".") == 2 && !strings.HasPrefix(token, loginPrefix) && !isKey(token)
}

// ReadAccess checks a backend's access token: signed by HS256 with the secret and by nothing else, without extensions that
// it calls critical (RFC 7515), not expired, of type access, with exp, sub and session_id, with nbf and iat at most a minute
// ahead. Anything else is AUTHENTICATION_REQUIRED, and says what is wrong without a part of the token.
func ReadAccess(secret, token string, now time.Time) (Access, error) {
	refused := func(why string, cause error) (Access, error) {
		return Access{}, fault.New(fault.Unauthenticated, "the access token in CXGCTL_TOKEN_FILE %s", why).
			WithHint("get another from the backend, or by: cxgctl auth token --access").Because(cause)
	}
	var c claims
	parsed, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return []byte(secret), nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(func() time.Time { return now }))
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return refused("has expired", err)
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return refused("is not valid yet", err)
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return refused("never expires", err)
	case errors.Is(err, jwt.ErrTokenMalformed):
		return refused("is malformed", err)
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return refused("is not signed with the backend's secret by HS256", err)
	case err != nil:
		return refused("is not valid", err)
	case parsed.Header["crit"] != nil:
		return refused("demands an extension that is not supported", nil)
	case !c.ExpiresAt.After(now): // the leeway is for the other times
		return refused("has expired", nil)
	case c.Session == "":
		return refused("names no session", nil)
	case c.Type != "access":
		return refused("is no access token", nil)
	}
	user, err := uuid.Parse(c.Subject)
	if err != nil {
		return refused("names no user", err)
	}
	return Access{user, c.Session, c.ExpiresAt.Time}, nil
}
