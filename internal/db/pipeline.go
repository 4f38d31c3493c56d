package db

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// PipelineQuery is one of several queries that are sent together. Its arguments are untyped text, which the server
// converts.
type PipelineQuery struct {
	SQL  string
	Args []string
	Read func(pgx.Rows) error // reads the result
}

// Pipeline sends all queries in one round trip, without preparing them. It stops at the first error: earlier queries
// have been read, later ones were not run.
func (d *DB) Pipeline(ctx context.Context, questions ...PipelineQuery) error {
	if d.begins != "" {
		tx, err := d.begin(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadOnly}, d.begins)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }() // the transaction only reads
		return together(ctx, tx.Conn(), questions)
	}
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return together(ctx, conn.Conn(), questions)
}

// together bypasses pgx's batches, which prepare every statement.
func together(ctx context.Context, conn *pgx.Conn, questions []PipelineQuery) error {
	var batch pgconn.Batch
	for _, q := range questions {
		args := make([][]byte, len(q.Args))
		for i, a := range q.Args {
			args[i] = []byte(a)
		}
		batch.ExecParams(q.SQL, args, nil, nil, nil)
	}
	results := conn.PgConn().ExecBatch(ctx, &batch)
	var failed error
	tracer := conn.Config().Tracer
	for _, q := range questions {
		traced := tracer.TraceQueryStart(ctx, conn, pgx.TraceQueryStartData{SQL: q.SQL})
		var end pgx.TraceQueryEndData
		more := results.NextResult()
		if more {
			rows := pgx.RowsFromResultReader(conn.TypeMap(), results.ResultReader())
			failed = q.Read(rows)
			end.CommandTag = rows.CommandTag()
		}
		tracer.TraceQueryEnd(traced, conn, end)
		if !more || failed != nil {
			break
		}
	}
	if err := results.Close(); err != nil {
		for _, q := range questions {
			roleOf(conn.Config()).complete(err, q.SQL)
		}
		return err
	}
	return failed
}
