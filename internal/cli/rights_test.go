package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// operators inserts users for the permission tests, with permissions enforced. boss and boss2 hold SUPER_ADMIN, mid and
// sys PLATFORM_SUPPORT with all permissions, peer a role of the same level, bare none.
const operators = `
INSERT INTO idam.users (id, username, email, full_name, user_type, phone, mfa_enabled, password, department)
SELECT md5(n)::uuid, n, n || '@example.com', n, t, '1', true, 'x', 'Desk'
  FROM (VALUES ('boss', 'MASTER'), ('boss2', 'MASTER'), ('mid', 'MASTER'), ('sys', 'SYSTEM'), ('peer', 'MASTER'), ('bare', 'SYSTEM'), ('plain', 'TENANT'), ('plain2', 'TENANT')) AS v (n, t);
INSERT INTO idam.roles (id, code, name, category, level, scope) VALUES
  (md5('R_ALL')::uuid, 'R_ALL', 'X', 'PLATFORM_SUPPORT', 60, 'GLOBAL'), (md5('R_PEER')::uuid, 'R_PEER', 'X', 'PLATFORM_SUPPORT', 50, 'GLOBAL'),
  (md5('R_WEAK')::uuid, 'R_WEAK', 'X', 'PLATFORM_SUPPORT', 150, 'GLOBAL');
INSERT INTO idam.role_permissions (role_id, permission_id) SELECT md5('R_ALL')::uuid, id FROM idam.permissions;
INSERT INTO idam.user_roles (user_id, role_id)
SELECT md5(n)::uuid, r.id
  FROM (VALUES ('boss', 'SUPER_ADMIN'), ('boss2', 'SUPER_ADMIN'), ('mid', 'PLATFORM_SUPPORT'), ('mid', 'R_ALL'), ('sys', 'PLATFORM_SUPPORT'), ('sys', 'R_ALL'), ('peer', 'R_PEER'), ('plain2', 'R_WEAK')) AS v (n, c)
  JOIN idam.roles r ON r.code = v.c;
INSERT INTO idam.sessions (session_id, user_id, session_type, ip_address, expires_at)
SELECT 's-' || username, id, 'WEB', '127.0.0.1', now() + interval '1 day' FROM idam.users;
INSERT INTO idam.api_keys (key_id, key_hash, key_name, user_id, scopes, status)
SELECT 'k-' || username, username, 'key-' || username, id, '{USER_LIST}', 'ACTIVE' FROM idam.users`

func withOperators(t *testing.T) dbtest.Pair {
	t.Helper()
	pair := dbtest.New(t, migrated)
	if _, err := query(t.Context(), pair.Manager, operators); err != nil {
		t.Fatal(err)
	}
	return pair
}

