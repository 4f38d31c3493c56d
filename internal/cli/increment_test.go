package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// insertInvoice adds an invoice without the rows that it refers to. Its version is stored in total_amount.
const insertInvoice = `INSERT INTO bill.invoices (tenant_id, subscription_id, invoice_no, invoice_date, due_date, start_date, close_date, base_amount, total_amount, user_count)
VALUES (gen_random_uuid(), gen_random_uuid(), $1, '2026-01-01', '2026-01-31', '2026-01-01', '2026-01-31', 1, $2, 1)`

// unchecked returns a connection that does not check foreign keys.
func unchecked(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), "SET session_replication_role = replica"); err != nil {
		t.Fatal(err)
	}
	return conn
}

// write creates and changes invoices until stop. Some transactions take long, some roll back, and some work in
// subtransactions. The timestamps of the rows never change, so exports cannot rely on them.
func write(conn *pgx.Conn, writer int, version *atomic.Int64, stop <-chan struct{}) error {
	ctx := context.Background()
	rnd := rand.New(rand.NewPCG(uint64(writer), 7))
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		for i := range 1 + rnd.IntN(3) {
			inner, err := tx.Begin(ctx) // a savepoint: its rows have an id of its own
			if err != nil {
				return err
			}
			if _, err = inner.Exec(ctx, insertInvoice, fmt.Sprintf("W%d-%d-%d", writer, n, i), version.Add(1)); err == nil && n > 0 {
				_, err = inner.Exec(ctx, `UPDATE bill.invoices SET total_amount = $2 WHERE id = (
  SELECT id FROM bill.invoices WHERE invoice_no LIKE $1 ORDER BY random() LIMIT 1)`, fmt.Sprintf("W%d-%%", writer), version.Add(1))
			}
			if err != nil {
				return err
			}
			if rnd.IntN(5) == 0 {
				err = inner.Rollback(ctx)
			} else {
				err = inner.Commit(ctx)
			}
			if err != nil {
				return err
			}
			time.Sleep(time.Duration(rnd.IntN(8)) * time.Millisecond)
		}
		if rnd.IntN(6) == 0 {
			time.Sleep(time.Duration(rnd.IntN(400)) * time.Millisecond) // commits late
		}
		end := tx.Commit
		if rnd.IntN(6) == 0 {
			end = tx.Rollback
		}
		if err := end(ctx); err != nil {
			return err
		}
	}
}

// exported adds what one run delivered to the versions by invoice, and fails the test on a repeated version.
func exported(t *testing.T, file string, versions map[string]string, seen map[string]string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var row struct {
			No      string `json:"invoice_no"`
			Version string `json:"total_amount"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		if before, twice := seen[row.No+"="+row.Version]; twice {
			t.Errorf("%s in version %s comes in %s and again in %s", row.No, row.Version, before, file)
		}
		seen[row.No+"="+row.Version] = file
		versions[row.No] = row.Version
	}
}

// snapshotAt reads the time of the export's snapshot, by the server's clock, from a manifest.
func snapshotAt(t *testing.T, file string) time.Time {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		SnapshotAt time.Time `json:"snapshot_at"`
	}
	if err := json.Unmarshal(b, &m); err != nil || m.SnapshotAt.IsZero() {
		t.Fatalf("%s has no snapshot_at: %v", file, err)
	}
	return m.SnapshotAt
}

// Eight writers commit late and out of order while fifty runs overlap on one state file. Together the runs deliver the
// whole table, and nothing twice.
func TestExport_IncrementsMissAndRepeatNothing(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	dir := t.TempDir()
	state := filepath.Join(dir, "state.json")
	var version atomic.Int64
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for i := range 8 {
		conn := unchecked(t, pair.Manager)
		writers.Go(func() {
			if err := write(conn, i, &version, stop); err != nil {
				t.Error(err)
			}
		})
	}
	run := func(n int) *process {
		return cxgctl(t, pair, "invoices", "list", "--all", "--include-deleted", "-o", "jsonl", "--columns", "invoice_no,total_amount",
			"--state", state, "--output-file", filepath.Join(dir, fmt.Sprintf("part-%03d.jsonl", n)),
			"--manifest", filepath.Join(dir, fmt.Sprintf("part-%03d.json", n)))
	}
	runs := 50
	if testing.Short() {
		runs = 20
	}
	var order []int // the runs that delivered something
	var mu sync.Mutex
	var cron sync.WaitGroup
	busy := 0
	for n := range runs {
		p := run(n).start(t)
		cron.Go(func() {
			code := p.exit(t)
			mu.Lock()
			defer mu.Unlock()
			switch code {
			case 0:
				order = append(order, n)
			case 75:
				busy++
			default:
				t.Errorf("run %d exits with %d: %s", n, code, p.err.String())
			}
		})
		if n%3 > 0 { // some begin together, so that one finds the other at work however fast they are
			time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond)
		}
	}
	cron.Wait()
	close(stop)
	writers.Wait()
	run(runs).exits(t, 0)
	order = append(order, runs)
	// The lock of the state file serializes the runs, so snapshots are in the order of the runs. The processes may end in
	// another order.
	taken := map[int]time.Time{}
	for _, n := range order {
		taken[n] = snapshotAt(t, filepath.Join(dir, fmt.Sprintf("part-%03d.json", n)))
	}
	slices.SortFunc(order, func(a, b int) int { return taken[a].Compare(taken[b]) })

	versions, seen := map[string]string{}, map[string]string{}
	for _, n := range order {
		exported(t, filepath.Join(dir, fmt.Sprintf("part-%03d.jsonl", n)), versions, seen)
	}
	rows, err := query(t.Context(), pair.Manager, "SELECT invoice_no, total_amount FROM bill.invoices")
	if err != nil {
		t.Fatal(err)
	}
	if len(versions) != len(rows) {
		t.Errorf("%d invoices were delivered, the table has %d", len(versions), len(rows))
	}
	for _, r := range rows {
		if versions[r[0]] != r[1] {
			t.Errorf("%s was delivered last in version %q, the table has %s", r[0], versions[r[0]], r[1])
		}
	}
	t.Logf("%d runs delivered %d versions of %d invoices, %d were busy", len(order), len(seen), len(rows), busy)
	if len(order) < 5 || len(rows) < 100 {
		t.Errorf("that tests nothing: %d runs, %d busy, %d invoices", len(order), busy, len(rows))
	}
}

// A killed run releases the state, and the next run delivers what the killed run did not.
func TestExport_KilledRunReleasesState(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	conn := unchecked(t, pair.Manager)
	if _, err := conn.Exec(t.Context(), insertInvoice, "A", 1); err != nil {
		t.Fatal(err)
	}
	args := []string{"invoices", "list", "--all", "-o", "id", "--state", filepath.Join(t.TempDir(), "s")}
	release := hold(t, pair.Manager, `LOCK TABLE bill.invoices IN ACCESS EXCLUSIVE MODE`)
	first := cxgctl(t, pair, args...).start(t)
	eventually(t, pair.Manager, waits)
	cxgctl(t, pair, args...).exits(t, 75).says(t, "another run is using the state file")
	if err := first.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	first.exit(t)
	release()
	if p := cxgctl(t, pair, args...).exits(t, 0); strings.Count(p.out.String(), "\n") != 1 {
		t.Errorf("it delivers %q", p.out.String())
	}
	if p := cxgctl(t, pair, args...).exits(t, 0); p.out.Len() > 0 {
		t.Errorf("once more it delivers %q", p.out.String())
	}
}
