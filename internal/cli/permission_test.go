package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/password"
)

// withoutOperator are the commands that run without an operator. keygen does not use a database.
var withoutOperator = []string{"dev", "doctor", "config", "docs", "exports", "help", "version", "completion", "migrate", "auth bootstrap", "auth login", "audit keygen"}

func TestEveryCommandHasASpec(t *testing.T) {
	code := regexp.MustCompile(`^[A-Z]+(_[A-Z]+)+$`)
	env := &cmdutil.Env{Getenv: os.Getenv}
	cmdutil.Leaves(newRoot(env), func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "cxgctl ")
		isFor := slices.ContainsFunc(withoutOperator, func(p string) bool { return path == p || strings.HasPrefix(path, p+" ") })
		spec := env.SpecOf(cmd)
		switch what := spec.Permission; {
		case what == "" && cmd.Run == nil && cmd.RunE == nil: // help topic
		case what == "":
			t.Errorf("%q has no Spec: call specify where it is built", path)
		case isFor != (what == cmdutil.NoOperator):
			t.Errorf("%q requires %s; withoutOperator disagrees", path, what)
		case what != cmdutil.NoOperator && what != cmdutil.AnyOperator && !code.MatchString(what):
			t.Errorf("%q requires %q, which is not a permission code", path, what)
		case what != cmdutil.NoOperator && spec.Resource == "":
			t.Errorf("%q does not state what its audit rows are about", path)
		case cmd.Flags().Lookup("max-affected") != nil && spec.Audit != cmdutil.Always:
			t.Errorf("%q changes rows, but its Spec does not state that it writes audit rows", path)
		}
	})
}

// runInProcess runs a command in this process, on pooled connections and with its own environment. It returns the exit
// code and the output.
func runInProcess(t *testing.T, pair dbtest.Pair, more map[string]string, args ...string) (int, string) {
	t.Helper()
	code, out, errOut := runForStreams(t, pair, more, args...)
	return code, out + errOut
}

// runForStreams is runInProcess with the two streams apart.
func runForStreams(t *testing.T, pair dbtest.Pair, more map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	home := t.TempDir()
	vars := map[string]string{"HOME": home, "CXGCTL_MANAGER_DATABASE_URL": pair.Manager, "CXGCTL_TENANTS_DATABASE_URL": pair.Tenants}
	for name, value := range more {
		vars[name] = value
	}
	t.Cleanup(func() { running.recall(pair.Manager) })
	var out, errOut bytes.Buffer
	env := &cmdutil.Env{
		Context: context.Background(), Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut,
		Getenv: func(name string) string { return vars[name] }, OpenDB: running.lend,
	}
	code = runAndForget(env)
	return code, out.String(), errOut.String()
}

// usable are valid arguments and flags of commands for which they do not follow from the usage line.
var usable = map[string][]string{
	"auth token":       {"--create", "--name", "x", "--permissions", "API_KEY_CREATE"},
	"invoices overdue": {"--mark"},
}

// invocation returns a command line that reaches the database, with --dry-run if possible.
func invocation(cmd *cobra.Command) []string {
	path := strings.TrimPrefix(cmd.CommandPath(), "cxgctl ")
	args := strings.Fields(path)
	words := strings.Fields(cmd.Use)[1:]
	for i, w := range words {
		if w == "|" {
			break
		}
		if i > 0 && strings.HasPrefix(strings.TrimLeft(words[i-1], "["), "--") || w != strings.ToUpper(w) || strings.ContainsAny(w, "-[") {
			continue
		}
		switch strings.Trim(w, "…|-") {
		case "": // only an ellipsis
		case "ID":
			args = append(args, "00000000-0000-4000-8000-0000000000ad")
		case "ROLE":
			args = append(args, "EMPTY")
		default:
			args = append(args, "ada")
		}
	}
	args = append(args, usable[path]...)
	_ = cmd.ValidateArgs(nil) // may require more flags
	for _, name := range cliflag.Missing(cmd) {
		args = append(args, "--"+name+"="+sampleOf(cmd.Flags().Lookup(name)))
	}
	if cmd.Flags().Lookup("dry-run") != nil {
		args = append(args, "--dry-run")
	}
	return args
}

