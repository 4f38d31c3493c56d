package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
	"github.com/cxgctl/cxgctl/internal/migrate"
)

// world is a kind of database that scripts run on: our own, or another software's generation.
type world struct {
	name     string
	template dbtest.Template
	macros   macros            // what scripts' SQL calls by a neutral name, as it is here
	facts    map[string]bool   // conditions of scripts: [flag], [audit], …
	bouncer  *dbtest.PgBouncer // what commands reach the databases through; nil for nothing
	hostile  bool              // the role and the databases have hostile settings, and planted objects are ahead of pg_catalog
}

// ours is a freshly migrated pair of databases with one operator, admin.
func ours() world {
	return world{
		name: "ours",
		template: dbtest.Template{
			Name: "migrated",
			Key:  migrate.Hash(migrate.Manager) + migrate.Hash(migrate.Tenants) + insertAdmin,
			Build: func(ctx context.Context, manager, tenants string) error {
				if err := adopt(ctx, manager, tenants); err != nil {
					return err
				}
				defer idleConns.leave(manager)
				_, err := query(ctx, manager, insertAdmin)
				return err
			},
		},
		macros: newMacros(ownTables),
		facts:  facts(ownTables),
	}
}

// ownTables are our own tables in the terms of generations.
var ownTables = generations.Generation{
	UserFlag: "is_active", UserLive: true, InvoiceFlag: "deleted", TenantFlag: "is_deleted", TenantCode: "code", TenantName: "name",
	TenantType: "type", BizNo: "biz_no", SuspendedDate: "suspended_date", RoleCode: "code", RoleName: "name", RoleKind: "category",
	PermissionCode: "code", PermissionName: "name", PermissionResource: "resource", AuditResource: "resource",
	Suspends: true, SharedTenants: true, Audit: generations.EventAudit,
}

// facts are the conditions that scripts may ask for: [flag], [!level], …
func facts(g generations.Generation) map[string]bool {
	return map[string]bool{
		"flag":        g.UserFlag != "",
		"audit":       g.Audit != "",
		"alternative": g.Audit == generations.ActionAudit,
		"split":       g.SharedTenants, // sys.users has tenant_id
		"suspends":    g.Suspends,      // tnnt.tenants has is_suspended and suspended_reason
		"suspended":   g.SuspendedDate != "",
		"level":       !g.Ranked,     // idam.roles has a level
		"locks":       !g.OldTenants, // sys.users has locked_until, full_name and password
		"model":       g.Model,       // no amount of an invoice is NULL, none has a default
		"pooled":      false,
	}
}

const insertAdmin = `
INSERT INTO idam.users (id, username, email, full_name, user_type, created_at)
VALUES ('00000000-0000-4000-8000-000000000001', 'admin', 'admin@cxg.example', 'Administrator', 'MASTER', '2026-01-01T00:00:00Z')`

// adopt migrates both databases.
func adopt(ctx context.Context, manager, tenants string) error {
	for which, dsn := range map[migrate.Database]string{migrate.Manager: manager, migrate.Tenants: tenants} {
		cfg, err := pgx.ParseConfig(dsn)
		if err != nil {
			return err
		}
		if _, err := migrate.Up(ctx, cfg, which); err != nil {
			return err
		}
	}
	return nil
}

// alternative shows the alternative shape of the audit log under the design's column names.
const alternative = `(SELECT a.*, a.action AS action_performed, a.target_id::text AS resource_id, host(a.ip_address) AS source_ip,
	CASE a.extra_data->>'resource' WHEN 'user' THEN 'USER_ACCOUNT' ELSE 'TABLE' END AS resource,
	a.extra_data->>'event_type' AS event_type, a.extra_data->>'event_category' AS event_category,
	a.extra_data->>'description' AS description, a.extra_data->>'result' AS result, a.extra_data->>'failure_reason' AS failure_reason
	FROM audt.audit_logs a)`

