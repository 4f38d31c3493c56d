package roles

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Filter selects roles; the zero value selects all that are not deleted.
type Filter struct {
	User   uuid.UUID // only those that this user holds; uuid.Nil means all
	Search string    // literal text in code or name, case-insensitive
}

const (
	record = `SELECT {columns},
       coalesce((SELECT array_agg({permission}::text ORDER BY {permission}) FROM idam.role_permissions rp
                   JOIN idam.permissions p ON p.id = rp.permission_id WHERE rp.role_id = r.id AND {usable}), '{}') AS permissions,
       (SELECT count(DISTINCT g.user_id) FROM idam.user_roles g WHERE g.role_id = r.id AND {in force}) AS holders
  FROM idam.roles r WHERE {live} AND `
	countRoles = `SELECT count(*) FROM idam.roles r WHERE {live} AND `
	inForce    = `g.status = 'ACTIVE' AND (g.expires_at IS NULL OR g.expires_at > now())`
	strongest  = ` ORDER BY r.level, {code}, r.id`
)

func where(f Filter) db.Where {
	var w db.Where
	if f.User != uuid.Nil {
		w.Bind("EXISTS (SELECT FROM idam.user_roles g WHERE g.role_id = r.id AND g.user_id = @user AND "+inForce+")", "user", f.User)
	}
	if f.Search != "" {
		w.Bind("({code} ILIKE @search OR to_jsonb(r)->>'name' ILIKE @search OR to_jsonb(r)->>'role_name' ILIKE @search)", "search", db.LikeSubstring(f.Search))
	}
	return w
}

// List returns one page of the roles, the strongest first.
func (t *Table) List(ctx context.Context, r db.Reader, f Filter, p db.Paging) (db.Page[Role], error) {
	var page db.Page[Role]
	var problems fault.Problems
	p.Check(&problems)
	if err := problems.Err(); err != nil {
		return page, err
	}
	w := where(f)
	if err := r.QueryRow(ctx, t.sql(countRoles+w.String()), w.Args).Scan(&page.Total); err != nil {
		return page, err
	}
	var err error
	page.Items, err = db.Collect[Role](ctx, r, t.roles(w.String()+strongest+" LIMIT @limit OFFSET @offset"), p.Args(w.Args))
	return page, err
}

// All returns the query for every role that the filter selects.
func (t *Table) All(f Filter) db.Query {
	w := where(f)
	return db.Query{SQL: t.roles(w.String() + strongest), Args: w.Args}
}

func (t *Table) roles(rest string) string {
	return t.sql(strings.ReplaceAll(record+rest, "{in force}", inForce))
}

// Get returns the role of a code or an id.
func (t *Table) Get(ctx context.Context, r db.Reader, ref string) (Role, error) {
	predicate, arg := "upper({code}) = upper(@ref)", any(ref)
	if id, err := uuid.Parse(ref); err == nil {
		predicate, arg = "r.id = @ref", id
	}
	rows, err := db.Collect[Role](ctx, r, t.roles(predicate+" ORDER BY r.id"), pgx.NamedArgs{"ref": arg})
	if err != nil {
		return Role{}, err
	}
	for _, role := range rows { // the very code, where two differ in case only
		if role.Code == ref {
			return role, nil
		}
	}
	switch len(rows) {
	case 0:
		return Role{}, fault.New(fault.NotFound, "role %q not found", ref).WithHint("see: cxgctl roles list").With("code", ref)
	case 1:
		return rows[0], nil
	}
	return Role{}, fault.New(fault.Validation, "%q fits more than one role: %s and %s", ref, rows[0].Code, rows[1].Code)
}

// Codes returns the codes of all roles, for completion.
func (t *Table) Codes(ctx context.Context, r db.Reader) ([]string, error) {
	rows, err := r.Query(ctx, t.sql(`SELECT {code}::text FROM idam.roles r WHERE {live} ORDER BY {code}`))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
