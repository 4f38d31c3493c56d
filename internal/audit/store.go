package audit

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// NewID generates the id of a new row. A repeated transaction gets the same ids in the same order, so that the rows
// match those that were confirmed.
func (tx *Tx) NewID() uuid.UUID {
	l := tx.ledger
	if tx.ids == len(l.ids) {
		l.ids = append(l.ids, uuid.Must(uuid.NewV7()))
	}
	tx.ids++
	return l.ids[tx.ids-1]
}

// Insert inserts the row with id args["id"] and compares the stored values with those sent. A row that a trigger, rule
// or row-level policy discarded, moved or rewrote is a DATABASE_ERROR; name is its name in messages. Values without a
// column are omitted. The questions are asked in the same round trip, after the insertion.
func (tx *Tx) Insert(ctx context.Context, t *schema.Table, name string, values [][2]string, args pgx.NamedArgs, questions ...db.PipelineQuery) error {
	return tx.store(ctx, t, db.Insert, t.Insert(values), name, values, args, []uuid.UUID{args["id"].(uuid.UUID)}, questions)
}

// Update sets the rows with these ids to constant values, and compares them like Insert.
func (tx *Tx) Update(ctx context.Context, t *schema.Table, name string, values [][2]string, args pgx.NamedArgs, ids ...uuid.UUID) error {
	var set []string
	for _, v := range values {
		if t.Has(v[0]) {
			set = append(set, v[0]+" = "+v[1])
		}
	}
	sql := "UPDATE " + t.Name + " x SET " + strings.Join(set, ", ") + " WHERE x.id = ANY (@ids::uuid[])"
	return tx.store(ctx, t, db.Update, sql, name, values, args, ids, nil)
}

func (tx *Tx) store(
	ctx context.Context, t *schema.Table, e db.Event, write, name string, values [][2]string, args pgx.NamedArgs, ids []uuid.UUID,
	questions []db.PipelineQuery,
) error {
	all := pgx.NamedArgs{}
	maps.Copy(all, args)
	all["ids"] = ids
	var comparisons []string
	for _, v := range values {
		if t.Has(v[0]) {
			comparisons = append(comparisons, fmt.Sprintf("CASE WHEN x.%s IS DISTINCT FROM (%s) THEN '%s' END", v[0], v[1], v[0]))
		}
	}
	check := "SELECT coalesce(array_to_string(ARRAY[" + strings.Join(comparisons, ", ") + "], ', '), '') FROM " + t.Name + " x WHERE x.id = ANY (@ids::uuid[])"

	batch := &pgx.Batch{}
	batch.Queue(write, all)
	batch.Queue(db.SettleConstraints)
	var stored []string
	batch.Queue(check, all).Query(db.Into(&stored, pgx.RowTo[string]))
	for _, q := range questions {
		q.Queue(batch)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if len(stored) != len(ids) {
		what := "kept " + name + " from being stored"
		if e == db.Update {
			what = "kept " + name + " from changing"
		}
		return db.NotStored(ctx, tx, t.Name, e, what)
	}
	for _, columns := range stored {
		if columns != "" {
			return db.NotStored(ctx, tx, t.Name, e, "stored "+name+" with other values than were sent: "+columns)
		}
	}
	return nil
}
