package doctor

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
)

func accept(context.Context, db.Reader) error { return nil }

func find(t *testing.T, results []Result, check string) Result {
	t.Helper()
	for _, r := range results {
		if r.Check == check {
			return r
		}
	}
	t.Fatalf("check %s is missing in %v", check, results)
	return Result{}
}

func execute(t *testing.T, dsn, sql string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // also called during cleanup
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// as returns the connection string with the given role.
func as(t *testing.T, dsn, role string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("options", "-c role="+role)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // connection strings do not decode plus signs
	return u.String()
}

func TestTheRemedyForMissingRightsGrantsThem(t *testing.T) {
	t.Parallel()
	dsn := dbtest.New(t, dbtest.Template{Name: "empty"}).Tenants
	const role = `doctor "reader"`
	quoted := pgx.Identifier{role}.Sanitize()
	execute(t, dsn, `CREATE SCHEMA sys; CREATE TABLE sys.users (id uuid); CREATE ROLE `+quoted)
	t.Cleanup(func() { execute(t, dsn, `DROP OWNED BY `+quoted+`; DROP ROLE `+quoted) })
	look := func() Result {
		options := db.Options{Name: "tenants", URL: as(t, dsn, strings.ReplaceAll(role, " ", `\ `)), Timeout: 10 * time.Second}
		results, err := Run(t.Context(), Input{Targets: []Target{{Database: migrate.Tenants, Options: options}}})
		if !fault.Is(err, fault.PartialFailure) {
			t.Fatalf("Run returned %v", err)
		}
		return find(t, results, "rights")
	}

	r := look()
	if r.Status != Fail || r.Count != 2 || r.Examples[0] != "USAGE on schema sys" || r.Examples[1] != "SELECT, INSERT, UPDATE on sys.users" {
		t.Errorf("without any privilege: %+v", r)
	}
	execute(t, dsn, `GRANT USAGE ON SCHEMA sys TO `+quoted+`; GRANT SELECT, UPDATE ON sys.users TO `+quoted)
	if r = look(); r.Status != Warn || r.Remedy != `GRANT INSERT ON sys.users TO "doctor ""reader"""` {
		t.Errorf("without INSERT: %+v", r)
	}
	execute(t, dsn, r.Remedy)
	if r = look(); r.Status != OK || r.Remedy != "" {
		t.Errorf("after running the remedy: %+v", r)
	}
	execute(t, dsn, `ALTER TABLE sys.users ENABLE ROW LEVEL SECURITY`)
	if r = look(); r.Status != Warn || r.Examples[0] != "sys.users" {
		t.Errorf("with row-level security: %+v", r)
	}
}

func TestAServerThatSaysNothingHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dsn := dbtest.New(t, dbtest.Template{Name: "empty"}).Tenants
	results, err := Run(t.Context(), Input{
		Operator: Operator{Accept: accept},
		Targets: []Target{
			{Database: migrate.Manager, Required: true, Options: db.Options{
				Name: "manager", URL: "postgres://ops:Hunter-2@" + silent.Addr().String() + "/mgmt?sslmode=disable", Timeout: 300 * time.Millisecond,
			}},
			{Database: migrate.Tenants, Options: db.Options{Name: "tenants", URL: dsn, Timeout: 10 * time.Second}},
		},
	})
	if !fault.Is(err, fault.Database) || !strings.Contains(err.Error(), "timed out") {
		t.Errorf("Run returned %v", err)
	}
	made := map[Status]int{}
	for _, r := range results {
		made[r.Status]++
		if r.Target == "tenants" && r.Check == "connection" && r.Status != OK {
			t.Errorf("the other database: %+v", r)
		}
		if strings.Contains(r.Found+r.Remedy, "Hunter") {
			t.Errorf("a password is visible in %+v", r)
		}
	}
	ofBoth := len(slices.DeleteFunc(slices.Clone(checks), func(c check) bool { return c.only != "" }))
	// for the empty database only six checks can run: connection, version, clock, migrations, tables and features
	if len(results) != 2+len(checks)+ofBoth || made[Skip] != 1+len(checks)-1+ofBoth-6 {
		t.Errorf("%d results, %v", len(results), made)
	}
}

