package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// With {code} in the URL a tenant's code is the name of a database. A code that names the manager database or a template
// database is refused: migrations would otherwise be applied to it.
func TestTenantDatabases_CodeOfManagerOrTemplateIsRefused(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	name := strings.TrimPrefix(database(pair.Manager), "/")
	stem := strings.TrimSuffix(strings.TrimPrefix(name, "test_"), "_mgmt")
	if _, err := query(t.Context(), pair.Manager, `INSERT INTO tnnt.tenants (code, name) VALUES ('`+stem+`', 'A'), ('template1', 'B'), ('postgres', 'C')`); err != nil {
		t.Fatal(err)
	}
	for code, dsn := range map[string]string{
		stem:        strings.Replace(pair.Manager, stem, "{code}", 1),
		"template1": strings.Replace(pair.Manager, name, "{code}", 1),
		"postgres":  strings.Replace(pair.Manager, name, "{code}", 1),
	} {
		for _, args := range [][]string{{"users", "list"}, {"migrate", "up"}, {"migrate", "status"}, {"users", "unlock", "x"}} {
			p := cxgctl(t, pair, append(args, "--tenant", code)...).env("CXGCTL_TENANTS_DATABASE_URL=" + dsn)
			if got := p.code(t); got != 5 {
				t.Errorf("%v --tenant %s: exit code %d, want 5: %s", args, code, got, p.err.String())
			}
			p.says(t, "tenant "+code+": database ")
			p.says(t, "cannot belong to a tenant")
		}
	}
	if got := ask(t, pair.Manager, `SELECT to_regclass('sys.users') IS NULL`); got != "t" {
		t.Error("the manager database has become a tenant's")
	}
}

// A list names a tenant's database that lacks sys.users.
func TestTenantDatabases_WithoutTable(t *testing.T) {
	t.Parallel()
	pair := withTenantUser(t)
	cxgctl(t, pair, "users", "list", "--tenant", "acme").env("CXGCTL_TENANTS_DATABASE_URL="+pair.Manager).exits(t, 8).
		says(t, "table sys.users does not exist in the database of tenant acme")
}

// --retry-failed is overwritten at the end, so a file that lists other things, or that cannot be written, is refused
// before any work is done.
func TestRetryFailed_SparesOtherFiles(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 2)
	path := filepath.Join(e.dir, "file")
	for _, text := range []string{"t-01\nt-99\n", "dear diary\n", "\x00\x01\xff", "t-01,t-02\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		e.run(t, "users", "unlock", "bea", "--all-tenants", "--retry-failed", path).exits(t, 5).says(t, "not one of the selected tenants")
		if got, _ := os.ReadFile(path); string(got) != text {
			t.Errorf("%q has become %q", text, got)
		}
	}
	e.run(t, "users", "unlock", "bea", "--all-tenants", "--retry-failed", filepath.Join(e.dir, "no", "where")).exits(t, 74).says(t, "cannot be read")
	if got := ask(t, e.own["t-01"], `SELECT count(*) FROM cxg_audit.applied`); got != "0" {
		t.Error("something was changed")
	}
	// a file left empty by an earlier run without failures means all tenants
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := e.run(t, "users", "list", "--all-tenants", "--retry-failed", path, "-o", "csv", "--no-headers").exits(t, 0)
	if got := strings.Join(firsts(t, p.out.String()), " "); got != "t-01 t-01 t-02 t-02" {
		t.Errorf("listed: %s", got)
	}
}

// Migrations of tenants hold a session lock, so they bypass the pooler or are refused.
func TestMigrateTenants_BypassesPooler(t *testing.T) {
	t.Parallel()
	bouncer := dbtest.NewPgBouncer(t, "ignore_startup_parameters = statement_timeout,lock_timeout,default_transaction_read_only,cxgctl.session")
	pair, own := dbtest.New(t, migrated), dbtest.New(t, dbtest.Template{Name: "empty"})
	pooled, err := bouncer.Through(own)
	if err != nil {
		t.Fatal(err)
	}
	stem := strings.TrimSuffix(strings.TrimPrefix(database(own.Tenants), "/test_"), "_tnnt")
	if _, err := query(t.Context(), pair.Manager, `INSERT INTO tnnt.tenants (code, name) VALUES ('`+stem+`', 'A')`); err != nil {
		t.Fatal(err)
	}
	hole := func(dsn string) string { return strings.Replace(dsn, stem, "{code}", 1) }
	config := filepath.Join(t.TempDir(), "config.yaml")
	write := func(more string) {
		text := "profile: p\nprofiles:\n  p:\n    manager_database_url: " + pair.Manager + "\n    tenants_database_url: " + hole(pooled.Tenants) + "\n" + more
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	up := func(code int) *process {
		p := cxgctl(t, pair, "migrate", "up", "--all-tenants", "--config", config, "-q")
		return p.env("CXGCTL_MANAGER_DATABASE_URL=", "CXGCTL_TENANTS_DATABASE_URL=").exits(t, code)
	}
	for _, more := range []string{"", "    direct_tenants_database_url: " + own.Tenants + "\n"} { // one direct URL for all tenants does not count
		write(more)
		up(9).says(t, "the connection goes through a pooler")
	}
	write("    direct_tenants_database_url: " + hole(own.Tenants) + "\n")
	up(0)
	if got := ask(t, own.Tenants, `SELECT to_regclass('cxg_audit.applied') IS NOT NULL`); got != "t" {
		t.Error("nothing was migrated")
	}
	cxgctl(t, pair, "users", "list", "--all-tenants", "--config", config).env("CXGCTL_MANAGER_DATABASE_URL=", "CXGCTL_TENANTS_DATABASE_URL=").exits(t, 0)
}
