package roles

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Filter selects roles; the zero value selects all that are not deleted.
type Filter struct {
	User   uuid.UUID // only roles that this user holds; uuid.Nil means all
	Search string    // literal text in code or name, case-insensitive

	Since, Until time.Time // when it was created; Until is exclusive
}

const roleColumns = `{columns},
       coalesce((SELECT array_agg({permission}::text ORDER BY {permission}) FROM idam.role_permissions rp
                   JOIN idam.permissions p ON p.id = rp.permission_id WHERE rp.role_id = r.id AND {usable}), '{}') AS permissions,
       (SELECT count(DISTINCT g.user_id) FROM idam.user_roles g WHERE g.role_id = r.id AND {in force}) AS holders`

const (
	listRoles  = `SELECT {columns} FROM idam.roles r WHERE {where} ORDER BY {order}`
	countRoles = `SELECT count(*) FROM idam.roles r WHERE {where}`
	listGrants = `
SELECT {columns}
  FROM idam.user_roles g JOIN idam.roles r ON r.id = g.role_id JOIN idam.users u ON u.id = g.user_id
 WHERE {where} ORDER BY {order}`
	countGrants = `
SELECT count(*)
  FROM idam.user_roles g JOIN idam.roles r ON r.id = g.role_id JOIN idam.users u ON u.id = g.user_id
 WHERE {where}`
)

// Matching returns the query for the roles that the filter selects, strongest first.
func (t *Table) Matching(f Filter) db.ListQuery[Role] {
	var w db.Where
	w.Add(t.sql("{live}"))
	if f.User != uuid.Nil {
		w.Bind(t.sql("EXISTS (SELECT FROM idam.user_roles g WHERE g.role_id = r.id AND g.user_id = @user AND {in force})"), "user", f.User)
	}
	if f.Search != "" {
		w.Bind(t.sql("({code} ILIKE @search OR to_jsonb(r)->>'name' ILIKE @search OR to_jsonb(r)->>'role_name' ILIKE @search)"), "search", db.LikeSubstring(f.Search))
	}
	if t.shape.Has("created_at") {
		w.Between("r.created_at", f.Since, f.Until)
	}
	return db.ListQuery[Role]{SQL: listRoles, Count: countRoles, Columns: t.sql(roleColumns), Where: w, Order: db.Order{
		{Sort: db.Sort{Expr: t.sql("{rank}"), NotNull: true}}, {Sort: db.Sort{Expr: t.sql("{code}"), NotNull: true}}, {Sort: db.Sort{Expr: "r.id", NotNull: true}},
	}}
}

// Get returns the role with a code or id.
func (t *Table) Get(ctx context.Context, r db.Reader, ref string) (Role, error) {
	const get = `SELECT ` + roleColumns + ` FROM idam.roles r WHERE {live} AND (r.id = @id OR upper({code}) = upper(@code)) ORDER BY r.id`
	args := pgx.NamedArgs{"id": nil, "code": ref}
	if id, err := uuid.Parse(ref); err == nil {
		args = pgx.NamedArgs{"id": id, "code": nil}
	}
	rows, err := db.Collect[Role](ctx, r, t.sql(get), args)
	if err != nil {
		return Role{}, err
	}
	for _, role := range rows { // the exact code, if two differ only in case
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
	return Role{}, fault.New(fault.Validation, "%q matches more than one role: %s and %s", ref, rows[0].Code, rows[1].Code)
}

// GrantFilter selects grants that are in force; the zero value selects all of them.
type GrantFilter struct {
	Users, Roles []uuid.UUID // any of them; empty means all
	Tenants      []uuid.UUID // only grants in one of these tenants; empty means all

	Since, Until time.Time // when it was granted; Until is exclusive
}

// Grants returns the query for the grants in force that the filter selects.
func (t *Table) Grants(f GrantFilter) db.ListQuery[Grant] {
	var w db.Where
	w.Add(t.sql("{in force}"))
	w.Add(t.sql("{live}"))
	w.Add(t.sql("{user live}"))
	if len(f.Users) > 0 {
		w.Bind("g.user_id = ANY (@users)", "users", f.Users)
	}
	if len(f.Roles) > 0 {
		w.Bind("g.role_id = ANY (@roles)", "roles", f.Roles)
	}
	if len(f.Tenants) > 0 {
		w.Bind("g.tenant_context = ANY (@tenants)", "tenants", f.Tenants)
	}
	w.Between("g.granted_at", f.Since, f.Until)
	return db.ListQuery[Grant]{SQL: listGrants, Count: countGrants, Columns: t.sql("{grant}"), Where: w, Order: db.Order{
		{Sort: db.Sort{Expr: "u.username", NotNull: true}}, {Sort: db.Sort{Expr: t.sql("{rank}"), NotNull: true}}, {Sort: db.Sort{Expr: "g.id", NotNull: true}},
	}}
}
