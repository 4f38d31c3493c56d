package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
)

// adoptable returns the configurations of a generation's databases with the nasty rows.
func adoptable(t *testing.T, g generations.Generation) map[Database]*pgx.ConnConfig {
	t.Helper()
	manager, tenants := g.NastyRows()
	return databases(t, g.With(g.Rows+"\n"+manager+seeds(g), tenants).Template())
}

// seeds returns the tenant permissions and their grants, as the platform's seeds create them in Gx.
func seeds(g generations.Generation) string {
	if !g.Ranked {
		return ""
	}
	return strings.NewReplacer("{role}", g.RoleCode, "{code}", g.PermissionCode, "{name}", g.PermissionName, "{resource}", g.PermissionResource).Replace(`
INSERT INTO idam.permissions ({code}, {name}, {resource}, category, action, scope, applies_to, is_system, status)
SELECT 'TENANT_' || action, action, 'TENANT', 'TENANT', action, 'GLOBAL', 'ALL', true, 'ACTIVE' FROM unnest(ARRAY['READ', 'LIST']) AS action;
INSERT INTO idam.role_permissions (role_id, permission_id)
SELECT r.id, p.id FROM idam.roles r, idam.permissions p WHERE r.{role} IN ('NASTY_SUPPORT', 'NASTY_USER');`)
}

// The invoice permissions use the generation's column names, and are given to the platform-wide roles that may do the
// same with tenants.
func TestInvoicePermissionsOfEveryGeneration(t *testing.T) {
	t.Parallel()
	for _, g := range generations.Tried() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			cfg := adoptable(t, g)[Manager]
			if g.Ranked { // an existing permission stays as it is, and is not given to roles
				sql := strings.NewReplacer("{code}", g.PermissionCode, "{name}", g.PermissionName, "{resource}", g.PermissionResource).Replace(`
INSERT INTO idam.permissions ({code}, {name}, {resource}, category, action, scope, applies_to, is_system, status)
VALUES ('INVOICE_LIST', 'theirs', 'INVOICE', 'BILLING', 'LIST', 'GLOBAL', 'ALL', true, 'INACTIVE')`)
				if _, err := session(t, cfg).Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Up(t.Context(), cfg, Manager); err != nil {
				t.Fatal(err)
			}
			have := query[string](t, cfg, `SELECT string_agg(concat_ws(' ', p.`+g.PermissionCode+`, p.`+g.PermissionName+`, p.`+g.PermissionResource+`, p.status), ', ' ORDER BY p.action)
  FROM idam.permissions p WHERE p.`+g.PermissionCode+` LIKE 'INVOICE%'`)
			list := "INVOICE_LIST List invoices INVOICE ACTIVE"
			if g.Ranked {
				list = "INVOICE_LIST theirs INVOICE INACTIVE"
			}
			want := "INVOICE_CREATE Create invoices INVOICE ACTIVE, INVOICE_DELETE Delete invoices INVOICE ACTIVE, " + list +
				", INVOICE_READ Read invoices INVOICE ACTIVE, INVOICE_UPDATE Update invoices INVOICE ACTIVE"
			if have != want {
				t.Errorf("the permissions are\n%s, want\n%s", have, want)
			}
			given := query[string](t, cfg, `SELECT coalesce(string_agg(r.`+g.RoleCode+` || ' ' || p.`+g.PermissionCode+`, ', '), '')
  FROM idam.role_permissions rp JOIN idam.roles r ON r.id = rp.role_id JOIN idam.permissions p ON p.id = rp.permission_id
 WHERE p.`+g.PermissionCode+` LIKE 'INVOICE%' AND r.`+g.RoleCode+` LIKE 'NASTY%'`)
			if want := map[bool]string{true: "NASTY_SUPPORT INVOICE_READ"}[g.Ranked]; given != want {
				t.Errorf("roles were given %q, want %q", given, want)
			}
		})
	}
}

// snapshot holds everything in a database that a run could change, as lines.
type snapshot struct {
	schema []string
	rows   map[string][]string // by table, with its original columns
}

const schemaLines = `
SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL
SELECT format('%s %s.%s', c.relkind, n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT format('column %s.%s.%s %s %s %s', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v') JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL
SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
 WHERE connamespace::regnamespace::text !~ '^(pg_|information_schema)'
UNION ALL
SELECT format('index %s %s %s', pg_get_indexdef(indexrelid), indisvalid, indisready) FROM pg_index
  JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
UNION ALL
SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
UNION ALL
SELECT format('trigger %s %s', tgrelid::regclass, tgname) FROM pg_trigger WHERE NOT tgisinternal
ORDER BY 1`