// macros maps the neutral names in braces in the SQL of scripts to the names in a generation.
type macros struct {
	names  *strings.Replacer
	ranked bool
}

// leveled matches the kind of a role and its level.
var leveled = regexp.MustCompile(`'(MANAGER_ADMIN|PLATFORM_SUPPORT|TENANT_ADMIN|TENANT_USER)', (\d)`)

// Replace returns the SQL for the generation. If roles have no level, it uses the priority instead.
func (m macros) Replace(sql string) string {
	if m.ranked {
		sql = leveled.ReplaceAllStringFunc(sql, func(s string) string {
			found := leveled.FindStringSubmatch(s)
			return "'" + kinds[found[1]] + "', " + found[2]
		})
	}
	return m.names.Replace(sql)
}

// kinds maps the kinds of roles to their names in Gx.
var kinds = map[string]string{"MANAGER_ADMIN": "SYSTEM", "PLATFORM_SUPPORT": "PLATFORM", "TENANT_ADMIN": "ADMIN", "TENANT_USER": "USER"}

func newMacros(g generations.Generation) macros {
	key := "invoices_tenant_id_fkey"
	if strings.Contains(g.Manager, "'fk_'") { // SQLAlchemy named it
		key = "fk_invoices_tenant_id_tenants"
	}
	list := []string{
		"{tenant_code}, name, type", g.TenantCode + ", " + g.TenantName + ", " + g.TenantType,
		"{tenant_code}, name", g.TenantCode + ", " + g.TenantName,
		"{tenant_name}", g.TenantName, "{tenant_type}", g.TenantType, "{suspended_date}", g.SuspendedDate,
		"{is_active}", g.UserFlag, "{live}", fmt.Sprint(g.UserLive), "{dead}", fmt.Sprint(!g.UserLive),
		"{invoice_deleted}", g.InvoiceFlag, "{tenant_deleted}", g.TenantFlag, "{tenant_code}", g.TenantCode,
		"{invoice_tenant_fkey}", key, "{biz_no}", g.BizNo,
		"{role_code}", g.RoleCode, "{role_name}", g.RoleName, "{role_kind}", g.RoleKind, "{permission_code}", g.PermissionCode,
		"{audit_resource}", g.AuditResource,
	}
	for ours, theirs := range kinds {
		if !g.Ranked {
			theirs = ours
		}
		list = append(list, "{"+ours+"}", theirs)
	}
	if g.Ranked {
		list = append(list, "{role_kind}, level", g.RoleKind+", priority")
	}
	if g.OldTenants {
		list = append(list, "sys.users (username, password, email, full_name,", "sys.users (user_code, password_hash, email, username,")
	}
	if g.AuditResource != "resource" {
		list = append(list, ", description, resource, action_performed)", ", description, "+g.AuditResource+", action_performed)")
		renamed := "(SELECT a.*, a." + g.AuditResource + " AS resource FROM audt.audit_logs a)"
		list = append(list, "FROM audt.audit_logs l", "FROM "+renamed+" l", "FROM audt.audit_logs", "FROM "+renamed+" AS audit_logs")
	}
	if g.Audit == generations.ActionAudit {
		list = append(list, "FROM audt.audit_logs l", "FROM "+alternative+" l", "FROM audt.audit_logs", "FROM "+alternative+" AS audit_logs")
	}
	// the longer of two names with the same beginning comes first
	pairs := slices.Collect(slices.Chunk(list, 2))
	slices.SortStableFunc(pairs, func(a, b []string) int { return cmp.Compare(len(b[0]), len(a[0])) })
	return macros{names: strings.NewReplacer(slices.Concat(pairs...)...), ranked: g.Ranked}
}

// found is a generation as other software left it, including problematic rows.
func found(g generations.Generation) world {
	w := world{
		name: g.Name, template: g.With(g.Rows, "").With(g.NastyRows()).Template(),
		macros: newMacros(g),
		facts:  facts(g),
	}
	return w
}

