package importer

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// write applies a batch in its own transaction and counts the outcomes of its rows.
func (r *run[R]) write(ctx context.Context, b *batch[R]) error {
	err := r.ledger.Write(ctx, r.intent(), func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		if err := r.lease.claim(ctx, tx); err != nil {
			return nil, err
		}
		return r.apply(ctx, tx, b)
	})
	if err != nil {
		return err
	}
	if !b.recorded {
		if err := r.lease.recordUnchanged(ctx, spans(b.rows)); err != nil {
			return err
		}
	}
	return r.count(b)
}

// count adds a committed batch to the report and reports its failures.
func (r *run[R]) count(b *batch[R]) error {
	for _, in := range b.rows {
		row := in.Base()
		if row.Failure != nil && !row.Done && r.Failed != nil {
			if err := r.Failed(*row.Failure, row.Raw); err != nil {
				return err
			}
		}
	}
	r.tally(b)
	return nil
}

// tally adds a batch to the report.
func (r *run[R]) tally(b *batch[R]) {
	for _, in := range b.rows {
		row := in.Base()
		r.report.Rows++
		switch {
		case row.Done:
			r.report.AppliedEarlier++
		case row.Failure != nil:
			r.report.Failed++
		case row.Outcome == Created:
			r.report.Created++
			r.alter(row.Altered)
			r.alter(row.Filled)
		case row.Outcome == Updated:
			r.report.Updated++
			r.alter(row.Altered)
		case row.Outcome == Unchanged:
			r.report.Unchanged++
		case row.Outcome == Skipped:
			r.report.Skipped++
		}
	}
	if r.Progress != nil {
		r.Progress(r.report)
	}
}

// alter counts a row that was stored differently from the file.
func (r *run[R]) alter(how []Alteration) {
	for _, a := range how {
		if r.report.Altered == nil {
			r.report.Altered = map[Alteration]int64{}
		}
		r.report.Altered[a]++
	}
}

// apply applies a batch inside a transaction. It may be called again for the same batch after a rollback.
func (r *run[R]) apply(ctx context.Context, tx *audit.Tx, b *batch[R]) ([]audit.Change, error) {
	b.recorded = false
	var rows []R
	for _, in := range b.rows {
		row := in.Base()
		if row.Done || row.unfit {
			continue
		}
		row.Outcome, row.Failure = Pending, nil
		rows = append(rows, in)
	}
	if err := r.kind.Resolve(ctx, tx, rows); err != nil {
		return nil, err
	}
	for rows = Undecided(rows); ; {
		changes, err := r.attempt(ctx, tx, rows)
		if errors.Is(err, ErrAgain) {
			rows = slices.DeleteFunc(rows, func(in R) bool { return in.Base().Failure != nil })
			for _, in := range rows {
				in.Base().Outcome = Pending
			}
			continue
		}
		if err != nil || len(changes) == 0 {
			return nil, err
		}
		b.recorded = true
		return changes, r.lease.record(ctx, tx, spans(b.rows))
	}
}

// ErrAgain means that rows failed after some had been written. The others are written again without them.
var ErrAgain = errors.New("rows failed after they were written")

// attempt writes all of the rows, or none and returns an error.
func (r *run[R]) attempt(ctx context.Context, tx *audit.Tx, rows []R) (changes []audit.Change, err error) {
	err = pgx.BeginFunc(ctx, tx, func(pgx.Tx) error {
		if r.look && len(rows) > 0 {
			if _, err := r.conflicts(ctx, tx, rows); err != nil {
				return err
			}
		}
		if err := r.insert(ctx, tx, Undecided(rows)); err != nil {
			return err
		}
		changes, err = r.kind.AfterInsert(ctx, tx, rows)
		return err
	})
	return changes, err
}

// conflicts lets the noun decide about rows whose unique values are taken, and remembers whether there were any.
func (r *run[R]) conflicts(ctx context.Context, tx *audit.Tx, rows []R) (int, error) {
	n, err := r.kind.Conflicts(ctx, tx, rows)
	r.look = r.OnConflict == Update || n > 0
	return n, err
}

// insert creates the records of the rows. COPY fails as a whole on the first row that the server refuses; the rows at
// fault are then found by looking up the holders of their unique values, or else by bisection. Rows that the database
// did not store are found by reading back. In either case the remaining rows are sent again, so nothing of a failed
// row is left.
func (r *run[R]) insert(ctx context.Context, tx *audit.Tx, rows []R) error {
	for len(rows) > 0 {
		err := r.copyIn(ctx, tx, rows)
		if err == nil {
			for _, in := range rows {
				in.Base().Outcome = Created
			}
			return nil
		}
		if errors.Is(err, ErrAgain) {
			rows = Undecided(rows)
			continue
		}
		of, failed := OfRow(ctx, tx, err, func(save pgx.Tx) error { return r.send(ctx, save, nil) })
		if failed != nil {
			return failed
		}
		if !of {
			return err
		}
		if db.UniqueViolation(err) != "" {
			n, err := r.conflicts(ctx, tx, rows)
			if err != nil {
				return err
			}
			if n > 0 {
				rows = Undecided(rows)
				continue
			}
		}
		if len(rows) == 1 {
			refused(rows[0].Base(), err)
			return nil
		}
		half := len(rows) / 2
		if err := r.insert(ctx, tx, rows[:half]); err != nil {
			return err
		}
		rows = rows[half:]
	}
	return nil
}

// OfRow reports whether the server refused a row rather than the statement. If the error does not tell, it tries the
// statement without rows.
func OfRow(ctx context.Context, tx pgx.Tx, err error, without func(pgx.Tx) error) (bool, error) {
	if db.OfRow(err) || !db.MayBeOfRow(err) {
		return db.OfRow(err), nil
	}
	switch failed := pgx.BeginFunc(ctx, tx, without); {
	case failed == nil:
		return true, nil
	case db.MayBeOfRow(failed) || db.OfRow(failed):
		return false, nil
	default:
		return false, failed
	}
}

// refused fails a row with the server's error.
func refused(row *Row, err error) {
	field := ""
	f := fault.From(db.Translate(err))
	if column, ok := f.Detail["column"].(string); ok {
		field = column
	}
	row.Fail(field, "", f, nil)
}

// copyIn sends the rows by COPY after a savepoint and reads them back.
func (r *run[R]) copyIn(ctx context.Context, tx *audit.Tx, rows []R) error {
	for _, in := range rows {
		if err := r.kind.Defaults(in, tx.Now, tx.ByID()); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, tx, func(save pgx.Tx) error {
		if err := r.send(ctx, save, rows); err != nil {
			return err
		}
		if err := r.kind.Stored(ctx, save, rows); err != nil {
			return err
		}
		if slices.ContainsFunc(rows, func(in R) bool { return in.Base().Failure != nil }) {
			return ErrAgain
		}
		return nil
	})
}

// send runs the COPY. It checks deferred constraints immediately, so that their violations can be attributed to rows.
func (r *run[R]) send(ctx context.Context, tx pgx.Tx, rows []R) error {
	names := make([]string, len(r.kind.Columns))
	for i, c := range r.kind.Columns {
		names[i] = c.Name
	}
	i := 0
	values := make([]any, len(names))
	_, err := tx.CopyFrom(ctx, pgx.Identifier(strings.Split(r.kind.Table, ".")), names, pgx.CopyFromFunc(func() ([]any, error) {
		if i == len(rows) {
			return nil, nil
		}
		for j, c := range r.kind.Columns {
			values[j] = c.Value(rows[i])
		}
		i++
		return values, nil
	}))
	if err == nil {
		_, err = tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE")
	}
	return err
}
