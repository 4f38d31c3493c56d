package importer

import (
	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// Row is one row of a file and its outcome. Nouns embed it in their rows.
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

// Record is a noun's row: a pointer to a struct that embeds Row.
type Record interface{ Base() *Row }

// Base returns the row itself.
func (r *Row) Base() *Row { return r }

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
func Undecided[R Record](rows []R) []R {
	var list []R
	for _, in := range rows {
		if in.Base().Outcome == Pending {
			list = append(list, in)
		}
	}
	return list
}