// adopted is a generation after migrate up, without rows but the operator's. The defaults that it lacks
// are given to it, so that scripts may leave out columns that are beside their point.
func adopted(g generations.Generation) world {
	soft := g.With(g.Rows, "").With(lenient(g), "")
	base := soft.Template()
	if g.UserFlag == "" { // adoption adds the design's
		g.UserFlag, g.UserLive = "is_active", true
	}
	known := facts(g)
	known["audit"] = true
	return world{
		name: g.Name,
		template: dbtest.Template{
			Name: "adopted-" + g.Name,
			Key:  base.Key + migrate.Hash(migrate.Manager) + migrate.Hash(migrate.Tenants),
			Build: func(ctx context.Context, manager, tenants string) error {
				if err := base.Build(ctx, manager, tenants); err != nil {
					return err
				}
				if err := adopt(ctx, manager, tenants); err != nil || !g.Ranked {
					return err
				}
				return fillRoles(ctx, manager, g)
			},
		},
		macros: newMacros(g),
		facts:  known,
	}
}

// fillRoles gives a generation whose columns have other names the roles and permissions that migrations add to the
// others. There the platform's own seeds load them; migrations add the invoice permissions alone.
func fillRoles(ctx context.Context, manager string, g generations.Generation) error {
	own, err := dbtest.Create(ctx, ours().template)
	if err != nil {
		return err
	}
	defer own.Drop()
	rows, err := query(ctx, own.Manager, `SELECT jsonb_build_object('roles', (SELECT jsonb_agg(r) FROM idam.roles r),
		'permissions', (SELECT jsonb_agg(p) FROM idam.permissions p), 'filled', (SELECT jsonb_agg(f) FROM idam.role_permissions f))`)
	if err != nil {
		return err
	}
	defer idleConns.leave(manager)
	_, err = query(ctx, manager, strings.NewReplacer(
		"{role_code}", g.RoleCode, "{role_name}", g.RoleName, "{role_kind}", g.RoleKind, "{permission_code}", g.PermissionCode,
		"{permission_name}", g.PermissionName, "{permission_resource}", g.PermissionResource,
	).Replace(`
CREATE TEMPORARY TABLE ours AS SELECT $$`+rows[0][0]+`$$::jsonb AS j;
DELETE FROM idam.permissions;
INSERT INTO idam.roles (id, {role_code}, {role_name}, {role_kind}, scope, is_default, priority, status)
SELECT id, code, name, CASE category WHEN 'MANAGER_ADMIN' THEN 'SYSTEM' WHEN 'PLATFORM_SUPPORT' THEN 'PLATFORM' WHEN 'TENANT_ADMIN' THEN 'ADMIN' ELSE 'USER' END,
       scope, is_default, priority, status FROM ours, jsonb_to_recordset(j->'roles')
    AS r (id uuid, code text, name text, category text, level integer, scope text, is_default boolean, priority integer, status text);
INSERT INTO idam.permissions (id, {permission_code}, {permission_name}, {permission_resource}, category, action, scope, applies_to, is_system, status)
SELECT id, code, name, resource, category, action, scope, applies_to, is_system, status FROM ours, jsonb_to_recordset(j->'permissions')
    AS p (id uuid, code text, name text, resource text, category text, action text, scope text, applies_to text, is_system boolean, status text);
INSERT INTO idam.role_permissions (role_id, permission_id)
SELECT role_id, permission_id FROM ours, jsonb_to_recordset(j->'filled') AS f (role_id uuid, permission_id uuid);
DROP TABLE ours`))
	return err
}

