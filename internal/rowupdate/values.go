package rowupdate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// SetFields returns the update that sets fields to their values in a record. called has the names of columns that
// differ from their fields.
func SetFields[T any](fields schema.FieldsOf[T], record *T, called map[string]string) Update[T] {
	e := Update[T]{Action: audit.Update, Args: pgx.NamedArgs{}}
	var set []string
	for _, f := range fields {
		column := cmp.Or(called[f.Name], f.Name)
		e.Columns = append(e.Columns, column)
		e.Args["set_"+f.Name] = f.Arg(record)
		set = append(set, column+" = @set_"+f.Name+"::"+f.Cast())
	}
	e.Set = strings.Join(set, ", ")
	e.IsNoop = func(row T) bool {
		return !slices.ContainsFunc(fields, func(f *schema.FieldOf[T]) bool { return !f.Equal(&row, record) })
	}
	return e
}

// Taken turns a unique violation into an error that names every taken field and its holder, which query finds outside the
// failed transaction. Other errors pass unchanged.
func (t Table[T]) Taken(ctx context.Context, r db.Reader, cause error, query db.Query, fields schema.FieldsOf[T], want *T) error {
	if db.UniqueViolation(cause) == "" {
		return cause
	}
	holders, err := db.Collect[T](ctx, r, query.SQL, query.Args)
	if err != nil {
		return cause
	}
	return t.TakenBy(cause, holders, fields, want)
}

// TakenBy is Taken with known holders. It returns cause if none has a value of the fields.
func (t Table[T]) TakenBy(cause error, holders []T, fields schema.FieldsOf[T], want *T) error {
	var parts []string
	var taken []map[string]any
	var deleted string
	for i := range holders {
		holder := t.Noun.ID(holders[i]).String()
		for _, f := range fields {
			if f.IsSet(want) && f.Equal(&holders[i], want) {
				parts = append(parts, fmt.Sprintf("%s %q is taken", f.Name, f.Arg(want)))
				taken = append(taken, map[string]any{"field": f.Name, "value": f.Arg(want), "holder": holder})
			}
		}
		if !t.Noun.IsLive(holders[i]) {
			deleted = holder
		}
	}
	if len(parts) == 0 {
		return cause // the holder is gone or invisible, so keep the server's error
	}
	f := fault.New(fault.AlreadyExists, "%s", strings.Join(parts, "; ")).Because(&Held[T]{cause, holders}).
		With("fields", taken).With("holder", taken[0]["holder"]).With("field", taken[0]["field"])
	if deleted != "" {
		f.WithHint("a deleted %s has it; restore that %[1]s with: cxgctl %[1]ss restore %s", t.Noun.Name, deleted)
	}
	return f
}

// Held is the cause of an error about values that other records hold.
type Held[T any] struct {
	error
	Holders []T
}

// Unwrap returns the server's error.
func (h *Held[T]) Unwrap() error { return h.error }

// ApplyUnset calls unset for each name. Names that are not optional, or whose field is also given a value, are added
// to problems.
func ApplyUnset(problems *fault.Problems, names, optional []string, given func(name string) bool, unset func(name string)) {
	for _, name := range names {
		name = strings.TrimSpace(name)
		switch {
		case !slices.Contains(optional, name):
			problems.Add("unset", "%q cannot be unset; fields that can: %s", name, strings.Join(optional, ", "))
		case given(name):
			problems.Add("unset", "%q is both set and unset", name)
		default:
			unset(name)
		}
	}
}

// ErrNothingToChange returns the error of an update without fields; command is the command that was run.
func ErrNothingToChange(command string) error {
	return fault.New(fault.Usage, "nothing to change: set at least one field").WithHint("list the fields with: cxgctl %s --help", command)
}

// SetDeleted returns the update that marks rows as deleted or restores them; is reports whether a row is deleted. A
// table without a soft-delete column is a DATABASE_ERROR, because rows are never deleted physically.
func SetDeleted[T any](shape *schema.Table, deleted bool, is func(T) bool) (Update[T], error) {
	set, err := shape.SetDeleted(!deleted)
	e := Update[T]{Action: audit.Delete, Set: set, IsNoop: func(row T) bool { return is(row) == deleted }}
	if !deleted {
		e.Action = audit.Update
	}
	return e, err
}
