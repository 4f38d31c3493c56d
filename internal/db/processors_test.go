package db

import (
	"runtime"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

func pooled(t *testing.T, dsn string) *DB {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg) // which connects when it has to
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &DB{pool: pool}
}

// Exports that overlap leave one processor, and the last one takes it back.
func TestAProcessorIsLeftToTheServerOfThisMachine(t *testing.T) {
	all := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(all)
	local, remote := pooled(t, "postgres:///x?host=/tmp"), pooled(t, "postgres://localhost/x")
	has := func(want int) {
		t.Helper()
		if n := runtime.GOMAXPROCS(0); n != want {
			t.Errorf("%d processors, want %d", n, want)
		}
	}
	far := remote.spareProcessor()
	has(3)
	far()
	one, other := local.spareProcessor(), local.spareProcessor()
	has(2)
	one()
	has(2)
	other()
	has(3)
}
