// Package edit changes rows that exist, in the one way that loses nothing: the rows are locked, compared with
// what the caller saw, changed by one statement and audited one by one, all in one transaction.
package rowupdate

import (
	"context"
	"reflect"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Edit is a change of rows of one kind, whose record is T. Nouns make edits and Table.Apply makes them true.
type Update[T any] struct {
	Action   audit.Action
	Event    audit.Event   // the zero value means audit.DataModification
	Set      string        // assignments, constants over Args and the table's alias
	Args     pgx.NamedArgs // by names other than ids, now and by
	Columns  []string      // columns that the assignments name
	IsNoop   func(T) bool  // says that a row is as wanted: it is left alone, and after the change each one has to be; nil: none is
	Holds    string        // a predicate of rows that are as wanted, over what no field of the record shows; may be empty
	Check    func(T) error // refuses a row, and with it the whole change
	Precheck Precheck[T]   // looks at other tables; nil: at none
	Secrets  []string      // fields of no record that change too
}

// Beside looks at rows of other tables, in the transaction that changes the given ones and before it does,
// and may refuse the whole change. What it locks stays as it is until the change is made.
type Precheck[T any] func(ctx context.Context, tx db.Reader, rows []T) error

// Table is what Apply has to know of a noun's table.
type Table[T any] struct {
	Noun           *resource.Kind[T]
	Shape          *schema.Table
	Alias          string                                                   // that Columns, Join and the edits' assignments use
	Columns        string                                                   // the select list of T
	Join           string                                                   // what Columns needs beside the table; may be empty
	ColumnNames    map[string]string                                        // columns that are called otherwise than the record's field, by the field's name
	Tenant         func(T) *uuid.UUID                                       // whom a row belongs to, for the audit row; nil: nobody
	Closed         [][2]string                                              // columns that a deletion sets beside the flags, and to what
	AuditView      func(T) any                                              // a row as audit rows show it; nil: as it is
	Gone           string                                                   // assignments that take back a row that was made; "" marks it as deleted
	Event          audit.Event                                              // of reversals; the zero value means audit.DataModification
	TranslateError func(context.Context, db.Reader, error, Update[T]) error // puts a statement's error in the noun's words; may be nil
}

const (
	lockRows = `SELECT {columns} FROM {table} {alias} {join} WHERE {alias}.id = ANY (@ids::uuid[]) ORDER BY {alias}.id FOR UPDATE OF {alias}`
	editRows = `UPDATE {table} {alias} SET {set}, updated_at = @now, updated_by = @by WHERE {alias}.id = ANY (@ids::uuid[])`
	readRows = `SELECT {columns} FROM {table} {alias} {join} WHERE {alias}.id = ANY (@ids::uuid[]) ORDER BY {alias}.id`
	// rows for which something that no field of the record shows is not as it is meant
	otherRows = `SELECT {alias}.id FROM {table} {alias} WHERE {alias}.id = ANY (@ids::uuid[]) AND ({set}) IS NOT TRUE`
)

func (t Table[T]) sql(statement, set string) string {
	return strings.NewReplacer("{table}", t.Shape.Name, "{alias}", t.Alias, "{columns}", t.Columns, "{join}", t.Join, "{set}", set).
		Replace(statement)
}

// Apply makes the edit on the rows as the caller saw them, in one transaction, and returns them as they
// are afterwards, in the same order. A row that somebody changed since it was seen is a CONFLICT, and
// nothing is changed; a row that is as wanted already is left alone.
func (t Table[T]) Apply(ctx context.Context, l *audit.Ledger, seen []T, e Update[T]) ([]T, error) {
	subject := audit.Subject{Resource: t.Noun.Name}
	if len(seen) == 1 {
		subject = t.subject(seen[0])
	}
	ids := make([]uuid.UUID, len(seen))
	for i, row := range seen {
		ids[i] = t.Noun.ID(row)
	}
	rows, _, err := t.apply(ctx, l, subject, ids, e, func(now map[uuid.UUID]T) error { return t.unchanged(seen, now) })
	if err != nil {
		return nil, err
	}
	return pick(rows, ids), nil
}

// Sweep makes the edit on the rows of these ids for which it is still due, as they are at that moment and not
// as anybody saw them: e.Done decides. It is one transaction, and returns the rows that it changed.
func (t Table[T]) ApplyDue(ctx context.Context, l *audit.Ledger, ids []uuid.UUID, e Update[T]) ([]T, error) {
	rows, changed, err := t.apply(ctx, l, audit.Subject{Resource: t.Noun.Name}, ids, e, func(map[uuid.UUID]T) error { return nil })
	if err != nil {
		return nil, err
	}
	return pick(rows, changed), nil
}

func pick[T any](rows map[uuid.UUID]T, ids []uuid.UUID) []T {
	out := make([]T, len(ids))
	for i, id := range ids {
		out[i] = rows[id]
	}
	return out
}

// apply locks the rows, has them approved, makes the edit on those that are not as wanted, and returns all
// rows as they are afterwards with the ids of those that it changed.
func (t Table[T]) apply(ctx context.Context, l *audit.Ledger, subject audit.Subject, ids []uuid.UUID, e Update[T],
	approve func(map[uuid.UUID]T) error,
) (rows map[uuid.UUID]T, changed []uuid.UUID, err error) {
	if err := t.Shape.RequireColumns(e.Columns); err != nil {
		return nil, nil, err
	}
	err = l.Write(ctx, audit.Intent{Subject: subject, Action: e.Action}, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		if rows, err = t.lock(ctx, tx, ids); err != nil {
			return nil, err
		}
		if err := approve(rows); err != nil {
			return nil, err
		}
		if changed, err = due(ids, rows, e); err != nil || len(changed) == 0 {
			return nil, err
		}
		if e.Precheck != nil {
			if err := e.Precheck(ctx, tx, pick(rows, changed)); err != nil {
				return nil, err
			}
		}
		args := pgx.NamedArgs{"ids": changed, "now": tx.Now, "by": tx.ByID()}
		for k, v := range e.Args {
			args[k] = v
		}
		after, err := t.write(ctx, tx, t.sql(editRows, e.Set), changed, e.Holds, args)
		if err != nil {
			if t.TranslateError != nil {
				err = t.TranslateError(ctx, l.Reader(), err, e)
			}
			return nil, err
		}
		if err := t.stored(ctx, tx, pick(rows, changed), after, e.IsNoop); err != nil {
			return nil, err
		}
		changes := make([]audit.Change, len(after))
		for i, row := range after {
			id := t.Noun.ID(row)
			changes[i] = audit.Change{
				Subject: t.subject(row), Action: e.Action, Event: e.Event, Before: t.image(rows[id]), After: t.image(row), Secrets: e.Secrets,
			}
			rows[id] = row
		}
		return changes, nil
	})
	return rows, changed, err
}

