package db

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Write is a transaction that can change data. It holds its session until it ends.
type Write struct {
	pgx.Tx
	Layout Layout    // nil without Citus
	Now    time.Time // start of the transaction by the server's clock, since the client's cannot be trusted
	db     *DB
	conn   *pgxpool.Conn // nil after the end
}

// BeginWrite opens a transaction that can change data. Only the audit ledger may call it; a linter enforces that. If
// the server turns out to be a standby, BeginWrite looks for the primary once.
func (d *DB) BeginWrite(ctx context.Context) (*Write, error) {
	w, err := d.beginWrite(ctx)
	if !isStandby(err) {
		return w, err
	}
	d.FindPrimary()
	if w, failed := d.beginWrite(ctx); failed == nil {
		return w, nil
	}
	return nil, readOnlyServer(err)
}

func (d *DB) beginWrite(ctx context.Context) (*Write, error) {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	if err := TooOld(conn.Conn().PgConn()); err != nil {
		conn.Release()
		return nil, err
	}
	o := options(pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, d.begins+synchronous)
	o.CommitQuery = commit
	tx, err := conn.BeginTx(ctx, o)
	if err != nil {
		conn.Release()
		return nil, err
	}
	w := &Write{Tx: tx, db: d, conn: conn}
	citus := false
	err = tx.QueryRow(ctx, `SELECT now(), `+onCitus).Scan(&w.Now, &citus)
	if err == nil && citus {
		if w.Layout, err = layout(ctx, tx); err == nil {
			err = w.Layout.Check()
		}
	}
	if err != nil {
		_ = w.Rollback(ctx) // the query's error is more useful
		return nil, err
	}
	w.Now = w.Now.UTC()
	return w, nil
}

// oldest is the first version with a built-in gen_random_uuid(), which changes and migrations need.
const oldest = 13

// TooOld returns an error if the server is too old for changes.
func TooOld(c *pgconn.PgConn) error { return tooOld(c.ParameterStatus("server_version")) }

func tooOld(version string) error {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n >= oldest {
		return nil //nolint:nilerr // a version that is not a number says nothing
	}
	return fault.New(fault.Database, "PostgreSQL %s is too old for changes, which need PostgreSQL %d or later", version, oldest).
		WithHint("nothing was changed; upgrade the server, see: cxgctl doctor")
}

// Commit implements pgx.Tx.
func (w *Write) Commit(ctx context.Context) error {
	if w.conn == nil {
		return pgx.ErrTxClosed
	}
	defer w.end()
	return w.Tx.Commit(ctx)
}

// Rollback implements pgx.Tx.
func (w *Write) Rollback(ctx context.Context) error {
	if w.conn == nil {
		return pgx.ErrTxClosed
	}
	defer w.end()
	return w.Tx.Rollback(ctx)
}

func (w *Write) end() {
	w.conn.Release()
	w.conn = nil
}

// SettleConstraints runs deferred constraints and constraint triggers now, because they may change rows that are read
// back next.
const SettleConstraints = `SET CONSTRAINTS ALL IMMEDIATE`
