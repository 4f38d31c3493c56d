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

// Behind a pooler in transaction mode a session is a server's process for one transaction: the next
// transaction may run in another, which other programs have used in between. So nothing is left to the
// session there. Each transaction, those of single reads too, sets its own bounds and the pinned settings, and
// no statement is prepared under a name.

// errPooler says that a session does not keep what it was asked to keep.
var errPooler = errors.New("a pooler stands before the server")

// canary is a start-up parameter that PostgreSQL takes, as it takes every name with a dot, and that no pooler
// is told to let pass: those that cxgctl needs may be, in PgBouncer's ignore_startup_parameters.
const canary = "cxgctl.session"

// protocolViolation is PgBouncer's answer to a start-up parameter that it does not know, among others.
const protocolViolation = "08P01"

// refusedByPooler says whether a connection was refused for its start-up parameters. No PostgreSQL does that
// with this code.
func refusedByPooler(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return errors.Is(err, errPooler) || ok && pe.Code == protocolViolation && strings.Contains(pe.Message, "startup parameter")
}

// CheckSession fails where a session that was asked to be read-only is not. A server says so by itself, from
// PostgreSQL 14 on; a pooler that passes over what it was asked reports its server's own default.
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

// Direct passes an error on. That of a session which a pooler refused, or which CheckSession found to be one's,
// becomes a DATABASE_ERROR that says what to do where nothing but a session of our own will do.
func Direct(err error) error {
	if !refusedByPooler(err) {
		return err
	}
	return fault.New(fault.Database, "a pooler stands before the server, and this needs a session of its own").
		WithHint("name the server itself in direct_database_url, and for the tenants in direct_tenants_database_url").Because(err)
}

// bounds returns the statements that set a transaction's time-outs.
func bounds(timeout time.Duration) string {
	if timeout <= 0 {
		return ""
	}
	statement, lock := limits(timeout)
	return fmt.Sprintf("; SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = %d", statement, lock)
}

// begin opens a transaction, with what set adds to its beginning, in one round trip.
func (d *DB) begin(ctx context.Context, o pgx.TxOptions, set string) (pgx.Tx, error) {
	return d.pool.BeginTx(ctx, options(o, set))
}

// options are those of a transaction that begins with more statements, each after a semicolon.
func options(o pgx.TxOptions, set string) pgx.TxOptions {
	if set != "" {
		o.BeginQuery = fmt.Sprintf("BEGIN ISOLATION LEVEL %s %s%s", o.IsoLevel, o.AccessMode, set)
	}
	return o
}

// queryOnce runs a single query in a read-only transaction of its own.
func (d *DB) queryOnce(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	tx, err := d.begin(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadOnly}, d.reads)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		_ = tx.Rollback(ctx) // the query's error says more
		return nil, err
	}
	return &onceRows{Rows: rows, end: func() { _ = tx.Rollback(ctx) }}, nil // it has changed nothing
}

// onceRows are the rows of a query that has a transaction to itself, which ends with them.
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
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(into...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
