package generations

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

const hostile = `full_name ~ E'[\t\n\u001b\u202E\U0001F469]' OR full_name LIKE '=%'`

// dangling counts rows whose creator does not exist.
const dangling = `SELECT count(*) FROM %s r WHERE created_by IS NOT NULL AND NOT EXISTS (SELECT FROM idam.users u WHERE u.id = r.created_by)`

// inManager and inTenants count the rows with each defect, without using labels. A function returns "" if the
// generation's tables cannot have the defect.
var inManager = map[string]func(Generation) string{
	"user-type-default": plain(`SELECT count(*) FROM information_schema.columns WHERE table_schema = 'idam' AND table_name = 'users'
		AND column_name = 'user_type' AND column_default LIKE '''USER''%'`),
	"audit-cascade": plain(`SELECT count(*) FROM pg_constraint WHERE conrelid = to_regclass('audt.audit_logs') AND contype = 'f' AND confdeltype = 'c'`),
	"email-case": plain(`SELECT count(*) FROM (SELECT FROM idam.users
		GROUP BY lower(email) HAVING count(DISTINCT email) > 1) s`),
	"username-case": plain(`SELECT count(*) FROM (SELECT FROM idam.users
		GROUP BY lower(username) HAVING count(DISTINCT username) > 1) s`),
	"username-is-id":    plain(`SELECT count(*) FROM idam.users u JOIN idam.users o ON o.id::text = u.username AND o.id <> u.id`),
	"hostile-name":      plain(`SELECT count(*) FROM idam.users WHERE ` + hostile),
	"empty-password":    plain(`SELECT count(*) FROM idam.users WHERE password = ''`),
	"infinite-time":     plain(`SELECT count(*) FROM idam.users WHERE NOT isfinite(locked_until) OR NOT isfinite(last_login_at)`),
	"active-locked":     plain(`SELECT count(*) FROM idam.users WHERE status = 'ACTIVE' AND locked_until > now()`),
	"unknown-user-type": plain(`SELECT count(*) FROM idam.users WHERE user_type NOT IN ('MASTER', 'TENANT', 'SYSTEM')`),
	"unknown-status":    plain(`SELECT count(*) FROM idam.users WHERE status NOT IN ('ACTIVE', 'INACTIVE', 'LOCKED', 'SUSPENDED')`),
	"locked-without-lock": plain(`SELECT count(*) FROM idam.users
		WHERE status = 'LOCKED' AND (locked_until IS NULL OR locked_until <= now())`),
	"deleted-user": func(g Generation) string {
		if g.UserFlag == "" {
			return ""
		}
		return fmt.Sprintf("SELECT count(*) FROM idam.users WHERE %s = %t", g.UserFlag, !g.UserLive)
	},
	"null-user-flag": func(g Generation) string {
		if g.UserFlag == "" {
			return ""
		}
		return fmt.Sprintf("SELECT count(*) FROM idam.users WHERE %s IS NULL", g.UserFlag)
	},
	"dangling-user-creator":    plain(fmt.Sprintf(dangling, "idam.users")),
	"dangling-invoice-creator": plain(fmt.Sprintf(dangling, "bill.invoices")),
	"duplicate-grant": plain(`SELECT count(*) FROM idam.user_roles r WHERE EXISTS (SELECT FROM idam.user_roles o WHERE o.id < r.id
		AND (o.user_id, o.role_id) = (r.user_id, r.role_id) AND o.tenant_context IS NOT DISTINCT FROM r.tenant_context)`),
	"reused-tenant-code": func(g Generation) string {
		return strings.NewReplacer("@code", g.TenantCode, "@flag", g.TenantFlag).Replace(
			`SELECT count(*) FROM tnnt.tenants d JOIN tnnt.tenants t USING (@code) WHERE d.@flag AND NOT t.@flag`)
	},
	"null-amount":  plain(`SELECT count(*) FROM bill.invoices WHERE usage_amount + discount_amount + tax_amount IS NULL`),
	"odd-currency": plain(`SELECT count(*) FROM bill.invoices WHERE currency !~ '^[A-Z]{3}$'`),
	"wrong-total": plain(`SELECT count(*) FROM bill.invoices WHERE total_amount <>
		base_amount + coalesce(usage_amount, 0) - coalesce(discount_amount, 0) + coalesce(tax_amount, 0)`),
	"huge-amount":         plain(`SELECT count(*) FROM bill.invoices WHERE total_amount = 99999999999999.9999`),
	"paid-without-date":   plain(`SELECT count(*) FROM bill.invoices WHERE status = 'PAID' AND paid_at IS NULL`),
	"paid-without-method": plain(`SELECT count(*) FROM bill.invoices WHERE status = 'PAID' AND payment_method IS NULL`),
	"deleted-invoice":     func(g Generation) string { return "SELECT count(*) FROM bill.invoices WHERE " + g.InvoiceFlag },
	"suspended-tenant": func(g Generation) string {
		return "SELECT count(*) FROM tnnt.tenants WHERE status = 'SUSPENDED' AND NOT " + g.TenantFlag
	},
	"dangling-context": plain("SELECT count(*) FROM idam.sessions s WHERE NOT EXISTS (SELECT FROM tnnt.tenants t WHERE t.id = s.tenant_context)"),
	"null-scope":       plain("SELECT count(*) FROM idam.api_keys WHERE array_position(scopes, NULL) IS NOT NULL"),
	"deleted-grant": func(g Generation) string {
		if !g.SoftGrants {
			return ""
		}
		return "SELECT count(*) FROM idam.user_roles WHERE is_deleted AND status = 'ACTIVE'"
	},
	"deleted-member": func(g Generation) string {
		if g.UserFlag != "is_deleted" {
			return ""
		}
		return "SELECT count(*) FROM tnnt.tenant_users WHERE is_deleted AND status = 'ACTIVE'"
	},
	"backend-audit": func(g Generation) string {
		if g.Audit == "" {
			return ""
		}
		return "SELECT count(*) FROM audt.audit_logs WHERE extra_data IS NULL AND user_id IS NOT NULL AND tenant_id IS NOT NULL"
	},
}

