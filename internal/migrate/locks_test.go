package migrate

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cxgctl/cxgctl/internal/dbtest/generations"
	"github.com/cxgctl/cxgctl/internal/fault"
)

func TestALockedTableFailsTheRunInTime(t *testing.T) {
	t.Parallel()
	for lock, want := range map[string]string{
		`LOCK TABLE idam.users IN ACCESS SHARE MODE`:        "00001_users.sql of the manager database failed: idam.users.email_verified: timed out",
		`LOCK TABLE bill.invoices IN ACCESS EXCLUSIVE MODE`: "00007_list_indexes.sql of the manager database failed: bill.invoices_invoice_date_idx: timed out",
	} {
		t.Run(strings.Fields(lock)[2], func(t *testing.T) {
			t.Parallel()
			cfg := adoptable(t, generations.Named("g1"))[Manager]
			holder := session(t, cfg)
			if _, err := holder.Exec(t.Context(), `BEGIN; `+lock); err != nil {
				t.Fatal(err)
			}
			if _, err := PlanUp(t.Context(), cfg, Manager); err != nil {
				t.Errorf("plan during the lock: %v", err)
			}
			_, err := Up(t.Context(), cfg, Manager)
			if fault.Status(err) != 8 || !strings.Contains(err.Error(), want) {
				t.Errorf("up during the lock: %v, want %q", err, want)
			}
			if _, err := holder.Exec(t.Context(), `ROLLBACK`); err != nil {
				t.Fatal(err)
			}
			if _, err := Up(t.Context(), cfg, Manager); err != nil {
				t.Errorf("after the lock: %v", err)
			}
		})
	}
}

const brokenIndexes = `SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indrelid = 'bill.invoices'::regclass`

// An interrupted build leaves an invalid index, which the next run builds again. Neither blocks readers or writers.
func TestAnInterruptedIndexIsBuiltAnew(t *testing.T) {
	t.Parallel()
	cfg := adoptable(t, generations.Named("g1"))[Manager]
	holder, other := session(t, cfg), session(t, cfg)
	if _, err := holder.Exec(t.Context(), `BEGIN; UPDATE bill.invoices SET updated_at = now()`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Up(ctx, cfg, Manager)
		ended <- err
	}()
	for deadline := time.Now().Add(20 * time.Second); query[int](t, cfg, brokenIndexes) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no index is being built")
		}
	}
	if n := query[int](t, cfg, `SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); n != 0 {
		t.Errorf("%d ACCESS EXCLUSIVE locks are held while an index is built", n)
	}
	if _, err := other.Exec(t.Context(), `SET lock_timeout = '1s'; BEGIN; DELETE FROM bill.invoices WHERE false; UPDATE idam.users SET updated_at = now(); ROLLBACK`); err != nil {
		t.Errorf("a writer during the build: %v", err)
	}
	cancel()
	if err := <-ended; !fault.Is(err, fault.Interrupted) {
		t.Errorf("the interrupted run: %v", err)
	}
	if _, err := holder.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if query[int](t, cfg, brokenIndexes) == 0 {
		t.Fatal("the interrupted build left no invalid index")
	}
	plan, err := PlanUp(t.Context(), cfg, Manager)
	if err != nil || len(plan.Items) == 0 || plan.Items[0].Detail != "the build was interrupted and starts again" {
		t.Errorf("plan %+v, error %v", plan, err)
	}
	if done, err := Up(t.Context(), cfg, Manager); err != nil || len(done) != 0 {
		t.Errorf("the next run applied %v, error %v", done, err)
	}
	if n := query[int](t, cfg, brokenIndexes); n != 0 {
		t.Errorf("%d indexes are still invalid", n)
	}
	if n := query[int](t, cfg, `SELECT count(*) FROM `+Added+` WHERE unfinished OR kind = 'index' AND to_regclass(object) IS NULL`); n != 0 {
		t.Errorf("%d recorded indexes do not exist", n)
	}
}
