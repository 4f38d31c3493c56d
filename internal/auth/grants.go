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
	roles, permissions := cat[schema.Roles], cat[schema.Permissions]
	role, permission := roles.OneOf("code", "role_code"), permissions.OneOf("code", "permission_code")
	if role == "" || permission == "" {
		return g, nil
	}
	g.holes = strings.NewReplacer(
		"{role}", "r."+role, "{permission}", "p."+permission,
		"{in force}", "ur.status = 'ACTIVE' AND (ur.expires_at IS NULL OR ur.expires_at > now()) AND r.status = 'ACTIVE' AND "+roles.Live("r"),
		"{everywhere}", "(ur.scope = 'GLOBAL' AND ur.tenant_context IS NULL)",
		"{valid}", "p.status = 'ACTIVE' AND p.applies_to IN ('ALL', u.user_type) AND "+permissions.Live("p"),
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

// holding is a role that somebody was granted, with one of its permissions.
type holding struct {
	Role       string
	Level      *int
	Everywhere bool
	Tenant     *uuid.UUID
	Permission *string // nil for a role without any
}

const holdings = `
SELECT coalesce({role}::text, ''), r.level, coalesce({everywhere}, false), ur.tenant_context, {permission}::text
  FROM idam.users u
  JOIN idam.user_roles ur ON ur.user_id = u.id
  JOIN idam.roles r ON r.id = ur.role_id
  LEFT JOIN idam.role_permissions rp ON rp.role_id = r.id
  LEFT JOIN idam.permissions p ON p.id = rp.permission_id AND {valid}
 WHERE u.id = $1 AND {in force}`

// find fills in what the operator holds, and whether that matters.
func (i *Identity) find(ctx context.Context, r db.Reader, g grants) error {
	rows, err := r.Query(ctx, g.sql(holdings), pgx.QueryExecModeExec, i.ID)
	if err != nil {
		return err
	}
	held, err := pgx.CollectRows(rows, pgx.RowToStructByPos[holding])
	if err != nil {
		return err
	}
	if len(held) == 0 {
		return r.QueryRow(ctx, g.sql("SELECT "+someoneHolds), pgx.QueryExecModeExec).Scan(&i.Enforced)
	}
	i.Enforced = true
	for _, h := range held {
		i.Roles = append(i.Roles, h.Role)
		if h.Everywhere {
			i.Super = i.Super || h.Role == SuperAdmin
			if h.Level != nil && (i.level == nil || *h.Level < *i.level) {
				i.level = h.Level
			}
		}
		switch {
		case h.Permission == nil:
		case h.Everywhere:
			i.Codes = append(i.Codes, *h.Permission)
		case h.Tenant != nil:
			i.Scoped = append(i.Scoped, *h.Permission+" "+h.Tenant.String())
		}
	}
	for _, list := range []*[]string{&i.Roles, &i.Codes, &i.Scoped} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return nil
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
