package db

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"iter"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// Query is a statement and its arguments.
type Query struct {
	SQL  string
	Args pgx.NamedArgs
}

// Rows yields the rows of q from PostgreSQL's binary form. A row is valid until the next one. A column type unknown to
// package pgtext is an INTERNAL_ERROR.
func (q Query) Rows(ctx context.Context, r Reader) iter.Seq2[pgtext.Row, error] {
	return func(yield func(pgtext.Row, error) bool) {
		var row pgtext.BinaryRow
		for rows, err := range q.fetch(ctx, r, Described, pgx.QueryResultFormats{pgx.BinaryFormatCode}, q.Args) {
			if err == nil && row.Columns == nil {
				row.Columns, err = columnsOf(rows.FieldDescriptions())
			}
			if err != nil {
				yield(nil, err)
				return
			}
			row.Values = rows.RawValues()
			if !yield(&row, nil) {
				return
			}
		}
	}
}

// Records yields the rows of q as structs, matched by column name.
func Records[T any](ctx context.Context, r Reader, q Query) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for rows, err := range q.fetch(ctx, r, q.Args) {
			var row T
			if err == nil {
				row, err = pgx.RowToStructByName[T](rows)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// fetch yields the rows of q, each positioned on the next.
func (q Query) fetch(ctx context.Context, r Reader, args ...any) iter.Seq2[pgx.Rows, error] {
	return func(yield func(pgx.Rows, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		rows, err := r.Query(ctx, q.SQL, args...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		defer cancel() // before Close, which would otherwise read the remaining rows
		// The kernel's buffer lets the server continue while a row is written; reading ahead in a goroutine was no faster.
		for rows.Next() {
			if !yield(rows, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, err)
		}
	}
}

func columnsOf(fields []pgconn.FieldDescription) ([]pgtext.Column, error) {
	columns := make([]pgtext.Column, len(fields))
	for i, f := range fields {
		var known bool
		if columns[i], known = pgtext.ColumnFor(f.Name, f.DataTypeOID); !known {
			return nil, fault.New(fault.Internal, "the column %s has a type that cannot be streamed (OID %d)", f.Name, f.DataTypeOID)
		}
	}
	return columns, nil
}

// Export yields the rows that read returns, in a read-only snapshot without a statement timeout. It fails if no row
// arrives within idle, not counting the time between rows that the consumer takes. read gets a reader of the snapshot
// and the timer, which counts the rows.
func Export[R any](
	ctx context.Context, d *DB, idle time.Duration, read func(context.Context, Reader, *IdleTimer) iter.Seq2[R, error],
) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		stopped := false
		// statement_timeout is meant for short statements; a stream may run as long as rows arrive.
		err := d.snapshot(ctx, "; SET LOCAL statement_timeout = 0", func(r Reader) error {
			w := &IdleTimer{}
			ctx, cancel := context.WithCancelCause(context.WithValue(ctx, streamKey{}, w))
			defer cancel(nil)
			defer w.start(idle, cancel)()
			for row, err := range read(ctx, r, w) {
				if err != nil {
					return cmp.Or(context.Cause(ctx), err)
				}
				w.turns.Add(1)
				if w.beforeRow != nil {
					w.beforeRow()
					w.beforeRow = nil
				}
				stopped = !yield(row, nil)
				w.turns.Add(1)
				if stopped {
					return nil
				}
			}
			return nil
		})
		if err != nil && !stopped {
			var none R
			yield(none, Translate(err))
		}
	}
}

// Stream is Export of a query's rows as structs.
func Stream[T any](ctx context.Context, d *DB, idle time.Duration, q Query) iter.Seq2[T, error] {
	return Export(ctx, d, idle, func(ctx context.Context, r Reader, _ *IdleTimer) iter.Seq2[T, error] {
		return Records[T](ctx, r, q)
	})
}

// IdleTimer detects a stream that waits for the server for too long. Its zero value is waiting.
type IdleTimer struct {
	turns     atomic.Uint64 // odd while a row is being handled
	beforeRow func()        // see Statement.BeforeRows; nil once called
}

// Rows returns the number of handled rows.
func (w *IdleTimer) Rows() int64 { return int64(w.turns.Load() / 2) }

// start cancels after waiting for idle, where 0 means never. Resetting a time.Timer for every row would cost as much
// as the row itself, so a ticker polls instead. The returned function stops it.
func (w *IdleTimer) start(idle time.Duration, cancel context.CancelCauseFunc) (stop func()) {
	if idle <= 0 {
		return func() {}
	}
	const looks = 20 // polls within idle
	tick := time.NewTicker(max(idle/looks, time.Millisecond))
	done := make(chan struct{})
	go func() {
		defer tick.Stop()
		last, since := w.turns.Load(), time.Now()
		for {
			select {
			case <-done:
				return
			case now := <-tick.C:
				turn := w.turns.Load()
				switch {
				case turn != last || turn%2 == 1:
					last, since = turn, now
				case now.Sub(since) >= idle:
					cancel(fault.New(fault.Database, "no row arrived within %s", idle).WithHint("raise --timeout if the database is slow"))
					return
				}
			}
		}
	}()
	return func() { close(done) }
}

// readBuffer is larger than pgx's, which halves a stream's system calls.
const readBuffer = 64 << 10

// frontend builds a connection's protocol reader.
func frontend(r io.Reader, w io.Writer) *pgproto3.Frontend {
	return pgproto3.NewFrontend(bufio.NewReaderSize(r, readBuffer), w)
}
