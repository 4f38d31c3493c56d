package importer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// write applies a batch in its own transaction and counts the outcomes of its rows.
func (r *run[T, R]) write(ctx context.Context, b *batch[R]) error {
	err := r.ledger.Write(ctx, r.intent(), func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		return r.apply(ctx, tx, b)
	}, r.lease.claim)
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
func (r *run[T, R]) count(b *batch[R]) error {
	for _, in := range b.rows {
		row := in.Base()
		if row.Failure != nil && !row.Done && r.Failed != nil {
			if err := r.Failed(*row.Failure, row.Raw); err != nil {
				return err
			}
		}
	}
	r.tally(b)
	r.applied(r.changed(b))
	return nil
}

// changed returns the ids of the records that a batch created or changed, if they are asked for.
func (r *run[T, R]) changed(b *batch[R]) (ids []uuid.UUID) {
	if r.Applied == nil {
		return nil
	}
	for _, in := range b.rows {
		if row := in.Base(); row.Outcome == Created || row.Outcome == Updated {
			ids = append(ids, r.target.Noun.ID(row.New))
		}
	}
	return ids
}

// applied passes on the ids of committed records.
func (r *run[T, R]) applied(ids []uuid.UUID) {
	for _, id := range ids {
		r.Applied(id)
	}
}