// lenient gives the tables that scripts fill the defaults of our own.
func lenient(g generations.Generation) string {
	sql := `ALTER TABLE idam.users ALTER COLUMN user_type SET DEFAULT 'TENANT';
ALTER TABLE tnnt.tenants ALTER COLUMN ` + g.TenantType + ` SET DEFAULT 'STANDARD', ALTER COLUMN start_date SET DEFAULT '2026-01-01',
  ALTER COLUMN status SET DEFAULT 'ACTIVE', ALTER COLUMN ` + g.TenantFlag + ` SET DEFAULT false;
ALTER TABLE bill.plans ALTER COLUMN billing_cycle SET DEFAULT 'MONTHLY', ALTER COLUMN currency SET DEFAULT 'KRW',
  ALTER COLUMN status SET DEFAULT 'ACTIVE', ALTER COLUMN deleted SET DEFAULT false;
ALTER TABLE tnnt.subscriptions ALTER COLUMN billing_cycle SET DEFAULT 'MONTHLY', ALTER COLUMN currency SET DEFAULT 'KRW',
  ALTER COLUMN status SET DEFAULT 'ACTIVE', ALTER COLUMN is_deleted SET DEFAULT false;
ALTER TABLE bill.invoices ALTER COLUMN ` + g.InvoiceFlag + ` SET DEFAULT false, ALTER COLUMN usage_amount SET DEFAULT 0,
  ALTER COLUMN discount_amount SET DEFAULT 0;
ALTER TABLE idam.roles ALTER COLUMN is_default SET DEFAULT false, ALTER COLUMN status SET DEFAULT 'ACTIVE';`
	if g.Suspends {
		sql += "ALTER TABLE tnnt.tenants ALTER COLUMN is_suspended SET DEFAULT false;"
	}
	if !g.Model { // ours have none, and NULL is among what scripts are about
		sql += "ALTER TABLE bill.invoices ALTER COLUMN used_storage DROP DEFAULT, ALTER COLUMN api_calls DROP DEFAULT;"
	}
	if g.Model { // scripts insert invoices that say less
		sql += `ALTER TABLE bill.invoices ALTER COLUMN usage_amount DROP NOT NULL, ALTER COLUMN discount_amount DROP NOT NULL,
  ALTER COLUMN tax_amount DROP NOT NULL, ALTER COLUMN tax_amount SET DEFAULT 0,
  ALTER COLUMN used_storage DROP NOT NULL, ALTER COLUMN api_calls DROP NOT NULL;`
	}
	if g.RoleFlag != "" {
		sql += "ALTER TABLE idam.roles ALTER COLUMN " + g.RoleFlag + " SET DEFAULT false;"
	}
	if g.Audit == generations.EventAudit {
		sql += `ALTER TABLE audt.audit_logs ALTER COLUMN result SET DEFAULT 'SUCCESS', ALTER COLUMN risk_level SET DEFAULT 'LOW',
  ALTER COLUMN status SET DEFAULT 'ACTIVE', ALTER COLUMN deleted SET DEFAULT false;`
	}
	if g.UserFlag != "" {
		sql += fmt.Sprintf("ALTER TABLE idam.users ALTER COLUMN %s SET DEFAULT %t;", g.UserFlag, g.UserLive)
	}
	return sql
}

