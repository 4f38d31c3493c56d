package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Behind a pooler in transaction mode, consecutive transactions may run in different server processes, which other
// clients use in between. Session state cannot be relied on, so each transaction, including those of single reads,
// sets its own timeouts and the pinned settings, and statements are not prepared by name.

// errPooler reports that the session ignored its start-up parameters.
var errPooler = errors.New("the connection goes through a pooler")

// canary is a start-up parameter that PostgreSQL accepts, like any name with a dot. Unlike the parameters cxgctl
// needs, it is not expected in PgBouncer's ignore_startup_parameters.
const canary = "cxgctl.session"

// protocolViolation is PgBouncer's error for an unknown start-up parameter, among others.
const protocolViolation = "08P01"

// refusedByPooler reports whether a connection was refused because of its start-up parameters. PostgreSQL does not use
// this code for that.
func refusedByPooler(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return errors.Is(err, errPooler) || ok && pe.Code == protocolViolation && strings.Contains(pe.Message, "startup parameter")
}

// CheckSession fails if a session was requested as read-only but is not. From PostgreSQL 14 on the server reports this
// itself; a pooler that ignores the parameter reports the server's default.
func CheckSession(ctx context.Context, c *pgconn.PgConn) error {
	reported := c.ParameterStatus("default_transaction_read_only")
	if reported == "" {
		results, err := c.Exec(ctx, "SHOW default_transaction_read_only").ReadAll()
		if err != nil {
			return err
		}
		if len(results) == 1 && len(results[0].Rows) == 1 {
			reported = string(results[0].Rows[0][0])
		}
	}
	if reported != "on" {
		return errPooler
	}
	return nil
}

// Direct turns the error of a session refused by a pooler, or detected by CheckSession, into a DATABASE_ERROR for
// commands that require a direct session. Other errors are returned unchanged.
func Direct(err error) error {
	if !refusedByPooler(err) {
		return err
	}
	return fault.New(fault.Database, "the connection goes through a pooler, but this command needs a direct session").
		WithHint("set direct_database_url, and direct_tenants_database_url for the tenants, to the server itself").Because(err)
}

// bounds returns the statements that set a transaction's timeouts.
func bounds(timeout time.Duration) string {
	if timeout <= 0 {
		return ""
	}
	statement, lock := limits(timeout)
	return fmt.Sprintf("; SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = %d", statement, lock)
}

// begin opens a transaction and runs set in the same round trip.
func (d *DB) begin(ctx context.Context, o pgx.TxOptions, set string) (pgx.Tx, error) {
	return d.pool.BeginTx(ctx, options(o, set))
}

// options adds the statements in set, each after a semicolon, to the BEGIN of a transaction.
func options(o pgx.TxOptions, set string) pgx.TxOptions {
	if set != "" {
		o.BeginQuery = fmt.Sprintf("BEGIN ISOLATION LEVEL %s %s%s", o.IsoLevel, o.AccessMode, set)
	}
	return o
}

// startOnce returns a batch for queries in a read-only transaction of their own, if they need one for its settings. n is the
// number of statements before the first query.
func (d *DB) startOnce() (batch *pgx.Batch, n int) {
	batch = &pgx.Batch{}
	if d.reads != "" {
		for statement := range strings.SplitSeq("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"+d.reads, "; ") {
			batch.Queue(statement)
		}
	}
	return batch, batch.Len()
}

// endOnce ends the transaction of startOnce.
func (d *DB) endOnce(batch *pgx.Batch) {
	if d.reads != "" {
		batch.Queue("ROLLBACK")
	}
}

// queryOnce runs a single query in a read-only transaction of its own, in one round trip unless it has an option.
func (d *DB) queryOnce(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if len(args) > 0 {
		if _, ok := args[0].(pgx.QueryExecMode); ok {
			return d.queryTx(ctx, sql, args...)
		}
	}
	batch, n := d.startOnce()
	batch.Queue(sql, args...)
	d.endOnce(batch)
	results := d.pool.SendBatch(ctx, batch)
	end := func() { _ = results.Close() }
	for range n {
		if _, err := results.Exec(); err != nil {
			end()
			return nil, err
		}
	}
	rows, err := results.Query()
	if err != nil {
		end()
		return nil, err
	}
	return &onceRows{Rows: rows, end: end}, nil
}

func (d *DB) queryTx(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	tx, err := d.begin(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadOnly}, d.reads)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		_ = tx.Rollback(ctx) // the query's error is more useful
		return nil, err
	}
	return &onceRows{Rows: rows, end: func() { _ = tx.Rollback(ctx) }}, nil // the transaction only reads
}

// onceRows are the rows of a query in its own transaction, which ends when they are closed.
type onceRows struct {
	pgx.Rows
	end func()
}

func (r *onceRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *onceRows) Close() {
	r.Rows.Close()
	if r.end != nil {
		r.end()
		r.end = nil
	}
}

// onceRow is the first row of such a query.
type onceRow struct {
	rows pgx.Rows
	err  error
}

func (r onceRow) Scan(into ...any) error {
	if r.err != nil {
		return r.err
	}
	_, err := pgx.CollectOneRow(r.rows, func(row pgx.CollectableRow) (struct{}, error) { return struct{}{}, row.Scan(into...) })
	return err
}
