package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
)

// confirmations are the commands that ask for confirmation, with the statements and commands that prepare them.
var confirmations = map[string]struct{ before, args string }{
	"auth bootstrap":         {"", "--username first --email first@example.com --full-name First --no-password"},
	"auth token":             {"INSERT INTO idam.permissions (code, name, category, resource, action, scope, applies_to) SELECT 'USER_LIST', 'x', 'USER', 'USER', 'LIST', 'GLOBAL', 'ALL' WHERE NOT EXISTS (SELECT FROM idam.permissions WHERE code = 'USER_LIST')", "--create --name job --permissions USER_LIST --ttl 30d"},
	"users create":           {"", "--username bob --email bob@example.com --full-name Bob --no-password"},
	"users update":           {"", "ada --phone 7"},
	"users password":         {"", "ada --generate-password"},
	"users delete":           {"", "ada"},
	"users restore":          {"UPDATE idam.users SET is_active = false WHERE username = 'ada'", "ada"},
	"users unlock":           {"UPDATE idam.users SET status = 'LOCKED' WHERE username = 'ada'", "ada"},
	"users ensure":           {"", "--username ada --phone 7"},
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
	"invoices create":        {tenantBilled, "--invoice-no INV-2 --tenant acme --subscription " + subscriptionID + " --invoice-date 2026-01-01 --due-date 2026-01-31 --start-date 2026-01-01 --close-date 2026-01-31 --base-amount 10 --user-count 1"},
	"invoices update":        {invoiceOne, "INV-1 --user-count 2"},
	"invoices status":        {invoiceOne, "INV-1 --set SENT"},
	"invoices delete":        {invoiceOne, "INV-1"},
	"invoices restore":       {invoiceOne + "; cxgctl invoices delete INV-1 --yes", "INV-1"},
	"invoices overdue":       {invoiceOne, "--mark"},
	"invoices import":        {tenantBilled, "INVOICES"},
	"keys rotate":            {"cxgctl auth token --create --name job --permissions USER_LIST --ttl 30d -q", "job"},
	"keys revoke":            {"cxgctl auth token --create --name job --permissions USER_LIST --ttl 30d -q", "job"},
	"migrate up":             {"DELETE FROM public.cxgctl_migrations WHERE version_id = (SELECT max(version_id) FROM public.cxgctl_migrations)", "--database manager"},
	"migrate down":           {"", "--database manager --discard-data"},
	"dev reset":              {"", ""},
	"audit undo":             {"cxgctl users update ada --phone 7", "OPERATION"},
	"audit prune":            {"cxgctl users update ada --phone 7; cxgctl audit keygen --out DIR/key", "--before now --archive DIR/a.jsonl.gz --key DIR/key"},
	"auth logout":            {"INSERT INTO idam.sessions (session_id, user_id, ip_address, session_type, status, expires_at, last_activity_at, mfa_verified) SELECT 's1', id, '192.0.2.4', 'API', 'ACTIVE', now() + interval '1 d', now(), false FROM idam.users WHERE username = 'admin'", "--all"},
	"sessions revoke":        {"INSERT INTO idam.sessions (session_id, user_id, ip_address, session_type, status, expires_at, last_activity_at, mfa_verified) SELECT 's1', id, '192.0.2.4', 'WEB', 'ACTIVE', now() + interval '1 d', now(), false FROM idam.users WHERE username = 'ada'", "--user ada"},
}

const (
	tenantAcme = "INSERT INTO tnnt.tenants (code, name, type, status, start_date) VALUES ('acme', 'Acme', 'STANDARD', 'ACTIVE', '2026-01-01')"
	memberAda  = tenantAcme + "; INSERT INTO tnnt.tenant_users (tenant_id, user_id, start_date, status) SELECT t.id, u.id, '2026-01-01', 'ACTIVE' FROM tnnt.tenants t, idam.users u WHERE t.code = 'acme' AND u.username = 'ada'"
)

