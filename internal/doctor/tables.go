package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// need is a table that commands use, with its required columns. Columns that read as null if they are missing, such as
// email_verified, are not required. a|b means either.
type need struct {
	table   string
	columns string
	writes  []string // privileges for changes, besides SELECT
	marks   bool     // rows are soft-deleted
}

var needs = map[migrate.Database][]need{
	migrate.Manager: {
		{
			schema.Users, "id username full_name email phone user_type password status mfa_enabled last_login_at last_login_ip " +
				"failed_login_attempts locked_until password_changed_at force_password_change timezone locale department position " +
				"created_at created_by updated_at updated_by", []string{"INSERT", "UPDATE"}, true,
		},
		{
			schema.Invoices, "id invoice_no tenant_id subscription_id invoice_date due_date start_date close_date base_amount " +
				"usage_amount discount_amount tax_amount total_amount currency user_count used_storage api_calls status paid_at " +
				"payment_method created_at created_by updated_at updated_by", []string{"INSERT", "UPDATE"}, true,
		},
		{
			schema.Tenants, "id code|tenant_code name|tenant_name type|tenant_type status start_date close_date " +
				"created_at updated_at updated_by", []string{"INSERT", "UPDATE"}, true,
		},
		// the audit-log check examines the columns
		{schema.AuditLogs, "id created_at", []string{"INSERT"}, false},
	},
	migrate.Tenants: {
		{
			schema.SysUsers, "id username password|password_hash full_name|first_name|last_name email phone last_login_at " +
				"created_at created_by updated_at updated_by", []string{"INSERT", "UPDATE"}, true,
		},
	},
}

// otherNeeds are tables required by some commands. Changes lock the grants they rest on, which needs UPDATE.
var otherNeeds = []need{
	{schema.Subscriptions, "id tenant_id status", nil, false},
	{schema.TenantUsers, "id tenant_id user_id status", []string{"INSERT", "UPDATE"}, false},
	{schema.Roles, "id code|role_code status", []string{"UPDATE"}, false},
	{schema.Permissions, "id code|permission_code status", nil, false},
	{schema.RolePermissions, "role_id permission_id", []string{"UPDATE"}, false},
	{schema.UserRoles, "id user_id role_id tenant_context scope status granted_at granted_by expires_at", []string{"INSERT", "UPDATE"}, false},
	{schema.Sessions, "id session_id user_id status expires_at", []string{"INSERT", "UPDATE"}, false},
	{schema.LoginLogs, "id created_at", []string{"INSERT"}, false},
	{schema.APIKeys, "id key_hash user_id status", []string{"INSERT", "UPDATE"}, false},
}

// needed returns the tables of the schema check. For the tables behind permissions it only checks columns; the roles
// check reports missing tables.
func (s *subject) needed() []need {
	list := needs[s.Database]
	if s.Database != migrate.Manager {
		return list
	}
	return append(slices.Clone(list), slices.DeleteFunc(slices.Clone(otherNeeds), func(n need) bool {
		return s.catalog[n.table] == nil && slices.Contains(schema.Grants, n.table)
	})...)
}

// missing returns the required tables and columns that do not exist.
func missing(cat schema.Catalog, list []need) (lacking []string) {
	for _, n := range list {
		t := cat[n.table]
		if t == nil {
			lacking = append(lacking, n.table)
			continue
		}
		for _, c := range strings.Fields(n.columns) {
			names := strings.Split(c, "|")
			if !slices.ContainsFunc(names, t.Has) {
				lacking = append(lacking, n.table+"."+names[0])
			}
		}
	}
	return lacking
}

// tables reads the catalog for itself and for later checks.
func tables(ctx context.Context, s *subject) (Finding, error) {
	list := needs[s.Database]
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = n.table
	}
	asked := slices.Concat(names, sealTables)
	if s.Database == migrate.Manager {
		for _, n := range otherNeeds {
			asked = append(asked, n.table)
		}
	}
	cat, err := schema.Read(ctx, s.db, asked...)
	if err != nil {
		return Finding{}, err
	}
	s.catalog = cat
	lacking := missing(cat, s.needed())
	if len(lacking) == 0 {
		return fine("all required tables and columns exist: %s", strings.Join(names, ", ")), nil
	}
	return wrong(Fail, "required tables or columns are missing: %s", abridged(lacking)).of(lacking).
		remedied("check that %s is the right database; add missing tables with cxgctl migrate up --database %s, and restore dropped columns from a backup",
			s.session.Database, s.Database), nil
}

