package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Reversal is what one row is to go back to.
type Reversal struct {
	ID      uuid.UUID
	Name    string                     // what the audit row called it, for messages
	Undoes  []uuid.UUID                // the audit rows that are undone, newest first
	Was     map[string]json.RawMessage // the fields concerned, as they were before
	Is      map[string]json.RawMessage // and as they are to be still
	Created bool                       // it was made, so that going back is to mark it as deleted
}

// Drift is a field that was changed since the change that is to be undone.
type Drift struct {
	ID              uuid.UUID       `json:"id"`
	Name            string          `json:"name"`
	Field           string          `json:"field"` // "" where the whole row is gone
	Expected, Found json.RawMessage `json:"-"`
}

// Reverser puts the rows of one noun back.
type Reverser interface {
	// Reverse locks the rows and puts them back, in tx, by one statement for each set of fields. Where a row is
	// not as its reversal says, it changes nothing and returns what drifted, unless force is set.
	Reverse(ctx context.Context, tx *Tx, rows []Reversal, force bool) ([]Change, []Drift, error)
}

// A Resource is a kind of row whose changes can be undone. The package of the noun exports it.
type Resource struct {
	Name   string   // in audit rows: user, invoice
	Update []string // permissions that undoing a change requires
	Delete []string // permissions that undoing a creation requires besides
	Open   func(schema.Catalog) (Reverser, error)
}

// Permissions returns the permissions that undoing the action requires.
func (r Resource) Permissions(undone Action) []string {
	if undone == Create {
		return slices.Concat(r.Update, r.Delete)
	}
	return r.Update
}

// computed are the fields that every change sets anew: an undo does not put them back, and does not mind them.
var computed = []string{"updated_at", "updated_by"}

// Computed says whether every change sets the field anew.
func Computed(field string) bool { return slices.Contains(computed, field) }

// SameJSON says whether two JSON values are the same, however they are spelled; nil is null.
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
	return new(jsonSorter).canonical(nil, v)
}

// Reversible turns an audit row into the reversal of what it recorded, or says why it has none.
func Reversible(e Entry) (Reversal, error) {
	r := Reversal{Undoes: []uuid.UUID{e.ID}}
	cannot := func(format string, args ...any) (Reversal, error) {
		return r, fault.New(fault.Validation, "audit row %s cannot be undone: %s", e.ID, fmt.Sprintf(format, args...)).With("id", e.ID.String())
	}
	action := Action("")
	if e.Action != nil {
		action = Action(*e.Action)
	}
	switch {
	case e.OpID == nil:
		return cannot("cxgctl did not write it, so it does not say what changed")
	case e.Result != nil && *e.Result != "SUCCESS", len(e.Before) == 0 && len(e.After) == 0:
		return cannot("nothing was changed")
	case action == Read:
		return cannot("something was read, and nothing changed")
	case action != Create && action != Update && action != Delete, action != Create && len(e.Before) == 0, len(e.After) == 0:
		return cannot("%s has no image of before and after", strings.ToLower(string(action)))
	}
	var err error
	if e.ResourceID == nil {
		err = errors.New("no id")
	} else {
		r.ID, err = uuid.Parse(*e.ResourceID)
	}
	if err != nil {
		return cannot("it does not say which row changed")
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
		if _, there := r.Was[field]; there || string(v) != `"changed"` {
			continue
		}
		if !r.Created { // an image says "changed" of what it does not keep
			return cannot("the audit log does not keep the %s that was changed", field)
		}
		delete(r.Is, field)
	}
	return r, nil
}

// merge puts an older reversal of the same row behind r: the row is to go back to before both.
func (r *Reversal) merge(older Reversal) {
	r.Undoes = append(r.Undoes, older.Undoes...)
	r.Created = older.Created
	for field, is := range older.Is {
		if _, there := r.Is[field]; !there {
			r.Is[field] = is
		}
	}
	if r.Was == nil {
		r.Was = map[string]json.RawMessage{}
	}
	for field, was := range older.Was {
		r.Was[field] = was
	}
}

// Undoing is what Undo is to take back.
type Undoing struct {
	rows  map[string][]Reversal // by noun
	nouns []string
}

