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

// write runs an UPDATE and reads the rows back after all triggers have run, including those of deferred constraints,
// because a later trigger can undo what RETURNING reports. If holds is not empty, a row for which it is not true is a
// DATABASE_ERROR.
func (t Table[T]) write(ctx context.Context, tx *audit.Tx, update string, ids []uuid.UUID, holds string, args pgx.NamedArgs) ([]T, error) {
	args["ids"] = ids
	batch := &pgx.Batch{}
	batch.Queue(update, args)
	batch.Queue("SET CONSTRAINTS ALL IMMEDIATE")
	batch.Queue(t.sql(readRows, ""), args)
	if holds != "" {
		batch.Queue(t.sql(otherRows, holds), args)
	}
	results := tx.SendBatch(ctx, batch)
	defer func() { _ = results.Close() }()
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return nil, err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	after, err := pgx.CollectRows(rows, pgx.RowToStructByName[T])
	if err != nil {
		return nil, err
	}
	var other []uuid.UUID
	if holds != "" {
		if rows, err = results.Query(); err == nil {
			other, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		}
		if err != nil {
			return nil, err
		}
	}
	if err := results.Close(); err != nil {
		return nil, err
	}
	for _, row := range after {
		if len(other) > 0 && t.Noun.ID(row) == other[0] {
			return nil, t.notStored(ctx, tx, "kept %s from changing", row)
		}
	}
	return after, nil
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