// softDelete looks for tables without a soft-delete column. Rows are never deleted in any other way.
func softDelete(_ context.Context, s *subject) (Finding, error) {
	var marked, lacking []string
	addable := true
	for _, n := range needs[s.Database] {
		t := s.catalog[n.table]
		switch {
		case t == nil || !n.marks:
		case t.NotDeleted("") == "true":
			lacking, addable = append(lacking, n.table), addable && t.CanBeMarked()
		default:
			marked = append(marked, n.table)
		}
	}
	if len(lacking) > 0 {
		f := wrong(Warn, "no column marks deleted rows, so delete and restore are refused: %s", abridged(lacking)).of(lacking)
		if !addable {
			return f.remedied("add a column to each: ALTER TABLE … ADD COLUMN is_deleted boolean NOT NULL DEFAULT false"), nil
		}
		return f.remedied("cxgctl migrate up --database %s", s.Database), nil
	}
	if len(marked) == 0 {
		return skipped("no tables were found"), nil
	}
	return fine("deleted rows are marked in %s", strings.Join(marked, ", ")), nil
}

// telling are the columns that say who did what; extra_data holds everything without a column.
var telling = []string{"user_id", "extra_data"}

const readDemanded = `
SELECT t.name || '.' || a.attname
  FROM unnest($1::text[]) AS t (name)
  JOIN pg_attribute a ON a.attrelid = to_regclass(t.name)
 WHERE a.attnum > 0 AND NOT a.attisdropped
   AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND t.name || '.' || a.attname <> ALL ($2)
 ORDER BY t.name, a.attnum`

// demanded returns the required columns without a default, except the known ones.
func (s *subject) demanded(ctx context.Context, tables, known []string) ([]string, error) {
	return db.CollectAs(ctx, s.db, pgx.RowTo[string], readDemanded, tables, known)
}

// auditLog checks that complete audit rows can be written. Without a log that accepts them, all changes are refused.
func auditLog(ctx context.Context, s *subject) (Finding, error) {
	t := s.catalog[schema.AuditLogs]
	if t == nil {
		return wrong(Fail, "%s is missing: every change is refused, because all changes are audited", schema.AuditLogs).
			remedied("cxgctl migrate up --database %s", s.Database), nil
	}
	filled := make([]string, len(audit.Filled))
	for i, c := range audit.Filled {
		filled[i] = t.Name + "." + c
	}
	demanded, err := s.demanded(ctx, []string{t.Name}, filled)
	if err != nil {
		return Finding{}, err
	}
	var lacking []string
	for _, c := range telling {
		if !t.Has(c) {
			lacking = append(lacking, t.Name+"."+c)
		}
	}
	switch {
	case len(demanded) > 0:
		return wrong(Fail, "every change is refused, because audit rows have no value for %s", abridged(demanded)).of(demanded).
			remedied("add a default to the columns, or make them nullable: ALTER TABLE %s ALTER COLUMN … DROP NOT NULL", t.Name), nil
	case len(lacking) > 0:
		return wrong(Warn, "audit rows are incomplete, because %s is missing", abridged(lacking)).of(lacking).
			remedied("add the columns to %s; cxgctl migrate up only creates a missing table", t.Name), nil
	}
	return fine("%s accepts audit rows", t.Name), nil
}

// roles looks for the tables that permissions are computed from.
func roles(ctx context.Context, s *subject) (Finding, error) {
	var lacking []string
	for _, name := range schema.Grants {
		if s.catalog[name] == nil {
			lacking = append(lacking, name)
		}
	}
	if s.catalog[schema.Users] == nil {
		return skipped("%s does not exist", schema.Users), nil
	}
	if len(lacking) > 0 {
		return wrong(Warn, "without %s permissions are not enforced: a MASTER may do everything", abridged(lacking)).of(lacking).
			remedied("cxgctl migrate up --database %s", s.Database), nil
	}
	var held int
	sql := strings.NewReplacer("{live user}", s.catalog[schema.Users].NotDeleted("u"), "{live role}", s.catalog[schema.Roles].NotDeleted("r"),
		"{live grant}", s.catalog[schema.UserRoles].NotDeleted("g")).Replace(countOperators)
	if err := s.db.QueryRow(ctx, sql).Scan(&held); err != nil {
		return Finding{}, err
	}
	if held == 0 {
		return fine("permissions are not enforced, because no operator has a role; start with cxgctl auth bootstrap"), nil
	}
	return fine("permissions are enforced; operators with a role: %d", held), nil
}

