// Package auth turns what a person or a job offers as proof into the operator whom changes are
// attributed to.
package auth

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// claimant is what decides whether a user may act as an operator.
type claimant struct {
	ID           uuid.UUID
	Username     string
	Type, Status *string
	LockedUntil  *db.Time
	Live         bool
}

// claimFields are claimant's, in order. A command that reads one row pays for this query too, so it is
// as small as can be, and runs without the round trip of a preparation.
var claimFields = []schema.Field{
	{Name: "id", Type: "uuid"},
	{Name: "username", Type: "text"},
	{Name: "user_type", Type: "text"},
	{Name: "status", Type: "text"},
	{Name: "locked_until", Type: "timestamptz"},
}

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
	t, err := cat.Table(schema.Users)
	if err != nil {
		return op, err
	}
	live := t.Live("u")
	rows, err := r.Query(ctx, "SELECT "+t.Select("u", claimFields)+", ("+live+") FROM idam.users u WHERE u.username = $1",
		pgx.QueryExecModeExec, name)
	if err != nil {
		return op, err
	}
	u, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[claimant])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return op, refuse(name, "does not exist")
	case err != nil:
		return op, err
	case !u.Live:
		return op, refuse(name, "is deleted")
	case u.Type == nil || (*u.Type != "MASTER" && *u.Type != "SYSTEM"):
		return op, refuse(name, "is of type "+text(u.Type)+"; operators are MASTER or SYSTEM")
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
