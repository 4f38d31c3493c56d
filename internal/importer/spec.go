package importer

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Spec describes a kind of record to the import. R is the noun's row. Functions that take rows fail single rows with
// Row.Fail; if they return an error, the import ends. Functions that take a transaction may be called again for the
// same rows after a rollback.
type Spec[R Record] struct {
	Resource string // the noun in audit rows: user, invoice
	Command  string // the import command, for hints: cxgctl users import
	Home     Target // the database of the records

	// Read turns a row of the file into a record, or fails it.
	Read func(Row, *Fields) R
	// Claims appends the unique values of a row to a list.
	Claims func(R, []UniqueKey) []UniqueKey
	// Slow reports whether Prepare takes long for the row; few such rows share a transaction. It may be nil.
	Slow func(R) bool
	// Prepare does the work that needs no transaction. It may be nil.
	Prepare func(context.Context, []R) error
	// Resolve looks up and locks the rows of other tables that rows refer to.
	Resolve func(context.Context, *audit.Tx, []R) error
	// Conflicts decides about rows whose unique values an existing record has: they fail, are Skipped or become
	// Matched. It returns how many it decided, approximately.
	Conflicts func(context.Context, *audit.Tx, []R) (int, error)
	// Defaults sets the fields of a new record that come from the transaction.
	Defaults func(in R, now time.Time, by *uuid.UUID) error
	// Stored reads back inserted rows. It fails those that the database did not store, and records what it stored for
	// the others.
	Stored func(context.Context, pgx.Tx, []R) error
	// AfterInsert changes the records of Matched rows, does what else rows ask for, and returns a change for each row
	// that it or the import wrote. If it fails rows that were written already, it returns ErrAgain.
	AfterInsert func(context.Context, *audit.Tx, []R) ([]audit.Change, error)

	Table   string      // the qualified table of new records
	Columns []Column[R] // the columns of a new record
}

// UniqueKey is a value that only one record may have.
type UniqueKey struct {
	Field string
	Value string // for messages
	Key   string // what has to be unique, if not Value
}

// Column is a column of a new record, with its value in a type that COPY encodes directly: see ID and Text.
type Column[R any] struct {
	Name  string
	Value func(R) any
}

// Col returns a Column.
func Col[R any](name string, value func(R) any) Column[R] { return Column[R]{name, value} }

// Existing returns those of the columns that the table has.
func Existing[R any](t *schema.Table, columns []Column[R]) []Column[R] {
	return slices.DeleteFunc(columns, func(c Column[R]) bool { return !t.Has(c.Name) })
}

// ID returns an id as a Column's value. pgx would first try uuid.UUID as text.
func ID(id *uuid.UUID) any {
	if id == nil {
		return nil
	}
	return pgtype.UUID{Bytes: *id, Valid: true}
}

// Text returns a text as a Column's value; nil is NULL.
func Text(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}