const (
	subscriptionID = "20000000-0000-4000-8000-0000000000a1"
	tenantBilled   = tenantAcme + "; INSERT INTO bill.plans (id, code, name, base_amount) VALUES ('20000000-0000-4000-8000-000000000001', 'STANDARD', 'Standard', 1)" +
		"; INSERT INTO tnnt.subscriptions (id, tenant_id, plan_id, start_date, base_amount) SELECT '" + subscriptionID + "', id, '20000000-0000-4000-8000-000000000001', '2026-01-01', 1 FROM tnnt.tenants"
	invoiceOne = tenantBilled + "; cxgctl invoices import INVOICES"
)

// unasked are the commands with --dry-run that never ask whether to go on: auth login asks for a password, the other two
// only record what was done already.
var unasked = map[string]struct{ args, secret string }{
	"audit reconcile": {"", ""},
	"audit seal":      {"", ""},
	"auth login":      {"--username ada", "correct horse battery"},
}

// In a protected profile on a terminal, a command that is answered with y succeeds: generated values are generated once,
// before the difference is shown.
func TestConfirm_EveryCommandThatAsks(t *testing.T) {
	t.Parallel()
	cmdutil.Leaves(newRoot((&cmdutil.Env{Getenv: os.Getenv})), func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "cxgctl ")
		c, asks := confirmations[path]
		u, never := unasked[path]
		switch {
		case asks == never && cmd.Flags().Lookup("dry-run") != nil:
			t.Errorf("add %q to either confirmations or unasked", path)
		case asks:
			t.Run(path, func(t *testing.T) {
				t.Parallel()
				pair, files := withAda(t), confirmFiles(t)
				for _, step := range strings.Split(c.before, "; ") {
					if args, ok := strings.CutPrefix(files.Replace(step), "cxgctl "); ok {
						cxgctl(t, pair, strings.Fields(args)...).exits(t, 0)
					} else if _, err := query(t.Context(), pair.Manager, step); step != "" && err != nil {
						t.Fatal(err)
					}
				}
				op := ""
				if strings.Contains(c.args, "OPERATION") {
					op = ask(t, pair.Manager, `SELECT extra_data->>'op_id' FROM audt.audit_logs ORDER BY created_at DESC LIMIT 1`)
				}
				args := append(strings.Fields(path), strings.Fields(strings.ReplaceAll(files.Replace(c.args), "OPERATION", op))...)
				p := startOnTerminal(t, pair, append(args, "--config", protected(t))...)
				p.awaits(t, "[y/N] ").types(t, "y\n", false).leaves(t, 0)
				if n := ask(t, pair.Manager, `SELECT count(*) FROM audt.audit_logs WHERE result = 'FAILURE'`); n != "0" {
					t.Errorf("%s audit rows of failures", n)
				}
			})
		case never:
			t.Run(path, func(t *testing.T) {
				t.Parallel()
				pair := withAda(t)
				if u.secret != "" {
					hash, err := bcrypt.GenerateFromPassword([]byte(u.secret), bcrypt.MinCost)
					if err != nil {
						t.Fatal(err)
					}
					ask(t, pair.Manager, "UPDATE idam.users SET user_type = 'MASTER', password = '"+string(hash)+"' WHERE username = 'ada' RETURNING 1")
				}
				args := append(strings.Fields(path), strings.Fields(u.args)...)
				p := startOnTerminal(t, pair, append(args, "--config", protected(t))...)
				if u.secret != "" {
					p.awaits(t, "password of ada: ").types(t, u.secret+"\n", true)
				}
				p.leaves(t, 0)
				if strings.Contains(p.sees(), "[y/N]") {
					t.Errorf("unexpected prompt:\n%s", p.sees())
				}
			})
		}
	})
}

// confirmFiles writes the files that confirmations name, and returns what puts their paths into a command.
func confirmFiles(t *testing.T) *strings.Replacer {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"new.csv": "username,email,full_name\nnew1,new1@example.com,New\n",
		"invoices.csv": "invoice_no,tenant,subscription,invoice_date,due_date,start_date,close_date,base_amount,user_count\n" +
			"INV-1,acme," + subscriptionID + ",2026-01-01,2026-01-31,2026-01-01,2026-01-31,10,1\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return strings.NewReplacer("FILE", filepath.Join(dir, "new.csv"), "INVOICES", filepath.Join(dir, "invoices.csv"), "DIR", dir)
}
