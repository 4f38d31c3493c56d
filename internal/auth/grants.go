package auth

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// grants are the tables that permissions rest on, as they stand in one database, and the predicates over
// them: ur is a grant of a role to a user, r the role, p a permission.
type grants struct {
	users *schema.Table
	holes *strings.Replacer // nil where a table is missing: then nothing is enforced
}

// Tables are those that an identity is found in, besides the one of its proof.
var Tables = append([]string{schema.Users}, schema.Grants...)

func grantsIn(cat schema.Catalog) (grants, error) {
	users, err := cat.Table(schema.Users)
	g := grants{users: users}
	if err != nil {
		return g, err
	}
	for _, name := range schema.Grants {
		if cat[name] == nil {
			return g, nil
		}
	}
	roles, permissions, given, contents := cat[schema.Roles], cat[schema.Permissions], cat[schema.UserRoles], cat[schema.RolePermissions]
	role, permission := roles.OneOf("code", "role_code"), permissions.OneOf("code", "permission_code")
	if role == "" || permission == "" {
		return g, nil
	}
	g.holes = strings.NewReplacer(
		"{role}", "r."+role, "{permission}", "p."+permission,
		"{in force}", "ur.status = 'ACTIVE' AND (ur.expires_at IS NULL OR ur.expires_at > now()) AND "+given.Live("ur")+
			" AND r.status = 'ACTIVE' AND "+roles.Live("r"),
		"{rank}", roles.RoleRank("r"),
		"{everywhere}", "(ur.scope = 'GLOBAL' AND ur.tenant_context IS NULL)",
		"{valid}", "p.status = 'ACTIVE' AND p.applies_to IN ('ALL', u.user_type) AND "+permissions.Live("p")+" AND "+contents.Live("rp"),
		"{operator o}", operator("o", users), "{operator u}", operator("u", users),
	)
	return g, nil
}

// operator is the predicate that holds for live, ACTIVE users of an operator's type.
func operator(alias string, users *schema.Table) string {
	return alias + ".user_type IN ('MASTER', 'SYSTEM') AND " + alias + ".status = 'ACTIVE' AND " + users.Live(alias)
}

// someoneHolds is true where any live operator holds a role. It begins with the operators, who are few
// and have an index.
const someoneHolds = `
EXISTS (SELECT FROM idam.users o JOIN idam.user_roles ur ON ur.user_id = o.id JOIN idam.roles r ON r.id = ur.role_id
         WHERE {operator o} AND {in force})`

// holding is a role that somebody was granted and that is in force.
type holding struct {
	RoleID     *uuid.UUID // nil where there is none
	Role       *string
	Rank       *int // of the role: lower is stronger
	Everywhere bool
	Tenant     *uuid.UUID
	Granted    bool // somebody was ever given a role here
}

// identified is a row of what a proof leads to: the user, who is the same in all of them, and one of their roles.
type identified struct {
	candidate
	holding
}

// The roles come with the user, and the permissions do not: a new session reads the catalog for every table that
// a statement names and for its indexes, which takes longer than anything else here, and who holds SUPER_ADMIN
// needs none. The predicates are {in force} and {everywhere}, in a statement that knows no columns yet.
const (
	noRoles   = `NULL::uuid, NULL::text, NULL::integer, false, NULL::uuid, `
	ofRoles   = `h.id, h.role, h.rank, coalesce(h.everywhere, false), h.tenant_context, `
	anyRoles  = `EXISTS (SELECT FROM idam.user_roles)`
	heldRoles = `
  LEFT JOIN LATERAL (SELECT r.id, r.role, r.rank, ur.scope = 'GLOBAL' AND ur.tenant_context IS NULL AS everywhere, ur.tenant_context
    FROM (SELECT ` + schema.AbsentFlags + `) absent,
 LATERAL (SELECT g.role_id, g.scope, g.tenant_context
            FROM idam.user_roles g
           WHERE g.user_id = u.id AND g.status = 'ACTIVE' AND (g.expires_at IS NULL OR g.expires_at > now()) AND ` + schema.LiveFlags + `) ur,
 LATERAL (SELECT x.*
    FROM (SELECT ` + schema.AbsentRoleColumns + `) absent,
 LATERAL (SELECT g.id, coalesce(code, role_code, '')::text AS role, {any rank} AS rank
            FROM idam.roles g
           WHERE g.id = ur.role_id AND g.status = 'ACTIVE' AND ` + schema.LiveFlags + `) x) r) h ON true`
)

// permissionsOf finds the permissions of roles, as far as they apply to users of a type.
const permissionsOf = `
SELECT rp.role_id, {permission}::text
  FROM (SELECT $2::text AS user_type) u CROSS JOIN idam.role_permissions rp JOIN idam.permissions p ON p.id = rp.permission_id
 WHERE rp.role_id = ANY ($1::text[]::uuid[]) AND {valid}`

// find fills in what the operator holds, and whether that matters.
func (i *Identity) find(ctx context.Context, r db.Reader, g grants, found []identified) error {
	for _, f := range found {
		if f.RoleID == nil {
			continue
		}
		i.held = append(i.held, f.holding)
		i.Roles = append(i.Roles, *f.Role)
		if f.Everywhere {
			i.Super = i.Super || *f.Role == SuperAdmin
			if f.Rank != nil && (i.level == nil || *f.Rank < *i.level) {
				i.level = f.Rank
			}
		}
	}
	slices.Sort(i.Roles)
	i.Roles = slices.Compact(i.Roles)
	switch {
	case len(i.held) > 0:
		i.Enforced = true
		if !i.Super {
			return i.permissions(ctx, r, g)
		}
	case found[0].Granted:
		return r.QueryRow(ctx, g.sql("SELECT "+someoneHolds), pgx.QueryExecModeExec).Scan(&i.Enforced)
	}
	return nil
}

// List fills in Codes and Scoped of somebody whose SUPER_ADMIN allows everything, for a command that shows them.
func (i *Identity) List(ctx context.Context, r db.Reader, cat schema.Catalog) error {
	g, err := grantsIn(cat)
	if err != nil || !i.Super {
		return err
	}
	return i.permissions(ctx, r, g)
}

func (i *Identity) permissions(ctx context.Context, r db.Reader, g grants) error {
	ids := make([]string, len(i.held))
	for n, h := range i.held {
		ids[n] = h.RoleID.String()
	}
	rows, err := r.Query(ctx, g.sql(permissionsOf), pgx.QueryExecModeExec, ids, i.Type)
	if err != nil {
		return err
	}
	var role uuid.UUID
	var code string
	_, err = pgx.ForEachRow(rows, []any{&role, &code}, func() error {
		for _, h := range i.held {
			switch {
			case *h.RoleID != role:
			case h.Everywhere:
				i.Codes = append(i.Codes, code)
			case h.Tenant != nil:
				i.Scoped = append(i.Scoped, code+" "+h.Tenant.String())
			}
		}
		return nil
	})
	for _, list := range []*[]string{&i.Codes, &i.Scoped} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return err
}

// sql fills the holes of a statement.
func (g grants) sql(statement string) string { return g.holes.Replace(statement) }

// Operators lists the usernames of all operators who come in by themselves: services have keys. A name that
// no database role can have, for its length, is left out.
func Operators(ctx context.Context, r db.Reader, cat schema.Catalog) ([]string, error) {
	users, err := cat.Table(schema.Users)
	if err != nil {
		return nil, err
	}
	rows, err := r.Query(ctx, "SELECT u.username FROM idam.users u WHERE "+operator("u", users)+
		" AND u.username NOT LIKE 'svc-%' AND octet_length(u.username) < 64 ORDER BY u.username")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
