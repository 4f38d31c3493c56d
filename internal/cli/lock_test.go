package cli

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

// While a run holds a lock, others are BUSY at once, or wait. A holder that is killed frees the lock.
func TestLock(t *testing.T) {
	result := torture.Report(t, 12, "simultaneous runs with one --lock, holder killed")
	pair := dbtest.New(t, migrated)
	blocker, err := pgx.Connect(t.Context(), pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blocker.Close(t.Context()) }()
	if _, err := blocker.Exec(t.Context(), "BEGIN; LOCK TABLE idam.users IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	list := func(flags ...string) *process {
		return cxgctl(t, pair, append([]string{"users", "list", "--lock", "nightly", "-o", "id"}, flags...)...)
	}
	holder := list().start(t)
	for ask(t, pair.Manager, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") == "0" {
		time.Sleep(10 * time.Millisecond)
	}
	var rivals []*process
	for range torture.Count(49, 7, 3) {
		rivals = append(rivals, list().start(t))
		result.Attempts.Add(1)
	}
	for _, p := range rivals {
		if code := p.exit(t); code != 75 {
			t.Errorf("a run beside the holder exits with %d: %s", code, p.err.String())
			result.Wrong.Add(1)
		}
	}
	list().exits(t, 75).says(t, `cxgctl: error: another run holds the lock "nightly": cxgctl`)
	list("--lock-wait", "300ms", "--metrics-file", t.TempDir()+"/m.prom").exits(t, 75).says(t, "--lock-wait")
	waiting := list("--lock-wait", "1m").start(t)
	result.Faults.Add(1)
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	if _, err := blocker.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if code := waiting.exit(t); code != 0 {
		t.Errorf("the waiting run exits with %d: %s", code, waiting.err.String())
	}
}
