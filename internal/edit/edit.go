// Package edit changes rows that exist, in the one way that loses nothing: the rows are locked, compared with
// what the caller saw, changed by one statement and audited one by one, all in one transaction.
package edit

import (
	"context"
	"reflect"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/ref"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Edit is a change of rows of one kind, whose record is T. Nouns make edits and Table.Apply makes them true.
type Edit[T any] struct {
	Action  audit.Action
	Event   audit.Event   // the zero value means audit.DataModification
	Set     string        // assignments, constants over Args and the table's alias
	Args    pgx.NamedArgs // by names other than ids, now and by
	Needs   []string      // columns that the assignments name
	Done    func(T) bool  // says that a row is as wanted already and is left alone; nil: none is
	Check   func(T) error // refuses a row, and with it the whole change
	Secrets []string      // fields of no record that change too

	// Also does what else the change of these rows brings about, in the same transaction: what other nouns
	// keep of them. May be nil.
	Also func(ctx context.Context, tx *audit.Tx, ids []uuid.UUID) ([]audit.Change, error)
}

// Table is what Apply has to know of a noun's table.
type Table[T any] struct {
	Noun    *ref.Noun[T]
	Shape   *schema.Table
	Alias   string                                                 // that Columns, Join and the edits' assignments use
	Columns string                                                 // the select list of T
	Join    string                                                 // what Columns needs beside the table; may be empty
	Tenant  func(T) *uuid.UUID                                     // whom a row belongs to, for the audit row; nil: nobody
	Explain func(context.Context, db.Reader, error, Edit[T]) error // puts a statement's error in the noun's words; may be nil
}

const (
	lockRows = `SELECT {columns} FROM {table} {alias} {join} WHERE {alias}.id = ANY (@ids::uuid[]) ORDER BY {alias}.id FOR UPDATE OF {alias}`
	// The new rows go through a second SELECT so that what stands in another table can be read beside them.
	editRows = `
WITH changed AS (
    UPDATE {table} {alias} SET {set}, updated_at = @now, updated_by = @by WHERE {alias}.id = ANY (@ids::uuid[]) RETURNING {alias}.*
)
SELECT {columns} FROM changed {alias} {join} ORDER BY {alias}.id`
)

func (t Table[T]) sql(statement, set string) string {
	return strings.NewReplacer("{table}", t.Shape.Name, "{alias}", t.Alias, "{columns}", t.Columns, "{join}", t.Join, "{set}", set).
		Replace(statement)
}

// Apply makes the edit on the rows as the caller saw them, in one transaction, and returns them as they
// are afterwards, in the same order. A row that somebody changed since it was seen is a CONFLICT, and
// nothing is changed; a row that is as wanted already is left alone.
func (t Table[T]) Apply(ctx context.Context, l *audit.Ledger, seen []T, e Edit[T]) ([]T, error) {
	if err := t.missing(e.Needs); err != nil {
		return nil, err
	}
	intent := audit.Intent{Subject: audit.Subject{Resource: t.Noun.Name}, Action: e.Action}
	if len(seen) == 1 {
		intent.Subject = t.subject(seen[0])
	}
	var after map[uuid.UUID]T
	err := l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		before, err := t.lock(ctx, tx, seen)
		if err != nil {
			return nil, err
		}
		after = before
		ids, err := t.due(seen, before, e)
		if err != nil || len(ids) == 0 {
			return nil, err
		}
		args := pgx.NamedArgs{"ids": ids, "now": tx.Now, "by": tx.By.ID}
		for k, v := range e.Args {
			args[k] = v
		}
		rows, err := db.Collect[T](ctx, tx, t.sql(editRows, e.Set), args)
		if err != nil {
			if t.Explain != nil {
				err = t.Explain(ctx, l.Reader(), err, e)
			}
			return nil, err
		}
		changes := make([]audit.Change, len(rows))
		for i, row := range rows {
			id := t.Noun.ID(row)
			changes[i] = audit.Change{
				Subject: t.subject(row), Action: e.Action, Event: e.Event, Before: before[id], After: row, Secrets: e.Secrets,
			}
			after[id] = row
		}
		if e.Also == nil {
			return changes, nil
		}
		more, err := e.Also(ctx, tx, ids)
		return append(changes, more...), err
	})
	if err != nil {
		return nil, err
	}
	out := make([]T, len(seen))
	for i, row := range seen {
		out[i] = after[t.Noun.ID(row)]
	}
	return out, nil
}

// missing refuses an edit of columns that this database lacks.
func (t Table[T]) missing(columns []string) error {
	for _, column := range columns {
		if !t.Shape.Has(column) {
			return fault.New(fault.Database, "table %s has no column %s", t.Shape.Name, column).
				WithHint("cxgctl migrate up --database manager adds it").With("column", column)
		}
	}
	return nil
}

func (t Table[T]) subject(row T) audit.Subject {
	s := audit.Subject{Resource: t.Noun.Name, ID: t.Noun.ID(row), Name: t.Noun.Call(row)}
	if t.Tenant != nil {
		s.TenantID = t.Tenant(row)
	}
	return s
}

// due returns the ids of the rows that are not as wanted already.
func (t Table[T]) due(seen []T, now map[uuid.UUID]T, e Edit[T]) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	for _, row := range seen {
		id := t.Noun.ID(row)
		if e.Check != nil {
			if err := e.Check(now[id]); err != nil {
				return nil, err
			}
		}
		if e.Done == nil || !e.Done(now[id]) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// lock takes the rows' locks, in the order of their ids so that two batches cannot deadlock, and
// refuses rows that are not as they were seen.
func (t Table[T]) lock(ctx context.Context, tx *audit.Tx, seen []T) (map[uuid.UUID]T, error) {
	ids := make([]uuid.UUID, len(seen))
	for i, row := range seen {
		ids[i] = t.Noun.ID(row)
	}
	rows, err := db.Collect[T](ctx, tx, t.sql(lockRows, ""), pgx.NamedArgs{"ids": ids})
	if err != nil {
		return nil, err
	}
	locked := make(map[uuid.UUID]T, len(rows))
	for _, row := range rows {
		locked[t.Noun.ID(row)] = row
	}
	for _, row := range seen {
		id := t.Noun.ID(row)
		if now, ok := locked[id]; !ok || !reflect.DeepEqual(now, row) {
			return nil, fault.New(fault.Conflict, "%s %q was changed by somebody else at this moment", t.Noun.Name, t.Noun.Call(row)).
				WithHint("nothing was changed; run the command again").With(t.Noun.Keys[1].Name, t.Noun.Call(row)).With("id", id.String())
		}
	}
	return locked, nil
}
