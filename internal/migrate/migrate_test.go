package migrate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/fault"
)

var empty = dbtest.Template{Name: "empty", Key: "1"}

// configs returns the configurations of two empty databases.
func configs(t *testing.T) map[Database]*pgx.ConnConfig {
	t.Helper()
	return databases(t, empty)
}

// databases returns the configurations of a template's databases.
func databases(t *testing.T, template dbtest.Template) map[Database]*pgx.ConnConfig {
	t.Helper()
	pair := dbtest.New(t, template)
	out := map[Database]*pgx.ConnConfig{}
	for which, dsn := range map[Database]string{Manager: pair.Manager, Tenants: pair.Tenants} {
		cfg, err := pgx.ParseConfig(dsn)
		if err != nil {
			t.Fatal(err)
		}
		cfg.RuntimeParams["default_transaction_read_only"] = "on"
		out[which] = cfg
	}
	return out
}

func query[T any](t *testing.T, cfg *pgx.ConnConfig, sql string) (v T) {
	t.Helper()
	conn := session(t, cfg)
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// session opens a session that may write.
func session(t *testing.T, cfg *pgx.ConnConfig) *pgx.Conn {
	t.Helper()
	cfg = cfg.Copy()
	delete(cfg.RuntimeParams, "default_transaction_read_only")
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// objects returns every column, constraint and index that a migration can create.
const objects = `
SELECT md5(string_agg(d, E'\n' ORDER BY d)) FROM (
  SELECT format('column %s.%s.%s %s %s %s', table_schema, table_name, column_name, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema IN ('idam', 'tnnt', 'bill', 'audt', 'sys')
  UNION ALL
  SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
   WHERE connamespace::regnamespace::text IN ('idam', 'tnnt', 'bill', 'audt', 'sys')
  UNION ALL
  SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname IN ('idam', 'tnnt', 'bill', 'audt', 'sys')
  ) AS x (d)`

const tables = `
SELECT count(*) FROM pg_class
 WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('idam', 'tnnt', 'bill', 'audt', 'sys')`

// required lists the migrations that are not optional.
func required(t *testing.T, which Database) []Step {
	t.Helper()
	list, err := load(which)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(steps(list, nil), func(s Step) bool { return s.Optional != "" })
}

func TestUpTwiceIsUpOnce(t *testing.T) {
	t.Parallel()
	for which, cfg := range configs(t) {
		steps := required(t, which)
		done, err := Up(t.Context(), cfg, which)
		if err != nil {
			t.Fatalf("%s: %v", which, err)
		}
		if len(done) != len(steps) {
			t.Errorf("%s: applied %d migrations, want %d", which, len(done), len(steps))
		}
		for i, r := range done {
			if r.Version != steps[i].Version || r.Name != steps[i].Name || !r.Applied {
				t.Errorf("%s: applied %+v, want %+v", which, r, steps[i])
			}
		}
		before := query[string](t, cfg, objects)
		if done, err = Up(t.Context(), cfg, which); err != nil || len(done) != 0 {
			t.Errorf("%s: the second run applied %v, error %v", which, done, err)
		}
		if after := query[string](t, cfg, objects); after != before {
			t.Errorf("%s: the second run changed the schema", which)
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for which, cfg := range configs(t) {
		plan, err := PlanUp(t.Context(), cfg, which)
		steps := plan.Steps
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if s.Applied || !s.AppliedAt.IsZero() {
				t.Errorf("%s: %s is applied in an empty database", which, s.Name)
			}
		}
		if query[bool](t, cfg, `SELECT to_regclass('`+Table+`') IS NOT NULL`) {
			t.Errorf("%s: PlanUp created the version table", which)
		}
		if _, err := UpWith(t.Context(), cfg, which, []string{"search"}); err != nil {
			t.Fatal(err)
		}
		if _, err := session(t, cfg).Exec(t.Context(), `INSERT INTO `+Table+` (version_id, is_applied) VALUES (90001, true)`); err != nil {
			t.Fatal(err)
		}
		plan, err = PlanUp(t.Context(), cfg, which)
		after := plan.Steps
		if err != nil {
			t.Fatal(err)
		}
		if len(after) != len(steps)+1 || after[len(steps)].Version != 90001 || after[len(steps)].Name != "" {
			t.Errorf("%s: a migration of a newer cxgctl is not listed last without a name: %+v", which, after)
		}
		for _, s := range after {
			if age := time.Since(s.AppliedAt); !s.Applied || age < -time.Minute || age > 10*time.Minute {
				t.Errorf("%s: %+v, want it applied just now", which, s)
			}
		}
		if _, err := Down(t.Context(), cfg, which, "", false); fault.Status(err) != 8 {
			t.Errorf("%s: reverting an unknown migration: %v, want a DATABASE_ERROR", which, err)
		}
	}
}

func TestConcurrentRunsWait(t *testing.T) {
	t.Parallel()
	cfg := configs(t)[Manager]
	type outcome struct {
		n   int
		err error
	}
	outcomes := make(chan outcome)
	for range 8 {
		go func() {
			done, err := Up(t.Context(), cfg, Manager)
			outcomes <- outcome{len(done), err}
		}()
	}
	applied := 0
	for range 8 {
		o := <-outcomes
		if o.err != nil {
			t.Error(o.err)
		}
		applied += o.n
	}
	if steps := required(t, Manager); applied != len(steps) {
		t.Errorf("eight runs applied %d migrations, want each of the %d once", applied, len(steps))
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	cfg := configs(t)[Manager]
	holder := session(t, cfg)
	if _, err := holder.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, int64(lockKey)); err != nil {
		t.Fatal(err)
	}
	// A busy machine may need longer than the first limit to reach the lock.
	for limit := 500 * time.Millisecond; ; limit *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		_, err := Up(ctx, cfg, Manager)
		cancel()
		if fault.Is(err, fault.Busy) {
			break
		}
		if limit > 16*time.Second {
			t.Fatalf("after its time: %v, want BUSY", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	if _, err := Up(ctx, cfg, Manager); !fault.Is(err, fault.Interrupted) {
		t.Errorf("after an interrupt: %v, want INTERRUPTED", err)
	}
	if n := query[int](t, cfg, tables); n != 0 {
		t.Errorf("%d tables were created without the lock", n)
	}
}

// A waiting run must not hold a snapshot: CREATE INDEX CONCURRENTLY in the other run would wait for it, and both would
// deadlock.
func TestWaitHoldsUpNoConcurrentIndex(t *testing.T) {
	t.Parallel()
	cfg := configs(t)[Manager]
	holder := session(t, cfg)
	if _, err := holder.Exec(t.Context(), `CREATE TABLE public.t (a int)`); err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, int64(lockKey)); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := Up(t.Context(), cfg, Manager)
		waiting <- err
	}()
	const waiters = `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%pg_try_advisory_lock%'`
	for query[int](t, cfg, waiters) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := holder.Exec(ctx, `CREATE INDEX CONCURRENTLY ON public.t (a)`); err != nil {
		t.Fatalf("an index during a waiting run: %v", err)
	}
	_ = holder.Close(t.Context())
	if err := <-waiting; err != nil {
		t.Error(err)
	}
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	for which, cfg := range configs(t) {
		if done, err := Down(t.Context(), cfg, which, "", false); err != nil || len(done) != 0 {
			t.Errorf("%s: down on an empty database reverted %v, error %v", which, done, err)
		}
		up, err := Up(t.Context(), cfg, which)
		if err != nil {
			t.Fatal(err)
		}
		before := query[string](t, cfg, objects)
		for i := len(up) - 1; i >= 0; i-- {
			done, err := Down(t.Context(), cfg, which, "", false)
			if err != nil {
				t.Fatal(err)
			}
			if len(done) != 1 || done[0].Name != up[i].Name || done[0].Applied {
				t.Fatalf("%s: reverted %+v, want %s", which, done, up[i].Name)
			}
		}
		if n := query[int](t, cfg, tables); n != 0 {
			t.Errorf("%s: %d tables are left", which, n)
		}
		if done, err := Down(t.Context(), cfg, which, "", false); err != nil || len(done) != 0 {
			t.Errorf("%s: down at zero reverted %v, error %v", which, done, err)
		}
		if _, err := Up(t.Context(), cfg, which); err != nil {
			t.Fatal(err)
		}
		if query[string](t, cfg, objects) != before {
			t.Errorf("%s: the schema differs after up, down, up", which)
		}
	}
}

func TestFailureNamesTheFileAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	cfg := configs(t)[Manager]
	conn := session(t, cfg)
	// a table that the foreign keys of 00004 cannot refer to
	if _, err := conn.Exec(t.Context(), `CREATE SCHEMA tnnt; CREATE TABLE tnnt.tenants (id uuid)`); err != nil {
		t.Fatal(err)
	}
	done, err := Up(t.Context(), cfg, Manager)
	if fault.Status(err) != 8 || !strings.Contains(err.Error(), "00004_tenants.sql") || !strings.Contains(err.Error(), "tnnt.tenant_users") {
		t.Errorf("error %v, want a DATABASE_ERROR that names 00004_tenants.sql and tnnt.tenant_users", err)
	}
	if len(done) != 3 {
		t.Errorf("%d migrations are reported as applied, want 3", len(done))
	}
	if query[bool](t, cfg, `SELECT EXISTS (SELECT FROM `+Added+` WHERE version = 4)`) {
		t.Error("part of the failed migration remains")
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && strings.Contains(f.Message+f.Hint, "host=") {
		t.Errorf("the message shows the connection: %s", f.Message)
	}
}

// Down must not remove what it did not add, such as an existing role with one of our codes.
func TestReferenceRowsOfOthersStay(t *testing.T) {
	t.Parallel()
	cfg := configs(t)[Manager]
	if _, err := Up(t.Context(), cfg, Manager); err != nil {
		t.Fatal(err)
	}
	const before = 8 // 00009 adds the reference rows
	downTo(t, cfg, Manager, before)
	conn := session(t, cfg)
	if _, err := conn.Exec(t.Context(), `INSERT INTO idam.roles (code, name, category, scope) VALUES ('SUPER_ADMIN', 'ours', 'MANAGER_ADMIN', 'GLOBAL')`); err != nil {
		t.Fatal(err)
	}
	if _, err := Up(t.Context(), cfg, Manager); err != nil {
		t.Fatal(err)
	}
	const granted = `SELECT count(*) FROM idam.role_permissions JOIN idam.roles r ON r.id = role_id WHERE r.name = 'ours'`
	if n := query[int](t, cfg, granted); n != 0 {
		t.Errorf("an existing role was given %d permissions", n)
	}
	downTo(t, cfg, Manager, before)
	if got := query[string](t, cfg, `SELECT string_agg(name, ',') FROM idam.roles`); got != "ours" {
		t.Errorf("roles left: %s, want ours", got)
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	m, n := Hash(Manager), Hash(Tenants)
	if len(m) != 64 || len(n) != 64 || m == n {
		t.Errorf("hashes %q and %q, want two different SHA-256", m, n)
	}
}
