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

// lockKey is the advisory lock that a migration run holds; it spells "cxgmigr".
const lockKey = 0x6378676d696772

// lockPoll is how long a waiting run sleeps between two looks at the lock.
const lockPoll = 50 * time.Millisecond

// lockTimeout bounds how long a statement of a migration queues for a table, because every session
// that comes after it queues behind it.
const lockTimeout = "5s"

// open returns a handle with one session, which takes the migration lock before anything else is
// done with it and holds it until the handle is closed. Lock and work share the session so that
// neither outlives the other. It needs a direct connection: a transaction pooler keeps neither
// start-up parameters nor session locks, and is refused.
func open(cfg *pgx.ConnConfig, which Database) *sql.DB {
	c := cfg.Copy()
	if c.RuntimeParams == nil {
		c.RuntimeParams = map[string]string{}
	}
	c.RuntimeParams["default_transaction_read_only"] = "on" // by which a pooler is known
	c.RuntimeParams["lock_timeout"] = lockTimeout
	c.RuntimeParams["statement_timeout"] = "0" // an index of a large table takes what it takes
	db.Pin(c.RuntimeParams)                    // the time zone too: goose's version table has a timestamp without zone
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
		if err != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // stdlib forgets a connection whose hook failed
		}
		return err
	}))
	d.SetMaxOpenConns(1)
	return d
}

// lock waits for the migration lock. It asks again and again rather than block in pg_advisory_lock,
// because a blocked statement holds a snapshot, which CREATE INDEX CONCURRENTLY in the run that holds
// the lock would wait for: each for the other, for ever, unseen by the server's deadlock detector.
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
