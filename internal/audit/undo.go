package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Reversal describes how to restore a row.
type Reversal struct {
	ID      uuid.UUID
	Name    string                     // name in the audit row, for messages
	Undoes  []uuid.UUID                // audit rows to undo, newest first
	Was     map[string]json.RawMessage // previous values of the fields
	Is      map[string]json.RawMessage // current values that the fields must still have
	Created bool                       // the row was created, so undoing marks it as deleted
}

// Drift is a field that has changed since the change to be undone.
type Drift struct {
	ID              uuid.UUID       `json:"id"`
	Name            string          `json:"name"`
	Field           string          `json:"field"` // "" if the row does not exist
	Expected, Found json.RawMessage `json:"-"`
}

// Reverser restores the rows of a noun.
type Reverser interface {
	// Reverse locks the rows and restores them in tx, with one statement per set of fields. If a row differs from its
	// reversal, Reverse changes nothing and returns the differences, unless force is set.
	Reverse(ctx context.Context, tx *Tx, rows []Reversal, force bool) ([]Change, []Drift, error)
}

// Resource is a kind of row whose changes can be undone. The package of each noun exports one.
type Resource struct {
	Name   string   // in audit rows: user, invoice
	Update []string // permissions that undoing a change requires
	Delete []string // permissions that undoing a creation requires in addition
	Tables []string // that its rows are read from
	Open   func(schema.Catalog) (Reverser, error)
}

// Permissions returns the permissions that undoing the action requires.
func (r Resource) Permissions(undone Action) []string {
	if undone == Create {
		return slices.Concat(r.Update, r.Delete)
	}
	return r.Update
}

// computed are the fields that every change sets. An undo neither restores nor compares them.
var computed = []string{"updated_at", "updated_by"}

// Computed reports whether every change sets the field.
func Computed(field string) bool { return slices.Contains(computed, field) }

// SameJSON reports whether two JSON values are equal, regardless of formatting; nil equals null.
func SameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, err := canonicalJSON(a)
	if err != nil {
		return false
	}
	y, err := canonicalJSON(b)
	return err == nil && bytes.Equal(x, y)
}

func canonicalJSON(v json.RawMessage) ([]byte, error) {
	if len(v) == 0 {
		return []byte("null"), nil
	}
	return seal.CanonicalJSON(v)
}

// Reversible returns the reversal of an audit row, or an error with the reason why it has none.
func Reversible(e Entry) (Reversal, error) {
	r := Reversal{Undoes: []uuid.UUID{e.ID}}
	cannot := func(format string, args ...any) (Reversal, error) {
		return r, fault.New(fault.Validation, "audit row %s cannot be undone: %s", e.ID, fmt.Sprintf(format, args...)).With("id", e.ID.String())
	}
	action := Action(text(e.Action))
	switch {
	case e.OpID == nil:
		return cannot("it was not written by cxgctl and does not record what changed")
	case e.Result != nil && *e.Result != "SUCCESS", len(e.Before) == 0 && len(e.After) == 0:
		return cannot("nothing was changed")
	case action == Read:
		return cannot("it records a read, not a change")
	case action != Create && action != Update && action != Delete, action != Create && len(e.Before) == 0, len(e.After) == 0:
		return cannot("%s does not record values before and after", strings.ToLower(string(action)))
	}
	var err error
	if r.ID, err = uuid.Parse(text(e.ResourceID)); err != nil {
		return cannot("it does not identify the changed row")
	}
	r.Name = r.ID.String()
	if e.Description != nil {
		if _, name, ok := strings.Cut(*e.Description, ": "); ok {
			r.Name = strings.TrimPrefix(name, *e.Resource+" ")
		}
	}
	if err := json.Unmarshal(e.After, &r.Is); err != nil {
		return r, err
	}
	if action == Create {
		r.Created = true
	} else if err := json.Unmarshal(e.Before, &r.Was); err != nil {
		return r, err
	}
	for field, v := range r.Is {
		if _, known := r.Was[field]; known || string(v) != `"changed"` {
			continue
		}
		if !r.Created { // the value "changed" hides a secret
			return cannot("the audit log does not store the changed %s", field)
		}
		delete(r.Is, field)
	}
	return r, nil
}

// merge adds an older reversal of the same row, so that r restores the row to its state before both changes.
func (r *Reversal) merge(older Reversal) {
	r.Undoes = append(r.Undoes, older.Undoes...)
	r.Created = older.Created
	for field, is := range older.Is {
		if _, ok := r.Is[field]; !ok {
			r.Is[field] = is
		}
	}
	if r.Was == nil {
		r.Was = map[string]json.RawMessage{}
	}
	maps.Copy(r.Was, older.Was)
}

// Undoing is a planned undo.
type Undoing struct {
	rows  map[string][]Reversal // by noun
	nouns []string
}

// PlanUndo plans the undo of audit rows, given newest first. If lenient, it skips attempts that changed nothing, reads,
// and sessions ended by a change of their user: an undo never revives a session. Any other row that cannot be undone is
// a VALIDATION_ERROR.
func PlanUndo(entries []Entry, lenient bool) (Undoing, error) {
	u := Undoing{rows: map[string][]Reversal{}}
	index := map[uuid.UUID]int{}
	ofUsers := slices.ContainsFunc(entries, func(e Entry) bool { return text(e.Resource) == "user" })
	for _, e := range entries {
		if lenient && ofUsers && text(e.Resource) == "session" {
			continue
		}
		if lenient && (e.Result != nil && *e.Result != "SUCCESS" || text(e.Action) == string(Read)) {
			continue
		}
		r, err := Reversible(e)
		if err != nil {
			return u, err
		}
		noun := *e.Resource
		if _, known := u.rows[noun]; !known {
			u.nouns = append(u.nouns, noun)
		}
		if i, merged := index[r.ID]; merged {
			u.rows[noun][i].merge(r)
			continue
		}
		index[r.ID] = len(u.rows[noun])
		u.rows[noun] = append(u.rows[noun], r)
	}
	if len(u.nouns) == 0 {
		return u, fault.New(fault.Validation, "there is nothing to undo: nothing was changed")
	}
	return u, nil
}

