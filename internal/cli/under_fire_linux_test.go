package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

// The server cannot write its WAL: it fails in the middle of a change or of a COMMIT, and does not come back until there
// is space. The limit of a file's size does that for an ordinary user too.
func TestChange_ServerDiskFull_WAL(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 10, "changes, server's disk full for WAL")
	server := dbtest.NewRestartable(t, migrated)
	pair := server.Pair()
	points := torture.Count(100, 6, 6)
	insertSubjects(t, pair, points)
	for n := range points {
		s := subjects[n%len(subjects)]
		// The server itself needs some WAL and no large files to start.
		ask(t, pair.Manager, `SELECT pg_switch_wal()`)
		ask(t, pair.Manager, `SELECT pg_logical_emit_message(true, 'test', repeat('x', 4 << 20))`)
		at := askInt(t, pair.Manager, `SELECT file_offset FROM pg_walfile_name_offset(pg_current_wal_insert_lsn())`)
		server.Stop()
		server.StartLimited(t, at+(9+rand.IntN(20))<<10)
		done := make(chan attempt, 1)
		go func() { done <- s.start(t, pair, n) }()
		var a attempt
		select {
		case a = <-done:
		case <-server.Ended():
		case <-time.After(time.Second): // it may try to start again and again
		}
		server.Stop()
		server.Start(t)
		if a.what == "" { // the command may have to wait for the server to find out about its COMMIT
			a = <-done
		}
		if a.code != 0 {
			result.Faults.Add(1)
		}
		s.look(t, pair, &a, n)
		a.judge(t, result)
	}
	if result.Faults.Load() == 0 {
		t.Error("the disk was never full")
	}
	if code, said := runOnce(t, pair, "", "audit", "verify"); code != 0 {
		t.Errorf("verify: %s", said)
	}
}

// The server cannot extend its tables: on a small file system, or, for an ordinary user, beyond a limit of a file's
// size, which the audit log has reached. Changes fail as a whole, and succeed once there is space.
func TestChange_ServerDiskFull_Tables(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 10, "changes, server's disk full for tables")
	points := torture.Count(200, 24, 12)
	const small, limited = "file system", "file size"
	for _, way := range []string{small, limited} {
		t.Run(way, func(t *testing.T) {
			server := dbtest.NewRestartable(t, migrated)
			pair := server.Pair()
			insertSubjects(t, pair, points)
			var free func()
			if way == small {
				data, owner := ask(t, pair.Manager, "SHOW data_directory"), syscall.Stat_t{}
				dir := filepath.Join(filepath.Dir(data), "small")
				if err := errors.Join(os.Mkdir(dir, 0o700), syscall.Stat(data, &owner)); err != nil {
					t.Fatal(err)
				}
				if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=48m,mode=700,uid=%d,gid=%d", owner.Uid, owner.Gid)); err != nil {
					if os.Geteuid() == 0 {
						t.Fatal(err)
					}
					return // an ordinary user has the other way
				}
				t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
				ask(t, pair.Manager, "CREATE TABLESPACE small LOCATION '"+dir+"'")
				for _, dsn := range []string{pair.Manager, pair.Tenants} {
					ask(t, dsn, "ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE small; ALTER INDEX ALL IN TABLESPACE pg_default SET TABLESPACE small")
				}
				filler := filepath.Join(dir, "filler")
				if err := os.WriteFile(filler, make([]byte, 48<<20), 0o600); err == nil {
					t.Fatal("the file system is not full")
				}
				free = func() { _ = os.Remove(filler) }
			} else {
				ask(t, pair.Manager, `INSERT INTO audt.audit_logs (event_type, event_category, description, extra_data)
					SELECT 'LOGIN', 'AUTHENTICATION', n, jsonb_build_object('n', (SELECT string_agg(md5((n * 100 + i)::text), '') FROM generate_series(1, 50) i)) FROM generate_series(1, 10500) n`)
				if code, said := runOnce(t, pair, "", "audit", "seal"); code != 0 {
					t.Fatal(said)
				}
				ask(t, pair.Manager, "CHECKPOINT")
				server.Stop()
				server.StartLimited(t, 16<<20) // of a segment of WAL
				free = func() {
					server.Stop()
					server.Start(t)
				}
			}
			failed := 0
			for n := range points {
				a := subjects[n%len(subjects)].attempt(t, pair, pair, n)
				if a.code != 0 {
					failed++
				}
				a.judge(t, result)
			}
			result.Faults.Add(int64(failed))
			if failed == 0 {
				t.Error("the disk was never full")
			}
			free()
			if a := subjects[1].attempt(t, pair, pair, points); a.code != 0 || a.changed != 1 {
				t.Errorf("with space again: %+v", a)
			}
			if code, said := runOnce(t, pair, "", "audit", "verify"); code != 0 {
				t.Errorf("verify: %s", said)
			}
		})
	}
}

