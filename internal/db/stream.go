package db

import (
	"bufio"
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// Query is a statement and its arguments.
type Query struct {
	SQL    string
	Args   pgx.NamedArgs
	Lookup *Lookup // lets Each replace a join; may be nil
}

// Each runs q and calls begin with the columns, then row for every row. The values are in PostgreSQL's binary form,
// nil for NULL, and valid until row returns. An error from begin or row stops the query and is returned. A column type
// unknown to package pgtext is an INTERNAL_ERROR before begin.
func (q Query) Each(ctx context.Context, r Reader, begin func([]pgtext.Column) error, row func(values [][]byte) error) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	sql, texts, few := q.SQL, map[string][]byte(nil), false
	if q.Lookup != nil {
		var err error
		if texts, few, err = q.Lookup.read(reading, r); err != nil {
			return err
		}
		if few {
			sql = q.Lookup.keyed
		}
	}
	rows, err := r.Query(reading, sql, pgx.QueryResultFormats{pgx.BinaryFormatCode}, q.Args)
	if err != nil {
		return err
	}
	defer rows.Close()
	defer cancel() // before Close, which would otherwise read the remaining rows
	some := rows.Next()
	if err := rows.Err(); err != nil {
		return err
	}
	fields := rows.FieldDescriptions()
	columns := make([]pgtext.Column, len(fields))
	for i, f := range fields {
		var known bool
		if columns[i], known = pgtext.ColumnFor(f.Name, f.DataTypeOID); !known {
			return fault.New(fault.Internal, "the column %s has a type that cannot be streamed (OID %d)", f.Name, f.DataTypeOID)
		}
	}
	if few {
		row = q.Lookup.replace(columns, texts, row)
	}
	if err := begin(columns); err != nil || !some {
		return err
	}
	// The kernel's buffer lets the server continue while a row is written; reading ahead in a goroutine was no faster.
	for {
		if err := row(rows.RawValues()); err != nil {
			return err
		}
		if !rows.Next() {
			return rows.Err()
		}
	}
}

// Export runs fn in a read-only snapshot without a statement timeout. fn gets a reader and an IdleTimer, and wraps its
// row handler with IdleTimer.Row. The export fails if no row arrives within idle, not counting the time spent in row
// handlers.
func Export(ctx context.Context, d *DB, idle time.Duration, fn func(context.Context, Reader, *IdleTimer) error) error {
	w := &IdleTimer{}
	// statement_timeout is meant for short statements; a stream may run as long as rows arrive.
	err := d.snapshot(ctx, "; SET LOCAL statement_timeout = 0", func(r Reader) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer w.start(idle, cancel)()
		err := fn(ctx, r, w)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause
		}
		return err
	})
	if w.refused != nil {
		return w.refused // not a database error
	}
	return Translate(err)
}

// StreamRows runs q over r and calls yield with every row as a struct, matched by column name, until yield returns
// false. It pauses w while yield runs.
func StreamRows[T any](ctx context.Context, r Reader, w *IdleTimer, q Query, yield func(T) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	rows, err := r.Query(ctx, q.SQL, q.Args)
	if err != nil {
		cancel()
		return err
	}
	defer rows.Close()
	defer cancel() // before Close, which would otherwise read the remaining rows
	for rows.Next() {
		v, err := pgx.RowToStructByName[T](rows)
		if err != nil {
			return err
		}
		w.turns.Add(1)
		more := yield(v)
		w.turns.Add(1)
		if !more {
			return nil
		}
	}
	return rows.Err()
}

// IdleTimer detects a stream that waits for the server for too long. Its zero value is waiting.
type IdleTimer struct {
	turns   atomic.Uint64 // odd while a row is being handled
	refused error         // the row handler's error
}

// Row wraps row so that the timer pauses while it runs.
func (w *IdleTimer) Row(row func(values [][]byte) error) func(values [][]byte) error {
	return func(values [][]byte) error {
		w.turns.Add(1)
		err := row(values)
		w.turns.Add(1)
		if err != nil {
			w.refused = err
		}
		return err
	}
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

// growingReader is the read side of a connection. pgx reads 8 KiB at a time, which suits short statements. A larger
// buffer halves a stream's system calls, and is allocated once the connection turns out to stream.
type growingReader struct {
	io.Reader
	full int // consecutive reads that filled the buffer
}

// After fullReads full reads in a row, reads use a larger buffer.
const (
	fullReads  = 4
	readBuffer = 64 << 10
)

func (g *growingReader) Read(b []byte) (int, error) {
	n, err := g.Reader.Read(b)
	if g.full < 0 {
		return n, err
	}
	if n < len(b) {
		g.full = 0
		return n, err
	}
	if g.full++; g.full == fullReads {
		g.Reader, g.full = bufio.NewReaderSize(g.Reader, readBuffer), -1
	}
	return n, err
}

// frontend builds a connection's protocol reader over a growingReader.
func frontend(r io.Reader, w io.Writer) *pgproto3.Frontend {
	return pgproto3.NewFrontend(&growingReader{Reader: r}, w)
}
