package cli

import (
	"context"
	"encoding/csv"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
	"github.com/cxgctl/cxgctl/internal/migrate"
)

// estate is a manager database and one database for each of its tenants: t-01, t-02, …
type tenantDatabases struct {
	dbtest.Pair
	own map[string]string
	dir string
}

// add makes a tenant whose database is the given one.
func (e *tenantDatabases) add(t *testing.T, code, dsn string) {
	t.Helper()
	e.own[code] = dsn
	_, err := query(t.Context(), e.Manager, fmt.Sprintf(`INSERT INTO tnnt.tenants (code, name) VALUES ('%[1]s', 'Tenant %[1]s')`, code))
	if err != nil {
		t.Fatal(err)
	}
}

// config writes a profile that names each tenant's database.
func (e *tenantDatabases) config(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("profile: p\nprofiles:\n  p:\n    manager_database_url: " + e.Manager + "\n    tenant_databases:\n")
	for _, code := range slices.Sorted(func(yield func(string) bool) {
		for code := range e.own {
			if !yield(code) {
				return
			}
		}
	}) {
		b.WriteString("      " + code + ": " + e.own[code] + "\n")
	}
	path := filepath.Join(e.dir, "config.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run prepares a command on the estate.
func (e *tenantDatabases) run(t *testing.T, args ...string) *process {
	t.Helper()
	p := cxgctl(t, e.Pair, append([]string{"--config", e.config(t)}, args...)...)
	p.Env = slices.DeleteFunc(p.Env, func(v string) bool {
		return strings.HasPrefix(v, "CXGCTL_MANAGER") || strings.HasPrefix(v, "CXGCTL_TENANTS")
	})
	return p
}

// people inserts the users of a tenant's database: ann, and bea, who is locked.
const people = `
INSERT INTO sys.users (username, password, full_name, email, created_at, locked_until, is_system_user) VALUES
('ann', '$2b$04$x', 'Ann', 'ann@example.com', '2026-02-02', NULL, false), ('bea', '$2b$04$x', 'Bea', 'bea@example.com', '2026-02-01', 'infinity', false)`

// newEstate returns an estate of n tenants. The tables of t-21, if there is one, are of an old generation, without those
// of cxgctl.
func newEstate(t *testing.T, n int) *tenantDatabases {
	t.Helper()
	first := dbtest.New(t, migrated)
	e := &tenantDatabases{Pair: first, own: map[string]string{}, dir: t.TempDir()}
	for i := range n {
		code := fmt.Sprintf("t-%02d", i+1)
		template := tenantTemplate()
		if code == "t-21" {
			template = generations.Named("g1").Template()
		}
		dsn := dbtest.New(t, template).Tenants
		if _, err := query(t.Context(), dsn, people); err != nil {
			t.Fatal(err)
		}
		e.add(t, code, dsn)
	}
	return e
}

// tenantTemplate is a migrated tenants database, with an empty manager database that is not used.
func tenantTemplate() dbtest.Template {
	return dbtest.Template{
		Name: "tenant", Key: migrate.Hash(migrate.Tenants),
		Build: func(ctx context.Context, _, tenants string) error {
			cfg, err := pgx.ParseConfig(tenants)
			if err != nil {
				return err
			}
			_, err = migrate.Up(ctx, cfg, migrate.Tenants)
			return err
		},
	}
}

// blackhole is a server that accepts connections and never answers. taken is closed by the first connection.
func blackhole(t *testing.T) (dsn string, taken <-chan struct{}) {
	t.Helper()
	first := make(chan struct{})
	once := sync.OnceFunc(func() { close(first) })
	l := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		once()
		t.Cleanup(func() { _ = c.Close() })
	})
	u := url.URL{Scheme: "postgres", User: url.User("x"), Host: l.Addr().String(), Path: "/x", RawQuery: "sslmode=disable"}
	return u.String(), first
}

// firsts are the first cells of csv without a header.
func firsts(t *testing.T, text string) []string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	list := make([]string, len(rows))
	for i, r := range rows {
		list[i] = r[0]
	}
	return list
}

