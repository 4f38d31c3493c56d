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
	Layout  Layout        // nil without Citus
	Now     time.Time     // start of the transaction by the server's clock, since the client's cannot be trusted
	session *pgxpool.Conn // nil after the end
}

// Questions returns queries for the first round trip of a transaction. layout is nil without Citus. They are asked again
// when the transaction is repeated.
type Questions func(layout Layout) []PipelineQuery

// BeginWrite opens a transaction that can change data, and asks the questions in the same round trip. Only the audit
// ledger may call it; a linter enforces that. If the server turns out to be a standby, BeginWrite looks for the primary
// once.
func (d *DB) BeginWrite(ctx context.Context, questions ...Questions) (*Write, error) {
	w, err := d.beginWrite(ctx, questions)
	if !isStandby(err) {
		return w, err
	}
	d.FindPrimary()
	if w, failed := d.beginWrite(ctx, questions); failed == nil {
		return w, nil
	}
	return nil, readOnlyServer(err)
}

func (d *DB) beginWrite(ctx context.Context, questions []Questions) (*Write, error) {
	session, err := d.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	if err := TooOld(session.Conn().PgConn()); err != nil {
		session.Release()
		return nil, err
	}
	w := &Write{session: session}
	batch := &pgx.Batch{}
	d.queueBegin(batch)
	found := false
	batch.Queue(`SELECT now(), ` + onCitus).QueryRow(func(row pgx.Row) error { return row.Scan(&w.Now, &found) })
	known := d.citus.Load()
	if !known {
		queue(batch, nil, questions)
	}
	results := session.SendBatch(ctx, batch)
	w.Tx = results.Tx()
	err = results.Close()
	if found && !known {
		d.citus.Store(true) // the questions depend on the layout
		_ = w.Rollback(ctx)
		return d.beginWrite(ctx, questions)
	}
	if err == nil && found {
		err = w.askCitus(ctx, questions)
	}
	if err != nil {
		_ = w.Rollback(ctx) // the query's error is more useful
		return nil, err
	}
	w.Now = w.Now.UTC()
	return w, nil
}

// WriteOnce runs a statement in a transaction like that of BeginWrite, in one round trip unless the database has Citus.
func (d *DB) WriteOnce(ctx context.Context, sql string, args ...any) error {
	batch := &pgx.Batch{}
	if d.citus.Load() {
		w, err := d.beginWrite(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = w.Rollback(context.WithoutCancel(ctx)) }()
		batch.Queue(sql, args...)
		return w.CommitWith(ctx, batch)
	}
	session, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer session.Release() // closes a session that is still in a transaction
	d.queueBegin(batch)
	batch.Queue(sql, args...)
	queueCommit(batch)
	return session.SendBatch(ctx, batch).Close()
}

// askCitus reads how Citus keeps the tables, refuses a layout that is not supported, and asks the questions.
func (w *Write) askCitus(ctx context.Context, questions []Questions) (err error) {
	if w.Layout, err = layout(ctx, w); err != nil {
		return err
	}
	if err := w.Layout.Check(); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	queue(batch, w.Layout, questions)
	return w.SendBatch(ctx, batch).Close()
}

func queue(batch *pgx.Batch, layout Layout, questions []Questions) {
	for _, ask := range questions {
		for _, q := range ask(layout) {
			q.Queue(batch)
		}
	}
}

// queueBegin queues the statements that begin a transaction.
func (d *DB) queueBegin(batch *pgx.Batch) {
	batch.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	for statement := range strings.SplitSeq(d.begins+synchronous, "; ") {
		if statement != "" {
			batch.Queue(statement)
		}
	}
}

func queueCommit(batch *pgx.Batch) {
	batch.Queue(setSynchronous) // again, because triggers may have changed it
	batch.Queue("COMMIT").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() == "ROLLBACK" {
			return pgx.ErrTxCommitRollback
		}
		return nil
	})
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
func (w *Write) Commit(ctx context.Context) error { return w.CommitWith(ctx, &pgx.Batch{}) }

// CommitWith sends the last statements of a transaction together with COMMIT. The server does not run COMMIT if one of
// them fails. A function that reads a result of theirs cannot prevent it.
func (w *Write) CommitWith(ctx context.Context, last *pgx.Batch) error {
	if w.session == nil {
		return pgx.ErrTxClosed
	}
	queueCommit(last)
	err := w.SendBatch(ctx, last).Close()
	if w.Conn().PgConn().TxStatus() != afterError {
		w.end()
	}
	return err
}

// afterError is the status of a transaction in which a statement failed, and which has to be rolled back.
const afterError = 'E'

// Rollback implements pgx.Tx.
func (w *Write) Rollback(ctx context.Context) error {
	if w.session == nil {
		return pgx.ErrTxClosed
	}
	defer w.end()
	return w.Tx.Rollback(ctx)
}

func (w *Write) end() {
	w.session.Release() // closes a session that is still in a transaction
	w.session = nil
}

// SettleConstraints runs deferred constraints and constraint triggers now, because they may change rows that are read
// back next.
const SettleConstraints = `SET CONSTRAINTS ALL IMMEDIATE`