var inTenants = map[string]func(Generation) string{
	"tenant-email-case": plain(`SELECT count(*) FROM (SELECT FROM sys.users
		GROUP BY lower(email) HAVING count(DISTINCT email) > 1) s`),
	"tenant-username-case": plain(`SELECT count(*) FROM (SELECT FROM sys.users
		GROUP BY lower(username) HAVING count(DISTINCT username) > 1) s`),
	"tenant-username-is-id": plain(`SELECT count(*) FROM sys.users u JOIN sys.users o ON o.id::text = u.username AND o.id <> u.id`),
	"tenant-hostile-name":   old("full_name", "first_name", `SELECT count(*) FROM sys.users WHERE `+hostile),
	"tenant-empty-password": old("password", "password_hash", `SELECT count(*) FROM sys.users WHERE password = ''`),
	"tenant-infinite-time": old("locked_until", "last_login_at",
		`SELECT count(*) FROM sys.users WHERE NOT isfinite(locked_until) OR NOT isfinite(last_login_at)`),
	"tenant-null-flag": plain(`SELECT count(*) FROM sys.users WHERE is_active IS NULL OR is_deleted IS NULL`),
	"tenant-twin": plain(`SELECT count(*) FROM sys.users t JOIN sys.users o USING (username, email)
		WHERE t.is_deleted IS NULL AND o.is_deleted = false`),
	"tenant-deleted-user":  plain(`SELECT count(*) FROM sys.users WHERE is_deleted`),
	"tenant-inactive-user": plain(`SELECT count(*) FROM sys.users WHERE is_active = false`),
}

func plain(sql string) func(Generation) string {
	return func(Generation) string { return sql }
}

// old returns plain unless the users of old tenants have another column.
func old(column, theirs, sql string) func(Generation) string {
	return func(g Generation) string {
		if g.OldTenants {
			return strings.ReplaceAll(sql, column, theirs)
		}
		return sql
	}
}

func TestEveryGenerationHasTheDefectsThatItCounts(t *testing.T) {
	t.Parallel()
	for _, g := range All() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			nastyManager, nastyTenants := g.NastyRows()
			pair := dbtest.New(t, g.With(g.Rows, "").With(nastyManager, nastyTenants).Template())
			manager, tenants := connect(t, pair.Manager), connect(t, pair.Tenants)
			for _, again := range []struct {
				conn *pgx.Conn
				sql  string
			}{{manager, g.Rows}, {manager, nastyManager}, {tenants, nastyTenants}} {
				if err := run(t, again.conn, again.sql); err != nil {
					t.Fatalf("second run: %v", err)
				}
			}
			for label := range g.Defects {
				if inManager[label] == nil && inTenants[label] == nil {
					t.Errorf("%q is not defined", label)
				}
			}
			for conn, defects := range map[*pgx.Conn]map[string]func(Generation) string{manager: inManager, tenants: inTenants} {
				for label, sql := range defects {
					found := 0
					if s := sql(g); s != "" {
						found = scalar[int](t, conn, s)
					}
					if found != g.Defects[label] {
						t.Errorf("%s: %d rows, %d labels", label, found, g.Defects[label])
					}
				}
			}
			operator := scalar[string](t, manager, "SELECT username || ' ' || user_type || ' ' || status FROM idam.users WHERE id = '"+OperatorID+"'")
			if operator != "admin MASTER ACTIVE" {
				t.Errorf("the operator is %q", operator)
			}
		})
	}
}

