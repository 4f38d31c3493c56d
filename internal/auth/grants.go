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

// Tables are the tables that identify an operator, except those of the credential.
var Tables = append([]string{schema.Users, schema.Enforcement}, schema.Grants...)

// grants holds the tables that permissions rest on, and predicates over them. The aliases are ur for a granted role, r
// for the role and p for a permission.
type grants struct {
	placeholders *strings.Replacer
	missing      string // a required table or column that is missing, or ""
	unsure       bool   // without it, enforcement cannot be determined either
}

func newGrants(cat schema.Catalog) (grants, error) {
	users, err := cat.Table(schema.Users)
	if err != nil {
		return grants{}, err
	}
	var g grants
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
	pairs := []string{
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
		pairs = append(pairs, g.predicates(cat)...)
	}
	g.placeholders = strings.NewReplacer(pairs...)
	return g, nil
}

// predicates returns the placeholders that need all four tables.
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

// operator returns the predicate for live, ACTIVE users of an operator's type.
func operator(alias string, users *schema.Table) string {
	return alias + ".user_type IN ('MASTER', 'SYSTEM') AND " + alias + ".status = 'ACTIVE' AND " + users.NotDeleted(alias)
}

// sql fills the placeholders of a statement.
func (g grants) sql(statement string) string { return g.placeholders.Replace(statement) }

// Rights are an operator's roles and permissions at one moment.
type Rights struct {
	Enforced bool // permissions are enforced; this never reverts
	Super    bool // holds SUPER_ADMIN, and so every permission
	Roles    []string
	Codes    []string // permissions that hold everywhere
	Scoped   []string // permissions in one tenant: "CODE tenant-id"

	accepted bool // a live, ACTIVE user of an operator's type who is not locked
	unmarked bool // enforcement is not recorded yet and can be
	level    *int // strongest rank among the roles held everywhere
}

// The placeholders {lock …} are empty, or lock the rows until the transaction ends, so that no right that was counted
// can be revoked meanwhile. Times are compared with statement_timestamp(), since a transaction may outlast a grant.
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

// lock is which rows a read of rights locks.
type lock int

const (
	lockNothing lock = iota
	lockGrants       // the grants and their permissions
	lockAll          // also the operator's own row; this blocks their logins, so only at the end of a transaction
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

func (g grants) read(ctx context.Context, r db.Reader, id uuid.UUID, l lock) (found Rights, err error) {
	err = g.question(id, l, func(rights Rights) error {
		found = rights
		return nil
	}).Ask(ctx, r)
	return found, err
}

// question returns the query for an operator's rights, which are given to use. Every decision about rights and their
// enforcement goes through it. If a table is missing, the result is a DATABASE_ERROR once permissions are enforced.
func (g grants) question(id uuid.UUID, l lock, use func(Rights) error) db.PipelineQuery {
	statement := readRights
	if g.missing != "" {
		statement = readOperator
	}
	return db.PipelineQuery{SQL: l.fill(g.sql(statement)), Args: []any{id.String()}, Read: func(rows pgx.Rows) error {
		found, err := g.scan(rows)
		if err != nil {
			return err
		}
		return use(found)
	}}
}

func (g grants) scan(rows pgx.Rows) (found Rights, err error) {
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
		return Rights{}, fault.New(fault.Database, "%s is missing, but permissions are enforced", g.missing).
			WithHint("nothing is permitted without it; cxgctl doctor lists what is missing, cxgctl migrate up --database manager creates it")
	}
	return found, nil
}

// Mark records that permissions are enforced, unless that is recorded already. Without the record, enforcement would
// depend on grants, which other software may delete. Errors are ignored: a connection that cannot write leaves this to
// others.
func (i Identity) Mark(ctx context.Context, d *db.DB) {
	if i.Enforced && i.unmarked {
		_ = audit.Trace(ctx, d, insertMark)
	}
}

const insertMark = `INSERT INTO cxg_audit.enforcement (id, since) VALUES (1, now()) ON CONFLICT DO NOTHING`

// mark does the same as Mark inside a transaction that puts permissions into force.
func (g grants) mark(ctx context.Context, tx *audit.Tx) error {
	var missing bool
	if err := tx.QueryRow(ctx, g.sql("SELECT {unmarked}")).Scan(&missing); err != nil || !missing {
		return err
	}
	_, err := tx.Exec(ctx, insertMark)
	return err
}

// Operators lists the usernames of all operators except service accounts.
func Operators(ctx context.Context, r db.Reader, cat schema.Catalog) ([]string, error) {
	users, err := cat.Table(schema.Users)
	if err != nil {
		return nil, err
	}
	return db.CollectAs(ctx, r, pgx.RowTo[string],
		"SELECT u.username FROM idam.users u WHERE "+operator("u", users)+" AND u.username NOT LIKE 'svc-%' ORDER BY u.username")
}
