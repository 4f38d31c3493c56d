package cli

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// Of two runs with one lock the second is BUSY at once, or waits. A holder that is killed frees the lock.
func TestLock(t *testing.T) {
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
	list().exits(t, 75).says(t, `cxgctl: error: another run holds the lock "nightly": cxgctl`)
	list("--lock-wait", "300ms", "--metrics-file", t.TempDir()+"/m.prom").exits(t, 75).says(t, "--lock-wait")
	waiting := list("--lock-wait", "1m").start(t)
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