const tableColumns = `
SELECT ARRAY [n.nspname || '.' || c.relname, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)]
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 GROUP BY n.nspname, c.relname`

// take takes a snapshot. Rows are read by the given columns, or by all current ones.
func take(t *testing.T, cfg *pgx.ConnConfig, columns map[string]string) (snapshot, map[string]string) {
	t.Helper()
	conn := session(t, cfg)
	defer conn.Close(context.WithoutCancel(t.Context()))
	lines := func(sql string) []string {
		rows, err := conn.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return list
	}
	if columns == nil {
		columns = map[string]string{}
		rows, err := conn.Query(t.Context(), tableColumns)
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[[2]string])
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			columns[l[0]] = l[1]
		}
	}
	s := snapshot{schema: lines(schemaLines), rows: map[string][]string{}}
	for table, names := range columns {
		s.rows[table] = lines(fmt.Sprintf(`SELECT (x.*)::text FROM (SELECT %s FROM %s) AS x ORDER BY 1`, names, table))
	}
	return s, columns
}

// missing returns the lines of a that are not in b.
func missing(a, b []string) []string {
	has := make(map[string]bool, len(b))
	for _, l := range b {
		has[l] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(l string) bool { return has[l] })
}

// kept reports everything in before that is missing in after.
func kept(t *testing.T, when string, before, after snapshot) {
	t.Helper()
	if gone := missing(before.schema, after.schema); len(gone) > 0 {
		t.Errorf("%s: gone from the schema:\n%s", when, strings.Join(gone, "\n"))
	}
	for table, rows := range before.rows {
		if gone := missing(rows, after.rows[table]); len(gone) > 0 {
			t.Errorf("%s: gone from %s:\n%s", when, table, strings.Join(gone, "\n"))
		}
	}
}

// same reports every difference.
func same(t *testing.T, when string, before, after snapshot) {
	t.Helper()
	kept(t, when, before, after)
	kept(t, when+", reversed", after, before)
	for table := range before.rows {
		if len(before.rows[table]) != len(after.rows[table]) {
			t.Errorf("%s: %s has %d rows, not %d", when, table, len(after.rows[table]), len(before.rows[table]))
		}
	}
}

// backendInserts are the backend's INSERTs, which do not name our columns.
var backendInserts = map[Database]string{
	Manager: `INSERT INTO idam.users (id, user_type, full_name, email, username, status, mfa_enabled, failed_login_attempts, force_password_change)
VALUES ('00000000-0000-4000-8000-00000000beef', 'TENANT', 'New', 'new@cxg.example', 'new', 'ACTIVE', false, 0, false)`,
	Tenants: `INSERT INTO sys.users (id, username, password, email, is_system_user)
VALUES ('00000000-0000-4000-8000-00000000beef', 'new', '', 'new@cxg.example', false)`,
}

var users = map[Database]string{Manager: "idam.users", Tenants: "sys.users"}

func TestEveryGenerationIsAdopted(t *testing.T) {
	t.Parallel()
	for _, g := range generations.Tried() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			cfgs := adoptable(t, g)
			for _, which := range Databases {
				adopt(t, cfgs[which], which, g)
			}
		})
	}
}

