package importer

import (
	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// Row is one row of a file and what becomes of it. A noun embeds it in what it makes of the row.
type Row struct {
	Raw     rowreader.Row
	Ordinal int64 // of the record in the file
	Done    bool  // by an earlier run
	Outcome Outcome
	Failure *Failure
	Altered []Alteration // how values are stored otherwise than they came
	Filled  []Alteration // what a new record gets for empty values

	unfit bool // failed before any transaction
}

// Incoming is what a noun makes of a row: a pointer to a struct that embeds Row.
type Record interface{ Base() *Row }

// Base returns the row itself.
func (r *Row) Base() *Row { return r }

// Alteration is a way in which a value of a field is stored otherwise than the file has it: "in upper case".
type Alteration struct{ Field, How string }

// Outcome is what became of a row in its transaction.
type Outcome uint8

// The outcomes. What is Pending is about to be made; what is Matched, to change a record that is there.
const (
	Pending Outcome = iota
	Matched
	Created
	Updated
	Unchanged
	Skipped
	Failed
)

// Applied says whether the row's record is in the database as the row wants it.
func (r *Row) Applied() bool {
	return r.Outcome == Created || r.Outcome == Updated || r.Outcome == Unchanged
}

// Fail notes why the row is not applied; the first reason stands. Value is repeated in messages, so it must
// be no secret. Holder is the record that has it, or nil.
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

// Undecided returns the rows that nothing has been decided about.
func Undecided[R Record](rows []R) []R {
	var list []R
	for _, in := range rows {
		if in.Base().Outcome == Pending {
			list = append(list, in)
		}
	}
	return list
}
