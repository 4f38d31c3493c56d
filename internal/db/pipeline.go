package db

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Question is one of several queries that are sent together. Its arguments are texts, which the server reads as
// what they are compared with.
type PipelineQuery struct {
	SQL  string
	Args []string
	Read func(pgx.Rows) error // what becomes of the rows
}

// Together asks all questions in one round trip, without preparing anything. The first that fails ends it: those
// before it were read, those after it were not asked.
func (d *DB) Together(ctx context.Context, questions ...PipelineQuery) error {
	if d.begins != "" {
		tx, err := d.begin(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadOnly}, d.begins)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }() // it has changed nothing
		return together(ctx, tx.Conn(), questions)
	}
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return together(ctx, conn.Conn(), questions)
}

// together sends the questions under pgx, whose batches prepare every statement.
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
	for i := 0; failed == nil && results.NextResult(); i++ {
		failed = questions[i].Read(pgx.RowsFromResultReader(conn.TypeMap(), results.ResultReader()))
	}
	if err := results.Close(); err != nil {
		for _, q := range questions {
			roleOf(conn.Config()).complete(err, q.SQL)
		}
		return err
	}
	return failed
}
