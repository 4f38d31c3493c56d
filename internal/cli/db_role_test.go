package cli

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The script that migrate roles prints makes roles that operators are known by, that can do their work, and
// that cannot touch what the audit log holds.
func TestOperatorsByDatabaseRole(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	name := "op-" + strings.ToLower(rand.Text()) // roles are the whole server's
	exec := func(sql string) {
		t.Helper()
		if _, err := query(t.Context(), pair.Manager, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`UPDATE idam.users SET username = '` + name + `', user_type = 'MASTER' WHERE username = 'ada'`)
	exec(`UPDATE idam.users SET status = 'INACTIVE' WHERE username = 'admin'`) // else it becomes a role here
	code, script := within(t, pair, nil, "migrate", "roles")
	if code != 0 || strings.Contains(script, "admin") {
		t.Fatalf("exit code %d: %s", code, script)
	}
	t.Cleanup(func() {
		_, _ = query(context.Background(), pair.Manager, `DROP OWNED BY cxgctl_operators; DROP ROLE "`+name+`"`)
	})
	exec(script)
	exec(script) // it may run again
	dir := t.TempDir()
	profile := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(profile, []byte("profile: p\nprofiles:\n  p:\n    auth: {require: db_role}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("user", name)
	u.User, u.RawQuery = nil, q.Encode()
	as := map[string]string{"CXGCTL_MANAGER_DATABASE_URL": u.String()}
	run := func(want int, says string, args ...string) {
		t.Helper()
		if got, out := within(t, pair, as, append(args, "--config", profile)...); got != want || !strings.Contains(out, says) {
			t.Errorf("%q: exit code %d, want %d and %q\n%s", args, got, want, says, out)
		}
	}
	run(0, name+",db_role", "auth", "whoami", "-o", "csv", "--columns", "username,method")
	run(0, "", "users", "update", "admin", "--phone", "1")
	run(0, "", "users", "create", "--username", "newcomer", "--email", "n@example.com", "--full-name", "N", "--no-password")
	run(6, "and the database role is of", "users", "list", "--operator", "admin")
	got := ask(t, pair.Manager, `SELECT string_agg(DISTINCT (extra_data->>'auth_method') || ' ' || (extra_data->>'session_user'), ',') FROM audt.audit_logs WHERE result = 'SUCCESS'`)
	if got != "db_role "+name {
		t.Errorf("audit rows say %s", got)
	}
	for _, sql := range []string{`UPDATE audt.audit_logs SET result = 'FAILURE'`, `DELETE FROM audt.audit_logs`, `TRUNCATE audt.audit_logs`, `DELETE FROM idam.users`} {
		if _, err := query(t.Context(), u.String(), sql); err == nil {
			t.Errorf("the operator's role may %s", sql)
		}
	}
	exec(`UPDATE idam.users SET status = 'SUSPENDED' WHERE username = '` + name + `'`)
	run(6, "has status SUSPENDED", "users", "list")
	delete(as, "CXGCTL_MANAGER_DATABASE_URL")
	run(6, "the database role is no operator's name", "users", "list")
}