// A signal at a random moment of a change: it is rolled back with exit code 130 or 143, or was made.
func TestSignal_AtAnyMoment(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 11, "changes, SIGINT or SIGTERM at a random point")
	pair := dbtest.New(t, migrated)
	points := torture.Count(200, 12, 6)
	insertSubjects(t, pair, points)
	began := time.Now()
	cxgctl(t, pair, "users", "update", fmt.Sprint("u", points), "--phone", "555").exits(t, 0)
	took := time.Since(began)
	for n := range points {
		s := subjects[n/2%len(subjects)]
		sig, code := syscall.SIGINT, 130
		if n%2 == 0 {
			sig, code = syscall.SIGTERM, 143
		}
		fill := strings.NewReplacer("{n}", fmt.Sprint(n))
		p := cxgctl(t, pair, append(strings.Fields(fill.Replace(s.args)), "--reason", fmt.Sprint("run ", n))...).in(fill.Replace(s.stdin)).start(t)
		time.Sleep(took/8 + rand.N(took))
		if p.Process.Signal(sig) == nil { // it has not ended
			result.Faults.Add(1)
		}
		// The system ends a process that has only just started.
		a := attempt{what: fmt.Sprintf("run %d, %s", n, s.args), code: p.exit(t), said: p.err.String(), want: s.want, codes: []int{code, -1}}
		s.look(t, pair, &a, n)
		a.judge(t, result)
	}
}

// Commands and the backend change the same rows at the same time. No change of either is lost, and the audit log has the
// true values before and after each change of a command.
func TestUpdate_RacingBackend(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 5, "updates racing the backend")
	pair := dbtest.New(t, migrated)
	const users, clients = 4, 4
	insertSubjects(t, pair, users)
	var backend, workers sync.WaitGroup
	var stop atomic.Bool
	var counted, next, made atomic.Int64
	for i := range clients {
		conn := unchecked(t, pair.Manager)
		backend.Go(func() {
			for n := 0; !stop.Load(); n++ {
				if _, err := conn.Exec(t.Context(), `UPDATE idam.users SET failed_login_attempts = failed_login_attempts + 1, updated_at = now() WHERE username = $1`,
					fmt.Sprint("u", (n+i)%users)); err != nil {
					t.Error(err)
					return
				}
				counted.Add(1)
				result.Faults.Add(1)
				time.Sleep(rand.N(60 * time.Millisecond))
			}
		})
	}
	total := int64(torture.Count(1000, 60, 24))
	for range clients {
		workers.Go(func() {
			for n := next.Add(1); n <= total; n = next.Add(1) {
				code, said := runOnce(t, pair, "", "users", "update", fmt.Sprint("u", n%users), "--position", fmt.Sprint("p", n))
				result.Attempts.Add(1)
				switch code {
				case 0:
					made.Add(1)
				case 4: // a conflict
				default:
					t.Errorf("exit code %d: %s", code, said)
					result.Wrong.Add(1)
				}
			}
		})
	}
	workers.Wait()
	stop.Store(true)
	backend.Wait()
	if got := askInt(t, pair.Manager, `SELECT sum(failed_login_attempts) FROM idam.users`); int64(got) != counted.Load() {
		t.Errorf("%d of the backend's %d changes are stored", got, counted.Load())
		result.Lost.Add(counted.Load() - int64(got))
	}
	rows, err := query(t.Context(), pair.Manager, changesOf)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(rows)) != made.Load() {
		t.Errorf("%d audit rows of %d changes", len(rows), made.Load())
		result.Unaudited.Add(1)
	}
	positions := map[string]any{}
	for _, row := range rows {
		var before, after map[string]any
		if err := json.Unmarshal([]byte(row[1]), &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(row[2]), &after); err != nil {
			t.Fatal(err)
		}
		if before["position"] != positions[row[0]] {
			t.Errorf("the audit row of %s has position %v before, want %v", row[0], before["position"], positions[row[0]])
			result.Lost.Add(1)
		}
		positions[row[0]] = after["position"]
	}
	stored, err := query(t.Context(), pair.Manager, `SELECT id, position FROM idam.users WHERE position IS NOT NULL`)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range stored {
		if positions[row[0]] != row[1] {
			t.Errorf("%s has position %s, the audit log %v", row[0], row[1], positions[row[0]])
			result.Lost.Add(1)
		}
	}
	t.Logf("%d of %d updates were made beside %d of the backend", made.Load(), total, counted.Load())
}

// The server's clock steps between changes, by hours to years in both directions. Changes, the log's order and its seals
// do not depend on it.
func TestChange_ClockSteps(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 14, "changes, server's clock set forward or back")
	server, clock := dbtest.NewRestartableWithClock(t, migrated)
	pair := server.Pair()
	points := torture.Count(200, 12, 6)
	insertSubjects(t, pair, points)
	for n := range points {
		clock.Step(t, []time.Duration{-400 * 24 * time.Hour, -time.Hour, 0, time.Minute, 26 * time.Hour, 400 * 24 * time.Hour}[rand.IntN(6)])
		result.Faults.Add(1)
		a := subjects[n%len(subjects)].attempt(t, pair, pair, n)
		a.codes = []int{}
		a.judge(t, result)
		if a.code != 0 {
			t.Errorf("%s: exit code %d: %s", a.what, a.code, a.said)
			result.Wrong.Add(1)
		}
		if n%6 == 5 {
			if code, said := runOnce(t, pair, "", "audit", "verify"); code != 0 {
				t.Errorf("verify: %s", said)
				result.Wrong.Add(1)
			}
		}
	}
}

