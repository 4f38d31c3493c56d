package importer

import (
	"cmp"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// duplicates finds rows with a unique value of an earlier row of the file, in bounded memory. An approximate set
// separates rows that cannot be duplicates from those that may be. The latter are deferred, and another pass over the
// file settles them exactly.
type duplicates[R Record] struct {
	claims   func(R, []UniqueKey) []UniqueKey
	list     []UniqueKey // of the current row
	seen     *seen
	deferred map[int64]bool   // ordinals of deferred rows
	first    map[string]int64 // a unique value of theirs → the first line with it
}

func newDuplicates[R Record](fileSize int64, claims func(R, []UniqueKey) []UniqueKey) *duplicates[R] {
	return &duplicates[R]{
		claims: claims, seen: newSeen(fileSize, maxPlaces), deferred: map[int64]bool{}, first: map[string]int64{},
	}
}

// key returns the value that has to be unique in the field.
func (c UniqueKey) key() string { return cmp.Or(c.Key, c.Value) }

// whole returns a key that is distinct across fields.
func (c UniqueKey) whole() string { return c.Field + "\x00" + c.key() }

// of returns the unique values of a row. The result is valid until the next call.
func (d *duplicates[R]) of(in R) []UniqueKey {
	d.list = d.claims(in, d.list[:0])
	return d.list
}

// putOff reports whether a row can be applied in the first pass, because none of its unique values may occur in an
// earlier row.
func (d *duplicates[R]) putOff(in R) bool {
	row := in.Base()
	if row.Failure != nil {
		return true
	}
	suspect := false
	for _, c := range d.of(in) {
		if d.seen.add(c) {
			suspect = true
			d.first[c.whole()] = 0
		}
	}
	if suspect && !row.Done {
		d.deferred[row.Ordinal] = true
		return false
	}
	return true
}

// resolve finds the first line of each doubtful value, in another pass.
func (d *duplicates[R]) resolve(in R) error {
	row := in.Base()
	if row.Failure != nil {
		return nil
	}
	for _, c := range d.of(in) {
		if at, doubted := d.first[c.whole()]; doubted && at == 0 {
			d.first[c.whole()] = row.Raw.Line
		}
	}
	return nil
}

// judge selects the deferred rows and fails duplicates.
func (d *duplicates[R]) judge(in R) bool {
	if !d.deferred[in.Base().Ordinal] {
		return false
	}
	d.check(in)
	return true
}

// check fails a row if an earlier line has one of its unique values.
func (d *duplicates[R]) check(in R) {
	row := in.Base()
	for _, c := range d.of(in) {
		if at := d.first[c.whole()]; at != 0 && at < row.Raw.Line {
			row.Fail(c.Field, c.Value, fault.New(fault.AlreadyExists, "%s %q is already on line %d", c.Field, c.Value, at), nil)
			return
		}
	}
}