// matrix is a database with the operators of the deny matrix: for every code in use lacks.CODE, with all other
// permissions, and only.CODE, with only this one.
const matrix = `
INSERT INTO idam.users (id, username, email, full_name, user_type, status, locked_until, is_active)
SELECT md5(n)::uuid, n, n || '@example.com', n, CASE n WHEN 'tenant' THEN 'TENANT' WHEN 'locked' THEN 'MASTER' ELSE 'SYSTEM' END,
       CASE n WHEN 'off' THEN 'LOCKED' ELSE 'ACTIVE' END, CASE n WHEN 'locked' THEN now() + interval '1 day' END, n <> 'deleted'
  FROM unnest(ARRAY['tenant', 'locked', 'off', 'deleted', 'idle']) AS n;
INSERT INTO idam.users (id, username, email, full_name, user_type)
SELECT md5(k || p.code)::uuid, k || '.' || p.code, k || '.' || p.code || '@example.com', 'X', 'SYSTEM'
  FROM idam.permissions p CROSS JOIN (VALUES ('lacks'), ('only')) AS v (k);
INSERT INTO idam.roles (id, code, name, category, level, scope)
SELECT md5('role' || k || p.code)::uuid, upper(k) || ' ' || p.code, 'X', 'PLATFORM_SUPPORT', 50, 'GLOBAL'
  FROM idam.permissions p CROSS JOIN (VALUES ('lacks'), ('only')) AS v (k);
INSERT INTO idam.roles (code, name, category, level, scope) VALUES ('EMPTY', 'X', 'PLATFORM_SUPPORT', 60, 'GLOBAL');
INSERT INTO idam.role_permissions (role_id, permission_id)
SELECT md5('role' || k || p.code)::uuid, q.id
  FROM idam.permissions p CROSS JOIN (VALUES ('lacks'), ('only')) AS v (k) JOIN idam.permissions q ON (q.code = p.code) = (k = 'only');
INSERT INTO idam.user_roles (user_id, role_id)
SELECT md5(k || p.code)::uuid, md5('role' || k || p.code)::uuid
  FROM idam.permissions p CROSS JOIN (VALUES ('lacks'), ('only')) AS v (k);
INSERT INTO idam.sessions (session_id, user_id, session_type, ip_address, expires_at)
SELECT '%s', md5('idle')::uuid, 'API', '127.0.0.1', now() - interval '1 second'`

// refusals is the number of operators that no command accepts. In a short run each command has one of them.
const refusals = 7

const oneOfTwo = "one of two permissions"

