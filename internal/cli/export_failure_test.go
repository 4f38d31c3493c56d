package cli

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

// withInvoices returns a fresh pair of databases with enough invoices to make an export take a while.
func withInvoices(t *testing.T, n int) dbtest.Pair {
	t.Helper()
	pair := dbtest.New(t, migrated)
	addInvoices(t, pair, n)
	return pair
}

// addInvoices drops the indexes other than keys first: updating them would take much longer than the rows, and a full
// export needs none.
func addInvoices(t *testing.T, pair dbtest.Pair, n int) {
	t.Helper()
	conn := unchecked(t, pair.Manager)
	if _, err := conn.Exec(t.Context(), `DO $$DECLARE i regclass; BEGIN
	FOR i IN SELECT indexrelid FROM pg_index WHERE indrelid = 'bill.invoices'::regclass AND NOT indisunique LOOP
		EXECUTE format('DROP INDEX %s', i);
	END LOOP; END$$`); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Exec(t.Context(), `INSERT INTO bill.invoices (tenant_id, subscription_id, invoice_no, invoice_date, due_date, start_date, close_date, base_amount, total_amount, user_count)
SELECT gen_random_uuid(), gen_random_uuid(), 'INV-' || n, '2026-01-01', '2026-01-31', '2026-01-01', '2026-01-31', n, n, 1 FROM generate_series(1, $1::int) n`, n)
	if err != nil {
		t.Fatal(err)
	}
}

// old writes a file that an export may replace.
func old(t *testing.T, dir, name string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// kept fails the test unless the folder holds the old files unchanged, and nothing else but a lock.
func kept(t *testing.T, dir string, files ...string) {
	t.Helper()
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || string(b) != "old" {
			t.Errorf("%s was touched: %.40q, %v", f, b, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if f := filepath.Join(dir, e.Name()); !strings.HasSuffix(f, ".lock") && !strings.Contains(strings.Join(files, " "), f) {
			t.Errorf("%s is left", f)
		}
	}
}

// underWay waits until the export's temporary file has something in it.
func underWay(t *testing.T, dir string, than int64) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Size() > than {
				return
			}
		}
	}
	t.Fatal("nothing was ever written")
}

// exports are the formats to interrupt, by file name.
var exports = map[string]string{"x.csv": "csv", "x.jsonl.gz": "jsonl", "x.json.zst": "json", "x.xlsx": "xlsx"}