// Of fifty databases one is down, one accepts connections and never answers, and one is of an old
// generation. Each affects its own rows only, and no change is hidden or made twice.
func TestAllTenants_OfFiftySomeFail(t *testing.T) {
	if testing.Short() {
		t.Skip("needs many databases; the script tenants_all does the same with a few")
	}
	t.Parallel()
	const n = 50
	twos := (n + 8) / 10 // tenants t-02, t-12, …
	e := newEstate(t, n)
	down, slow := e.own["t-07"], e.own["t-13"]
	e.own["t-07"] = "postgres://x@127.0.0.1:1/x?sslmode=disable"
	e.own["t-13"], _ = blackhole(t)
	var reached []string
	for code := range e.own {
		if code != "t-07" && code != "t-13" {
			reached = append(reached, code)
		}
	}
	slices.Sort(reached)
	twice := func(codes []string) (list []string) {
		for _, c := range codes {
			list = append(list, c, c)
		}
		return list
	}
	failed := filepath.Join(e.dir, "failed")

	// users list, in a stable order, and again for those that failed
	list := []string{"users", "list", "--all-tenants", "--columns", "tenant,username", "-o", "csv", "--no-headers", "--timeout", "3s", "--retry-failed", failed}
	p := e.run(t, list...).exits(t, 9)
	if got := firsts(t, p.out.String()); !slices.Equal(got, twice(reached)) {
		t.Errorf("list: %v", got)
	}
	p.says(t, "cxgctl: error: tenant t-07: cannot connect to the tenant t-07 database")
	p.says(t, "cxgctl: error: tenant t-13: ")
	p.says(t, fmt.Sprintf("cxgctl: error: 2 of %d tenants failed: t-07, t-13; the rest is done", n))
	if text, _ := os.ReadFile(failed); string(text) != "t-07\nt-13\n" {
		t.Errorf("--retry-failed keeps %q", text)
	}
	e.own["t-07"] = down
	p = e.run(t, list...).exits(t, 9)
	if got := firsts(t, p.out.String()); !slices.Equal(got, []string{"t-07", "t-07"}) {
		t.Errorf("tried again: %v", got)
	}
	e.own["t-07"] = "postgres://x@127.0.0.1:1/x?sslmode=disable"
	if got := ask(t, e.Manager, `SELECT string_agg(extra_data->'after'->>'rows', ' ' ORDER BY created_at) FROM audt.audit_logs WHERE event_type = 'DATA_ACCESS'`); got != fmt.Sprint(2*(n-2), " 2") {
		t.Errorf("recorded readings: %s", got)
	}

	// get, and a pattern
	p = e.run(t, "users", "get", "ann", "--tenant", "t-1*", "-o", "jsonl", "--columns", "tenant,username", "--timeout", "2s").exits(t, 9)
	if got := strings.Count(p.out.String(), `"username":"ann"`); got != 9 || !strings.HasPrefix(p.out.String(), `{"tenant":"t-10",`) {
		t.Errorf("get: %s", p.out.String())
	}
	p = e.run(t, "users", "get", "ghost", "--tenant", "t-?2").exits(t, 3)
	p.says(t, fmt.Sprintf(`user "ghost" not found in any of %d tenants`, twos))

	// unlock: a guard over all of them, then each in a transaction of its own
	p = e.run(t, "users", "unlock", "bea", "--all-tenants", "--timeout", "2s", "--max-affected", fmt.Sprint(n-3)).exits(t, 4)
	p.says(t, fmt.Sprintf("%d rows would change, --max-affected allows %d", n-2, n-3))
	p = e.run(t, "users", "unlock", "bea", "--all-tenants", "--timeout", "2s", "--dry-run", "-o", "csv").exits(t, 9)
	p.says(t, fmt.Sprintf("%d rows would change, nothing was changed", n-3))
	p = e.run(t, "users", "unlock", "bea", "--all-tenants", "--timeout", "2s", "-o", "csv", "--columns", "tenant,status", "--no-headers").exits(t, 9)
	without := slices.DeleteFunc(slices.Clone(reached), func(c string) bool { return c == "t-21" })
	if got := firsts(t, p.out.String()); !slices.Equal(got, without) {
		t.Errorf("unlock: %v", got)
	}
	p.says(t, "tenant t-21: table cxg_audit.applied does not exist in the tenant's database")
	p.says(t, fmt.Sprintf("3 of %d tenants failed: t-07, t-13, t-21", n))
	for _, code := range reached {
		want := "1 1"
		if code == "t-21" {
			want = "0 0"
		}
		sql := `SELECT (SELECT count(*) FROM sys.users WHERE username = 'bea' AND locked_until IS NULL) || ' ' || %s`
		applied := "(SELECT count(*) FROM cxg_audit.applied)"
		if code == "t-21" {
			applied = "0"
		}
		if got := ask(t, e.own[code], fmt.Sprintf(sql, applied)); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
	const recorded = `SELECT count(*) || ' ' || count(DISTINCT tenant_id) || ' ' || count(DISTINCT extra_data->>'op_id') FROM audt.audit_logs WHERE result = 'SUCCESS' AND action_performed = 'UPDATE'`
	once := fmt.Sprintf("%d %[1]d 1", n-3)
	if got := ask(t, e.Manager, recorded); got != once {
		t.Errorf("audit rows, tenants, operations: %s", got)
	}
	e.run(t, "users", "unlock", "bea", "--all-tenants", "--timeout", "2s", "-q").exits(t, 9)
	if got := ask(t, e.Manager, recorded); got != once {
		t.Errorf("after the second time: %s", got)
	}
	e.run(t, "users", "status", "ann", "--tenant", "t-?2", "--set", "INACTIVE", "--expect", fmt.Sprint(twos), "-q").exits(t, 0)
	e.run(t, "audit", "reconcile", "--older-than", "1ms", "--timeout", "2s").exits(t, 0)
	e.run(t, "audit", "verify").exits(t, 0)

	// where each one lives
	p = e.run(t, "tenants", "databases", "-o", "csv", "--columns", "tenant,reachable,generation,version", "--no-headers", "--timeout", "2s").exits(t, 9)
	for _, want := range []string{"t-01,true,G0,4\n", "t-07,false,,\n", "t-13,false,,\n", "t-21,true,G1,\n"} {
		if !strings.Contains(p.out.String(), want) {
			t.Errorf("tenants databases: no %q in %s", want, p.out.String())
		}
	}

	// the migrations: a canary, a stop, and on from there
	e.own["t-13"] = slow
	p = e.run(t, "migrate", "up", "--all-tenants", "--timeout", "2s", "--canary", "3", "-o", "csv", "--columns", "tenant,name", "--no-headers").exits(t, 8)
	p.says(t, "tenant t-07")
	if got := ask(t, e.own["t-21"], `SELECT to_regclass('cxg_audit.applied') IS NULL`); got != "t" {
		t.Error("t-21 was migrated after t-07 had failed")
	}
	p = e.run(t, "migrate", "up", "--all-tenants", "--timeout", "2s", "--keep-going", "-o", "csv", "--columns", "tenant,name", "--no-headers").exits(t, 9)
	if got := firsts(t, p.out.String()); !slices.Equal(slices.Compact(got), []string{"t-21"}) {
		t.Errorf("migrated: %v", got)
	}
	if got := ask(t, e.Manager, `SELECT count(*) FROM audt.audit_logs WHERE extra_data->>'resource' = 'migration' AND tenant_id = (SELECT id FROM tnnt.tenants WHERE code = 't-21')`); got != "4" {
		t.Errorf("%s audit rows of t-21's migrations", got)
	}
	e.own["t-07"] = down
	e.run(t, "migrate", "status", "--all-tenants", "-o", "csv", "--columns", "tenant,applied").exits(t, 0)
	e.run(t, "users", "unlock", "bea", "--all-tenants", "-q").exits(t, 0)
	if got := ask(t, e.Manager, recorded); got != fmt.Sprintf("%d %d 3", n+twos, n) {
		t.Errorf("in the end: %s", got)
	}
}

// Ctrl-C in the middle is reported as a signal, not as failures of databases. Changes made before are recorded.
func TestAllTenants_EndedBySignal(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 3)
	hole, taken := blackhole(t)
	e.own["t-02"] = hole
	p := e.run(t, "users", "list", "--all-tenants", "-o", "csv", "--timeout", "1m").start(t)
	select {
	case <-taken: // it is at work; our own looks into t-03 would count as its sessions
	case <-time.After(patience):
		t.Fatal("t-02 was not asked")
	}
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(t); code != 130 {
		t.Errorf("exit code %d, want 130: %s", code, p.err.String())
	}
	release := hold(t, e.own["t-03"], `SELECT FROM sys.users FOR UPDATE`)
	e.own["t-02"] = e.own["t-01"] // whatever is there
	p = e.run(t, "users", "unlock", "bea", "--tenant", "t-0*", "--parallel", "1").start(t)
	eventually(t, e.own["t-03"], waits)
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(t); code != 130 {
		t.Errorf("exit code %d, want 130: %s", code, p.err.String())
	}
	release()
	if got := ask(t, e.Manager, `SELECT count(*) FILTER (WHERE result = 'SUCCESS') || ' ' || (SELECT count(*) FROM cxg_audit.intent WHERE outcome IS NULL) FROM audt.audit_logs WHERE action_performed = 'UPDATE'`); got != "1 0" {
		t.Errorf("changes and open intents: %s", got)
	}
}
