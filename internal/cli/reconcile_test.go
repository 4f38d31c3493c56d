package cli

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

const (
	insertAcme = `
INSERT INTO tnnt.tenants (id, code, name) VALUES ('10000000-0000-4000-8000-000000000001', 'acme', 'Acme')`
	insertTenantAda = `
INSERT INTO sys.users (id, created_at, tenant_id, username, password, full_name, email, phone)
VALUES ('00000000-0000-4000-8000-0000000000ad', '2026-02-01', '10000000-0000-4000-8000-000000000001', 'ada', '$2b$04$x', 'Ada', 'ada@acme.example', '02 1234')`
)

// withTenantUser returns new databases with the tenant acme and its user ada.
func withTenantUser(t *testing.T) dbtest.Pair {
	t.Helper()
	pair := dbtest.New(t, migrated)
	for dsn, sql := range map[string]string{pair.Manager: insertAcme, pair.Tenants: insertTenantAda} {
		if _, err := query(t.Context(), dsn, sql); err != nil {
			t.Fatal(err)
		}
	}
	return pair
}

// changeState returns the state of a change of ada's phone: the phone, the row of applied, the audit rows and the
// intent.
func changeState(t *testing.T, pair dbtest.Pair) string {
	t.Helper()
	there := ask(t, pair.Tenants, `SELECT concat_ws(' ', (SELECT phone FROM sys.users), 'applied', coalesce((SELECT string_agg(outcome, ',') FROM cxg_audit.applied), '-'))`)
	return there + ask(t, pair.Manager, `SELECT concat_ws(' ', ' audit', coalesce((SELECT string_agg(result || ' ' || coalesce(extra_data->'after'->>'phone', '-') || ' ' || coalesce(extra_data->>'reconciled_by', '-'), ',') FROM audt.audit_logs), '-'),
		'intent', coalesce((SELECT string_agg(coalesce(outcome, 'open'), ',') FROM cxg_audit.intent), '-'))`)
}

// TestReconcile_KillBetweenSteps kills a command between the steps of a change in a tenant's database, at each point
// where it can be made to wait for a lock, and checks the result of reconcile.
func TestReconcile_KillBetweenSteps(t *testing.T) {
	t.Parallel()
	for _, step := range []struct {
		name          string
		there         bool   // whether the lock is in the tenant's database
		lock          string // the statement whose lock stops the command
		left, settled string
	}{
		{
			"before the intent", false, `LOCK TABLE cxg_audit.intent IN EXCLUSIVE MODE`,
			"02 1234 applied - audit - intent -", "02 1234 applied - audit - intent -",
		},
		{
			"between the intent and the change", true, `SELECT FROM sys.users FOR UPDATE`,
			"02 1234 applied - audit - intent open", "02 1234 applied void audit FAILURE - admin intent void",
		},
		{
			"after the change, before its proof", true, `LOCK TABLE cxg_audit.applied IN EXCLUSIVE MODE`,
			"02 1234 applied - audit - intent open", "02 1234 applied void audit FAILURE - admin intent void",
		},
		{
			"between the change and the outcome", false, `LOCK TABLE audt.audit_logs IN EXCLUSIVE MODE`,
			"03 9999 applied applied audit - intent open", "03 9999 applied applied audit SUCCESS 03 9999 admin intent applied",
		},
		{
			"while the outcome is sealed", false, `LOCK TABLE cxg_audit.head IN EXCLUSIVE MODE`,
			"03 9999 applied applied audit - intent open", "03 9999 applied applied audit SUCCESS 03 9999 admin intent applied",
		},
		{
			// COMMIT has been sent together with the seal.
			"while the seal is stored", false, `LOCK TABLE cxg_audit.seal IN EXCLUSIVE MODE`,
			"03 9999 applied applied audit SUCCESS 03 9999 - intent applied", "03 9999 applied applied audit SUCCESS 03 9999 - intent applied",
		},
	} {
		t.Run(step.name, func(t *testing.T) {
			t.Parallel()
			pair := withTenantUser(t)
			at := pair.Manager
			if step.there {
				at = pair.Tenants
			}
			release := hold(t, at, step.lock)
			p := cxgctl(t, pair, "users", "update", "ada", "--tenant", "acme", "--phone", "03 9999", "--reason", "moved").start(t)
			eventually(t, at, waits)
			if err := p.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			p.exit(t)
			release()
			eventually(t, pair.Manager, away)
			eventually(t, pair.Tenants, away)
			if got := changeState(t, pair); got != step.left {
				t.Errorf("after the kill: %s, want %s", got, step.left)
			}
			cxgctl(t, pair, "audit", "reconcile", "--older-than", "1ms", "--dry-run").exits(t, 0)
			if got := changeState(t, pair); got != step.left {
				t.Errorf("a dry run changed something: %s, want %s", got, step.left)
			}
			for range 2 { // the second run changes nothing
				cxgctl(t, pair, "audit", "reconcile", "--older-than", "1ms").exits(t, 0)
				if got := changeState(t, pair); got != step.settled {
					t.Errorf("reconciled: %s, want %s", got, step.settled)
				}
			}
			if strings.HasPrefix(step.settled, "03") {
				got := ask(t, pair.Manager, `SELECT concat_ws(' ', extra_data->>'operator', extra_data->>'reason', extra_data->>'command', tenant_id, extra_data->'before'->>'phone') FROM audt.audit_logs`)
				if want := "admin moved users update --tenant=acme 10000000-0000-4000-8000-000000000001 02 1234"; got != want {
					t.Errorf("the audit row has %q, want %q", got, want)
				}
			}
			cxgctl(t, pair, "audit", "verify").exits(t, 0)
		})
	}
}

