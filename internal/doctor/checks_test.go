package doctor

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
)

// nasty is G2 with the nasty rows and an audit log that cascades.
func nasty() dbtest.Template {
	g := generations.Named("g2")
	return g.With(g.Rows, "").With(g.NastyRows()).Template()
}

func TestWhatTheFindingsSay(t *testing.T) {
	t.Parallel()
	results := examine(t, dbtest.New(t, nasty()))
	for check, want := range map[string]string{
		"email-case":         "e-mails that differ only in case or Unicode form (1): Case.Mail@nasty.example and case.mail@nasty.example",
		"active-locked":      "ACTIVE users with a lock in the future (2): nasty-active-1, nasty-active-2",
		"ambiguous-username": "usernames that are another user's id or e-mail (1): bad00000-0000-4000-8000-000000000101 is the id of nasty-creator",
		"repeated-grant":     "duplicate role grants (2): nasty-creator has NASTY_SUPPORT 2 times, nasty-mail-1 has NASTY_USER 2 times",
		"invoice-total":      "invoices with a wrong total (2): NASTY-TOTAL-1 (16.5001 instead of 16.5000), NASTY-TOTAL-2 (10.0000 instead of 7.0000)",
		"user-type-default":  `idam.users.user_type defaults to "USER", which its own CHECK refuses`,
		"audit-cascade": "audit rows are deleted together with their subject, by audit_logs_tenant_id_fkey (tenant_id to tnnt.tenants, ON DELETE CASCADE), " +
			"audit_logs_user_id_fkey (user_id to idam.users, ON DELETE CASCADE)",
	} {
		if f := find(t, results, check); f.Found != want {
			t.Errorf("%s: %s", check, f.Found)
		}
	}
}

func TestTheRemediesForConstraintsMendThem(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, nasty())
	execute(t, pair.Manager, `CREATE TABLE bill.accounts (id uuid PRIMARY KEY);
		ALTER TABLE audt.audit_logs ADD CONSTRAINT "to accounts" FOREIGN KEY (user_id) REFERENCES bill.accounts (id) NOT VALID`)
	results := examine(t, pair)
	f := find(t, results, "audit-references")
	if f.Status != Warn || f.Count != 1 || f.Examples[0] != "to accounts (user_id to bill.accounts)" {
		t.Errorf("a foreign key to another table: %+v", f)
	}
	for _, check := range []string{"audit-references", "audit-cascade", "user-type-default"} {
		remedy, _, _ := strings.Cut(find(t, results, check).Remedy, ";")
		execute(t, pair.Manager, remedy)
	}
	results = examine(t, pair)
	for _, check := range []string{"audit-references", "audit-cascade", "user-type-default"} {
		if f := find(t, results, check); f.Status != OK {
			t.Errorf("repaired: %+v", f)
		}
	}
	execute(t, pair.Manager, `ALTER TABLE idam.users ALTER COLUMN user_type DROP DEFAULT`)
	if f := find(t, examine(t, pair), "user-type-default"); f.Status != OK {
		t.Errorf("no default: %+v", f)
	}
}

func TestDriftThatCommandsMind(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	execute(t, pair.Manager, `
ALTER TABLE idam.users ALTER full_name TYPE text, ALTER failed_login_attempts TYPE bigint, DROP COLUMN phone_verified;
ALTER TABLE idam.sessions ALTER ip_address TYPE text, ADD tls text NOT NULL;
DROP TABLE idam.api_keys`)
	results := examine(t, pair)
	if f := find(t, results, "schema"); f.Status != Fail || !slices.Equal(f.Examples, []string{"idam.api_keys"}) {
		t.Errorf("api_keys is not reported: %+v", f)
	}
	if f := find(t, results, "drift"); f.Status != OK {
		t.Errorf("harmless: %+v", f)
	}
	execute(t, pair.Manager, `
ALTER TABLE bill.invoices ALTER total_amount TYPE numeric(15,2), ALTER tax_amount TYPE numeric, ALTER paid_at TYPE timestamp;
ALTER TABLE idam.users ADD employee_no integer NOT NULL, ADD is_deleted boolean NOT NULL, ADD note text NOT NULL DEFAULT ''`)
	f := find(t, examine(t, pair), "drift")
	examples := []string{
		"bill.invoices.total_amount is numeric(15,2), not numeric(18,4)",
		"bill.invoices.paid_at is timestamp without time zone, not timestamp with time zone",
		"idam.users.employee_no is required but has no default",
	}
	if f.Status != Warn || f.Count != 3 || !slices.Equal(f.Examples, examples) {
		t.Errorf("harmful: %+v", f)
	}
}

