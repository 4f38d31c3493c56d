package rowupdate

import (
	"context"
	"fmt"
	"reflect"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// written is the result of an UPDATE.
type written[T any] struct {
	after []T         // the changed rows
	other []uuid.UUID // those for which Update.Holds is not true
}

// writing returns the statements that update rows and read them back after all triggers have run, including those of
// deferred constraints, because a later trigger can undo what RETURNING reports. failed turns the errors of the update
// into others; it may be nil. holds is that of Update.
func (t Table[T]) writing(update, holds string, args pgx.NamedArgs, failed func(error) error, into *written[T]) []db.PipelineQuery {
	done := func(rows pgx.Rows) error {
		rows.Close()
		return rows.Err()
	}
	list := []db.PipelineQuery{
		{SQL: update, Args: []any{args}, Read: done, Failed: failed},
		{SQL: db.SettleConstraints, Read: done, Failed: failed},
		{SQL: t.sql(readRows, ""), Args: []any{args}, Read: db.Into(&into.after, pgx.RowToStructByName[T])},
	}
	if holds != "" {
		list = append(list, db.PipelineQuery{SQL: t.sql(otherRows, holds), Args: []any{args}, Read: db.Into(&into.other, pgx.RowTo[uuid.UUID])})
	}
	return list
}

// send runs the statements in one round trip.
func send(ctx context.Context, tx *audit.Tx, list []db.PipelineQuery) error {
	batch := &pgx.Batch{}
	for _, q := range list {
		q.Queue(batch)
	}
	return tx.SendBatch(ctx, batch).Close()
}

// stored refuses rows that were not stored as intended. as reports whether a row is as intended; if it is nil, each
// row has to differ from before. The two lists are in the same order, unless rows are missing.
func (t Table[T]) stored(ctx context.Context, tx *audit.Tx, before, after []T, as func(T) bool) error {
	now := make(map[uuid.UUID]T, len(after))
	for _, row := range after {
		now[t.Noun.ID(row)] = row
	}
	for _, was := range before {
		is, there := now[t.Noun.ID(was)]
		switch {
		case !there:
			return t.notStored(ctx, tx, "took %s away, or moved it", was)
		case reflect.DeepEqual(is, was):
			return t.notStored(ctx, tx, "kept %s from changing", was)
		case as != nil && !as(is):
			return t.notStored(ctx, tx, "stored %s with other values than were sent", was)
		}
	}
	return nil
}

func (t Table[T]) notStored(ctx context.Context, tx *audit.Tx, did string, row T) error {
	err := db.NotStored(ctx, tx, t.Shape.Name, db.Update, fmt.Sprintf(did, t.called(row)))
	if f := fault.From(err); f.Code == fault.Database {
		return f.With(t.Noun.Keys[1].Name, t.Noun.DisplayName(row)).With("id", t.Noun.ID(row).String())
	}
	return err
}

// called returns a row's name for messages: user "ada".
func (t Table[T]) called(row T) string {
	return fmt.Sprintf("%s %q", t.Noun.Name, t.Noun.DisplayName(row))
}
