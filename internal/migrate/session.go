package migrate

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// lockKey is the key of the advisory lock held by a migration run; it spells "cxgmigr".
const lockKey = 0x6378676d696772

// lockPoll is the interval at which a waiting run tries the lock.
const lockPoll = 50 * time.Millisecond

// lockTimeout limits how long a statement waits for a table, because later sessions queue behind it.
const lockTimeout = "5s"

// open returns a handle with a single session, which takes the migration lock first and holds it until the handle is
// closed. Lock and work share the session, so neither outlives the other. It requires a direct connection, because a
// pooler in transaction mode keeps neither start-up parameters nor session locks; open refuses one.
func open(cfg *pgx.ConnConfig, which Database) *sql.DB {
	c := cfg.Copy()
	if c.RuntimeParams == nil {
		c.RuntimeParams = map[string]string{}
	}
	c.RuntimeParams["default_transaction_read_only"] = "on" // detects a pooler
	c.RuntimeParams["lock_timeout"] = lockTimeout
	c.RuntimeParams["statement_timeout"] = "0" // building an index of a large table may take long
	// Citus refuses a second definition in a transaction otherwise. Other servers ignore it.
	c.RuntimeParams["citus.multi_shard_modify_mode"] = "sequential"
	db.Pin(c.RuntimeParams) // includes the time zone, for goose's timestamp without one
	d := stdlib.OpenDB(*c, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		err := db.CheckSession(ctx, conn.PgConn())
		if err == nil {
			err = db.TooOld(conn.PgConn())
		}
		if err == nil {
			_, err = conn.Exec(ctx, "SET default_transaction_read_only = off")
		}
		if err == nil {
			_, err = conn.Exec(ctx, db.Synchronous)
		}
		if err == nil {
			err = lock(ctx, conn, which)
		}
		if err == nil {
			err = db.CheckLayout(ctx, conn)
		}
		if err != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // stdlib does not close a connection whose hook failed
		}
		return err
	}))
	d.SetMaxOpenConns(1)
	return d
}

// lock waits for the migration lock. It polls instead of blocking in pg_advisory_lock, because a blocked statement
// holds a snapshot. CREATE INDEX CONCURRENTLY in the run that holds the lock would wait for that snapshot, and the
// server's deadlock detector would not notice.
func lock(ctx context.Context, conn *pgx.Conn, which Database) error {
	for {
		var got bool
		err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(lockKey)).Scan(&got)
		if err != nil || got {
			return err
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fault.New(fault.Busy, "another run is still migrating the %s database", which).
				WithHint("wait for it, or raise --timeout").Because(ctx.Err())
		}
	}
}
