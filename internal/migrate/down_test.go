package migrate

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// downTo reverts every migration above a version.
func downTo(t *testing.T, cfg *pgx.ConnConfig, which Database, version int64) {
	t.Helper()
	for query[int64](t, cfg, `SELECT max(version_id) FROM `+Table) > version { // version numbers may have gaps
		if _, err := Down(t.Context(), cfg, which, "", false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDownRefusesToLoseData(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		generation string
		version    int64
		change     string
		want       string // in the message
		gone       string // true once the loss is accepted
		stays      string // always true
	}{
		"column": {
			"g1", 1, `UPDATE idam.users SET is_active = false WHERE username = 'admin'`,
			"reverting 00001_users.sql of the manager database would lose data: idam.users.is_active has 1 row with a value other than true",
			`SELECT count(*) = 0 FROM pg_attribute WHERE attrelid = 'idam.users'::regclass AND attname IN ('is_active', 'email_verified') AND NOT attisdropped`,
			`SELECT count(*) = 1 FROM idam.users WHERE username = 'admin'`,
		},
		"table": {
			"g1noaudit", 6, `INSERT INTO audt.audit_logs (event_type, event_category, description) VALUES ('LOGIN', 'AUTHENTICATION', ''), ('LOGOUT', 'AUTHENTICATION', '')`,
			"audt.audit_logs has 2 rows",
			`SELECT to_regclass('audt.audit_logs') IS NULL`,
			`SELECT to_regclass('bill.invoices') IS NOT NULL`,
		},
		"referenced row": {
			"g1", 9, `INSERT INTO idam.user_roles (user_id, role_id, status) SELECT u.id, r.id, 'ACTIVE' FROM idam.users u, idam.roles r WHERE u.username = 'admin' AND r.code = 'TENANT_USER'`,
			"idam.user_roles has 1 row that refers to idam.roles",
			`SELECT NOT EXISTS (SELECT FROM idam.roles WHERE code = 'TENANT_USER')`,
			`SELECT count(*) = 1 FROM idam.users WHERE username = 'admin'`,
		},
		"granted permission": {
			"g1", 9, `INSERT INTO idam.role_permissions (role_id, permission_id) SELECT r.id, p.id FROM idam.roles r, idam.permissions p WHERE r.code = 'TENANT_USER' AND p.code = 'SYSTEM_MANAGE'`,
			"idam.role_permissions has 1 row that refers to idam.permissions, idam.role_permissions has 1 row that refers to idam.roles",
			`SELECT NOT EXISTS (SELECT FROM idam.roles WHERE code = 'TENANT_USER')`,
			`SELECT to_regclass('idam.roles') IS NOT NULL`,
		},
		"changed row": {
			"g1", 9, `UPDATE idam.roles SET name = 'x', updated_at = now() WHERE code = 'TENANT_USER'`,
			"idam.roles has 1 changed reference row",
			`SELECT NOT EXISTS (SELECT FROM idam.roles WHERE code = 'TENANT_USER')`,
			`SELECT to_regclass('idam.roles') IS NOT NULL`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := generations.Named(c.generation)
			cfg := databases(t, g.With(g.Rows, "").Template())[Manager]
			if _, err := Up(t.Context(), cfg, Manager); err != nil {
				t.Fatal(err)
			}
			downTo(t, cfg, Manager, c.version)
			if losses, err := PlanDown(t.Context(), cfg, Manager); err != nil || len(losses) != 0 {
				t.Errorf("without data: %v, %v", losses, err)
			}
			if tag, err := session(t, cfg).Exec(t.Context(), c.change); err != nil || tag.RowsAffected() == 0 {
				t.Fatal(tag, err)
			}
			losses, err := PlanDown(t.Context(), cfg, Manager)
			if err != nil || len(losses) == 0 || losses[0].Version != c.version {
				t.Errorf("planned: %v, %v", losses, err)
			}
			done, err := Down(t.Context(), cfg, Manager, "", false)
			f, ok := errors.AsType[*fault.Error](err)
			if len(done) > 0 || !ok || f.Code != fault.Conflict || !strings.Contains(f.Message, c.want) || !strings.Contains(f.Hint, "--discard-data") {
				t.Errorf("reverted %v, error %v, want a CONFLICT that contains %q", done, err, c.want)
			}
			if query[bool](t, cfg, c.gone) || !query[bool](t, cfg, c.stays) {
				t.Error("the refusal changed something")
			}
			done, err = Down(t.Context(), cfg, Manager, "", true)
			if err != nil || len(done) != 1 || done[0].Version != c.version {
				t.Errorf("with --discard-data: reverted %v, error %v", done, err)
			}
			if !query[bool](t, cfg, c.gone) || !query[bool](t, cfg, c.stays) {
				t.Error("with --discard-data something else was removed")
			}
		})
	}
}

// Objects that others add to the schemas or build on ours are kept.
func TestDownLeavesWhatOthersBuilt(t *testing.T) {
	t.Parallel()
	cfg := configs(t)[Tenants]
	if _, err := Up(t.Context(), cfg, Tenants); err != nil {
		t.Fatal(err)
	}
	conn := session(t, cfg)
	if _, err := conn.Exec(t.Context(), `CREATE TABLE sys.theirs (a int); CREATE VIEW sys.seen AS SELECT id FROM sys.users`); err != nil {
		t.Fatal(err)
	}
	downTo(t, cfg, Tenants, 1)
	if _, err := Down(t.Context(), cfg, Tenants, "", true); fault.Status(err) != 8 || !strings.Contains(err.Error(), "sys.users") {
		t.Errorf("a table that a view reads: %v, want a DATABASE_ERROR that names sys.users", err)
	}
	if _, err := conn.Exec(t.Context(), `DROP VIEW sys.seen`); err != nil {
		t.Fatal(err)
	}
	toZero(t, cfg, Tenants)
	if query[bool](t, cfg, `SELECT to_regclass('sys.theirs') IS NULL OR to_regclass('sys.users') IS NOT NULL`) {
		t.Error("the schema was dropped with another program's table, or our table was kept")
	}
}

// Without a record from an older cxgctl, its tables cannot be told apart, so they are kept.
func TestDownWithoutRecordTakesNothing(t *testing.T) {
	t.Parallel()
	cfg := configs(t)[Tenants]
	if _, err := Up(t.Context(), cfg, Tenants); err != nil {
		t.Fatal(err)
	}
	if _, err := session(t, cfg).Exec(t.Context(), `DROP TABLE `+Added); err != nil {
		t.Fatal(err)
	}
	before := query[string](t, cfg, objects)
	toZero(t, cfg, Tenants)
	if query[string](t, cfg, objects) != before {
		t.Error("an unrecorded object was removed")
	}
	plan, err := PlanUp(t.Context(), cfg, Tenants)
	if err != nil || !plan.Adopts || len(plan.Items) != 4 {
		t.Errorf("%+v, %v, want a plan that finds the four tables and adds nothing", plan, err)
	}
}

// Down reads records of earlier versions of cxgctl, and those read ours.
func TestRecordKeepsItsForm(t *testing.T) {
	t.Parallel()
	cfg := configs(t)[Manager]
	if _, err := Up(t.Context(), cfg, Manager); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 schema idam", "1 table idam.users", "4 index tnnt.tenants_code_key", "9 rows idam.roles",
		"20 constraint cxg_audit.seal.seal_seq_check", "20 column cxg_audit.intent.digest",
	} {
		if !query[bool](t, cfg, `SELECT EXISTS (SELECT FROM `+Added+` WHERE concat_ws(' ', version, kind, object) = '`+want+`')`) {
			t.Errorf("no record of %s", want)
		}
	}
}

// A stale record does not apply to objects that others created under the same names.
func TestAStaleRecordClaimsNothing(t *testing.T) {
	t.Parallel()
	cfg := configs(t)[Tenants]
	if _, err := Up(t.Context(), cfg, Tenants); err != nil {
		t.Fatal(err)
	}
	conn := session(t, cfg)
	if _, err := conn.Exec(t.Context(), `DROP SCHEMA sys CASCADE; DROP TABLE `+Table+`; CREATE SCHEMA sys; CREATE TABLE sys.users (id uuid PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	if _, err := Up(t.Context(), cfg, Tenants); err != nil {
		t.Fatal(err)
	}
	toZero(t, cfg, Tenants)
	if query[bool](t, cfg, `SELECT to_regclass('sys.users') IS NULL`) {
		t.Error("another program's table was dropped")
	}
}