// Kind 45 (H3a, H3b): weaker operators cannot change anything that affects access to an account, with any command. In a
// short run each command is run by one of the two operators.
func TestRank_StrongerAccountsAreProtected(t *testing.T) {
	t.Parallel()
	pair := withOperators(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// Each command starts from the state that operators inserts, deleted or locked if the command changes that.
	const reset = `
UPDATE idam.users SET status = 'ACTIVE', is_active = true, locked_until = NULL, failed_login_attempts = 0, email = username || '@example.com', phone = '1',
       mfa_enabled = true, password = 'x', force_password_change = false, email_verified = false, phone_verified = false, department = 'Desk' WHERE username <> 'admin';
UPDATE idam.sessions SET status = 'ACTIVE'; UPDATE idam.api_keys SET status = 'ACTIVE';
UPDATE idam.user_roles SET status = 'ACTIVE'`
	imported := func(column, value string) []string {
		return []string{"users", "import", "IMPORT " + column + " " + value, "--on-conflict", "update", "-y"}
	}
	commands := []struct {
		name, before string
		args         []string
		open         bool // the permission suffices
	}{
		{"email", "", []string{"users", "update", "VICTIM", "--email", "VICTIM@example.org"}, false},
		{"phone", "", []string{"users", "update", "VICTIM", "--phone", "2"}, false},
		{"phone taken away", "", []string{"users", "update", "VICTIM", "--unset", "phone"}, false},
		{"mfa", "", []string{"users", "update", "VICTIM", "--mfa=false"}, false},
		{"status by update", "", []string{"users", "update", "VICTIM", "--status", "SUSPENDED"}, false},
		{"status", "", []string{"users", "status", "VICTIM", "--set", "LOCKED"}, false},
		{"delete", "", []string{"users", "delete", "VICTIM", "-y"}, false},
		{"restore", `UPDATE idam.users SET is_active = false WHERE username = 'VICTIM'`, []string{"users", "restore", "VICTIM"}, false},
		{"unlock", `UPDATE idam.users SET failed_login_attempts = 3 WHERE username = 'VICTIM'`, []string{"users", "unlock", "VICTIM"}, false},
		{"unlock a lock", `UPDATE idam.users SET locked_until = now() + interval '1 hour' WHERE username = 'VICTIM'`, []string{"users", "unlock", "VICTIM"}, false},
		{"unlock by filter", `UPDATE idam.users SET locked_until = now() + interval '1 hour' WHERE username = 'VICTIM'`, []string{"users", "unlock", "--locked", "-y"}, false},
		{"password", "", []string{"users", "password", "VICTIM", "--generate-password", "--password-out", "OUT"}, false},
		{"no password", "", []string{"users", "password", "VICTIM", "--no-password"}, false},
		{"imported email", "", imported("email", "VICTIM@example.org"), false},
		{"imported phone", "", imported("phone", "2"), false},
		{"imported mfa", "", imported("mfa_enabled", "false"), false},
		{"imported status", "", imported("status", "SUSPENDED"), false},
		{"imported type", "", imported("user_type", "TENANT"), false},
		{"imported verification", "", imported("email_verified", "true"), false},
		{"imported verified phone", "", imported("phone_verified", "true"), false},
		{"imported change of password", "", imported("force_password_change", "true"), false},
		{"imported hash", "", imported("password_hash", "$2a$10$W.kgolMdWtznT4et4KL0iONE0ES6qFM4VJRBVJOjo/4vkqui21y/K"), false},
		{"sessions", "", []string{"sessions", "revoke", "--user", "VICTIM", "-y"}, false},
		{"key", "", []string{"keys", "revoke", "key-VICTIM", "-y"}, false},
		{"weak role given", "", []string{"roles", "grant", "R_ALL", "VICTIM"}, false},
		{"department", "", []string{"users", "update", "VICTIM", "--department", "Other"}, true},
		{"full name", "", []string{"users", "update", "VICTIM", "--full-name", "Other"}, true},
		{"time zone", "", []string{"users", "update", "VICTIM", "--timezone", "Asia/Seoul"}, true},
		{"locale", "", []string{"users", "update", "VICTIM", "--locale", "en-GB"}, true},
		{"imported position", "", imported("position", "Other"), true},
	}
	for i, c := range commands {
		for k, by := range []string{"mid", "sys"} {
			if testing.Short() && k != i%2 {
				continue
			}
			for victim, strength := range map[string]string{"boss": "stronger", "peer": "equal", "plain2": "weaker"} {
				if victim == "peer" && by == "sys" {
					continue // only MASTERs change a MASTER's password, e-mail and name
				}
				for _, sql := range []string{reset, c.before} {
					if _, err := query(t.Context(), pair.Manager, strings.ReplaceAll(sql, "VICTIM", victim)); err != nil && sql != "" {
						t.Fatal(err)
					}
				}
				args := make([]string, len(c.args))
				for k, arg := range c.args {
					if spec, ok := strings.CutPrefix(arg, "IMPORT "); ok {
						column, value, _ := strings.Cut(spec, " ")
						arg = file(fmt.Sprintf("%d-%s-%s.csv", i, by, victim), strings.ReplaceAll("username,"+column+"\nVICTIM,"+value+"\n", "VICTIM", victim))
					}
					if arg == "OUT" {
						arg = filepath.Join(dir, fmt.Sprintf("%d-%s-%s.txt", i, by, victim))
					}
					args[k] = strings.ReplaceAll(arg, "VICTIM", victim)
				}
				want := 0
				if strength == "stronger" && !c.open {
					want = 7
				}
				got, out := runInProcess(t, pair, map[string]string{"CXGCTL_OPERATOR": by}, args...)
				if got != want {
					t.Errorf("%s of a %s account by %s: exit code %d, want %d\n%s", c.name, strength, by, got, want, out)
				}
			}
		}
	}

	// Undo follows the same rules.
	if _, err := query(t.Context(), pair.Manager, strings.ReplaceAll(reset, "VICTIM", "boss")); err != nil {
		t.Fatal(err)
	}
	if got, out := runInProcess(t, pair, map[string]string{"CXGCTL_OPERATOR": "boss2"}, "users", "update", "boss", "--phone", "3"); got != 0 {
		t.Fatalf("exit code %d: %s", got, out)
	}
	id := ask(t, pair.Manager, `SELECT id FROM audt.audit_logs WHERE result = 'SUCCESS' ORDER BY created_at DESC, id DESC LIMIT 1`)
	if got, out := runInProcess(t, pair, map[string]string{"CXGCTL_OPERATOR": "mid"}, "audit", "undo", id, "-y"); got != 7 {
		t.Errorf("undo: exit code %d, want 7\n%s", got, out)
	}
}

// Kind 44 (H2a, H2b): another session revokes a permission while the command waits for its first lock. The command then
// fails, although it had the permission at its start.
func TestPermissions_RevokedWhileWaiting(t *testing.T) {
	t.Parallel()
	const (
		permission = `DELETE FROM idam.role_permissions rp USING idam.permissions p WHERE p.id = rp.permission_id AND p.code = '%s' AND rp.role_id = md5('R_ALL')::uuid`
		role       = `UPDATE idam.user_roles SET status = 'INACTIVE' WHERE user_id = md5('mid')::uuid`
		ended      = `UPDATE idam.user_roles SET expires_at = now() - interval '1 second' WHERE user_id = md5('mid')::uuid`
		level      = `UPDATE idam.user_roles SET status = 'INACTIVE' WHERE user_id = md5('mid')::uuid AND role_id = (SELECT id FROM idam.roles WHERE code = 'SUPER_ADMIN')`
		locked     = `UPDATE idam.users SET status = 'LOCKED' WHERE username = 'mid'`
	)
	dir := t.TempDir()
	file := filepath.Join(dir, "new.csv")
	if err := os.WriteFile(file, []byte("username,email,full_name,roles\nann,ann@example.com,Ann,R_WEAK\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	imports := []string{"users", "import", file, "--no-passwords"}
	for _, c := range []struct {
		name, taken string
		code        int
		args        []string
	}{
		{"the permission", fmt.Sprintf(permission, "USER_DELETE"), 7, []string{"users", "delete", "plain", "-y"}},
		{"the role", role, 7, []string{"users", "unlock", "plain"}},
		{"the grant's time", ended, 7, []string{"users", "password", "plain", "--no-password"}},
		{"a second permission", fmt.Sprintf(permission, "PERMISSION_MANAGE"), 7, imports},
		{"the level", level, 7, []string{"roles", "grant", "SUPER_ADMIN", "plain2"}},
		{"the level over an account", level, 7, []string{"users", "update", "boss", "--phone", "9"}},
		{"the scopes of a key", fmt.Sprintf(permission, "USER_DELETE"), 7, []string{"auth", "token", "--create", "--name", "x", "--permissions", "USER_DELETE"}},
		{"the account", locked, 6, []string{"users", "update", "plain", "--phone", "9"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pair := withOperators(t)
			first := `UPDATE idam.user_roles SET status = 'INACTIVE' WHERE user_id = md5('mid')::uuid AND role_id <> md5('R_ALL')::uuid`
			if c.taken == level {
				first = `INSERT INTO idam.user_roles (user_id, role_id) SELECT md5('mid')::uuid, id FROM idam.roles WHERE code = 'SUPER_ADMIN'`
			}
			if _, err := query(t.Context(), pair.Manager, first); err != nil {
				t.Fatal(err)
			}
			before := ask(t, pair.Manager, countRows)
			conn, err := pgx.Connect(t.Context(), pair.Manager)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(context.Background()) }()
			if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE audt.audit_logs, idam.user_roles IN EXCLUSIVE MODE"); err != nil {
				t.Fatal(err)
			}
			p := cxgctl(t, pair, c.args...).env("CXGCTL_OPERATOR=mid").start(t)
			eventually(t, pair.Manager, waits)
			if _, err := conn.Exec(t.Context(), c.taken+"; COMMIT"); err != nil {
				t.Fatal(err)
			}
			if got := p.exit(t); got != c.code {
				t.Errorf("exit code %d, want %d: %s", got, c.code, p.err.String())
			}
			if after := ask(t, pair.Manager, countRows); after != before {
				t.Errorf("rows changed: %s, before %s", after, before)
			}
			if got := ask(t, pair.Manager, `SELECT string_agg(DISTINCT result, ' ') FROM audt.audit_logs`); got != "BLOCKED" {
				t.Errorf("audit rows: %s", got)
			}
		})
	}
}

// On Citus rights are not locked, but read once the command holds the lock of the seals: another change of them is then
// either committed, or waits. Tables with the names of Citus's catalog are enough for that.
func TestPermissions_RevokedWhileWaitingOnCitus(t *testing.T) {
	t.Parallel()
	pair := withOperators(t)
	const catalog = `SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod "char", partkey text, colocationid int, repmodel "char");
CREATE TABLE pg_catalog.pg_dist_local_group AS SELECT 0 AS groupid`
	if _, err := query(t.Context(), pair.Manager, catalog); err != nil {
		t.Fatal(err)
	}
	change := func(phone string) *process {
		return cxgctl(t, pair, "users", "update", "plain", "--phone", phone).env("CXGCTL_OPERATOR=mid")
	}
	change("2").exits(t, 0)
	conn, err := pgx.Connect(t.Context(), pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "BEGIN; SELECT FROM cxg_audit.head FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	p := change("3").start(t)
	eventually(t, pair.Manager, waits)
	if _, err := conn.Exec(t.Context(), "UPDATE idam.user_roles SET status = 'INACTIVE' WHERE user_id = md5('mid')::uuid; COMMIT"); err != nil {
		t.Fatal(err)
	}
	if got := p.exit(t); got != 7 {
		t.Errorf("exit code %d, want 7: %s", got, p.err.String())
	}
}

// countRows counts the rows that the commands of this test would change.
const countRows = `
SELECT concat_ws(' ', (SELECT count(*) FROM idam.users), (SELECT string_agg(phone || is_active || coalesce(password, '-'), ',' ORDER BY username) FROM idam.users),
       (SELECT count(*) FROM idam.user_roles), (SELECT count(*) FROM idam.api_keys))`

// Kind 43 (H1a, H1b): for a database role that does not own the grants, rows hidden by a policy do not disable
// enforcement, and bootstrap is refused once permissions are enforced.
func TestPermissions_AsAnotherDatabaseRole(t *testing.T) {
	t.Parallel()
	pair := withOperators(t)
	name := "cxg_" + strings.ToLower(rand.Text())
	exec := func(sql string) {
		t.Helper()
		if _, err := query(t.Context(), pair.Manager, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`CREATE ROLE ` + name + ` LOGIN; GRANT USAGE ON SCHEMA idam, audt, cxg_audit, tnnt, bill TO ` + name + `;
		GRANT ALL ON ALL TABLES IN SCHEMA idam, audt, cxg_audit, tnnt, bill TO ` + name)
	t.Cleanup(func() { _, _ = query(context.Background(), pair.Manager, `DROP OWNED BY `+name+`; DROP ROLE `+name) })
	u, err := url.Parse(pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("user", name)
	u.User, u.RawQuery = nil, q.Encode()
	run := func(want int, says string, args ...string) {
		t.Helper()
		env := map[string]string{"CXGCTL_MANAGER_DATABASE_URL": u.String(), "CXGCTL_OPERATOR": "bare"}
		if got, out := runInProcess(t, pair, env, args...); got != want || !strings.Contains(out, says) {
			t.Errorf("%q: exit code %d, want %d and %q\n%s", args, got, want, says, out)
		}
		running.recall(u.String())
	}
	bootstrap := []string{"auth", "bootstrap", "--username", "evil", "--email", "evil@example.com", "--full-name", "Evil", "--no-password"}
	run(7, "lacks the permission USER_DELETE", "users", "delete", "plain", "-y")
	run(4, "an operator already holds SUPER_ADMIN", bootstrap...)
	for _, table := range []string{"idam.user_roles", "idam.users", "idam.roles", "idam.role_permissions", "idam.permissions", "cxg_audit.enforcement"} {
		exec(`ALTER TABLE ` + table + ` ENABLE ROW LEVEL SECURITY`)
		run(8, "", "users", "delete", "plain", "-y")
		run(8, "", "users", "list")
		exec(`ALTER TABLE ` + table + ` DISABLE ROW LEVEL SECURITY`)
	}
	exec(`UPDATE idam.user_roles SET status = 'INACTIVE'`)
	run(7, "does not own idam.user_roles", bootstrap...)
	exec(`DELETE FROM idam.user_roles`)
	run(7, "does not own idam.user_roles", bootstrap...)
	run(7, "lacks the permission USER_DELETE", "users", "delete", "plain", "-y")
	if got := ask(t, pair.Manager, `SELECT count(*) FROM idam.users WHERE username = 'evil' OR username = 'plain' AND NOT is_active`); got != "0" {
		t.Errorf("%s users were made or deleted", got)
	}
	// row_security: true does not apply to permissions.
	profile := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(profile, []byte("profile: p\nprofiles:\n  p:\n    row_security: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	exec(`ALTER TABLE idam.user_roles ENABLE ROW LEVEL SECURITY; ALTER TABLE cxg_audit.enforcement ENABLE ROW LEVEL SECURITY`)
	run(8, "", "users", "delete", "plain", "-y", "--config", profile)
}

// Kind 44 (H2b): an import stops at the first batch without a required permission, reports the number of applied rows,
// and continues with the same command once the permission is granted again.
func TestImport_PermissionRevokedBetweenBatches(t *testing.T) {
	if testing.Short() {
		t.Skip("TestPermissions_RevokedWhileWaiting revokes during other commands")
	}
	t.Parallel()
	pair := withOperators(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := query(t.Context(), pair.Manager, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	// The second batch waits in its transaction and still has the permission.
	exec(`CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF EXISTS (SELECT FROM idam.users WHERE username = 'user200') THEN PERFORM pg_advisory_xact_lock(4711); END IF; RETURN NULL; END $$;
		CREATE TRIGGER wait AFTER INSERT ON idam.users FOR EACH STATEMENT EXECUTE FUNCTION wait()`)
	var b strings.Builder
	b.WriteString("username,email,full_name,password,roles\n")
	for i := range 640 {
		fmt.Fprintf(&b, "user%d,user%d@example.com,U,Canary-Horse-1,R_WEAK\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "new.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), `SELECT pg_advisory_lock(4711)`); err != nil {
		t.Fatal(err)
	}
	p := cxgctl(t, pair, "users", "import", file).env("CXGCTL_OPERATOR=mid").start(t)
	eventually(t, pair.Manager, waits)
	taken := make(chan error)
	go func() {
		_, err := query(t.Context(), pair.Manager, `DELETE FROM idam.role_permissions rp USING idam.permissions p WHERE p.id = rp.permission_id AND p.code = 'PERMISSION_MANAGE' AND rp.role_id = md5('R_ALL')::uuid`)
		taken <- err
	}()
	eventually(t, pair.Manager, `SELECT count(*) >= 2 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
	if _, err := conn.Exec(t.Context(), `SELECT pg_advisory_unlock(4711)`); err != nil {
		t.Fatal(err)
	}
	if got := p.exit(t); got != 7 {
		t.Errorf("exit code %d: %s", got, p.err.String())
	}
	p.says(t, "lacks the permission PERMISSION_MANAGE")
	p.says(t, "rows applied by operation")
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	const done = `SELECT (SELECT count(*) FROM idam.users WHERE username ~ '^user[0-9]+$') || ' ' || (SELECT count(*) FROM idam.user_roles WHERE role_id = md5('R_WEAK')::uuid AND user_id <> md5('plain2')::uuid)`
	got := ask(t, pair.Manager, done)
	if made, granted, _ := strings.Cut(got, " "); made != granted || made == "0" || made == "640" {
		t.Errorf("users and grants: %s, want those of whole batches", got)
	}
	exec(`INSERT INTO idam.role_permissions (role_id, permission_id) SELECT md5('R_ALL')::uuid, id FROM idam.permissions WHERE code = 'PERMISSION_MANAGE'`)
	cxgctl(t, pair, "users", "import", file).env("CXGCTL_OPERATOR=mid").exits(t, 0)
	if got := ask(t, pair.Manager, done); got != "640 640" {
		t.Errorf("users and grants: %s, want 640 640", got)
	}
}
