package cli

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// TestFailover_EachChangeOnce kills the primary during a series of changes and promotes the standby. Each command uses
// both servers and is repeated after a failure, as a job would do.
func TestFailover_EachChangeOnce(t *testing.T) {
	t.Parallel()
	const creates = 40
	r := dbtest.NewReplicated(t, migrated)
	both := r.Both()
	create := func(i int) *process {
		return cxgctl(t, both, "users", "create", "--username", fmt.Sprintf("user%d", i), "--email", fmt.Sprintf("user%d@example.com", i),
			"--full-name", "U", "--no-password", "--timeout", "10s")
	}
	promoted := make(chan error, 1)
	for i := range creates {
		if i == creates/3 {
			go func() {
				time.Sleep(30 * time.Millisecond) // during a command
				r.Fail()
				promoted <- r.Promote(t.Context())
			}()
		}
		unsure := false
		for attempt := 0; ; attempt++ {
			p := create(i)
			code := p.code(t)
			if code == 0 || code == 4 && unsure {
				break
			}
			// A repeated command finds its user only if the outcome of the first attempt was unknown.
			if code != 8 || attempt > 200 {
				t.Fatalf("user%d, attempt %d exits with %d: %s", i, attempt, code, p.err.String())
			}
			unsure = unsure || strings.Contains(p.err.String(), "is not known")
			time.Sleep(50 * time.Millisecond)
		}
	}
	if err := <-promoted; err != nil {
		t.Fatal(err)
	}
	got := ask(t, r.Standby().Manager, `SELECT concat_ws(' ', count(*), count(DISTINCT username),
		(SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS' AND action_performed = 'CREATE'),
		(SELECT count(DISTINCT resource_id) FROM audt.audit_logs WHERE result = 'SUCCESS' AND action_performed = 'CREATE'))
		FROM idam.users WHERE username LIKE 'user%'`)
	if want := fmt.Sprintf("%d %[1]d %[1]d %[1]d", creates); got != want {
		t.Errorf("users, distinct names, audit rows, distinct resources: %s, want %s", got, want)
	}
	cxgctl(t, both, "audit", "verify").exits(t, 0)
}

// withReplica makes a process that reads the standby.
func withReplica(t *testing.T, r *dbtest.Replicated, args ...string) *process {
	t.Helper()
	return cxgctl(t, r.Primary(), args...).env("CXGCTL_REPLICA_DATABASE_URL="+r.Standby().Manager, "HOME="+t.TempDir())
}

func TestReplica_ListsReadIt(t *testing.T) {
	t.Parallel()
	r := dbtest.NewReplicated(t, migrated)
	names := func(want string, flags ...string) *process {
		t.Helper()
		p := withReplica(t, r, append([]string{"users", "list", "--columns", "username", "--no-headers", "-o", "csv", "--sort", "username"}, flags...)...).exits(t, 0)
		if got := strings.Fields(p.out.String()); strings.Join(got, " ") != want {
			t.Errorf("%v: %v, want %s", p.Args, got, want)
		}
		return p
	}
	create := func(name string) {
		withReplica(t, r, "users", "create", "--username", name, "--email", name+"@example.com", "--full-name", "U", "--no-password").exits(t, 0)
	}
	if said := names("admin").err.String(); said != "" {
		t.Errorf("a usable replica causes the note %q", said)
	}
	create("ada")
	eventually(t, r.Standby().Manager, `SELECT count(*) = 1 FROM idam.users WHERE username = 'ada'`)
	names("ada admin")

	if err := r.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	create("bob")
	names("ada admin")
	if said := names("ada admin bob", "--primary").err.String(); said != "" {
		t.Errorf("--primary causes the note %q", said)
	}
	names("ada admin bob", "--max-lag", "0s").says(t, "behind; reading from the primary")
	names("ada admin", "--max-lag", "1h")
	p := withReplica(t, r, "users", "export", "--columns", "username", "--no-headers").exits(t, 0)
	if got := p.out.String(); strings.Contains(got, "bob") || !strings.Contains(got, "ada") {
		t.Errorf("the export has %q", got)
	}
	doctor := withReplica(t, r, "doctor", "-o", "csv")
	doctor.code(t)
	if !strings.Contains(doctor.out.String(), "replica,manager,OK,") || !strings.Contains(doctor.out.String(), "bytes behind") {
		t.Errorf("doctor: %s", doctor.out.String())
	}

	if err := r.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, r.Standby().Manager, `SELECT count(*) = 1 FROM idam.users WHERE username = 'bob'`)
	names("ada admin bob")

	if err := r.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	names("ada admin bob").says(t, "the replica does not follow a primary; reading from the primary")
}

func TestReplica_UnreachableIsSkipped(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	p := cxgctl(t, pair, "users", "list", "--columns", "username", "--no-headers", "-o", "csv").
		env("CXGCTL_REPLICA_DATABASE_URL=postgres://cxgctl@/mgmt?host="+t.TempDir()).exits(t, 0)
	p.says(t, "cannot connect to the replica database")
	p.says(t, "; reading from the primary")
	if p.out.String() != "admin\n" {
		t.Errorf("the list is %q", p.out.String())
	}
}

// TestServers_PrimaryIsFound uses connection strings with the standby first.
func TestServers_PrimaryIsFound(t *testing.T) {
	t.Parallel()
	r := dbtest.NewReplicated(t, migrated)
	for name, pair := range map[string]dbtest.Pair{
		"asked for":     {Manager: r.Both().Manager + "&target_session_attrs=read-write"},
		"primary":       {Manager: r.Both().Manager + "&target_session_attrs=primary"},
		"not asked for": r.Both(),
	} {
		cxgctl(t, pair, "users", "create", "--username", strings.ReplaceAll(name, " ", "-"), "--email", strings.ReplaceAll(name, " ", "")+"@example.com",
			"--full-name", "U", "--no-password").exits(t, 0)
	}
	told := cxgctl(t, r.Both(), "users", "list", "-v").exits(t, 0).err.String()
	if !regexp.MustCompile(`(?m)^manager database: .+:\d+, .+:\d+/\S+, connected to .+, PostgreSQL \d`).MatchString(told) {
		t.Errorf("-v does not name both servers:\n%s", told)
	}
	cxgctl(t, r.Standby(), "users", "list").exits(t, 0)
	report := cxgctl(t, r.Standby(), "doctor", "--database", "manager", "-o", "csv", "--columns", "check,status,found").exits(t, 9).out.String()
	for _, line := range []string{"connection,WARN,", "features,OK,the server has the features that commands use; 9 of 17 were tried"} {
		if !strings.Contains(report, line) {
			t.Errorf("on a standby doctor does not print %s:\n%s", line, report)
		}
	}
	cxgctl(t, r.Standby(), "users", "update", "admin", "--phone", "1").exits(t, 8).says(t, "the server is read-only (a standby?)")
	r.Fail()
	cxgctl(t, r.Both(), "users", "list").exits(t, 0) // the standby still serves reads
	cxgctl(t, r.Both(), "users", "update", "admin", "--phone", "1").exits(t, 8).says(t, "the server is read-only (a standby?)")
	only := dbtest.Pair{Manager: r.Both().Manager + "&target_session_attrs=read-write"}
	cxgctl(t, only, "users", "list").exits(t, 8).says(t, "the server is a standby")
	if err := r.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	cxgctl(t, only, "users", "update", "admin", "--phone", "1").exits(t, 0)
}
