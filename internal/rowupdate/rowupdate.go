// Package rowupdate changes existing rows without losing concurrent changes: the rows are locked, compared with what
// the caller saw, changed by one statement and audited individually, all in one transaction.
package rowupdate

import (
	"context"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/resource"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Update is a change of rows whose record is T. Nouns build updates and Table.Apply makes them.
type Update[T any] struct {
	Action   audit.Action
	Event    audit.Event   // the zero value means audit.DataModification
	Set      string        // assignments: constant SQL over Args and the table's alias
	Args     pgx.NamedArgs // the names ids, now and by are reserved
	Columns  []string      // columns that the assignments name
	IsNoop   func(T) bool  // reports whether a row is as wanted; such a row is left alone, and after the change every row has to be; nil: none is
	Holds    string        // an optional predicate of rows that are as wanted, over columns that the record does not show
	Check    func(T) error // can refuse a row and thereby the whole change
	Precheck Precheck[T]   // reads other tables; may be nil
	Secrets  []string      // changed fields that the record does not show
}

// Precheck reads other tables in the transaction, before the change, and can refuse the change as a whole. Its locks
// last until the end of the transaction.
type Precheck[T any] func(ctx context.Context, tx *audit.Tx, rows []T) error

// Table describes a noun's table to Apply.
type Table[T any] struct {
	Noun           *resource.Kind[T]
	Shape          *schema.Table
	Alias          string                                                   // used by Columns, Join and the assignments of updates
	Columns        string                                                   // the select list of T
	Join           string                                                   // joins that Columns needs; may be empty
	ColumnNames    map[string]string                                        // names of columns that differ from the record's fields, by field
	Tenant         func(T) *uuid.UUID                                       // the tenant of a row, for the audit row; may be nil
	Closed         [][2]string                                              // columns that a deletion sets besides the flags, with their values
	AuditView      func(T) any                                              // the form of a row in audit rows; nil: the record
	Gone           string                                                   // assignments that undo the creation of a row; "" marks it as deleted
	Event          audit.Event                                              // of reversals; the zero value means audit.DataModification
	ByRef          string                                                   // finds rows by the keys of the noun, given as one array each
	ByPrefix       string                                                   // finds names and descriptions in {direction}, given @from, @prefix, @live and @limit
	Search         string                                                   // the command that searches the table, without the text; may be empty
	TranslateError func(context.Context, db.Reader, error, Update[T]) error // turns a statement's error into one about the noun; may be nil
}

const (
	lockRows = `SELECT {columns} FROM {table} {alias} {join} WHERE {alias}.id = ANY (@ids::uuid[]) {shard} ORDER BY {alias}.id FOR UPDATE OF {alias}`
	ofTenant = `AND {alias}.tenant_id = @tenant`
	tenants  = `SELECT DISTINCT {alias}.tenant_id FROM {table} {alias} WHERE {alias}.id = ANY (@ids::uuid[]) ORDER BY 1`
	editRows = `UPDATE {table} {alias} SET {set}, updated_at = @now, updated_by = @by WHERE {alias}.id = ANY (@ids::uuid[])`
	readRows = `SELECT {columns} FROM {table} {alias} {join} WHERE {alias}.id = ANY (@ids::uuid[]) ORDER BY {alias}.id`
	// rows for which Update.Holds is not true
	otherRows = `SELECT {alias}.id FROM {table} {alias} WHERE {alias}.id = ANY (@ids::uuid[]) AND ({set}) IS NOT TRUE`
)

func (t Table[T]) sql(statement, set string) string {
	return strings.NewReplacer("{table}", t.Shape.Name, "{alias}", t.Alias, "{columns}", t.Columns, "{join}", t.Join, "{set}", set).
		Replace(statement)
}

// Apply makes the update on the rows as the caller saw them, in one transaction. It returns them as they are
// afterwards, in the same order. A row that has changed since is a CONFLICT and nothing is changed. A row that
// already has the wanted values is left alone.
func (t Table[T]) Apply(ctx context.Context, l *audit.Ledger, seen []T, e Update[T]) ([]T, error) {
	subject := audit.Subject{Resource: t.Noun.Name}
	if len(seen) == 1 {
		subject = t.Subject(seen[0])
	}
	ids := make([]uuid.UUID, len(seen))
	for i, row := range seen {
		ids[i] = t.Noun.ID(row)
	}
	rows, _, err := t.apply(ctx, l, subject, ids, e, seen)
	if err != nil {
		return nil, err
	}
	return pick(rows, ids), nil
}

// ApplyDue makes the update on those of the rows that still need it (see Update.IsNoop), as they are now rather than
// as the caller saw them. It runs in one transaction and returns the changed rows.
func (t Table[T]) ApplyDue(ctx context.Context, l *audit.Ledger, ids []uuid.UUID, e Update[T]) ([]T, error) {
	rows, changed, err := t.apply(ctx, l, audit.Subject{Resource: t.Noun.Name}, ids, e, nil)
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

// apply locks the rows, refuses them if they differ from what the caller has seen, updates those that are not as wanted,
// and returns all rows as they are afterwards with the ids of the changed ones.
func (t Table[T]) apply(ctx context.Context, l *audit.Ledger, subject audit.Subject, ids []uuid.UUID, e Update[T], seen []T,
) (rows map[uuid.UUID]T, changed []uuid.UUID, err error) {
	if err := t.Shape.RequireColumns(e.Columns); err != nil {
		return nil, nil, err
	}
	ahead := t.ahead(l, ids, e, seen)
	var done *written[T] // of the UPDATE that was sent ahead
	questions := func(layout db.Layout) []db.PipelineQuery {
		rows, done = map[uuid.UUID]T{}, nil
		if layout[t.Shape.Name].Kind == db.Distributed {
			return nil
		}
		list := []db.PipelineQuery{t.locking(ids, rows)}
		if len(ahead) > 0 && layout == nil {
			done = &written[T]{}
			list = append(list, t.editing(e, "now()", e.args(ahead, l.By().Ref()), done)...)
		}
		if l.Follower != nil {
			list = append(list, l.Follower.Ask(t.Noun.Name, e.Columns, ahead)...)
		}
		return list
	}
	err = l.Write(ctx, audit.Intent{Subject: subject, Action: e.Action}, func(ctx context.Context, tx *audit.Tx) (changes []audit.Change, err error) {
		if tx.Layout[t.Shape.Name].Kind == db.Distributed {
			if rows, err = t.lock(ctx, tx, ids); err != nil {
				return nil, err
			}
		}
		if err := t.unchanged(seen, rows); err != nil {
			return nil, err
		}
		if done != nil {
			changed = ahead
			changes, err = t.changes(ctx, tx, changed, rows, e, *done)
			return changes, err
		}
		changed, changes, err = t.change(ctx, tx, ids, rows, e)
		return changes, err
	}, questions)
	return rows, changed, err
}

// ahead returns the ids of the rows that can be updated in the round trip that locks them, because the transaction fails
// anyway if they are not as the caller has seen them. The clock of a tenant's database is not that of the change.
func (t Table[T]) ahead(l *audit.Ledger, ids []uuid.UUID, e Update[T], seen []T) []uuid.UUID {
	if seen == nil || e.Precheck != nil || l.InTenant() {
		return nil
	}
	rows := make(map[uuid.UUID]T, len(seen))
	for _, row := range seen {
		rows[t.Noun.ID(row)] = row
	}
	changed, err := due(ids, rows, e)
	if err != nil {
		return nil // again within the transaction
	}
	return changed
}

// editing returns the statements of an update. now is the expression for its time.
func (t Table[T]) editing(e Update[T], now string, args pgx.NamedArgs, into *written[T]) []db.PipelineQuery {
	failed := func(err error) error {
		return audit.ExplainLater(err, func(ctx context.Context, r db.Reader) error { return t.TranslateError(ctx, r, err, e) })
	}
	if t.TranslateError == nil {
		failed = nil
	}
	at := func(sql string) string { return strings.ReplaceAll(sql, "@now", now) }
	return t.writing(at(t.sql(editRows, e.Set)), at(e.Holds), args, failed, into)
}

// args returns the arguments of an update of these rows.
func (e Update[T]) args(ids []uuid.UUID, by *uuid.UUID) pgx.NamedArgs {
	args := maps.Clone(e.Args)
	if args == nil {
		args = pgx.NamedArgs{}
	}
	args["ids"], args["by"] = ids, by
	return args
}

// ApplyIn is ApplyDue in a transaction of the caller, and returns the changes for it to log.
func (t Table[T]) ApplyIn(ctx context.Context, tx *audit.Tx, ids []uuid.UUID, e Update[T]) ([]audit.Change, error) {
	if err := t.Shape.RequireColumns(e.Columns); err != nil {
		return nil, err
	}
	rows, err := t.lock(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	_, changes, err := t.change(ctx, tx, ids, rows, e)
	return changes, err
}

// change updates those of the locked rows that are not as wanted, and puts them into rows as they are afterwards.
func (t Table[T]) change(ctx context.Context, tx *audit.Tx, ids []uuid.UUID, rows map[uuid.UUID]T, e Update[T]) (changed []uuid.UUID, changes []audit.Change, err error) {
	if changed, err = due(ids, rows, e); err != nil || len(changed) == 0 {
		return changed, nil, err
	}
	if e.Precheck != nil {
		if err := e.Precheck(ctx, tx, pick(rows, changed)); err != nil {
			return changed, nil, err
		}
	}
	args := e.args(changed, tx.ByID())
	args["now"] = tx.Now
	var done written[T]
	if err := send(ctx, tx, t.editing(e, "@now", args, &done)); err != nil {
		return changed, nil, err
	}
	changes, err = t.changes(ctx, tx, changed, rows, e, done)
	return changed, changes, err
}

// changes returns the changes of rows that were updated, and puts them into rows as they are afterwards. Rows that were
// not stored as intended are a DATABASE_ERROR.
func (t Table[T]) changes(ctx context.Context, tx *audit.Tx, changed []uuid.UUID, rows map[uuid.UUID]T, e Update[T], done written[T]) (changes []audit.Change, err error) {
	for _, row := range done.after {
		if len(done.other) > 0 && t.Noun.ID(row) == done.other[0] {
			return nil, t.notStored(ctx, tx, "kept %s from changing", row)
		}
	}
	if err := t.stored(ctx, tx, pick(rows, changed), done.after, e.IsNoop); err != nil {
		return nil, err
	}
	for _, row := range done.after {
		id := t.Noun.ID(row)
		changes = append(changes, audit.Change{
			Subject: t.Subject(row), Action: e.Action, Event: e.Event, Before: t.image(rows[id]), After: t.image(row), Secrets: e.Secrets,
		})
		rows[id] = row
	}
	return changes, nil
}

// image returns the form of a row in audit rows.
func (t Table[T]) image(row T) any {
	if t.AuditView == nil {
		return row
	}
	return t.AuditView(row)
}

// Subject returns the audit subject of a row.
func (t Table[T]) Subject(row T) audit.Subject {
	s := audit.Subject{Resource: t.Noun.Name, ID: t.Noun.ID(row), Name: t.Noun.DisplayName(row)}
	if t.Tenant != nil {
		s.TenantID = t.Tenant(row)
	}
	return s
}

// due returns the ids of the existing rows that are not as wanted yet.
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

// Find looks up every REF, in order. by is the name of a key, or "" for any. A REF that matches no row, only a deleted
// row (unless deleted is set) or several rows has an error; the others have their row.
func (t Table[T]) Find(ctx context.Context, r db.Reader, refs []string, by string, deleted bool) ([]resource.Match[T], error) {
	// preparing the statement would cost a round trip, and most commands run it once
	rows, err := db.Collect[T](ctx, r, t.ByRef, t.Noun.Args(refs, by))
	if err != nil {
		return nil, err
	}
	found := t.Noun.Matches(refs, by, rows, deleted)
	t.Noun.Suggest(found, t.Search, func(prefix string) ([]string, error) { return t.names(ctx, r, prefix) })
	return found, nil
}

// Collect returns every row of a list that is deleted, or that is not.
func (t Table[T]) Collect(ctx context.Context, d *db.DB, idle time.Duration, list db.ListQuery[T], deleted bool) ([]T, error) {
	q, err := list.All()
	if err != nil {
		return nil, err
	}
	return db.CollectWhere(ctx, d, idle, q, func(row T) bool { return t.Noun.IsLive(row) != deleted })
}

// lastWordTime limits the search for the last word, which the index of the first ones does not always help.
const lastWordTime = 100 * time.Millisecond

// Words returns up to db.MaxWords names of live (or deleted) rows that begin with prefix, for completion. If there are
// more, the last of all is among them, since shells complete what all words have in common.
func (t Table[T]) Words(ctx context.Context, r db.Reader, prefix string, live bool) ([]db.Word, error) {
	words, err := t.words(ctx, r, "ASC", prefix, live, db.MaxWords)
	if err != nil || len(words) < db.MaxWords {
		return words, err
	}
	ctx, cancel := context.WithTimeout(ctx, lastWordTime)
	defer cancel()
	if last, err := t.words(ctx, r, "DESC", prefix, live, 1); err == nil && len(last) > 0 {
		words[len(words)-1] = last[0]
	}
	return words, nil
}

// names returns up to 100 names of live rows that begin with prefix.
func (t Table[T]) names(ctx context.Context, r db.Reader, prefix string) ([]string, error) {
	words, err := t.words(ctx, r, "ASC", prefix, true, 100)
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = w.Text
	}
	return list, err
}

func (t Table[T]) words(ctx context.Context, r db.Reader, direction, prefix string, live bool, limit int) ([]db.Word, error) {
	sql := strings.Replace(t.ByPrefix, "{direction}", direction, 1)
	args := pgx.NamedArgs{"from": prefix, "prefix": db.LikePrefix(prefix), "live": live, "limit": limit}
	return db.CollectAs(ctx, r, pgx.RowToStructByPos[db.Word], sql, args)
}

// Read returns the rows with these ids, in the order of their ids.
func (t Table[T]) Read(ctx context.Context, r db.Reader, ids []uuid.UUID) (list []T, err error) {
	err = t.Reading(ids, &list).Ask(ctx, r)
	return list, err
}

// Reading returns the query of Read.
func (t Table[T]) Reading(ids []uuid.UUID, to *[]T) db.PipelineQuery {
	return db.PipelineQuery{SQL: t.sql(readRows, ""), Args: []any{pgx.NamedArgs{"ids": ids}}, Read: db.Into(to, pgx.RowToStructByName[T])}
}

// locking returns the query that locks the rows, in the order of their ids so that two batches cannot deadlock, and adds
// them to locked.
func (t Table[T]) locking(ids []uuid.UUID, locked map[uuid.UUID]T) db.PipelineQuery {
	sql := t.sql(strings.Replace(lockRows, "{shard}", "", 1), "")
	return db.PipelineQuery{SQL: sql, Args: []any{pgx.NamedArgs{"ids": ids}}, Read: func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[T])
		for _, row := range list {
			locked[t.Noun.ID(row)] = row
		}
		return err
	}}
}

// lock locks the rows. Citus locks those of one shard at a time.
func (t Table[T]) lock(ctx context.Context, tx *audit.Tx, ids []uuid.UUID) (map[uuid.UUID]T, error) {
	locked := make(map[uuid.UUID]T, len(ids))
	if tx.Layout[t.Shape.Name].Kind != db.Distributed {
		return locked, t.locking(ids, locked).Ask(ctx, tx)
	}
	args := pgx.NamedArgs{"ids": ids}
	ofRows, err := db.CollectAs(ctx, tx, pgx.RowTo[uuid.UUID], t.sql(tenants, ""), args)
	for _, tenant := range ofRows {
		args["tenant"] = tenant
		rows, err := db.Collect[T](ctx, tx, t.sql(strings.Replace(lockRows, "{shard}", ofTenant, 1), ""), args)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			locked[t.Noun.ID(row)] = row
		}
	}
	return locked, err
}

// unchanged refuses rows that differ from what the caller saw.
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
