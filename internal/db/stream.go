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
	Lookup *Lookup // what Each may do in place of a join of SQL's; nil for nothing
}

// Each runs q over r and calls begin with its columns, then row for every row with the values in
// PostgreSQL's binary form, nil for NULL, which are good until row returns. An error of theirs ends it
// and is returned. A column of a type that package wire does not know is an INTERNAL_ERROR before begin.
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
	defer cancel() // before Close, which would else read whatever rows are left
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
	// The kernel's buffer lets the server go on while a row is written: a goroutine that reads ahead was no faster.
	for {
		if err := row(rows.RawValues()); err != nil {
			return err
		}
		if !rows.Next() {
			return rows.Err()
		}
	}
}

// Export runs fn in a read-only snapshot of its own, without a statement time-out: fn is given a reader
// of that snapshot, and a watch, whose Row it wraps around what handles a row. When no row arrives within
// idle, the export fails; the time that a row's handling takes does not count.
func Export(ctx context.Context, d *DB, idle time.Duration, fn func(context.Context, Reader, *IdleTimer) error) error {
	w := &IdleTimer{}
	// The session's statement_timeout bounds one-off commands; a stream may take as long as it flows.
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
		return w.refused // no error of the database
	}
	return Translate(err)
}

// Records runs q over r and calls yield with every row as a struct, matched by column name, until yield
// returns false; w is told when a row is being handled.
func StreamRows[T any](ctx context.Context, r Reader, w *IdleTimer, q Query, yield func(T) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	rows, err := r.Query(ctx, q.SQL, q.Args)
	if err != nil {
		cancel()
		return err
	}
	defer rows.Close()
	defer cancel() // before Close, which would else read whatever rows are left
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

// Watch knows whether a stream waits for the server. Its zero value waits.
type IdleTimer struct {
	turns   atomic.Uint64 // odd while a row is being handled
	refused error         // what the handling of a row ended with
}

// Row returns row with the watch told when it begins and when it ends.
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

// Rows returns how many rows have been handled.
func (w *IdleTimer) Rows() int64 { return int64(w.turns.Load() / 2) }

// start cancels when the watch has waited for idle, 0 meaning never, and returns what ends the watch. A
// timer that is set anew for every row would cost as much as the row does; this one looks now and then.
func (w *IdleTimer) start(idle time.Duration, cancel context.CancelCauseFunc) (stop func()) {
	if idle <= 0 {
		return func() {}
	}
	const looks = 20 // how often within idle
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

// growingReader is the read side of a connection. pgx reads 8 KiB at a time, which is right for one-off
// commands; a stream halves its system calls with a larger buffer, and gets one once it is known to be one.
type growingReader struct {
	io.Reader
	full int // reads in a row that filled what was offered
}

// Larger reads begin after so many that were full, and take so much.
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
