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

// Kind is what an import has to know of the kind of record that a file holds. R is what the noun makes of a
// row. Functions that take rows fail single ones by Row.Fail; an error of their own ends the import. Those
// that take a transaction may be called again for the same rows, after a rollback.
type Spec[R Record] struct {
	Resource string // the noun in audit rows: user, invoice
	Command  string // that imports it, for hints: cxgctl users import
	Home     Target // where the records are

	// Read makes something of a row that could be read, or fails it.
	Read func(Row, *Fields) R
	// Claims adds what only one record may have, as the row names it, to a list.
	Claims func(R, []UniqueKey) []UniqueKey
	// Slow says that Prepare takes long for the row, so that few such share a transaction; nil: none does.
	Slow func(R) bool
	// Prepare does ahead of the transaction what can be done there; nil: nothing can.
	Prepare func(context.Context, []R) error
	// Resolve finds what rows name in other tables, and keeps it as it is.
	Resolve func(context.Context, *audit.Tx, []R) error
	// Conflicts decides about rows that claim what a record in the database has: they fail, are Skipped or
	// become Matched. It returns about how many it did.
	Conflicts func(context.Context, *audit.Tx, []R) (int, error)
	// Born fills what a new record has from its transaction's time and operator.
	Defaults func(in R, now time.Time, by *uuid.UUID) error
	// Made is the change of a record that the import made, where nothing but Prepare and Born alters what Read made:
	// then its audit row is made ahead of the transaction. nil where Resolve has a part in it.
	CreatedChange func(R) audit.Change
	// Held says that a record most likely exists which has what the row claims, so that no audit row is made ahead for it;
	// nil: none does.
	Held func(R) bool
	// Stored reads back rows that were inserted. It fails those that the database did not store, and notes of the
	// others what it did store.
	Stored func(context.Context, pgx.Tx, []R) error
	// Finish changes the records of Matched rows, does what else rows ask for, and returns a change for each
	// row that it or the import wrote. Where it fails rows that were applied already, it returns ErrAgain.
	AfterInsert func(context.Context, *audit.Tx, []R) ([]audit.Change, error)

	Table   string      // where new records go, with its schema
	Columns []Column[R] // the ones of it that a new record fills
}

// Claim is a value that only one record may have.
type UniqueKey struct {
	Field string
	Value string // as messages repeat it
	Key   string // what has to be unique, where that is more than the value
}

// Column is a column of a new record, and its value as COPY takes it without detours: see ID and Text.
type Column[R any] struct {
	Name  string
	Value func(R) any
}

// Into is a Column.
func Col[R any](name string, value func(R) any) Column[R] { return Column[R]{name, value} }

// In are those of the columns that a table has.
func Existing[R any](t *schema.Table, columns []Column[R]) []Column[R] {
	return slices.DeleteFunc(columns, func(c Column[R]) bool { return !t.Has(c.Name) })
}

// ID is an id as a Column's value: a uuid.UUID would become text, fail, and come back.
func ID(id *uuid.UUID) any {
	if id == nil {
		return nil
	}
	return pgtype.UUID{Bytes: *id, Valid: true}
}

// Text is a text as a Column's value; nil is NULL.
func Text(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}
