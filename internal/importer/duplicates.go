package importer

import (
	"cmp"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// duplicates finds rows that claim what an earlier row of the file claims, in memory that does not grow
// with the file. What it has seen tells rows that cannot be from those that may be; the
// latter are put off, and once the file has been read, one more reading settles them exactly.
type duplicates[R Record] struct {
	claims   func(R, []UniqueKey) []UniqueKey
	list     []UniqueKey // of the row that is looked at
	seen     *seen
	deferred map[int64]bool   // ordinals of rows that were put off
	first    map[string]int64 // a claim of theirs → the first line that makes it
}

func newDuplicates[R Record](fileSize int64, claims func(R, []UniqueKey) []UniqueKey) *duplicates[R] {
	return &duplicates[R]{
		claims: claims, seen: newSeen(fileSize, maxPlaces), deferred: map[int64]bool{}, first: map[string]int64{},
	}
}

// key is what has to be unique in the claim's field.
func (c UniqueKey) key() string { return cmp.Or(c.Key, c.Value) }

// whole tells claims of all fields apart.
func (c UniqueKey) whole() string { return c.Field + "\x00" + c.key() }

// of returns what a row claims, until the next row is asked about.
func (d *duplicates[R]) of(in R) []UniqueKey {
	d.list = d.claims(in, d.list[:0])
	return d.list
}

// putOff says whether a row can be applied in the first pass: it claims nothing that an earlier one may
// have claimed.
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

// resolve finds the first line of each claim in doubt, in one more reading.
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

// judge picks the rows that were put off, and fails those that are second.
func (d *duplicates[R]) judge(in R) bool {
	if !d.deferred[in.Base().Ordinal] {
		return false
	}
	d.check(in)
	return true
}

// check fails a row whose claim an earlier line makes.
func (d *duplicates[R]) check(in R) {
	row := in.Base()
	for _, c := range d.of(in) {
		if at := d.first[c.whole()]; at != 0 && at < row.Raw.Line {
			row.Fail(c.Field, c.Value, fault.New(fault.AlreadyExists, "%s %q is already on line %d", c.Field, c.Value, at), nil)
			return
		}
	}
}
