package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
)

// asPsql runs a script like psql, including the results of queries before \gexec.
func asPsql(t *testing.T, dsn, script string) {
	t.Helper()
	exec := func(sql string) [][]string {
		t.Helper()
		rows, err := query(t.Context(), dsn, sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return rows
	}
	for line := range strings.Lines(script) {
		sql, generates := strings.CutSuffix(strings.TrimSpace(line), `\gexec`)
		switch {
		case strings.HasPrefix(line, `\set`), sql == "BEGIN;", sql == "COMMIT;":
		case generates:
			for _, row := range exec(sql) {
				exec(row[0])
			}
		default:
			exec(sql)
		}
	}
}

// The script has the expected statements and no others, whatever the names of users are.
func TestMigrateRoles_HostileNames(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	hostile := []string{
		"a$$$;ROLLBACK;ALTER/**/ROLE/**/lowly/**/SUPERUSER;--", "$$", "$a$", "a'b", `a\'b`, `a"b`, `a\`, "a\nDROP TABLE x;", "a\r\\! id", "a/*b", "a;b",
		":name", `\gexec`, "%I", "pg_read_all_data", "public", "none", "cxgctl_operators", "a b", "ä", strings.Repeat("x", 64),
	}
	plain := []string{"eve", "a--b", "e.v-e+1@example_1", "-e", "..", strings.Repeat("y", 63)}
	for i, name := range append(hostile, plain...) {
		sql := fmt.Sprintf(`INSERT INTO idam.users (username, email, full_name, user_type) VALUES (%s, 'h%d@example.com', 'X', 'SYSTEM')`, "E'"+strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`, "\r", `\r`).Replace(name)+"'", i)
		if _, err := query(t.Context(), pair.Manager, sql); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	}
	home := t.TempDir()
	var out, notes bytes.Buffer
	env := &cmdutil.Env{
		Context: t.Context(), Args: []string{"migrate", "roles"}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &notes,
		Getenv: func(name string) string {
			return map[string]string{"HOME": home, "CXGCTL_MANAGER_DATABASE_URL": pair.Manager}[name]
		},
		OpenDB: running.lend,
	}
	t.Cleanup(func() { running.recall(pair.Manager) })
	if code := runAndForget(env); code != 0 {
		t.Fatalf("exit code %d: %s", code, notes.String())
	}
	const word = `[A-Za-z0-9_.@+-]{1,63}`
	statement := regexp.MustCompile(`^(--[^\n]*|\\set ON_ERROR_STOP on|BEGIN;|SET LOCAL search_path = pg_catalog;|COMMIT;|(GRANT|REVOKE) [A-Za-z0-9_ ,().*"]+;` +
		`|SELECT pg_catalog\.format\('CREATE ROLE %I (NO)?LOGIN', '(` + word + `)'\) WHERE NOT EXISTS \(SELECT FROM pg_catalog\.pg_roles WHERE rolname = '(` + word + `)'\) \\gexec` +
		`|SELECT pg_catalog\.format\('GRANT cxgctl_operators TO %I', '(` + word + `)'\) \\gexec)$`)
	made := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		m := statement.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Errorf("a line that is not a statement of the script: %q", line)
			continue
		}
		if m[4] != m[5] {
			t.Errorf("two names: %q", line)
		}
		made[m[6]] = true
	}
	for _, name := range hostile {
		if made[name] || !strings.Contains(notes.String(), "skipped operator") {
			t.Errorf("%q is in the script, or not named", name)
		}
	}
	for _, name := range plain {
		if !made[name] {
			t.Errorf("%q is not in the script", name)
		}
	}
	if n := strings.Count(notes.String(), "skipped operator"); n != len(hostile) {
		t.Errorf("%d names are skipped, want %d: %s", n, len(hostile), notes.String())
	}
}

// The script of migrate roles creates database roles that identify operators, suffice for their work, and cannot change
// audit rows.
func TestMigrateRoles_SufficeForOperators(t *testing.T) {
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
	code, script := runInProcess(t, pair, nil, "migrate", "roles")
	if code != 0 || strings.Contains(script, "admin") {
		t.Fatalf("exit code %d: %s", code, script)
	}
	t.Cleanup(func() {
		_, _ = query(context.Background(), pair.Manager, `DROP OWNED BY cxgctl_operators; DROP ROLE "`+name+`"`)
	})
	asPsql(t, pair.Manager, script)
	asPsql(t, pair.Manager, script) // it may run again
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
		if got, out := runInProcess(t, pair, as, append(args, "--config", profile)...); got != want || !strings.Contains(out, says) {
			t.Errorf("%q: exit code %d, want %d and %q\n%s", args, got, want, says, out)
		}
	}
	run(0, name+",db_role", "auth", "whoami", "-o", "csv", "--columns", "username,method")
	run(0, "", "users", "update", "admin", "--phone", "1")
	run(0, "", "users", "create", "--username", "newcomer", "--email", "n@example.com", "--full-name", "N", "--no-password")
	run(6, "but the database role belongs to", "users", "list", "--operator", "admin")
	got := ask(t, pair.Manager, `SELECT string_agg(DISTINCT (extra_data->>'auth_method') || ' ' || (extra_data->>'session_user'), ',') FROM audt.audit_logs WHERE result = 'SUCCESS'`)
	if got != "db_role "+name {
		t.Errorf("audit rows say %s", got)
	}
	for _, sql := range []string{`UPDATE audt.audit_logs SET result = 'FAILURE'`, `DELETE FROM audt.audit_logs`, `TRUNCATE audt.audit_logs`, `DELETE FROM idam.users`} {
		if _, err := query(t.Context(), u.String(), sql); err == nil {
			t.Errorf("the operator's role may %s", sql)
		}
	}
	// The role has the rights for everything that a command reads or changes.
	exec(`INSERT INTO idam.user_roles (user_id, role_id) SELECT u.id, r.id FROM idam.users u, idam.roles r WHERE u.username = '` + name + `' AND r.code = 'SUPER_ADMIN'`)
	env := &cmdutil.Env{Getenv: os.Getenv}
	cmdutil.Leaves(newRoot(env), func(cmd *cobra.Command) {
		if what := env.SpecOf(cmd).Permission; what == "" || what == cmdutil.NoOperator && cmd.CommandPath() != "cxgctl migrate status" {
			return
		}
		if got, out := runInProcess(t, pair, as, append(invocation(cmd), "--config", profile)...); got == 8 && strings.Contains(out, "lacks a privilege") {
			t.Errorf("%s: %s", cmd.CommandPath(), out)
		}
	})
	exec(`UPDATE idam.users SET status = 'SUSPENDED' WHERE username = '` + name + `'`)
	run(6, "has status SUSPENDED", "users", "list")
	delete(as, "CXGCTL_MANAGER_DATABASE_URL")
	run(6, "the database role does not match an operator's username", "users", "list")
}