// runScripts runs scripts on the databases of a world.
func runScripts(t *testing.T, w world, files []string) {
	testscript.Run(t, testscript.Params{
		Files:               files,
		Setup:               w.setup,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(name string) (bool, error) {
			if name == "root" { // only root can make files of another user
				return os.Geteuid() == 0, nil
			}
			holds, known := w.facts[name]
			if !known {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return holds, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cxgctl": runCxgctl, "input": setInput, "exits": runExits,
			"sql": w.runSQL, "devhome": makeDevHome, "replace": replaceInFile, "bcrypt": checkBcrypt,
			"totp": writeTOTP,
		},
	})
}

// TestFoundDatabases runs on every generation as other software left it, with problematic rows.
func TestFoundDatabases(t *testing.T) {
	t.Parallel()
	for _, g := range generations.Tried() {
		t.Run(g.Name, func(t *testing.T) { runScripts(t, found(g), []string{"testdata/generation/as_found.txtar"}) })
	}
}

// foundScripts are the scripts that need nothing that migrate up adds: no seals, no record of imports, no roles and,
// but for those in flagged, no column that marks a deleted user.
var (
	foundScripts = []string{
		"auth_lock", "auth_login", "auth_otp", "invoices_create", "invoices_delete", "invoices_export", "invoices_get", "invoices_history",
		"invoices_list", "invoices_overdue", "invoices_report", "invoices_restore", "invoices_status", "invoices_summary", "invoices_update",
		"invoices_zone", "logins_list", "sessions_list", "tenants_list", "tenants_members", "tenants_status", "tenants_update",
		"users_password", "users_status", "users_unlock",
	}
	flagged = []string{"audit_list", "auth_keys", "operator", "users_create", "users_delete", "users_history", "users_list", "users_restore", "users_update"}
)

// oneOf returns n, for tests that try every nth pair of a script and a generation; 1 with TEST_ALL_PAIRS, which make
// test-versions sets.
func oneOf(n int) int {
	if os.Getenv("TEST_ALL_PAIRS") != "" {
		return 1
	}
	return n
}

// TestFoundDatabasesRunScripts runs scripts of commands on the generations with an audit log as other software left
// them, each on half of them. In a short run every twelfth runs.
func TestFoundDatabasesRunScripts(t *testing.T) {
	t.Parallel()
	every := oneOf(2)
	if testing.Short() {
		every = 12
	}
	for k, g := range generations.Tried() {
		if g.Audit == "" { // every change is refused there: see as_found
			continue
		}
		names := foundScripts
		if g.UserFlag != "" {
			names = slices.Concat(foundScripts, flagged)
		}
		var share []string
		for i, name := range names {
			if (i+3*k)%every == 0 {
				share = append(share, "testdata/script/"+name+".txtar")
			}
		}
		w := world{name: g.Name, template: g.With(g.Rows, "").With(lenient(g), "").Template(), macros: newMacros(g), facts: facts(g)}
		t.Run(g.Name, func(t *testing.T) { runScripts(t, w, share) })
	}
}

// TestAdoptedDatabases runs the scripts of the commands on the generations after migrate up, each on a quarter of them:
// those of the nouns, since the others do not depend on the tables. In a short run every 45th runs.
func TestAdoptedDatabases(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{"users_*", "invoices_*", "tenants_*", "audit_*", "auth_*", "roles_*", "sessions_*", "logins_*", "operator", "protected"} {
		matches, err := filepath.Glob("testdata/script/" + pattern + ".txtar")
		if err != nil || len(matches) == 0 {
			t.Fatalf("no scripts %s: %v", pattern, err)
		}
		files = append(files, matches...)
	}
	every := oneOf(4)
	if testing.Short() {
		every = 45
	}
	for k, g := range generations.Tried() {
		var share []string
		for i, f := range files {
			if (i+5*k)%every == 0 {
				share = append(share, f)
			}
		}
		t.Run(g.Name, func(t *testing.T) { runScripts(t, adopted(g), share) })
	}
}

// TestClosedAccounts runs every way to close an account on every generation, as other software left it and after
// migrate up.
func TestClosedAccounts(t *testing.T) {
	if testing.Short() {
		t.Skip("runs on every generation; the scripts of the commands close accounts")
	}
	t.Parallel()
	scripts := []string{"testdata/generation/accounts.txtar", "testdata/generation/accounts_import.txtar"}
	t.Run("ours", func(t *testing.T) { runScripts(t, ours(), scripts) })
	for _, g := range generations.Tried() {
		t.Run(g.Name+"/found", func(t *testing.T) { runScripts(t, found(g), scripts[:1]) }) // an import needs migrate up
		t.Run(g.Name+"/adopted", func(t *testing.T) { runScripts(t, adopted(g), scripts) })
	}
}
