package sessions

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Ended selects the rows to end and how.
type Ended struct {
	IDs     []uuid.UUID   // these rows
	Users   []uuid.UUID   // all ACTIVE rows of these users
	Expired bool          // all expired rows that are still ACTIVE
	Grace   time.Duration // the rows expire after this time instead; 0 ends them now
}

const (
	due = `x.status <> 'REVOKED' AND {live} AND (x.id = ANY (@ids::uuid[])
    OR x.status = 'ACTIVE' AND (x.user_id = ANY (@users::uuid[]) OR @expired AND x.expires_at <= @now))`
	lockRows = `
SELECT {columns} FROM {table} x LEFT JOIN idam.users u ON u.id = x.user_id
 WHERE ` + due + `
 ORDER BY x.id FOR UPDATE OF x`
	readRows = `
SELECT {columns} FROM {table} x LEFT JOIN idam.users u ON u.id = x.user_id WHERE x.id = ANY (@ids::uuid[]) ORDER BY x.id`
)

// Due returns how many rows would be ended.
func (t Table[T]) Due(ctx context.Context, r db.Reader, e Ended) (n int, err error) {
	sql := t.sql("SELECT count(*) FROM {table} x WHERE " + due)
	args := pgx.NamedArgs{"ids": append([]uuid.UUID{}, e.IDs...), "users": append([]uuid.UUID{}, e.Users...), "expired": e.Expired}
	err = r.QueryRow(ctx, strings.ReplaceAll(sql, "@now", "now()"), args).Scan(&n)
	return n, err
}

// ended are the columns of an ended row.
var ended = [][2]string{
	{"status", "CASE WHEN @expired::boolean THEN 'EXPIRED' ELSE 'REVOKED' END"},
	{"updated_at", "@now"},
	{"updated_by", "@by"},
}

// graced are the columns of a row that expires later.
var graced = [][2]string{{"expires_at", "CASE WHEN x.expires_at < @until THEN x.expires_at ELSE @until END"}, {"updated_at", "@now"}, {"updated_by", "@by"}}

// Revoke ends sessions or keys and returns those that it ended. Rows that are REVOKED already do not change.
func (t Table[T]) Revoke(ctx context.Context, l *audit.Ledger, e Ended) ([]T, error) {
	var gone []T
	intent := audit.Intent{Subject: audit.Subject{Resource: t.Noun}, Action: audit.Update}
	if len(e.IDs) == 1 {
		intent.ID = e.IDs[0]
	}
	err := l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		rows, changes, err := t.End(ctx, tx, e)
		gone = rows
		return changes, err
	})
	return gone, err
}

// End is Revoke inside a transaction. The rows stay, with a status that tells how they ended.
func (t Table[T]) End(ctx context.Context, tx *audit.Tx, e Ended) ([]T, []audit.Change, error) {
	args := pgx.NamedArgs{
		"ids": append([]uuid.UUID{}, e.IDs...), "users": append([]uuid.UUID{}, e.Users...), "expired": e.Expired, "now": tx.Now, "by": tx.ByID(),
		"until": tx.Now.Add(e.Grace),
	}
	set := ended
	if e.Grace > 0 {
		set = graced
	}
	before, err := db.Collect[T](ctx, tx, t.sql(lockRows), args)
	if err != nil || len(before) == 0 {
		return nil, nil, err
	}
	changes := make([]audit.Change, len(before))
	ids := make([]uuid.UUID, len(before))
	for i, row := range before {
		changes[i] = about(t.Noun, row)
		ids[i] = changes[i].ID
	}
	what := "the status of a " + t.Noun
	if len(before) == 1 {
		what = t.Noun + " " + ids[0].String()
	}
	if err := tx.Update(ctx, t.shape, what, set, args, ids...); err != nil {
		return nil, nil, err
	}
	after, err := db.Collect[T](ctx, tx, t.sql(readRows), pgx.NamedArgs{"ids": ids})
	if err != nil {
		return nil, nil, err
	}
	for i, row := range after {
		changes[i].After = row
	}
	return after, changes, nil
}

// Get returns the row with an id.
func (t Table[T]) Get(ctx context.Context, r db.Reader, id uuid.UUID) (row T, err error) {
	list, err := db.Collect[T](ctx, r, t.sql(readRows), pgx.NamedArgs{"ids": []uuid.UUID{id}})
	if err == nil && len(list) == 0 {
		err = fault.New(fault.NotFound, "%s %q not found", t.Noun, id)
	}
	if err == nil {
		row = list[0]
	}
	return row, err
}

// about returns the change of a row, with the row as it was.
func about(noun string, row any) audit.Change {
	c := audit.Change{Action: audit.Update, Event: audit.PermissionChange, Before: row}
	c.Resource = noun
	var name *string
	switch r := row.(type) {
	case Session:
		c.ID, c.TenantID, name = r.ID, r.TenantID, r.Username
	case Key:
		c.ID, c.TenantID, name = r.ID, r.TenantID, r.KeyName
	}
	if name != nil {
		c.Name = *name
	}
	return c
}
