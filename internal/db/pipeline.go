package db

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// PipelineQuery is one of several queries that are sent together.
type PipelineQuery struct {
	SQL  string
	Args []any
	Read func(pgx.Rows) error // reads the result

	Failed func(error) error // turns an error of the query or of Read into one that says more; may be nil
}

// Queue adds the query to a batch.
func (q PipelineQuery) Queue(batch *pgx.Batch) {
	batch.Queue(q.SQL, q.Args...).Fn = func(results pgx.BatchResults) error {
		rows, err := results.Query()
		if err == nil {
			err = q.Read(rows)
		}
		if err != nil && q.Failed != nil {
			err = q.Failed(err)
		}
		return err
	}
}

// Ask runs the query alone.
func (q PipelineQuery) Ask(ctx context.Context, r Reader) error {
	rows, err := r.Query(ctx, q.SQL, q.Args...)
	if err != nil {
		return err
	}
	return q.Read(rows)
}

// Pipeline sends all queries in one round trip. It stops at the first error: earlier queries have been read, later ones
// were not run.
func (d *DB) Pipeline(ctx context.Context, questions ...PipelineQuery) error {
	batch, _ := d.startOnce()
	for _, q := range questions {
		q.Queue(batch)
	}
	d.endOnce(batch)
	return d.pool.SendBatch(ctx, batch).Close()
}
