package auth

import (
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
)

func (p Credential) method() string {
	switch {
	case p.DBRole:
		return MethodDBRole
	case p.Access != nil:
		return MethodJWT
	case isKey(p.Token):
		return MethodKey
	case p.Token != "":
		return MethodLogin
	}
	return MethodClaim
}

// errUnknown is the error for a credential without a matching user.
func (p Credential) errUnknown() error {
	switch p.method() {
	case MethodDBRole:
		return fault.New(fault.Unauthenticated, "the database role does not match an operator's username").
			WithHint("with auth.require: db_role, each operator connects as their own database role; cxgctl migrate roles prints how to create them")
	case MethodJWT:
		return fault.New(fault.Unauthenticated, "the user of the access token does not exist")
	case MethodKey, MethodLogin:
		if !p.Optional {
			return fault.New(fault.Unauthenticated, "the %s is unknown", p.kindName()).WithHint("%s", p.retryHint())
		}
	}
	return refuse(p.Name, "does not exist").
		WithHint("choose another operator with --operator or CXGCTL_OPERATOR; in a new database, create the first with: cxgctl auth bootstrap --username %s", p.Name)
}

// kindName is how messages call the credential.
func (p Credential) kindName() string {
	switch p.method() {
	case MethodKey:
		return "key"
	case MethodJWT:
		return "access token"
	case MethodDBRole:
		return "database role"
	}
	return "login"
}

// retryHint is the hint for an expired or revoked credential.
func (p Credential) retryHint() string {
	switch p.method() {
	case MethodKey:
		return "create a new one: cxgctl auth token --create"
	case MethodJWT:
		return "get a new one from the backend, or with: cxgctl auth token --access"
	}
	return "log in again: cxgctl auth login"
}

// checkSession returns why the session or key behind a credential is refused, nil if it is valid.
func (p Credential) checkSession(u candidate) error {
	if p.Access != nil && u.Session == nil {
		return fault.New(fault.Unauthenticated, "the session of the access token is unknown").WithHint("%s", p.retryHint())
	}
	if !p.Optional && u.Session != nil {
		why := ""
		switch {
		case u.SessionStatus == nil || *u.SessionStatus != "ACTIVE" && *u.SessionStatus != "EXPIRED":
			why = "was revoked"
		case *u.SessionStatus == "EXPIRED", truth(u.Expired):
			why = "has expired"
		case truth(u.Elsewhere):
			why = "may not be used from this address (allowed_ips)"
		case truth(u.Idle):
			why = "has expired: it was not used for " + idle.String()
		case truth(u.MFA) && !truth(u.Verified):
			why = "was made without the second factor"
		case p.Access != nil && u.Expires != nil && p.Access.Expires.After(u.Expires.Instant.Add(AccessLife)) && !u.Expires.After(p.Access.Expires):
			why = "ends after its session" // a token issued during the session expires at most AccessLife after it
		}
		if why != "" {
			return fault.New(fault.Unauthenticated, "the %s of %q %s", p.kindName(), u.Username, why).
				WithHint("%s", p.retryHint()).With("operator", u.Username)
		}
	}
	return nil
}

// checkUser returns why the user of a credential is refused, nil if they are an operator.
func (p Credential) checkUser(u candidate, now time.Time) error {
	if p.Name != "" && p.Name != u.Username {
		return fault.New(fault.Unauthenticated, "the operator is %q, but the %s belongs to %q", p.Name, p.kindName(), u.Username).
			WithHint("remove --operator and CXGCTL_OPERATOR, or set them to %q", u.Username).With("operator", p.Name)
	}
	switch {
	case !u.Live:
		return refuse(u.Username, "is deleted")
	case u.Type == nil || (*u.Type != "MASTER" && *u.Type != "SYSTEM"):
		return refuse(u.Username, "is of type "+text(u.Type)+"; operators are MASTER or SYSTEM")
	case u.Status == nil || *u.Status != "ACTIVE":
		return refuse(u.Username, "has status "+text(u.Status))
	case u.LockedUntil != nil && u.LockedUntil.After(now):
		return refuse(u.Username, "is locked until "+u.LockedUntil.String())
	}
	return nil
}

func refuse(name, why string) *fault.Error {
	return fault.New(fault.Unauthenticated, "operator %q %s", name, why).
		WithHint("an operator is a live, ACTIVE user of type MASTER or SYSTEM; choose one with --operator or CXGCTL_OPERATOR").
		With("operator", name)
}

func text(s *string) string {
	if s == nil {
		return "unknown"
	}
	return *s
}
