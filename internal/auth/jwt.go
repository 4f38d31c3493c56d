package auth

import (
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Access holds the claims of a verified access token of the backend.
type Access struct {
	User    uuid.UUID
	Session string
	Expires time.Time
}

// Lifetimes of the backend's tokens, and how far ahead its clock may be.
const (
	AccessLife  = 15 * time.Minute
	RefreshLife = 7 * 24 * time.Hour
	leeway      = 60 * time.Second
)

// claims are the claims of the backend's tokens.
type claims struct {
	Username string `json:"username"`
	Email    string `json:"email"`
	Session  string `json:"session_id"`
	Type     string `json:"type"` // access or refresh
	jwt.RegisteredClaims
}

// IsJWT reports whether a token has the form of a JWT: three parts.
func IsJWT(token string) bool {
	return strings.Count(token, ".") == 2 && !strings.HasPrefix(token, loginPrefix) && !isKey(token)
}

// ReadAccess verifies an access token of the backend: signed with the secret by HS256, without critical extensions (RFC
// 7515), not expired, of type access, with exp, sub and session_id, and with nbf and iat at most a minute ahead. Any
// other token is AUTHENTICATION_REQUIRED; the message never quotes the token.
func ReadAccess(secret, token string, now time.Time) (Access, error) {
	refused := func(why string, cause error) (Access, error) {
		return Access{}, fault.New(fault.Unauthenticated, "the access token in CXGCTL_TOKEN_FILE %s", why).
			WithHint("get a new one from the backend, or with: cxgctl auth token --access").Because(cause)
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
		return refused("requires an unsupported extension", nil)
	case !c.ExpiresAt.After(now): // the leeway applies to the other times only
		return refused("has expired", nil)
	case c.Session == "":
		return refused("lacks a session_id", nil)
	case c.Type != AccessToken:
		return refused("is not an access token", nil)
	}
	user, err := uuid.Parse(c.Subject)
	if err != nil {
		return refused("does not name a user", err)
	}
	return Access{user, c.Session, c.ExpiresAt.Time}, nil
}
