package users

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Undone is what UndoImport did.
type Undone struct {
	OpID    uuid.UUID `json:"op_id"`
	Deleted int       `json:"deleted"`
	Before  int       `json:"deleted_before"` // by somebody, or by an earlier attempt
	Touched []Failure `json:"touched"`        // users who stay, since they are not as they were made
}

const (
	lockImported = `SELECT {columns} FROM {table} u WHERE u.id = ANY (@ids::uuid[]) ORDER BY u.id FOR UPDATE`
	deleteMade   = `UPDATE {table} u SET {dead}, updated_at = @now, updated_by = @by WHERE u.id = ANY (@ids::uuid[]) RETURNING {columns}`
	forgetRows   = `DELETE FROM cxg_import.rows WHERE op_id = $1`
	reopenFiles  = `UPDATE cxg_import.files SET finished_at = NULL WHERE sha256 IN (SELECT sha256 FROM cxg_import.rows WHERE op_id = $1)`
)

// UndoImport deletes, as users delete does, those whom a run created. Whoever was changed since, by
// anybody or by a login, stays and is named. What the run applied counts as not applied any more, so
// that the file can be imported again.
func (t *Table) UndoImport(ctx context.Context, l *audit.Ledger, cat schema.Catalog, op uuid.UUID) (Undone, error) {
	done := Undone{OpID: op, Touched: []Failure{}}
	dead, err := t.shape.SetLive(false)
	if err != nil {
		return done, err
	}
	log, err := audit.LogIn(cat)
	if err != nil {
		return done, err
	}
	l.Brief = true
	seen := 0
	for last := uuid.Nil; ; {
		entries, err := log.Created(ctx, l.Reader(), op, "user", last, batchRows)
		if err != nil {
			return done, err
		}
		if len(entries) == 0 {
			break
		}
		made, err := creations(entries)
		if err != nil {
			return done, err
		}
		seen += len(entries)
		last = entries[len(entries)-1].ID
		about := audit.Intent{Subject: audit.Subject{Resource: "user", Name: "imported by " + op.String()}, Action: audit.Delete}
		var part Undone
		err = l.Write(ctx, about, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
			part = Undone{}
			return t.undoSome(ctx, tx, made, dead, &part)
		})
		if err != nil {
			return done, err
		}
		done.Deleted += part.Deleted
		done.Before += part.Before
		done.Touched = append(done.Touched, part.Touched...)
	}
	if seen == 0 {
		return done, fault.New(fault.NotFound, "no user was created by operation %s", op).
			WithHint("cxgctl users import prints its operation at its end; cxgctl audit list --op %s shows what one did", op)
	}
	return done, l.Keep(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, reopenFiles, op); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, forgetRows, op)
		return err
	})
}

// creation is a user as an import made it.
type creation struct {
	ID    uuid.UUID
	After map[string]json.RawMessage
}

// creations reads them off audit rows.
func creations(entries []audit.Entry) ([]creation, error) {
	list := make([]creation, len(entries))
	for i, e := range entries {
		if e.ResourceID == nil {
			return nil, fault.New(fault.Database, "audit row %s does not say whom it is about", e.ID)
		}
		var err error
		if list[i].ID, err = uuid.Parse(*e.ResourceID); err == nil {
			err = json.Unmarshal(e.After, &list[i].After)
		}
		if err != nil {
			return nil, fault.New(fault.Database, "audit row %s cannot be read", e.ID).Because(err)
		}
	}
	return list, nil
}

// undoSome deletes those users that are as they were made.
func (t *Table) undoSome(ctx context.Context, tx *audit.Tx, made []creation, dead string, part *Undone) ([]audit.Change, error) {
	ids := make([]uuid.UUID, len(made))
	for i, c := range made {
		ids[i] = c.ID
	}
	rows, err := db.Collect[User](ctx, tx, t.sql(lockImported), pgx.NamedArgs{"ids": ids})
	if err != nil {
		return nil, err
	}
	now := make(map[uuid.UUID]User, len(rows))
	for _, u := range rows {
		now[u.ID] = u
	}
	ids = ids[:0]
	for _, c := range made {
		u, there := now[c.ID]
		if !there || !u.IsActive {
			part.Before++
			continue
		}
		field, err := differs(u, c.After)
		if err != nil {
			return nil, err
		}
		if field == "" {
			ids = append(ids, u.ID)
			continue
		}
		part.Touched = append(part.Touched, Failure{
			Field: field, Code: fault.Conflict, Holder: &u.ID, Value: u.Username,
			Message: "user \"" + u.Username + "\" was changed since: " + field + " is not as it was made",
		})
	}
	if len(ids) == 0 {
		return nil, nil
	}
	after, err := db.Collect[User](ctx, tx, t.sql(strings.Replace(deleteMade, "{dead}", dead, 1)), pgx.NamedArgs{"ids": ids, "now": tx.Now, "by": tx.By.ID})
	if err != nil {
		return nil, err
	}
	part.Deleted = len(after)
	changes := make([]audit.Change, len(after))
	for i, u := range after {
		changes[i] = audit.Change{
			Subject: audit.Subject{Resource: "user", ID: u.ID, Name: u.Username},
			Action:  audit.Delete, Before: now[u.ID], After: u,
		}
	}
	return changes, nil
}

// differs returns the first field in which a user is not as the image says; "" where there is none.
func differs(u User, image map[string]json.RawMessage) (string, error) {
	record, err := audit.Fields(u)
	if err != nil {
		return "", err
	}
	for _, f := range ImportFields {
		was, known := image[f]
		if is, ok := record[f]; ok && known && !sameJSON(was, is) {
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