// A command that reconcile overtakes changes nothing, because reconcile has recorded the change as not made.
func TestReconcile_OvertakesCommand(t *testing.T) {
	t.Parallel()
	pair := withTenantUser(t)
	release := hold(t, pair.Tenants, `SELECT FROM sys.users FOR UPDATE`)
	p := cxgctl(t, pair, "users", "update", "ada", "--tenant", "acme", "--phone", "03 9999").start(t)
	eventually(t, pair.Tenants, waits)
	cxgctl(t, pair, "audit", "reconcile", "--older-than", "1ms").exits(t, 0)
	release()
	if code := p.exit(t); code != 4 {
		t.Errorf("exit code %d, want 4: %s", code, p.err.String())
	}
	p.says(t, "audit reconcile has settled this change as not made")
	if got, want := changeState(t, pair), "02 1234 applied void audit FAILURE - admin,FAILURE - - intent void"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// If the manager database fails after the change, the error says that the audit row is missing. Reconcile writes it.
func TestReconcile_LogUnavailable(t *testing.T) {
	t.Parallel()
	pair := withTenantUser(t)
	release := hold(t, pair.Manager, `LOCK TABLE audt.audit_logs IN EXCLUSIVE MODE`)
	p := cxgctl(t, pair, "users", "update", "ada", "--tenant", "acme", "--phone", "03 9999", "--timeout", "1s")
	if code := p.code(t); code != 8 {
		t.Errorf("exit code %d, want 8: %s", code, p.err.String())
	}
	p.says(t, "the change was made in the database of tenant acme, but is not in the audit log yet")
	p.says(t, "cxgctl audit reconcile")
	// Reconcile does not guess when the tenant's database is unavailable.
	elsewhere := strings.Replace(pair.Tenants, database(pair.Tenants), "/no_such_database", 1)
	release()
	cxgctl(t, pair, "audit", "reconcile", "--older-than", "1ms").env("CXGCTL_TENANTS_DATABASE_URL="+elsewhere).exits(t, 9)
	if got, want := changeState(t, pair), "03 9999 applied applied audit - intent open"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	cxgctl(t, pair, "audit", "reconcile", "--older-than", "1ms").exits(t, 0)
	if got, want := changeState(t, pair), "03 9999 applied applied audit SUCCESS 03 9999 admin intent applied"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// If the connection breaks before the COMMIT in the tenant's database, or before its answer, the outcome is reported
// correctly.
func TestTenantChange_LostCommit(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]struct {
		arrives bool
		code    int
		want    string
	}{
		"the answer is lost": {true, 0, "03 9999 applied applied audit SUCCESS 03 9999 - intent applied"},
		"the commit is lost": {false, 8, "02 1234 applied void audit FAILURE - - intent void"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := withTenantUser(t)
			_, through := newProxy(t, dbtest.Pair{Manager: pair.Tenants}, "tcp", "COMMIT\x00", func(client, server net.Conn, message []byte) {
				if step.arrives {
					_, _ = server.Write(message)
					_, _ = server.Read(make([]byte, 1))
				}
				_ = server.Close()
				_ = client.Close()
			})
			p := cxgctl(t, pair, "users", "update", "ada", "--tenant", "acme", "--phone", "03 9999").env("CXGCTL_TENANTS_DATABASE_URL=" + through)
			if code := p.code(t); code != step.code {
				t.Errorf("exit code %d, want %d: %s", code, step.code, p.err.String())
			}
			if got := changeState(t, pair); got != step.want {
				t.Errorf("%s, want %s", got, step.want)
			}
		})
	}
}

