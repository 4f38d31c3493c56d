package importer

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Spec is what a noun knows about its imports. R is the noun's row. Methods that take rows fail single rows with
// Row.Fail; if they return an error, the import ends. Methods that take a transaction may be called again for the same
// rows after a rollback. A noun embeds Basic for the methods that it does not need.
type Spec[T any, R Item[T]] interface {
	// Parse turns a row of the file into a record, or fails it.
	Parse(Row, *Fields) R
	// UniqueKeys appends the unique values of a row to a list.
	UniqueKeys(R, []UniqueKey) []UniqueKey
	// IsSlow reports whether Prepare takes long for the row; few such rows share a transaction.
	IsSlow(R) bool
	// Prepare does the work that needs no transaction.
	Prepare(context.Context, []R) error
	// Resolve looks up and locks the rows of other tables that rows refer to.
	Resolve(context.Context, *audit.Tx, []R) error
	// Match decides about a row of an updating import, whose unique values existing records may have: it fails, becomes
	// Matched or stays Pending.
	Match(R, []Holder[T])
	// NotStored returns questions that add the ids of rows of which the database did not store what the record does not show.
	NotStored(rows []R, to *[]uuid.UUID) []db.PipelineQuery
	// AfterInsert changes the records of Matched rows, does what else rows ask for, and returns a change for each record
	// that it wrote. If it fails rows that were written already, it returns ErrAgain.
	AfterInsert(context.Context, *audit.Tx, []R) ([]audit.Change, error)
	// Finish ends an atomic import, after its last row. It returns the changes of records that the file does not name.
	Finish(context.Context, *audit.Tx) ([]audit.Change, error)
}

// Basic has the methods of a Spec whose rows only create records.
type Basic[T any, R Item[T]] struct{}

// IsSlow returns false.
func (Basic[T, R]) IsSlow(R) bool { return false }

// Prepare does nothing.
func (Basic[T, R]) Prepare(context.Context, []R) error { return nil }

// Match does nothing.
func (Basic[T, R]) Match(R, []Holder[T]) {}

// NotStored returns no questions.
func (Basic[T, R]) NotStored([]R, *[]uuid.UUID) []db.PipelineQuery { return nil }

// AfterInsert does nothing.
func (Basic[T, R]) AfterInsert(context.Context, *audit.Tx, []R) ([]audit.Change, error) {
	return nil, nil
}

// Finish does nothing.
func (Basic[T, R]) Finish(context.Context, *audit.Tx) ([]audit.Change, error) { return nil, nil }

// Target describes the table that rows go to.
type Target[T any, R Item[T]] struct {
	rowupdate.Table[T]
	Database Database
	Command  string             // the import command, for hints: cxgctl users import
	Fields   schema.FieldsOf[T] // of the record; a new one gets those that the table has
	Extra    []Column[R]        // columns that the record does not show, or that replace fields
	Holders  string             // finds the records that hold unique values, given as one array per key of the noun
	Holder   func(T) string     // names the holder of a value in messages
}

// UniqueKey is a value that only one record may have.
type UniqueKey struct {
	Field string
	Value string // for messages
	Key   string // what has to be unique, if not Value
}

// Column is a column of a new record, with its value.
type Column[R any] struct {
	Name  string
	Value func(R) any
}

// columns returns the columns of a new record that the table has.
func (t Target[T, R]) columns() []Column[R] {
	list := slices.Clone(t.Extra)
	add := func(name string, value func(R) any) {
		if !slices.ContainsFunc(list, func(c Column[R]) bool { return c.Name == name }) {
			list = append(list, Column[R]{name, value})
		}
	}
	for _, f := range t.Fields.Stored() {
		add(f.Name, func(in R) any { return f.Value(&in.Base().New) })
	}
	for _, flag := range schema.LiveValues() {
		whenLive := flag[1] == "true"
		add(flag[0], func(in R) any { return t.Noun.IsLive(in.Base().New) == whenLive })
	}
	return slices.DeleteFunc(list, func(c Column[R]) bool { return !t.Shape.Has(c.Name) })
}

// expressions returns the pairs of schema.Table.InsertRows.
func expressions[R any](columns []Column[R]) [][2]string {
	pairs := make([][2]string, len(columns))
	for i, c := range columns {
		pairs[i] = [2]string{c.Name, "@" + c.Name}
	}
	return pairs
}