// countOperators counts the operators whose roles make permissions enforced, see package auth.
const countOperators = `
SELECT count(DISTINCT u.id)
  FROM idam.users u JOIN idam.user_roles g ON g.user_id = u.id JOIN idam.roles r ON r.id = g.role_id
 WHERE u.user_type IN ('MASTER', 'SYSTEM') AND u.status = 'ACTIVE' AND {live user}
   AND g.status = 'ACTIVE' AND (g.expires_at IS NULL OR g.expires_at > now()) AND r.status = 'ACTIVE' AND {live role} AND {live grant}`

// right is what our role may do with an existing table.
type right struct {
	Table  string `db:"name"`
	Schema string `db:"schema"`
	Usage  bool   `db:"usage"` // on the schema
	Select bool   `db:"sel"`
	Insert bool   `db:"ins"`
	Update bool   `db:"upd"`
	Hidden bool   `db:"hidden"` // row-level security applies to us
}

// By name in the catalog, because to_regclass fails without USAGE on the schema.
const readRights = `
SELECT n.nspname || '.' || c.relname AS name, n.nspname::text AS schema, has_schema_privilege(n.oid, 'USAGE') AS usage,
       has_table_privilege(c.oid, 'SELECT') AS sel, has_any_column_privilege(c.oid, 'INSERT') AS ins,
       has_any_column_privilege(c.oid, 'UPDATE') AS upd, row_security_active(c.oid) AS hidden
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname || '.' || c.relname = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'f')
 ORDER BY array_position($1, n.nspname || '.' || c.relname)`

// rights checks the privileges of the role in the connection string.
func rights(ctx context.Context, s *subject) (Finding, error) {
	list := needs[s.Database]
	if s.Database == migrate.Manager {
		list = slices.Concat(list, otherNeeds)
	}
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = n.table
	}
	have, err := db.Collect[right](ctx, s.db, readRights, names)
	if err != nil {
		return Finding{}, err
	}
	return judgeRights(have, list, s.session.User), nil
}

func judgeRights(have []right, list []need, role string) Finding {
	if len(have) == 0 {
		return skipped("no tables were found")
	}
	to := " TO " + pgx.Identifier{role}.Sanitize()
	var lacking, grants, hidden []string
	unreadable := false
	for _, h := range have {
		n := list[slices.IndexFunc(list, func(n need) bool { return n.table == h.Table })]
		if grant := "GRANT USAGE ON SCHEMA " + h.Schema + to; !h.Usage && !slices.Contains(grants, grant) {
			lacking, grants = append(lacking, "USAGE on schema "+h.Schema), append(grants, grant)
		}
		var wanted []string
		if !h.Select {
			wanted = append(wanted, "SELECT")
		}
		for _, w := range n.writes {
			if w == "INSERT" && !h.Insert || w == "UPDATE" && !h.Update {
				wanted = append(wanted, w)
			}
		}
		if len(wanted) > 0 {
			lacking = append(lacking, strings.Join(wanted, ", ")+" on "+h.Table)
			grants = append(grants, "GRANT "+strings.Join(wanted, ", ")+" ON "+h.Table+to)
		}
		if h.Hidden {
			hidden = append(hidden, h.Table)
		}
		unreadable = unreadable || !h.Usage || !h.Select
	}
	switch {
	case unreadable:
		return wrong(Fail, "%s cannot read everything: it lacks %s", role, abridged(lacking)).of(lacking).
			remedied("%s", strings.Join(grants, "; "))
	case len(lacking) > 0:
		return wrong(Warn, "%s can read but not change everything: it lacks %s", role, abridged(lacking)).of(lacking).
			remedied("%s", strings.Join(grants, "; "))
	case len(hidden) > 0:
		return wrong(Warn, "row-level security hides rows from %s: %s", role, abridged(hidden)).of(hidden).
			remedied("connect as a role with BYPASSRLS, or create a policy that shows all rows to %s", role)
	}
	return fine("%s has the privileges that commands need", role)
}

// abridged joins the first three of a list, followed by … if there are more.
func abridged(list []string) string {
	const shown = 3
	if len(list) <= shown {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:shown], ", ") + ", …"
}