func TestACancelledRunHasNoVerdictOfItsOwn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results, err := Run(ctx, Input{Targets: []Target{{Database: migrate.Manager, Options: db.Options{URL: "host=/nonexistent"}}}})
	if results != nil || err == nil || fault.Is(err, fault.PartialFailure) {
		t.Errorf("results %v, error %v", results, err)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		session
		want Status
	}{
		{"the oldest supported", session{Engine: "PostgreSQL 13.0 on x86_64", Version: "13.0", Number: 130000, Encoding: "UTF8"}, OK},
		{"newer than this program", session{Engine: "PostgreSQL 42.1 on x86_64", Version: "42.1", Number: 420001, Encoding: "UTF8"}, OK},
		{"too old", session{Engine: "PostgreSQL 12.22 on x86_64", Version: "12.22", Number: 120022, Encoding: "UTF8"}, Fail},
		{"another engine", session{Engine: "CockroachDB CCL v25.1", Version: "13.0.0", Number: 130000, Encoding: "UTF8"}, Warn},
	} {
		f := judgeVersion(&subject{in: &Input{Client: "cxgctl 1"}, session: c.session})
		if f.Status != c.want || f.Bad() != (f.Remedy != "") {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		skew, uncertain time.Duration
		want            Status
		found           string
	}{
		{300 * time.Microsecond, 100 * time.Microsecond, OK, "the server's clock is 0.3 ms ahead of ours, to within 0.1 ms"},
		{-900 * time.Millisecond, time.Millisecond, OK, "the server's clock is 900.0 ms behind ours, to within 1.0 ms"},
		{-90 * time.Second, time.Millisecond, Warn, "the server's clock is 1m30s behind ours, to within 1.0 ms"},
		// a slow network does not mean a wrong clock
		{1500 * time.Millisecond, 1400 * time.Millisecond, OK, "the server's clock is 1.5s ahead of ours, to within 1.4s"},
	} {
		if f := judgeClock(c.skew, c.uncertain); f.Status != c.want || f.Found != c.found {
			t.Errorf("%s: %+v", c.skew, f)
		}
	}
}

func TestWhoCrossesANetworkInTheClear(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	for _, c := range []struct {
		session
		want bool
	}{
		{session{}, false}, // a unix socket
		{session{Address: text("127.0.0.1")}, false},
		{session{Address: text("::1")}, false},
		{session{Address: text("10.0.0.1"), TLS: text("TLSv1.3")}, false},
		{session{Address: text("10.0.0.1")}, true},
	} {
		if got := c.exposed(); got != c.want {
			t.Errorf("%+v: %t", c.session, got)
		}
	}
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	one, two := migrate.Step{Version: 1, Name: "1.sql", Applied: true}, migrate.Step{Version: 2, Name: "2.sql"}
	three := migrate.Step{Version: 3, Applied: true}
	for _, c := range []struct {
		steps  []migrate.Step
		want   Status
		found  string
		remedy string
	}{
		{[]migrate.Step{one}, OK, "1 of 1 migration applied", ""},
		{[]migrate.Step{one, two}, Warn, "1 of 2 migrations applied", "cxgctl migrate up --database manager"},
		{[]migrate.Step{one, three}, Warn, "1 of 1 migration applied, and 1 unknown to this cxgctl", "use the newer cxgctl that applied them"},
		{
			[]migrate.Step{one, two, three},
			Warn, "1 of 2 migrations applied, and 1 unknown to this cxgctl",
			"use the newer cxgctl that applied the others, and run: cxgctl migrate up --database manager",
		},
	} {
		if f := judgeMigrations(c.steps, migrate.Manager); f.Status != c.want || f.Found != c.found || f.Remedy != c.remedy {
			t.Errorf("%v: %+v", c.steps, f)
		}
	}
}

// Doctor refuses the same files as commands.
func TestSecretFiles(t *testing.T) {
	t.Parallel()
	refused := func(path string) error {
		return fault.New(fault.Validation, "password_file %s is open to others", path).WithHint("chmod 600 %s", path)
	}
	if f := secretFiles(&Input{Secrets: []File{{Name: "password_file", Path: "closed"}}}); f.Status != OK {
		t.Errorf("closed: %+v", f)
	}
	f := secretFiles(&Input{Secrets: []File{{Name: "password_file", Path: "closed"}, {Path: "a", Err: refused("a")}, {Path: "b", Err: refused("b")}}})
	if f.Status != Fail || f.Count != 2 || len(f.Examples) != 2 || f.Remedy != "chmod 600 a; chmod 600 b" {
		t.Errorf("two are refused: %+v", f)
	}
}
