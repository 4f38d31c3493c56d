package audit

import "time"

// Matches reports whether a row drafted for change own is used for c.
func Matches(own, c Change) bool { return (&drafted{change: own}).isFor(c) }

// At returns the time of the draft's rows.
func (d *Draft) At() time.Time { return d.at }

// ReadBack returns how many of the draft's rows have to be read back.
func (d *Draft) ReadBack() (n, of int) {
	for _, row := range d.rows {
		if !row.sealed {
			n++
		}
	}
	return n, len(d.rows)
}