// A common defect is counted completely, with three examples.
func TestCommonDefects(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, nasty())
	execute(t, pair.Manager, `
INSERT INTO idam.users (username, email, full_name, user_type, password)
SELECT 'Many-' || n, n || '@Many.example', 'Many', 'TENANT', '' FROM generate_series(1, 10001) n;
UPDATE idam.users SET is_deleted = true WHERE username = 'Many-10001'`)
	results := examine(t, pair)
	if f := find(t, results, "empty-password"); f.Count != 10001 || len(f.Examples) != 3 || !strings.HasSuffix(f.Found, ", …") {
		t.Errorf("common: %+v", f)
	}
	if f := find(t, results, "active-locked"); f.Count != 2 || len(f.Examples) != 2 {
		t.Errorf("rare next to it: %+v", f)
	}
	for _, check := range []string{"username-case", "email-case"} {
		if f := find(t, results, check); f.Count != 1 {
			t.Errorf("among many uppercase names: %+v", f)
		}
	}
}

func TestWhatCannotBeLookedAtIsSkipped(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, nasty())
	execute(t, pair.Manager, `
ALTER TABLE bill.invoices DROP COLUMN tax_amount; ALTER TABLE idam.users DROP COLUMN locked_until; DROP TABLE idam.user_roles`)
	results := examine(t, pair)
	for check, want := range map[string]string{
		"invoice-total":  "bill.invoices.tax_amount does not exist",
		"active-locked":  "idam.users.locked_until does not exist",
		"repeated-grant": "idam.user_roles does not exist",
	} {
		if f := find(t, results, check); f.Status != Skip || f.Found != want {
			t.Errorf("%+v", f)
		}
	}
	for _, check := range []string{"paid-without-date", "empty-password"} {
		if f := find(t, results, check); f.Status != Warn {
			t.Errorf("the table's other columns: %+v", f)
		}
	}

	role := "doctor_" + strings.ToLower(rand.Text()) // roles belong to the whole server, which other tests may share
	execute(t, pair.Manager, `CREATE ROLE `+role+`; GRANT USAGE ON SCHEMA idam, bill, tnnt, audt TO `+role+`;
		GRANT SELECT ON ALL TABLES IN SCHEMA idam, tnnt, audt TO `+role)
	t.Cleanup(func() { execute(t, pair.Manager, `DROP OWNED BY `+role+`; DROP ROLE `+role) })
	results = examine(t, dbtest.Pair{Manager: as(t, pair.Manager, role), Tenants: pair.Tenants})
	if f := find(t, results, "paid-without-date"); f.Status != Skip || !strings.Contains(f.Found, "lacks a privilege") {
		t.Errorf("an unreadable table: %+v", f)
	}
	if f := find(t, results, "rights"); f.Status != Fail {
		t.Errorf("rights: %+v", f)
	}
	if f := find(t, results, "empty-password"); f.Status != Warn {
		t.Errorf("the readable table: %+v", f)
	}
}

// Names are compared per tenant in a shared table, and deleted accounts are ignored.
func TestNamesInASharedTenantDatabase(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	execute(t, pair.Tenants, `
INSERT INTO sys.users (username, email, password, tenant_id, is_deleted) VALUES
('Kim', 'kim@one.example', 'x', 'bad00000-0000-4000-8000-000000000001', false),
('kim', 'kim@two.example', 'x', 'bad00000-0000-4000-8000-000000000002', false),
('Lee', 'lee@one.example', 'x', 'bad00000-0000-4000-8000-000000000001', true),
('lee', 'Lee@one.example', 'x', 'bad00000-0000-4000-8000-000000000001', false),
('kim@one.example', 'own@two.example', 'x', 'bad00000-0000-4000-8000-000000000002', false)`)
	if got := bad(t, examine(t, pair)); len(got) > 0 {
		t.Errorf("found %v", got)
	}
	execute(t, pair.Tenants, `UPDATE sys.users SET tenant_id = NULL, is_deleted = false`)
	want := map[string]int{"tenants username-case": 2, "tenants email-case": 1, "tenants ambiguous-username": 1}
	got := bad(t, examine(t, pair))
	for check, n := range want {
		if got[check] != n {
			t.Errorf("%s: %d", check, got[check])
		}
	}
}

// Each check of a locked table reports the lock, and other tables are still checked.
func TestLockedTable_IsReported(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, nasty())
	conn, err := pgx.Connect(t.Context(), pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE bill.invoices IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	const patience = 1500 * time.Millisecond
	results, err := Run(t.Context(), Input{Names: true, Operator: Operator{Name: "admin", Accept: accept}, Targets: []Target{
		{Database: migrate.Manager, Required: true, Options: db.Options{Name: "manager", URL: pair.Manager, Timeout: patience}},
	}})
	if !fault.Is(err, fault.PartialFailure) {
		t.Errorf("Run returned %v", err)
	}
	for _, check := range []string{"invoice-status", "invoice-total", "paid-without-date", "paid-without-method"} {
		if f := find(t, results, check); f.Status != Fail || !strings.Contains(f.Found, "timed out waiting for a lock") {
			t.Errorf("the locked table: %+v", f)
		}
	}
	if f := find(t, results, "active-locked"); f.Status != Warn {
		t.Errorf("the other: %+v", f)
	}
}