func adopt(t *testing.T, cfg *pgx.ConnConfig, which Database, g generations.Generation) {
	ctx := t.Context()
	before, columns := take(t, cfg, nil)
	plan, err := PlanUp(ctx, cfg, which)
	if err != nil || !plan.Adopts {
		t.Fatalf("%s: plan %+v, error %v", which, plan, err)
	}
	looked, _ := take(t, cfg, nil)
	same(t, "after planning", before, looked)

	if _, err := Up(ctx, cfg, which); err != nil {
		t.Fatal(err)
	}
	after, _ := take(t, cfg, columns)
	kept(t, "after up", before, after)
	var planned []string
	for _, i := range plan.Items {
		if i.Action == Add {
			planned = append(planned, string(i.Kind)+" "+i.Object)
		}
	}
	const added = `SELECT coalesce(string_agg(DISTINCT kind || ' ' || object, E'\n'), '') FROM ` + Added
	recorded := strings.Fields(strings.ReplaceAll(query[string](t, cfg, added), " ", "·"))
	for i := range planned {
		planned[i] = strings.ReplaceAll(planned[i], " ", "·")
	}
	slices.Sort(planned)
	planned = slices.Compact(planned) // two files may add rows to the same table
	slices.Sort(recorded)
	if !slices.Equal(planned, recorded) {
		t.Errorf("%s: planned\n%v\nrecorded\n%v", which, planned, recorded)
	}
	if n := query[int](t, cfg, `SELECT count(*) FROM `+Added+` WHERE unfinished`); n != 0 {
		t.Errorf("%s: %d indexes are unfinished", which, n)
	}

	done, err := Up(ctx, cfg, which)
	if err != nil || len(done) > 0 {
		t.Errorf("%s: the second run applied %v, error %v", which, done, err)
	}
	again, _ := take(t, cfg, columns)
	same(t, "after up twice", after, again)

	conn := session(t, cfg)
	insert := backendInserts[which]
	if which == Tenants && g.OldTenants {
		insert = "INSERT INTO sys.users (user_code, username, email, password_hash) VALUES ('N', 'new', 'new@cxg.example', 'x')"
	}
	if _, err := conn.Exec(ctx, insert); err != nil {
		t.Errorf("the backend's INSERT: %v", err)
	}
	if _, err := conn.Exec(ctx, `DELETE FROM `+users[which]+` WHERE username = 'new'`); err != nil {
		t.Fatal(err)
	}

	toZero(t, cfg, which)
	zero, _ := take(t, cfg, nil)
	same(t, "after down to zero", before, zero)

	if _, err := Up(ctx, cfg, which); err != nil {
		t.Fatal(err)
	}
	up, _ := take(t, cfg, columns)
	kept(t, "after up, down, up", before, up)
	same(t, "after up, down, up", snapshot{schema: after.schema}, snapshot{schema: up.schema})
	for table := range before.rows {
		if len(after.rows[table]) != len(up.rows[table]) {
			t.Errorf("after up, down, up: %s has %d rows, after up it had %d", table, len(up.rows[table]), len(after.rows[table]))
		}
	}
}

// toZero reverts all migrations.
func toZero(t *testing.T, cfg *pgx.ConnConfig, which Database) {
	t.Helper()
	for {
		done, err := Down(t.Context(), cfg, which, "", false)
		if err != nil {
			t.Fatal(err)
		}
		if len(done) == 0 {
			return
		}
	}
}

// What the plan reports for each generation, besides added objects.
func TestPlanTellsWhatIsThere(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"g0":        {"exists table idam.users looks like G0", "leave column idam.users.user_type has the default 'USER', which is not a valid type"},
		"g1":        {"exists table idam.users looks like G1", "add column idam.users.is_active boolean NOT NULL DEFAULT true", "add column idam.users.email_verified boolean NOT NULL DEFAULT false"},
		"g1alt":     {"exists table audt.audit_logs looks like the backend's model", "leave index audt.audit_logs_result_created_at_idx column \"result\" does not exist"},
		"g1noaudit": {"add table audt.audit_logs ", "exists table bill.invoices looks like G1"},
		"g2":        {"exists table idam.users looks like G2", "exists table bill.invoices looks like G2"},
		"gx":        {"exists table tnnt.tenants looks like Gx", "leave index tnnt.tenants_code_key tnnt.tenants keeps its existing uniqueness", "leave rows idam.roles column \"code\" of relation \"idam.permissions\" does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := databases(t, generations.Named(name).Template())[Manager]
			plan, err := PlanUp(t.Context(), cfg, Manager)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, i := range plan.Items {
				lines = append(lines, fmt.Sprintf("%s %s %s %s", i.Action, i.Kind, i.Object, i.Detail))
			}
			for _, w := range want {
				if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, w) }) {
					t.Errorf("no line begins with %q in\n%s", w, strings.Join(lines, "\n"))
				}
			}
			if name == "g2" || name == "g0" {
				for _, l := range lines {
					if strings.HasPrefix(l, "add column idam.users.is_active") {
						t.Errorf("a second soft-delete column is planned: %s", l)
					}
				}
			}
		})
	}
}

