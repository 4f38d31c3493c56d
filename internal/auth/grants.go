package auth

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Tables are those that an identity is found in, besides the one of its proof.
var Tables = append([]string{schema.Users, schema.Enforcement}, schema.Grants...)

// grants are the tables that permissions rest on, as they are in one database, and the predicates over
// them: ur is a grant of a role to a user, r the role, p a permission.
type grants struct {
	users        *schema.Table
	placeholders *strings.Replacer
	missing      string // a table or column without which nothing can be permitted; "" where all are there
	unsure       bool   // and without which it cannot be told whether permissions are enforced
}

func grantsIn(cat schema.Catalog) (grants, error) {
	users, err := cat.Table(schema.Users)
	if err != nil {
		return grants{}, err
	}
	g := grants{users: users}
	unlocked := "true"
	if users.Has("locked_until") {
		unlocked = "(u.locked_until IS NULL OR u.locked_until <= statement_timestamp())"
	}
	marked, unmarked, begun := "false", "false", "false"
	if cat[schema.Enforcement] != nil {
		marked = "EXISTS (SELECT FROM cxg_audit.enforcement)"
		unmarked = "(NOT " + marked + " AND has_table_privilege('cxg_audit.enforcement', 'INSERT'))"
	}
	if cat[schema.UserRoles] != nil {
		begun = "EXISTS (SELECT FROM idam.users o JOIN idam.user_roles g ON g.user_id = o.id WHERE o.user_type IN ('MASTER', 'SYSTEM'))"
	}
	holes := []string{
		"{operator o}", operator("o", users), "{operator u}", operator("u", users), "{unlocked u}", unlocked,
		"{unmarked}", unmarked, "{begun}", "(" + marked + " OR " + begun + ")",
	}
	for _, name := range schema.Grants {
		if cat[name] == nil {
			g.missing = "table " + name
		} else if cat[schema.UserRoles] == nil {
			g.unsure = true
		}
	}
	if g.missing == "" {
		holes = append(holes, g.predicates(cat)...)
	}
	g.placeholders = strings.NewReplacer(holes...)
	return g, nil
}

// predicates are those over the four tables.
func (g *grants) predicates(cat schema.Catalog) []string {
	roles, permissions, given, contents := cat[schema.Roles], cat[schema.Permissions], cat[schema.UserRoles], cat[schema.RolePermissions]
	role, permission := roles.FirstOf("code", "role_code"), permissions.FirstOf("code", "permission_code")
	switch {
	case role == "":
		g.missing = "the code of " + schema.Roles
	case permission == "":
		g.missing = "the code of " + schema.Permissions
	}
	usable := "p.status = 'ACTIVE' AND " + permissions.NotDeleted("p") + " AND " + contents.NotDeleted("rp")
	return []string{
		"{role}", "r." + role, "{permission}", "p." + permission, "{rank}", roles.RoleRank("r"),
		"{in force}", "ur.status = 'ACTIVE' AND (ur.expires_at IS NULL OR ur.expires_at > statement_timestamp()) AND " + given.NotDeleted("ur") +
			" AND r.status = 'ACTIVE' AND " + roles.NotDeleted("r"),
		"{everywhere}", "(ur.scope = 'GLOBAL' AND ur.tenant_context IS NULL)",
		"{usable}", usable, "{valid}", "p.applies_to IN ('ALL', u.user_type) AND " + usable,
	}
}

// operator is the predicate that holds for live, ACTIVE users of an operator's type.
func operator(alias string, users *schema.Table) string {
	return alias + ".user_type IN ('MASTER', 'SYSTEM') AND " + alias + ".status = 'ACTIVE' AND " + users.NotDeleted(alias)
}

// sql fills the holes of a statement.
func (g grants) sql(statement string) string { return g.placeholders.Replace(statement) }

// Rights are what the database says about an operator at one moment.
type Rights struct {
	Enforced bool // permissions count; once they do, they always will
	Super    bool // holds SUPER_ADMIN, and so every permission
	Roles    []string
	Codes    []string // permissions everywhere
	Scoped   []string // permissions in one tenant each: CODE, a space, the tenant's id

	accepted bool // a live, ACTIVE user of an operator's type who is not locked
	unmarked bool // the mark of enforcement is missing, and can be written
	level    *int // the strongest rank of a role held everywhere
}