// image is a row as audit rows show it.
func (t Table[T]) image(row T) any {
	if t.AuditView == nil {
		return row
	}
	return t.AuditView(row)
}

func (t Table[T]) subject(row T) audit.Subject {
	s := audit.Subject{Resource: t.Noun.Name, ID: t.Noun.ID(row), Name: t.Noun.DisplayName(row)}
	if t.Tenant != nil {
		s.TenantID = t.Tenant(row)
	}
	return s
}

// due returns the ids of the rows that are there and not as wanted already.
func due[T any](ids []uuid.UUID, rows map[uuid.UUID]T, e Update[T]) ([]uuid.UUID, error) {
	var list []uuid.UUID
	for _, id := range ids {
		row, ok := rows[id]
		if !ok {
			continue
		}
		if e.Check != nil {
			if err := e.Check(row); err != nil {
				return nil, err
			}
		}
		if e.IsNoop == nil || !e.IsNoop(row) {
			list = append(list, id)
		}
	}
	return list, nil
}

// lock takes the rows' locks, in the order of their ids so that two batches cannot deadlock.
func (t Table[T]) lock(ctx context.Context, tx *audit.Tx, ids []uuid.UUID) (map[uuid.UUID]T, error) {
	rows, err := db.Collect[T](ctx, tx, t.sql(lockRows, ""), pgx.NamedArgs{"ids": ids})
	if err != nil {
		return nil, err
	}
	locked := make(map[uuid.UUID]T, len(rows))
	for _, row := range rows {
		locked[t.Noun.ID(row)] = row
	}
	return locked, nil
}

// unchanged refuses rows that are not as they were seen.
func (t Table[T]) unchanged(seen []T, locked map[uuid.UUID]T) error {
	for _, row := range seen {
		id := t.Noun.ID(row)
		if now, ok := locked[id]; !ok || !reflect.DeepEqual(now, row) {
			return fault.New(fault.Conflict, "%s %q has just been changed by someone else", t.Noun.Name, t.Noun.DisplayName(row)).
				WithHint("nothing was changed; run the command again").With(t.Noun.Keys[1].Name, t.Noun.DisplayName(row)).With("id", id.String())
		}
	}
	return nil
}
