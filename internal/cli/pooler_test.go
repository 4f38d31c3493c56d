package cli

import (
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// TestThroughPgBouncer runs the scripts through a pooler in transaction mode that is not configured as such.
func TestThroughPgBouncer(t *testing.T) {
	t.Parallel()
	w := ours()
	w.bouncer = dbtest.NewPgBouncer(t)
	w.facts["pooled"] = true
	runScripts(t, w, scripts(t, "pooled"))
}

// A migration holds a session lock while it runs, which does not work through a pooler.
func TestMigrate_RefusesPooler(t *testing.T) {
	t.Parallel()
	bouncer := dbtest.NewPgBouncer(t, "ignore_startup_parameters = statement_timeout,lock_timeout,default_transaction_read_only,cxgctl.session")
	pair := dbtest.New(t, dbtest.Template{Name: "empty"})
	pooled, err := bouncer.Through(pair)
	if err != nil {
		t.Fatal(err)
	}
	cxgctl(t, pooled, "migrate", "up", "--database", "manager").exits(t, 8).says(t, "set direct_database_url")
	if n := ask(t, pair.Manager, `SELECT count(*) FROM pg_namespace WHERE nspname = 'idam'`); n != "0" {
		t.Error("migrations were applied through the pooler")
	}
	direct := []string{"CXGCTL_DIRECT_DATABASE_URL=" + pair.Manager, "CXGCTL_DIRECT_TENANTS_DATABASE_URL=" + pair.Tenants}
	cxgctl(t, pooled, "migrate", "up").env(direct...).exits(t, 0)
	if n := ask(t, pair.Manager, `SELECT count(*) > 5 FROM audt.audit_logs`); n != "t" {
		t.Error("the migrations were not recorded")
	}
}
