package sessions

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Closer ends every session of the accounts that changes close, by deletion, a status other than ACTIVE or a new password.
// The platform accepts a session until its row is REVOKED, whatever the state of its user. It is the audit.Follower of
// every command.
type Closer struct {
	table *Table[Session] // nil for a database without sessions
	idle  []uuid.UUID     // users without a session that could be ended
}

// NewCloser returns the Closer of a database.
func NewCloser(cat schema.Catalog) *Closer {
	if t, err := SessionKind.Open(cat); err == nil {
		return &Closer{table: &t}
	}
	return &Closer{}
}

const findIdle = `
SELECT o.id FROM unnest($1::uuid[]) AS o (id)
 WHERE NOT EXISTS (SELECT FROM {table} x WHERE x.user_id = o.id AND x.status = 'ACTIVE' AND {live})`

// Ask implements audit.Follower.
func (c *Closer) Ask(noun string, columns []string, ids []uuid.UUID) []db.PipelineQuery {
	c.idle = nil
	if c.table == nil || len(ids) == 0 || noun != "user" || !slices.ContainsFunc(columns, closing) {
		return nil
	}
	return []db.PipelineQuery{{SQL: c.table.sql(findIdle), Args: []any{ids}, Read: db.Into(&c.idle, pgx.RowTo[uuid.UUID])}}
}

// closing reports whether a change of a user's column may close the account.
func closing(column string) bool {
	return column == "status" || column == "password" || column == "password_hash"
}

// Follow implements audit.Follower.
func (c *Closer) Follow(ctx context.Context, tx *audit.Tx, changes []audit.Change) ([]audit.Change, error) {
	idle := c.idle
	c.idle = nil // of this transaction only
	var closed []uuid.UUID
	for _, change := range changes {
		if closes(change) && !slices.Contains(idle, change.ID) {
			closed = append(closed, change.ID)
		}
	}
	if len(closed) == 0 || c.table == nil {
		return nil, nil
	}
	_, ended, err := c.table.End(ctx, tx, Ended{Users: closed})
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