// If the connection breaks while the outcome of a change is recorded, it is recorded over another one.
func TestTenantChange_LostOutcome(t *testing.T) {
	t.Parallel()
	pair := withTenantUser(t)
	proxy, through := newProxy(t, pair, "tcp", "SET outcome = ", func(client, server net.Conn, _ []byte) {
		_ = server.Close()
		_ = client.Close()
	})
	cxgctl(t, pair, "users", "update", "ada", "--tenant", "acme", "--phone", "03 9999").env("CXGCTL_MANAGER_DATABASE_URL="+through).exits(t, 0)
	if !proxy.happened.Load() {
		t.Error("no accident happened")
	}
	if got, want := changeState(t, pair), "03 9999 applied applied audit SUCCESS 03 9999 - intent applied"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Kind 45: if a tenant's database forges the row of a change whose COMMIT was lost, the command fails, the log does not
// get a SUCCESS row, and the intent stays open.
func TestTenantChange_ForgedAppliedRow(t *testing.T) {
	t.Parallel()
	pair := withTenantUser(t)
	_, through := newProxy(t, dbtest.Pair{Manager: pair.Tenants}, "tcp", "COMMIT\x00", func(client, server net.Conn, _ []byte) {
		_ = server.Close()
		rows, err := query(context.Background(), pair.Manager, `SELECT id, op_id FROM cxg_audit.intent WHERE outcome IS NULL`)
		if err != nil || len(rows) != 1 {
			t.Errorf("intents: %v, %v", rows, err)
		} else if _, err := query(context.Background(), pair.Tenants, `INSERT INTO cxg_audit.applied (intent_id, op_id, applied_at, outcome, changes)
			VALUES ('`+rows[0][0]+`', '`+rows[0][1]+`', now(), 'applied', '[{"action": "UPDATE", "after": {"phone": "forged"}}]')`); err != nil {
			t.Error(err)
		}
		_ = client.Close()
	})
	p := cxgctl(t, pair, "users", "update", "ada", "--tenant", "acme", "--phone", "03 9999").env("CXGCTL_TENANTS_DATABASE_URL=" + through)
	if code := p.code(t); code != 9 {
		t.Errorf("exit code %d: %s", code, p.err.String())
	}
	p.says(t, "its content differs")
	got := ask(t, pair.Manager, `SELECT (SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS' AND event_type <> 'DATA_ACCESS') || ' ' ||
		(SELECT count(*) FROM cxg_audit.intent WHERE outcome IS NULL) || ' ' || (SELECT count(*) FROM audt.audit_logs WHERE extra_data::text LIKE '%forged"%')`)
	if got != "0 1 0" {
		t.Errorf("audit rows, open intents and rows of the forgery: %s\n%s", got, p.err.String())
	}
}

// With {code} in the profile each tenant has its own database. Codes that could lead to another server are refused.
func TestTenants_DatabasePerCode(t *testing.T) {
	t.Parallel()
	pair, other := dbtest.New(t, migrated), dbtest.New(t, tenantTemplate())
	stem := func(p dbtest.Pair) string {
		name := strings.TrimPrefix(database(p.Tenants), "/test_")
		return strings.TrimSuffix(name, "_tnnt")
	}
	each := strings.Replace(pair.Tenants, stem(pair), "{code}", 1)
	if strings.Replace(each, "{code}", stem(other), 1) != other.Tenants {
		t.Fatalf("%s is not the address of %s", each, other.Tenants)
	}
	if _, err := query(t.Context(), pair.Manager, `ALTER TABLE tnnt.tenants DROP CONSTRAINT tenants_code_check;
		INSERT INTO tnnt.tenants (id, code, name) VALUES (gen_random_uuid(), '`+stem(pair)+`', 'A'), (gen_random_uuid(), '`+stem(other)+`', 'B'),
		('10000000-0000-4000-8000-0000000000ff', 'x/../mgmt?host=h', 'Evil')`); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) *process {
		return cxgctl(t, pair, args...).env("CXGCTL_TENANTS_DATABASE_URL=" + each)
	}
	run("users", "create", "--tenant", stem(other), "--username", "ada", "--email", "ada@b.example", "--full-name", "Ada", "--generate-password", "-q").exits(t, 0)
	for dsn, want := range map[string]string{pair.Tenants: "0 0", other.Tenants: "1 1"} {
		if got := ask(t, dsn, `SELECT (SELECT count(*) FROM sys.users) || ' ' || (SELECT count(*) FROM cxg_audit.applied)`); got != want {
			t.Errorf("users and changes: %s, want %s", got, want)
		}
	}
	p := run("users", "list", "--tenant", "10000000-0000-4000-8000-0000000000ff").exits(t, 5)
	p.says(t, "is not a tenant code")
	p = run("users", "list", "--all-tenants", "-o", "csv", "--columns", "tenant,username", "--no-headers").exits(t, 9)
	if got, want := p.out.String(), stem(other)+",ada\n"; got != want {
		t.Errorf("all tenants: %q, want %q", got, want)
	}
	p.says(t, `tenant x/../mgmt?host=h: "x/../mgmt?host=h" is not a tenant code`)
	// Without --tenant only the manager database is migrated, and a note says so.
	run("migrate", "status", "-o", "csv").exits(t, 0).says(t, "every tenant has a database of its own")
}