// The holes {lock …} are empty, or lock the rows until the transaction ends, so that nothing that was counted can be
// taken away meanwhile. Times are compared with the statement's, since a transaction may outlast a grant.
const (
	readOperator = `
WITH u AS (SELECT u.user_type FROM idam.users u WHERE u.id = $1 AND {operator u} AND {unlocked u} {lock u})
SELECT EXISTS (SELECT FROM u), {begun}, {unmarked}, NULL::text, NULL::integer, false, NULL::uuid, NULL::text[]`
	readRights = `
WITH u AS MATERIALIZED (SELECT u.user_type FROM idam.users u WHERE u.id = $1 AND {operator u} AND {unlocked u} {lock u}),
held AS MATERIALIZED (
    SELECT ur.role_id, {role}::text AS code, {rank} AS rank, {everywhere} AS everywhere, ur.tenant_context AS tenant
      FROM idam.user_roles ur JOIN idam.roles r ON r.id = ur.role_id
     WHERE ur.user_id = $1 AND {in force} {lock held}),
given AS MATERIALIZED (
    SELECT rp.role_id, {permission}::text AS code
      FROM u CROSS JOIN held JOIN idam.role_permissions rp ON rp.role_id = held.role_id JOIN idam.permissions p ON p.id = rp.permission_id
     WHERE {valid} {lock given})
SELECT EXISTS (SELECT FROM u), {begun}, {unmarked}, h.code, h.rank, coalesce(h.everywhere, false), h.tenant,
       ARRAY (SELECT g.code FROM given g WHERE g.role_id = h.role_id)
  FROM (VALUES (0)) AS one LEFT JOIN held h ON true`
)

// lock is what a reading of rights locks.
type lock int

const (
	lockNothing lock = iota
	lockGrants       // the grants and what they give
	lockAll          // the operator's own row too, which holds up their logins: for the end of a transaction
)

func (l lock) fill(statement string) string {
	u, held, given := "", "", ""
	if l >= lockGrants {
		held, given = "FOR SHARE OF ur, r", "FOR SHARE OF rp, p"
	}
	if l == lockAll {
		u = "FOR SHARE OF u"
	}
	return strings.NewReplacer("{lock u}", u, "{lock held}", held, "{lock given}", given).Replace(statement)
}

// read returns the rights of an operator. Every decision about rights and their enforcement rests on it. A table
// that is missing is a DATABASE_ERROR once permissions are enforced, and never a permission.
func (g grants) read(ctx context.Context, r db.Reader, id uuid.UUID, l lock) (Rights, error) {
	statement := readRights
	if g.missing != "" {
		statement = readOperator
	}
	rows, err := r.Query(ctx, l.fill(g.sql(statement)), pgx.QueryExecModeExec, id.String())
	if err != nil {
		return Rights{}, err
	}
	var found Rights
	var role *string
	var rank *int
	var everywhere bool
	var tenant *uuid.UUID
	var codes []string
	_, err = pgx.ForEachRow(rows, []any{&found.accepted, &found.Enforced, &found.unmarked, &role, &rank, &everywhere, &tenant, &codes}, func() error {
		if role == nil {
			return nil
		}
		found.Roles = append(found.Roles, *role)
		switch {
		case everywhere:
			found.Super = found.Super || *role == SuperAdmin
			found.Codes = append(found.Codes, codes...)
			if rank != nil && (found.level == nil || *rank < *found.level) {
				strongest := *rank
				found.level = &strongest
			}
		case tenant != nil:
			for _, code := range codes {
				found.Scoped = append(found.Scoped, code+" "+tenant.String())
			}
		}
		return nil
	})
	if err != nil {
		return Rights{}, err
	}
	for _, list := range []*[]string{&found.Roles, &found.Codes, &found.Scoped} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if g.unsure || found.Enforced && g.missing != "" {
		return Rights{}, fault.New(fault.Database, "%s is missing, and permissions are enforced", g.missing).
			WithHint("nothing is permitted without it; cxgctl doctor shows what is missing, cxgctl migrate up --database manager creates it")
	}
	return found, nil
}

// Mark records that permissions are enforced, unless that is recorded. Without the record, enforcement would rest on
// grants, which other software may delete. A role or a standby that cannot write leaves it to others.
func (i Identity) Mark(ctx context.Context, d *db.DB) {
	if i.Enforced && i.unmarked {
		_ = audit.Trace(ctx, d, insertMark)
	}
}

const insertMark = `INSERT INTO cxg_audit.enforcement (id, since) VALUES (1, now()) ON CONFLICT DO NOTHING`

// mark is Mark inside a transaction that brings permissions into force.
func (g grants) mark(ctx context.Context, tx *audit.Tx) error {
	var missing bool
	if err := tx.QueryRow(ctx, g.sql("SELECT {unmarked}")).Scan(&missing); err != nil || !missing {
		return err
	}
	_, err := tx.Exec(ctx, insertMark)
	return err
}

// Operators lists the usernames of all operators who come in by themselves: services have keys.
func Operators(ctx context.Context, r db.Reader, cat schema.Catalog) ([]string, error) {
	users, err := cat.Table(schema.Users)
	if err != nil {
		return nil, err
	}
	rows, err := r.Query(ctx, "SELECT u.username FROM idam.users u WHERE "+operator("u", users)+" AND u.username NOT LIKE 'svc-%' ORDER BY u.username")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