// Nouns returns the nouns of the rows to restore.
func (u Undoing) Nouns() []string { return u.nouns }

// Names returns the noun and the name of each row to restore.
func (u Undoing) Names() (names []string) {
	for _, noun := range u.nouns {
		for _, r := range u.rows[noun] {
			names = append(names, noun+" "+r.Name)
		}
	}
	return names
}

// Rows returns the number of rows to restore.
func (u Undoing) Rows() (n int) {
	for _, list := range u.rows {
		n += len(list)
	}
	return n
}

// Sealed reports whether the database has seals. Without them, an undo trusts the log.
func (g *Log) Sealed() bool { return g.sealer != nil }

// Check refuses an undo of audit rows that are not sealed by cxgctl or do not match their seals.
func (g *Log) Check(ctx context.Context, r db.Reader, u Undoing) error {
	var ids []uuid.UUID
	for _, rows := range u.rows {
		for _, row := range rows {
			ids = append(ids, row.Undoes...)
		}
	}
	return g.checkSeals(ctx, r, ids)
}

// checkSeals refuses audit rows that are not sealed by cxgctl or do not match their seals.
func (g *Log) checkSeals(ctx context.Context, r db.Reader, ids []uuid.UUID) error {
	bad, err := g.sealer.Mismatches(ctx, r, ids)
	if err != nil || len(bad) == 0 {
		return err
	}
	return fault.New(fault.Validation, "audit row %s cannot be undone: it does not match a seal of cxgctl", bad[0]).
		WithHint("nothing was changed; see the problem with: cxgctl audit verify").With("id", bad[0].String())
}

// Undo restores the planned rows in one transaction, audited like any other change. A row that has changed since is a
// CONFLICT with the fields and who changed them, unless force is set.
func Undo(ctx context.Context, l *Ledger, log *Log, u Undoing, reversers map[string]Reverser, force bool) error {
	intent := Intent{Subject: Subject{Resource: u.nouns[0]}, Action: Update}
	if u.Rows() == 1 {
		r := u.rows[u.nouns[0]][0]
		intent.ID, intent.Name = r.ID, r.Name
	}
	return l.Write(ctx, intent, func(ctx context.Context, tx *Tx) ([]Change, error) {
		var changes []Change
		var drifted []Drift
		for _, noun := range u.nouns {
			done, drift, err := reversers[noun].Reverse(ctx, tx, u.rows[noun], force)
			if err != nil {
				return nil, err
			}
			changes, drifted = append(changes, done...), append(drifted, drift...)
		}
		if len(drifted) > 0 {
			return nil, log.conflict(ctx, l.Reader(), drifted)
		}
		return changes, nil
	})
}

// maxDriftShown is the maximum number of fields that a message names.
const maxDriftShown = 5

// driftChange is a drifted field with the audit row of its change.
type driftChange struct {
	Drift
	Operator *string    `json:"operator"`
	At       *db.Time   `json:"at"`
	AuditID  *uuid.UUID `json:"audit_id"`
}

// conflict returns the error that lists the drifted fields and who changed them.
func (g *Log) conflict(ctx context.Context, r db.Reader, drifted []Drift) error {
	var words []string
	var list []driftChange
	for _, d := range drifted[:min(len(drifted), maxDriftShown)] {
		s := driftChange{Drift: d}
		what := fmt.Sprintf("%s of %s was changed since", d.Field, d.Name)
		if d.Field == "" {
			what = d.Name + " no longer exists"
		} else if e, err := g.lastChange(ctx, r, d.ID, d.Field); err == nil && e != nil {
			s.Operator, s.At, s.AuditID = e.Operator, e.CreatedAt, &e.ID
			if e.Operator != nil {
				what += fmt.Sprintf(" by %s at %s", *e.Operator, e.CreatedAt)
			}
		} else {
			what += " without an audit row"
		}
		words, list = append(words, what), append(list, s)
	}
	if more := len(drifted) - len(list); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return fault.New(fault.Conflict, "%s", strings.Join(words, "; ")).
		WithHint("nothing was changed; to restore the rows anyway, add --force and --reason").With("changed_since", list)
}

const findLastChange = `
SELECT {columns}
  FROM audt.audit_logs l LEFT JOIN idam.users o ON o.id = l.user_id
 WHERE {resource_id} = @id AND (l.extra_data->'after' ? @field OR l.extra_data->'before' ? @field)
 ORDER BY l.created_at DESC, l.id DESC LIMIT 1`

// lastChange returns the latest audit row that changed a field of a row, or nil.
func (g *Log) lastChange(ctx context.Context, r db.Reader, id uuid.UUID, field string) (*Entry, error) {
	sql := strings.NewReplacer("{columns}", g.columns, "{resource_id}", g.exprs["resource_id"]).Replace(findLastChange)
	rows, err := db.Collect[Entry](ctx, r, sql, pgx.NamedArgs{"id": id.String(), "field": field})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// ByOp returns the audit rows of an operation, newest first. An unknown operation is a RESOURCE_NOT_FOUND.
func (g *Log) ByOp(ctx context.Context, d *db.DB, idle time.Duration, op string) ([]Entry, error) {
	list, err := g.All(ctx, d, idle, Filter{Op: op})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fault.New(fault.NotFound, "operation %s not found", op).
			WithHint("list operations with: cxgctl audit list -o wide").With("op_id", op)
	}
	return list, nil
}
