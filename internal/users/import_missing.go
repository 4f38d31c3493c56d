package users

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Missing makes an atomic import set those users of a scope INACTIVE that the file does not name.
type Missing struct {
	MemberOf string   // predicate over the alias u, see tenants.Membership; "" for users of any tenant
	Types    []string // user types, any of them; empty means all

	named map[string]bool // ids, and usernames and e-mails in lower case
}

// note remembers whom a row of the file names. A row that names a user by any key keeps that user active.
func (m *Missing) note(u *User) {
	if m.named == nil {
		m.named = map[string]bool{}
	}
	if u.ID != uuid.Nil {
		m.named[u.ID.String()] = true
	}
	for _, key := range []string{u.Username, u.Email} {
		if key != "" {
			m.named[strings.ToLower(key)] = true
		}
	}
}

const findMissing = `
SELECT u.id
  FROM {table} u
 WHERE {live} AND {mine} AND {scope} AND {status} IS DISTINCT FROM 'INACTIVE'
   AND (cardinality(@types::text[]) = 0 OR upper({type}) = ANY (@types::text[]))
   AND NOT EXISTS (SELECT FROM unnest(@named::text[]) n (key) WHERE n.key = u.id::text)
   AND NOT EXISTS (SELECT FROM unnest(@named::text[]) n (key) WHERE n.key = lower(u.username::text))
   AND NOT EXISTS (SELECT FROM unnest(@named::text[]) n (key) WHERE n.key = lower(u.email::text))
 ORDER BY u.id`

// Finish sets the users INACTIVE that the file does not name, as `users status` does.
func (im *importSpec) Finish(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
	m := im.Missing
	if m == nil {
		return nil, nil
	}
	if len(m.named) == 0 {
		return nil, fault.New(fault.Validation, "--deactivate-missing: the file names no user, so all would become INACTIVE")
	}
	scope, kind := m.MemberOf, "u.user_type::text"
	if scope == "" {
		scope = "true"
	}
	if im.t.tenant != nil {
		kind = "NULL"
	}
	sql := strings.NewReplacer("{scope}", scope, "{type}", kind).Replace(im.t.sql(findMissing))
	args := pgx.NamedArgs{"types": m.Types, "named": slices.Collect(maps.Keys(m.named))}
	ids, err := db.CollectAs(ctx, tx, pgx.RowTo[uuid.UUID], sql, args)
	if err != nil {
		return nil, err
	}
	if slices.Contains(ids, tx.By.ID) {
		return nil, fault.New(fault.Conflict, "--deactivate-missing: the file lacks your own account, %s", tx.By.Name).
			WithHint("add it to the file, or narrow the scope with --member-of or --user-type")
	}
	edit, err := im.t.SetStatus("INACTIVE")
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return im.t.ApplyIn(ctx, tx, ids, edit)
}
