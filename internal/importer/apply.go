package importer

import (
	"cmp"
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
	"github.com/cxgctl/cxgctl/internal/schema"
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
		r.lease.record(tx, spans(b.rows))
		return changes, nil
	}
}

// ErrAgain means that rows failed after some had been written. The others are written again without them.
var ErrAgain = errors.New("rows failed after they were written")

// attempt writes all of the rows, or none and returns an error.
func (r *run[T, R]) attempt(ctx context.Context, tx *audit.Tx, rows []R) ([]audit.Change, error) {
	r.savepoints = 0
	r.sharded = tx.Layout[r.target.Shape.Name].Kind == db.Distributed
	look := r.look
	err := tx.LookUp(ctx, r.target.Shape.Name, func(error) error {
		look = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	if look && len(rows) > 0 {
		if _, err := r.conflicts(ctx, tx, rows); err != nil {
			return nil, err
		}
	}
	if err := r.insert(ctx, tx, Undecided(rows)); err != nil {
		return nil, err
	}
	if r.savepoints == 0 && len(rows) > 0 {
		if _, err := tx.Exec(ctx, r.savepoint()); err != nil {
			return nil, err
		}
	}
	var changes []audit.Change
	for _, in := range rows {
		if base := in.Base(); base.Outcome == Created {
			changes = append(changes, r.target.Change(base, audit.Create))
		}
	}
	more, err := r.spec.AfterInsert(ctx, tx, rows)
	if errors.Is(err, ErrAgain) {
		r.savepoints = 1
		err = r.undo(ctx, tx, err)
	}
	return append(changes, more...), err
}

// savepoint returns the statement for a new savepoint, which is sent together with others.
func (r *run[T, R]) savepoint() string {
	r.savepoints++
	return fmt.Sprintf("SAVEPOINT import_%d", r.savepoints)
}

// undo rolls back to the last savepoint because of err, which it returns unless the rollback fails.
func (r *run[T, R]) undo(ctx context.Context, tx pgx.Tx, err error) error {
	name := fmt.Sprintf("import_%d", r.savepoints)
	r.savepoints--
	batch := &pgx.Batch{}
	batch.Queue("ROLLBACK TO SAVEPOINT " + name)
	batch.Queue("RELEASE SAVEPOINT " + name)
	return cmp.Or(tx.SendBatch(ctx, batch).Close(), err)
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

// insert creates the records of the rows. The statement fails as a whole if the server refuses a row; the rows at fault
// are then found by looking up the holders of their unique values, or else by bisection. Rows that the database
// did not store are found by reading back. In either case the remaining rows are sent again, so nothing of a failed
// row is left.
func (r *run[T, R]) insert(ctx context.Context, tx *audit.Tx, rows []R) error {
	for len(rows) > 0 {
		err := r.create(ctx, tx, rows)
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
		of, failed := OfRow(ctx, tx, err, func(save pgx.Tx) error {
			batch := &pgx.Batch{}
			if err := r.queue(ctx, save, batch, nil); err != nil {
				return err
			}
			return save.SendBatch(ctx, batch).Close()
		})
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

// create inserts the rows after a savepoint and reads them back, in one round trip.
func (r *run[T, R]) create(ctx context.Context, tx *audit.Tx, rows []R) error {
	for _, in := range rows {
		if err := r.bear(tx, in.Base()); err != nil {
			return err
		}
	}
	batch := &pgx.Batch{}
	batch.Queue(r.savepoint())
	if err := r.queue(ctx, tx, batch, rows); err != nil {
		return r.undo(ctx, tx, err)
	}
	back := r.target.ReadBack(rows)
	for _, q := range append(r.spec.NotStored(rows, &back.Others), back.Question()) {
		q.Queue(batch)
	}
	err := tx.SendBatch(ctx, batch).Close()
	if err == nil {
		err = back.Check(ctx, tx, db.Insert)
	}
	if err == nil && slices.ContainsFunc(rows, func(in R) bool { return in.Base().Failure != nil }) {
		err = ErrAgain
	}
	if err != nil {
		return r.undo(ctx, tx, err)
	}
	return nil
}

// queue queues the INSERT, or sends the batch and many rows by COPY. It checks deferred constraints immediately, so that
// their violations can be attributed to rows.
//
// Citus commits a shard in one phase, and so can lose its rows, if the transaction read it and then wrote by COPY. An
// INSERT of a query is a COPY to Citus too, unless it returns something.
func (r *run[T, R]) queue(ctx context.Context, tx pgx.Tx, batch *pgx.Batch, rows []R) error {
	values := make([]any, len(r.columns))
	row := func(i int) ([]any, error) {
		for j, c := range r.columns {
			values[j] = c.Value(rows[i])
		}
		return values, nil
	}
	if len(rows) > schema.InsertMost && !r.sharded {
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		*batch = pgx.Batch{}
		table := pgx.Identifier(strings.Split(r.target.Shape.Name, "."))
		if _, err := tx.CopyFrom(ctx, table, r.insertion.Names, pgx.CopyFromSlice(len(rows), row)); err != nil {
			return err
		}
	} else {
		doc, err := r.insertion.Rows(len(rows), row)
		if err != nil {
			return err
		}
		sql := r.insertion.SQL
		if r.sharded {
			sql += " RETURNING id"
		}
		batch.Queue(sql, doc)
	}
	batch.Queue(db.SettleConstraints)
	return nil
}

// ReadBack is the records of rows as stored, which are read because a trigger may have skipped, moved or rewritten some.
type ReadBack[T any, R Item[T]] struct {
	Others []uuid.UUID // records that the database did not store as sent

	target Target[T, R]
	rows   []R
	found  []T
}

// ReadBack returns the records of rows, which its Question reads.
func (t Target[T, R]) ReadBack(rows []R) *ReadBack[T, R] {
	return &ReadBack[T, R]{target: t, rows: rows}
}

func (b *ReadBack[T, R]) ids() []uuid.UUID {
	ids := make([]uuid.UUID, len(b.rows))
	for i, in := range b.rows {
		ids[i] = b.target.Noun.ID(in.Base().New)
	}
	return ids
}

// Question reads the records.
func (b *ReadBack[T, R]) Question() db.PipelineQuery { return b.target.Reading(b.ids(), &b.found) }

// Check fails the rows whose record is missing or among Others.
func (b *ReadBack[T, R]) Check(ctx context.Context, tx pgx.Tx, e db.Event) error {
	t := b.target
	now := make(map[uuid.UUID]*T, len(b.found))
	for i := range b.found {
		now[t.Noun.ID(b.found[i])] = &b.found[i]
	}
	for _, id := range b.Others {
		delete(now, id)
	}
	var refused error
	for _, in := range b.rows {
		base := in.Base()
		if base.Stored = now[t.Noun.ID(base.New)]; base.Stored != nil {
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
