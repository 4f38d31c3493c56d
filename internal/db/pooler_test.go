package db

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// ignoring makes PgBouncer accept our start-up parameters and ignore them.
const ignoring = "ignore_startup_parameters = statement_timeout,lock_timeout,default_transaction_read_only,cxgctl.session"

func opened(t *testing.T, o Options) *DB {
	t.Helper()
	o.Name = "manager"
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// A pooler is detected by refused or ignored parameters, or declared by the options.
func TestPoolersAreRecognised(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, dbtest.Template{Name: "empty"})
	if opened(t, Options{URL: pair.Manager, Timeout: time.Minute}).Pooled() {
		t.Error("the server is mistaken for a pooler")
	}
	for name, settings := range map[string]string{
		"refuses":                  "",
		"ignores known parameters": strings.TrimSuffix(ignoring, ",cxgctl.session"),
		"ignores everything":       ignoring,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pooled, err := dbtest.NewPgBouncer(t, settings).Through(pair)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range []Options{{URL: pooled.Manager}, {URL: pooled.Manager, Timeout: time.Minute}, {URL: pooled.Manager, Pooled: true}} {
				if !opened(t, o).Pooled() {
					t.Errorf("%v: the pooler is mistaken for the server", o.Timeout)
				}
			}
		})
	}
}

// Two clients share one server process. Neither sees the other's settings.
func TestNothingIsLeftToAPooledSession(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, dbtest.Template{Name: "empty"})
	bouncer := dbtest.NewPgBouncer(t, "min_pool_size = 0\ndefault_pool_size = 1")
	pooled, err := bouncer.Through(pair)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	cfg, err := pgx.ParseConfig(pooled.Manager)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	other, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	for _, sql := range []string{
		"CREATE TABLE item (at timestamptz NOT NULL)", "SET timezone = 'Asia/Seoul'", "SET statement_timeout = 123456",
		"SET default_transaction_isolation = 'serializable'", "SET lock_timeout = 234567",
	} {
		if _, err := other.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}

	d := opened(t, Options{URL: pooled.Manager, Timeout: 2 * time.Second})
	settings := func(r Reader) string {
		var s string
		err := r.QueryRow(ctx, `SELECT concat_ws(' ', current_setting('timezone'), current_setting('statement_timeout'), current_setting('lock_timeout'),
			current_setting('transaction_read_only'), current_setting('transaction_isolation'), '2026-01-01T09:00:00+09'::timestamptz)`).Scan(&s)
		if err != nil {
			t.Error(err)
		}
		return s
	}
	for range 3 {
		if got := settings(d); got != "UTC 2s 1800ms on read committed 2026-01-01 00:00:00+00" {
			t.Errorf("a single read runs with %s", got)
		}
		err := d.Snapshot(ctx, func(r Reader) error {
			if got := settings(r); got != "UTC 2s 1800ms on repeatable read 2026-01-01 00:00:00+00" {
				t.Errorf("a snapshot runs with %s", got)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		tx, err := d.BeginWrite(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := settings(tx); got != "UTC 2s 1800ms off read committed 2026-01-01 00:00:00+00" {
			t.Errorf("a write runs with %s", got)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO public.item VALUES ($1)", time.Now()); err != nil {
			t.Error(err)
		}
		if err := tx.Commit(ctx); err != nil {
			t.Error(err)
		}
		var theirs string
		if err := other.QueryRow(ctx, `SELECT concat_ws(' ', current_setting('timezone'), current_setting('statement_timeout'),
			current_setting('default_transaction_read_only'))`).Scan(&theirs); err != nil || theirs != "Asia/Seoul 123456ms off" {
			t.Errorf("the other client's session has %s, %v", theirs, err)
		}
	}
	if _, err := Collect[struct{ N int }](ctx, d, "INSERT INTO public.item VALUES (now()) RETURNING 1 AS n"); !ReadOnly(err) {
		t.Errorf("a write among reads: %v", err)
	}
	var n int
	if err := d.QueryRow(ctx, "SELECT count(*) FROM public.item WHERE false HAVING false").Scan(&n); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("no row: %v", err)
	}
	if err := d.QueryRow(ctx, "SELECT count(*)::text || 'x' FROM public.item").Scan(&n); err == nil {
		t.Error("text was scanned as a number")
	}
	if err := d.QueryRow(ctx, "SELECT 1/0").Scan(&n); err == nil {
		t.Error("an error was not reported")
	}
	// the only server session is available again
	if err := d.QueryRow(ctx, "SELECT count(*) FROM public.item").Scan(&n); err != nil || n != 3 {
		t.Errorf("%d rows, %v", n, err)
	}
}