func TestOurOwnDatabaseIsNotAdopted(t *testing.T) {
	t.Parallel()
	for which, cfg := range configs(t) {
		plan, err := PlanUp(t.Context(), cfg, which)
		if err != nil || plan.Adopts || len(plan.Items) == 0 {
			t.Errorf("%s, empty: %+v, %v", which, plan, err)
		}
		for _, i := range plan.Items {
			if i.Action != Add {
				t.Errorf("%s, empty: %+v", which, i)
			}
		}
		if _, err := Up(t.Context(), cfg, which); err != nil {
			t.Fatal(err)
		}
		if plan, err := PlanUp(t.Context(), cfg, which); err != nil || plan.Adopts || len(plan.Items) > 0 {
			t.Errorf("%s, migrated: %+v, %v", which, plan, err)
		}
	}
}

// An index that exists under another name is not built again.
func TestAnIndexThatServesTheSameIsEnough(t *testing.T) {
	t.Parallel()
	cfg := databases(t, generations.Named("g1").Template())[Manager]
	conn := session(t, cfg)
	for _, sql := range []string{
		`CREATE INDEX theirs ON idam.users (created_at, id, status)`,
		`CREATE INDEX not_in_order ON idam.users (last_login_at DESC, id)`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := PlanUp(t.Context(), cfg, Manager)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, i := range plan.Items {
		found[i.Object] = string(i.Action) + " " + i.Detail
	}
	if got := found["idam.users_created_at_idx"]; got != "leave idam.theirs serves the same purpose" {
		t.Errorf("users_created_at_idx: %q", got)
	}
	if got := found["idam.users_last_login_at_idx"]; got != "add " {
		t.Errorf("users_last_login_at_idx: %q", got)
	}
}

// Either all reference rows of a file are added or none, even if only existing rows show that they do not fit.
func TestReferenceRowsThatDoNotFitAreLeftOut(t *testing.T) {
	t.Parallel()
	cfg := databases(t, generations.Named("g1").Template())[Manager]
	if _, err := session(t, cfg).Exec(t.Context(), `
ALTER TABLE idam.role_permissions ADD note text NOT NULL;
INSERT INTO idam.roles (code, name, category, level, scope, is_default, priority, status, is_deleted)
VALUES ('R', 'R', 'MANAGER_ADMIN', 1, 'GLOBAL', false, 1, 'ACTIVE', false);
INSERT INTO idam.permissions (code, name, category, resource, action, scope, applies_to, is_system, is_hidden, status, is_deleted)
VALUES ('TENANT_READ', 'R', 'TENANT', 'TENANT', 'READ', 'GLOBAL', 'ALL', true, false, 'ACTIVE', false);
INSERT INTO idam.role_permissions (role_id, permission_id, note) SELECT r.id, p.id, '' FROM idam.roles r, idam.permissions p WHERE r.code = 'R' AND p.code = 'TENANT_READ'`); err != nil {
		t.Fatal(err)
	}
	if _, err := Up(t.Context(), cfg, Manager); err != nil {
		t.Fatal(err)
	}
	if n := query[int](t, cfg, `SELECT count(*) FROM `+Added+` WHERE kind = 'rows'`); n != 0 {
		t.Errorf("%d rows were added", n)
	}
}

// Views, partitioned tables and unusual types are skipped without an error.
func TestOddRelationsAreLeftAlone(t *testing.T) {
	t.Parallel()
	cfg := configs(t)[Manager]
	if _, err := session(t, cfg).Exec(t.Context(), `
CREATE SCHEMA audt; CREATE SCHEMA bill;
CREATE TABLE audt.audit_logs (id uuid, created_at timestamptz, user_id uuid, extra_data text) PARTITION BY RANGE (created_at);
CREATE TABLE bill.plans (id uuid PRIMARY KEY);
CREATE TABLE bill.kept (id uuid PRIMARY KEY, currency json, status text);
CREATE VIEW bill.transactions AS SELECT id FROM bill.kept`); err != nil {
		t.Fatal(err)
	}
	before, columns := take(t, cfg, nil)
	if _, err := Up(t.Context(), cfg, Manager); err != nil {
		t.Fatal(err)
	}
	after, _ := take(t, cfg, columns)
	kept(t, "after up", before, after)
	toZero(t, cfg, Manager)
	zero, _ := take(t, cfg, nil)
	same(t, "after down to zero", before, zero)
}
