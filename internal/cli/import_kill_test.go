package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

// peopleFile writes a csv file of n users whose names begin with the prefix.
func peopleFile(t *testing.T, prefix string, n int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("username,email,full_name,department\n")
	for i := range n {
		fmt.Fprintf(&b, "%[1]s%[2]d,%[1]s%[2]d@example.com,\"Nr. %[2]d, 김\",Sales\n", prefix, i)
	}
	return written(t, prefix+".csv", b.String())
}

// written writes a file in the test's folder.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// An import is killed at random points and continued by the same command. In the end each row was applied once, with
// its audit row, and is recorded as applied.
func TestImport_SurvivesKills(t *testing.T) {
	t.Parallel()
	const killed = -1
	r := torture.Report(t, 1, "imports of 5,000 users, kill -9")
	for range torture.Count(50, 5, 1) { // in new databases, because a run reads the names of all users
		t.Run("", func(t *testing.T) {
			importThrough(t, r, dbtest.New(t, migrated), torture.Count(20, 20, 4), killed, func(p *process) { _ = p.Process.Kill() })
		})
	}
}

// The server is restarted during an import, at random points, as after a crash.
func TestImport_SurvivesRestarts(t *testing.T) {
	t.Parallel()
	r := torture.Report(t, 2, "imports of 5,000 users, server restarts")
	server := dbtest.NewRestartable(t, migrated)
	importThrough(t, r, server.Pair(), torture.Count(100, 20, 3), 8, func(*process) {
		server.Stop()
		server.Start(t)
	})
}

// importThrough imports files while accidents happen, each at a random point of a run, until there were enough and one
// came while a file was half imported. A run ended by an accident exits with the code, and the same command is run again.
func importThrough(t *testing.T, result *torture.Result, pair dbtest.Pair, accidents, ended int, strike func(*process)) {
	t.Helper()
	rows := torture.Count(5000, 5000, 3000)
	random := rand.New(rand.NewPCG(4, uint64(100+result.Attempts.Load())))
	run := func(path string) *process { return cxgctl(t, pair, "users", "import", path, "--no-passwords", "-q") }
	began := time.Now()
	if code := run(peopleFile(t, "whole", rows)).start(t).exit(t); code != 0 {
		t.Fatalf("exit %d", code)
	}
	took := time.Since(began)

	imports, midway, struck := 1, 0, 0
	more := func() bool { return struck < accidents || midway == 0 && struck < 100 }
	for ; more(); imports++ {
		prefix := fmt.Sprintf("part%d_", imports)
		path := peopleFile(t, prefix, rows)
		for code := ended; code == ended; {
			p := run(path).start(t)
			result.Attempts.Add(1)
			if more() {
				struck++
				result.Faults.Add(1)
				time.Sleep(time.Duration(random.Int64N(int64(took))))
				strike(p)
			}
			if code = p.exit(t); code != 0 && code != ended {
				t.Fatalf("exit %d\n%s", code, p.err.String())
			}
			if n := ask(t, pair.Manager, `SELECT count(*) FROM idam.users WHERE username LIKE '`+prefix+`%'`); n != "0" && n != fmt.Sprint(rows) {
				midway++
			}
		}
	}
	t.Logf("%d accidents over %d imports, %d of them between the first batch and the last", struck, imports-1, midway)
	if midway == 0 {
		t.Error("no accident came while a file was half imported")
	}
	result.Rows(t, askInt(t, pair.Manager, `SELECT count(*) FROM idam.users WHERE username <> 'admin'`),
		askInt(t, pair.Manager, `SELECT count(DISTINCT username) FROM idam.users WHERE username <> 'admin'`), rows*imports)
	for what, sql := range map[string]string{
		// a run that saw the server come back has an audit row of its failure too
		"audit rows":          `SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS'`,
		"seals":               `SELECT count(*) FROM cxg_audit.seal s JOIN audt.audit_logs l ON l.id = s.audit_id WHERE l.result = 'SUCCESS'`,
		"users with a record": `SELECT count(DISTINCT u.id) FROM idam.users u JOIN audt.audit_logs l ON l.resource_id = u.id::text WHERE l.extra_data->'after'->>'email' = u.email AND l.result = 'SUCCESS'`,
		"rows on record":      `SELECT sum(records) FROM cxg_import.rows`,
	} {
		if got, want := askInt(t, pair.Manager, sql), rows*imports; got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
			result.Unaudited.Add(1)
		}
	}
	if n := ask(t, pair.Manager, `SELECT count(*) FROM cxg_import.files WHERE finished_at IS NULL`); n != "0" {
		t.Errorf("%s files count as unfinished", n)
	}
	cxgctl(t, pair, "audit", "verify").exits(t, 0)
}

// The server process that marks a file as finished is ended, as by a restart after the last batch. An import says
// "done" only of a file that counts as finished.
func TestImport_FinishedOnlyIfMarked(t *testing.T) {
	if testing.Short() {
		t.Skip("waits 15 seconds for retries; TestImport_SurvivesKills continues imports too")
	}
	t.Parallel()
	for _, c := range []struct {
		name     string
		losses   int
		exit     int
		finished string
	}{
		{"once", 1, 0, "t"},
		{"always", 1_000_000, 8, "f"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pair := dbtest.New(t, migrated)
			ask(t, pair.Manager, fmt.Sprintf(`
CREATE SEQUENCE public.losses;
CREATE FUNCTION public.lose() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('public.losses') <= %d THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER lose BEFORE UPDATE ON cxg_import.files FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION public.lose()`, c.losses))
			p := cxgctl(t, pair, "users", "import", peopleFile(t, "last", 3), "--no-passwords")
			if code := p.code(t); code != c.exit || code != 0 && !strings.Contains(p.err.String(), "still counts as unfinished") {
				t.Errorf("exit %d, want %d\n%s", code, c.exit, p.err.String())
			}
			if got := ask(t, pair.Manager, `SELECT bool_and(finished_at IS NOT NULL) FROM cxg_import.files`); got != c.finished {
				t.Errorf("finished: %s, want %s", got, c.finished)
			}
			if got := ask(t, pair.Manager, `SELECT count(*) FROM idam.users WHERE username LIKE 'last%'`); got != "3" {
				t.Errorf("%s users, want 3", got)
			}
		})
	}
}