// tally adds a batch to the report.
func (r *run[T, R]) tally(b *batch[R]) {
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
func (r *run[T, R]) alter(how []Alteration) {
	for _, a := range how {
		if r.report.Altered == nil {
			r.report.Altered = map[Alteration]int64{}
		}
		r.report.Altered[a]++
	}
}

// apply applies a batch inside a transaction. It may be called again for the same batch after a rollback.
func (r *run[T, R]) apply(ctx context.Context, tx *audit.Tx, b *batch[R]) ([]audit.Change, error) {
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
	if err := r.spec.Resolve(ctx, tx, rows); err != nil {
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
func (r *run[T, R]) attempt(ctx context.Context, tx *audit.Tx, rows []R) (changes []audit.Change, err error) {
	err = pgx.BeginFunc(ctx, tx, func(pgx.Tx) error {
		look := r.look
		err := tx.LookUp(ctx, r.target.Shape.Name, func(error) error {
			look = true
			return nil
		})
		if err != nil {
			return err
		}
		if look && len(rows) > 0 {
			if _, err := r.conflicts(ctx, tx, rows); err != nil {
				return err
			}
		}
		if err := r.insert(ctx, tx, Undecided(rows)); err != nil {
			return err
		}
		changes = nil
		for _, in := range rows {
			if base := in.Base(); base.Outcome == Created {
				changes = append(changes, r.target.Change(base, audit.Create))
			}
		}
		more, err := r.spec.AfterInsert(ctx, tx, rows)
		changes = append(changes, more...)
		return err
	})
	return changes, err
}

// conflicts looks for records that hold a unique value of the rows, and decides the outcome of those rows: they fail,
// are skipped or become updates. It returns how many have a holder, and remembers whether any had.
func (r *run[T, R]) conflicts(ctx context.Context, tx *audit.Tx, rows []R) (int, error) {
	keys := append(slices.Clone(r.target.Noun.Keys[1:]), r.target.Noun.Keys[0]) // messages name the id last
	args := pgx.NamedArgs{}
	for _, k := range keys {
		values := []string{}
		for _, in := range rows {
			if v := k.Of(in.Base().New); v != "" && v != unknownID {
				values = append(values, v)
			}
		}
		args[k.Name] = values
	}
	sql := r.target.Holders
	if r.OnConflict == Update {
		sql += " FOR UPDATE" // keep them unchanged until the update
	}
	found, err := db.Collect[T](ctx, tx, sql, args)
	if err != nil {
		return 0, err
	}
	having := make([]map[string]*T, len(keys))
	for i, k := range keys {
		having[i] = make(map[string]*T, len(found))
		for j := range found {
			having[i][k.Of(found[j])] = &found[j]
		}
	}
	decided := 0
	for _, in := range Undecided(rows) {
		base := in.Base()
		var holders []Holder[T]
		for i, k := range keys {
			value := k.Of(base.New)
			if h := having[i][value]; h != nil && value != "" {
				holders = append(holders, Holder[T]{k.Name, value, h})
			}
		}
		if len(holders) > 0 {
			decided++
		}
		switch {
		case r.OnConflict == Update:
			r.spec.Match(in, holders)
		case len(holders) == 0:
		case r.OnConflict == Skip:
			base.Outcome = Skipped
		default:
			r.target.FailTaken(&base.Row, holders)
		}
	}
	r.look = r.OnConflict == Update || decided > 0
	return decided, nil
}

// unknownID is the id of a record that gets a new one.
var unknownID = uuid.Nil.String()

// FailTaken fails a row with every value that another record has. It omits the id of a record that has another value
// too.
func (t Target[T, R]) FailTaken(row *Row, holders []Holder[T]) {
	var parts []string
	var hint string
	for i, h := range holders {
		id, name := t.Noun.ID(*h.Record).String(), t.Noun.DisplayName(*h.Record)
		byID := h.Key == t.Noun.Keys[0].Name
		if byID && slices.ContainsFunc(holders[:i], func(o Holder[T]) bool { return o.Record == h.Record }) {
			continue
		}
		switch {
		case byID:
			parts = append(parts, fmt.Sprintf("id %s is taken by %s %q", h.Value, t.Noun.Name, name))
		default:
			parts = append(parts, fmt.Sprintf("%s %q is taken by %s", h.Key, h.Value, t.Holder(*h.Record)))
		}
		if !t.Noun.IsLive(*h.Record) {
			hint = fmt.Sprintf("that %s is deleted; restore it with: %s %s", t.Noun.Name, strings.Replace(t.Command, "import", "restore", 1), id)
		}
	}
	f := fault.New(fault.AlreadyExists, "%s", strings.Join(parts, "; "))
	f.Kind = fmt.Sprint("taken", holders[0].Key, len(parts), hint != "")
	if hint != "" {
		f.WithHint("%s", hint)
	}
	id := t.Noun.ID(*holders[0].Record)
	row.Fail(holders[0].Key, holders[0].Value, f, &id)
}

// insert creates the records of the rows. COPY fails as a whole on the first row that the server refuses; the rows at
// fault are then found by looking up the holders of their unique values, or else by bisection. Rows that the database
// did not store are found by reading back. In either case the remaining rows are sent again, so nothing of a failed
// row is left.
func (r *run[T, R]) insert(ctx context.Context, tx *audit.Tx, rows []R) error {
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
			refused(&rows[0].Base().Row, err)
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

// bear sets the id, the time and the creator of a new record, unless the file has them.
func (r *run[T, R]) bear(tx *audit.Tx, in *Record[T]) error {
	now := db.At(tx.Now)
	for _, f := range r.born {
		switch p := f.Of(&in.New).(type) {
		case *uuid.UUID:
			if *p != uuid.Nil {
				continue
			}
			id, err := uuid.NewV7()
			if err != nil {
				return err
			}
			*p = id
		case **db.Time:
			if *p == nil || in.bornNow {
				*p, in.bornNow = &now, true
			}
		case **uuid.UUID:
			if *p == nil {
				*p = tx.ByID()
			}
		}
	}
	return nil
}

// copyIn sends the rows by COPY after a savepoint and reads them back.
func (r *run[T, R]) copyIn(ctx context.Context, tx *audit.Tx, rows []R) error {
	for _, in := range rows {
		if err := r.bear(tx, in.Base()); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, tx, func(save pgx.Tx) error {
		if err := r.send(ctx, save, rows); err != nil {
			return err
		}
		other, err := r.spec.NotStored(ctx, save, rows)
		if err != nil {
			return err
		}
		if err := r.target.ReadBack(ctx, save, db.Insert, rows, other); err != nil {
			return err
		}
		if slices.ContainsFunc(rows, func(in R) bool { return in.Base().Failure != nil }) {
			return ErrAgain
		}
		return nil
	})
}

// ReadBack reads the records of rows as stored, because a trigger may have skipped, moved or rewritten some. It fails
// rows whose record is missing or among others.
func (t Target[T, R]) ReadBack(ctx context.Context, tx pgx.Tx, e db.Event, rows []R, others []uuid.UUID) error {
	ids := make([]uuid.UUID, len(rows))
	for i, in := range rows {
		ids[i] = t.Noun.ID(in.Base().New)
	}
	found, err := t.Read(ctx, tx, ids)
	if err != nil {
		return err
	}
	now := make(map[uuid.UUID]*T, len(found))
	for i := range found {
		now[t.Noun.ID(found[i])] = &found[i]
	}
	for _, id := range others {
		delete(now, id)
	}
	var refused error
	for i, in := range rows {
		base := in.Base()
		if base.Stored = now[ids[i]]; base.Stored != nil {
			continue
		}
		if refused == nil {
			refused = db.NotStored(ctx, tx, t.Shape.Name, e, "kept the row from being stored as it was sent")
			if fault.From(refused).Code != fault.Database {
				return refused
			}
		}
		base.Fail(t.Noun.Keys[1].Name, t.Noun.DisplayName(base.New), refused, nil)
	}
	return nil
}

// Change returns the change that records what a row did, with the record as stored.
func (t Target[T, R]) Change(in *Record[T], action audit.Action) audit.Change {
	return audit.Change{Subject: t.Subject(*in.Stored), Action: action, After: in.Stored, Secrets: in.Secrets}
}

// send runs the COPY. It checks deferred constraints immediately, so that their violations can be attributed to rows.
func (r *run[T, R]) send(ctx context.Context, tx pgx.Tx, rows []R) error {
	names := make([]string, len(r.columns))
	for i, c := range r.columns {
		names[i] = c.Name
	}
	i := 0
	values := make([]any, len(names))
	_, err := tx.CopyFrom(ctx, pgx.Identifier(strings.Split(r.target.Shape.Name, ".")), names, pgx.CopyFromFunc(func() ([]any, error) {
		if i == len(rows) {
			return nil, nil
		}
		for j, c := range r.columns {
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
