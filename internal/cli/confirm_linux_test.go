package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// confirmations are the commands that a person can be asked about, with the rows they need.
var confirmations = map[string]struct{ before, args string }{
	"auth bootstrap":         {"", "--username first --email first@example.com --full-name First --no-password"},
	"auth token":             {"INSERT INTO idam.permissions (code, name, category, resource, action, scope, applies_to) SELECT 'USER_LIST', 'x', 'USER', 'USER', 'LIST', 'GLOBAL', 'ALL' WHERE NOT EXISTS (SELECT FROM idam.permissions WHERE code = 'USER_LIST')", "--create --name job --permissions USER_LIST --ttl 30d"},
	"users create":           {"", "--username bob --email bob@example.com --full-name Bob --no-password"},
	"users update":           {"", "ada --phone 7"},
	"users password":         {"", "ada --generate-password"},
	"users delete":           {"", "ada"},
	"users restore":          {"UPDATE idam.users SET is_active = false WHERE username = 'ada'", "ada"},
	"users unlock":           {"UPDATE idam.users SET status = 'LOCKED' WHERE username = 'ada'", "ada"},
	"users status":           {"", "ada --set SUSPENDED"},
	"users import":           {"", "FILE --no-passwords"},
	"tenants create":         {"", "--code acme --name Acme"},
	"tenants update":         {tenantAcme, "acme --phone-no 7"},
	"tenants status":         {tenantAcme, "acme --set SUSPENDED --reason unpaid"},
	"tenants members add":    {tenantAcme, "acme ada"},
	"tenants members update": {memberAda, "acme ada --role OWNER"},
	"tenants members remove": {memberAda, "acme ada"},
	"roles grant":            {"", "PLATFORM_SUPPORT ada --expires 90d"},
	"roles revoke":           {"INSERT INTO idam.user_roles (user_id, role_id, scope, status, granted_at) SELECT u.id, r.id, 'GLOBAL', 'ACTIVE', now() FROM idam.users u, idam.roles r WHERE u.username = 'ada' AND r.code = 'TENANT_USER'", "TENANT_USER ada"},
	"sessions revoke":        {"INSERT INTO idam.sessions (session_id, user_id, ip_address, session_type, status, expires_at, last_activity_at, mfa_verified) SELECT 's1', id, '192.0.2.4', 'WEB', 'ACTIVE', now() + interval '1 d', now(), false FROM idam.users WHERE username = 'ada'", "--user ada"},
}

const (
	tenantAcme = "INSERT INTO tnnt.tenants (code, name, type, status, start_date) VALUES ('acme', 'Acme', 'STANDARD', 'ACTIVE', '2026-01-01')"
	memberAda  = tenantAcme + "; INSERT INTO tnnt.tenant_users (tenant_id, user_id, start_date, status) SELECT t.id, u.id, '2026-01-01', 'ACTIVE' FROM tnnt.tenants t, idam.users u WHERE t.code = 'acme' AND u.username = 'ada'"
)

// elsewhere are the mutating commands whose question other tests answer, or that ask none.
var elsewhere = []string{
	"audit undo", "audit prune", "audit reconcile", "audit seal", "auth login", "auth logout", "dev", "invoices", "keys", "migrate",
}

// N1: in a protected profile, on a terminal, a command that is answered with y is done: what it makes up is made once,
// before the difference is shown.
func TestConfirm_EveryCommandThatAsks(t *testing.T) {
	t.Parallel()
	leaves((&app{getenv: os.Getenv}).root(), func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "cxgctl ")
		if cmd.Flags().Lookup("dry-run") == nil {
			return
		}
		c, ok := confirmations[path]
		if !ok {
			for _, other := range elsewhere {
				ok = ok || path == other || strings.HasPrefix(path, other+" ")
			}
			if !ok {
				t.Errorf("no test answers the question of %q", path)
			}
			return
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			pair := withAda(t)
			for _, sql := range strings.Split(c.before, "; ") {
				if _, err := query(t.Context(), pair.Manager, sql); sql != "" && err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(t.TempDir(), "new.csv")
			if err := os.WriteFile(file, []byte("username,email,full_name\nnew1,new1@example.com,New\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append(strings.Fields(path), strings.Fields(strings.ReplaceAll(c.args, "FILE", file))...)
			p := sit(t, pair, append(args, "--config", protected(t))...)
			p.awaits(t, "[y/N] ").types(t, "y\n", false).leaves(t, 0)
			if n := ask(t, pair.Manager, `SELECT count(*) FROM audt.audit_logs WHERE result = 'FAILURE'`); n != "0" {
				t.Errorf("%s audit rows of failures", n)
			}
		})
	})
}