func TestPermissions_DenyMatrix(t *testing.T) {
	t.Parallel()
	pair := withAda(t)
	const token = "cxgl_of-a-login-that-is-over"
	sum := sha256.Sum256([]byte(token))
	if _, err := query(t.Context(), pair.Manager, fmt.Sprintf(matrix, hex.EncodeToString(sum[:]))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	const users = `SELECT md5(string_agg(u::text, ',' ORDER BY id)) FROM idam.users u`
	before := ask(t, pair.Manager, users)
	var wg sync.WaitGroup
	var blocked, commands int
	lanes := make(chan struct{}, 4)
	env := &cmdutil.Env{Getenv: os.Getenv}
	cmdutil.Leaves(newRoot(env), func(cmd *cobra.Command) {
		need := env.SpecOf(cmd).Permission
		if need == cmdutil.NoOperator || need == "" {
			return
		}
		args := invocation(cmd)
		if args[0] == "auth" && args[1] == "token" {
			need = "API_KEY_CREATE"
		}
		type row struct {
			name string
			env  map[string]string
			want int
			says string
		}
		named := func(name string) map[string]string { return map[string]string{"CXGCTL_OPERATOR": name} }
		rows := []row{
			{"no operator", nil, 6, "no operator given"},
			{"unknown name", named("ghost"), 6, "does not exist"},
			{"wrong kind", named("tenant"), 6, "is of type TENANT"},
			{"locked for a while", named("locked"), 6, "is locked until"},
			{"locked", named("off"), 6, "has status LOCKED"},
			{"deleted", named("deleted"), 6, "is deleted"},
			{"expired login", map[string]string{"CXGCTL_TOKEN_FILE": file}, 6, `the login of "idle" has expired`},
			{"sufficient", named("only." + need), 0, ""},
		}
		if need == cmdutil.AnyOperator {
			rows[len(rows)-1].env = named("only.USER_LIST")
		} else {
			rows = append(rows, row{"missing permission", named("lacks." + need), 7, "lacks the permission " + need})
		}
		if args[0] == "keys" && args[1] == "rotate" {
			rows[len(rows)-2] = row{oneOfTwo, named("only." + need), 7, "lacks the permission API_KEY_DELETE"}
		}
		commands++
		for i, r := range rows {
			if testing.Short() && i < refusals && i != commands%refusals {
				continue
			}
			if r.want != 0 && r.env != nil && r.name != oneOfTwo { // refused in a dry run, which is not recorded
				blocked++
			}
			wg.Go(func() {
				lanes <- struct{}{}
				defer func() { <-lanes }()
				got, out := runInProcess(t, pair, r.env, args...)
				switch {
				case r.want == 0 && (got == 6 || got == 7):
					if args[1] != "logout" || !strings.Contains(out, "not logged in") {
						t.Errorf("%s, %q: exit code %d\n%s", r.name, args, got, out)
					}
				case r.want != 0 && (got != r.want || !strings.Contains(out, r.says)):
					t.Errorf("%s, %q: exit code %d, want %d and %q\n%s", r.name, args, got, r.want, r.says, out)
				}
			})
		}
	})
	wg.Wait()
	if ask(t, pair.Manager, users) != before {
		t.Error("a user changed")
	}
	got := ask(t, pair.Manager, `SELECT count(*) FILTER (WHERE result = 'BLOCKED' AND risk_level = 'HIGH') || ' ' || count(*) FILTER (WHERE result = 'SUCCESS' AND event_type <> 'DATA_ACCESS') FROM audt.audit_logs`)
	if want := fmt.Sprint(blocked, " 0"); got != want {
		t.Errorf("BLOCKED and SUCCESS rows: %s, want %s", got, want)
	}
}

// Two MASTERs who lock or demote each other at once: one of them stays.
func TestLastMaster_ConcurrentChanges(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	const second = `
INSERT INTO idam.users (id, username, email, full_name, user_type) VALUES ('00000000-0000-4000-8000-000000000002', 'other', 'other@cxg.example', 'Other', 'MASTER')`
	const fill = `
UPDATE idam.users SET status = 'ACTIVE', is_active = true WHERE user_type = 'MASTER';
DELETE FROM idam.user_roles;
INSERT INTO idam.user_roles (user_id, role_id) SELECT u.id, r.id FROM idam.users u, idam.roles r WHERE u.user_type = 'MASTER' AND r.code = 'SUPER_ADMIN'`
	const left = `
SELECT count(*) FROM idam.users u JOIN idam.user_roles ur ON ur.user_id = u.id WHERE u.user_type = 'MASTER' AND u.status = 'ACTIVE' AND u.is_active AND ur.status = 'ACTIVE'`
	if _, err := query(t.Context(), pair.Manager, second); err != nil {
		t.Fatal(err)
	}
	rounds := 5
	if testing.Short() {
		rounds = 1
	}
	for _, attack := range [][]string{
		{"users", "status", "VICTIM", "--set", "SUSPENDED"},
		{"users", "update", "VICTIM", "--status", "INACTIVE"},
		{"users", "delete", "VICTIM", "--yes"},
		{"roles", "revoke", "SUPER_ADMIN", "VICTIM", "--yes"},
	} {
		for range rounds {
			if _, err := query(t.Context(), pair.Manager, fill); err != nil {
				t.Fatal(err)
			}
			codes := make([]int, 2)
			outs := make([]string, 2)
			var wg sync.WaitGroup
			for i, who := range []string{"admin", "other"} {
				victim := []string{"other", "admin"}[i]
				wg.Go(func() {
					args := strings.Split(strings.ReplaceAll(strings.Join(attack, "\x00"), "VICTIM", victim), "\x00")
					codes[i], outs[i] = runInProcess(t, pair, map[string]string{"CXGCTL_OPERATOR": who}, args...)
				})
			}
			wg.Wait()
			slices.Sort(codes)
			// The second command is refused: it would remove the last MASTER, or its operator is disabled by then.
			if codes[0] != 0 || codes[1] != 7 && codes[1] != 6 {
				t.Errorf("%q by both at once: exit codes %v\n%s\n%s", attack, codes, outs[0], outs[1])
			}
			if n := ask(t, pair.Manager, left); n != "1" {
				t.Errorf("%q by both at once leaves %s MASTERs", attack, n)
			}
		}
	}
}

// A command that waits for a lock loses the permission if the role is revoked, and keeps it if the revocation is
// rolled back.
func TestPermissions_GrantRevokedWhileWaiting(t *testing.T) {
	t.Parallel()
	for end, code := range map[string]int{"COMMIT": 7, "ROLLBACK": 0} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			pair := withAda(t)
			if _, err := query(t.Context(), pair.Manager, `INSERT INTO idam.user_roles (user_id, role_id) SELECT u.id, r.id FROM idam.users u, idam.roles r
				WHERE u.username IN ('admin', 'ada') AND r.code = 'SUPER_ADMIN'; UPDATE idam.users SET user_type = 'MASTER' WHERE username = 'ada'`); err != nil {
				t.Fatal(err)
			}
			conn, err := pgx.Connect(t.Context(), pair.Manager)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(context.Background()) }()
			if _, err := conn.Exec(t.Context(), `BEGIN; UPDATE idam.user_roles g SET status = 'INACTIVE' FROM idam.users u WHERE u.id = g.user_id AND u.username = 'admin'`); err != nil {
				t.Fatal(err)
			}
			p := cxgctl(t, pair, "users", "update", "ada", "--phone", newPhone).start(t)
			eventually(t, pair.Manager, waits) // for the row of the grant
			if _, err := conn.Exec(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			if got := p.exit(t); got != code {
				t.Errorf("exit code %d, want %d: %s", got, code, p.err.String())
			}
			if code == 0 {
				changed(t, pair.Manager)
				return
			}
			p.says(t, "lacks the permission USER_UPDATE")
			if got := ask(t, pair.Manager, `SELECT phone FROM idam.users WHERE username = 'ada'`); got != "old" {
				t.Errorf("phone is %s", got)
			}
			if got := ask(t, pair.Manager, `SELECT string_agg(result, ' ') FROM audt.audit_logs`); got != "BLOCKED" {
				t.Errorf("audit rows: %s", got)
			}
		})
	}
}

