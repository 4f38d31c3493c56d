package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
)

// doctored are commands whose success doctor should predict. Each reads or writes different tables. They change nothing.
var doctored = []string{
	"users list", "users create --username new --email new@example.com --full-name New --no-password --dry-run",
	"invoices list", "invoices list --search x", "tenants list", "tenants members list acme", "tenants subscriptions list acme", "audit list",
	"roles list", "roles grants", "sessions list", "keys list", "logins list",
}

// doctorFinds are the checks that say why commands fail.
var doctorFinds = []string{"schema", "rights", "audit-log", "roles"}

// Doctor reports a problem if and only if commands fail, on every generation as found and after migrate up, and on
// databases that lack what repairs or copies by hand tend to lose. In a short run our own databases lack every third of
// these, and of the other kinds of databases every second lacks one. In a full run each other kind lacks a third of them.
func TestDoctor_AgreesWithCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("runs many commands on broken tables; the script doctor_findings has a few")
	}
	t.Parallel()
	worlds := []world{ours()}
	for _, g := range generations.Tried() {
		worlds = append(worlds, found(g), adopted(g))
	}
	broken := []struct{ name, sql string }{
		{"whole", "SELECT"},
		{"no users.username", "ALTER TABLE idam.users DROP COLUMN username CASCADE"},
		{"no users.status", "ALTER TABLE idam.users DROP COLUMN status CASCADE"},
		{"no invoices", "DROP TABLE bill.invoices CASCADE"},
		{"no invoices.invoice_no", "ALTER TABLE bill.invoices DROP COLUMN invoice_no CASCADE"},
		{"no tenants", "DROP TABLE tnnt.tenants CASCADE"},
		{"no tenant code", "ALTER TABLE tnnt.tenants DROP COLUMN {tenant_code} CASCADE"},
		{"no subscriptions", "DROP TABLE tnnt.subscriptions CASCADE"},
		{"no memberships", "DROP TABLE tnnt.tenant_users CASCADE"},
		{"no sessions", "DROP TABLE idam.sessions CASCADE"},
		{"no keys", "DROP TABLE idam.api_keys CASCADE"},
		{"no logins", "DROP TABLE idam.login_logs CASCADE"},
		{"no role code", "ALTER TABLE idam.roles DROP COLUMN {role_code} CASCADE"},
		{"no permission code", "ALTER TABLE idam.permissions DROP COLUMN {permission_code} CASCADE"},
		{"no role_permissions", "DROP TABLE idam.role_permissions CASCADE"},
		{"no grant status", "ALTER TABLE idam.user_roles DROP COLUMN status CASCADE"},
		{"no audit log", "DROP TABLE IF EXISTS audt.audit_logs CASCADE"},
		{"no suspended_date", "ALTER TABLE tnnt.tenants DROP COLUMN IF EXISTS suspended_date CASCADE"},
		{"a column more", "ALTER TABLE idam.users ADD COLUMN nickname text"},
	}
	for i, w := range worlds {
		for j, b := range broken {
			skip := (i+j)%oneOf(3) != 0
			if skip && i > 0 {
				continue
			}
			name := w.name + "/" + b.name
			if strings.HasPrefix(w.template.Name, "adopted") {
				name = w.name + "/adopted/" + b.name
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				pair := dbtest.New(t, w.template)
				acme := `INSERT INTO tnnt.tenants ({tenant_code}, {tenant_name}, {tenant_type}, start_date, status, {tenant_deleted}) VALUES ('acme', 'Acme', 'STANDARD', '2026-01-01', 'ACTIVE', false)`
				if w.facts["suspends"] {
					acme = strings.NewReplacer("{tenant_deleted})", "{tenant_deleted}, is_suspended)", "false)", "false, false)").Replace(acme)
				}
				acme += `; DELETE FROM idam.user_roles` // one of the nasty rows has permissions enforced
				if _, err := query(t.Context(), pair.Manager, w.macros.Replace(acme)); err != nil {
					t.Fatal(err)
				}
				if _, err := query(t.Context(), pair.Manager, w.macros.Replace(b.sql)); err != nil {
					t.Fatal(err)
				}
				doctorAgrees(t, pair)
			})
		}
	}
}

// doctorAgrees compares the findings of doctor in a manager database with the results of commands.
func doctorAgrees(t *testing.T, pair dbtest.Pair) {
	t.Helper()
	admin := map[string]string{"CXGCTL_OPERATOR": "admin"}
	var refused []string
	for _, command := range doctored {
		if code, _, errOut := runForStreams(t, pair, admin, strings.Fields(command)...); code != 0 {
			refused = append(refused, command+": "+errOut)
		}
	}
	_, out, errOut := runForStreams(t, pair, admin, "doctor", "-o", "json")
	var document struct {
		Data struct {
			Items []struct{ Check, Target, Status, Found string }
		}
	}
	if err := json.Unmarshal([]byte(out), &document); err != nil {
		t.Fatalf("doctor: %v\n%s%s", err, out, errOut)
	}
	var said []string
	for _, r := range document.Data.Items {
		if r.Target == "manager" && slices.Contains(doctorFinds, r.Check) && (r.Status == "FAIL" || r.Status == "WARN") {
			said = append(said, r.Check+": "+r.Found)
		}
	}
	if (len(said) > 0) != (len(refused) > 0) {
		t.Errorf("doctor finds %q, and commands are refused: %q", said, refused)
	}
}
