package importer

import (
	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// Row is one row of a file and its outcome.
type Row struct {
	Raw     rowreader.Row
	Ordinal int64 // of the record in the file
	Done    bool  // applied by an earlier run
	Outcome Outcome
	Failure *Failure
	Altered []Alteration // how stored values differ from the file
	Filled  []Alteration // what a new record gets for empty values

	unfit bool // failed before any transaction
}

// Record is a row with the record that it describes. Nouns embed it in their rows.
type Record[T any] struct {
	Row
	New     T        // as it would be created
	Stored  *T       // as the database stored it
	Holder  *T       // the record that a Matched row changes
	Secrets []string // fields with a value that the record does not show

	bornNow bool // created_at is the transaction's time
}

// Item is a noun's row: a pointer to a struct that embeds Record.
type Item[T any] interface{ Base() *Record[T] }

// Base returns the row itself.
func (r *Record[T]) Base() *Record[T] { return r }

// Holder is a record that has a unique value of a row.
type Holder[T any] struct {
	Key    string // the name of the noun's key
	Value  string
	Record *T
}

// Alteration is a way in which the stored value of a field differs from the file, such as "in upper case".
type Alteration struct{ Field, How string }

// Outcome is the outcome of a row in its transaction.
type Outcome uint8

// The outcomes. A Pending row is about to create a record, a Matched row to change an existing one.
const (
	Pending Outcome = iota
	Matched
	Created
	Updated
	Unchanged
	Skipped
	Failed
)

// Applied reports whether the database has the row's record as the row wants it.
func (r *Row) Applied() bool {
	return r.Outcome == Created || r.Outcome == Updated || r.Outcome == Unchanged
}

// Fail records why the row is not applied; only the first reason counts. value is repeated in messages, so it must
// not be a secret. holder is the record that has the value, or nil.
func (r *Row) Fail(field, value string, err error, holder *uuid.UUID) {
	r.Outcome = Failed
	if r.Failure != nil {
		return
	}
	f := fault.From(err)
	r.Failure = &Failure{
		Line:    r.Raw.Line,
		Field:   field,
		Value:   value,
		Code:    f.Code,
		Message: f.Message,
		Kind:    string(f.Code) + field + f.Kind,
		Holder:  holder,
	}
	if f.Hint != "" {
		r.Failure.Message += " (" + f.Hint + ")"
	}
}

// Undecided returns the rows without an outcome.
func Undecided[T any, R Item[T]](rows []R) []R {
	var list []R
	for _, in := range rows {
		if in.Base().Outcome == Pending {
			list = append(list, in)
		}
	}
	return list
}