// Concurrent guesses do not exceed the limit, and do not reveal a correct guess.
func TestLogin_ConcurrentGuessesLockAccount(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	hash, err := password.Hash("Canary-Horse-1", bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := query(t.Context(), pair.Manager, `UPDATE idam.users SET password = '`+hash+`'`); err != nil {
		t.Fatal(err)
	}
	const guesses = 12
	var wg sync.WaitGroup
	for range guesses {
		wg.Go(func() {
			if code := guess(t, pair, "Canary-Horse-2"); code != 6 {
				t.Errorf("a wrong password: exit code %d", code)
			}
		})
	}
	wg.Wait()
	got := ask(t, pair.Manager, `SELECT concat_ws(' ', failed_login_attempts, locked_until > now(), (SELECT count(*) FROM idam.login_logs), (SELECT count(*) FROM audt.audit_logs WHERE result = 'BLOCKED')) FROM idam.users`)
	if got != "5 t 12 12" {
		t.Errorf("count, lock, logins and BLOCKED rows: %s, want 5 t 12 12", got)
	}
	if code := guess(t, pair, "Canary-Horse-1"); code != 6 {
		t.Errorf("the right password on a locked account: exit code %d", code)
	}
	if n := ask(t, pair.Manager, `SELECT count(*) FROM idam.sessions`); n != "0" {
		t.Errorf("%s sessions", n)
	}
}

func guess(t *testing.T, pair dbtest.Pair, pw string) int {
	p := cxgctl(t, pair, "auth", "login", "--username", "admin", "--password-stdin").in(pw + "\n")
	return p.code(t)
}