// neighbours are objects that another user of the database planted: triggers, rules and policies that skip, change,
// revert, move or delete the rows of a change, at once or at its end. {table} is a table of users.
var neighbours = map[string]string{
	"skips":            `CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$; CREATE TRIGGER no BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.no()`,
	"rewrites":         `CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.full_name := 'Mallory'; NEW.phone := '02-6666'; NEW.status := 'INACTIVE'; RETURN NEW; END$$; CREATE TRIGGER no BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.no()`,
	"keeps old values": `CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN OLD; END$$; CREATE TRIGGER no BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.no()`,
	"deletes":          `CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM {table} WHERE id = NEW.id; RETURN NULL; END$$; CREATE TRIGGER no AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.no()`,
	"deletes at commit": `CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM {table} WHERE id = NEW.id; RETURN NULL; END$$;
		CREATE CONSTRAINT TRIGGER no AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.no()`,
	"reverts at commit": `CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF pg_trigger_depth() < 2 THEN UPDATE {table} SET full_name = 'Mallory', phone = '02-6666', status = 'ACTIVE', is_active = true WHERE id = NEW.id; END IF; RETURN NULL; END$$;
		CREATE CONSTRAINT TRIGGER no AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.no()`,
	"fails at commit": `CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$;
		CREATE CONSTRAINT TRIGGER no AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.no()`,
	"commits":           `CREATE PROCEDURE public.part() LANGUAGE plpgsql AS $$BEGIN COMMIT; END$$; CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN CALL public.part(); RETURN NEW; END$$; CREATE TRIGGER no BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.no()`,
	"changes settings":  `CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM set_config('search_path', 'evil', false), set_config('datestyle', 'German', false), set_config('timezone', 'Asia/Kathmandu', false), set_config('synchronous_commit', 'off', true); RETURN NEW; END$$; CREATE TRIGGER no BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.no()`,
	"rule for inserts":  `CREATE RULE no AS ON INSERT TO {table} DO INSTEAD NOTHING`,
	"rule for updates":  `CREATE RULE no AS ON UPDATE TO {table} DO INSTEAD NOTHING`,
	"deletes in a rule": `CREATE RULE no AS ON UPDATE TO {table} DO ALSO DELETE FROM {table} WHERE id = NEW.id`,
	"policy":            `ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY; CREATE POLICY no ON {table} USING (username NOT LIKE 'u%')`,
}

// Changes beside hostile neighbours fail as a whole, or are made and audited as stored.
func TestChange_HostileNeighbours(t *testing.T) {
	if testing.Short() {
		t.Skip("TestHostileSettings runs scripts beside planted objects")
	}
	t.Parallel()
	result := torture.Report(t, 14, "changes beside planted triggers, rules, policies")
	for name, sql := range neighbours {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := dbtest.New(t, migrated)
			insertSubjects(t, pair, len(subjects))
			for dsn, table := range map[string]string{pair.Manager: "idam.users", pair.Tenants: "sys.users"} {
				if _, err := query(t.Context(), dsn, strings.ReplaceAll(sql, "{table}", table)); err != nil {
					t.Fatal(err)
				}
			}
			result.Faults.Add(1)
			for n, s := range subjects {
				a := s.attempt(t, pair, pair, n)
				a.judge(t, result)
			}
			if code, said := runOnce(t, pair, "", "audit", "verify"); code != 0 {
				t.Errorf("verify: %s", said)
			}
		})
	}
}

// An export's memory does not grow with its rows.
func TestExport_Memory(t *testing.T) {
	t.Parallel()
	rows := torture.Count(1_000_000, 50_000, 20_000)
	result := torture.Report(t, 13, "rows exported under 100 MB")
	pair := withInvoices(t, rows)
	for _, format := range []string{"csv", "jsonl", "json"} {
		file := filepath.Join(t.TempDir(), "x."+format)
		p := cxgctl(t, pair, "invoices", "list", "--all", "-o", format, "--output-file", file)
		if err := p.Start(); err != nil { // without the limit of start
			t.Fatal(err)
		}
		peak := peakMemory(p.Process.Pid)
		if code := p.exit(t); code != 0 {
			t.Fatalf("exit code %d: %s", code, p.err.String())
		}
		result.Attempts.Add(int64(rows))
		if mb := <-peak >> 10; mb == 0 || mb >= 100 {
			t.Errorf("%s: %d MB", format, mb)
		}
	}
}

// peakMemory follows a process until it ends, and returns its peak of resident memory in kB. The rusage of a process
// would include the memory of the process that forked it.
func peakMemory(pid int) <-chan int {
	peak := make(chan int, 1)
	go func() {
		most := 0
		for {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			_, rest, found := strings.Cut(string(status), "\nVmHWM:")
			if err != nil || !found { // a process that has ended has no memory
				peak <- most
				return
			}
			var kb int
			_, _ = fmt.Sscan(rest, &kb)
			most = max(most, kb)
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return peak
}
