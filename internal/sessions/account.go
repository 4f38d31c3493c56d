package sessions

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// EndOfClosed ends every session of the accounts that the changes close, by deletion, a status other than ACTIVE or a
// new password. The platform accepts a session until its row is REVOKED, whatever the state of its user. It
// implements audit.Ledger's Follow, so every command that closes an account ends its sessions.
func EndOfClosed(ctx context.Context, tx *audit.Tx, changes []audit.Change) ([]audit.Change, error) {
	var closed []uuid.UUID
	for _, c := range changes {
		if closes(c) {
			closed = append(closed, c.ID)
		}
	}
	if len(closed) == 0 {
		return nil, nil
	}
	cat, err := schema.Read(ctx, tx, schema.Sessions)
	if err != nil || cat[schema.Sessions] == nil {
		return nil, err // a database without the table has no sessions
	}
	t, err := SessionKind.Open(cat)
	if err != nil {
		return nil, err
	}
	_, ended, err := t.End(ctx, tx, Ended{Users: closed})
	return ended, err
}

// account is a user's record in an audited change.
type account interface {
	Standing() string
	CanSignIn() bool
}

// closes reports whether a change closes an account. Users of a tenant's database have no sessions.
func closes(c audit.Change) bool {
	if c.TenantID != nil || c.Before == nil {
		return false
	}
	if slices.Contains(c.Secrets, "password") { // only users have one
		return true
	}
	before, ok := c.Before.(account)
	if !ok {
		return false
	}
	after, ok := c.After.(account)
	return ok && after.Standing() != before.Standing() && !after.CanSignIn()
}
