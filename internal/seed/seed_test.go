package seed

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
)

var migrated = dbtest.Template{
	Name: "devdata",
	Key:  migrate.Hash(migrate.Manager) + migrate.Hash(migrate.Tenants),
	Build: func(ctx context.Context, managerDSN, tenantDSN string) error {
		for which, dsn := range map[migrate.Database]string{migrate.Manager: managerDSN, migrate.Tenants: tenantDSN} {
			cfg, err := pgx.ParseConfig(dsn)
			if err != nil {
				return err
			}
			if _, err := migrate.Up(ctx, cfg, which); err != nil {
				return err
			}
		}
		return nil
	},
}

// ask returns the single value of a query.
func ask[T any](t *testing.T, dsn, sql string) (v T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func load(t *testing.T, p dbtest.Pair, s Size) {
	t.Helper()
	loaded, err := Load(t.Context(), p.Manager, p.Tenants, s)
	if err != nil || !loaded {
		t.Fatalf("loading %+v: %t, %v", s, loaded, err)
	}
}

func TestTwoLoadsAreAlike(t *testing.T) {
	t.Parallel()
	s := Size{Users: 300, Invoices: 700}
	one, two := dbtest.New(t, migrated), dbtest.New(t, migrated)
	load(t, one, s)
	load(t, two, s)
	for _, table := range []string{"idam.users", "tnnt.tenants", "tnnt.tenant_users", "bill.plans", "tnnt.subscriptions", "bill.invoices", "sys.users"} {
		sql := `SELECT md5(string_agg(t::text, E'\n' ORDER BY id)) FROM ` + table + ` t`
		dsns := [2]string{one.Manager, two.Manager}
		if table == "sys.users" {
			dsns = [2]string{one.Tenants, two.Tenants}
		}
		a, b := ask[string](t, dsns[0], sql), ask[string](t, dsns[1], sql)
		if a != b {
			t.Errorf("two loads of %s differ", table)
		}
	}
}

// The rows pass doctor's checks and suit the README's examples.
func TestRowsAreWhatTheyClaim(t *testing.T) {
	t.Parallel()
	p := dbtest.New(t, migrated)
	load(t, p, Size{Users: 1000, Invoices: 5000})
	for _, c := range []struct {
		what string
		sql  string
		want int
	}{
		{"users", `SELECT count(*) FROM idam.users`, 1000},
		{"invoices", `SELECT count(*) FROM bill.invoices`, 5000},
		{"tenants", `SELECT count(*) FROM tnnt.tenants`, 50},
		{"administrators", `SELECT count(*) FROM idam.users WHERE username = 'admin' AND user_type = 'MASTER' AND status = 'ACTIVE'
			AND is_active AND email = 'admin@cxg.example' AND full_name = 'CXG Administrator'`, 1},
		{"statuses of users", `SELECT count(DISTINCT status) FROM idam.users`, 4},
		{"types of users", `SELECT count(DISTINCT user_type) FROM idam.users`, 3},
		{"statuses of invoices", `SELECT count(DISTINCT status) FROM bill.invoices`, 5},
		{"currencies", `SELECT count(DISTINCT currency) FROM bill.invoices`, 4},
		{"statuses of tenants", `SELECT count(DISTINCT status) FROM tnnt.tenants`, 4},
		{"audit rows", `SELECT count(*) FROM audt.audit_logs`, 0},
		{"grants, which would turn on the enforcement of permissions", `SELECT count(*) FROM idam.user_roles`, 0},
		{"deleted users without an update", `SELECT count(*) FROM idam.users WHERE NOT is_active AND updated_at IS NULL`, 0},
		{"locks that contradict the status", `SELECT count(*) FROM idam.users
			WHERE (status = 'LOCKED') <> (coalesce(locked_until, '-infinity') > now())`, 0},
		{"users older than their creation", `SELECT count(*) FROM idam.users
			WHERE least(updated_at, last_login_at, password_changed_at) < created_at`, 0},
		{"usernames that differ in case only", `SELECT count(*) - count(DISTINCT lower(username)) FROM idam.users`, 0},
		{"wrong totals", `SELECT count(*) FROM bill.invoices
			WHERE total_amount <> base_amount + usage_amount - discount_amount + tax_amount`, 0},
		{"payments that contradict the status", `SELECT count(*) FROM bill.invoices
			WHERE (status = 'PAID') <> (paid_at IS NOT NULL) OR (paid_at IS NULL) <> (payment_method IS NULL)`, 0},
		{"invoices of another tenant's subscription", `SELECT count(*) FROM bill.invoices i
			LEFT JOIN tnnt.subscriptions s ON s.id = i.subscription_id WHERE s.tenant_id IS DISTINCT FROM i.tenant_id`, 0},
		{"subscriptions without a tenant or plan", `SELECT count(*) FROM tnnt.subscriptions s
			LEFT JOIN tnnt.tenants t ON t.id = s.tenant_id LEFT JOIN bill.plans p ON p.id = s.plan_id WHERE p.id IS NULL OR t.id IS NULL`, 0},
		{"invoices in another currency than the subscription", `SELECT count(*) FROM bill.invoices i
			JOIN tnnt.subscriptions s ON s.id = i.subscription_id WHERE s.currency <> i.currency`, 0},
		{"invoice numbers of another month", `SELECT count(*) FROM bill.invoices
			WHERE invoice_no !~ ('^INV-' || to_char(invoice_date, 'YYYYMM') || '-[0-9]{6}$')`, 0},
		{"members that are operators or do not exist", `SELECT count(*) FROM tnnt.tenant_users
			LEFT JOIN idam.users u ON u.id = user_id WHERE u.user_type IS DISTINCT FROM 'TENANT'`, 0},
		{"members of a tenant that does not exist", `SELECT count(*) FROM tnnt.tenant_users
			LEFT JOIN tnnt.tenants t ON t.id = tenant_id WHERE t.id IS NULL`, 0},
		{"tenants without an administrator", `SELECT count(*) FROM tnnt.tenants t
			WHERE NOT EXISTS (SELECT FROM tnnt.tenant_users m WHERE m.tenant_id = t.id AND m.is_primary)`, 0},
		{"creators that do not exist", `SELECT count(*) FROM idam.users WHERE created_by <> (SELECT id FROM idam.users WHERE username = 'admin')`, 0},
	} {
		if got := ask[int](t, p.Manager, c.sql); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	for _, some := range []string{
		`SELECT count(*) FROM idam.users WHERE NOT is_active`,
		`SELECT count(*) FROM idam.users WHERE phone IS NULL`,
		`SELECT count(*) FROM idam.users WHERE updated_at IS NULL`,
		`SELECT count(*) FROM idam.users WHERE password IS NULL AND sso_subject IS NOT NULL`,
		`SELECT count(*) FROM idam.users WHERE mfa_enabled AND mfa_secret IS NOT NULL`,
		`SELECT count(*) FROM bill.invoices WHERE deleted`,
		`SELECT count(*) FROM bill.invoices WHERE usage_amount % 0.01 <> 0`,
		`SELECT count(*) FROM bill.invoices WHERE status = 'SENT' AND due_date < date '2026-11-01'`,
	} {
		if ask[int](t, p.Manager, some) == 0 {
			t.Errorf("no rows: %s", some)
		}
	}
	if n := ask[int](t, p.Tenants, `SELECT count(*) FROM sys.users WHERE tenant_id IS NOT NULL`); n != 100 {
		t.Errorf("tenant users: %d, want 100", n)
	}
	hash := ask[string](t, p.Manager, `SELECT password FROM idam.users WHERE username = 'admin'`)
	if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(Password)); err != nil {
		t.Errorf("the documented password: %v", err)
	}
}

func TestEmptySizeHasItsAdministrator(t *testing.T) {
	t.Parallel()
	p := dbtest.New(t, migrated)
	load(t, p, Size{})
	if got := ask[string](t, p.Manager, `SELECT string_agg(username, ',') FROM idam.users`); got != Admin {
		t.Errorf("users %s, want %s", got, Admin)
	}
}

func TestLoadingAgain(t *testing.T) {
	t.Parallel()
	p := dbtest.New(t, migrated)
	s := Size{Users: 20, Invoices: 30}
	type outcome struct {
		loaded bool
		err    error
	}
	outcomes := make(chan outcome)
	for range 4 {
		go func() {
			loaded, err := Load(t.Context(), p.Manager, p.Tenants, s)
			outcomes <- outcome{loaded, err}
		}()
	}
	loads := 0
	for range 4 {
		o := <-outcomes
		if o.err != nil {
			t.Error(o.err)
		}
		if o.loaded {
			loads++
		}
	}
	if loads != 1 {
		t.Errorf("%d of four concurrent calls loaded, want one", loads)
	}
	_, err := Load(t.Context(), p.Manager, p.Tenants, Size{Users: 21, Invoices: 30})
	if !fault.Is(err, fault.Conflict) || fault.From(err).Hint == "" {
		t.Errorf("another size: %v, want a CONFLICT with a hint", err)
	}
}

func TestARefusedLoadLeavesNothing(t *testing.T) {
	t.Parallel()
	p := dbtest.New(t, migrated)
	conn, err := pgx.Connect(t.Context(), p.Manager)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), `INSERT INTO idam.users (username, email, full_name) VALUES ('admin', 'a@example.com', 'A')`); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), p.Manager, p.Tenants, Size{Users: 20}); !fault.Is(err, fault.Conflict) {
		t.Errorf("an existing administrator: %v, want a CONFLICT", err)
	}
	if n := ask[int](t, p.Tenants, `SELECT count(*) FROM sys.users`); n != 0 {
		t.Errorf("%d tenant users are left", n)
	}
	if _, err := Load(t.Context(), p.Manager, p.Tenants, Size{Users: -1}); !fault.Is(err, fault.Validation) {
		t.Errorf("a negative size: %v, want a validation error", err)
	}
}