// An export that ends early leaves the old file and the old manifest, no partial files, and the right exit code. In a
// short run each accident happens to one format.
func TestExport_EndedEarlyLeavesOldFile(t *testing.T) {
	t.Parallel()
	rows := 300_000
	if testing.Short() {
		rows = 80_000
	}
	pair := withInvoices(t, rows)
	for accident, c := range map[string]struct {
		short  string // the file of a short run
		code   int
		strike func(t *testing.T, p *process)
	}{
		"interrupted": {"x.csv", 130, func(t *testing.T, p *process) { signalTo(t, p, syscall.SIGINT) }},
		"hung up":     {"x.jsonl.gz", 129, func(t *testing.T, p *process) { signalTo(t, p, syscall.SIGHUP) }}, // L6
		"terminated":  {"x.json.zst", 143, func(t *testing.T, p *process) { signalTo(t, p, syscall.SIGTERM) }},
		"server gone": {"x.xlsx", 8, func(t *testing.T, _ *process) {
			ask(t, pair.Manager, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'cxgctl%'`)
		}},
	} {
		t.Run(accident, func(t *testing.T) { // one after the other: stopping the server affects them all
			for name, format := range exports {
				if testing.Short() && name != c.short {
					continue
				}
				dir := t.TempDir()
				file, manifest := old(t, dir, name), old(t, dir, "manifest.json")
				p := cxgctl(t, pair, "invoices", "list", "--all", "-o", format, "--output-file", file, "--manifest", manifest, "--state", filepath.Join(dir, "s"), "--overwrite").start(t)
				underWay(t, dir, 100)
				c.strike(t, p)
				if got := p.exit(t); got != c.code {
					t.Errorf("%s: exit code %d, want %d: %s", name, got, c.code, p.err.String())
				}
				kept(t, dir, file, manifest)
			}
		})
	}
	t.Run("killed", func(t *testing.T) {
		dir := t.TempDir()
		file := old(t, dir, "x.csv")
		p := cxgctl(t, pair, "invoices", "list", "--all", "-o", "csv", "--output-file", file).start(t)
		underWay(t, dir, 100)
		signalTo(t, p, syscall.SIGKILL)
		if code := p.exit(t); code != -1 {
			t.Errorf("exit code %d", code)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != "old" {
			t.Errorf("the file was touched: %.40q, %v", b, err)
		}
	})
	t.Run("reader gone", func(t *testing.T) {
		for _, format := range []string{"csv", "jsonl", "json", "yaml", "id"} {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			p := cxgctl(t, pair, "invoices", "list", "--all", "-o", format)
			p.Stdout = w
			p.start(t)
			_ = w.Close()
			if _, err := r.Read(make([]byte, 4096)); err != nil {
				t.Fatal(err)
			}
			_ = r.Close()
			if code := p.exit(t); code != brokenPipe || p.err.Len() > 0 {
				t.Errorf("%s: exit code %d: %s", format, code, p.err.String())
			}
		}
	})
	t.Run("locked", func(t *testing.T) { // ended by the idle time-out
		release := hold(t, pair.Manager, `LOCK TABLE bill.invoices IN ACCESS EXCLUSIVE MODE`)
		defer release()
		dir := t.TempDir()
		file := old(t, dir, "x.csv")
		cxgctl(t, pair, "invoices", "list", "--all", "-o", "csv", "--output-file", file, "--timeout", "1s").exits(t, 8)
		kept(t, dir, file)
	})
}

// A server that restarts during an export leaves the old file and the old state. The next run delivers everything.
func TestExport_ServerRestarts(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 2, "exports, server restarts")
	server := dbtest.NewRestartable(t, migrated)
	pair := server.Pair()
	rows := torture.Count(200_000, 200_000, 100_000)
	addInvoices(t, pair, rows)
	for n := range torture.Count(30, 1, 1) {
		dir := t.TempDir()
		file := old(t, dir, "x.csv")
		run := func() *process {
			result.Attempts.Add(1)
			return cxgctl(t, pair, "invoices", "list", "--all", "-o", "csv", "--no-headers", "--output-file", file, "--overwrite", "--state", filepath.Join(dir, "s"))
		}
		p := run().start(t)
		underWay(t, dir, 100)
		time.Sleep(time.Duration(n) * 5 * time.Millisecond)
		server.Stop()
		result.Faults.Add(1)
		if code := p.exit(t); code != 8 {
			t.Errorf("exit code %d: %s", code, p.err.String())
		}
		kept(t, dir, file)
		run().exits(t, 8) // it is still down
		kept(t, dir, file)
		server.Start(t)
		run().exits(t, 0)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		result.Rows(t, bytes.Count(text, []byte("\n")), rows, rows)
	}
}

func signalTo(t *testing.T, p *process, sig syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// fullDisk prepares processes whose files in dir cannot take more than room bytes: on a small file system, or, as an
// ordinary user can do too, by a limit of a file's size.
type fullDisk struct {
	mounted bool
	dir     string
	room    int
}

// limit limits the process.
func (d fullDisk) limit(t *testing.T, p *process) *process {
	t.Helper()
	if !d.mounted {
		p.Args = append([]string{"bash", "-c", fmt.Sprintf(`ulimit -f %d && exec -a cxgctl "$0" "$@"`, d.room>>10), p.Path}, p.Args[1:]...)
		p.Path = "/bin/bash"
		return p
	}
	size := max(d.room, 4<<10) + 8<<10 // the old file takes a page
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	return p
}

// fill takes the rest of a file system without room.
func (d fullDisk) fill(t *testing.T) {
	t.Helper()
	if d.mounted && d.room == 0 && os.WriteFile(filepath.Join(d.dir, "filler.lock"), make([]byte, 1<<20), 0o600) == nil {
		t.Fatal("the file system is not full")
	}
}

// A full disk fails whatever writes a file, whether or not another goroutine compresses it: the exit code is 74, an old
// file is kept, no temporary file is left, and nothing was changed whose only copy was to be in the file.
func TestFiles_FullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("TestOutput_FullDiskIsAnError covers standard output, and the full run files")
	}
	t.Parallel()
	result := torture.Report(t, 10, "files written to a full disk")
	pair := withInvoices(t, 30_000)
	insertSubjects(t, pair, 3)
	type writing struct {
		args, name string
		room       int
		fresh      bool // the file does not exist
	}
	cases := []writing{
		{args: "users list --all -o csv --output-file FILE"},
		{args: "invoices list --all -o csv --output-file FILE --manifest DIR/m --state DIR/s --overwrite", room: 256 << 10},
		{args: "users import - --format csv --no-passwords --errors FILE", fresh: true},
		{args: "users import - --format csv --generate-passwords --passwords-out FILE", fresh: true},
		{args: "users password u1 --generate-password --password-out FILE", fresh: true},
		{args: "auth token --create --name job --permissions USER_LIST --token-out FILE", fresh: true},
		{args: "audit keygen --out FILE", fresh: true},
		{args: "invoices report --html FILE"},
		{args: "audit list --all -o jsonl --output-file FILE"},
	}
	for name, format := range exports {
		cxgctl(t, pair, "invoices", "list", "--all", "-o", format, "--output-file", "/dev/full").exits(t, 74).says(t, "no space left on device")
		cases = append(cases, writing{args: "invoices list --all -o " + format + " --output-file FILE", name: name, room: 256 << 10})
	}
	const state = `SELECT concat_ws(' ', (SELECT count(*) FROM idam.users), (SELECT count(*) FROM idam.api_keys), (SELECT md5(string_agg(password, ',')) FROM idam.users),
		(SELECT count(*) FROM audt.audit_logs WHERE result = 'SUCCESS' AND event_type <> 'DATA_ACCESS'))`
	before := ask(t, pair.Manager, state)
	for _, mounted := range []bool{false, true} {
		if mounted && os.Geteuid() != 0 {
			continue // only root may mount one
		}
		for _, c := range cases {
			t.Run(fmt.Sprintf("mounted %v, %s", mounted, c.args), func(t *testing.T) {
				disk := fullDisk{mounted: mounted, dir: t.TempDir(), room: c.room}
				file := filepath.Join(disk.dir, cmp.Or(c.name, "f"))
				p := disk.limit(t, cxgctl(t, pair, strings.Fields(strings.NewReplacer("FILE", file, "DIR", disk.dir).Replace(c.args))...))
				var olds []string
				if !c.fresh {
					olds = append(olds, old(t, disk.dir, filepath.Base(file)))
				}
				disk.fill(t)
				result.Attempts.Add(1)
				result.Faults.Add(1)
				code := p.in("username,email,full_name\nbad name,x,X\n").code(t)
				if said := p.err.String(); code != 74 || !strings.Contains(said, "no space left on device") && !strings.Contains(said, "file too large") {
					t.Errorf("exit code %d: %s", code, said)
					result.Wrong.Add(1)
				}
				kept(t, disk.dir, olds...)
				if after := ask(t, pair.Manager, state); after != before {
					t.Errorf("changed from %s to %s: %s", before, after, p.err.String())
					result.Wrong.Add(1)
				}
			})
		}
	}
}

// The manifest describes the file correctly with every compression.
func TestExport_ManifestMatchesFile(t *testing.T) {
	t.Parallel()
	pair := withInvoices(t, 1000)
	for name, format := range exports {
		dir := t.TempDir()
		file, manifest := filepath.Join(dir, name), filepath.Join(dir, "m")
		cxgctl(t, pair, "invoices", "list", "--all", "-o", format, "--output-file", file, "--manifest", manifest).exits(t, 0)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		m, err := os.ReadFile(manifest)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			fmt.Sprintf(`"sha256": "%s"`, hex.EncodeToString(sum[:])), fmt.Sprintf(`"bytes": %d,`, len(b)), `"rows": 1000,`,
		} {
			if !strings.Contains(string(m), want) {
				t.Errorf("%s: the manifest lacks %s:\n%s", name, want, m)
			}
		}
	}
}
