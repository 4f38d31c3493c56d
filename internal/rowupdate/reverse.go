package rowupdate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
)

// liveness lists the fields that mark a row as deleted, with their value for a live row.
var liveness = map[string]bool{"is_active": true, "is_deleted": false, "deleted": false}

// The rows are sent as one JSON document, whose values PostgreSQL converts to the types of the columns.
const reverseRows = `
UPDATE {table} {alias} SET {set}updated_at = @now, updated_by = @by
  FROM jsonb_to_recordset(@rows::jsonb) AS back ({record})
 WHERE {alias}.id = back.id`

// Reverse implements audit.Reverser.
func (t Table[T]) Reverse(ctx context.Context, tx *audit.Tx, rows []audit.Reversal, force bool) ([]audit.Change, []audit.Drift, error) {
	ids := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	before, err := t.lock(ctx, tx, ids)
	if err != nil {
		return nil, nil, err
	}
	groups := map[string][]audit.Reversal{} // by the columns to write
	var drifted []audit.Drift
	for _, r := range rows {
		row, there := before[r.ID]
		if !there {
			drifted = append(drifted, audit.Drift{ID: r.ID, Name: r.Name})
			continue
		}
		fields, err := audit.Fields(row)
		if err != nil {
			return nil, nil, err
		}
		if !force {
			drifted = append(drifted, t.drift(r, t.Noun.DisplayName(row), fields)...)
		}
		key := t.written(r)
		groups[key] = append(groups[key], r)
	}
	if len(drifted) > 0 {
		return nil, drifted, nil
	}
	var changes []audit.Change
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		done, err := t.reverse(ctx, tx, groups[key], before)
		if err != nil {
			return nil, nil, err
		}
		changes = append(changes, done...)
	}
	return changes, nil, nil
}

// drift returns the fields of a row that differ from what its reversal expects.
func (t Table[T]) drift(r audit.Reversal, name string, fields map[string]json.RawMessage) (list []audit.Drift) {
	for _, field := range slices.Sorted(maps.Keys(r.Is)) {
		if now, known := fields[field]; known && !audit.Computed(field) && !audit.SameJSON(now, r.Is[field]) {
			list = append(list, audit.Drift{ID: r.ID, Name: name, Field: field, Expected: r.Is[field], Found: now})
		}
	}
	return list
}

// back reports whether a row already has the values that its reversal sets.
func (t Table[T]) back(r audit.Reversal, row T) bool {
	now, err := audit.Fields(row)
	if err != nil {
		return false
	}
	for _, name := range t.fields(r) {
		if have, known := now[name]; known && !audit.SameJSON(have, r.Was[name]) {
			return false
		}
	}
	is, concerned := live(r)
	return !concerned || t.Noun.IsLive(row) == is
}

// live reports whether a reversal restores a row or marks it as deleted; concerned is false if it does neither.
func live(r audit.Reversal) (is, concerned bool) {
	if r.Created {
		return false, true
	}
	for field, v := range r.Was {
		if value, flag := liveness[field]; flag {
			return string(v) == fmt.Sprint(value), true
		}
	}
	return false, false
}

// fields returns the columns that a reversal writes. Fields of the record from other tables, such as a tenant's code,
// are not among them.
func (t Table[T]) fields(r audit.Reversal) []string {
	if r.Created {
		return nil
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(r.Was)), func(name string) bool {
		_, flag := liveness[name]
		return flag || audit.Computed(name) || !t.Shape.Has(t.column(name))
	})
}

// column returns the column of a record's field.
func (t Table[T]) column(field string) string {
	if name, other := t.ColumnNames[field]; other {
		return name
	}
	return field
}

// written returns a key that is equal for reversals which one statement can make.
func (t Table[T]) written(r audit.Reversal) string {
	is, concerned := live(r)
	return fmt.Sprint(t.fields(r), is, concerned, r.Created)
}

// reverse reverses rows for which the same columns are written.
func (t Table[T]) reverse(ctx context.Context, tx *audit.Tx, rows []audit.Reversal, before map[uuid.UUID]T) ([]audit.Change, error) {
	names := t.fields(rows[0])
	set, record := "", "id uuid"
	for _, name := range names {
		c, _ := t.Shape.Column(t.column(name))
		field, column := pgx.Identifier{name}.Sanitize(), pgx.Identifier{c.Name}.Sanitize()
		set += column + " = back." + field + ", "
		record += ", " + field + " " + c.Type
	}
	is, concerned := live(rows[0])
	if concerned && rows[0].Created && t.Gone != "" {
		set += t.Gone + ", "
	} else if concerned {
		flags, err := t.Shape.SetDeleted(is)
		if err != nil {
			return nil, err
		}
		set += flags + ", "
		for _, c := range t.Closed {
			if !is && !slices.Contains(names, c[0]) {
				set += c[0] + " = " + c[1] + ", "
			}
		}
	}
	if t.Gone != "" && slices.Contains(names, "status") { // a row that is marked as deleted would not have the status
		if flags, err := t.Shape.SetDeleted(true); err == nil {
			set += flags + ", "
		}
	}
	docs := make([]map[string]any, len(rows))
	ids := make([]uuid.UUID, len(rows))
	undoes := make(map[uuid.UUID][]uuid.UUID, len(rows))
	of := make(map[uuid.UUID]audit.Reversal, len(rows))
	for i, r := range rows {
		ids[i], of[r.ID] = r.ID, r
		docs[i] = map[string]any{"id": r.ID}
		for _, name := range names {
			docs[i][name] = r.Was[name]
		}
		undoes[r.ID] = r.Undoes
	}
	doc, err := json.Marshal(docs)
	if err != nil {
		return nil, err
	}
	sql := strings.NewReplacer("{set}", set, "{record}", record).Replace(reverseRows)
	var done written[T]
	args := pgx.NamedArgs{"ids": ids, "rows": string(doc), "now": tx.Now, "by": tx.By.ID}
	if err := send(ctx, tx, t.writing(t.sql(sql, ""), "", args, nil, &done)); err != nil {
		return nil, err
	}
	if err := t.stored(ctx, tx, pick(before, ids), done.after, func(row T) bool { return t.back(of[t.Noun.ID(row)], row) }); err != nil {
		return nil, err
	}
	changes := make([]audit.Change, len(done.after))
	for i, row := range done.after {
		id := t.Noun.ID(row)
		changes[i] = audit.Change{Subject: t.Subject(row), Action: audit.Update, Event: t.Event, Before: before[id], After: row, Undoes: undoes[id]}
		if concerned && !is {
			changes[i].Action = audit.Delete
		}
	}
	return changes, nil
}
