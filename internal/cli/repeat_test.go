package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// repeats are the commands that change rows, in an order in which each finds the rows that it needs. The second run of
// each changes nothing and says so. code is its exit code, 0 unless it makes what must be new.
var repeats = []struct {
	before string // sql that gives the first run something to do
	args   string
	code   int
	says   string
}{
	{"", "users create --username ada --email ada@example.com --full-name Ada --no-password", 4, `username "ada" is taken`},
	{"", "users create --username eco --email eco@example.com --full-name Eco --no-password --if-not-exists", 0, `eco already exists; nothing changed`},
	{"", "users ensure --username bob --email bob@example.com --full-name Bob --no-password", 0, `user bob is unchanged`},
	{"", "users update ada --phone 1", 0, `ada already has these values; nothing changed`},
	{"", "users status ada --set LOCKED", 0, `ada is already LOCKED; nothing changed`},
	{"", "users unlock ada", 0, `ada is not locked; nothing changed`},
	{"", "users delete ada bob", 0, `bob is already deleted \(.*\); nothing changed`},
	{"", "users restore ada bob", 0, `bob is not deleted; nothing changed`},
	{"", "users import users.csv --no-passwords", 0, `the only row was applied on .* by admin`},
	{"", "tenants create --code acme --name Acme", 4, `code "acme" is taken`},
	{"", "tenants create --code beta --name Beta --if-not-exists", 0, `beta already exists; nothing changed`},
	{"", "tenants update acme --name ACME", 0, `acme already has these values; nothing changed`},
	{"", "tenants status beta --set SUSPENDED --reason unpaid", 0, `beta is already SUSPENDED; nothing changed`},
	{"", "tenants members add acme ada --role OWNER", 0, `ada is already a member of acme; nothing changed`},
	{"", "tenants members update acme ada --role STAFF", 0, `ada already has these values in acme; nothing changed`},
	{"", "tenants members remove acme ada", 0, `ada has already left acme \(.*\); nothing changed`},
	{"", "roles grant PLATFORM_SUPPORT ada", 0, `already holds PLATFORM_SUPPORT everywhere; nothing changed`},
	{"", "roles revoke PLATFORM_SUPPORT ada", 0, `does not hold PLATFORM_SUPPORT everywhere; nothing changed`},
	{`INSERT INTO idam.sessions (id, session_id, user_id, ip_address, session_type, status, expires_at, last_activity_at, mfa_verified)
	  SELECT '00000000-0000-4000-8000-0000000000f1', 's1', id, '192.0.2.4', 'WEB', 'ACTIVE', now() + interval '1 day', now(), false
	    FROM idam.users WHERE username = 'ada'`, "sessions revoke 00000000-0000-4000-8000-0000000000f1", 0, `has already ended; nothing changed`},
	{
		`WITH p AS (INSERT INTO bill.plans (id, code, name, base_amount) VALUES (gen_random_uuid(), 'P', 'P', 1) RETURNING id)
	  INSERT INTO tnnt.subscriptions (id, tenant_id, plan_id, start_date, base_amount, is_deleted)
	  SELECT '20000000-0000-4000-8000-0000000000a1', t.id, p.id, '2026-01-01', 1, false FROM tnnt.tenants t, p WHERE t.code = 'acme'`,
		"invoices create --invoice-no INV-1 --tenant acme --invoice-date 2026-01-01 --due-date 2026-01-31 --start-date 2026-01-01" +
			" --close-date 2026-01-31 --base-amount 10 --user-count 1", 4, `invoice_no "INV-1" is taken`,
	},
	{"", "invoices import invoices.csv", 0, `the only row was applied on .* by admin`},
	{"", "invoices update INV-1 --user-count 2", 0, `INV-1 already has these values; nothing changed`},
	{"", "invoices status INV-1 --set SENT", 0, `INV-1 is already SENT; nothing changed`},
	{"", "invoices overdue --mark", 0, `0 rows changed`},
	{"", "invoices delete INV-1", 0, `INV-1 is already deleted.*; nothing changed`},
	{"", "invoices restore INV-1", 0, `INV-1 is not deleted; nothing changed`},
	{"", "auth token --create --name job --permissions USER_LIST --token-out job.key", 5, `job.key already exists`},
	{"", "keys revoke job", 0, `has already ended; nothing changed`},
}

// notRepeated are the commands whose second run does something else, and those with tests of their own.
var notRepeated = []string{
	"users password", "audit prune", "audit reconcile", "audit seal", "audit undo", "auth bootstrap", "auth login", "auth logout",
	"keys rotate", "migrate down", "migrate up",
}

// N25a, B-20, B-21: a command that is run twice finds its work done. It writes no audit row for that.
func TestRepeat_ChangesNothing(t *testing.T) {
	pair := dbtest.New(t, migrated)
	cmdutil.HashCost = bcrypt.MinCost
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"users.csv": "username,email,full_name\nnew1,new1@example.com,New\n",
		"invoices.csv": "invoice_no,tenant,subscription,invoice_date,due_date,start_date,close_date,base_amount,user_count\n" +
			"INV-2,acme,20000000-0000-4000-8000-0000000000a1,2026-01-01,2026-01-31,2026-01-01,2026-01-31,10,1\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	home := t.TempDir()
	done := map[string]bool{}
	for _, r := range repeats {
		if r.before != "" {
			if _, err := query(t.Context(), pair.Manager, r.before); err != nil {
				t.Fatal(err)
			}
		}
		run := func() (int, string) {
			return runInProcess(t, pair, map[string]string{"CXGCTL_OPERATOR": "admin", "HOME": home}, append(strings.Fields(r.args), "--yes")...)
		}
		rows := func() string {
			return ask(t, pair.Manager, `SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS'`)
		}
		before := rows()
		if code, out := run(); code != 0 || rows() == before {
			t.Errorf("%s: exit code %d, %s to %s audit rows:\n%s", r.args, code, before, rows(), out)
			continue
		}
		before = rows()
		code, out := run()
		if code != r.code || rows() != before {
			t.Errorf("%s, repeated: exit code %d, want %d; %s to %s audit rows:\n%s", r.args, code, r.code, before, rows(), out)
		}
		if !regexp.MustCompile(r.says).MatchString(out) || code == 0 && !strings.Contains(out, "0 rows changed") && !strings.Contains(r.args, "import") {
			t.Errorf("%s, repeated: does not say %q and that 0 rows changed:\n%s", r.args, r.says, out)
		}
		words := strings.Fields(r.args)
		done[words[0]+" "+words[1]], done[strings.Join(words[:3], " ")] = true, true
	}
	cmdutil.Leaves(newRoot(&cmdutil.Env{Getenv: os.Getenv}), func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "cxgctl ")
		if cmd.Flags().Lookup("dry-run") != nil && !done[path] && !slices.Contains(notRepeated, path) {
			t.Errorf("%q changes rows, and repeats does not name it", path)
		}
	})
	if files, err := filepath.Glob("*.key"); err != nil || len(files) != 1 {
		t.Errorf("key files: %v, %v", files, err)
	}
}
