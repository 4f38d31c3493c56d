package imports

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/edit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Undone is what Undo did.
type Undone struct {
	OpID    uuid.UUID `json:"op_id"`
	Deleted int       `json:"deleted"`
	Before  int       `json:"deleted_before"` // by somebody, or by an earlier attempt
	Touched []Failure `json:"touched"`        // records that stay, since they are not as they were made
}

const (
	forgetRows  = `DELETE FROM cxg_import.rows WHERE op_id = $1`
	reopenFiles = `UPDATE cxg_import.files SET finished_at = NULL WHERE sha256 IN (SELECT sha256 FROM cxg_import.rows WHERE op_id = $1)`
)

// Undo marks as deleted what a run created. A record that was changed since, by whomever, stays and is named; it
// is compared field by field, in the order of fields. What the run applied counts as not applied any more, so
// that the file can be imported again. Command is what imports the noun, for hints.
func Undo[T any](ctx context.Context, l *audit.Ledger, cat schema.Catalog, t edit.Table[T], fields []string, command string, op uuid.UUID) (Undone, error) {
	done := Undone{OpID: op, Touched: []Failure{}}
	dead, err := t.Shape.SetLive(false)
	if err != nil {
		return done, err
	}
	for _, c := range t.Closed {
		dead += ", " + c[0] + " = " + c[1]
	}
	log, err := audit.LogIn(cat)
	if err != nil {
		return done, err
	}
	l.Brief = true
	seen := 0
	for last := uuid.Nil; ; {
		entries, err := log.Created(ctx, l.Reader(), op, t.Noun.Name, last, batchRows)
		if err != nil {
			return done, err
		}
		if len(entries) == 0 {
			break
		}
		seen += len(entries)
		last = entries[len(entries)-1].ID
		u := undoing[T]{table: t, fields: fields, touched: map[uuid.UUID]Failure{}, live: map[uuid.UUID]bool{}}
		if err := u.read(entries); err != nil {
			return done, err
		}
		deleted, err := t.Sweep(ctx, l, u.ids, edit.Edit[T]{Action: audit.Delete, Set: dead, Check: u.look, Done: u.stays})
		if err != nil {
			return done, err
		}
		done.Deleted += len(deleted)
		for _, id := range u.ids {
			if f, ok := u.touched[id]; ok {
				done.Touched = append(done.Touched, f)
			} else if !u.live[id] {
				done.Before++
			}
		}
	}
	if seen == 0 {
		return done, fault.New(fault.NotFound, "no %s was created by operation %s", t.Noun.Name, op).
			WithHint("%s prints its operation at its end; cxgctl audit list --op %s shows what one did", command, op)
	}
	return done, l.Keep(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, reopenFiles, op); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, forgetRows, op)
		return err
	})
}

// undoing is a batch of records that are looked at. A transaction that is run again looks at all of them once
// more.
type undoing[T any] struct {
	table   edit.Table[T]
	fields  []string
	ids     []uuid.UUID // in the order in which they were made
	images  map[uuid.UUID]map[string]json.RawMessage
	live    map[uuid.UUID]bool
	touched map[uuid.UUID]Failure
}

// read takes from audit rows what was made.
func (u *undoing[T]) read(entries []audit.Entry) error {
	u.images = make(map[uuid.UUID]map[string]json.RawMessage, len(entries))
	for _, e := range entries {
		if e.ResourceID == nil {
			return fault.New(fault.Database, "audit row %s does not say what it is about", e.ID)
		}
		id, err := uuid.Parse(*e.ResourceID)
		var image map[string]json.RawMessage
		if err == nil {
			err = json.Unmarshal(e.After, &image)
		}
		if err != nil {
			return fault.New(fault.Database, "audit row %s cannot be read", e.ID).Because(err)
		}
		u.ids = append(u.ids, id)
		u.images[id] = image
	}
	return nil
}

// look compares a record with what was made.
func (u *undoing[T]) look(row T) error {
	noun := u.table.Noun
	id := noun.ID(row)
	u.live[id] = noun.Live(row)
	delete(u.touched, id)
	field, err := differs(row, u.images[id], u.fields)
	if err == nil && field != "" && u.live[id] {
		name := noun.Call(row)
		u.touched[id] = Failure{
			Field: field, Code: fault.Conflict, Holder: &id, Value: name,
			Message: noun.Name + " \"" + name + "\" was changed since: " + field + " is not as it was made",
		}
	}
	return err
}

// stays says whether a record that was looked at is left alone: it is deleted, or was touched.
func (u *undoing[T]) stays(row T) bool {
	_, touched := u.touched[u.table.Noun.ID(row)]
	return touched || !u.table.Noun.Live(row)
}

// differs returns the first of the fields in which a record is not as the image says; "" where there is none.
func differs(record any, image map[string]json.RawMessage, fields []string) (string, error) {
	now, err := audit.Fields(record)
	if err != nil {
		return "", err
	}
	for _, f := range fields {
		was, known := image[f]
		if is, ok := now[f]; ok && known && !sameJSON(was, is) {
			return f, nil
		}
	}
	return "", nil
}

// sameJSON compares two values of a field; jsonb prints what is the same with other spaces.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && x == y
}