// PlanUndo works out from audit rows, newest first, what is to go back to what. Where lenient is set, it passes over rows
// of attempts that changed nothing, and over sessions that the change of their user ended: no undo revives a session. Any
// other row that cannot be undone is a VALIDATION_ERROR.
func PlanUndo(entries []Entry, lenient bool) (Undoing, error) {
	u := Undoing{rows: map[string][]Reversal{}}
	places := map[uuid.UUID]int{}
	ofUsers := slices.ContainsFunc(entries, func(e Entry) bool { return e.Resource != nil && *e.Resource == "user" })
	for _, e := range entries {
		if lenient && ofUsers && e.Resource != nil && *e.Resource == "session" {
			continue
		}
		if lenient && (e.Result != nil && *e.Result != "SUCCESS" || e.Action != nil && *e.Action == string(Read)) {
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
		if i, again := places[r.ID]; again {
			u.rows[noun][i].merge(r)
			continue
		}
		places[r.ID] = len(u.rows[noun])
		u.rows[noun] = append(u.rows[noun], r)
	}
	if len(u.nouns) == 0 {
		return u, fault.New(fault.Validation, "there is nothing to undo: nothing was changed")
	}
	return u, nil
}

// Nouns are the kinds of rows that are to go back.
func (u Undoing) Nouns() []string { return u.nouns }

// Rows is how many.
func (u Undoing) Rows() (n int) {
	for _, list := range u.rows {
		n += len(list)
	}
	return n
}

// Undo takes back what was planned, in one transaction, as a change like any other. A row that is not as its
// audit row left it is a CONFLICT that names the fields and who changed them, unless force is set.
func Undo(ctx context.Context, l *Ledger, log *Log, u Undoing, reversers map[string]Reverser, force bool) error {
	var drifted []Drift
	intent := Intent{Subject: Subject{Resource: u.nouns[0]}, Action: Update}
	if u.Rows() == 1 {
		r := u.rows[u.nouns[0]][0]
		intent.ID, intent.Name = r.ID, r.Name
	}
	return l.Write(ctx, intent, func(ctx context.Context, tx *Tx) ([]Change, error) {
		var changes []Change
		drifted = nil
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

// told is how many drifted fields a message names.
const told = 5

// since is what is known of a change that came between.
type since struct {
	Drift
	Operator *string    `json:"operator"`
	At       *db.Time   `json:"at"`
	AuditID  *uuid.UUID `json:"audit_id"`
}

// conflict says which fields were changed since, and by whom.
func (g *Log) conflict(ctx context.Context, r db.Reader, drifted []Drift) error {
	var words []string
	var list []since
	for _, d := range drifted[:min(len(drifted), told)] {
		s := since{Drift: d}
		what := fmt.Sprintf("%s of %s was changed since", d.Field, d.Name)
		if d.Field == "" {
			what = d.Name + " does not exist any more"
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
		WithHint("nothing was changed; --force with a --reason puts the rows back all the same").With("changed_since", list)
}

const findLastChange = `
SELECT {columns}
  FROM audt.audit_logs l LEFT JOIN idam.users o ON o.id = l.user_id
 WHERE {resource_id} = @id AND (l.extra_data->'after' ? @field OR l.extra_data->'before' ? @field)
 ORDER BY l.created_at DESC, l.id DESC LIMIT 1`

// lastChange returns the latest audit row that changed a field of a row; nil where there is none.
func (g *Log) lastChange(ctx context.Context, r db.Reader, id uuid.UUID, field string) (*Entry, error) {
	sql := strings.NewReplacer("{columns}", g.columns, "{resource_id}", g.exprs["resource_id"]).Replace(findLastChange)
	rows, err := db.Collect[Entry](ctx, r, sql, pgx.NamedArgs{"id": id.String(), "field": field})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// ByOp returns the audit rows of one command, newest first; none is a RESOURCE_NOT_FOUND.
func (g *Log) ByOp(ctx context.Context, d *db.DB, idle time.Duration, op string) ([]Entry, error) {
	list, err := g.All(ctx, d, idle, Filter{Op: op})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fault.New(fault.NotFound, "operation %s not found", op).
			WithHint("operations are listed by: cxgctl audit list -o wide").With("op_id", op)
	}
	return list, nil
}
