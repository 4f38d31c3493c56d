// Package auth turns what a person or a job offers as proof into the operator whom changes are
// attributed to.
package auth

import (
	"context"
	"time"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/users"
)

// Claim resolves a claimed name to an operator: it must be the username of a live, ACTIVE user of
// type MASTER or SYSTEM who is not locked at this moment. Anything else is AUTHENTICATION_REQUIRED
// and names the reason. The look-up is by username alone, so that a name cannot be claimed through
// somebody's id or e-mail.
func Claim(ctx context.Context, r db.Reader, cat schema.Catalog, name string, now time.Time) (audit.Operator, error) {
	op := audit.Operator{Name: name, Claimed: name, AuthMethod: "claim"}
	if name == "" {
		return op, fault.New(fault.Unauthenticated, "no operator is named").
			WithHint("say who you are: --operator NAME, CXGCTL_OPERATOR, or operator: in the profile")
	}
	t, err := users.In(cat)
	if err != nil {
		return op, err
	}
	u, err := t.FindOne(ctx, r, name, users.ByUsername, true)
	if fault.Is(err, fault.NotFound) {
		return op, refuse(name, "does not exist")
	}
	if err != nil {
		return op, err
	}
	switch {
	case !u.IsActive:
		return op, refuse(name, "is deleted")
	case u.UserType == nil || (*u.UserType != "MASTER" && *u.UserType != "SYSTEM"):
		return op, refuse(name, "is of type "+text(u.UserType)+"; operators are MASTER or SYSTEM")
	case u.Status == nil || *u.Status != "ACTIVE":
		return op, refuse(name, "has status "+text(u.Status))
	case u.LockedUntil != nil && u.LockedUntil.After(now):
		return op, refuse(name, "is locked until "+u.LockedUntil.String())
	}
	op.ID, op.Name = u.ID, u.Username
	return op, nil
}

func refuse(name, why string) *fault.Error {
	return fault.New(fault.Unauthenticated, "operator %q %s", name, why).
		WithHint("an operator is a live, ACTIVE user of type MASTER or SYSTEM; name one with --operator or CXGCTL_OPERATOR").
		With("operator", name)
}

func text(s *string) string {
	if s == nil {
		return "unknown"
	}
	return *s
}