func TestEveryGenerationHasItsTables(t *testing.T) {
	t.Parallel()
	flags := map[string]string{"g0": "is_active", "g2": "is_deleted"}
	for _, g := range All() {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			pair := dbtest.New(t, g.With(g.Rows, "").Template())
			manager, tenants := connect(t, pair.Manager), connect(t, pair.Tenants)

			flag := scalar[string](t, manager, columns("idam.users", "is_active", "is_deleted", "deleted"))
			if flag != flags[g.Name] || flag != g.UserFlag {
				t.Errorf("the soft-delete column of users is %q", flag)
			}
			for table, names := range map[string][]string{
				"bill.invoices":    {g.InvoiceFlag},
				"tnnt.tenants":     {g.TenantCode, g.TenantName, g.TenantType, g.BizNo, g.SuspendedDate, g.TenantFlag},
				"idam.roles":       {g.RoleCode, g.RoleName, g.RoleKind, g.RoleFlag},
				"audt.audit_logs":  {map[string]string{EventAudit: "event_type", ActionAudit: "action"}[g.Audit]},
				"idam.permissions": {g.PermissionCode, g.PermissionName, g.PermissionResource},
			} {
				want := strings.Join(strings.Fields(strings.Join(names, " ")), " ")
				if got := scalar[string](t, manager, columns(table, names...)); got != want {
					t.Errorf("of %s's columns %q only %q exist", table, want, got)
				}
			}
			audit := scalar[bool](t, manager, "SELECT to_regclass('audt.audit_logs') IS NOT NULL")
			if audit != (g.Audit != "") {
				t.Errorf("audit log: %t", audit)
			}
			shared := scalar[string](t, tenants, columns("sys.users", "tenant_id")) != ""
			if shared != g.SharedTenants {
				t.Errorf("sys.users.tenant_id: %t", shared)
			}

			insert := "INSERT INTO idam.users (username, email, full_name) VALUES ('default', 'default@cxg.example', 'Default')"
			want := "23514"
			if g.Unguarded {
				want = ""
			}
			if got := state(run(t, manager, insert)); got != want {
				t.Errorf("the default of user_type gives SQLSTATE %q, not %q", got, want)
			}
			insert = "INSERT INTO idam.users (user_type, username, email, full_name) VALUES ('TENANT', 'ADMIN', 'other@cxg.example', 'Other Case')"
			if err := run(t, manager, insert); err != nil {
				t.Errorf("a username in another case: %v", err)
			}
		})
	}
}

func TestDeletingAUserErasesTheirAuditRowsInG2Only(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"g1": 3, "g2": 1} {
		g := Named(name)
		conn := connect(t, dbtest.New(t, g.With(g.NastyRows()).Template()).Manager)
		if err := run(t, conn, "DELETE FROM idam.users WHERE username = 'nasty-creator'"); err != nil {
			t.Fatal(err)
		}
		if got := scalar[int](t, conn, "SELECT count(*) FROM audt.audit_logs"); got != want {
			t.Errorf("%s: %d audit rows are left, want %d", name, got, want)
		}
	}
}

func TestSQLAlchemysNamesAreNotPostgreSQLs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"g1": "users_email_key", "gx": "uq_users_email"} {
		g := Named(name)
		conn := connect(t, dbtest.New(t, g.With(g.Rows, "").Template()).Manager)
		err := run(t, conn, "INSERT INTO idam.users (user_type, username, email, full_name) VALUES ('TENANT', 'other', 'admin@cxg.example', 'Other')")
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.ConstraintName != want {
			t.Errorf("%s: a second e-mail gives %v, not a violation of %s", name, err, want)
		}
	}
}

// columns returns a query for the names that are columns of the table, in the given order.
func columns(table string, names ...string) string {
	return fmt.Sprintf(`SELECT coalesce(string_agg(a.attname, ' ' ORDER BY array_position('{%[2]s}'::name[], a.attname)), '')
		FROM pg_attribute a WHERE a.attrelid = to_regclass('%[1]s') AND a.attname = ANY ('{%[2]s}'::name[])`,
		table, strings.Join(strings.Fields(strings.Join(names, " ")), ","))
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // t.Context has ended by then
	return conn
}

func run(t *testing.T, conn *pgx.Conn, sql string) error {
	t.Helper()
	_, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	return err
}

func scalar[T any](t *testing.T, conn *pgx.Conn, sql string) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// state returns an error's SQLSTATE, or "".
func state(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
